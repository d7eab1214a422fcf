/* The command line of the stub launcher. */
#include "launcher.h"

static const char usage[] =
    "usage: launcher [OPTION...] PROGRAM [ARG...]\n"
    "  --launch pr204|bare|ete7   through a wrapper (default), directly with two descriptors, or by a port\n"
    "  --wrap ref|seed|rank       form of the wrapper (ref)\n"
    "  --wrapper PATH             the wrapper (dsmwrap, on PATH)\n"
    "  --hosts FILE|N             machine file, or so many processes (1); all are started here\n"
    "  --host NAME                the name this machine is announced by (127.0.0.1)\n"
    "  --split BYTES              send the launch stream in segments\n"
    "  --cut BYTES                send only its first bytes and close\n"
    "  --hostile KIND             lie: nodes-zero nodes-negative nodes-huge rank-range no-nul port-zero\n"
    "  --listen-later             MASTER_FD is bound but does not listen yet\n"
    "  --no-variables             bare: descriptors 3 and 4, and no variable tells\n"
    "  --close                    close the connections after the stream; else they stay open\n"
    "  --rank RANK=PROGRAM        this rank (line of the machine file) runs another program\n"
    "  --env NAME=VALUE           add to the programs' environment\n"
    "  --capture FILE             write what was said to and by rank 0, as text\n"
    "  --deadline SECONDS         end everything then (20)\n";

static void refuse(const char *what, const char *value)
{
    fprintf(stderr, "launcher: cannot take %s '%s'\n%s", what, value, usage);
    exit(2);
}

/* The place of `word` in `words`, which NULL ends. */
static int choose(const char *option, const char *word, const char *const *words)
{
    int i;

    for (i = 0; words[i] != NULL; i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    refuse(option, word);
    return -1;
}

static long number(const char *option, const char *word, long min, long max)
{
    long value = 0;

    if (!parse_number(word, min, max, &value))
        refuse(option, word);
    return value;
}

/* Lines of a machine file; empty ones do not count. */
static void read_hosts(struct options *options, const char *path)
{
    char line[MACHINE_BYTES];
    FILE *file = fopen(path, "r");

    if (file == NULL)
        refuse("machine file", path);
    while (fgets(line, sizeof line, file) != NULL) {
        char *name = strdup(line);

        if (name == NULL)
            exit(1);
        name[strcspn(name, " \t\r\n")] = '\0';
        if (name[0] == '\0') {
            free(name);
            continue;
        }
        if (options->nodes == MAX_NODES)
            refuse("so many hosts", path);
        options->names[options->nodes++] = name;
    }
    fclose(file);
    if (options->nodes == 0)
        refuse("a machine file without hosts", path);
}

static void set_hosts(struct options *options, const char *word)
{
    long nodes;

    options->nodes = 0;
    if (!parse_number(word, 1, MAX_NODES, &nodes)) {
        read_hosts(options, word);
        return;
    }
    while (options->nodes < nodes)
        options->names[options->nodes++] = "localhost";
}

/* 1 if `option` stands alone. */
static int take_switch(struct options *options, const char *option)
{
    if (strcmp(option, "--listen-later") == 0)
        options->listen_later = 1;
    else if (strcmp(option, "--no-variables") == 0)
        options->no_variables = 1;
    else if (strcmp(option, "--close") == 0)
        options->close_after = 1;
    else
        return 0;
    return 1;
}

static void set_program(struct options *options, char *value)
{
    char *equals = strchr(value, '=');
    long rank;

    if (equals == NULL)
        refuse("--rank", value);
    *equals = '\0';
    if (!parse_number(value, 0, MAX_NODES - 1, &rank))
        refuse("--rank", value);
    options->instead[rank] = equals + 1;
}

static void take_value(struct options *options, const char *option, char *value)
{
    static const char *const launches[] = {"pr204", "bare", "ete7", NULL};
    static const char *const wraps[] = {"ref", "seed", "rank", NULL};
    static const char *const lies[] = {"none",       "nodes-zero", "nodes-negative", "nodes-huge",
                                       "rank-range", "no-nul",     "port-zero",      NULL};

    if (strcmp(option, "--launch") == 0)
        options->launch = (enum launch)choose(option, value, launches);
    else if (strcmp(option, "--wrap") == 0)
        options->wrap = (enum wrap)choose(option, value, wraps);
    else if (strcmp(option, "--hostile") == 0)
        options->hostile = (enum hostile)choose(option, value, lies);
    else if (strcmp(option, "--wrapper") == 0)
        options->wrapper = value;
    else if (strcmp(option, "--hosts") == 0)
        set_hosts(options, value);
    else if (strcmp(option, "--host") == 0)
        options->host = value;
    else if (strcmp(option, "--capture") == 0)
        options->capture = value;
    else if (strcmp(option, "--split") == 0)
        options->split = number(option, value, 1, 1000000);
    else if (strcmp(option, "--cut") == 0)
        options->cut = number(option, value, 1, 1000000);
    else if (strcmp(option, "--deadline") == 0)
        options->deadline_ms = 1000 * number(option, value, 1, 3600);
    else if (strcmp(option, "--rank") == 0)
        set_program(options, value);
    else if (strcmp(option, "--env") == 0 && options->variable_count < MAX_VARIABLES && strchr(value, '=') != NULL)
        options->variables[options->variable_count++] = value;
    else
        refuse(option, value);
}

struct options parse_options(int argc, char **argv)
{
    struct options options = {.wrapper = "dsmwrap", .host = "127.0.0.1", .deadline_ms = DEADLINE_MS};
    int i = 1;

    set_hosts(&options, "1");
    while (i < argc && strncmp(argv[i], "--", 2) == 0) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            exit(0);
        }
        if (take_switch(&options, argv[i])) {
            i++;
            continue;
        }
        if (i + 1 == argc)
            refuse("without its value", argv[i]);
        take_value(&options, argv[i], argv[i + 1]);
        i += 2;
    }
    if (i == argc)
        refuse("a command line without", "PROGRAM");
    options.program = argv + i;
    return options;
}

/*
 * launcher: a dsmexec of the PR204 family for tests. It starts all processes on this machine, through a wrapper or
 * directly, gives them their launch stream, passes their output on with the subject's prefix, and says who ended how.
 *
 * Ranks: by token (ref), by order of accept (seed), by argument (rank). Exit code: that of the first process in time
 * that did not exit with 0 (128 + n for signal n); 1 if something else was wrong; 2 for a wrong command line.
 */
#define _GNU_SOURCE
#include "launcher.h"
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

enum { LINE_BYTES = 4096, PARKED_FD = 100, QUIET_MS = 50, LAST_WORDS_MS = 1000 };

/* One of a process's two outputs. */
struct output {
    int fd; /* -1 at its end */
    const char *name;
    char line[LINE_BYTES];
    size_t count;
};

struct process {
    pid_t pid;
    int rank, is_running, is_named; /* is_named: its rank is certain */
    struct output outputs[2];
};

struct launcher {
    const struct options *options;
    struct links links;
    struct process processes[MAX_NODES];
    int listener, signals; /* listener: -1 if nobody will connect (any more) */
    int is_given_up;       /* the stream will never be told */
    int code; /* exit code to be */
};

extern char **environ;

static void fail(const char *what)
{
    fprintf(stderr, "launcher: cannot %s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- starting --------------------------------------------------------------------------------------------- */

/* In the child: gives the two descriptors of launch/pr204 to the program, which gets them at `at` and `at` + 1. */
static void pass_descriptors(int launch, int master, int at)
{
    launch = fcntl(launch, F_DUPFD_CLOEXEC, PARKED_FD);
    master = fcntl(master, F_DUPFD_CLOEXEC, PARKED_FD);
    if (launch < 0 || master < 0 || dup2(launch, at) < 0 || dup2(master, at + 1) < 0)
        fail("pass descriptors");
}

static void set(const char *name, const char *format, int number)
{
    char value[32];

    snprintf(value, sizeof value, format, number);
    if (setenv(name, value, 1) < 0)
        fail("set a variable");
}

/* In the child: the environment, which is nothing but what the launch profile has, or the launcher's with a wrapper. */
static void set_environment(const struct launcher *l, int rank)
{
    const struct options *options = l->options;
    int i;

    if (options->launch != LAUNCH_PR204)
        clearenv();
    if (options->launch == LAUNCH_BARE && !options->no_variables) {
        set("DSMEXEC_FD", "%d", 10);
        set("MASTER_FD", "%d", 11);
    }
    if (options->launch == LAUNCH_ETE7) {
        int nodes = options->nodes, lie = options->hostile;

        setenv("DSMEXEC_HOSTNAME", options->host, 1);
        set("DSMEXEC_PORTNUM", "%d", port_of(l->listener));
        set("DSMEXEC_RANKID", "%d", lie == RANK_RANGE ? nodes + rank : rank);
        set("DSMEXEC_RANKNUM", "%d",
            lie == NODES_ZERO ? 0 : lie == NODES_NEGATIVE ? -1 : lie == NODES_HUGE ? INT32_MAX : nodes);
    }
    if (options->listen_later)
        set("PR204_LISTEN_LATER", "%d", 1);
    for (i = 0; i < options->variable_count; i++)
        putenv((char *)options->variables[i]);
}

/* In the child: becomes the program, or the wrapper with the arguments of its form. */
static void execute(const struct launcher *l, int rank)
{
    const struct options *options = l->options;
    char port[16], numbers[2][16], *fixed[] = {(char *)options->wrapper, (char *)options->host, port};
    char **arguments, **next;
    int count = 0, i;

    while (options->program[count] != NULL)
        count++;
    arguments = calloc((size_t)count + 6, sizeof *arguments);
    if (arguments == NULL)
        fail("have memory");
    next = arguments;
    if (options->launch == LAUNCH_PR204) {
        snprintf(port, sizeof port, "%d", port_of(l->listener));
        snprintf(numbers[0], sizeof numbers[0], "%d", options->wrap == WRAP_REF ? token1(rank) : rank);
        snprintf(numbers[1], sizeof numbers[1], "%d", token2(rank));
        for (i = 0; i < 3; i++)
            *next++ = fixed[i];
        for (i = 0; i < (options->wrap == WRAP_REF ? 2 : options->wrap == WRAP_RANK ? 1 : 0); i++)
            *next++ = numbers[i];
    }
    for (i = 0; i < count; i++)
        *next++ = i == 0 && options->instead[rank] != NULL ? (char *)options->instead[rank] : options->program[i];
    execvpe(arguments[0], arguments, environ);
    fprintf(stderr, "launcher: cannot execute %s: %s\n", arguments[0], strerror(errno));
    _exit(1);
}

static void be_child(const struct launcher *l, int rank, int out, int err, int launch, int master)
{
    const struct options *options = l->options;
    int null = open("/dev/null", O_RDONLY);
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        fail("connect the program's output");
    if (null > 2)
        close(null);
    if (launch >= 0)
        pass_descriptors(launch, master, options->no_variables ? 3 : 10);
    set_environment(l, rank);
    execute(l, rank);
}

/* Both ends of a connection over loopback: [0] is the launcher's. */
static void make_pair(int pair[2])
{
    int listener = bound_socket();

    if (listener < 0 || listen(listener, 1) < 0)
        fail("make a connection");
    pair[1] = connect_to("127.0.0.1", port_of(listener), now_ms() + DEADLINE_MS);
    pair[0] = pair[1] < 0 ? -1 : accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (pair[0] < 0)
        fail("make a connection");
    close(listener);
}

/* For launch/bare: the connection and the bound socket of `rank`, which the launcher knows without being told. */
static void make_bare(struct launcher *l, int rank, int *launch, int *master)
{
    struct link *link = &l->links.all[l->links.count];
    int pair[2];

    make_pair(pair);
    *launch = pair[1];
    *master = bound_socket();
    if (*master < 0 || (!l->options->listen_later && listen(*master, MAX_NODES) < 0))
        fail("make a socket for the program");
    links_add(&l->links, pair[0], rank);
    link->record.rank = rank;
    link->record.port = port_of(*master);
    snprintf(link->record.machine, sizeof link->record.machine, "%s", l->options->host);
    link->message = 1;
    l->links.announced++;
}

static void start(struct launcher *l, int rank)
{
    struct process *process = &l->processes[rank];
    int pipes[2][2], i, launch = -1, master = -1;

    if (l->options->launch == LAUNCH_BARE)
        make_bare(l, rank, &launch, &master);
    if (pipe2(pipes[0], O_CLOEXEC) < 0 || pipe2(pipes[1], O_CLOEXEC) < 0)
        fail("make pipes");
    fflush(NULL);
    process->pid = fork();
    if (process->pid < 0)
        fail("start a process");
    if (process->pid == 0)
        be_child(l, rank, pipes[0][1], pipes[1][1], launch, master);
    process->rank = rank;
    process->is_named = l->options->launch != LAUNCH_PR204 || l->options->wrap != WRAP_SEED;
    process->is_running = 1;
    for (i = 0; i < 2; i++) {
        close(pipes[i][1]);
        process->outputs[i] = (struct output){.fd = pipes[i][0], .name = i == 0 ? "stdout" : "stderr"};
    }
    if (launch >= 0) {
        close(launch);
        close(master);
    }
}

/* --- output and ends -------------------------------------------------------------------------------------- */

static void flush_line(const struct launcher *l, const struct process *process, struct output *output)
{
    if (output->count == 0)
        return;
    printf("[Proc %d : %s : %s] %.*s\n", process->rank, l->options->names[process->rank], output->name,
           (int)output->count, output->line);
    fflush(stdout);
    output->count = 0;
}

static void pass_output(const struct launcher *l, const struct process *process, struct output *output)
{
    char bytes[LINE_BYTES];
    ssize_t n = read(output->fd, bytes, sizeof bytes), i;

    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0) {
        flush_line(l, process, output);
        close(output->fd);
        output->fd = -1;
        return;
    }
    for (i = 0; i < n; i++) {
        if (bytes[i] == '\n' && output->count == 0)
            printf("[Proc %d : %s : %s] \n", process->rank, l->options->names[process->rank], output->name);
        else if (bytes[i] == '\n')
            flush_line(l, process, output);
        else
            output->line[output->count++] = bytes[i];
        if (output->count == LINE_BYTES)
            flush_line(l, process, output);
    }
}

/* In wrap/seed the rank of a process is known only when it has announced its pid; its output waits until then. */
static void name_by_pid(struct launcher *l)
{
    int i, k;

    if (l->options->launch != LAUNCH_PR204 || l->options->wrap != WRAP_SEED || l->links.is_told)
        return;
    for (i = 0; i < l->links.count; i++)
        for (k = 0; k < l->options->nodes; k++)
            if (l->processes[k].pid == l->links.all[i].pid) {
                l->processes[k].rank = l->links.all[i].rank;
                l->processes[k].is_named = 1;
            }
}

/* Returns how many processes run still. */
static int reap(struct launcher *l)
{
    int i, status, running = 0;

    for (i = 0; i < l->options->nodes; i++) {
        struct process *process = &l->processes[i];

        if (process->is_running && waitpid(process->pid, &status, WNOHANG) == process->pid) {
            int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);

            process->is_running = 0;
            fprintf(stderr, "launcher: rank %d (pid %d) %s %d\n", process->rank, (int)process->pid,
                    WIFSIGNALED(status) ? "was ended by signal" : "exited with code",
                    WIFSIGNALED(status) ? WTERMSIG(status) : code);
            if (l->code == 0)
                l->code = code;
        }
        running += process->is_running;
    }
    return running;
}

/* 1 if the stream can never be told: somebody spoke wrong, or has ended without announcing itself. */
static int is_hopeless(const struct launcher *l, int running)
{
    int i, possible = running;

    if (l->links.trouble[0] != '\0')
        return 1;
    for (i = 0; i < l->links.count; i++)
        possible += l->links.all[i].message > 0 && l->links.all[i].is_at_end;
    return possible < l->options->nodes;
}

static void give_up(struct launcher *l)
{
    if (l->options->launch != LAUNCH_ETE7) /* there anyone may be who never asks */
        links_trouble(&l->links, "only %d of %d announced themselves", l->links.announced, l->options->nodes);
    links_close(&l->links);
    close(l->listener);
    l->listener = -1;
    l->is_given_up = 1;
}

static void kill_all(struct launcher *l)
{
    int i;

    for (i = 0; i < l->options->nodes; i++)
        if (l->processes[i].is_running)
            kill(l->processes[i].pid, SIGKILL);
}

/* --- the loop --------------------------------------------------------------------------------------------- */

/* Waits for one round of events and deals with them. Returns whether there were any. */
static int turn(struct launcher *l, long long end)
{
    struct pollfd wanted[2 + 3 * MAX_NODES];
    struct links *links = &l->links;
    long long now = now_ms(), wake = end;
    int count = 2, links_before = links->count, i, k, n;

    wanted[0] = (struct pollfd){.fd = l->signals, .events = POLLIN};
    wanted[1] = (struct pollfd){.fd = l->listener, .events = POLLIN};
    for (i = 0; i < links_before; i++) {
        short events = links_events(links, &links->all[i], now, &wake);

        wanted[count++] = (struct pollfd){.fd = events != 0 ? links->all[i].fd : -1, .events = events};
    }
    for (i = 0; i < l->options->nodes; i++) {
        const struct process *process = &l->processes[i];
        int is_wanted = process->is_named || l->links.is_told || l->is_given_up;

        for (k = 0; k < 2; k++)
            wanted[count++] = (struct pollfd){.fd = is_wanted ? process->outputs[k].fd : -1, .events = POLLIN};
    }

    n = poll(wanted, (nfds_t)count, wake > now ? (int)(wake - now) : 0);
    if (n <= 0)
        return 0;
    if (wanted[0].revents != 0) {
        struct signalfd_siginfo ended;

        if (read(l->signals, &ended, sizeof ended) < 0)
            fail("read signals");
    }
    if (wanted[1].revents != 0) {
        int fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0)
            links_add(links, fd, -1);
    }
    for (i = 0; i < links_before; i++) {
        short events = wanted[2 + i].revents;

        if (events & (POLLIN | POLLHUP | POLLERR))
            links_receive(links, &links->all[i]);
        if (events & (POLLOUT | POLLHUP | POLLERR) && !links->all[i].is_sent)
            links_send(links, &links->all[i]);
    }
    for (i = 0; i < 2 * l->options->nodes; i++)
        if (wanted[2 + links_before + i].revents != 0)
            pass_output(l, &l->processes[i / 2], &l->processes[i / 2].outputs[i % 2]);
    return 1;
}

static int has_output(const struct launcher *l)
{
    int i;

    for (i = 0; i < l->options->nodes; i++)
        if (l->processes[i].outputs[0].fd >= 0 || l->processes[i].outputs[1].fd >= 0)
            return 1;
    return 0;
}

/* The deadline has passed: ends what runs and passes on what it had written. */
static void end_all(struct launcher *l, int running)
{
    long long end = now_ms() + LAST_WORDS_MS;

    links_trouble(&l->links, "%d processes still ran after %ld s", running, l->options->deadline_ms / 1000);
    l->is_given_up = 1;
    kill_all(l);
    while (now_ms() < end && turn(l, now_ms() + QUIET_MS))
        ;
    reap(l);
}

static void run(struct launcher *l)
{
    long long end = now_ms() + l->options->deadline_ms;
    int running = l->options->nodes, is_doubtful;

    /* Who has ended may have announced itself before, and that is still to be read. */
    while (running > 0 || has_output(l) || (!l->links.is_told && !l->is_given_up)) {
        name_by_pid(l);
        if (!l->links.is_told && l->links.announced == l->options->nodes)
            links_tell(&l->links);
        is_doubtful = !l->links.is_told && !l->is_given_up && is_hopeless(l, running);
        if (!turn(l, is_doubtful ? now_ms() + QUIET_MS : end) && is_doubtful)
            give_up(l);
        running = reap(l);
        if (now_ms() >= end) {
            end_all(l, running);
            return;
        }
    }
}

int main(int argc, char **argv)
{
    static struct launcher l;
    struct options options = parse_options(argc, argv);
    sigset_t child;
    int i;

    l.options = &options;
    links_init(&l.links, &options);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    l.signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    l.listener = options.launch == LAUNCH_BARE ? -1 : bound_socket();
    if (l.signals < 0 || (options.launch != LAUNCH_BARE && (l.listener < 0 || listen(l.listener, MAX_NODES) < 0)))
        fail("listen");
    for (i = 0; i < options.nodes; i++)
        start(&l, i);
    run(&l);
    links_close(&l.links);
    if (l.links.trouble[0] != '\0') {
        fprintf(stderr, "launcher: %s\n", l.links.trouble);
        return l.code != 0 ? l.code : 1;
    }
    return l.code;
}

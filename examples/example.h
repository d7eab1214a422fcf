/*
 * example.h - what the example programs share: arguments, numbers made up by a rule, and the line at the end.
 *
 * A program that uses dsm needs nothing of this; it keeps the examples short. Read a program first.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <dsm.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EXIT_WRONG = 1, EXIT_USAGE = 64 };

/* --- arguments -------------------------------------------------------------------------------------------- */

/*
 * One argument. Those without dashes are taken in their order and may be left out from the end: a number from `min` to
 * `max`, or a `text`. One whose name begins with "--" sets its number to 1. Numbers and texts hold their defaults.
 */
struct argument {
    const char *name, *meaning;
    long *number, min, max;
    const char **text;
};

static inline void print_usage(const char *program, const char *purpose, const struct argument *all)
{
    const struct argument *a;

    printf("usage: %s", program);
    for (a = all; a->name != NULL; a++)
        printf(" [%s]", a->name);
    printf("\n%s\n", purpose);
    for (a = all; a->name != NULL; a++) {
        printf("  %-10s %s", a->name, a->meaning);
        if (a->text != NULL)
            printf(" (%s)", *a->text);
        else if (a->name[0] != '-')
            printf(", %ld to %ld (%ld)", a->min, a->max, *a->number);
        putchar('\n');
    }
}

/* 1 if `text` is a number from `min` to `max`, which is then in *number. */
static inline int parse_number(const char *text, long min, long max, long *number)
{
    char *end;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
        return 0;
    *number = value;
    return 1;
}

/* 1 if `word` was a valid value for `a`. */
static inline int take_argument(const struct argument *a, const char *word)
{
    if (a->text != NULL) {
        *a->text = word;
        return 1;
    }
    if (a->name[0] == '-') {
        *a->number = 1;
        return 1;
    }
    return parse_number(word, a->min, a->max, a->number);
}

/* What `word` is: a switch, by its name; else number `place` of those without dashes. The name is NULL if nothing. */
static inline const struct argument *find_argument(const struct argument *all, const char *word, int place)
{
    int is_switch = strncmp(word, "--", 2) == 0;
    const struct argument *a;

    for (a = all; a->name != NULL; a++)
        if (is_switch ? strcmp(a->name, word) == 0 : a->name[0] != '-' && place-- == 0)
            break;
    return a;
}

/* Reads the command line into what `all` points to; NULL for a name ends it. --help and mistakes end the program. */
static inline void parse_arguments(int argc, char **argv, const char *program, const char *purpose,
                                   const struct argument *all)
{
    int i, place = 0;

    for (i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0) {
            print_usage(program, purpose, all);
            exit(0);
        }
    for (i = 1; i < argc; i++) {
        const struct argument *a = find_argument(all, argv[i], place);

        if (a->name == NULL || !take_argument(a, argv[i])) {
            fprintf(stderr, "%s: cannot take the argument '%s'; try %s --help\n", program, argv[i], program);
            exit(EXIT_USAGE);
        }
        place += a->name[0] != '-';
    }
}

/* --- data, and who does what ------------------------------------------------------------------------------ */

/* Rank `rank`'s part of `count` things is part(count, rank) .. part(count, rank + 1) - 1. */
static inline size_t part(size_t count, int rank)
{
    return count * (size_t)rank / (size_t)DSM_NODE_NUM;
}

/* Looks random but depends on x alone (splitmix64's finaliser), so that every rank can make up the same data. */
static inline uint64_t scramble(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* `p`, which was allocated for `what`. Without memory the program ends, and with it the job. */
static inline void *need(void *p, const char *what)
{
    if (p == NULL) {
        fprintf(stderr, "no memory for %s: %s\n", what, strerror(errno));
        exit(EXIT_WRONG);
    }
    return p;
}

/* The area of dsm_init has `bytes` bytes at least; else the program ends, and with it the job. */
static inline void need_area(const char *program, size_t bytes)
{
    if (bytes <= dsm_size())
        return;
    fprintf(stderr, "%s: %zu bytes do not fit into %zu of shared memory; see dsmexec --size\n", program, bytes, dsm_size());
    exit(EXIT_USAGE);
}

/* --- measuring, and the line at the end ------------------------------------------------------------------- */

/* What all ranks together did between run_begin and run_end, in shared memory. */
struct totals {
    uint64_t faults, pages_in, messages, bytes;
};

struct run {
    const char *program;
    struct totals *totals;
    struct dsm_stats before;
    double began, seconds, processor; /* seconds that passed, and that this rank's threads computed */
    double alone;    /* seconds the sequential computation took, if somebody sets it */
    char wrong[200]; /* what is wrong with the result, "" if nothing */
};

static inline double seconds_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline double now_seconds(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

/* Collective. What is measured begins when every rank is here. */
static inline struct run run_begin(const char *program)
{
    struct run run = {.program = program};

    run.totals = need(dsm_named("example totals", sizeof *run.totals), "totals");
    dsm_barrier();
    dsm_stats(&run.before);
    run.processor = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    run.began = now_seconds();
    return run;
}

/* Collective. What is measured ends when every rank is here; the counts of all ranks are added up. */
static inline void run_end(struct run *run)
{
    struct dsm_stats s;

    dsm_barrier();
    run->seconds = now_seconds() - run->began;
    run->processor = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - run->processor;
    dsm_stats(&s);
    dsm_fetch_add_u64(&run->totals->faults, s.read_faults + s.write_faults + s.upgrades - run->before.read_faults -
                                                run->before.write_faults - run->before.upgrades);
    dsm_fetch_add_u64(&run->totals->pages_in, s.pages_in - run->before.pages_in);
    dsm_fetch_add_u64(&run->totals->messages, s.messages_sent - run->before.messages_sent);
    dsm_fetch_add_u64(&run->totals->bytes, s.bytes_sent - run->before.bytes_sent);
    dsm_barrier();
}

/* Notes what is wrong with the result; the first note counts. */
static inline void run_wrong(struct run *run, const char *format, ...)
{
    va_list values;

    if (run->wrong[0] != '\0')
        return;
    va_start(values, format);
    vsnprintf(run->wrong, sizeof run->wrong, format, values);
    va_end(values);
}

/* Where EXAMPLE_JSON names a file, bench/applications finds the figures there. */
static inline void write_json(const struct run *run)
{
    const char *path = getenv("EXAMPLE_JSON");
    const struct totals *t = run->totals;
    FILE *file = path != NULL ? fopen(path, "w") : NULL;

    if (path != NULL && file == NULL)
        fprintf(stderr, "%s: cannot write %s: %s\n", run->program, path, strerror(errno));
    if (file == NULL)
        return;
    fprintf(file,
            "{\"program\": \"%s\", \"ranks\": %d, \"ok\": %s, \"seconds\": %.6f, \"processor\": %.6f, \"alone\": %.6f, \"faults\": %" PRIu64
            ", \"pages_in\": %" PRIu64 ", \"messages\": %" PRIu64 ", \"bytes\": %" PRIu64 "}\n",
            run->program, DSM_NODE_NUM, run->wrong[0] == '\0' ? "true" : "false", run->seconds, run->processor,
            run->alone, t->faults, t->pages_in, t->messages, t->bytes);
    fclose(file);
}

/* Rank 0 prints the line at the end; another rank only what is wrong. Gives the exit code. */
static inline int run_report(const struct run *run, const char *format, ...)
{
    int is_wrong = run->wrong[0] != '\0';
    va_list values;

    if (DSM_NODE_ID != 0) {
        if (is_wrong)
            fprintf(stderr, "%s: rank %d: WRONG: %s\n", run->program, DSM_NODE_ID, run->wrong);
        return is_wrong ? EXIT_WRONG : 0;
    }
    printf("%s: %d %s, ", run->program, DSM_NODE_NUM, DSM_NODE_NUM == 1 ? "rank" : "ranks");
    va_start(values, format);
    vprintf(format, values);
    va_end(values);
    printf(": %s%s, %.3f s", is_wrong ? "WRONG: " : "ok", run->wrong, run->seconds);
    if (run->alone > 0)
        printf(" (alone %.3f s)", run->alone);
    printf(", %" PRIu64 " faults, %" PRIu64 " messages\n", run->totals->faults, run->totals->messages);
    fflush(stdout);
    write_json(run);
    return is_wrong ? EXIT_WRONG : 0;
}

#endif /* EXAMPLE_H */

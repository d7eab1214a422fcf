/*
 * phases.h - how the test programs wait for each other with nothing but shared words: each rank has a page for its flag and
 * is the only one to write it, so that it can always go on. A flag only grows.
 *
 * The last word of every page that is written is a large number: in peer/seed8 it tells a page from a request.
 */
#ifndef PHASES_H
#define PHASES_H

#include <dsm.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

enum { PAGES = 100, LARGE = 0x50523230 };

static char *area;
static long limit_s = 20;

static inline void wrong(const char *what, long where, long got, long want)
{
    fprintf(stderr, "rank %d of %d: %s %ld: %ld, not %ld\n", DSM_NODE_ID, DSM_NODE_NUM, what, where, got, want);
    exit(1);
}

/* Joins the job. The only argument is the seconds after which waiting ends. */
static inline void join(int argc, char **argv)
{
    if (argc > 2 || (argc == 2 && (limit_s = atol(argv[1])) < 1)) {
        fprintf(stderr, "usage: %s [SECONDS]\n", argv[0]);
        exit(2);
    }
    area = dsm_init(argc, argv);
    if (area == NULL)
        exit(1);
}

static inline int right(long sum)
{
    dsm_finalize();
    printf("rank %d of %d: ok %ld\n", DSM_NODE_ID, DSM_NODE_NUM, sum);
    return 0;
}

static inline size_t words_of_page(void)
{
    return (size_t)PAGE_SIZE / sizeof(atomic_int);
}

static inline atomic_int *word(long page, size_t index)
{
    return (atomic_int *)(void *)(area + (size_t)page * (size_t)PAGE_SIZE) + index;
}

/* Sets the flag, which is a word of this rank's own page. */
static inline void raise_flag(long page, int value)
{
    atomic_store(word(page, words_of_page() - 1), LARGE);
    atomic_store(word(page, words_of_page() / 2), value);
}

static inline void await_flag(long page, int value)
{
    time_t end = time(NULL) + limit_s;

    while (atomic_load(word(page, words_of_page() / 2)) < value) {
        if (time(NULL) > end)
            wrong("flag in page", page, atomic_load(word(page, words_of_page() / 2)), value);
        sched_yield();
    }
}

#endif

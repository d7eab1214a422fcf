/*
 * What the test programs share. The first thing that is not so ends the rank, and with it the job, with exit code 1 and a
 * line that names it. No program waits by the clock: who hangs is ended by the test that started it.
 */
#ifndef CHECK_H
#define CHECK_H

#include <dsm.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

enum { MAX_THREADS = 64 };

static inline void wrong(const char *file, int line, const char *what)
{
    fprintf(stderr, "rank %d: %s:%d: not so: %s (last error: %s)\n", DSM_NODE_ID, file, line, what, dsm_last_error());
    exit(1);
}

/* A condition that must hold. */
#define MUST(condition) ((condition) ? (void)0 : wrong(__FILE__, __LINE__, #condition))

/* Two numbers that must be equal; says which they are. */
#define SAME(left, right) same(__FILE__, __LINE__, #left " == " #right, (uint64_t)(left), (uint64_t)(right))

static inline void same(const char *file, int line, const char *what, uint64_t left, uint64_t right)
{
    char words[300];

    if (left == right)
        return;
    snprintf(words, sizeof words, "%s: %" PRIu64 " and %" PRIu64, what, left, right);
    wrong(file, line, words);
}

/* A call that must return this: 0 or an errno value. */
#define EXPECT(result, call) expect(__FILE__, __LINE__, #call, call, result)

static inline void expect(const char *file, int line, const char *call, int got, int result)
{
    char words[300];

    if (got == result)
        return;
    snprintf(words, sizeof words, "%s is %d (%s), not %d (%s)", call, got, strerror(got), result, strerror(result));
    wrong(file, line, words);
}

/* An argument of the command line, or what it is without one. */
static inline long argument(int argc, char **argv, int number, long otherwise)
{
    return argc > number ? atol(argv[number]) : otherwise;
}

/* Joins the job; gives the shared area. */
static inline void *join(int argc, char **argv)
{
    char *area = dsm_init(argc, argv);

    MUST(area != NULL);
    return area;
}

typedef void work_t(long thread);

struct started {
    work_t *work;
    long thread;
};

static inline void *run_started(void *started)
{
    struct started *mine = started;

    mine->work(mine->thread);
    return NULL;
}

/* Runs work(0) .. work(threads-1), each in a thread of its own; returns when all have ended. */
static inline void in_threads(long threads, work_t *work)
{
    struct started started[MAX_THREADS];
    pthread_t ids[MAX_THREADS];
    long i;

    MUST(threads >= 1 && threads <= MAX_THREADS);
    for (i = 0; i < threads; i++) {
        started[i] = (struct started){work, i};
        MUST(pthread_create(&ids[i], NULL, run_started, &started[i]) == 0);
    }
    for (i = 0; i < threads; i++)
        MUST(pthread_join(ids[i], NULL) == 0);
}

/* The point in time so many milliseconds from this one; what is to come, or negative, what has passed. */
static inline struct timespec after_ms(long ms)
{
    struct timespec at;
    long ns;

    clock_gettime(CLOCK_MONOTONIC, &at);
    ns = at.tv_nsec + ms % 1000 * 1000000;
    at.tv_sec += ms / 1000 + ns / 1000000000;
    at.tv_nsec = ns % 1000000000;
    if (at.tv_nsec < 0) {
        at.tv_sec -= 1;
        at.tv_nsec += 1000000000;
    }
    return at;
}

static inline int has_passed(struct timespec at)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > at.tv_sec || (now.tv_sec == at.tv_sec && now.tv_nsec >= at.tv_nsec);
}

/* Nanoseconds of a clock that only differences are taken of. */
static inline uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A word that does not repeat for a long time; each thread keeps a state of its own, never 0. */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/*
 * The counts of this rank when the runtime has done all it had begun. A call that returns may leave it with messages to
 * send for others; it is asked something more, which takes its turn behind them and costs no message of its own.
 */
static inline struct dsm_stats settled_stats(void)
{
    size_t nodes = (size_t)DSM_NODE_NUM, pages = dsm_size() / dsm_page_size() / nodes * nodes;
    char *own = dsm_base() + (pages - nodes + (size_t)DSM_NODE_ID) * dsm_page_size(); /* at home on this rank */
    struct dsm_stats stats;

    EXPECT(EAGAIN, dsm_sem_trywait((dsm_sem_t *)own));
    EXPECT(0, dsm_stats(&stats));
    return stats;
}

/* Leaves the job, and says on the way that nothing was wrong. */
static inline int right(const char *program)
{
    dsm_finalize();
    printf("%s: right\n", program);
    return 0;
}

#endif

/*
 * costs: what the operations of dsm cost here, in microseconds.
 *
 *     dsmexec machine_file costs [TIMES]
 *
 * Rank 0 prepares pages, mutexes and words. The last rank uses them and stops the time of each use; rank 0 prints the
 * medians. On one rank everything is at hand: what it prints then is what remains without a network.
 *
 * The figures depend on how long an idle processor takes to wake up, and are to be compared within a run. A round trip
 * of plain TCP, which every operation across ranks needs at least, is printed by dsm bench.
 *
 * Exit code 0; 1 if the job cannot be joined or a word is wrong; 64 for wrong arguments.
 */
#include "example.h"

enum { MOST = 400 };

enum what { READ, UPGRADE, HERE, WRITE, LOCK, LOCK_AGAIN, FETCH_ADD, POST, ALLOCATE, BARRIER, COUNT };

static const char *const MEANING[COUNT] = {
    [READ] = "load, the page is at the other rank",
    [UPGRADE] = "store, the page is here and at the other rank",
    [HERE] = "load and store, the page is here alone",
    [WRITE] = "store, the page is at the other rank",
    [LOCK] = "lock and unlock a mutex that the other rank had",
    [LOCK_AGAIN] = "lock and unlock it again",
    [FETCH_ADD] = "dsm_fetch_add_u64 on a word at the other rank",
    [POST] = "dsm_sem_post, its home is the other rank",
    [ALLOCATE] = "dsm_malloc and dsm_free, 64 bytes",
    [BARRIER] = "dsm_barrier",
};

/* On a page whose home is rank 0; nobody touches it but by these calls. */
struct objects {
    dsm_sem_t semaphore;
    dsm_mutex_t mutex[MOST];
    uint64_t added;
};

struct bench {
    struct objects *objects;
    double *median_us; /* of each what */
    char *area;
    int times;
    uint64_t sum; /* of the words that were read */
};

/* The first word of page number i of those whose home is rank 0. */
static volatile uint64_t *page(const struct bench *b, int i)
{
    return (volatile uint64_t *)(b->area + (size_t)i * (size_t)DSM_NODE_NUM * dsm_page_size());
}

/* Use number i. Pages are read, then written; others, behind them, are written at once. */
static void use(struct bench *b, enum what what, int i)
{
    switch (what) {
    case READ:
        b->sum += *page(b, i);
        break;
    case UPGRADE:
    case HERE:
        *page(b, i) += 1;
        break;
    case WRITE:
        *page(b, b->times + i) = 1;
        break;
    case LOCK:
    case LOCK_AGAIN:
        dsm_mutex_lock(&b->objects->mutex[i]);
        dsm_mutex_unlock(&b->objects->mutex[i]);
        break;
    case FETCH_ADD:
        dsm_fetch_add_u64(&b->objects->added, 1);
        break;
    case POST:
        dsm_sem_post(&b->objects->semaphore);
        break;
    case ALLOCATE:
        dsm_free(dsm_malloc(64));
        break;
    default:
        dsm_barrier();
    }
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* The median time of a use, in microseconds. */
static double measure(struct bench *b, enum what what)
{
    static double seconds[MOST];
    int i;

    for (i = 0; i < b->times; i++) {
        double began = now_seconds();

        use(b, what, i);
        seconds[i] = now_seconds() - began;
    }
    qsort(seconds, (size_t)b->times, sizeof seconds[0], compare);
    return seconds[b->times / 2] * 1e6;
}

/* Makes rank 0 the one who has everything. */
static void prepare(const struct bench *b)
{
    int i;

    for (i = 0; i < b->times; i++) {
        *page(b, i) = *page(b, b->times + i) = 1;
        dsm_mutex_lock(&b->objects->mutex[i]);
        dsm_mutex_unlock(&b->objects->mutex[i]);
    }
}

static void check(struct run *run, const struct bench *b)
{
    uint64_t times = (uint64_t)b->times;
    int i;

    if (b->objects->added != times)
        run_wrong(run, "%" PRIu64 " added, not %" PRIu64, b->objects->added, times);
    for (i = 0; i < b->times; i++)
        if (*page(b, i) != 3 || *page(b, b->times + i) != 1)
            run_wrong(run, "page %d has %" PRIu64, i, *page(b, i));
}

int main(int argc, char **argv)
{
    long times = 200;
    const struct argument all[] = {
        {.name = "TIMES", .meaning = "uses of each kind", .number = &times, .min = 1, .max = MOST},
        {0},
    };
    struct bench b;
    struct run run;
    double barrier_us;
    int what, code;

    parse_arguments(argc, argv, "costs", "What the operations of dsm cost here.", all);
    b = (struct bench){.times = (int)times, .area = dsm_init(argc, argv)};
    if (b.area == NULL)
        return EXIT_WRONG;
    b.median_us = need(dsm_named("medians", COUNT * sizeof *b.median_us), "the medians");
    b.objects = (struct objects *)page(&b, 2 * b.times);
    if ((char *)page(&b, 2 * b.times + 1) > b.area + dsm_size()) {
        fprintf(stderr, "costs: %d pages do not fit; see dsmexec --size\n", (2 * b.times + 1) * DSM_NODE_NUM);
        return EXIT_USAGE;
    }
    if (DSM_NODE_ID == 0)
        prepare(&b);

    run = run_begin("costs");
    for (what = 0; what < BARRIER; what++)
        if (DSM_NODE_ID == DSM_NODE_NUM - 1)
            b.median_us[what] = measure(&b, (enum what)what);
    dsm_barrier();
    barrier_us = measure(&b, BARRIER); /* of this rank */
    run_end(&run);

    if (DSM_NODE_ID == 0)
        b.median_us[BARRIER] = barrier_us;
    for (what = 0; what < COUNT && DSM_NODE_ID == 0; what++)
        printf("%9.2f us  %s\n", b.median_us[what], MEANING[what]);
    if (DSM_NODE_ID == DSM_NODE_NUM - 1 && b.sum != (uint64_t)times)
        run_wrong(&run, "read %" PRIu64 " pages with 1, not %ld", b.sum, times);
    if (DSM_NODE_ID == 0)
        check(&run, &b);
    code = run_report(&run, "%ld uses each", times);
    dsm_finalize();
    return code;
}

/*
 * barriers [ROUNDS [COUNTED [THREADS]]]: so many barriers of all ranks, then so many with counts of threads: all threads, the
 * first thread of each rank, pairs of threads of two ranks, all threads of one rank. Default 1000, 1000, 3 threads.
 */
#include "check.h"

enum { MAX_RANKS = 64, LOOK = 64 };

static struct {
    uint64_t steps[MAX_RANKS][512]; /* a rank counts on a page of its own */
    dsm_barrier_t all, firsts, pairs[MAX_RANKS * MAX_THREADS], own[MAX_RANKS], unequal;
    uint64_t serials; /* how often some thread was the one */
    dsm_sem_t refused;
} *shared;

static long rounds, counted, threads;

/* When all are at the same step, nobody is behind it, and nobody ahead by more than one. */
static void look_around(uint64_t step)
{
    int rank;

    for (rank = 0; rank < DSM_NODE_NUM; rank++) {
        uint64_t seen = ((volatile uint64_t *)shared->steps[rank])[0];

        MUST(seen == step || seen == step + 1);
    }
}

static void cross_all(void)
{
    volatile uint64_t *mine = shared->steps[DSM_NODE_ID];
    long round;

    for (round = 1; round <= rounds; round++) {
        *mine = (uint64_t)round;
        EXPECT(0, dsm_barrier());
        if (round % LOOK == 0)
            look_around((uint64_t)round);
    }
}

static void cross(dsm_barrier_t *barrier, long count)
{
    int result = dsm_barrier_wait(barrier, (unsigned)count);

    if (result == DSM_BARRIER_SERIAL)
        dsm_fetch_add_u64(&shared->serials, 1);
    else
        EXPECT(0, result);
}

static void cross_counted(long thread)
{
    long me = DSM_NODE_ID * threads + thread, all = DSM_NODE_NUM * threads, round;

    for (round = 0; round < counted; round++) {
        cross(&shared->all, all);
        cross(&shared->own[DSM_NODE_ID], threads);
        if (thread == 0)
            cross(&shared->firsts, DSM_NODE_NUM);
        /* Thread i of all and the one opposite meet; with an odd number the middle one meets itself. */
        cross(&shared->pairs[me < all - 1 - me ? me : all - 1 - me], me == all - 1 - me ? 1 : 2);
        /* The same barrier, with another count: each rank's threads in turn, between barriers of all. */
        cross(&shared->all, all);
        if (DSM_NODE_ID == round % DSM_NODE_NUM)
            cross(&shared->unequal, threads);
    }
}

static dsm_barrier_t *joined;
static unsigned joined_count;

static void join_barrier(long thread)
{
    (void)thread;
    cross(joined, (long)joined_count);
}

/* Of two threads that come with different counts the first waits. The other is told, and helps it out. */
static void come_with_own_count(long thread)
{
    unsigned mine = 2 + (unsigned)thread;
    int result = dsm_barrier_wait(&shared->unequal, mine);

    MUST(result == EINVAL || result == 0 || result == DSM_BARRIER_SERIAL);
    if (result != EINVAL)
        return;
    joined = &shared->unequal;
    joined_count = 5 - mine;
    in_threads((long)joined_count - 1, join_barrier);
    dsm_fetch_add_u64(&shared->serials, 1000000); /* exactly one comes here */
}

/* Of two threads of rank 0 one is told that the other is at the barrier of all; the other ranks come after that. */
static void come_twice(long thread)
{
    int result = dsm_barrier(), rank;

    (void)thread;
    if (result == 0)
        return;
    EXPECT(EBUSY, result);
    for (rank = 1; rank < DSM_NODE_NUM; rank++)
        EXPECT(0, dsm_sem_post(&shared->refused));
}

int main(int argc, char **argv)
{
    uint64_t began, took, all, expected;

    rounds = argument(argc, argv, 1, 1000);
    counted = argument(argc, argv, 2, 1000);
    threads = argument(argc, argv, 3, 3);
    shared = join(argc, argv);
    MUST(DSM_NODE_NUM <= MAX_RANKS);
    MUST(sizeof shared->steps[0] <= dsm_page_size());
    EXPECT(0, dsm_barrier());
    began = now_ns();
    cross_all();
    took = now_ns() - began;
    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == 0)
        printf("%.1f us per barrier of %d ranks\n", (double)took / 1e3 / (double)rounds, DSM_NODE_NUM);

    in_threads(threads, cross_counted);
    EXPECT(0, dsm_barrier());
    all = (uint64_t)(DSM_NODE_NUM * threads);
    expected = (uint64_t)counted * (2 + (uint64_t)DSM_NODE_NUM + 1 + (all + 1) / 2 + 1);
    SAME(shared->serials, expected);
    EXPECT(0, dsm_barrier());

    EXPECT(EINVAL, dsm_barrier_wait(&shared->unequal, 0));
    if (DSM_NODE_ID == DSM_NODE_NUM - 1)
        in_threads(2, come_with_own_count);
    EXPECT(0, dsm_barrier());
    /* Whoever was the serial one is counted or came first, so the sum is one of two. */
    MUST(shared->serials - expected - 1000000 <= 1);
    if (DSM_NODE_NUM > 1) {
        if (DSM_NODE_ID != 0)
            EXPECT(0, dsm_sem_wait(&shared->refused));
        in_threads(DSM_NODE_ID == 0 ? 2 : 1, come_twice);
    }
    return right("barriers");
}

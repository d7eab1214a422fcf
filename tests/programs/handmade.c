/*
 * handmade [ROUNDS [THREADS]]: a barrier as many programs have it, of a mutex, a count and a condition variable, and with
 * `if` where the books have `while`. It works because nobody is woken without reason. Default 10,000 rounds, 2 threads.
 */
#include "check.h"

static struct {
    dsm_mutex_t mutex;
    dsm_cond_t all_here;
    uint64_t here;
    uint64_t arrivals; /* of all rounds */
} *shared;

static long rounds, threads;

static void cross(uint64_t round)
{
    uint64_t all = (uint64_t)(DSM_NODE_NUM * threads);

    EXPECT(0, dsm_mutex_lock(&shared->mutex));
    shared->arrivals++;
    if (++shared->here == all) {
        shared->here = 0;
        EXPECT(0, dsm_cond_broadcast(&shared->all_here));
    } else {
        EXPECT(0, dsm_cond_wait(&shared->all_here, &shared->mutex));
    }
    /* All have arrived in this round, and the next cannot end without this thread. */
    MUST(shared->arrivals >= (round + 1) * all);
    MUST(shared->arrivals < (round + 2) * all);
    EXPECT(0, dsm_mutex_unlock(&shared->mutex));
}

static void work(long thread)
{
    long round;

    (void)thread;
    for (round = 0; round < rounds; round++)
        cross((uint64_t)round);
}

int main(int argc, char **argv)
{
    uint64_t began, took;

    rounds = argument(argc, argv, 1, 10000);
    threads = argument(argc, argv, 2, 2);
    shared = join(argc, argv);
    EXPECT(0, dsm_barrier());
    began = now_ns();
    in_threads(threads, work);
    EXPECT(0, dsm_barrier());
    took = now_ns() - began;
    SAME(shared->arrivals, DSM_NODE_NUM * threads * rounds);
    if (DSM_NODE_ID == 0)
        printf("%.1f us per barrier of mutex and condition variable\n", (double)took / 1e3 / (double)rounds);
    return right("handmade");
}

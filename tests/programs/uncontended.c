/*
 * uncontended [LOCKS [OPERATIONS [THREADS]]]: lock operations (each lock and each unlock is one) on so many mutexes by all
 * ranks together, each rank on a part of its own. After it has had each of them once, a rank must not send a message.
 * Default 1000 mutexes, two million operations, 1 thread.
 */
#include "check.h"

static dsm_mutex_t *mutexes;
static long locks, operations, threads;

/* Mutexes of different ranks lie side by side: it makes no difference. */
static dsm_mutex_t *mine(long number)
{
    return &mutexes[number * DSM_NODE_NUM + DSM_NODE_ID];
}

static void touch(void)
{
    long i;

    for (i = 0; i < locks / DSM_NODE_NUM; i++) {
        EXPECT(0, dsm_mutex_lock(mine(i)));
        EXPECT(0, dsm_mutex_unlock(mine(i)));
    }
}

static void work(long thread)
{
    long each = locks / DSM_NODE_NUM, turns = operations / 2 / DSM_NODE_NUM / threads, number = thread * each / threads, i;

    for (i = 0; i < turns; i++) {
        dsm_mutex_t *mutex = mine(number);

        if (dsm_mutex_lock(mutex) != 0 || dsm_mutex_unlock(mutex) != 0)
            wrong(__FILE__, __LINE__, "a lock operation succeeds");
        if (++number == each)
            number = 0;
    }
}

int main(int argc, char **argv)
{
    struct dsm_stats before, after;
    uint64_t began, took;

    locks = argument(argc, argv, 1, 1000);
    operations = argument(argc, argv, 2, 2000000);
    threads = argument(argc, argv, 3, 1);
    mutexes = join(argc, argv);
    touch();
    EXPECT(0, dsm_barrier());
    before = settled_stats();
    began = now_ns();
    in_threads(threads, work);
    took = now_ns() - began;
    after = settled_stats();
    printf("%ld mutexes, %ld operations: %.1f ns per operation, %" PRIu64 " messages after the first touch\n", locks,
           operations, (double)took / ((double)operations / DSM_NODE_NUM), after.messages_sent - before.messages_sent);
    SAME(after.messages_sent, before.messages_sent);
    SAME(after.lock_remote, before.lock_remote);
    SAME(after.lock_local - before.lock_local, operations / 2 / DSM_NODE_NUM / threads * threads);
    SAME(after.read_faults + after.write_faults, before.read_faults + before.write_faults);
    return right("uncontended");
}

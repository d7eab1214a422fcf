/*
 * mutex [THREADS [ROUNDS]]: misuse of mutexes and what is said of it, mutexes that others hold, and a counter that all
 * threads of all ranks add to under one. Default 4 threads, 1000 rounds.
 */
#include "check.h"

enum { MAX_RANKS = 16, PAIR_ROUNDS = 20 };

static struct {
    dsm_mutex_t between; /* taken by one rank, tried by another */
    dsm_mutex_t own[MAX_RANKS];
    dsm_mutex_t counting;
    uint64_t counted[2]; /* each is added to under the mutex, one at the start of it and one at its end */
} *shared;

static long threads, rounds;

static void check_alone(void)
{
    dsm_mutex_t *mutex = &shared->own[DSM_NODE_ID];
    struct timespec soon = after_ms(1000);

    EXPECT(0, dsm_mutex_init(mutex));
    EXPECT(EPERM, dsm_mutex_unlock(mutex));
    EXPECT(0, dsm_mutex_lock(mutex));
    EXPECT(EDEADLK, dsm_mutex_lock(mutex));
    EXPECT(EDEADLK, dsm_mutex_timedlock(mutex, &soon));
    MUST(!has_passed(soon));
    EXPECT(EBUSY, dsm_mutex_trylock(mutex));
    EXPECT(EBUSY, dsm_mutex_destroy(mutex));
    EXPECT(0, dsm_mutex_unlock(mutex));
    EXPECT(EPERM, dsm_mutex_unlock(mutex));
    EXPECT(0, dsm_mutex_trylock(mutex));
    EXPECT(0, dsm_mutex_unlock(mutex));
    EXPECT(0, dsm_mutex_timedlock(mutex, &soon));
    EXPECT(0, dsm_mutex_unlock(mutex));
    EXPECT(0, dsm_mutex_destroy(mutex));
    EXPECT(0, dsm_mutex_lock(mutex)); /* zero bytes are an idle mutex also after it */
    EXPECT(0, dsm_mutex_unlock(mutex));
    MUST(mutex->dsm_opaque_ == 0);
}

/* Somebody else has it: a thread of this rank or of another. */
static void check_held(dsm_mutex_t *mutex)
{
    struct timespec past = after_ms(-1), soon = after_ms(3), epoch = {0, 0};

    EXPECT(EBUSY, dsm_mutex_trylock(mutex));
    EXPECT(EPERM, dsm_mutex_unlock(mutex));
    EXPECT(EBUSY, dsm_mutex_destroy(mutex));
    EXPECT(ETIMEDOUT, dsm_mutex_timedlock(mutex, &epoch));
    EXPECT(ETIMEDOUT, dsm_mutex_timedlock(mutex, &past));
    EXPECT(ETIMEDOUT, dsm_mutex_timedlock(mutex, &soon));
    MUST(has_passed(soon));
    EXPECT(EBUSY, dsm_mutex_trylock(mutex)); /* none of that took it */
}

static void check_from_a_thread(long thread)
{
    (void)thread;
    check_held(&shared->own[DSM_NODE_ID]);
}

static void check_within_a_rank(void)
{
    EXPECT(0, dsm_mutex_lock(&shared->own[DSM_NODE_ID]));
    in_threads(2, check_from_a_thread);
    EXPECT(0, dsm_mutex_unlock(&shared->own[DSM_NODE_ID]));
}

/* What is free at a barrier can be had without waiting by whoever comes from it; what is held cannot. */
static void check_between(int holder, int other)
{
    dsm_mutex_t *mutex = &shared->between;
    long round;

    for (round = 0; round < PAIR_ROUNDS; round++) {
        if (DSM_NODE_ID == holder)
            EXPECT(0, round % 2 ? dsm_mutex_lock(mutex) : dsm_mutex_trylock(mutex));
        EXPECT(0, dsm_barrier());
        if (DSM_NODE_ID == other && round == 0)
            check_held(mutex);
        else if (DSM_NODE_ID == other)
            EXPECT(EBUSY, dsm_mutex_trylock(mutex));
        EXPECT(0, dsm_barrier());
        if (DSM_NODE_ID == holder)
            EXPECT(0, dsm_mutex_unlock(mutex));
        EXPECT(0, dsm_barrier());
        if (DSM_NODE_ID == other) {
            EXPECT(0, dsm_mutex_trylock(mutex));
            EXPECT(0, dsm_mutex_unlock(mutex));
            EXPECT(0, dsm_mutex_destroy(mutex));
        }
        EXPECT(0, dsm_barrier());
    }
}

/* Takes it, one way or another. */
static void take(dsm_mutex_t *mutex, uint64_t how)
{
    int result;

    if (how % 16 == 0) {
        while ((result = dsm_mutex_trylock(mutex)) == EBUSY)
            sched_yield();
        EXPECT(0, result);
    } else if (how % 16 == 1) {
        struct timespec until = after_ms(1);

        while ((result = dsm_mutex_timedlock(mutex, &until)) == ETIMEDOUT) {
            MUST(has_passed(until));
            until = after_ms(1);
        }
        EXPECT(0, result);
    } else {
        EXPECT(0, dsm_mutex_lock(mutex));
    }
}

static void count(long thread)
{
    uint64_t random = (uint64_t)(DSM_NODE_ID * MAX_THREADS + thread + 1);
    long round;

    for (round = 0; round < rounds; round++) {
        uint64_t before;

        take(&shared->counting, next_random(&random));
        before = shared->counted[0]++;
        SAME(shared->counted[1]++, before);
        EXPECT(0, dsm_mutex_unlock(&shared->counting));
    }
}

int main(int argc, char **argv)
{
    int holder, other;

    threads = argument(argc, argv, 1, 4);
    rounds = argument(argc, argv, 2, 1000);
    shared = join(argc, argv);
    MUST(DSM_NODE_NUM <= MAX_RANKS);
    check_alone();
    check_within_a_rank();
    for (holder = 0; holder < DSM_NODE_NUM; holder++)
        for (other = 0; other < DSM_NODE_NUM; other++)
            if (holder != other)
                check_between(holder, other);
    in_threads(threads, count);
    EXPECT(0, dsm_barrier());
    SAME(shared->counted[0], DSM_NODE_NUM * threads * rounds);
    SAME(shared->counted[1], shared->counted[0]);
    return right("mutex");
}

/*
 * rwlock [THREADS [ROUNDS]]: misuse of locks for readers and writers, locks that others hold, all threads of all ranks as
 * readers at once, and writers that no reader sees at work. Default 3 threads, 300 rounds.
 */
#include "check.h"

enum { MAX_RANKS = 16, WORDS = 512 };

static struct {
    dsm_rwlock_t between;
    dsm_rwlock_t own[MAX_RANKS];
    dsm_rwlock_t open;
    dsm_barrier_t inside;
    dsm_rwlock_t guarding;
    uint64_t words[2 * WORDS]; /* on two pages; equal unless a writer is at work */
} *shared;

static long threads, rounds;

static void check_alone(void)
{
    dsm_rwlock_t *lock = &shared->own[DSM_NODE_ID];

    EXPECT(0, dsm_rwlock_init(lock));
    EXPECT(EPERM, dsm_rwlock_unlock(lock));
    EXPECT(0, dsm_rwlock_wrlock(lock));
    EXPECT(EDEADLK, dsm_rwlock_wrlock(lock));
    EXPECT(EDEADLK, dsm_rwlock_rdlock(lock));
    EXPECT(EBUSY, dsm_rwlock_trywrlock(lock));
    EXPECT(EBUSY, dsm_rwlock_tryrdlock(lock));
    EXPECT(EBUSY, dsm_rwlock_destroy(lock));
    EXPECT(0, dsm_rwlock_unlock(lock));
    EXPECT(EPERM, dsm_rwlock_unlock(lock));
    EXPECT(0, dsm_rwlock_rdlock(lock));
    EXPECT(EDEADLK, dsm_rwlock_wrlock(lock));
    EXPECT(EBUSY, dsm_rwlock_trywrlock(lock));
    EXPECT(EBUSY, dsm_rwlock_destroy(lock));
    EXPECT(0, dsm_rwlock_unlock(lock));
    EXPECT(EPERM, dsm_rwlock_unlock(lock));
    EXPECT(0, dsm_rwlock_tryrdlock(lock));
    EXPECT(0, dsm_rwlock_rdlock(lock)); /* a reader may come in again */
    EXPECT(0, dsm_rwlock_tryrdlock(lock));
    EXPECT(EBUSY, dsm_rwlock_trywrlock(lock));
    EXPECT(0, dsm_rwlock_unlock(lock));
    EXPECT(0, dsm_rwlock_unlock(lock));
    EXPECT(EDEADLK, dsm_rwlock_wrlock(lock));
    EXPECT(0, dsm_rwlock_unlock(lock));
    EXPECT(EPERM, dsm_rwlock_unlock(lock));
    EXPECT(0, dsm_rwlock_trywrlock(lock));
    EXPECT(0, dsm_rwlock_unlock(lock));
    EXPECT(0, dsm_rwlock_destroy(lock));
    EXPECT(0, dsm_rwlock_rdlock(lock)); /* zero bytes are an idle lock also after it */
    EXPECT(0, dsm_rwlock_unlock(lock));
    MUST(lock->dsm_opaque_ == 0);
}

static void check_written(dsm_rwlock_t *lock)
{
    EXPECT(EBUSY, dsm_rwlock_tryrdlock(lock));
    EXPECT(EBUSY, dsm_rwlock_trywrlock(lock));
    EXPECT(EPERM, dsm_rwlock_unlock(lock));
    EXPECT(EBUSY, dsm_rwlock_destroy(lock));
}

static void check_read(dsm_rwlock_t *lock)
{
    EXPECT(EBUSY, dsm_rwlock_trywrlock(lock));
    EXPECT(EPERM, dsm_rwlock_unlock(lock));
    EXPECT(EBUSY, dsm_rwlock_destroy(lock));
    EXPECT(0, dsm_rwlock_tryrdlock(lock));
    EXPECT(EBUSY, dsm_rwlock_trywrlock(lock));
    EXPECT(0, dsm_rwlock_unlock(lock));
    EXPECT(0, dsm_rwlock_rdlock(lock));
    EXPECT(0, dsm_rwlock_unlock(lock));
    EXPECT(EPERM, dsm_rwlock_unlock(lock));
}

static void check_written_by_a_thread(long thread)
{
    (void)thread;
    check_written(&shared->own[DSM_NODE_ID]);
}

static void check_read_by_a_thread(long thread)
{
    (void)thread;
    check_read(&shared->own[DSM_NODE_ID]);
}

static void check_within_a_rank(void)
{
    EXPECT(0, dsm_rwlock_wrlock(&shared->own[DSM_NODE_ID]));
    in_threads(2, check_written_by_a_thread);
    EXPECT(0, dsm_rwlock_unlock(&shared->own[DSM_NODE_ID]));
    EXPECT(0, dsm_rwlock_rdlock(&shared->own[DSM_NODE_ID]));
    in_threads(1, check_read_by_a_thread);
    EXPECT(0, dsm_rwlock_unlock(&shared->own[DSM_NODE_ID]));
}

/* One rank holds it for writing, and then for reading; the other sees what that leaves it. */
static void check_between(int holder, int other)
{
    dsm_rwlock_t *lock = &shared->between;

    if (DSM_NODE_ID == holder)
        EXPECT(0, dsm_rwlock_wrlock(lock));
    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == other)
        check_written(lock);
    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == holder) {
        EXPECT(0, dsm_rwlock_unlock(lock));
        EXPECT(0, dsm_rwlock_rdlock(lock));
    }
    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == other)
        check_read(lock);
    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == holder)
        EXPECT(0, dsm_rwlock_unlock(lock));
    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == other) {
        EXPECT(0, dsm_rwlock_trywrlock(lock));
        EXPECT(0, dsm_rwlock_unlock(lock));
        EXPECT(0, dsm_rwlock_destroy(lock));
    }
    EXPECT(0, dsm_barrier());
}

/* The barrier lets them go on only when all are in it, and so all hold the lock. */
static void read_together(long thread)
{
    int result;

    (void)thread;
    EXPECT(0, dsm_rwlock_rdlock(&shared->open));
    result = dsm_barrier_wait(&shared->inside, (unsigned)(DSM_NODE_NUM * threads));
    MUST(result == 0 || result == DSM_BARRIER_SERIAL);
    EXPECT(0, dsm_rwlock_unlock(&shared->open));
}

static uint64_t look(void)
{
    uint64_t first = shared->words[0];
    int i;

    for (i = 1; i < 2 * WORDS; i += 73)
        SAME(shared->words[i], first);
    return first;
}

static void read_and_write(long thread)
{
    uint64_t random = (uint64_t)(DSM_NODE_ID * MAX_THREADS + thread + 1), last = 0, seen;
    long round;
    int i;

    for (round = 0; round < rounds; round++) {
        if (round % 8 != thread % 8) {
            if (next_random(&random) % 4 != 0 || dsm_rwlock_tryrdlock(&shared->guarding) != 0)
                EXPECT(0, dsm_rwlock_rdlock(&shared->guarding));
            seen = look();
        } else {
            if (next_random(&random) % 4 != 0 || dsm_rwlock_trywrlock(&shared->guarding) != 0)
                EXPECT(0, dsm_rwlock_wrlock(&shared->guarding));
            seen = look() + 1;
            for (i = 0; i < 2 * WORDS; i++)
                shared->words[i] = seen;
        }
        MUST(seen >= last); /* no writer is undone */
        last = seen;
        EXPECT(0, dsm_rwlock_unlock(&shared->guarding));
    }
}

int main(int argc, char **argv)
{
    long thread, round, writes = 0;
    int holder, other;

    threads = argument(argc, argv, 1, 3);
    rounds = argument(argc, argv, 2, 300);
    shared = join(argc, argv);
    MUST(DSM_NODE_NUM <= MAX_RANKS);
    check_alone();
    check_within_a_rank();
    for (holder = 0; holder < DSM_NODE_NUM; holder++)
        for (other = 0; other < DSM_NODE_NUM; other++)
            if (holder != other)
                check_between(holder, other);
    in_threads(threads, read_together);
    in_threads(threads, read_and_write);
    EXPECT(0, dsm_barrier());
    for (thread = 0; thread < threads; thread++)
        for (round = 0; round < rounds; round++)
            writes += round % 8 == thread % 8;
    SAME(look(), writes * DSM_NODE_NUM);
    return right("rwlock");
}

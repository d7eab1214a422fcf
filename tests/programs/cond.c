/*
 * cond [THREADS [ROUNDS]]: misuse of condition variables, signals that wake one thread each, signals that nobody waits for,
 * deadlines, and a turn that goes round all threads of all ranks. Default 3 threads, 200 rounds.
 */
#include "check.h"

enum { MAX_ALL = 256, MAX_RANKS = 16 };

static struct {
    dsm_mutex_t mutex;
    dsm_cond_t many;    /* all threads but one wait here */
    dsm_cond_t changed; /* the one waits here for the counts to change */
    uint64_t waiting, woken;
    dsm_cond_t mine[MAX_ALL]; /* a thread waits for its turn here */
    uint64_t turn, turns;
    dsm_mutex_t own_mutex[MAX_RANKS];
    dsm_cond_t own_cond[MAX_RANKS];
    dsm_cond_t race;
    uint64_t asked, told, heard;
} *shared;

static long threads, rounds;
static uint64_t all; /* threads of all ranks */

static void check_alone(void)
{
    dsm_mutex_t *mutex = &shared->own_mutex[DSM_NODE_ID];
    dsm_cond_t *cond = &shared->own_cond[DSM_NODE_ID];
    struct timespec past = after_ms(-1), soon;

    EXPECT(0, dsm_cond_init(cond));
    EXPECT(0, dsm_cond_signal(cond));
    EXPECT(0, dsm_cond_broadcast(cond));
    EXPECT(EPERM, dsm_cond_wait(cond, mutex));
    EXPECT(EPERM, dsm_cond_timedwait(cond, mutex, &past));
    EXPECT(0, dsm_mutex_lock(mutex));
    EXPECT(ETIMEDOUT, dsm_cond_timedwait(cond, mutex, &past));
    EXPECT(EDEADLK, dsm_mutex_lock(mutex)); /* it is held again */
    EXPECT(0, dsm_cond_signal(cond));       /* nobody waits: it is not kept for later */
    EXPECT(0, dsm_cond_broadcast(cond));
    soon = after_ms(5);
    EXPECT(ETIMEDOUT, dsm_cond_timedwait(cond, mutex, &soon));
    MUST(has_passed(soon));
    EXPECT(0, dsm_mutex_unlock(mutex));
    EXPECT(0, dsm_cond_destroy(cond));
    MUST(cond->dsm_opaque_ == 0);
}

static void wait_to_be_woken(void)
{
    EXPECT(0, dsm_mutex_lock(&shared->mutex));
    shared->waiting++;
    EXPECT(0, dsm_cond_signal(&shared->changed));
    EXPECT(0, dsm_cond_wait(&shared->many, &shared->mutex));
    shared->woken++;
    EXPECT(0, dsm_cond_signal(&shared->changed));
    EXPECT(0, dsm_mutex_unlock(&shared->mutex));
}

/* Wakes half of the others one by one, and the rest at once. */
static void wake_others(void)
{
    uint64_t others = all - 1, signals = others / 2, woken;

    EXPECT(0, dsm_mutex_lock(&shared->mutex));
    while (shared->waiting < others)
        EXPECT(0, dsm_cond_wait(&shared->changed, &shared->mutex));
    for (woken = 0; woken < signals; woken++) {
        SAME(shared->woken, woken);
        EXPECT(EBUSY, dsm_cond_destroy(&shared->many));
        EXPECT(0, dsm_cond_signal(&shared->many));
        SAME(shared->woken, woken); /* it needs the mutex to go on */
        EXPECT(0, dsm_cond_wait(&shared->changed, &shared->mutex));
        SAME(shared->woken, woken + 1);
    }
    EXPECT(0, dsm_mutex_unlock(&shared->mutex));
    EXPECT(0, dsm_cond_broadcast(&shared->many));
    EXPECT(0, dsm_mutex_lock(&shared->mutex));
    while (shared->woken < others)
        EXPECT(0, dsm_cond_wait(&shared->changed, &shared->mutex));
    EXPECT(0, dsm_mutex_unlock(&shared->mutex));
    EXPECT(0, dsm_cond_destroy(&shared->many));
}

static void wake(long thread)
{
    if (DSM_NODE_ID == 0 && thread == 0)
        wake_others();
    else
        wait_to_be_woken();
}

/* Each waits at most once for its turn, without looking again whether it has it. */
static void take_turns(long thread)
{
    uint64_t me = (uint64_t)(DSM_NODE_ID * threads + thread);
    long round;

    EXPECT(0, dsm_mutex_lock(&shared->mutex));
    for (round = 0; round < rounds; round++) {
        if (shared->turn != me)
            EXPECT(0, dsm_cond_wait(&shared->mine[me], &shared->mutex));
        SAME(shared->turn, me);
        shared->turns++;
        shared->turn = (me + 1) % all;
        EXPECT(0, dsm_cond_signal(&shared->mine[shared->turn]));
    }
    EXPECT(0, dsm_mutex_unlock(&shared->mutex));
}

/* One waits with deadlines as short as they can be while all others signal: each signal is heard at most once. */
static void race(long thread)
{
    long round;

    EXPECT(0, dsm_mutex_lock(&shared->mutex));
    for (round = 0; round < rounds; round++) {
        if (DSM_NODE_ID == 0 && thread == 0) {
            struct timespec until = after_ms(round % 2);
            int result = dsm_cond_timedwait(&shared->race, &shared->mutex, &until);

            MUST(result == 0 || result == ETIMEDOUT);
            MUST(result == 0 || has_passed(until));
            shared->heard += result == 0;
            MUST(shared->heard <= shared->told);
        } else {
            shared->told++;
            EXPECT(0, dsm_cond_signal(&shared->race));
            EXPECT(0, dsm_mutex_unlock(&shared->mutex));
            EXPECT(0, dsm_mutex_lock(&shared->mutex));
        }
    }
    EXPECT(0, dsm_mutex_unlock(&shared->mutex));
}

int main(int argc, char **argv)
{
    threads = argument(argc, argv, 1, 3);
    rounds = argument(argc, argv, 2, 200);
    shared = join(argc, argv);
    all = (uint64_t)(DSM_NODE_NUM * threads);
    MUST(all <= MAX_ALL && DSM_NODE_NUM <= MAX_RANKS);
    check_alone();
    in_threads(threads, wake);
    EXPECT(0, dsm_barrier());
    in_threads(threads, take_turns);
    EXPECT(0, dsm_barrier());
    SAME(shared->turns, all * (uint64_t)rounds);
    in_threads(threads, race);
    EXPECT(0, dsm_barrier());
    EXPECT(0, dsm_cond_destroy(&shared->race)); /* nobody is left in it */
    return right("cond");
}

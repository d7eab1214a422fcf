/*
 * abandoned: threads that wait for what nobody will do, in every call that waits, while their rank leaves the job. The calls
 * end then, with ENOTCONN.
 */
#include "check.h"

enum { MAX_RANKS = 16, CALLS = 7 };

struct objects {
    dsm_mutex_t held, mutex;
    dsm_cond_t cond, timed;
    dsm_sem_t semaphore;
    dsm_barrier_t barrier;
    dsm_rwlock_t written;
};

static struct objects *mine;
static _Atomic int ended;

/* Goes on only when the process is not in the job any more. */
static void wait_in_vain(long call)
{
    struct timespec late = after_ms(1000000);
    int result = 0;

    switch (call) {
    case 0:
        result = dsm_mutex_lock(&mine->held);
        break;
    case 1:
        result = dsm_mutex_timedlock(&mine->held, &late);
        break;
    case 2:
        EXPECT(0, dsm_mutex_lock(&mine->mutex));
        result = dsm_cond_wait(&mine->cond, &mine->mutex);
        break;
    case 3:
        EXPECT(0, dsm_mutex_lock(&mine->mutex));
        result = dsm_cond_timedwait(&mine->timed, &mine->mutex, &late);
        break;
    case 4:
        result = dsm_sem_wait(&mine->semaphore);
        break;
    case 5:
        result = dsm_barrier_wait(&mine->barrier, 2);
        break;
    case 6:
        result = dsm_rwlock_rdlock(&mine->written);
        break;
    }
    EXPECT(ENOTCONN, result);
    ended++;
}

/* Those whose waiting can be seen from outside are seen to wait; the others may come later, to the same end. */
static void await_waiters(void)
{
    while (dsm_cond_destroy(&mine->cond) != EBUSY || dsm_cond_destroy(&mine->timed) != EBUSY ||
           dsm_sem_destroy(&mine->semaphore) != EBUSY)
        sched_yield();
}

static void leave_or_wait(long thread)
{
    if (thread < CALLS) {
        wait_in_vain(thread);
        return;
    }
    await_waiters();
    MUST(ended == 0);
    dsm_finalize();
}

int main(int argc, char **argv)
{
    mine = (struct objects *)join(argc, argv) + DSM_NODE_ID;
    EXPECT(0, dsm_mutex_lock(&mine->held));
    EXPECT(0, dsm_rwlock_wrlock(&mine->written));
    in_threads(CALLS + 1, leave_or_wait);
    MUST(ended == CALLS);
    puts("abandoned: right");
    return 0;
}

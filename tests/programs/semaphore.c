/*
 * semaphore [THREADS [ROUNDS]]: misuse of semaphores, a semaphore that lets so many in and no more, and producers and
 * consumers over a ring with one semaphore for its places and one for its items. Default 3 threads, 300 rounds.
 */
#include "check.h"

enum { MAX_RANKS = 16, PLACES = 16, ALLOWED = 2 };

static struct {
    dsm_sem_t own[MAX_RANKS];
    dsm_sem_t waited_for;
    dsm_sem_t allowed;
    dsm_sem_t places, items;
    dsm_mutex_t putting, taking;
    uint64_t put, taken;
    uint64_t ring[PLACES];
    uint64_t sum;
    _Alignas(64) _Atomic uint64_t inside;
} *shared;

static long threads, rounds;

static void check_alone(void)
{
    dsm_sem_t *semaphore = &shared->own[DSM_NODE_ID];

    EXPECT(EAGAIN, dsm_sem_trywait(semaphore)); /* zero bytes have value 0 */
    EXPECT(0, dsm_sem_post(semaphore));
    EXPECT(0, dsm_sem_wait(semaphore));
    EXPECT(EAGAIN, dsm_sem_trywait(semaphore));
    EXPECT(0, dsm_sem_init(semaphore, 2));
    EXPECT(0, dsm_sem_trywait(semaphore));
    EXPECT(0, dsm_sem_wait(semaphore));
    EXPECT(EAGAIN, dsm_sem_trywait(semaphore));
    EXPECT(0, dsm_sem_init(semaphore, UINT32_MAX));
    EXPECT(EOVERFLOW, dsm_sem_post(semaphore));
    EXPECT(0, dsm_sem_wait(semaphore));
    EXPECT(0, dsm_sem_post(semaphore));
    EXPECT(EOVERFLOW, dsm_sem_post(semaphore));
    EXPECT(0, dsm_sem_destroy(semaphore)); /* and it is 0 again */
    EXPECT(EAGAIN, dsm_sem_trywait(semaphore));
    EXPECT(0, dsm_sem_destroy(semaphore));
    MUST(semaphore->dsm_opaque_ == 0);
}

/* The values of one rank's posts are there for all at the next barrier. */
static void check_between(int poster, int taker)
{
    dsm_sem_t *semaphore = &shared->own[poster];

    if (DSM_NODE_ID == poster) {
        EXPECT(0, dsm_sem_init(semaphore, 1));
        EXPECT(0, dsm_sem_post(semaphore));
    }
    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == taker) {
        EXPECT(0, dsm_sem_trywait(semaphore));
        EXPECT(0, dsm_sem_trywait(semaphore));
        EXPECT(EAGAIN, dsm_sem_trywait(semaphore));
    }
    EXPECT(0, dsm_barrier());
}

/* All wait but one; it sees that somebody does when it cannot destroy the semaphore, and posts for all. */
static void wait_or_post(long thread)
{
    long others = DSM_NODE_NUM * threads - 1;

    if (DSM_NODE_ID != 0 || thread != 0) {
        EXPECT(0, dsm_sem_wait(&shared->waited_for));
        return;
    }
    while (others > 0 && dsm_sem_destroy(&shared->waited_for) != EBUSY)
        ;
    for (; others > 0; others--)
        EXPECT(0, dsm_sem_post(&shared->waited_for));
}

static void enter(long thread)
{
    long round;

    (void)thread;
    for (round = 0; round < rounds; round++) {
        EXPECT(0, dsm_sem_wait(&shared->allowed));
        MUST(atomic_fetch_add(&shared->inside, 1) < ALLOWED);
        atomic_fetch_sub(&shared->inside, 1);
        EXPECT(0, dsm_sem_post(&shared->allowed));
    }
}

static void produce(void)
{
    long round;

    for (round = 1; round <= rounds; round++) {
        EXPECT(0, dsm_sem_wait(&shared->places));
        EXPECT(0, dsm_mutex_lock(&shared->putting));
        shared->ring[shared->put++ % PLACES] = (uint64_t)round;
        EXPECT(0, dsm_mutex_unlock(&shared->putting));
        EXPECT(0, dsm_sem_post(&shared->items));
    }
}

static void consume(void)
{
    long round;

    for (round = 0; round < rounds; round++) {
        EXPECT(0, dsm_sem_wait(&shared->items));
        EXPECT(0, dsm_mutex_lock(&shared->taking));
        shared->sum += shared->ring[shared->taken++ % PLACES];
        EXPECT(0, dsm_mutex_unlock(&shared->taking));
        EXPECT(0, dsm_sem_post(&shared->places));
    }
}

static void work(long thread)
{
    if (thread < threads)
        produce();
    else
        consume();
}

int main(int argc, char **argv)
{
    int poster, taker;

    threads = argument(argc, argv, 1, 3);
    rounds = argument(argc, argv, 2, 300);
    shared = join(argc, argv);
    MUST(DSM_NODE_NUM <= MAX_RANKS);
    check_alone();
    for (poster = 0; poster < DSM_NODE_NUM; poster++)
        for (taker = 0; taker < DSM_NODE_NUM; taker++)
            check_between(poster, taker);
    in_threads(threads, wait_or_post);
    if (DSM_NODE_ID == 0) {
        EXPECT(0, dsm_sem_init(&shared->allowed, ALLOWED));
        EXPECT(0, dsm_sem_init(&shared->places, PLACES));
    }
    EXPECT(0, dsm_barrier());
    EXPECT(EAGAIN, dsm_sem_trywait(&shared->waited_for)); /* no post was too much */
    in_threads(threads, enter);
    in_threads(2 * threads, work);
    EXPECT(0, dsm_barrier());
    SAME(shared->sum, DSM_NODE_NUM * threads * (rounds * (rounds + 1) / 2));
    EXPECT(EAGAIN, dsm_sem_trywait(&shared->items));
    return right("semaphore");
}

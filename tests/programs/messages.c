/*
 * messages: what each operation costs, in messages of all ranks together, where the protocol promises a number. At least
 * two ranks; rank 0 is the home of the objects.
 */
#include "check.h"

enum { MAX_RANKS = 16, EVERYBODY = -1 };

typedef void operation_t(void);

static char *area;
static dsm_mutex_t *mutex;
static dsm_rwlock_t *rwlock;
static dsm_sem_t *semaphore;
static dsm_cond_t *cond;
static dsm_barrier_t *barrier;
static uint64_t *word;
static uint64_t local, remote; /* locks this rank took in the last operation */

/* A page with home 0 that nothing else is on. */
static void *fresh_page(void)
{
    static size_t used = 1;

    return area + used++ * MAX_RANKS * (size_t)DSM_NODE_NUM * dsm_page_size();
}

/* Where a rank tells the others how many messages it sent. */
static volatile uint64_t *sent_by(int rank)
{
    return (volatile uint64_t *)(area + (size_t)rank * dsm_page_size());
}

/* The messages all ranks send when this one, or everybody, does this. */
static uint64_t cost(int rank, operation_t *operation)
{
    uint64_t sum = 0, of_barriers = 2 * 2 * (uint64_t)(DSM_NODE_NUM - 1);
    struct dsm_stats before, after;
    int each;

    EXPECT(0, dsm_barrier());
    before = settled_stats();
    EXPECT(0, dsm_barrier()); /* one of the two that are counted */
    if (rank == DSM_NODE_ID || rank == EVERYBODY)
        operation();
    EXPECT(0, dsm_barrier()); /* the other */
    after = settled_stats();
    local = after.lock_local - before.lock_local;
    remote = after.lock_remote - before.lock_remote;
    EXPECT(0, dsm_barrier()); /* what follows takes pages from those who have counted */
    *sent_by(DSM_NODE_ID) = after.messages_sent - before.messages_sent;
    EXPECT(0, dsm_barrier());
    for (each = 0; each < DSM_NODE_NUM; each++)
        sum += *sent_by(each);
    MUST(sum >= of_barriers);
    return sum - of_barriers;
}

static void nothing(void) {}
static void lock(void) { EXPECT(0, dsm_mutex_lock(mutex)); }
static void unlock(void) { EXPECT(0, dsm_mutex_unlock(mutex)); }
static void lock_and_unlock(void) { lock(), unlock(); }
static void try(void) { EXPECT(0, dsm_mutex_trylock(mutex)), unlock(); }
static void read_lock(void) { EXPECT(0, dsm_rwlock_rdlock(rwlock)), EXPECT(0, dsm_rwlock_unlock(rwlock)); }
static void write_lock(void) { EXPECT(0, dsm_rwlock_wrlock(rwlock)), EXPECT(0, dsm_rwlock_unlock(rwlock)); }
static void post(void) { EXPECT(0, dsm_sem_post(semaphore)); }
static void take(void) { EXPECT(0, dsm_sem_wait(semaphore)); }
static void signal_nobody(void) { EXPECT(0, dsm_cond_signal(cond)); }
static void broadcast_to_nobody(void) { EXPECT(0, dsm_cond_broadcast(cond)); }
static void add(void) { dsm_fetch_add_u64(word, 1); }
static void store(void) { *(volatile uint64_t *)word = 100; }
static void cross(void) { EXPECT(0, dsm_barrier()); }
static void cross_alone(void) { EXPECT(DSM_BARRIER_SERIAL, dsm_barrier_wait(barrier, 1)); }
static void cross_counted(void) { MUST(dsm_barrier_wait(barrier, (unsigned)DSM_NODE_NUM) <= 0); }

static void lock_from_thread(long thread)
{
    (void)thread;
    lock_and_unlock();
}

static void lock_from_threads(void) { in_threads(3, lock_from_thread); }

/* A mutex is free for who had it last, and one request and its way to the holder for others. */
static void check_mutex(int last)
{
    SAME(cost(0, lock_and_unlock), 0);
    SAME(cost(0, lock_and_unlock), 0);
    MUST(DSM_NODE_ID != 0 || (local == 1 && remote == 0));
    SAME(cost(1, lock), 2); /* the home has it */
    MUST(DSM_NODE_ID != 1 || (local == 0 && remote == 1));
    SAME(cost(1, unlock), 0);
    SAME(cost(1, lock_and_unlock), 0);
    MUST(DSM_NODE_ID != 1 || (local == 1 && remote == 0));
    SAME(cost(1, lock_from_threads), 0);
    MUST(DSM_NODE_ID != 1 || (local == 3 && remote == 0));
    SAME(cost(1, try), 0);
    if (last > 1) {
        SAME(cost(last, lock_and_unlock), 3); /* the home sends the request on to rank 1 */
        MUST(DSM_NODE_ID != last || (local == 0 && remote == 1));
    }
    SAME(cost(0, lock_and_unlock), 2);
    SAME(cost(0, lock_and_unlock), 0);
    MUST(cost(1, try) >= 2); /* and it asks the others whether they hold it, until it has it */
    SAME(cost(1, lock_and_unlock), 0);
}

static void check_rwlock(int last)
{
    SAME(cost(0, read_lock), 0);
    SAME(cost(1, read_lock), 2);
    MUST(DSM_NODE_ID != 1 || (local == 0 && remote == 1));
    SAME(cost(1, read_lock), 0);
    MUST(DSM_NODE_ID != 1 || (local == 1 && remote == 0));
    SAME(cost(0, read_lock), 0); /* readers take nothing from each other */
    if (last > 1)
        SAME(cost(last, read_lock), 2);
    MUST(cost(1, write_lock) <= 3 + 2 * 2);
    SAME(cost(1, write_lock), 0);
    SAME(cost(1, read_lock), 0); /* who may write may read */
}

static void check_the_home_s_objects(void)
{
    SAME(cost(0, post), 0);
    SAME(cost(1, post), 2);
    SAME(cost(1, take), 2);
    SAME(cost(0, take), 0);
    SAME(cost(0, signal_nobody), 0);
    SAME(cost(1, signal_nobody), 2);
    SAME(cost(1, broadcast_to_nobody), 2);
    SAME(cost(0, cross_alone), 0);
    SAME(cost(1, cross_alone), 2);
    SAME(cost(EVERYBODY, cross_counted), 2 * (DSM_NODE_NUM - 1));
    SAME(cost(EVERYBODY, cross), 2 * (DSM_NODE_NUM - 1));
}

/* The sum is made where the page is. */
static void check_word(int last)
{
    SAME(cost(0, add), 0);
    SAME(cost(1, add), 2);
    SAME(cost(1, add), 2); /* it has not moved */
    SAME(cost(1, store), 2);
    SAME(cost(1, add), 0);
    SAME(cost(0, add), 2);
    if (last > 1)
        SAME(cost(last, add), 3);
}

int main(int argc, char **argv)
{
    area = join(argc, argv);
    MUST(DSM_NODE_NUM > 1 && DSM_NODE_NUM <= MAX_RANKS);
    mutex = fresh_page();
    rwlock = (dsm_rwlock_t *)mutex + 1;
    semaphore = (dsm_sem_t *)mutex + 2;
    cond = (dsm_cond_t *)mutex + 3;
    barrier = (dsm_barrier_t *)mutex + 4;
    word = fresh_page();
    SAME(cost(EVERYBODY, nothing), 0);
    check_mutex(DSM_NODE_NUM - 1);
    check_rwlock(DSM_NODE_NUM - 1);
    check_the_home_s_objects();
    check_word(DSM_NODE_NUM - 1);
    return right("messages");
}

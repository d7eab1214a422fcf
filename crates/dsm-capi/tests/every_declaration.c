/* Uses every declaration of dsm.h, in a job of one rank, and checks what it says. Started by library.rs. */
#include "dsm.h"

#include <errno.h>

static int failures;

#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            fprintf(stderr, "line %d: not so: %s (last error: %s)\n", __LINE__, #condition, dsm_last_error());      \
            failures++;                                                                                               \
        }                                                                                                             \
    } while (0)

/* Nothing of the library runs outside a job, and everything says so. */
static void check_outside(const char *when)
{
    struct dsm_stats stats;
    int local = 0;

    fprintf(stderr, "%s:\n", when);
    CHECK(dsm_size() == 0);
    CHECK(dsm_page_size() == (size_t)sysconf(_SC_PAGESIZE));
    CHECK(dsm_base() == NULL);
    CHECK(dsm_home(&local) == -1);
    CHECK(dsm_is_shared(&local) == 0);
    CHECK(dsm_barrier() == ENOTCONN);
    CHECK(strstr(dsm_last_error(), "not in a job") != NULL);
    CHECK(dsm_stats(&stats) == ENOTCONN);
    CHECK(dsm_malloc(1) == NULL && errno == ENOTCONN);
    CHECK(dsm_mutex_lock(NULL) == ENOTCONN);
}

/* Objects of every kind among a program's own data, initialised as C initialises structures. */
struct record {
    char name[8];
    dsm_mutex_t mutex;
    dsm_cond_t cond;
    dsm_rwlock_t rwlock;
    dsm_sem_t sem;
    dsm_barrier_t barrier;
    uint64_t count;
};

static const struct record idle = {"idle",          DSM_MUTEX_INITIALIZER,   DSM_COND_INITIALIZER, DSM_RWLOCK_INITIALIZER,
                                   DSM_SEM_INITIALIZER, DSM_BARRIER_INITIALIZER, 0};

static struct timespec clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now;
}

static void check_locks(struct record *record)
{
    struct timespec now = clock_now();

    CHECK(dsm_mutex_init(&record->mutex) == 0);
    CHECK(dsm_mutex_lock(&record->mutex) == 0);
    CHECK(dsm_mutex_lock(&record->mutex) == EDEADLK);
    CHECK(dsm_mutex_trylock(&record->mutex) == EBUSY);
    CHECK(dsm_mutex_timedlock(&record->mutex, &now) == EDEADLK);
    CHECK(dsm_mutex_destroy(&record->mutex) == EBUSY);
    CHECK(strstr(dsm_last_error(), "cannot destroy the mutex at 0x") == dsm_last_error());
    CHECK(dsm_cond_init(&record->cond) == 0);
    CHECK(dsm_cond_timedwait(&record->cond, &record->mutex, &now) == ETIMEDOUT);
    CHECK(dsm_mutex_unlock(&record->mutex) == 0);
    CHECK(dsm_mutex_unlock(&record->mutex) == EPERM);
    CHECK(dsm_cond_wait(&record->cond, &record->mutex) == EPERM);
    CHECK(dsm_cond_signal(&record->cond) == 0);
    CHECK(dsm_cond_broadcast(&record->cond) == 0);
    CHECK(dsm_cond_destroy(&record->cond) == 0);
    CHECK(dsm_mutex_destroy(&record->mutex) == 0);
    CHECK(dsm_rwlock_init(&record->rwlock) == 0);
    CHECK(dsm_rwlock_rdlock(&record->rwlock) == 0);
    CHECK(dsm_rwlock_tryrdlock(&record->rwlock) == 0);
    CHECK(dsm_rwlock_trywrlock(&record->rwlock) == EBUSY);
    CHECK(dsm_rwlock_unlock(&record->rwlock) == 0);
    CHECK(dsm_rwlock_unlock(&record->rwlock) == 0);
    CHECK(dsm_rwlock_wrlock(&record->rwlock) == 0);
    CHECK(dsm_rwlock_rdlock(&record->rwlock) == EDEADLK);
    CHECK(dsm_rwlock_unlock(&record->rwlock) == 0);
    CHECK(dsm_rwlock_destroy(&record->rwlock) == 0);
}

static void check_counting(struct record *record)
{
    uint64_t expected = 5;

    CHECK(dsm_sem_trywait(&record->sem) == EAGAIN);
    CHECK(dsm_sem_init(&record->sem, 1) == 0);
    CHECK(dsm_sem_post(&record->sem) == 0);
    CHECK(dsm_sem_wait(&record->sem) == 0);
    CHECK(dsm_sem_destroy(&record->sem) == 0);
    CHECK(dsm_barrier_wait(&record->barrier, 1) == DSM_BARRIER_SERIAL);
    CHECK(dsm_barrier_wait(&record->barrier, 0) == EINVAL);
    CHECK(dsm_fetch_add_u64(&record->count, 4) == 0);
    CHECK(dsm_compare_exchange_u64(&record->count, &expected, 9) == 0 && expected == 4);
    CHECK(dsm_compare_exchange_u64(&record->count, &expected, 9) == 1 && record->count == 9);
}

static void check_heap(void)
{
    struct record *record = (struct record *)dsm_malloc(sizeof *record), *named;
    char *aligned = (char *)dsm_aligned_alloc(4096, 10);

    CHECK(record != NULL && dsm_is_shared(record) && dsm_home(record) == 0);
    CHECK(aligned != NULL && (uintptr_t)aligned % 4096 == 0);
    if (record == NULL)
        return;
    *record = idle;
    check_locks(record);
    check_counting(record);
    CHECK(dsm_prefetch(record, sizeof *record) == 0);
    CHECK(dsm_prefetch_write(record, sizeof *record) == 0);
    CHECK(dsm_prefetch(&record, sizeof record) == EINVAL);
    named = (struct record *)dsm_named("record", sizeof *named);
    CHECK(named != NULL && named == dsm_named("record", sizeof *named));
    CHECK(dsm_named("record", 1) == NULL && errno == EEXIST);
    CHECK(dsm_named("record \xff", 1) == NULL && errno == EINVAL);
    dsm_free(record);
    dsm_free(aligned);
    errno = 0;
    dsm_free(&record); /* one line of complaint */
    CHECK(errno == EINVAL);
}

static void check_area(char *area)
{
    char *last = area + dsm_size() - 1;
    int local = 0;

    CHECK(dsm_base() == area);
    CHECK(dsm_size() % dsm_page_size() == 0);
    CHECK(dsm_home(area) == 0);
    CHECK(dsm_home(last) == 0);
    CHECK(dsm_home(area - 1) == -1);
    CHECK(dsm_home(&local) == -1);
    CHECK(dsm_is_shared(area) == 1);
    CHECK(dsm_is_shared(last) == 1);
    CHECK(dsm_is_shared(area - 1) == 0);
    CHECK(dsm_is_shared(NULL) == 0);
    CHECK(*area == 0 && *last == 0);
    *area = *last = 1;

    CHECK(PAGE_SIZE == (long)dsm_page_size());
    CHECK(PAGE_NUMBER * PAGE_SIZE == (long)dsm_size());
    CHECK((char *)BASE_ADDR == area);
    CHECK((char *)TOP_ADDR == last + 1);
}

static void check_stats(void)
{
    struct {
        uint64_t before;
        struct dsm_stats stats;
        uint64_t after;
    } guarded;

    memset(&guarded, 0xa5, sizeof guarded);
    CHECK(dsm_barrier() == 0);
    CHECK(dsm_barrier() == 0);
    CHECK(dsm_stats(&guarded.stats) == 0);
    CHECK(guarded.before == UINT64_C(0xa5a5a5a5a5a5a5a5) && guarded.after == guarded.before);
    CHECK(guarded.stats.barriers == 2);
    CHECK(guarded.stats.lock_local == 0);
    CHECK(guarded.stats.read_faults + guarded.stats.write_faults + guarded.stats.upgrades + guarded.stats.invalidations +
              guarded.stats.pages_in + guarded.stats.pages_out + guarded.stats.messages_sent + guarded.stats.bytes_sent +
              guarded.stats.lock_remote + guarded.stats.fault_ns ==
          0);
    CHECK(dsm_stats(NULL) == EINVAL);
    CHECK(strstr(dsm_last_error(), "null pointer") != NULL);
}

int main(int argc, char **argv)
{
    char *area;

    CHECK(DSM_NODE_ID == 0 && DSM_NODE_NUM == 1);
    CHECK(strcmp(dsm_last_error(), "") == 0);
    dsm_finalize();
    check_outside("before dsm_init");

    /* The program and the library must mean the same objects, however the program was linked. */
    DSM_NODE_ID = DSM_NODE_NUM = 77;
    area = dsm_init(argc, argv);
    CHECK(area != NULL);
    CHECK(DSM_NODE_ID == 0 && DSM_NODE_NUM == 1);
    if (area != NULL)
        check_area(area);
    check_stats();
    check_heap();

    errno = 0;
    CHECK(dsm_init(0, NULL) == NULL && errno == EALREADY);
    dsm_finalize();
    check_outside("after dsm_finalize");
    dsm_finalize();
    errno = 0;
    CHECK(dsm_init(0, NULL) == NULL && errno == EALREADY);

    if (failures == 0)
        puts("all declarations hold");
    return failures != 0;
}

/* arguments: what every function says of pointers, counts and times it cannot use, and outside a job. */
#include "check.h"

#include <limits.h>

static char *area;

/* Objects that can be used, so that what is refused is the other argument. */
static dsm_mutex_t *mutex;
static dsm_cond_t *cond;

/* The call gives this error, and these words tell why. */
#define refused(call, error, words) (EXPECT(error, call), MUST(strstr(dsm_last_error(), words) != NULL))

static void check_locks(void *p, int error, const char *words)
{
    struct timespec past = after_ms(-1);

    refused(dsm_mutex_init(p), error, words);
    refused(dsm_mutex_lock(p), error, words);
    refused(dsm_mutex_trylock(p), error, words);
    refused(dsm_mutex_timedlock(p, &past), error, words);
    refused(dsm_mutex_unlock(p), error, words);
    refused(dsm_mutex_destroy(p), error, words);
    refused(dsm_rwlock_init(p), error, words);
    refused(dsm_rwlock_rdlock(p), error, words);
    refused(dsm_rwlock_wrlock(p), error, words);
    refused(dsm_rwlock_tryrdlock(p), error, words);
    refused(dsm_rwlock_trywrlock(p), error, words);
    refused(dsm_rwlock_unlock(p), error, words);
    refused(dsm_rwlock_destroy(p), error, words);
}

static void check_the_rest(void *p, int error, const char *words)
{
    struct timespec past = after_ms(-1);
    uint64_t expected = 5;

    refused(dsm_cond_init(p), error, words);
    refused(dsm_cond_wait(p, mutex), error, words);
    refused(dsm_cond_wait(cond, p), error, words);
    refused(dsm_cond_timedwait(p, mutex, &past), error, words);
    refused(dsm_cond_timedwait(cond, p, &past), error, words);
    refused(dsm_cond_signal(p), error, words);
    refused(dsm_cond_broadcast(p), error, words);
    refused(dsm_cond_destroy(p), error, words);
    refused(dsm_sem_init(p, 1), error, words);
    refused(dsm_sem_wait(p), error, words);
    refused(dsm_sem_trywait(p), error, words);
    refused(dsm_sem_post(p), error, words);
    refused(dsm_sem_destroy(p), error, words);
    refused(dsm_barrier_wait(p, 1), error, words);
    errno = 0;
    MUST(dsm_fetch_add_u64(p, 1) == 0);
    refused(errno, error, words);
    errno = 0;
    MUST(dsm_compare_exchange_u64(p, &expected, 6) == 0 && expected == 5);
    refused(errno, error, words);
}

static void check_pointer(void *p, int error, const char *words)
{
    check_locks(p, error, words);
    check_the_rest(p, error, words);
}

static void check_times(void)
{
    static const struct timespec unusable[] = {{1, -1}, {1, 1000000000}, {-1, LONG_MAX}};
    struct timespec negative = {-5, 0};
    size_t i;

    refused(dsm_mutex_timedlock(mutex, NULL), EINVAL, "null pointer");
    for (i = 0; i < sizeof unusable / sizeof *unusable; i++)
        refused(dsm_mutex_timedlock(mutex, &unusable[i]), EINVAL, "nanoseconds");
    EXPECT(0, dsm_mutex_timedlock(mutex, &negative)); /* there is no need to wait */
    refused(dsm_cond_timedwait(cond, mutex, NULL), EINVAL, "null pointer");
    for (i = 0; i < sizeof unusable / sizeof *unusable; i++)
        refused(dsm_cond_timedwait(cond, mutex, &unusable[i]), EINVAL, "nanoseconds");
    EXPECT(ETIMEDOUT, dsm_cond_timedwait(cond, mutex, &negative));
    EXPECT(0, dsm_mutex_unlock(mutex)); /* it was held throughout */
}

static void check_memory(void)
{
    static const size_t alignments[] = {0, 3, 24, SIZE_MAX};
    size_t i;

    for (i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        errno = 0;
        MUST(dsm_aligned_alloc(alignments[i], 16) == NULL);
        EXPECT(EINVAL, errno);
    }
    errno = 0;
    MUST(dsm_malloc(SIZE_MAX) == NULL);
    EXPECT(ENOMEM, errno);
    errno = 0;
    MUST(dsm_named(NULL, 8) == NULL);
    refused(errno, EINVAL, "null pointer");
    errno = 0;
    MUST(dsm_named("", 8) == NULL);
    EXPECT(EINVAL, errno);
    errno = 0;
    MUST(dsm_named("too large", SIZE_MAX) == NULL);
    EXPECT(ENOMEM, errno);
    EXPECT(0, dsm_prefetch(area, 0));
    EXPECT(EINVAL, dsm_prefetch(&i, sizeof i));
    EXPECT(EINVAL, dsm_prefetch_write(&i, sizeof i));
    EXPECT(EINVAL, dsm_prefetch(NULL, 1));
    EXPECT(EINVAL, dsm_prefetch(area - 1, 2));
    EXPECT(EINVAL, dsm_prefetch(area, SIZE_MAX));
    refused(dsm_stats(NULL), EINVAL, "null pointer");
    EXPECT(EINVAL, dsm_barrier_wait((dsm_barrier_t *)area, 0));
}

/* A pointer that was good in the job is of no use outside it. */
static void check_outside(void *p)
{
    const char *words = "not in a job";
    struct dsm_stats stats;

    mutex = p;
    cond = p;
    check_pointer(p, ENOTCONN, words);
    refused(dsm_prefetch(p, 1), ENOTCONN, words);
    refused(dsm_prefetch_write(p, 1), ENOTCONN, words);
    refused(dsm_barrier(), ENOTCONN, words);
    refused(dsm_stats(&stats), ENOTCONN, words);
    errno = 0;
    MUST(dsm_malloc(1) == NULL);
    refused(errno, ENOTCONN, words);
    errno = 0;
    MUST(dsm_aligned_alloc(64, 1) == NULL);
    refused(errno, ENOTCONN, words);
    errno = 0;
    MUST(dsm_named("nothing", 1) == NULL);
    refused(errno, ENOTCONN, words);
    errno = 0;
    dsm_free(NULL);
    EXPECT(0, errno);
    if (p != NULL) {
        dsm_free(p);
        refused(errno, ENOTCONN, words);
    }
    MUST(dsm_is_shared(p) == 0 && dsm_home(p) == -1 && dsm_size() == 0);
}

static void check_inside(long thread)
{
    uint64_t local[2] = {0, 0};

    (void)thread;
    check_pointer(NULL, EINVAL, "null pointer");
    check_pointer(local, EINVAL, "shared");
    check_pointer(area - 8, EINVAL, "shared");
    check_pointer(area + 4, EINVAL, "8");
    check_pointer(area + dsm_size() - 1, EINVAL, "8");
    MUST(local[0] == 0 && local[1] == 0);
    errno = 0;
    MUST(dsm_compare_exchange_u64((uint64_t *)area, NULL, 1) == 0);
    refused(errno, EINVAL, "null pointer");
    MUST(*(uint64_t *)area == 0);
}

int main(int argc, char **argv)
{
    uint64_t own = 0;

    check_outside(&own);
    check_outside(NULL);
    area = join(argc, argv);
    mutex = (dsm_mutex_t *)area + 1 + 2 * DSM_NODE_ID;
    cond = (dsm_cond_t *)area + 2 + 2 * DSM_NODE_ID;
    in_threads(3, check_inside);
    check_times();
    check_memory();
    MUST(dsm_barrier() == 0);
    dsm_finalize();
    check_outside(area);
    puts("arguments: right");
    return 0;
}

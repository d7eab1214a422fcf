/*
 * objects.c - locks, condition variables, barriers, semaphores, pauses and subscripts, in shared memory and in variables.
 */
#include "internal.h"
#include <string.h>

/* What a pause is. Only a waiting thread makes SET into PASSED. */
enum { CLEAR, SET, PASSED, PASSED_AND_SET };

/* Ends the process if the program made a mistake with an object; the macro names it as the program wrote it. */
static void check(int error, const char *macro, const void *object, const char *file, int line)
{
    const struct extent *data = &dsm_parmacs_state.image.data;
    int is_variable = data->begin <= (uintptr_t)object && (uintptr_t)object < data->end;

    if (error == 0)
        return;
    fprintf(stderr, "dsm: rank %d: %s:%d: %s: ", DSM_NODE_ID, file, line, macro);
    if (dsm_parmacs_state.control == NULL)
        fprintf(stderr, "MAIN_INITENV comes first\n");
    else if (!is_variable && !dsm_is_shared(object))
        fprintf(stderr, "%p is neither in shared memory nor in a global variable\n", object);
    else if (is_variable)
        fprintf(stderr, "the variable at %p: %s\n", object, dsm_last_error());
    else
        fprintf(stderr, "%s\n", dsm_last_error());
    exit(EXIT_FAILURE);
}

/* Where an object is in shared memory. */
static void *shared(const void *object)
{
    uintptr_t begin = dsm_parmacs_state.image.data.begin, offset = (uintptr_t)object - begin;

    if (offset < dsm_parmacs_state.image.data.end - begin)
        return (void *)(dsm_parmacs_state.stand_ins + offset);
    return (void *)(uintptr_t)object;
}

/* The same for objects that this library reads and writes, which the others do not. */
static void *writable(const void *object, const char *macro, const char *file, int line)
{
    void *memory = shared(object);

    check(!dsm_is_shared(memory), macro, object, file, line);
    return memory;
}

void dsm_parmacs_lock_init(dsm_parmacs_lock_t *locks, size_t count, const char *file, int line)
{
    /* Before MAIN_INITENV it cannot be known whether the address will do, and there is nothing else to do. */
    if (dsm_parmacs_state.control != NULL && count > 0)
        check(dsm_mutex_init(shared(locks)), "LOCKINIT", locks, file, line);
}

void dsm_parmacs_lock(dsm_parmacs_lock_t *lock, const char *file, int line)
{
    check(dsm_mutex_lock(shared(lock)), "LOCK", lock, file, line);
}

void dsm_parmacs_unlock(dsm_parmacs_lock_t *lock, const char *file, int line)
{
    check(dsm_mutex_unlock(shared(lock)), "UNLOCK", lock, file, line);
}

void dsm_parmacs_cond_init(dsm_parmacs_cond_t *cond, const char *file, int line)
{
    if (dsm_parmacs_state.control != NULL)
        check(dsm_cond_init(shared(cond)), "CONDVARINIT", cond, file, line);
}

void dsm_parmacs_cond_wait(dsm_parmacs_cond_t *cond, dsm_parmacs_lock_t *lock, const char *file, int line)
{
    check(dsm_cond_wait(shared(cond), shared(lock)), "CONDVARWAIT", cond, file, line);
}

void dsm_parmacs_cond_signal(dsm_parmacs_cond_t *cond, const char *file, int line)
{
    check(dsm_cond_signal(shared(cond)), "CONDVARSIGNAL", cond, file, line);
}

void dsm_parmacs_cond_broadcast(dsm_parmacs_cond_t *cond, const char *file, int line)
{
    check(dsm_cond_broadcast(shared(cond)), "CONDVARBCAST", cond, file, line);
}

void dsm_parmacs_barrier_init(dsm_parmacs_barrier_t *barrier, long count, const char *file, int line)
{
    if (dsm_parmacs_state.control != NULL)
        check(shared(barrier) == barrier && !dsm_is_shared(barrier), "BARINIT", barrier, file, line);
    barrier->dsm_count_ = count > 0 ? (uint64_t)count : 0;
}

void dsm_parmacs_barrier(dsm_parmacs_barrier_t *barrier, long count, const char *file, int line)
{
    unsigned threads = (unsigned)(count > 0 ? (uint64_t)count : barrier->dsm_count_);
    int error;

    if (threads == 0) {
        fprintf(stderr, "dsm: rank %d: %s:%d: BARRIER: neither it nor BARINIT was given a count\n", DSM_NODE_ID, file, line);
        exit(EXIT_FAILURE);
    }
    error = dsm_barrier_wait(shared(barrier), threads);
    check(error == DSM_BARRIER_SERIAL ? 0 : error, "BARRIER", barrier, file, line);
}

void dsm_parmacs_sem_init(dsm_parmacs_sem_t *sem, long value, const char *file, int line)
{
    check(dsm_sem_init(shared(sem), (unsigned)value), "SEMINIT", sem, file, line);
}

void dsm_parmacs_sem_wait(dsm_parmacs_sem_t *sem, const char *file, int line)
{
    check(dsm_sem_wait(shared(sem)), "SEMP", sem, file, line);
}

void dsm_parmacs_sem_post(dsm_parmacs_sem_t *sem, const char *file, int line)
{
    check(dsm_sem_post(shared(sem)), "SEMV", sem, file, line);
}

/* A pause is a mutex, a condition variable, and the state they protect. */
static dsm_parmacs_pause_t *enter(dsm_parmacs_pause_t *pause, const char *macro, const char *file, int line)
{
    dsm_parmacs_pause_t *here = writable(pause, macro, file, line);

    check(dsm_mutex_lock((dsm_mutex_t *)&here->dsm_opaque_[0]), macro, pause, file, line);
    return here;
}

static void exit_with(dsm_parmacs_pause_t *here, uint64_t next, const char *macro, const char *file, int line)
{
    int is_set = next == SET && here->dsm_state_ != SET;

    here->dsm_state_ = next;
    if (is_set)
        check(dsm_cond_broadcast((dsm_cond_t *)&here->dsm_opaque_[1]), macro, here, file, line);
    check(dsm_mutex_unlock((dsm_mutex_t *)&here->dsm_opaque_[0]), macro, here, file, line);
}

void dsm_parmacs_pause_init(dsm_parmacs_pause_t *pause, const char *file, int line)
{
    exit_with(enter(pause, "PAUSEINIT", file, line), CLEAR, "PAUSEINIT", file, line);
}

void dsm_parmacs_pause_set(dsm_parmacs_pause_t *pause, const char *file, int line)
{
    dsm_parmacs_pause_t *here = enter(pause, "SETPAUSE", file, line);

    exit_with(here, here->dsm_state_ >= PASSED ? PASSED_AND_SET : SET, "SETPAUSE", file, line);
}

void dsm_parmacs_pause_clear(dsm_parmacs_pause_t *pause, const char *file, int line)
{
    dsm_parmacs_pause_t *here = enter(pause, "CLEARPAUSE", file, line);

    exit_with(here, here->dsm_state_ == PASSED_AND_SET ? SET : CLEAR, "CLEARPAUSE", file, line);
}

void dsm_parmacs_pause_wait(dsm_parmacs_pause_t *pause, const char *file, int line)
{
    dsm_parmacs_pause_t *here = enter(pause, "WAITPAUSE", file, line);

    while (here->dsm_state_ == CLEAR)
        check(dsm_cond_wait((dsm_cond_t *)&here->dsm_opaque_[1], (dsm_mutex_t *)&here->dsm_opaque_[0]),
              "WAITPAUSE", pause, file, line);
    exit_with(here, here->dsm_state_ == SET ? PASSED : here->dsm_state_, "WAITPAUSE", file, line);
}

void dsm_parmacs_subscripts_init(dsm_parmacs_subscripts_t *subscripts, const char *file, int line)
{
    dsm_parmacs_subscripts_t *here = writable(subscripts, "GSINIT", file, line);

    here->dsm_next_ = 0;
}

long dsm_parmacs_subscript(dsm_parmacs_subscripts_t *subscripts, long last, long count, const char *file, int line)
{
    dsm_parmacs_subscripts_t *here = writable(subscripts, "GETSUB", file, line);
    dsm_barrier_t *exhausted = (dsm_barrier_t *)&here->dsm_opaque_;
    uint64_t next = dsm_fetch_add_u64(&here->dsm_next_, 1);
    int role;

    if (last >= 0 && next <= (uint64_t)last)
        return (long)next;
    if (count <= 0)
        return -1;
    /* Nobody begins again before the subscripts do. */
    role = dsm_barrier_wait(exhausted, (unsigned)count);
    if (role == DSM_BARRIER_SERIAL)
        here->dsm_next_ = 0;
    else
        check(role, "GETSUB", subscripts, file, line);
    role = dsm_barrier_wait(exhausted, (unsigned)count);
    check(role == DSM_BARRIER_SERIAL ? 0 : role, "GETSUB", subscripts, file, line);
    return -1;
}

double dsm_parmacs_add_double(volatile void *at, double value)
{
    volatile uint64_t *word = at;
    uint64_t before = __atomic_load_n(word, __ATOMIC_SEQ_CST), after;
    double old, sum;

    do {
        memcpy(&old, &before, sizeof(old));
        sum = old + value;
        memcpy(&after, &sum, sizeof(after));
    } while (!__atomic_compare_exchange_n(word, &before, after, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return old;
}

void *dsm_parmacs_malloc(size_t bytes)
{
    void *memory = dsm_malloc(bytes);

    if (memory == NULL)
        fprintf(stderr, "dsm: rank %d: cannot allocate %zu bytes with G_MALLOC: %s\n", DSM_NODE_ID, bytes,
                dsm_parmacs_state.control == NULL ? "MAIN_INITENV comes first" : dsm_last_error());
    return memory;
}

void dsm_parmacs_free(void *memory)
{
    if (dsm_is_shared(memory))
        dsm_free(memory);
    else
        free(memory);
}

unsigned long dsm_parmacs_clock(void)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    return (unsigned long)now.tv_sec * 1000000 + (unsigned long)now.tv_usec;
}

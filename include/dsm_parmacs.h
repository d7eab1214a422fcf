/*
 * dsm_parmacs.h - what the PARMACS macros of c.m4.dsm expand to.
 *
 * Programs do not use these names: they use the macros, see docs/parmacs.md. MAIN_ENV and EXTERN_ENV include this file. Link
 * with -ldsm_parmacs -ldsm.
 *
 * OBJECTS of synchronisation may lie in shared memory or in global variables. Those in shared memory are named by their
 * address; global variables are private to a rank, so an object among them stands for one at the same distance from the
 * beginning of a range of shared memory that is as long as the program's data. Zero bytes are an idle object in both.
 *
 * A function that takes file and line ends the process with exit code 1 and a line that names them when the program made a
 * mistake: a lock locked twice by one thread, unlocked by another one, an object on a stack or in malloc's memory.
 */
#ifndef DSM_PARMACS_H
#define DSM_PARMACS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The macro sets for pthreads define it, and sources of SPLASH-3 and later count on that. */
#ifndef PAGE_SIZE
#define PAGE_SIZE 4096
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct { uint64_t dsm_opaque_; } dsm_parmacs_lock_t;
typedef struct { uint64_t dsm_opaque_; } dsm_parmacs_cond_t;
typedef struct { uint64_t dsm_opaque_; } dsm_parmacs_sem_t;
typedef struct { uint64_t dsm_opaque_, dsm_count_; } dsm_parmacs_barrier_t;
typedef struct { uint64_t dsm_opaque_[2], dsm_state_; } dsm_parmacs_pause_t;
typedef struct { uint64_t dsm_next_, dsm_opaque_; } dsm_parmacs_subscripts_t;

/*
 * MAIN_INITENV: prepares for CREATE. Only rank 0 comes here. All ranks of a job join it before main begins, and those other
 * than 0 wait there for CREATE and never run main; a program that is started alone joins its job of one rank here.
 */
void dsm_parmacs_begin(void);

/* MAIN_END: waits for the instances that CREATE started, leaves the job and ends the process with exit code 0. */
void dsm_parmacs_end(void);

/* CREATE(function): one instance more, beside the caller. */
void dsm_parmacs_create_one(void (*function)(void));

/* CREATE(function, count): count instances, one of them in the caller; returns when that one does. */
void dsm_parmacs_create_all(void (*function)(void), long count);

/* WAIT_FOR_END: returns when all instances have ended that CREATE started since it was called last. */
void dsm_parmacs_wait_for_end(void);

/* The number of the calling thread's instance; 0 in main. */
long dsm_parmacs_instance(void);

/* The rank of the calling thread. */
int dsm_parmacs_rank(void);

/* G_MALLOC, NU_MALLOC: zeroed shared memory; NULL, and a line on stderr, if there is none left. */
void *dsm_parmacs_malloc(size_t bytes);

/* G_FREE, NU_FREE, free: frees that, and memory of malloc too. */
void dsm_parmacs_free(void *memory);

void dsm_parmacs_lock_init(dsm_parmacs_lock_t *locks, size_t count, const char *file, int line);
void dsm_parmacs_lock(dsm_parmacs_lock_t *lock, const char *file, int line);
void dsm_parmacs_unlock(dsm_parmacs_lock_t *lock, const char *file, int line);

void dsm_parmacs_cond_init(dsm_parmacs_cond_t *cond, const char *file, int line);
void dsm_parmacs_cond_wait(dsm_parmacs_cond_t *cond, dsm_parmacs_lock_t *lock, const char *file, int line);
void dsm_parmacs_cond_signal(dsm_parmacs_cond_t *cond, const char *file, int line);
void dsm_parmacs_cond_broadcast(dsm_parmacs_cond_t *cond, const char *file, int line);

/* The count given at initialisation is for those who give none, that is 0, when they wait. */
void dsm_parmacs_barrier_init(dsm_parmacs_barrier_t *barrier, long count, const char *file, int line);
void dsm_parmacs_barrier(dsm_parmacs_barrier_t *barrier, long count, const char *file, int line);

void dsm_parmacs_sem_init(dsm_parmacs_sem_t *sem, long value, const char *file, int line);
void dsm_parmacs_sem_wait(dsm_parmacs_sem_t *sem, const char *file, int line);
void dsm_parmacs_sem_post(dsm_parmacs_sem_t *sem, const char *file, int line);

/*
 * A pause is a flag to wait for. Who waits does not clear it; a flag set between a wait and the clearing that follows it
 * is set again afterwards, so that none is lost when one thread waits and clears and others set.
 */
void dsm_parmacs_pause_init(dsm_parmacs_pause_t *pause, const char *file, int line);
void dsm_parmacs_pause_set(dsm_parmacs_pause_t *pause, const char *file, int line);
void dsm_parmacs_pause_clear(dsm_parmacs_pause_t *pause, const char *file, int line);
void dsm_parmacs_pause_wait(dsm_parmacs_pause_t *pause, const char *file, int line);

/*
 * GETSUB: the next of the subscripts 0 .. last, each to one thread; -1 when there are none left. Then threads wait until
 * `count` of them were told so, and the subscripts begin again; with a count of 0 nobody waits and they do not.
 */
void dsm_parmacs_subscripts_init(dsm_parmacs_subscripts_t *subscripts, const char *file, int line);
long dsm_parmacs_subscript(dsm_parmacs_subscripts_t *subscripts, long last, long count, const char *file, int line);

/* FETCH_ADD_DOUBLE: adds to the double at `at`, at once, and gives what it was. */
double dsm_parmacs_add_double(volatile void *at, double value);

/* CLOCK: microseconds of the time of day, of the caller's own machine. */
unsigned long dsm_parmacs_clock(void);

#ifdef __cplusplus
}
#endif

#endif /* DSM_PARMACS_H */

/*
 * dsm.h - one memory on several machines: the C interface of libdsm.
 *
 *     char *area = dsm_init(argc, argv);     same address on every rank
 *     area[DSM_NODE_ID] = 1;                 plain loads and stores
 *     dsm_barrier();
 *     dsm_finalize();
 *
 * Link with -ldsm (or `pkg-config --cflags --libs dsm`) and start with `dsmexec machine_file program`.
 * Launchers of the PR204 family start it too. A program that nobody launched is a job of one rank and works.
 *
 * CONVENTIONS, as in POSIX threads. A function that returns an int status returns 0 or an errno value; it
 * never returns -1 and leaves errno alone. A function that returns a pointer returns NULL and sets errno.
 * Whatever failed, dsm_last_error() says it in words. Every function may be called from any thread of any
 * rank unless its comment says *collective*: then every rank of the job must call it. None may be called from a
 * signal handler. A call that waits is not interrupted by signals: handlers run, and it goes on waiting.
 *
 * ENOTCONN is the error of every call outside a job: before dsm_init, or after dsm_finalize. EIO means that the
 * library itself failed. Where ranks of other libraries may be in the job (DSM_PEER, see dsm_init(3)), what is more than the
 * area itself, barriers, locks, allocation, fails with ENOTSUP. None of these is listed again below.
 *
 * The JOB has errors too: a rank that dies, a host that is lost, a peer that breaks the protocol. They are not
 * returned. They end the process, with one line that names rank, host, pid and cause and an exit code listed
 * in dsmexec(1).
 *
 * MEMORY. Aligned accesses of 1, 2, 4 and 8 bytes by different ranks are sequentially consistent: atomics, spin flags and
 * racy programs behave as on one machine. Threads of one rank see the memory model of their own machine among
 * themselves. Fresh shared memory is zero. A pointer into shared memory is valid on every rank.
 *
 * A child made by fork() is not in the job and does not have the shared area: calls fail there with ENOTCONN, and touching
 * it is a segmentation fault, told on stderr.
 */
#ifndef DSM_H
#define DSM_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- joining and leaving the job ------------------------------------------------------------------------ */

/* This rank, 0 .. DSM_NODE_NUM-1, and the number of ranks. Set by dsm_init; 0 and 1 before it. Read only. */
extern int DSM_NODE_ID;
extern int DSM_NODE_NUM;

/*
 * Collective. Joins the job and returns the first byte of the shared area: the same address on every rank,
 * dsm_size() bytes, all zero. argc and argv are not looked at; they may be 0 and NULL.
 *
 * On failure it writes one line to stderr, sets errno and returns NULL. A process joins once: every later
 * call, also after dsm_finalize, fails with EALREADY and writes nothing.
 */
char *dsm_init(int argc, char **argv);

/*
 * Collective. Goes on serving this rank's pages until every rank is here, then leaves the job. The shared area must
 * not be touched afterwards. Without a successful dsm_init before it, or called again, it does nothing.
 */
void dsm_finalize(void);

/* --- the region ----------------------------------------------------------------------------------------- */

/* Bytes of the area dsm_init returned, a multiple of dsm_page_size(); 0 outside a job. */
size_t dsm_size(void);

/* Bytes of a page, the unit in which memory moves between ranks; a power of two. Valid also outside a job. */
size_t dsm_page_size(void);

/* First byte of the area dsm_init returned; NULL outside a job. */
char *dsm_base(void);

/* The home rank of the page that holds p, -1 if p is not shared. Page i of the area has home
 * i % DSM_NODE_NUM, unless the job was started with another placement; with first-touch it is the rank that touches the
 * page first, and -1 too until this rank has touched the page, unless page i is registered here: i % DSM_NODE_NUM. */
int dsm_home(const void *p);

/* 1 if p points into shared memory, the area or the heap of dsm_malloc; else 0. */
int dsm_is_shared(const void *p);

/*
 * Allocates n bytes of shared memory, zeroed and 16-byte aligned, apart from the area that dsm_init returned. Only
 * the caller learns the address; it is valid on every rank. Small blocks come from memory that this rank has at hand,
 * mostly without a message, so that ranks that allocate for themselves do not share pages; large ones begin at a page.
 * What is not touched costs address space alone. dsm_malloc(0) gives an address to be freed, too.
 *
 * ENOMEM   the heap (DSM_HEAP bytes, see dsm_init(3)) has no room for it
 */
void *dsm_malloc(size_t n);

/*
 * The same at a multiple of align, a power of two. n need not be a multiple of align.
 *
 * EINVAL   align is not a power of two
 * ENOMEM   as for dsm_malloc
 */
void *dsm_aligned_alloc(size_t align, size_t n);

/*
 * Frees what dsm_malloc or dsm_aligned_alloc of any rank returned. NULL is fine, and leaves errno alone, as does every
 * call that succeeds. Objects of synchronisation in the block must be idle, see below.
 *
 * An address that was not allocated, or was freed before, is a mistake of the program: the call frees nothing, sets
 * errno to EINVAL, and writes one line to stderr. The process goes on, unlike with free(): other ranks' work hangs on
 * it. What has been allocated anew meanwhile cannot be told from what was freed.
 */
void dsm_free(void *p);

/*
 * The memory of this name: the first call of any rank allocates n zeroed bytes, 64-byte aligned; every later call
 * with the same name and n gives the same address. Nobody frees it.
 *
 * EEXIST   the name is there with another size
 * EINVAL   name is NULL, empty, longer than 255 bytes or not UTF-8
 * ENOMEM   as for dsm_malloc
 */
void *dsm_named(const char *name, size_t n);

/*
 * Start bringing the pages of [p, p+n) here, for reading, or for writing as well, and return at once. It changes
 * nothing but time: whoever touches a page that is not here yet waits for it as ever.
 *
 * EINVAL   not all of it is shared memory
 */
int dsm_prefetch(const void *p, size_t n);
int dsm_prefetch_write(void *p, size_t n);

/* --- synchronisation ------------------------------------------------------------------------------------ */

/*
 * Objects live in shared memory, anywhere in the program's own structures, at multiples of 8 bytes. All-zero bytes are
 * an idle object, so fresh shared memory needs no init call. An object is its address: the library keeps what it knows
 * elsewhere, writes nothing into the bytes, and never touches their page; a copy of them is another object. Objects
 * that nobody uses cost nothing beside their 8 bytes.
 *
 * Threads hold and wait, not ranks: threads of one rank exclude each other as those of different ranks do. What a
 * thread stored before it unlocked, signalled, posted, or came to a barrier is seen by whoever goes on because of it.
 *
 * Before memory with objects in it is freed or used otherwise, they must be idle: nobody holds or waits, and a
 * semaphore is destroyed. Destroying is not needed for mutexes, rwlocks and condition variables, only checked.
 *
 * EINVAL   the pointer is NULL, not into shared memory, or not a multiple of 8
 *
 * is an error of every function here and not listed again.
 *
 * Points in time are of CLOCK_MONOTONIC of the caller's own machine; no call gives up before it. One that has passed
 * already, or is negative, still lets the call succeed if it need not wait. EINVAL: the pointer to it is NULL, or
 * tv_nsec is not in 0 .. 999999999, whether the call would wait or not.
 */
struct timespec; /* complete with -std=c11, or POSIX.1-1993 and later */

typedef struct { uint64_t dsm_opaque_; } dsm_mutex_t;
typedef struct { uint64_t dsm_opaque_; } dsm_cond_t;
typedef struct { uint64_t dsm_opaque_; } dsm_rwlock_t;
typedef struct { uint64_t dsm_opaque_; } dsm_sem_t;
typedef struct { uint64_t dsm_opaque_; } dsm_barrier_t;

#define DSM_MUTEX_INITIALIZER { 0 }
#define DSM_COND_INITIALIZER { 0 }
#define DSM_RWLOCK_INITIALIZER { 0 }
#define DSM_SEM_INITIALIZER { 0 } /* of value 0 */
#define DSM_BARRIER_INITIALIZER { 0 }

/* Programs lay out structures with them: the size is part of the interface. */
typedef char dsm_objects_have_8_bytes_[sizeof(dsm_mutex_t) == 8 && sizeof(dsm_cond_t) == 8 &&
                                       sizeof(dsm_rwlock_t) == 8 && sizeof(dsm_sem_t) == 8 &&
                                       sizeof(dsm_barrier_t) == 8 ? 1 : -1];

/*
 * Mutexes. A mutex stays at the rank that had it last: threads of that rank take it again without a message or a system
 * call while no other rank asks for it. Taking it from another rank costs 2 messages if the home of its address has it,
 * else 3; it goes from the holder to the one who waits. Waiters get it in turn, those of the holder's rank a bounded
 * number of times before the others.
 *
 * init      checks the address and does nothing else.
 * lock      EDEADLK  the caller holds it.
 * trylock   EBUSY    somebody holds it, possibly the caller. Exact, and so dearer than lock for a mutex that is not at
 *           this rank: it asks the other ranks whether they hold it.
 * timedlock EDEADLK  the caller holds it. ETIMEDOUT  not to be had before that point in time.
 * unlock    EPERM    the caller does not hold it.
 * destroy   EBUSY    somebody holds it.
 */
int dsm_mutex_init(dsm_mutex_t *m);
int dsm_mutex_lock(dsm_mutex_t *m);
int dsm_mutex_trylock(dsm_mutex_t *m);
int dsm_mutex_timedlock(dsm_mutex_t *m, const struct timespec *abs_monotonic);
int dsm_mutex_unlock(dsm_mutex_t *m);
int dsm_mutex_destroy(dsm_mutex_t *m);

/*
 * Condition variables. Waiting gives the mutex up and begins to wait in one step, and the mutex is held again when
 * the call returns (with EINVAL and EPERM it never was given up). The call returns because of a signal, a broadcast, or
 * the time, and of nothing else: there are no spurious wake-ups. A signal wakes exactly one thread of those that wait
 * at that moment, if any does; a broadcast all of them. Who signals need not hold the mutex.
 *
 * wait      EPERM      the caller does not hold the mutex.
 * timedwait EPERM      the same. ETIMEDOUT  no signal before that point in time; the mutex is held.
 * destroy   EBUSY      somebody waits.
 */
int dsm_cond_init(dsm_cond_t *c);
int dsm_cond_wait(dsm_cond_t *c, dsm_mutex_t *m);
int dsm_cond_timedwait(dsm_cond_t *c, dsm_mutex_t *m, const struct timespec *abs_monotonic);
int dsm_cond_signal(dsm_cond_t *c);
int dsm_cond_broadcast(dsm_cond_t *c);
int dsm_cond_destroy(dsm_cond_t *c);

/*
 * Locks for one writer or many readers. Like a mutex, the lock stays at the ranks that had it last: reading again at a
 * rank that read, and writing again at the one that wrote, costs no message. Readers and writers get it in turn: who
 * comes to read while a writer waits, waits behind it. A thread that reads may lock for reading again at any time, and
 * unlocks as often as it locked.
 *
 * rdlock    EDEADLK  the caller holds it for writing.
 * wrlock    EDEADLK  the caller holds it.
 * tryrdlock EBUSY    somebody holds it for writing, or waits to.
 * trywrlock EBUSY    somebody holds it.
 * unlock    EPERM    the caller does not hold it.
 * destroy   EBUSY    somebody holds it.
 */
int dsm_rwlock_init(dsm_rwlock_t *l);
int dsm_rwlock_rdlock(dsm_rwlock_t *l);
int dsm_rwlock_wrlock(dsm_rwlock_t *l);
int dsm_rwlock_tryrdlock(dsm_rwlock_t *l);
int dsm_rwlock_trywrlock(dsm_rwlock_t *l);
int dsm_rwlock_unlock(dsm_rwlock_t *l);
int dsm_rwlock_destroy(dsm_rwlock_t *l);

/*
 * Counting semaphores, of value 0 at first. The value is kept at the home of the address, which is asked each time.
 *
 * init      sets the value. EBUSY  somebody waits.
 * wait      waits until the value is not 0, and takes 1 from it.
 * trywait   EAGAIN     the value is 0.
 * post      adds 1, or lets one thread that waits go on. EOVERFLOW  the value is 4294967295.
 * destroy   makes the value 0. EBUSY  somebody waits.
 */
int dsm_sem_init(dsm_sem_t *s, unsigned value);
int dsm_sem_wait(dsm_sem_t *s);
int dsm_sem_trywait(dsm_sem_t *s);
int dsm_sem_post(dsm_sem_t *s);
int dsm_sem_destroy(dsm_sem_t *s);

/*
 * Waits until count threads, of any ranks, wait here; then all go on, and the barrier is as new. Exactly one of them
 * gets DSM_BARRIER_SERIAL, the others 0.
 *
 * EINVAL   count is 0, or not the count of those who wait
 */
int dsm_barrier_wait(dsm_barrier_t *b, unsigned count);
#define DSM_BARRIER_SERIAL (-1)

/*
 * Collective: returns when every rank has called it, one thread of each. All that any rank stored before it is
 * seen by every rank after it. Costs 2(N-1) messages for N ranks.
 *
 * EBUSY    another thread of this rank is waiting here
 */
int dsm_barrier(void);

/*
 * C11 atomics on shared words work as on one machine, and move the word's page to whoever uses them. These two are
 * carried out where the page is, and leave it there: for words that many ranks change. *p is a word of shared memory at
 * a multiple of 8; both are sequentially consistent, with each other and with ordinary accesses.
 *
 * dsm_fetch_add_u64 gives the value before, as atomic_fetch_add does. dsm_compare_exchange_u64 is like
 * atomic_compare_exchange_strong: 1 if *p was *expected and is now desired; else 0, and *expected is what *p was.
 *
 * With a pointer they cannot use both return 0, change nothing, and set errno, which they leave alone otherwise:
 *
 * EINVAL   p is not into shared memory or not a multiple of 8; expected is NULL
 */
uint64_t dsm_fetch_add_u64(uint64_t *p, uint64_t v);
int dsm_compare_exchange_u64(uint64_t *p, uint64_t *expected, uint64_t desired);

/* --- what happened -------------------------------------------------------------------------------------- */

/* Counts of this rank since dsm_init. */
struct dsm_stats {
    uint64_t read_faults;   /* times a thread stopped to read a page that was not here */
    uint64_t write_faults;  /* times a thread stopped to write a page that was not here */
    uint64_t upgrades;      /* times a thread stopped to write a page that was here for reading */
    uint64_t invalidations; /* copies dropped because another rank wrote */
    uint64_t pages_in;      /* pages whose content came over the network */
    uint64_t pages_out;     /* pages whose content went over the network */
    uint64_t messages_sent; /* messages to other ranks */
    uint64_t bytes_sent;    /* their bytes, page content included */
    uint64_t lock_local;    /* mutexes and rwlocks taken that were at this rank */
    uint64_t lock_remote;   /* mutexes and rwlocks taken that had to come to this rank */
    uint64_t barriers;      /* barriers passed, dsm_barrier and dsm_barrier_wait */
    uint64_t fault_ns;      /* nanoseconds during which threads waited for a page, summed over pages */
};

/* Stores the counts in *out. EINVAL: out is NULL. */
int dsm_stats(struct dsm_stats *out);

/*
 * What went wrong in the last call of this thread that failed, in words; "" if none did. The string belongs to the
 * library and is valid until the next call that fails in this thread, or the thread's end.
 */
const char *dsm_last_error(void);

#ifdef __cplusplus
}
#endif

/* --- names of the PR204 family -------------------------------------------------------------------------- */

/*
 * Programs written for the PR204 course include "dsm.h" alone and expect the usual headers and these names
 * with it. They describe the area as it is in this job, so they are expressions, valid after dsm_init, and not constants.
 * Define DSM_NO_PR204_NAMES before the include to have neither.
 */
#ifndef DSM_NO_PR204_NAMES

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef PAGE_SIZE
#define PAGE_SIZE ((long)dsm_page_size())
#endif
#ifndef PAGE_NUMBER
#define PAGE_NUMBER ((long)(dsm_size() / dsm_page_size()))
#endif
#ifndef BASE_ADDR
#define BASE_ADDR ((uintptr_t)dsm_base())
#endif
#ifndef TOP_ADDR
#define TOP_ADDR (BASE_ADDR + dsm_size())
#endif

#endif /* DSM_NO_PR204_NAMES */

#endif /* DSM_H */

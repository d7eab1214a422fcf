/*
 * dsm.h - one memory on several machines: the C interface of libdsm.
 *
 *     char *area = dsm_init(argc, argv);     same address on every rank
 *     area[DSM_NODE_ID] = 1;                 plain loads and stores
 *     dsm_barrier();
 *     dsm_finalize();
 *
 * Link with -ldsm (or `pkg-config --cflags --libs dsm`) and start with `dsmexec machine_file program`.
 * A program that is not started by dsmexec is a job of one rank and works.
 *
 * CONVENTIONS, as in POSIX threads. A function that returns an int status returns 0 or an errno value; it
 * never returns -1 and leaves errno alone. A function that returns a pointer returns NULL and sets errno.
 * Whatever failed, dsm_last_error() says it in words. Every function may be called from any thread of any
 * rank unless its comment says *collective*: then every rank of the job must call it. None may be called from a
 * signal handler.
 *
 * The JOB has errors too: a rank that dies, a host that is lost, a peer that breaks the protocol. They are not
 * returned. They end the process, with one line that names rank, host, pid and cause and an exit code listed
 * in dsmexec(1).
 *
 * MEMORY. Aligned accesses of 1, 2, 4 and 8 bytes by different ranks are sequentially consistent: atomics, spin flags and
 * racy programs behave as on one machine. Threads of one rank see the memory model of their own machine among
 * themselves. Fresh shared memory is zero. A pointer into shared memory is valid on every rank.
 *
 * A child made by fork() does not have the shared area: touching it there is a segmentation fault.
 */
#ifndef DSM_H
#define DSM_H

#include <stddef.h>
#include <stdint.h>

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

/* The home rank of the page that holds p, -1 if p is not shared. Page i of the area has home i % DSM_NODE_NUM. */
int dsm_home(const void *p);

/* 1 if p points into shared memory, else 0. */
int dsm_is_shared(const void *p);

/* --- synchronisation ------------------------------------------------------------------------------------ */

/*
 * Collective: returns when every rank has called it, one thread of each. All that any rank stored before it is
 * seen by every rank after it.
 *
 * EBUSY   another thread of this rank is waiting here
 * EINVAL  this process is not in a job: before dsm_init, or after dsm_finalize
 */
int dsm_barrier(void);

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
    uint64_t lock_local;    /* locks taken without a message */
    uint64_t lock_remote;   /* locks taken from another rank */
    uint64_t barriers;      /* barriers passed */
    uint64_t fault_ns;      /* nanoseconds during which threads waited for a page, summed over pages */
};

/* Stores the counts in *out. EINVAL: out is NULL, or this process is not in a job. */
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

/*
 * peer.h - the parts of libpeer: how a rank finds its job (peer_launch.c), the shared area (peer_memory.c), the thread that
 * talks with the others (peer.c), and the two peer profiles (peer_bcast.c, peer_seed8.c).
 */
#ifndef PEER_H
#define PEER_H

#include "pr204.h"

enum { PAGES = 100, PAGE_BYTES = 4096, MAX_RANKS = 8, FINALIZE = -1 };
#define AREA 0x3ff9c000u

/* --- peer_launch.c ---------------------------------------------------------------------------------------- */

struct job {
    int nodes, rank, master; /* master: a bound socket, -1 in a job of one */
    struct record records[MAX_RANKS];
};

/* 0, or -1 when the line on stderr is written. */
int find_job(struct job *job, long long end);

/* --- peer_memory.c ---------------------------------------------------------------------------------------- */

/* Maps the area, `page` readable and writable here if page % nodes == rank. 0, or -1 with errno. */
int memory_open(int nodes, int rank, long limit_ms);
void memory_close(void);

/* Descriptor on which faults arrive as ints: a page that is needed, or ~page once its access can go on. */
int memory_faults(void);

/* Says something there that is not about a fault. */
void memory_tell(int order);

/* The page's access ends; then its content may be read, until it is given back. */
const unsigned char *memory_take_away(int page);

/* Makes the page with this content accessible. */
void memory_install(int page, const unsigned char *content);
void memory_resume(void); /* the thread whose fault it was goes on */
int memory_has(int page);

/* --- peer.c: what the profiles call ----------------------------------------------------------------------- */

struct peer {
    int fd; /* -1: not connected (any more) */
    unsigned char *in, *out;
    size_t in_count, out_count;
    int has_finalized;
};

struct node {
    const struct profile *profile;
    struct job job;
    struct peer peers[MAX_RANKS]; /* by rank; our own is unused */
    int owner[PAGES];
    unsigned wanted[PAGES];   /* bit r: rank r waits for this page of ours */
    char is_pinned[PAGES];    /* it came for a fault that is not resolved yet */
    long long keep_until[PAGES];
    int asked;           /* page that a fault waits for, -1 if none */
    long long ask_again; /* when to ask for it once more */
    int is_finalizing;   /* dsm_finalize is waiting */
    long long end;       /* when the wait for others ends, in rendezvous and finalize */
    long limit_ms;
};

struct profile {
    const char *name;
    int max_nodes;
    int (*meet)(struct node *node);                                 /* 0, or -1 with errno: all connections */
    void (*ask)(struct node *node, int page);                       /* sends a request */
    void (*ask_again)(struct node *node, int page);                 /* it had no answer for a while; may be NULL */
    void (*give)(struct node *node, int page, int to, const unsigned char *content);
    void (*forward)(struct node *node, int page, int source); /* we gave it away before its turn came; may be NULL */
    void (*say_finalize)(struct node *node);
    size_t (*hear)(struct node *node, int from); /* takes one message off the front of `in`; 0: there is none yet */
};

extern const struct profile bcast, seed8;

void fatal(const char *format, ...); /* one line on stderr, and the process ends with 1 */
void say(struct node *node, int to, const void *bytes, size_t count);
void requested(struct node *node, int page, int source); /* we own it and `source` wants it */
void arrived(struct node *node, int page, const unsigned char *content);

#endif

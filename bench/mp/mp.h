/*
 * mp.h - messages between ranks, as little as the kernels here need: one exchange, and four things all ranks do together.
 *
 * tcp.c makes them of sockets, mpi.c of MPI. Whatever fails is told on stderr and ends the process, and whoever
 * started it ends the others. Everything is collective but mp_exchange.
 */
#ifndef MP_H
#define MP_H

#include <stddef.h>
#include <stdint.h>

enum { MP_NOBODY = -1 };

/* This rank, 0 .. mp_ranks-1, and how many there are. */
extern int mp_rank, mp_ranks;

/* What this rank has sent. MPI does not tell what it makes of a collective operation, so only exchanges count there. */
extern uint64_t mp_messages, mp_bytes;

void mp_init(int *argc, char ***argv);
void mp_finalize(void);

/* Sends to one rank while it receives from one, of either nobody; both directions at the same time. */
void mp_exchange(int to, const void *out, size_t out_bytes, int from, void *in, size_t in_bytes);

void mp_barrier(void);

/* Rank `root`'s bytes to all. */
void mp_broadcast(int root, void *bytes, size_t count);

/* Rank r has bytes at[r] .. at[r+1]-1 of `whole`; then all have all. */
void mp_gather_all(void *whole, const size_t *at);

/* Bytes of a buffer. */
struct mp_span {
    size_t at, count;
};

/* outs[r] of `out` goes to rank r, and what rank r has for this one comes to ins[r] of `in`. They must not overlap. */
void mp_all_to_all(const void *out, const struct mp_span *outs, void *in, const struct mp_span *ins);

/* The sum over all ranks, at all ranks. */
uint64_t mp_sum(uint64_t value);

#endif /* MP_H */

/*
 * kernel.h - what the message-passing kernels share. Include it after the example.
 *
 * A kernel here includes the example of its name, built against bench/plain/dsm.h and with its main renamed: the loops
 * that compute, the made-up data and the check of the result are the same text in all versions. What is written anew
 * is who has which data and what the ranks tell each other.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include "mp.h"

/* Joins the job; the example's functions see this rank's number. */
static inline void kernel_init(int *argc, char ***argv)
{
    mp_init(argc, argv);
    DSM_NODE_ID = mp_rank;
    DSM_NODE_NUM = mp_ranks;
}

static inline struct run kernel_begin(const char *name)
{
    mp_messages = mp_bytes = 0;
    mp_barrier();
    return run_begin(name);
}

static inline void kernel_end(struct run *run)
{
    uint64_t messages, bytes;

    mp_barrier();
    run_end(run);
    messages = mp_messages;
    bytes = mp_bytes;
    run->totals->messages = mp_sum(messages);
    run->totals->bytes = mp_sum(bytes);
}

/* Offsets in bytes of the ranks' parts of `count` things of `bytes` each, as part() divides them. To be freed. */
static inline size_t *kernel_parts(size_t count, size_t bytes)
{
    size_t *at = need(calloc((size_t)mp_ranks + 1, sizeof *at), "offsets");
    int rank;

    for (rank = 0; rank <= mp_ranks; rank++)
        at[rank] = part(count, rank) * bytes;
    return at;
}

#endif /* KERNEL_H */

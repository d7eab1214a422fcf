/*
 * mpi.c - mp.h over MPI, each thing by the call that MPI has for it.
 */
#include "mp.h"
#include <limits.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

int mp_rank, mp_ranks = 1;
uint64_t mp_messages, mp_bytes;

void mp_init(int *argc, char ***argv)
{
    MPI_Init(argc, argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &mp_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &mp_ranks);
}

void mp_finalize(void)
{
    MPI_Finalize();
}

/* MPI counts in int. */
static int count_of(size_t bytes)
{
    if (bytes > INT_MAX) {
        fprintf(stderr, "rank %d: cannot pass %zu bytes at once\n", mp_rank, bytes);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    return (int)bytes;
}

void mp_exchange(int to, const void *out, size_t out_bytes, int from, void *in, size_t in_bytes)
{
    if (to != MP_NOBODY) {
        mp_messages++;
        mp_bytes += out_bytes;
    }
    MPI_Sendrecv(out, count_of(out_bytes), MPI_BYTE, to != MP_NOBODY ? to : MPI_PROC_NULL, 0, in, count_of(in_bytes),
                 MPI_BYTE, from != MP_NOBODY ? from : MPI_PROC_NULL, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

void mp_barrier(void)
{
    MPI_Barrier(MPI_COMM_WORLD);
}

void mp_broadcast(int root, void *bytes, size_t count)
{
    MPI_Bcast(bytes, count_of(count), MPI_BYTE, root, MPI_COMM_WORLD);
}

/* The places of all spans, and behind them their counts. To be freed. */
static int *layout(const struct mp_span *spans)
{
    int *layout = calloc(2 * (size_t)mp_ranks, sizeof *layout), rank;

    if (layout == NULL)
        MPI_Abort(MPI_COMM_WORLD, 1);
    for (rank = 0; rank < mp_ranks && layout != NULL; rank++) {
        layout[rank] = count_of(spans[rank].at);
        layout[mp_ranks + rank] = count_of(spans[rank].count);
    }
    return layout;
}

void mp_gather_all(void *whole, const size_t *at)
{
    struct mp_span *spans = calloc((size_t)mp_ranks, sizeof *spans);
    int rank, *all;

    if (spans == NULL)
        MPI_Abort(MPI_COMM_WORLD, 1);
    for (rank = 0; rank < mp_ranks && spans != NULL; rank++)
        spans[rank] = (struct mp_span){at[rank], at[rank + 1] - at[rank]};
    all = layout(spans);
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_BYTE, whole, all + mp_ranks, all, MPI_BYTE, MPI_COMM_WORLD);
    free(spans);
    free(all);
}

void mp_all_to_all(const void *out, const struct mp_span *outs, void *in, const struct mp_span *ins)
{
    int *from = layout(outs), *to = layout(ins);

    MPI_Alltoallv(out, from + mp_ranks, from, MPI_BYTE, in, to + mp_ranks, to, MPI_BYTE, MPI_COMM_WORLD);
    free(from);
    free(to);
}

uint64_t mp_sum(uint64_t value)
{
    uint64_t sum;

    MPI_Allreduce(&value, &sum, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    return sum;
}

/*
 * jacobi: heat spreads over a square plate whose upper edge is kept at 1 and whose other edges are kept at 0.
 *
 *     dsmexec machine_file jacobi [SIZE [SWEEPS]]        (default 512 100)
 *
 * SIZE x SIZE cells, in shared memory, twice: a sweep reads one plate and writes the other. Each rank computes a block
 * of rows and needs one row of each neighbour; those pages, and only those, move at every sweep.
 * Rank 0 then computes the same alone, in private memory, and compares bit by bit.
 *
 * Exit code 0; 1 if the job cannot be joined or the result differs; 64 for wrong arguments.
 */
#include <dsm.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EXIT_USAGE = 64, MAX_SIZE = 32768, MAX_SWEEPS = 1000000 };

static double seconds(void)
{
    struct timespec t;

    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Rows first .. end-1 of `to` from `from`; the plate's edge stays as it is. */
static void sweep(const double *from, double *to, size_t size, size_t first, size_t end)
{
    size_t row, column;

    for (row = first; row < end; row++) {
        const double *here = from + row * size;

        for (column = 1; column + 1 < size; column++)
            to[row * size + column] =
                0.25 * (here[column - 1] + here[column + 1] + here[column - size] + here[column + size]);
    }
}

/* Both plates begin with a hot upper edge; everything else is 0 already. */
static void heat(double *plates, size_t size)
{
    size_t column;

    for (column = 0; column < size; column++)
        plates[column] = plates[size * size + column] = 1.0;
}

/* 1 if `result` is, bit by bit, what one process alone computes. */
static int is_right(const double *result, size_t size, long sweeps)
{
    size_t cells = size * size;
    double *plates = calloc(2 * cells, sizeof *plates);
    double began = seconds();
    long i;
    int same;

    if (plates == NULL) {
        fprintf(stderr, "jacobi: cannot check: no memory for %zu bytes\n", 2 * cells * sizeof *plates);
        return 0;
    }
    heat(plates, size);
    for (i = 0; i < sweeps; i++)
        sweep(plates + (i % 2) * (long)cells, plates + (1 - i % 2) * (long)cells, size, 1, size - 1);
    same = memcmp(plates + (sweeps % 2) * (long)cells, result, cells * sizeof *plates) == 0;
    printf("sequential: %.3f s; the results are %s\n", seconds() - began, same ? "equal bit by bit" : "DIFFERENT");
    free(plates);
    return same;
}

/* The number in `text`, or -1 if it is not one from `min` to `max`. */
static long number(const char *text, long min, long max)
{
    char *end;
    long value = strtol(text, &end, 10);

    return end != text && *end == '\0' && value >= min && value <= max ? value : -1;
}

static void print_stats(void)
{
    struct dsm_stats s;

    if (dsm_stats(&s) == 0)
        printf("rank %d: %" PRIu64 " read faults, %" PRIu64 " write faults, %" PRIu64 " upgrades, %" PRIu64
               " pages in, %" PRIu64 " pages out, %" PRIu64 " messages, %.3f s in faults\n",
               DSM_NODE_ID, s.read_faults, s.write_faults, s.upgrades, s.pages_in, s.pages_out, s.messages_sent,
               (double)s.fault_ns * 1e-9);
}

int main(int argc, char **argv)
{
    long side = argc > 1 ? number(argv[1], 3, MAX_SIZE) : 512;
    long sweeps = argc > 2 ? number(argv[2], 1, MAX_SWEEPS) : 100;
    size_t size = (size_t)side, cells = size * size, rows, first, end;
    double *plates, began;
    long i;
    int right = 1;

    if (argc > 3 || side < 0 || sweeps < 0) {
        fprintf(stderr, "usage: jacobi [SIZE [SWEEPS]]   (SIZE 3 to %d, SWEEPS 1 to %d)\n", MAX_SIZE, MAX_SWEEPS);
        return EXIT_USAGE;
    }
    plates = (double *)dsm_init(argc, argv);
    if (plates == NULL)
        return 1;
    if (2 * cells * sizeof *plates > dsm_size()) {
        fprintf(stderr, "jacobi: %zu bytes do not fit into %zu of shared memory; see dsmexec --size\n",
                2 * cells * sizeof *plates, dsm_size());
        return EXIT_USAGE;
    }

    /* The rows that are not edge, in one block per rank. */
    rows = size - 2;
    first = 1 + rows * (size_t)DSM_NODE_ID / (size_t)DSM_NODE_NUM;
    end = 1 + rows * ((size_t)DSM_NODE_ID + 1) / (size_t)DSM_NODE_NUM;

    if (DSM_NODE_ID == 0)
        heat(plates, size);
    dsm_barrier();
    began = seconds();
    for (i = 0; i < sweeps; i++) {
        sweep(plates + (i % 2) * (long)cells, plates + (1 - i % 2) * (long)cells, size, first, end);
        dsm_barrier(); /* nobody reads the new plate, or overwrites the old one, before all are done */
    }
    if (DSM_NODE_ID == 0)
        printf("%d ranks: %ld x %ld cells, %ld sweeps in %.3f s\n", DSM_NODE_NUM, side, side, sweeps,
               seconds() - began);
    print_stats();
    if (DSM_NODE_ID == 0)
        right = is_right(plates + (sweeps % 2) * (long)cells, size, sweeps);

    dsm_finalize();
    return right ? 0 : 1;
}

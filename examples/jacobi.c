/*
 * jacobi: heat spreads over a square plate. Its upper and left edges are kept at 1, the other two at 0.
 *
 *     dsmexec machine_file jacobi [SIZE] [SWEEPS]
 *
 * SIZE x SIZE cells, in shared memory, twice: a sweep reads one plate and writes the other. Each rank computes a block
 * of rows and needs one row of each neighbour; those pages, and only those, move at every sweep.
 * Rank 0 then computes the same alone, in private memory, and compares bit by bit.
 *
 * Exit code 0; 1 if the job cannot be joined or the result is wrong; 64 for wrong arguments.
 */
#include "example.h"

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

/* Both plates begin with two hot edges; everything else is 0 already. */
static void heat(double *plates[2], size_t size)
{
    size_t i;

    for (i = 0; i < size; i++)
        plates[0][i] = plates[1][i] = plates[0][i * size] = plates[1][i * size] = 1.0;
}

/* Compares `result` with what one process alone computes. */
static void check(struct run *run, const double *result, size_t size, long sweeps)
{
    double *plates[2], began = now_seconds();
    size_t i;

    plates[0] = need(calloc(size * size, sizeof(double)), "the check");
    plates[1] = need(calloc(size * size, sizeof(double)), "the check");
    heat(plates, size);
    for (i = 0; i < (size_t)sweeps; i++)
        sweep(plates[i % 2], plates[1 - i % 2], size, 1, size - 1);
    run->alone = now_seconds() - began;
    for (i = 0; i < size * size; i++)
        if (result[i] != plates[sweeps % 2][i])
            run_wrong(run, "row %zu column %zu is %.17g, not %.17g", i / size, i % size, result[i],
                      plates[sweeps % 2][i]);
    free(plates[0]);
    free(plates[1]);
}

int main(int argc, char **argv)
{
    long side = 512, sweeps = 100, i;
    const struct argument all[] = {
        {.name = "SIZE", .meaning = "rows and columns", .number = &side, .min = 3, .max = 32768},
        {.name = "SWEEPS", .meaning = "times to compute every cell", .number = &sweeps, .min = 1, .max = 1000000},
        {0},
    };
    struct run run;
    size_t size, cells, first, end;
    double *plates[2];
    int code;

    parse_arguments(argc, argv, "jacobi", "Heat spreads over a plate.", all);
    size = (size_t)side;
    cells = size * size;
    plates[0] = (double *)dsm_init(argc, argv);
    if (plates[0] == NULL)
        return EXIT_WRONG;
    plates[1] = plates[0] + cells;
    need_area("jacobi", 2 * cells * sizeof(double));

    /* The rows that are not edge, in one block per rank. */
    first = 1 + part(size - 2, DSM_NODE_ID);
    end = 1 + part(size - 2, DSM_NODE_ID + 1);

    if (DSM_NODE_ID == 0)
        heat(plates, size);
    run = run_begin("jacobi");
    for (i = 0; i < sweeps; i++) {
        sweep(plates[i % 2], plates[1 - i % 2], size, first, end);
        dsm_barrier(); /* nobody reads the new plate, or overwrites the old one, before all are done */
    }
    run_end(&run);

    if (DSM_NODE_ID == 0)
        check(&run, plates[sweeps % 2], size, sweeps);
    code = run_report(&run, "%zu x %zu cells, %ld sweeps", size, size, sweeps);
    dsm_finalize();
    return code;
}

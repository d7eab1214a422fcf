/*
 * jacobi: heat spreads over a square plate. Its upper and left edges are kept at 1, the other two at 0.
 *
 *     dsmexec machine_file jacobi [SIZE] [SWEEPS] [--columns]
 *
 * SIZE x SIZE cells, in shared memory, twice: a sweep reads one plate and writes the other. Each rank computes a block
 * of rows and needs one row of each neighbour; those pages, and only those, move at every sweep.
 *
 * Worth a look: each rank fills in the rows that it will compute, so that they are there when it begins. And before it
 * computes its inner rows it asks for what it needs for the outer ones: they come while it computes.
 * With --columns each rank computes a block of columns. Then a page that holds the end of one block and the beginning
 * of another has two writers in every row, and moves between them. Compare the faults.
 *
 * Rank 0 then computes the same alone, in private memory, and compares bit by bit.
 *
 * Exit code 0; 1 if the job cannot be joined or the result is wrong; 64 for wrong arguments.
 */
#include "example.h"

/* The rows and columns from .. to-1 of one rank. */
struct piece {
    size_t first, end, left, right;
};

/* The piece of `to` from `from`. */
static void sweep(const double *from, double *to, size_t size, struct piece piece)
{
    size_t row, column;

    for (row = piece.first; row < piece.end; row++) {
        const double *here = from + row * size;

        for (column = piece.left; column < piece.right; column++)
            to[row * size + column] =
                0.25 * (here[column - 1] + here[column + 1] + here[column - size] + here[column + size]);
    }
}

/* Fills rows first .. end-1 of both plates: two hot edges, and 0 everywhere else. */
static void heat(double *plates[2], size_t size, size_t first, size_t end)
{
    size_t row, column;

    for (row = first; row < end; row++)
        for (column = 0; column < size; column++)
            plates[0][row * size + column] = plates[1][row * size + column] = row == 0 || column == 0 ? 1.0 : 0.0;
}

/* Compares `result` with what one process alone computes. */
static void check(struct run *run, const double *result, size_t size, long sweeps)
{
    double *plates[2], began = now_seconds();
    size_t i;

    plates[0] = need(calloc(size * size, sizeof(double)), "the check");
    plates[1] = need(calloc(size * size, sizeof(double)), "the check");
    heat(plates, size, 0, size);
    for (i = 0; i < (size_t)sweeps; i++)
        sweep(plates[i % 2], plates[1 - i % 2], size, (struct piece){1, size - 1, 1, size - 1});
    run->alone = now_seconds() - began;
    for (i = 0; i < size * size; i++)
        if (result[i] != plates[sweeps % 2][i])
            run_wrong(run, "row %zu column %zu is %.17g, not %.17g", i / size, i % size, result[i],
                      plates[sweeps % 2][i]);
    free(plates[0]);
    free(plates[1]);
}

/* The cells that are not edge, in a block of rows or of columns per rank. */
static struct piece piece_of(size_t size, int rank, long by_columns)
{
    struct piece piece = {1, size - 1, 1, size - 1};

    if (by_columns) {
        piece.left = 1 + part(size - 2, rank);
        piece.right = 1 + part(size - 2, rank + 1);
    } else {
        piece.first = 1 + part(size - 2, rank);
        piece.end = 1 + part(size - 2, rank + 1);
    }
    return piece;
}

/* A sweep over this rank's rows, the outer two last. */
static void sweep_rows(const double *from, double *to, size_t size, struct piece mine)
{
    struct piece upper = mine, inner = mine, lower = mine;
    size_t row_bytes = size * sizeof(double);

    if (mine.first == mine.end)
        return;
    upper.end = inner.first = mine.first + 1;
    lower.first = inner.end = mine.end - 1 > mine.first ? mine.end - 1 : mine.end;
    if (DSM_NODE_ID > 0) {
        dsm_prefetch(from + (mine.first - 1) * size, row_bytes);
        dsm_prefetch_write(to + upper.first * size, row_bytes);
    }
    if (DSM_NODE_ID < DSM_NODE_NUM - 1) {
        dsm_prefetch(from + mine.end * size, row_bytes);
        dsm_prefetch_write(to + (mine.end - 1) * size, row_bytes);
    }
    sweep(from, to, size, inner);
    sweep(from, to, size, upper);
    sweep(from, to, size, lower);
}

int main(int argc, char **argv)
{
    long side = 512, sweeps = 100, by_columns = 0, i;
    const struct argument all[] = {
        {.name = "SIZE", .meaning = "rows and columns", .number = &side, .min = 3, .max = 32768},
        {.name = "SWEEPS", .meaning = "times to compute every cell", .number = &sweeps, .min = 1, .max = 1000000},
        {.name = "--columns", .meaning = "give ranks columns, not rows", .number = &by_columns},
        {0},
    };
    struct run run;
    struct piece mine;
    size_t size, cells;
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

    mine = piece_of(size, DSM_NODE_ID, 0);
    heat(plates, size, DSM_NODE_ID == 0 ? 0 : mine.first, DSM_NODE_ID == DSM_NODE_NUM - 1 ? size : mine.end);
    mine = piece_of(size, DSM_NODE_ID, by_columns);
    run = run_begin("jacobi");
    for (i = 0; i < sweeps; i++) {
        if (by_columns)
            sweep(plates[i % 2], plates[1 - i % 2], size, mine);
        else
            sweep_rows(plates[i % 2], plates[1 - i % 2], size, mine);
        dsm_barrier(); /* nobody reads the new plate, or overwrites the old one, before all are done */
    }
    run_end(&run);

    if (DSM_NODE_ID == 0)
        check(&run, plates[sweeps % 2], size, sweeps);
    code = run_report(&run, "%zu x %zu cells, %ld sweeps%s", size, size, sweeps, by_columns ? " by columns" : "");
    dsm_finalize();
    return code;
}

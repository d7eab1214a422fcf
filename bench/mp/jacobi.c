/*
 * jacobi, by messages: a rank has its block of rows and a copy of the row above and of the one below, which the
 * neighbours send before each sweep.
 */
#define main example_main
#include "../../examples/jacobi.c"
#undef main
#include "kernel.h"

/* One row to each neighbour, one from each. Rows of others stand where they stand in the whole plate. */
static void exchange_rows(double *plate, size_t size, struct piece mine)
{
    int above = mp_rank > 0 ? mp_rank - 1 : MP_NOBODY, below = mp_rank < mp_ranks - 1 ? mp_rank + 1 : MP_NOBODY;
    size_t bytes = size * sizeof *plate;

    mp_exchange(above, plate + mine.first * size, bytes, below, plate + mine.end * size, bytes);
    mp_exchange(below, plate + (mine.end - 1) * size, bytes, above, plate + (mine.first - 1) * size, bytes);
}

/* The rows of all to all, which is more than the check needs. */
static void gather(double *plate, size_t size)
{
    size_t *at = kernel_parts(size - 2, size * sizeof *plate);

    mp_gather_all(plate + size, at);
    free(at);
}

int main(int argc, char **argv)
{
    long side = 512, sweeps = 100, i;
    const struct argument all[] = {
        {.name = "SIZE", .meaning = "rows and columns", .number = &side, .min = 3, .max = 32768},
        {.name = "SWEEPS", .meaning = "times to compute every cell", .number = &sweeps, .min = 1, .max = 1000000},
        {0},
    };
    struct piece mine;
    double *plates[2];
    struct run run;
    size_t size;
    int code;

    kernel_init(&argc, &argv);
    parse_arguments(argc, argv, "jacobi", "Heat spreads over a plate, by messages.", all);
    size = (size_t)side;
    if (size < (size_t)mp_ranks + 2) {
        fprintf(stderr, "jacobi: %ld rows are too few for %d ranks\n", side, mp_ranks);
        return EXIT_USAGE;
    }
    plates[0] = need(calloc(size * size, sizeof(double)), "a plate");
    plates[1] = need(calloc(size * size, sizeof(double)), "a plate");
    mine = piece_of(size, mp_rank, 0);
    heat(plates, size, 0, size);

    run = kernel_begin("jacobi");
    for (i = 0; i < sweeps; i++) {
        exchange_rows(plates[i % 2], size, mine);
        sweep(plates[i % 2], plates[1 - i % 2], size, mine);
    }
    kernel_end(&run);

    gather(plates[sweeps % 2], size);
    if (mp_rank == 0)
        check(&run, plates[sweeps % 2], size, sweeps);
    code = run_report(&run, "%zu x %zu cells, %ld sweeps", size, size, sweeps);
    mp_finalize();
    return code;
}

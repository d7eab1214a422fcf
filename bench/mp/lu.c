/*
 * lu, by messages: a rank has its blocks and, in each step, copies of the blocks that its own need. Ranks are a grid as in
 * the example: a block of row k is sent down its column of ranks, one of column k along its row of ranks.
 */
#define main example_main
#include "../../examples/lu.c"
#undef main
#include "kernel.h"

/* Which rank has block (i, j), by the rule of is_mine(). */
static int owner(size_t i, size_t j)
{
    int rank, self = DSM_NODE_ID, found = 0;

    for (rank = 0; rank < mp_ranks; rank++) {
        DSM_NODE_ID = rank;
        if (is_mine(i, j))
            found = rank;
    }
    DSM_NODE_ID = self;
    return found;
}

/* Whether a rank updates a block in row i, or in column j, in step k. */
static int needs(const struct matrix *m, int rank, size_t k, size_t i, size_t j)
{
    size_t at;

    for (at = k + 1; at < m->blocks; at++)
        if (owner(i == k ? at : i, i == k ? j : at) == rank)
            return 1;
    return 0;
}

/* Block (i, j), of row or column k, from its owner to all who need it in step k. */
static void pass_on(const struct matrix *m, size_t k, size_t i, size_t j)
{
    size_t bytes = m->side * m->side * sizeof(double);
    int from = owner(i, j), rank;

    for (rank = 0; rank < mp_ranks; rank++) {
        if (rank == from || !needs(m, rank, k, i, j))
            continue;
        if (mp_rank == from)
            mp_exchange(rank, block(m, i, j), bytes, MP_NOBODY, NULL, 0);
        else if (mp_rank == rank)
            mp_exchange(MP_NOBODY, NULL, 0, from, block(m, i, j), bytes);
    }
}

static void decompose_by_messages(const struct matrix *m)
{
    size_t i, j, k;

    for (k = 0; k < m->blocks; k++) {
        if (is_mine(k, k))
            factor(m, block(m, k, k));
        mp_broadcast(owner(k, k), block(m, k, k), m->side * m->side * sizeof(double));
        for (i = k + 1; i < m->blocks; i++) {
            if (is_mine(k, i))
                divide_row(m, block(m, k, k), block(m, k, i));
            if (is_mine(i, k))
                divide_column(m, block(m, k, k), block(m, i, k));
        }
        for (i = k + 1; i < m->blocks; i++) {
            pass_on(m, k, k, i);
            pass_on(m, k, i, k);
        }
        for (i = k + 1; i < m->blocks; i++)
            for (j = k + 1; j < m->blocks; j++)
                if (is_mine(i, j))
                    update(m, block(m, i, k), block(m, k, j), block(m, i, j));
    }
}

static void gather(const struct matrix *m)
{
    size_t i, j;

    for (i = 0; i < m->blocks; i++)
        for (j = 0; j < m->blocks; j++)
            mp_broadcast(owner(i, j), block(m, i, j), m->side * m->side * sizeof(double));
}

int main(int argc, char **argv)
{
    long size = 384, side = 32;
    const struct argument all[] = {
        {.name = "SIZE", .meaning = "rows and columns", .number = &size, .min = 1, .max = 16384},
        {.name = "BLOCK", .meaning = "rows and columns of a block", .number = &side, .min = 1, .max = 1024},
        {0},
    };
    struct run run;
    struct matrix m;
    int code;

    kernel_init(&argc, &argv);
    parse_arguments(argc, argv, "lu", "A matrix as the product of two triangular ones, by messages.", all);
    if (size % side != 0) {
        fprintf(stderr, "lu: SIZE %ld is not a multiple of BLOCK %ld\n", size, side);
        return EXIT_USAGE;
    }
    m = make((size_t)size, (size_t)side, 0);
    run = kernel_begin("lu");
    decompose_by_messages(&m);
    kernel_end(&run);

    gather(&m);
    if (mp_rank == 0)
        check(&run, &m);
    code = run_report(&run, "%ld x %ld in blocks of %ld, stored by blocks", size, size, side);
    mp_finalize();
    return code;
}

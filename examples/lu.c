/*
 * lu: a square matrix as the product of a lower and an upper triangular one (no pivoting), block by block.
 *
 *     dsmexec machine_file lu [SIZE] [BLOCK] [--rows]
 *
 * Blocks of BLOCK x BLOCK elements are dealt out to the ranks like cards on a grid of ranks. In step k the owner of
 * block (k, k) factors it; then the owners of the rest of row and column k divide by it; then every owner updates its
 * blocks right of and below it.
 *
 * Worth a look: where a block is in memory. By default its elements are contiguous and it begins on a page of its own,
 * so a page has one writer. With --rows the matrix is stored row by row, as one writes it down; then a page
 * holds pieces of several blocks, of several ranks, and moves between them though nobody touches another's elements.
 * Compare the faults.
 *
 * Rank 0 then computes the same alone, by the three loops of the textbook, which round at the same places: the results
 * must be equal. Exit code 0; 1 if the job cannot be joined or the result is wrong; 64 for wrong arguments.
 */
#include "example.h"

struct matrix {
    double *elements;
    size_t side, blocks;  /* elements in a row of a block, blocks in a row of the matrix */
    size_t row, block;    /* elements from a row of a block to its next, from a block to the next block */
    size_t row_of_blocks; /* elements from a row of blocks to the next */
};

/* The block in row i and column j of blocks. */
static double *block(const struct matrix *m, size_t i, size_t j)
{
    return m->elements + i * m->row_of_blocks + j * m->block;
}

/* The ranks form a grid, as square as their number allows, which is laid over the blocks again and again. */
static int is_mine(size_t i, size_t j)
{
    size_t wide = 1, w, ranks = (size_t)DSM_NODE_NUM;

    for (w = 1; w * w <= ranks; w++)
        if (ranks % w == 0)
            wide = w;
    return i % (ranks / wide) * wide + j % wide == (size_t)DSM_NODE_ID;
}

/* d = L U in place; the ones on L's diagonal are not stored. */
static void factor(const struct matrix *m, double *d)
{
    size_t i, j, k;

    for (k = 0; k < m->side; k++)
        for (i = k + 1; i < m->side; i++) {
            d[i * m->row + k] /= d[k * m->row + k];
            for (j = k + 1; j < m->side; j++)
                d[i * m->row + j] -= d[i * m->row + k] * d[k * m->row + j];
        }
}

/* b = L^-1 b, for a block of the row right of d = L U. */
static void divide_row(const struct matrix *m, const double *d, double *b)
{
    size_t i, j, k;

    for (k = 0; k < m->side; k++)
        for (i = k + 1; i < m->side; i++)
            for (j = 0; j < m->side; j++)
                b[i * m->row + j] -= d[i * m->row + k] * b[k * m->row + j];
}

/* b = b U^-1, for a block of the column below d = L U. */
static void divide_column(const struct matrix *m, const double *d, double *b)
{
    size_t i, j, k;

    for (i = 0; i < m->side; i++)
        for (k = 0; k < m->side; k++) {
            b[i * m->row + k] /= d[k * m->row + k];
            for (j = k + 1; j < m->side; j++)
                b[i * m->row + j] -= b[i * m->row + k] * d[k * m->row + j];
        }
}

/* c -= a b */
static void update(const struct matrix *m, const double *a, const double *b, double *c)
{
    size_t i, j, k;

    for (i = 0; i < m->side; i++)
        for (k = 0; k < m->side; k++)
            for (j = 0; j < m->side; j++)
                c[i * m->row + j] -= a[i * m->row + k] * b[k * m->row + j];
}

static void decompose(const struct matrix *m)
{
    size_t i, j, k;

    for (k = 0; k < m->blocks; k++) {
        if (is_mine(k, k))
            factor(m, block(m, k, k));
        dsm_barrier();
        for (i = k + 1; i < m->blocks; i++) {
            if (is_mine(k, i))
                divide_row(m, block(m, k, k), block(m, k, i));
            if (is_mine(i, k))
                divide_column(m, block(m, k, k), block(m, i, k));
        }
        dsm_barrier();
        for (i = k + 1; i < m->blocks; i++)
            for (j = k + 1; j < m->blocks; j++)
                if (is_mine(i, j))
                    update(m, block(m, i, k), block(m, k, j), block(m, i, j));
    }
}

/* The element in row i and column j at first. The diagonal outweighs its row, so that no pivot is near 0. */
static double made_up(size_t size, size_t i, size_t j)
{
    return (double)(scramble(i << 32 | j) % 1000) / 1000 + (i == j ? (double)size : 0);
}

static double *element(const struct matrix *m, size_t i, size_t j)
{
    return block(m, i / m->side, j / m->side) + i % m->side * m->row + j % m->side;
}

static void check(struct run *run, const struct matrix *m)
{
    size_t size = m->side * m->blocks, i, j;
    double *a = need(calloc(size * size, sizeof *a), "the check"), began;
    const struct matrix whole = {.elements = a, .side = size, .row = size};

    for (i = 0; i < size; i++)
        for (j = 0; j < size; j++)
            a[i * size + j] = made_up(size, i, j);
    began = now_seconds();
    factor(&whole, a); /* a matrix of one block: the textbook's loops */
    run->alone = now_seconds() - began;
    for (i = 0; i < size; i++)
        for (j = 0; j < size; j++)
            if (*element(m, i, j) != a[i * size + j])
                run_wrong(run, "row %zu column %zu is %.17g, not %.17g", i, j, *element(m, i, j), a[i * size + j]);
    free(a);
}

/* Places a matrix of this size in shared memory, filled in by the owners of its blocks. */
static struct matrix make(size_t size, size_t side, long by_rows)
{
    struct matrix m = {.side = side, .blocks = size / side, .row = side};
    size_t page = dsm_page_size() / sizeof(double), i, j;

    m.block = (side * side + page - 1) / page * page; /* whole pages */
    m.row_of_blocks = m.blocks * m.block;
    if (by_rows) {
        m.row = size;
        m.block = side;
        m.row_of_blocks = side * size;
    }
    m.elements = need(dsm_named("matrix", m.blocks * m.row_of_blocks * sizeof(double)), "the matrix");
    for (i = 0; i < size; i++)
        for (j = 0; j < size; j++)
            if (is_mine(i / side, j / side))
                *element(&m, i, j) = made_up(size, i, j);
    return m;
}

int main(int argc, char **argv)
{
    long size = 384, side = 32, by_rows = 0;
    const struct argument all[] = {
        {.name = "SIZE", .meaning = "rows and columns", .number = &size, .min = 1, .max = 16384},
        {.name = "BLOCK", .meaning = "rows and columns of a block", .number = &side, .min = 1, .max = 1024},
        {.name = "--rows", .meaning = "store the matrix row by row, not block by block", .number = &by_rows},
        {0},
    };
    struct run run;
    struct matrix m;
    int code;

    parse_arguments(argc, argv, "lu", "A matrix as the product of two triangular ones.", all);
    if (size % side != 0) {
        fprintf(stderr, "lu: SIZE %ld is not a multiple of BLOCK %ld\n", size, side);
        return EXIT_USAGE;
    }
    if (dsm_init(argc, argv) == NULL)
        return EXIT_WRONG;
    m = make((size_t)size, (size_t)side, by_rows);
    run = run_begin("lu");
    decompose(&m);
    run_end(&run);

    if (DSM_NODE_ID == 0)
        check(&run, &m);
    code = run_report(&run, "%ld x %ld in blocks of %ld, stored by %s", size, size, side, by_rows ? "rows" : "blocks");
    dsm_finalize();
    return code;
}

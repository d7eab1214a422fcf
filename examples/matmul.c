/*
 * matmul: the product of two square matrices.
 *
 *     dsmexec machine_file matmul [SIZE]
 *
 * Each rank computes a block of rows of C = A B. It needs the same rows of A, which it filled in itself and so has
 * already, and all of B, of which it filled in a part: the rest comes over the network, once, and stays.
 *
 * Worth a look: dsm_prefetch, which asks for all of B at once where touching it would ask page by page.
 *
 * Rank 0 then computes the same alone. An element's products are added in the same order, so the results must be equal.
 * Exit code 0; 1 if the job cannot be joined or the result is wrong; 64 for wrong arguments.
 */
#include "example.h"

enum { BLOCK = 64 };

/* Small whole numbers over 8: exact, and not the same everywhere. */
static double made_up(size_t matrix, size_t at)
{
    return (double)(scramble(matrix << 32 | at) % 1000) / 8 - 60;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/*
 * Rows first .. end-1 of c = a b, in blocks of BLOCK columns and BLOCK terms, so that the part of b in use stays in
 * the processor's cache. The terms of an element are added with growing k, as in the definition.
 */
static void multiply(const double *a, const double *b, double *c, size_t size, size_t first, size_t end)
{
    size_t k0, j0, i, j, k;

    for (k0 = 0; k0 < size; k0 += BLOCK)
        for (j0 = 0; j0 < size; j0 += BLOCK)
            for (i = first; i < end; i++)
                for (k = k0; k < smaller(k0 + BLOCK, size); k++) {
                    double factor = a[i * size + k];

                    for (j = j0; j < smaller(j0 + BLOCK, size); j++)
                        c[i * size + j] += factor * b[k * size + j];
                }
}

static void check(struct run *run, const double *result, size_t size)
{
    size_t cells = size * size, i;
    double *a = need(calloc(3 * cells, sizeof *a), "the check"), *b = a + cells, *c = b + cells, began;

    for (i = 0; i < cells; i++) {
        a[i] = made_up(0, i);
        b[i] = made_up(1, i);
    }
    began = now_seconds();
    multiply(a, b, c, size, 0, size);
    run->alone = now_seconds() - began;
    for (i = 0; i < cells; i++)
        if (result[i] != c[i])
            run_wrong(run, "row %zu column %zu is %.17g, not %.17g", i / size, i % size, result[i], c[i]);
    free(a);
}

int main(int argc, char **argv)
{
    long side = 384;
    const struct argument all[] = {
        {.name = "SIZE", .meaning = "rows and columns", .number = &side, .min = 1, .max = 16384},
        {0},
    };
    struct run run;
    size_t size, bytes, first, end, i;
    double *a, *b, *c;
    int code;

    parse_arguments(argc, argv, "matmul", "The product of two square matrices.", all);
    a = (double *)dsm_init(argc, argv);
    if (a == NULL)
        return EXIT_WRONG;
    size = (size_t)side;
    bytes = size * size * sizeof(double);
    need_area("matmul", 3 * bytes);
    b = a + size * size;
    c = b + size * size;
    first = part(size, DSM_NODE_ID);
    end = part(size, DSM_NODE_ID + 1);

    /* Everyone fills in the rows that it will compute with: they are where they are needed. */
    for (i = first * size; i < end * size; i++) {
        a[i] = made_up(0, i);
        b[i] = made_up(1, i);
        c[i] = 0; /* is 0 already, but maybe elsewhere */
    }
    run = run_begin("matmul");
    dsm_prefetch(b, bytes);
    multiply(a, b, c, size, first, end);
    run_end(&run);

    if (DSM_NODE_ID == 0)
        check(&run, c, size);
    code = run_report(&run, "%zu x %zu", size, size);
    dsm_finalize();
    return code;
}

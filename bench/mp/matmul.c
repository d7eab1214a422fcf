/*
 * matmul, by messages: a rank has its rows of A, B and C; all of B is gathered before the product.
 */
#define main example_main
#include "../../examples/matmul.c"
#undef main
#include "kernel.h"

int main(int argc, char **argv)
{
    long side = 384;
    const struct argument all[] = {
        {.name = "SIZE", .meaning = "rows and columns", .number = &side, .min = 1, .max = 16384},
        {0},
    };
    struct run run;
    size_t size, first, end, i, *at;
    double *a, *b, *c;
    int code;

    kernel_init(&argc, &argv);
    parse_arguments(argc, argv, "matmul", "The product of two square matrices, by messages.", all);
    size = (size_t)side;
    a = need(calloc(size * size, sizeof *a), "a matrix");
    b = need(calloc(size * size, sizeof *b), "a matrix");
    c = need(calloc(size * size, sizeof *c), "a matrix");
    at = kernel_parts(size, size * sizeof *b);
    first = part(size, mp_rank);
    end = part(size, mp_rank + 1);
    for (i = first * size; i < end * size; i++) {
        a[i] = made_up(0, i);
        b[i] = made_up(1, i);
        c[i] = 0;
    }

    run = kernel_begin("matmul");
    mp_gather_all(b, at);
    multiply(a, b, c, size, first, end);
    kernel_end(&run);

    mp_gather_all(c, at);
    if (mp_rank == 0)
        check(&run, c, size);
    code = run_report(&run, "%zu x %zu", size, size);
    free(at);
    mp_finalize();
    return code;
}

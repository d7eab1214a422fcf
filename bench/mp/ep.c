/*
 * ep, by messages: the sums of all blocks are gathered at the end.
 */
#define main example_main
#include "../../examples/ep.c"
#undef main
#include "kernel.h"

int main(int argc, char **argv)
{
    long points = 1 << 20;
    const struct argument all[] = {
        {.name = "PAIRS", .meaning = "points in the square", .number = &points, .min = 1, .max = 1000000000000},
        {0},
    };
    struct tally *tallies, total;
    size_t blocks, first, *at;
    struct run run;
    int code;

    kernel_init(&argc, &argv);
    parse_arguments(argc, argv, "ep", "Pairs of random numbers with a bell-shaped distribution, by messages.", all);
    blocks = ((size_t)points + BLOCK - 1) / BLOCK;
    tallies = need(calloc(blocks, sizeof *tallies), "the sums");
    first = part(blocks, mp_rank);
    at = kernel_parts(blocks, sizeof *tallies);

    run = kernel_begin("ep");
    tally_blocks((uint64_t)points, first, part(blocks, mp_rank + 1), tallies + first);
    mp_gather_all(tallies, at);
    total = sum(tallies, blocks);
    kernel_end(&run);

    if (mp_rank == 0)
        check(&run, &total, (uint64_t)points, blocks);
    code = run_report(&run, "%ld points, %" PRIu64 " pairs with sums %.6f and %.6f", points, pairs_of(&total), total.x, total.y);
    free(at);
    free(tallies);
    mp_finalize();
    return code;
}

/*
 * ep: pairs of random numbers with a bell-shaped distribution, as the kernel EP of the NAS benchmarks makes them.
 *
 *     dsmexec machine_file ep [PAIRS]
 *
 * PAIRS points are strewn over a square. Each that is inside the circle gives a pair of numbers by Marsaglia's polar
 * method. They are added up, and counted by the size of the larger one. "EP" is for embarrassingly parallel: ranks have
 * nothing to tell each other but the sums at the end.
 *
 * Worth a look: each rank computes in private memory and stores what it has once.
 *
 * A sum of floating point numbers depends on their order. So each block of points has sums of its own, whoever computes it,
 * and these are added in the order of blocks. Rank 0 then computes the same alone: the results must be equal.
 * Exit code 0; 1 if the job cannot be joined or the result is wrong; 64 for wrong arguments.
 */
#include "example.h"
#include <math.h>

enum { BLOCK = 1 << 14, RINGS = 10 };

struct tally {
    double x, y;           /* the sums */
    uint64_t pairs[RINGS]; /* whose larger number is from i to i + 1 */
};

/* From -1 to 1. */
static double made_up(uint64_t at)
{
    return (double)(scramble(at) >> 11) * 0x1p-52 - 1;
}

/* Points first .. end-1. */
static struct tally tally_points(uint64_t first, uint64_t end)
{
    struct tally tally = {0};
    uint64_t at;

    for (at = first; at < end; at++) {
        double x = made_up(2 * at), y = made_up(2 * at + 1), square = x * x + y * y, stretch;

        if (square > 1 || square == 0)
            continue;
        stretch = sqrt(-2 * log(square) / square);
        x *= stretch;
        y *= stretch;
        tally.x += x;
        tally.y += y;
        tally.pairs[(size_t)fmin(fmax(fabs(x), fabs(y)), RINGS - 1)]++;
    }
    return tally;
}

/* Blocks first .. end-1, block `first` in tallies[0]. */
static void tally_blocks(uint64_t points, size_t first, size_t end, struct tally *tallies)
{
    size_t block;

    for (block = first; block < end; block++) {
        uint64_t from = (uint64_t)block * BLOCK, to = from + BLOCK;

        tallies[block - first] = tally_points(from, to < points ? to : points);
    }
}

static struct tally sum(const struct tally *tallies, size_t blocks)
{
    struct tally sum = {0};
    size_t block, ring;

    for (block = 0; block < blocks; block++) {
        sum.x += tallies[block].x;
        sum.y += tallies[block].y;
        for (ring = 0; ring < RINGS; ring++)
            sum.pairs[ring] += tallies[block].pairs[ring];
    }
    return sum;
}

static uint64_t pairs_of(const struct tally *tally)
{
    uint64_t pairs = 0;
    size_t ring;

    for (ring = 0; ring < RINGS; ring++)
        pairs += tally->pairs[ring];
    return pairs;
}

static void check(struct run *run, const struct tally *result, uint64_t points, size_t blocks)
{
    struct tally *tallies = need(calloc(blocks, sizeof *tallies), "the check"), alone;
    double began = now_seconds();

    tally_blocks(points, 0, blocks, tallies);
    alone = sum(tallies, blocks);
    run->alone = now_seconds() - began;
    if (memcmp(result, &alone, sizeof alone) != 0)
        run_wrong(run, "%" PRIu64 " pairs with sums %.17g and %.17g, not %" PRIu64 " with %.17g and %.17g",
                  pairs_of(result), result->x, result->y, pairs_of(&alone), alone.x, alone.y);
    free(tallies);
}

int main(int argc, char **argv)
{
    long points = 1 << 20;
    const struct argument all[] = {
        {.name = "PAIRS", .meaning = "points in the square", .number = &points, .min = 1, .max = 1000000000000},
        {0},
    };
    struct tally *tallies, *mine, total = {0};
    size_t blocks, first, end;
    struct run run;
    int code;

    parse_arguments(argc, argv, "ep", "Pairs of random numbers with a bell-shaped distribution.", all);
    if (dsm_init(argc, argv) == NULL)
        return EXIT_WRONG;
    blocks = ((size_t)points + BLOCK - 1) / BLOCK;
    tallies = need(dsm_named("tallies", blocks * sizeof *tallies), "the sums");
    first = part(blocks, DSM_NODE_ID);
    end = part(blocks, DSM_NODE_ID + 1);
    mine = need(calloc(end - first + 1, sizeof *mine), "own sums");

    run = run_begin("ep");
    tally_blocks((uint64_t)points, first, end, mine);
    memcpy(tallies + first, mine, (end - first) * sizeof *mine);
    dsm_barrier();
    if (DSM_NODE_ID == 0)
        total = sum(tallies, blocks);
    run_end(&run);

    if (DSM_NODE_ID == 0)
        check(&run, &total, (uint64_t)points, blocks);
    code = run_report(&run, "%ld points, %" PRIu64 " pairs with sums %.6f and %.6f", points, pairs_of(&total), total.x, total.y);
    free(mine);
    dsm_finalize();
    return code;
}

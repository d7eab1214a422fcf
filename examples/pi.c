/*
 * pi: how many of many darts hit a quarter of a circle.
 *
 *     dsmexec machine_file pi [DARTS] [--padded]
 *
 * Each rank throws its part of the darts, and counts hits in a word of its own in shared memory. No rank touches
 * another's word. But the words are neighbours, on one page, and memory moves in pages: the page goes from rank to
 * rank with each rank's next hit, or nearly. This is false sharing. With --padded every word is on a page of its
 * own, and nothing moves.
 *
 * Better still is to count in a local variable and store it once. So does any compiler here, if it may; `volatile`
 * is for making it count in memory, as it has to when the loop is less simple.
 *
 * Rank 0 then throws all darts alone, and compares. Exit code 0; 1 if the job cannot be joined or the result is
 * wrong; 64 for wrong arguments.
 */
#include "example.h"

static int is_hit(uint64_t dart)
{
    uint64_t random = scramble(dart), x = random & UINT32_MAX, y = random >> 32;

    return x * x / 2 + y * y / 2 <= (uint64_t)UINT32_MAX * UINT32_MAX / 2; /* halves, so that the sum fits */
}

static void throw(uint64_t first, uint64_t end, volatile uint64_t *hits)
{
    uint64_t dart;

    for (dart = first; dart < end; dart++)
        *hits += (uint64_t)is_hit(dart);
}

int main(int argc, char **argv)
{
    long darts = 100000000, padded = 0;
    const struct argument all[] = {
        {.name = "DARTS", .meaning = "of all ranks", .number = &darts, .min = 1, .max = 1000000000000},
        {.name = "--padded", .meaning = "give every rank's word a page of its own", .number = &padded},
        {0},
    };
    uint64_t *words, total = 0, alone = 0;
    struct run run;
    size_t apart, pages;
    double began;
    int rank, code;

    parse_arguments(argc, argv, "pi", "How many of many darts hit a quarter of a circle.", all);
    if (dsm_init(argc, argv) == NULL)
        return EXIT_WRONG;
    pages = (size_t)DSM_NODE_NUM;
    words = need(dsm_named("hits", pages * dsm_page_size()), "the hits");
    apart = padded ? dsm_page_size() / sizeof *words : 1;

    run = run_begin("pi");
    throw(part((size_t)darts, DSM_NODE_ID), part((size_t)darts, DSM_NODE_ID + 1), &words[apart * (size_t)DSM_NODE_ID]);
    run_end(&run);

    if (DSM_NODE_ID == 0) {
        for (rank = 0; rank < DSM_NODE_NUM; rank++)
            total += words[apart * (size_t)rank];
        began = now_seconds();
        throw(0, (uint64_t)darts, &alone);
        run.alone = now_seconds() - began;
        if (total != alone)
            run_wrong(&run, "%" PRIu64 " hits, not %" PRIu64, total, alone);
    }
    code = run_report(&run, "%ld darts, pi is about %.5f, %s", darts, 4.0 * (double)total / (double)darts,
                      padded ? "a page for each word" : "all words on a page");
    dsm_finalize();
    return code;
}

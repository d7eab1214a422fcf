/*
 * rotation [MIB [ROUNDS]]: in every round each page is written by one rank, the next one in rank order each time, and
 * then read by all others. Default 64 MiB, and as many rounds as ranks. Every page is checked at its first and last word.
 */
#include <dsm.h>
#include <inttypes.h>

static uint64_t stamp(size_t page, long round)
{
    return (uint64_t)page * 1000003u + (uint64_t)round + 1;
}

static int writer(size_t page, long round)
{
    return (int)((page + (size_t)round) % (size_t)DSM_NODE_NUM);
}

int main(int argc, char **argv)
{
    long mib = argc > 1 ? atol(argv[1]) : 64;
    char *area = dsm_init(argc, argv);
    long rounds = argc > 2 ? atol(argv[2]) : DSM_NODE_NUM, round;
    size_t bytes = dsm_page_size(), pages = ((size_t)mib << 20) / bytes, words = bytes / sizeof(uint64_t), i;
    uint64_t wrong = 0;
    struct dsm_stats stats;

    if (area == NULL || pages * bytes > dsm_size())
        return 1;
    for (round = 0; round < rounds; round++) {
        for (i = 0; i < pages; i++)
            if (writer(i, round) == DSM_NODE_ID) {
                volatile uint64_t *page = (volatile uint64_t *)(area + i * bytes);

                page[0] = stamp(i, round);
                page[words - 1] = ~stamp(i, round);
            }
        dsm_barrier();
        for (i = 0; i < pages; i++)
            if (writer(i, round) != DSM_NODE_ID) {
                const volatile uint64_t *page = (const volatile uint64_t *)(area + i * bytes);

                if (page[0] != stamp(i, round) || page[words - 1] != ~stamp(i, round)) {
                    fprintf(stderr, "rank %d, round %ld, page %zu: 0x%" PRIx64 " and 0x%" PRIx64 "\n", DSM_NODE_ID, round, i,
                            page[0], page[words - 1]);
                    if (++wrong > 10)
                        return 1;
                }
            }
        dsm_barrier();
    }
    dsm_stats(&stats);
    printf("%zu pages, %ld rounds, %" PRIu64 " wrong, %" PRIu64 " pages came\n", pages, rounds, wrong, stats.pages_in);
    dsm_finalize();
    return wrong != 0;
}

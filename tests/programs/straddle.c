/*
 * straddle [TIMES]: stores that touch two pages at once, by all ranks, on the same two pages. Each instruction must
 * retire although the other ranks keep taking both pages away. Default 1000.
 */
#include <dsm.h>
#include <stdatomic.h>

int main(int argc, char **argv)
{
    long times = argc > 1 ? atol(argv[1]) : 1000, i;
    char *area = dsm_init(argc, argv), *across;
    uint64_t last = 0;

    if (area == NULL)
        return 1;
    across = area + dsm_page_size() - sizeof last / 2;
    for (i = 1; i <= times; i++) {
        uint64_t value = (uint64_t)i << 32 | (uint64_t)i;

        memcpy(across, &value, sizeof value); /* one instruction: half in each page */
        atomic_signal_fence(memory_order_seq_cst);
    }
    dsm_barrier();
    memcpy(&last, across, sizeof last);
    if (last != ((uint64_t)times << 32 | (uint64_t)times)) {
        fprintf(stderr, "rank %d: the last store is %#llx\n", DSM_NODE_ID, (unsigned long long)last);
        return 1;
    }
    printf("rank %d: %ld stores across two pages\n", DSM_NODE_ID, times);
    dsm_finalize();
    return 0;
}

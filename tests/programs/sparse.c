/*
 * sparse [GIB [PAGES]]: an object of so many GiB of which every rank touches so many pages. What is not touched costs
 * nothing, and nothing is left when it is freed. Default 20 GiB, 100 pages.
 */
#include "check.h"

/* Bytes of shared mappings this process has in memory. */
static uint64_t resident(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    unsigned long long kib = 0;
    char line[200];

    MUST(status != NULL);
    while (fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "RssShmem: %llu", &kib) == 1)
            break;
    fclose(status);
    return (uint64_t)kib * 1024;
}

int main(int argc, char **argv)
{
    size_t bytes = (size_t)argument(argc, argv, 1, 20) << 30, stride, page;
    long pages = argument(argc, argv, 2, 100), i;
    char *volatile *place = join(argc, argv), *object;
    uint64_t before, after, allowed;

    page = dsm_page_size();
    before = resident();
    if (DSM_NODE_ID == 0)
        *place = dsm_malloc(bytes);
    EXPECT(0, dsm_barrier());
    object = *place;
    MUST(object != NULL);
    stride = bytes / (size_t)pages / page * page;
    /* One rank's pages lie beside the other's, so that each has its own. */
    for (i = 0; i < pages; i++) {
        volatile uint64_t *word = (volatile uint64_t *)(object + (size_t)i * stride + (size_t)DSM_NODE_ID * page);

        SAME(*word, 0);
        *word = (uint64_t)i + 1;
    }
    EXPECT(0, dsm_barrier());
    after = resident();
    /* A page may be counted twice, since each is mapped twice, and the runtime has a few of its own. */
    allowed = before + (2 * (uint64_t)pages + 50) * page;
    if (after > allowed)
        SAME(after, allowed);
    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == DSM_NODE_NUM - 1)
        dsm_free(object);
    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == 0) {
        object = dsm_malloc(bytes);
        MUST(object != NULL);
        for (i = 0; i < pages; i++)
            SAME(*(volatile uint64_t *)(object + (size_t)i * stride), 0);
        dsm_free(object);
    }
    EXPECT(0, dsm_barrier());
    printf("%ld pages of %zu GiB: %" PRIu64 " KiB in memory\n", pages, bytes >> 30, (after - before) / 1024);
    return right("sparse");
}

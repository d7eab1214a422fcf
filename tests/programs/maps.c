/*
 * maps LEFT: every rank makes mappings of its own until the kernel allows LEFT more (default 1000), then the ranks
 * write to pages by turns. Where faults are served by mprotect that splits the area in more parts than are allowed.
 */
#include "check.h"

#include <sys/mman.h>

enum { PAGES = 4096 };

/* Maps pages of unlike access until there are no more mappings to be had, and gives some back. */
static void use_up(long left)
{
    size_t page = dsm_page_size(), most = 1u << 17, count;
    char *pages = mmap(NULL, 2 * most * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    MUST(pages != MAP_FAILED);
    for (count = 0; count < most; count++)
        if (mprotect(pages + 2 * count * page, page, PROT_READ) != 0)
            break;
    MUST(errno == ENOMEM && count < most);
    printf("%zu pages apart\n", count);
    fflush(stdout);
    /* Each of them is a mapping, and so is what is between them. */
    MUST(munmap(pages + 2 * (count - (size_t)left / 2) * page, (size_t)left * page) == 0);
}

int main(int argc, char **argv)
{
    char *area = join(argc, argv);
    uint64_t i, sum = 0;

    use_up(argument(argc, argv, 1, 1000));
    EXPECT(0, dsm_barrier());
    for (i = 0; i < PAGES; i++)
        if (i % (uint64_t)DSM_NODE_NUM == (uint64_t)DSM_NODE_ID)
            *(uint64_t *)(void *)(area + i * dsm_page_size()) = i;
    EXPECT(0, dsm_barrier());
    for (i = 0; i < PAGES; i += 2)
        sum += *(uint64_t *)(void *)(area + i * dsm_page_size());
    SAME(sum, (uint64_t)PAGES / 2 * (PAGES - 2) / 2);
    EXPECT(0, dsm_barrier());
    return right("maps");
}

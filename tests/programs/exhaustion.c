/*
 * exhaustion [MIB]: allocates until the heap is full, on one rank after the other; each finds it full, with ENOMEM, and
 * that nothing is lost when all is freed. To be started with a heap (DSM_HEAP) of so many MiB. Default 64.
 */
#include "check.h"

enum { MAX_BLOCKS = 1 << 16 };

static void *blocks[MAX_BLOCKS];

static long fill_up(size_t bytes)
{
    long count;

    for (count = 0; count < MAX_BLOCKS; count++) {
        errno = 0;
        blocks[count] = dsm_malloc(bytes);
        if (blocks[count] == NULL)
            break;
    }
    SAME(errno, ENOMEM);
    return count;
}

static void free_all(long count)
{
    while (count > 0)
        dsm_free(blocks[--count]);
}

int main(int argc, char **argv)
{
    size_t heap = (size_t)argument(argc, argv, 1, 64) << 20, bytes = 1 << 20;
    long *first = join(argc, argv), count = 0;
    int rank;

    for (rank = 0; rank < DSM_NODE_NUM; rank++) {
        if (DSM_NODE_ID == rank) {
            MUST(dsm_malloc(heap + 1) == NULL);
            SAME(errno, ENOMEM);
            count = fill_up(bytes);
            MUST((size_t)count * bytes <= heap);
            MUST((size_t)count * bytes >= heap / 2); /* most of it is the program's */
            if (rank == 0)
                *first = count;
            free_all(count);
            count = fill_up(10000); /* what was one object is many */
            free_all(count);
        }
        EXPECT(0, dsm_barrier());
        /* When it is full, it is so for all: whoever comes next gets as much as the one before. */
        if (DSM_NODE_ID == rank) {
            count = fill_up(bytes);
            MUST(count + 4 >= *first);
        }
        EXPECT(0, dsm_barrier());
        if (DSM_NODE_ID != rank) {
            errno = 0;
            MUST(dsm_malloc(2 * bytes) == NULL);
            SAME(errno, ENOMEM);
        }
        EXPECT(0, dsm_barrier());
        if (DSM_NODE_ID == rank)
            free_all(count);
        EXPECT(0, dsm_barrier());
    }
    return right("exhaustion");
}

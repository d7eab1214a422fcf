/*
 * scan [SECONDS]: every rank fills the pages that start on it, i mod N, then all ranks read all 100 pages and check each word.
 */
#include "phases.h"

static int stamp(long page, size_t index)
{
    return LARGE + (int)page * 1024 + (int)index;
}

int main(int argc, char **argv)
{
    size_t index, middle;
    long page, sum = 0;
    int rank;

    join(argc, argv);
    middle = words_of_page() / 2; /* of pages 0 to N-1 it is the flag */
    for (page = DSM_NODE_ID; page < PAGES; page += DSM_NODE_NUM)
        for (index = words_of_page(); index-- > 0;)
            if (index != middle)
                atomic_store(word(page, index), stamp(page, index));
    atomic_store(word(DSM_NODE_ID, middle), 1);

    for (rank = 0; rank < DSM_NODE_NUM; rank++)
        await_flag(rank, 1);
    for (page = 0; page < PAGES; page++)
        for (index = 0; index < words_of_page(); index++) {
            int got = index == middle ? 0 : atomic_load(word(page, index));

            if (index != middle && got != stamp(page, index))
                wrong("word of page", page, got, stamp(page, index));
            sum += got;
        }
    return right(sum);
}

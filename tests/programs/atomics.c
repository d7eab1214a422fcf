/*
 * atomics [THREADS [ADDS]]: sums and compare-and-exchange loops by all threads of all ranks, on words of every home, in
 * their place and mixed with the processor's own atomics. Default 3 threads, 300 of each.
 */
#include "check.h"

enum { MAX_RANKS = 16 };

struct page { /* words of one home */
    uint64_t added, exchanged, mixed;
};

static char *area;
static long threads, adds;
static _Atomic uint64_t before; /* the sum of what this rank's adds gave */

static struct page *page(int number)
{
    return (struct page *)(area + (size_t)number * dsm_page_size());
}

/* A counter's values before each add are all different, so their sum is known. */
static uint64_t add(int number)
{
    struct page *mine = page(number);
    uint64_t had = dsm_fetch_add_u64(&mine->added, 1);

    if (had % 3 == 0)
        atomic_fetch_add((_Atomic uint64_t *)&mine->mixed, 2);
    else
        dsm_fetch_add_u64(&mine->mixed, 2);
    return had;
}

static void exchange(int number)
{
    uint64_t *word = &page(number)->exchanged, expected = 0, tried;

    do
        tried = expected;
    while (!dsm_compare_exchange_u64(word, &expected, tried + 3));
    SAME(expected, tried); /* it is left alone by an exchange */
}

static void work(long thread)
{
    long i;

    for (i = 0; i < adds; i++) {
        int number = (int)((i + thread) % DSM_NODE_NUM);

        before += add(number);
        exchange(number);
    }
}

static void check_one(void)
{
    uint64_t *word = (uint64_t *)(area + (size_t)(MAX_RANKS + DSM_NODE_ID) * dsm_page_size()), expected = 7;

    SAME(dsm_fetch_add_u64(word, 5), 0);
    SAME(dsm_fetch_add_u64(word, UINT64_MAX), 5);
    SAME(*word, 4); /* it wraps round */
    MUST(dsm_compare_exchange_u64(word, &expected, 9) == 0);
    SAME(expected, 4);
    MUST(dsm_compare_exchange_u64(word, &expected, 9) == 1);
    SAME(expected, 4);
    SAME(*word, 9);
    MUST(dsm_compare_exchange_u64(word, word, 10) == 1); /* expected may be the word itself */
    SAME(*word, 10);
}

int main(int argc, char **argv)
{
    uint64_t total = 0, *sum, expected = 0;
    int number;

    threads = argument(argc, argv, 1, 3);
    adds = argument(argc, argv, 2, 300);
    area = join(argc, argv);
    MUST(DSM_NODE_NUM <= MAX_RANKS);
    check_one();
    EXPECT(0, dsm_barrier());
    in_threads(threads, work);
    sum = (uint64_t *)(area + 2 * MAX_RANKS * dsm_page_size());
    dsm_fetch_add_u64(sum, before);
    EXPECT(0, dsm_barrier());
    for (number = 0; number < DSM_NODE_NUM; number++) {
        uint64_t added = page(number)->added;

        total += added;
        expected += added * (added - 1) / 2;
        SAME(page(number)->mixed, 2 * added);
        SAME(page(number)->exchanged, 3 * added);
    }
    SAME(total, DSM_NODE_NUM * threads * adds);
    SAME(*sum, expected);
    return right("atomics");
}

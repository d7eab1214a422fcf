/*
 * prefetch [PAGES]: pages that were asked for early are there without a fault, for reading or for writing; asking changes
 * nothing else. At least two ranks. Default 64 pages.
 */
#include "check.h"

static char *area;
static long pages;

static volatile uint64_t *word(long page)
{
    return (volatile uint64_t *)(area + (size_t)page * dsm_page_size());
}

static struct dsm_stats stats(void)
{
    struct dsm_stats now;

    EXPECT(0, dsm_stats(&now));
    return now;
}

/* The call returns at once; the pages come one after the other, and the count of those that came tells when. */
static void await_pages(uint64_t count)
{
    while (stats().pages_in < count)
        sched_yield();
}

/* The last rank reads, and then writes, what the first wrote, without stopping. */
static void check_prefetched(void)
{
    struct dsm_stats before = stats(), after;
    size_t bytes = (size_t)pages * dsm_page_size();
    uint64_t sum = 0;
    long page;

    EXPECT(0, dsm_prefetch(area, bytes));
    await_pages(before.pages_in + (uint64_t)pages);
    for (page = 0; page < pages; page++)
        sum += *word(page);
    after = stats();
    SAME(sum, pages * (pages + 1) / 2);
    SAME(after.read_faults, before.read_faults);
    EXPECT(0, dsm_prefetch(area, bytes)); /* all is here */
    EXPECT(0, dsm_prefetch_write(area + bytes, bytes));
    await_pages(before.pages_in + 2 * (uint64_t)pages);
    for (page = pages; page < 2 * pages; page++)
        *word(page) += 1;
    after = stats();
    SAME(after.write_faults + after.upgrades, before.write_faults + before.upgrades);
    SAME(after.read_faults, before.read_faults);
    SAME(after.pages_in, before.pages_in + 2 * (uint64_t)pages);
}

/* Ranks ask for pages that others use at the same time. */
static void disturb(long thread)
{
    long turn;

    for (turn = 0; turn < pages * 4; turn++) {
        long page = (turn * 7 + thread) % pages;

        EXPECT(0, turn % 2 ? dsm_prefetch_write((void *)(uintptr_t)word(page), 1) : dsm_prefetch((void *)(uintptr_t)word(page), 8));
        atomic_fetch_add((_Atomic uint64_t *)(uintptr_t)(word(page) + 1), 1);
    }
}

int main(int argc, char **argv)
{
    uint64_t sum = 0;
    long page;

    pages = argument(argc, argv, 1, 64);
    area = join(argc, argv);
    MUST(DSM_NODE_NUM > 1 && (size_t)(2 * pages) * dsm_page_size() <= dsm_size());
    if (DSM_NODE_ID == 0)
        for (page = 0; page < 2 * pages; page++)
            *word(page) = (uint64_t)page + 1;
    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == DSM_NODE_NUM - 1)
        check_prefetched();
    EXPECT(0, dsm_barrier());
    for (page = pages; page < 2 * pages; page++)
        SAME(*word(page), page + 2);
    EXPECT(0, dsm_barrier());
    in_threads(2, disturb);
    EXPECT(0, dsm_barrier());
    for (page = 0; page < pages; page++)
        sum += word(page)[1];
    SAME(sum, DSM_NODE_NUM * 2 * pages * 4);
    return right("prefetch");
}

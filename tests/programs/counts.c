/*
 * counts: does things whose counts are known exactly, for `dsmexec --stats` to print. Three ranks or more; those above 2
 * only cross the barriers. With an argument, rank 1 ends without a word after the first barrier.
 *
 * By rank              0                  1                   2
 * store, load, store                      write fault         read fault, upgrade
 * pages                                   1 out               1 in
 * locks                1 asked for        1 asked for, 2 here
 * messages             5, as the home     4                   2
 *
 * The first lock of rank 0 is asked for too, of rank 0 itself. To these come the messages of four barriers and of the
 * end: 1 each from every rank but 0, which sends as many as there are other ranks.
 */
#include "check.h"

static volatile uint64_t *word;

static void lock_and_unlock(dsm_mutex_t *mutex)
{
    EXPECT(0, dsm_mutex_lock(mutex));
    EXPECT(0, dsm_mutex_unlock(mutex));
}

int main(int argc, char **argv)
{
    dsm_mutex_t *mutex;

    word = join(argc, argv);
    mutex = (dsm_mutex_t *)(uintptr_t)(word + 1);
    MUST(DSM_NODE_NUM >= 3);
    SAME(0, dsm_home((const void *)(uintptr_t)word));
    EXPECT(0, dsm_barrier());
    if (argc > 1 && DSM_NODE_ID == 1)
        _exit(3);
    if (DSM_NODE_ID == 1)
        *word = 7; /* Request; Grant of a page that nobody used */
    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == 2) {
        SAME(7, *word); /* Request; Forward; Grant with the page */
        *word = 8;      /* Request; Invalidate, Ack; Grant of the right alone */
    }
    if (DSM_NODE_ID == 0)
        lock_and_unlock(mutex);
    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == 1) {
        lock_and_unlock(mutex); /* Request; Grant */
        lock_and_unlock(mutex);
        lock_and_unlock(mutex);
    }
    EXPECT(0, dsm_barrier());
    dsm_finalize();
    puts("counts: right");
    return 0;
}

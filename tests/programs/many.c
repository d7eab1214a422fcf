/*
 * many [ITEMS [THREADS]]: so many structures on the heap, each with a mutex and five condition variables among its data,
 * allocated by all ranks. At each, two threads of all take turns, once for each condition variable. Default 4000 items,
 * and so 4,000 mutexes and 20,000 condition variables; 3 threads.
 */
#include "check.h"

enum { CONDS = 5 };

struct item {
    char name[28];
    uint32_t turn; /* its value says whose turn it is: of the one thread if it is odd, of the other if even */
    dsm_mutex_t mutex;
    dsm_cond_t changed[CONDS + 1];
    uint64_t data;
};

static struct {
    uint64_t waits; /* how often a thread had to wait */
    struct item *_Atomic items[];
} *shared;

static long items, threads;
static _Atomic uint64_t waits;

static void make_items(void)
{
    long i;

    for (i = DSM_NODE_ID; i < items; i += DSM_NODE_NUM) {
        struct item *item = dsm_malloc(sizeof *item);

        MUST(item != NULL);
        snprintf(item->name, sizeof item->name, "item %ld", i);
        shared->items[i] = item;
    }
}

/* Takes every second turn, the first or the second of them first. */
static void take_turns(struct item *item, uint32_t first)
{
    uint32_t turn;

    EXPECT(0, dsm_mutex_lock(&item->mutex));
    for (turn = first; turn < CONDS; turn += 2) {
        if (item->turn != turn) {
            waits++;
            EXPECT(0, dsm_cond_wait(&item->changed[turn], &item->mutex));
        }
        SAME(item->turn, turn);
        item->turn = turn + 1;
        item->data += turn + 1;
        EXPECT(0, dsm_cond_signal(&item->changed[turn + 1]));
    }
    EXPECT(0, dsm_mutex_unlock(&item->mutex));
}

/* Both threads of an item go through all items in order, so that the first unfinished one always has both. */
static void work(long thread)
{
    long all = DSM_NODE_NUM * threads, me = DSM_NODE_ID * threads + thread, i;

    for (i = 0; i < items; i++) {
        if (i % all == me)
            take_turns(shared->items[i], 0);
        if ((i + threads) % all == me)
            take_turns(shared->items[i], 1);
    }
}

static void check_items(void)
{
    long i, cond;

    for (i = 0; i < items; i++) {
        struct item *item = shared->items[i];
        char name[28];

        snprintf(name, sizeof name, "item %ld", i);
        MUST(strcmp(item->name, name) == 0);
        SAME(item->turn, CONDS);
        SAME(item->data, CONDS * (CONDS + 1) / 2);
        for (cond = 0; cond <= CONDS; cond++)
            SAME(item->changed[cond].dsm_opaque_, 0);
    }
}

int main(int argc, char **argv)
{
    uint64_t began, took;
    long i;

    items = argument(argc, argv, 1, 4000);
    threads = argument(argc, argv, 2, 3);
    shared = join(argc, argv);
    MUST(DSM_NODE_NUM * threads > 1);
    make_items();
    EXPECT(0, dsm_barrier());
    began = now_ns();
    in_threads(threads, work);
    EXPECT(0, dsm_barrier());
    took = now_ns() - began;
    check_items();
    dsm_fetch_add_u64(&shared->waits, waits);
    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == 0)
        printf("%ld mutexes, %ld condition variables, %" PRIu64 " waits, %.1f us per turn\n", items, items * CONDS, shared->waits,
               (double)took / 1e3 / (double)(items * CONDS));
    EXPECT(0, dsm_barrier());
    for (i = DSM_NODE_ID; i < items; i += DSM_NODE_NUM) {
        EXPECT(0, dsm_mutex_destroy(&shared->items[i]->mutex));
        EXPECT(0, dsm_cond_destroy(&shared->items[i]->changed[0]));
        dsm_free(shared->items[i]);
    }
    return right("many");
}

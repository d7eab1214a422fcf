/*
 * counter [STEPS]: every rank counts each of its steps three times: atomically, under a lock, and in a cell of its own on a page
 * that all write to. No count may be lost or made twice. Default 1000 steps.
 */
#include "workload.h"

enum { MAX_RANKS = 16 };

static struct {
    dsm_mutex_t mutex;
    uint64_t locked;
    uint64_t own[MAX_RANKS];
} *shared;

int main(int argc, char **argv)
{
    long steps = argument(argc, argv, 1, 1000), i;
    _Atomic uint64_t *atomic;
    uint64_t all;

    shared = join(argc, argv);
    MUST(DSM_NODE_NUM <= MAX_RANKS);
    atomic = (_Atomic uint64_t *)(void *)((char *)shared + dsm_page_size());
    all = (uint64_t)steps * (uint64_t)DSM_NODE_NUM;
    begin();
    for (i = 0; i < steps; i++) {
        atomic_fetch_add(atomic, 1);
        EXPECT(0, dsm_mutex_lock(&shared->mutex));
        shared->locked++;
        EXPECT(0, dsm_mutex_unlock(&shared->mutex));
        shared->own[DSM_NODE_ID]++;
    }
    EXPECT(0, dsm_barrier());
    SAME(*atomic, all);
    SAME(shared->locked, all);
    for (i = 0; i < DSM_NODE_NUM; i++)
        SAME(shared->own[i], steps);
    EXPECT(0, dsm_barrier());
    return right("counter");
}

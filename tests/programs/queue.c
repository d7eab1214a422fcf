/*
 * queue [ITEMS]: one thread of every rank puts items into a bounded queue, another takes some out; every item is taken exactly once.
 * Default 1000 items a rank.
 */
#include "workload.h"

enum { SLOTS = 8, MAX_ITEMS = 100000 };

static struct {
    dsm_mutex_t mutex;
    dsm_cond_t not_full, not_empty;
    uint64_t put, taken, left_to_take;
    uint64_t slots[SLOTS];
} *queue;

static _Atomic uint8_t *seen; /* of each item, how often it was taken */
static uint64_t items;

static void produce(void)
{
    uint64_t i;

    for (i = 0; i < items; i++) {
        EXPECT(0, dsm_mutex_lock(&queue->mutex));
        while (queue->put - queue->taken == SLOTS)
            EXPECT(0, dsm_cond_wait(&queue->not_full, &queue->mutex));
        queue->slots[queue->put++ % SLOTS] = (uint64_t)DSM_NODE_ID * items + i;
        EXPECT(0, dsm_cond_signal(&queue->not_empty));
        EXPECT(0, dsm_mutex_unlock(&queue->mutex));
    }
}

static void consume(void)
{
    for (;;) {
        uint64_t item;

        EXPECT(0, dsm_mutex_lock(&queue->mutex));
        while (queue->put == queue->taken && queue->left_to_take > 0)
            EXPECT(0, dsm_cond_wait(&queue->not_empty, &queue->mutex));
        if (queue->left_to_take == 0)
            break;
        item = queue->slots[queue->taken++ % SLOTS];
        queue->left_to_take--;
        EXPECT(0, dsm_cond_signal(&queue->not_full));
        if (queue->left_to_take == 0)
            EXPECT(0, dsm_cond_broadcast(&queue->not_empty));
        EXPECT(0, dsm_mutex_unlock(&queue->mutex));
        atomic_fetch_add(&seen[item], 1);
    }
    EXPECT(0, dsm_mutex_unlock(&queue->mutex));
}

static void work(long thread)
{
    if (thread == 0)
        produce();
    else
        consume();
}

int main(int argc, char **argv)
{
    uint64_t i;

    items = (uint64_t)argument(argc, argv, 1, 1000);
    queue = join(argc, argv);
    MUST(items * (uint64_t)DSM_NODE_NUM <= MAX_ITEMS);
    seen = (_Atomic uint8_t *)(void *)((char *)queue + dsm_page_size());
    if (DSM_NODE_ID == 0)
        queue->left_to_take = items * (uint64_t)DSM_NODE_NUM;
    begin();
    in_threads(2, work);
    EXPECT(0, dsm_barrier());
    for (i = 0; i < items * (uint64_t)DSM_NODE_NUM; i++)
        SAME(seen[i], 1);
    EXPECT(0, dsm_barrier());
    return right("queue");
}

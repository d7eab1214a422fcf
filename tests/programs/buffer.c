/*
 * buffer [CAPACITY [ITEMS [THREADS]]]: the bounded buffer of the textbooks, with a mutex and two condition variables. Every
 * rank has so many producers and consumers; every producer makes so many items. Default 8 places, 500 items, 2 and 2
 * threads. No item is lost, doubled, or overtakes another of its producer.
 */
#include "check.h"

enum { MAX_CAPACITY = 1024, MAX_PRODUCERS = 256 };

struct item {
    uint64_t producer, number;
};

static struct {
    dsm_mutex_t mutex;
    dsm_cond_t not_full, not_empty;
    uint64_t first, filled, taken;
    struct item places[MAX_CAPACITY];
    uint64_t sums[MAX_PRODUCERS]; /* of the numbers taken, under the mutex */
} *buffer;

static long capacity, items, threads;

static void put(struct item item)
{
    EXPECT(0, dsm_mutex_lock(&buffer->mutex));
    while (buffer->filled == (uint64_t)capacity)
        EXPECT(0, dsm_cond_wait(&buffer->not_full, &buffer->mutex));
    buffer->places[(buffer->first + buffer->filled++) % (uint64_t)capacity] = item;
    EXPECT(0, dsm_cond_signal(&buffer->not_empty));
    EXPECT(0, dsm_mutex_unlock(&buffer->mutex));
}

/* The next item, or 0 if all have been taken. */
static int take(struct item *item)
{
    uint64_t total = (uint64_t)(DSM_NODE_NUM * threads * items);
    int some;

    EXPECT(0, dsm_mutex_lock(&buffer->mutex));
    while (buffer->filled == 0 && buffer->taken < total)
        EXPECT(0, dsm_cond_wait(&buffer->not_empty, &buffer->mutex));
    some = buffer->filled > 0;
    if (some) {
        *item = buffer->places[buffer->first];
        buffer->first = (buffer->first + 1) % (uint64_t)capacity;
        buffer->filled--;
        buffer->sums[item->producer] += item->number;
        EXPECT(0, dsm_cond_signal(&buffer->not_full));
        if (++buffer->taken == total)
            EXPECT(0, dsm_cond_broadcast(&buffer->not_empty));
    }
    EXPECT(0, dsm_mutex_unlock(&buffer->mutex));
    return some;
}

static void produce(long producer)
{
    struct item item = {(uint64_t)(DSM_NODE_ID * threads + producer), 0};

    for (item.number = 1; item.number <= (uint64_t)items; item.number++)
        put(item);
}

static void consume(void)
{
    uint64_t last[MAX_PRODUCERS] = {0};
    struct item item;

    while (take(&item)) {
        MUST(item.number > last[item.producer]);
        last[item.producer] = item.number;
    }
}

static void work(long thread)
{
    if (thread < threads)
        produce(thread);
    else
        consume();
}

int main(int argc, char **argv)
{
    long producer;

    capacity = argument(argc, argv, 1, 8);
    items = argument(argc, argv, 2, 500);
    threads = argument(argc, argv, 3, 2);
    buffer = join(argc, argv);
    MUST(capacity >= 1 && capacity <= MAX_CAPACITY && DSM_NODE_NUM * threads <= MAX_PRODUCERS);
    in_threads(2 * threads, work);
    EXPECT(0, dsm_barrier());
    for (producer = 0; producer < DSM_NODE_NUM * threads; producer++)
        SAME(buffer->sums[producer], items * (items + 1) / 2);
    SAME(buffer->filled, 0);
    return right("buffer");
}

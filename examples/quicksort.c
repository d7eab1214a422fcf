/*
 * quicksort: sorts whole numbers with a queue of work.
 *
 *     dsmexec machine_file quicksort [KEYS] [SMALL]
 *
 * The queue holds ranges of the array that are yet to be sorted. A rank takes one, splits it, puts one half back for
 * whoever is idle, and goes on with the other, until what it has is no longer than SMALL, and is sorted on the spot.
 *
 * Worth a look: a mutex and a condition variable inside the structure they protect. All of it is shared memory,
 * which is zero at first, and zero is an idle mutex: nothing needs to be set up. The array needs no lock: a range
 * is in the queue, or with one rank.
 *
 * Rank 0 then sorts the same numbers alone, and compares. Exit code 0; 1 if the job cannot be joined or the result is
 * wrong; 64 for wrong arguments.
 */
#include "example.h"

struct range {
    size_t first, count;
};

struct queue {
    dsm_mutex_t mutex;
    dsm_cond_t changed;   /* there is a range, or all is sorted */
    size_t left;          /* numbers that are not at their place yet */
    size_t count;         /* ranges that wait */
    struct range range[]; /* the newest is taken first: it may still be where it was split */
};

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

/* Waits for a range. Gives 0 when all is sorted. */
static int take(struct queue *q, struct range *range)
{
    int is_there;

    dsm_mutex_lock(&q->mutex);
    while (q->count == 0 && q->left > 0)
        dsm_cond_wait(&q->changed, &q->mutex);
    is_there = q->count > 0;
    if (is_there)
        *range = q->range[--q->count];
    dsm_mutex_unlock(&q->mutex);
    return is_there;
}

static void put(struct queue *q, struct range range)
{
    dsm_mutex_lock(&q->mutex);
    q->range[q->count++] = range;
    dsm_cond_signal(&q->changed);
    dsm_mutex_unlock(&q->mutex);
}

/* So many numbers are at their place. */
static void settle(struct queue *q, size_t count)
{
    dsm_mutex_lock(&q->mutex);
    q->left -= count;
    if (q->left == 0)
        dsm_cond_broadcast(&q->changed);
    dsm_mutex_unlock(&q->mutex);
}

static void swap(uint64_t *a, uint64_t *b)
{
    uint64_t kept = *a;

    *a = *b;
    *b = kept;
}

/* Orders so that none of the first k is larger than any of the others; gives k, 0 < k < count. count is at least 3. */
static size_t split(uint64_t *keys, size_t count)
{
    uint64_t *middle = keys + (count - 1) / 2, *last = keys + count - 1, pivot;
    size_t low = 0, high = count - 1;

    if (*middle < *keys)
        swap(middle, keys);
    if (*last < *middle)
        swap(last, middle);
    if (*middle < *keys)
        swap(middle, keys);
    pivot = *middle;
    for (;; low++, high--) {
        while (keys[low] < pivot)
            low++;
        while (keys[high] > pivot)
            high--;
        if (low >= high)
            return high + 1;
        swap(keys + low, keys + high);
    }
}

static void work(struct queue *q, uint64_t *keys, size_t small)
{
    struct range mine;

    while (take(q, &mine)) {
        while (mine.count > small) {
            size_t k = split(keys + mine.first, mine.count);

            put(q, (struct range){mine.first, k});
            mine.first += k;
            mine.count -= k;
        }
        qsort(keys + mine.first, mine.count, sizeof *keys, compare);
        settle(q, mine.count);
    }
}

static void check(struct run *run, const uint64_t *keys, size_t count)
{
    uint64_t *sorted = need(calloc(count, sizeof *sorted), "the check");
    double began;
    size_t i;

    for (i = 0; i < count; i++)
        sorted[i] = scramble(i);
    began = now_seconds();
    qsort(sorted, count, sizeof *sorted, compare);
    run->alone = now_seconds() - began;
    for (i = 0; i < count; i++)
        if (keys[i] != sorted[i])
            run_wrong(run, "number %zu is %" PRIu64 ", not %" PRIu64, i, keys[i], sorted[i]);
    free(sorted);
}

int main(int argc, char **argv)
{
    long how_many = 1 << 18, small = 1 << 13;
    const struct argument all[] = {
        {.name = "KEYS", .meaning = "how many", .number = &how_many, .min = 1, .max = 1 << 28},
        {.name = "SMALL", .meaning = "do not split so few", .number = &small, .min = 2, .max = 1 << 28},
        {0},
    };
    struct run run;
    struct queue *queue;
    uint64_t *keys;
    size_t count, i;
    int code;

    parse_arguments(argc, argv, "quicksort", "Sorts whole numbers with a queue of work.", all);
    if (dsm_init(argc, argv) == NULL)
        return EXIT_WRONG;
    count = (size_t)how_many;
    keys = need(dsm_named("keys", count * sizeof *keys), "the keys");
    /* Ranges in the queue do not overlap, and none is empty. */
    queue = need(dsm_named("queue", sizeof *queue + count * sizeof queue->range[0]), "the queue");
    for (i = part(count, DSM_NODE_ID); i < part(count, DSM_NODE_ID + 1); i++)
        keys[i] = scramble(i);
    if (DSM_NODE_ID == 0) {
        queue->left = count;
        queue->range[queue->count++] = (struct range){0, count};
    }

    run = run_begin("quicksort");
    work(queue, keys, (size_t)small);
    run_end(&run);

    if (DSM_NODE_ID == 0)
        check(&run, keys, count);
    code = run_report(&run, "%zu numbers, ranges over %ld split", count, small);
    dsm_finalize();
    return code;
}

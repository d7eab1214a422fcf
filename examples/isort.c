/*
 * isort: ranks many whole numbers, as the kernel IS of the NAS benchmarks does, and sorts them.
 *
 *     dsmexec machine_file isort [KEYS] [RANGE]
 *
 * KEYS keys from 0 to RANGE-1, more of them in the middle than at the ends. Buckets are equal pieces of the range.
 *   1. Each rank counts how many of its keys belong into each bucket, and writes the counts into its row of a table.
 *   2. From the tables of all, each rank knows where its keys of each bucket go, and puts them there: the buckets stand
 *      one behind the other, and in a bucket the keys of rank 0 come first.
 *   3. Each bucket is sorted by one rank: it counts how often each key occurs. That gives the *rank* of each key: how
 *      many keys are smaller.
 * No locks: at any time each word has one writer, and barriers stand between the steps.
 *
 * Worth a look: step 2, where every rank writes a piece of every bucket. Pieces do not fill pages; where two meet, the
 * page moves.
 *
 * Rank 0 then does the same by counting alone, and compares. Exit code 0; 1 if the job cannot be joined or the
 * result is wrong; 64 for wrong arguments.
 */
#include "example.h"

enum { BUCKETS = 64 };

struct problem {
    size_t count, range;
    uint32_t *keys, *sorted; /* `count` each */
    uint32_t *below;         /* for each of `range` keys, how many are smaller */
    uint32_t *table;         /* for each rank, a row with a count for each bucket */
    size_t row;              /* words in a row of the table: whole pages, because a row has one writer */
};

/* The average of four numbers: its distribution is a bell. */
static uint32_t made_up(size_t at, size_t range)
{
    uint64_t sum = 0, i;

    for (i = 0; i < 4; i++)
        sum += scramble(4 * at + i) % range;
    return (uint32_t)(sum / 4);
}

/* The keys from first_key(p, b) on belong into bucket b. */
static size_t first_key(const struct problem *p, size_t bucket)
{
    return (bucket * p->range + BUCKETS - 1) / BUCKETS;
}

static size_t bucket_of(const struct problem *p, uint32_t key)
{
    return (size_t)key * BUCKETS / p->range;
}

/* Step 1. */
static void count_keys(const struct problem *p, size_t first, size_t end)
{
    uint32_t *row = p->table + (size_t)DSM_NODE_ID * p->row;
    size_t i;

    for (i = first; i < end; i++)
        row[bucket_of(p, p->keys[i])]++;
}

/* Sets begin[b] to the place of the first key of bucket b that rank `rank` puts there; begin[BUCKETS] is the end. */
static void places(const struct problem *p, int rank, size_t begin[BUCKETS + 1])
{
    size_t at = 0, bucket;
    int r;

    for (bucket = 0; bucket < BUCKETS; bucket++) {
        begin[bucket] = at;
        for (r = 0; r < DSM_NODE_NUM; r++) {
            uint32_t keys = p->table[(size_t)r * p->row + bucket];

            begin[bucket] += r < rank ? keys : 0;
            at += keys;
        }
    }
    begin[BUCKETS] = at;
}

/*
 * Step 2. The keys are put in order of buckets in private memory first, so that a bucket's keys are stored at once. If
 * each went to its bucket by itself, the pages where pieces of two ranks meet would move with almost every key.
 */
static void distribute(const struct problem *p, size_t first, size_t end)
{
    const uint32_t *row = p->table + (size_t)DSM_NODE_ID * p->row;
    uint32_t *mine = need(calloc(end - first + 1, sizeof *mine), "own keys");
    size_t place[BUCKETS + 1], next[BUCKETS], bucket, i;

    for (i = 0, bucket = 0; bucket < BUCKETS; i += row[bucket++])
        next[bucket] = i;
    for (i = first; i < end; i++)
        mine[next[bucket_of(p, p->keys[i])]++] = p->keys[i];
    places(p, DSM_NODE_ID, place);
    for (bucket = 0; bucket < BUCKETS; bucket++) /* next[] has reached the end of each */
        memcpy(p->sorted + place[bucket], mine + next[bucket] - row[bucket], row[bucket] * sizeof *mine);
    free(mine);
}

/* Sorts keys of low .. high-1, of which `before` are smaller than low, and notes for each how many are smaller. */
static void sort_by_counting(const uint32_t *keys, size_t count, size_t low, size_t high, size_t before,
                             uint32_t *sorted, uint32_t *below)
{
    uint32_t *often = need(calloc(high - low + 1, sizeof *often), "counts");
    size_t i, key, at = 0;

    for (i = 0; i < count; i++)
        often[keys[i] - low]++;
    for (key = low; key < high; key++) {
        below[key] = (uint32_t)(before + at);
        for (i = 0; i < often[key - low]; i++)
            sorted[at++] = (uint32_t)key;
    }
    free(often);
}

/* Step 3, for the buckets that begin in this rank's part of the keys: the ranks get about the same number of keys. */
static void sort_buckets(const struct problem *p)
{
    size_t begin[BUCKETS + 1], from = part(p->count, DSM_NODE_ID), to = part(p->count, DSM_NODE_ID + 1), b;

    places(p, 0, begin);
    for (b = 0; b < BUCKETS; b++) {
        uint32_t *keys = p->sorted + begin[b];
        int is_mine = begin[b] >= from && begin[b] < to;

        if (is_mine || (begin[b] == p->count && DSM_NODE_ID == DSM_NODE_NUM - 1))
            sort_by_counting(keys, begin[b + 1] - begin[b], first_key(p, b), first_key(p, b + 1), begin[b], keys,
                             p->below);
    }
}

static void check(struct run *run, const struct problem *p)
{
    uint32_t *sorted = need(calloc(p->count, sizeof *sorted), "the check");
    uint32_t *below = need(calloc(p->range, sizeof *below), "the check");
    double began = now_seconds();
    size_t i;

    sort_by_counting(p->keys, p->count, 0, p->range, 0, sorted, below);
    run->alone = now_seconds() - began;
    for (i = 0; i < p->count; i++)
        if (p->sorted[i] != sorted[i])
            run_wrong(run, "sorted key %zu is %" PRIu32 ", not %" PRIu32, i, p->sorted[i], sorted[i]);
    for (i = 0; i < p->range; i++)
        if (p->below[i] != below[i])
            run_wrong(run, "%" PRIu32 " keys are below %zu, not %" PRIu32, p->below[i], i, below[i]);
    free(sorted);
    free(below);
}

int main(int argc, char **argv)
{
    long keys = 1 << 18, range = 1 << 16;
    const struct argument all[] = {
        {.name = "KEYS", .meaning = "how many", .number = &keys, .min = 1, .max = 1 << 30},
        {.name = "RANGE", .meaning = "keys are below this", .number = &range, .min = 1, .max = 1 << 28},
        {0},
    };
    struct problem p = {0};
    struct run run;
    size_t first, end, i;
    int code;

    parse_arguments(argc, argv, "isort", "Ranks and sorts whole numbers.", all);
    if (dsm_init(argc, argv) == NULL)
        return EXIT_WRONG;
    p.count = (size_t)keys;
    p.range = (size_t)range;
    p.row = dsm_page_size() / sizeof *p.table;
    p.keys = need(dsm_named("keys", p.count * sizeof *p.keys), "the keys");
    p.sorted = need(dsm_named("sorted", p.count * sizeof *p.sorted), "the sorted keys");
    p.below = need(dsm_named("below", p.range * sizeof *p.below), "the ranks of keys");
    p.table = need(dsm_named("table", (size_t)DSM_NODE_NUM * p.row * sizeof *p.table), "the counts");
    first = part(p.count, DSM_NODE_ID);
    end = part(p.count, DSM_NODE_ID + 1);
    for (i = first; i < end; i++)
        p.keys[i] = made_up(i, p.range);

    run = run_begin("isort");
    count_keys(&p, first, end);
    dsm_barrier();
    distribute(&p, first, end);
    dsm_barrier();
    sort_buckets(&p);
    run_end(&run);

    if (DSM_NODE_ID == 0)
        check(&run, &p);
    code = run_report(&run, "%zu keys below %zu", p.count, p.range);
    dsm_finalize();
    return code;
}

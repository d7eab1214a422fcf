/*
 * isort: ranks many whole numbers, as the kernel IS of the NAS benchmarks does, and sorts them.
 *
 *     dsmexec machine_file isort [KEYS] [RANGE] [--scatter]
 *
 * KEYS keys from 0 to RANGE-1, more of them in the middle than at the ends. Buckets are equal pieces of the range.
 *   1. Each rank counts how many of its keys belong into each bucket, and writes the counts into its row of a table.
 *   2. Each rank puts its keys in order of buckets, in memory that it alone writes.
 *   3. Each bucket is sorted by one rank: it counts how often each key occurs in the ranks' pieces of the bucket. From
 *      that and the table it knows the *rank* of each key, which is how many keys are smaller, and where they stand.
 * No locks: at any time each word has one writer, and barriers stand between the steps.
 *
 * Worth a look: step 3 asks for all that it will read, and for the places of what it will write, before it begins.
 * With --scatter step 2 stores each rank's keys where they belong among the keys of all, as one would in one memory:
 * buckets one behind the other, and in a bucket the keys of rank 0 first. Pieces do not fill pages; where two meet the
 * page moves; and then all of them move to whoever sorts the bucket. Compare the faults.
 *
 * Rank 0 then does the same by counting alone, and compares. Exit code 0; 1 if the job cannot be joined or the
 * result is wrong; 64 for wrong arguments.
 */
#include "example.h"

enum { BUCKETS = 64 };

struct problem {
    size_t count, range;
    uint32_t *keys, *sorted; /* `count` each */
    uint32_t *ordered;       /* for each rank, room for its keys; NULL if ranks put their keys into `sorted` at once */
    size_t room;             /* keys from a rank's room to the next: whole pages, because a room has one writer */
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

/* Puts keys first .. end-1 in order of buckets. */
static void order(const struct problem *p, size_t first, size_t end, uint32_t *into)
{
    const uint32_t *row = p->table + (size_t)DSM_NODE_ID * p->row;
    size_t next[BUCKETS], bucket, i;

    for (i = 0, bucket = 0; bucket < BUCKETS; i += row[bucket++])
        next[bucket] = i;
    for (i = first; i < end; i++)
        into[next[bucket_of(p, p->keys[i])]++] = p->keys[i];
}

/*
 * Step 2 with --scatter. The keys are put in order in private memory first, so that a bucket's keys are stored at once.
 * If each went to its bucket by itself, the pages where pieces of two ranks meet would move with almost every key.
 */
static void scatter(const struct problem *p, size_t first, size_t end)
{
    const uint32_t *row = p->table + (size_t)DSM_NODE_ID * p->row;
    uint32_t *mine = need(calloc(end - first + 1, sizeof *mine), "own keys"), *from = mine;
    size_t place[BUCKETS + 1], bucket;

    order(p, first, end, mine);
    places(p, DSM_NODE_ID, place);
    for (bucket = 0; bucket < BUCKETS; from += row[bucket++])
        memcpy(p->sorted + place[bucket], from, row[bucket] * sizeof *mine);
    free(mine);
}

/* Keys that stand together. */
struct piece {
    const uint32_t *keys;
    size_t count;
};

/* Sorts keys of low .. high-1, of which `before` are smaller than low, and notes for each how many are smaller. */
static void sort_by_counting(const struct piece *pieces, size_t count, size_t low, size_t high, size_t before,
                             uint32_t *sorted, uint32_t *below)
{
    uint32_t *often = need(calloc(high - low + 1, sizeof *often), "counts");
    size_t piece, i, key, at = 0;

    for (piece = 0; piece < count; piece++)
        for (i = 0; i < pieces[piece].count; i++)
            often[pieces[piece].keys[i] - low]++;
    for (key = low; key < high; key++) {
        below[key] = (uint32_t)(before + at);
        for (i = 0; i < often[key - low]; i++)
            sorted[at++] = (uint32_t)key;
    }
    free(often);
}

/* The keys of buckets low .. high-1 that rank `rank` had. */
static struct piece piece_of(const struct problem *p, int rank, size_t low, size_t high)
{
    const uint32_t *row = p->table + (size_t)rank * p->row;
    struct piece piece = {p->ordered + (size_t)rank * p->room, 0};
    size_t bucket;

    for (bucket = 0; bucket < high; bucket++) {
        piece.keys += bucket < low ? row[bucket] : 0;
        piece.count += bucket < low ? 0 : row[bucket];
    }
    return piece;
}

/* Asks for what sorting buckets low .. high-1 reads and writes. */
static void prefetch(const struct problem *p, const size_t begin[BUCKETS + 1], size_t low, size_t high)
{
    size_t first = first_key(p, low), end = first_key(p, high);
    int r;

    for (r = 0; r < DSM_NODE_NUM; r++) {
        struct piece piece = piece_of(p, r, low, high);

        if (r != DSM_NODE_ID)
            dsm_prefetch(piece.keys, piece.count * sizeof *piece.keys);
    }
    dsm_prefetch_write(p->sorted + begin[low], (begin[high] - begin[low]) * sizeof *p->sorted);
    dsm_prefetch_write(p->below + first, (end - first) * sizeof *p->below);
}

/* The buckets of rank `rank` are buckets[0] .. buckets[1]-1: those that begin in its part of the keys. The ranks get about
 * the same number of keys. */
static void buckets_of(const struct problem *p, int rank, const size_t begin[BUCKETS + 1], size_t buckets[2])
{
    size_t from = part(p->count, rank), to = part(p->count, rank + 1);

    for (buckets[0] = 0; buckets[0] < BUCKETS && begin[buckets[0]] < from; buckets[0]++)
        ;
    for (buckets[1] = buckets[0]; buckets[1] < BUCKETS && begin[buckets[1]] < to; buckets[1]++)
        ;
    if (rank == DSM_NODE_NUM - 1)
        buckets[1] = BUCKETS;
}

/* Step 3. */
static void sort_buckets(const struct problem *p)
{
    size_t begin[BUCKETS + 1], buckets[2], b, ranks = (size_t)DSM_NODE_NUM;
    struct piece *pieces = need(calloc(ranks, sizeof *pieces), "pieces");
    int r;

    places(p, 0, begin);
    buckets_of(p, DSM_NODE_ID, begin, buckets);
    if (p->ordered != NULL)
        prefetch(p, begin, buckets[0], buckets[1]);
    for (b = buckets[0]; b < buckets[1]; b++) {
        for (r = 0; r < DSM_NODE_NUM && p->ordered != NULL; r++)
            pieces[r] = piece_of(p, r, b, b + 1);
        if (p->ordered == NULL)
            pieces[0] = (struct piece){p->sorted + begin[b], begin[b + 1] - begin[b]};
        sort_by_counting(pieces, p->ordered != NULL ? ranks : 1, first_key(p, b), first_key(p, b + 1), begin[b],
                         p->sorted + begin[b], p->below);
    }
    free(pieces);
}

/* What this rank will write, or nearly, it writes now: fresh memory is 0 already, but maybe elsewhere. */
static void touch(const struct problem *p)
{
    size_t keys = part(p->count, DSM_NODE_ID), below = part(p->range, DSM_NODE_ID);

    memset(p->sorted + keys, 0, (part(p->count, DSM_NODE_ID + 1) - keys) * sizeof *p->sorted);
    memset(p->below + below, 0, (part(p->range, DSM_NODE_ID + 1) - below) * sizeof *p->below);
    if (p->ordered != NULL)
        memset(p->ordered + (size_t)DSM_NODE_ID * p->room, 0, p->room * sizeof *p->ordered);
}

static void check(struct run *run, const struct problem *p)
{
    uint32_t *sorted = need(calloc(p->count, sizeof *sorted), "the check");
    uint32_t *below = need(calloc(p->range, sizeof *below), "the check");
    const struct piece all = {p->keys, p->count};
    double began = now_seconds();
    size_t i;

    sort_by_counting(&all, 1, 0, p->range, 0, sorted, below);
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
    long keys = 1 << 18, range = 1 << 16, scatters = 0;
    const struct argument all[] = {
        {.name = "KEYS", .meaning = "how many", .number = &keys, .min = 1, .max = 1 << 30},
        {.name = "RANGE", .meaning = "keys are below this", .number = &range, .min = 1, .max = 1 << 28},
        {.name = "--scatter", .meaning = "store keys where they belong at once", .number = &scatters},
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
    p.room = (p.count / (size_t)DSM_NODE_NUM + 1 + p.row - 1) / p.row * p.row;
    p.keys = need(dsm_named("keys", p.count * sizeof *p.keys), "the keys");
    p.sorted = need(dsm_named("sorted", p.count * sizeof *p.sorted), "the sorted keys");
    if (!scatters)
        p.ordered = need(dsm_named("ordered", (size_t)DSM_NODE_NUM * p.room * sizeof *p.keys), "the keys in order");
    p.below = need(dsm_named("below", p.range * sizeof *p.below), "the ranks of keys");
    p.table = need(dsm_named("table", (size_t)DSM_NODE_NUM * p.row * sizeof *p.table), "the counts");
    first = part(p.count, DSM_NODE_ID);
    end = part(p.count, DSM_NODE_ID + 1);
    for (i = first; i < end; i++)
        p.keys[i] = made_up(i, p.range);
    touch(&p);

    run = run_begin("isort");
    count_keys(&p, first, end);
    dsm_barrier();
    if (scatters)
        scatter(&p, first, end);
    else
        order(&p, first, end, p.ordered + (size_t)DSM_NODE_ID * p.room);
    dsm_barrier();
    sort_buckets(&p);
    run_end(&run);

    if (DSM_NODE_ID == 0)
        check(&run, &p);
    code = run_report(&run, "%zu keys below %zu%s", p.count, p.range, scatters ? ", scattered" : "");
    dsm_finalize();
    return code;
}

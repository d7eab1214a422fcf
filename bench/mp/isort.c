/*
 * isort, by messages: the ranks gather all counts, put their keys in order of buckets, and send each rank the keys of its
 * buckets.
 */
#define main example_main
#include "../../examples/isort.c"
#undef main
#include "kernel.h"

/* Each rank's row of the table to all. */
static void gather_table(const struct problem *p)
{
    size_t *at = kernel_parts((size_t)mp_ranks, p->row * sizeof *p->table);

    mp_gather_all(p->table, at);
    free(at);
}

/* Each rank's keys to who sorts them; they come to where they would stand in shared memory. */
static void send_keys(const struct problem *p)
{
    size_t begin[BUCKETS + 1], mine[2], theirs[2], ranks = (size_t)mp_ranks, r;
    struct mp_span *outs = need(calloc(2 * ranks, sizeof *outs), "spans"), *ins = outs + ranks;

    places(p, 0, begin);
    buckets_of(p, mp_rank, begin, mine);
    for (r = 0; r < ranks; r++) {
        struct piece out, in = piece_of(p, (int)r, mine[0], mine[1]);

        if (r == (size_t)mp_rank)
            continue; /* its own are there */
        buckets_of(p, (int)r, begin, theirs);
        out = piece_of(p, mp_rank, theirs[0], theirs[1]);
        outs[r] = (struct mp_span){(size_t)(out.keys - p->ordered) * sizeof *out.keys, out.count * sizeof *out.keys};
        ins[r] = (struct mp_span){(size_t)(in.keys - p->ordered) * sizeof *in.keys, in.count * sizeof *in.keys};
    }
    mp_all_to_all(p->ordered, outs, p->ordered, ins);
    free(outs);
}

/* All sorted keys, all keys, and the ranks of all keys to all. */
static void gather(const struct problem *p)
{
    size_t begin[BUCKETS + 1], buckets[2], ranks = (size_t)mp_ranks, r;
    size_t *keys = kernel_parts(p->count, sizeof *p->keys);
    size_t *sorted_at = need(calloc(2 * (ranks + 1), sizeof *sorted_at), "offsets"), *below_at = sorted_at + ranks + 1;

    places(p, 0, begin);
    for (r = 0; r < ranks; r++) {
        buckets_of(p, (int)r, begin, buckets);
        sorted_at[r + 1] = begin[buckets[1]] * sizeof *p->sorted;
        below_at[r + 1] = first_key(p, buckets[1]) * sizeof *p->below;
    }
    mp_gather_all(p->sorted, sorted_at);
    mp_gather_all(p->below, below_at);
    mp_gather_all(p->keys, keys);
    free(keys);
    free(sorted_at);
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

    kernel_init(&argc, &argv);
    parse_arguments(argc, argv, "isort", "Ranks and sorts whole numbers, by messages.", all);
    p.count = (size_t)keys;
    p.range = (size_t)range;
    p.row = BUCKETS;
    p.room = p.count / (size_t)mp_ranks + 1;
    p.keys = need(calloc(p.count, sizeof *p.keys), "the keys");
    p.sorted = need(calloc(p.count, sizeof *p.sorted), "the sorted keys");
    p.ordered = need(calloc((size_t)mp_ranks * p.room, sizeof *p.ordered), "the keys in order");
    p.below = need(calloc(p.range, sizeof *p.below), "the ranks of keys");
    p.table = need(calloc((size_t)mp_ranks * p.row, sizeof *p.table), "the counts");
    first = part(p.count, mp_rank);
    end = part(p.count, mp_rank + 1);
    for (i = first; i < end; i++)
        p.keys[i] = made_up(i, p.range);
    touch(&p);

    run = kernel_begin("isort");
    count_keys(&p, first, end);
    gather_table(&p);
    order(&p, first, end, p.ordered + (size_t)mp_rank * p.room);
    send_keys(&p);
    sort_buckets(&p);
    kernel_end(&run);

    gather(&p);
    if (mp_rank == 0)
        check(&run, &p);
    code = run_report(&run, "%zu keys below %zu", p.count, p.range);
    mp_finalize();
    return code;
}

/*
 * hashmap: a hash map that all ranks use at once.
 *
 *     dsmexec machine_file hashmap [OPERATIONS] [KEYS]
 *
 * Each rank carries out OPERATIONS puts, gets and deletes. It puts and deletes only keys of its own, so that the
 * content at the end is known, but gets any. The map has stripes: a lock for one writer or many readers, and the
 * buckets it protects. Entries are allocated by whoever puts.
 *
 * Worth a look: a stripe is as large as a page of 4 KiB, so that ranks which use different stripes do not wait for
 * each other. And the number of entries, which all ranks change: dsm_fetch_add_u64 adds where the word is and does
 * not move it.
 *
 * While it runs, each rank checks that its own keys are as it left them, that a value belongs to its key, and that no
 * value is older than one it saw before. Then rank 0 carries out all operations alone, and compares the whole map.
 * Exit code 0; 1 if the job cannot be joined or something is wrong; 64 for wrong arguments.
 */
#include "example.h"

enum { STRIPES = 64, BUCKETS = 511 };

struct entry {
    struct entry *next;
    uint64_t key, version, stamp; /* the value: a version, and stamp(key, version) to recognise it by */
};

struct stripe {
    dsm_rwlock_t lock;
    struct entry *bucket[BUCKETS];
};

struct map {
    uint64_t *entries; /* how many there are */
    struct stripe *stripe;
};

static uint64_t stamp(uint64_t key, uint64_t version)
{
    return scramble(key ^ scramble(version));
}

static struct stripe *stripe_of(const struct map *map, uint64_t key)
{
    return &map->stripe[scramble(key) % STRIPES];
}

/* The link to the key's entry, or to NULL where it belongs. The stripe is locked. */
static struct entry **find(struct stripe *stripe, uint64_t key)
{
    struct entry **link = &stripe->bucket[scramble(key) / STRIPES % BUCKETS];

    while (*link != NULL && (*link)->key != key)
        link = &(*link)->next;
    return link;
}

/* Gives the version of the key, 0 if it is not there; UINT64_MAX if the value is not one of this key. */
static uint64_t get(const struct map *map, uint64_t key)
{
    struct stripe *stripe = stripe_of(map, key);
    struct entry *entry;
    uint64_t version = 0;

    dsm_rwlock_rdlock(&stripe->lock);
    entry = *find(stripe, key);
    if (entry != NULL)
        version = entry->stamp == stamp(key, entry->version) ? entry->version : UINT64_MAX;
    dsm_rwlock_unlock(&stripe->lock);
    return version;
}

/* Gives the version that was replaced, 0 if the key is new. */
static uint64_t put(const struct map *map, uint64_t key, uint64_t version)
{
    struct stripe *stripe = stripe_of(map, key);
    struct entry **link;
    uint64_t before = 0;

    dsm_rwlock_wrlock(&stripe->lock);
    link = find(stripe, key);
    if (*link == NULL) {
        *link = need(dsm_malloc(sizeof **link), "an entry");
        (*link)->key = key;
        dsm_fetch_add_u64(map->entries, 1);
    } else {
        before = (*link)->version;
    }
    (*link)->version = version;
    (*link)->stamp = stamp(key, version);
    dsm_rwlock_unlock(&stripe->lock);
    return before;
}

/* Gives the version that was deleted, 0 if there was none. */
static uint64_t delete(const struct map *map, uint64_t key)
{
    struct stripe *stripe = stripe_of(map, key);
    struct entry **link, *entry;
    uint64_t before = 0;

    dsm_rwlock_wrlock(&stripe->lock);
    link = find(stripe, key);
    entry = *link;
    if (entry != NULL) {
        before = entry->version;
        *link = entry->next;
        dsm_free(entry);
        dsm_fetch_add_u64(map->entries, UINT64_MAX); /* minus 1 */
    }
    dsm_rwlock_unlock(&stripe->lock);
    return before;
}

struct operation {
    enum { GET, PUT, DELETE } kind;
    uint64_t key;
};

/* What rank `rank` does as its operation number `i`: of ten, seven gets, two puts, one delete. */
static struct operation made_up(int rank, uint64_t i, uint64_t keys)
{
    uint64_t random = scramble((uint64_t)rank << 48 | i), ranks = (uint64_t)DSM_NODE_NUM;
    struct operation o = {.kind = GET, .key = random / 10 % (keys * ranks)};

    if (random % 10 < 3) {
        o.kind = random % 10 < 2 ? PUT : DELETE;
        o.key = o.key / ranks * ranks + (uint64_t)rank; /* one of its own */
    }
    return o;
}

/* Carries out this rank's operations. newest[key] is the newest version it knows of. */
static void serve(struct run *run, const struct map *map, uint64_t operations, uint64_t keys)
{
    uint64_t *newest = need(calloc(keys * (size_t)DSM_NODE_NUM, sizeof *newest), "what is known"), i, seen;

    for (i = 1; i <= operations; i++) {
        struct operation o = made_up(DSM_NODE_ID, i, keys);
        int is_mine = o.key % (uint64_t)DSM_NODE_NUM == (uint64_t)DSM_NODE_ID;

        seen = o.kind == GET ? get(map, o.key) : o.kind == PUT ? put(map, o.key, i) : delete(map, o.key);
        if (seen == UINT64_MAX)
            run_wrong(run, "the value of key %" PRIu64 " belongs to another key", o.key);
        if (is_mine ? seen != newest[o.key] : seen != 0 && seen < newest[o.key])
            run_wrong(run, "operation %" PRIu64 ": key %" PRIu64 " has version %" PRIu64 " after %" PRIu64, i, o.key,
                      seen, newest[o.key]);
        if (o.kind != GET)
            newest[o.key] = o.kind == PUT ? i : 0;
        else if (seen != 0)
            newest[o.key] = seen;
    }
    free(newest);
}

/* Compares the map with what the operations of all ranks leave, in any order: no key is written by two ranks. */
static void check(struct run *run, const struct map *map, uint64_t operations, uint64_t keys)
{
    uint64_t all = keys * (uint64_t)DSM_NODE_NUM, *version = need(calloc(all, sizeof *version), "the check");
    uint64_t i, key, expected = 0, linked = 0, bucket;
    int rank;

    for (rank = 0; rank < DSM_NODE_NUM; rank++)
        for (i = 1; i <= operations; i++) {
            struct operation o = made_up(rank, i, keys);

            if (o.kind != GET)
                version[o.key] = o.kind == PUT ? i : 0;
        }
    for (key = 0; key < all; key++) {
        uint64_t found = get(map, key);

        expected += version[key] != 0;
        if (found != version[key])
            run_wrong(run, "key %" PRIu64 " has version %" PRIu64 ", not %" PRIu64, key, found, version[key]);
    }
    for (i = 0; i < STRIPES; i++)
        for (bucket = 0; bucket < BUCKETS; bucket++) {
            const struct entry *entry;

            for (entry = map->stripe[i].bucket[bucket]; entry != NULL; entry = entry->next)
                linked++;
        }
    if (linked != expected || *map->entries != expected)
        run_wrong(run, "%" PRIu64 " entries are linked and %" PRIu64 " counted, not %" PRIu64, linked, *map->entries,
                  expected);
    free(version);
}

int main(int argc, char **argv)
{
    long operations = 2000, keys = 500;
    const struct argument all[] = {
        {.name = "OPERATIONS", .meaning = "of each rank", .number = &operations, .min = 1, .max = 1000000000},
        {.name = "KEYS", .meaning = "of each rank", .number = &keys, .min = 1, .max = 10000000},
        {0},
    };
    struct run run;
    struct map map;
    int code;

    parse_arguments(argc, argv, "hashmap", "A hash map that all ranks use at once.", all);
    if (dsm_init(argc, argv) == NULL)
        return EXIT_WRONG;
    map.stripe = need(dsm_named("stripes", STRIPES * sizeof *map.stripe), "the map");
    map.entries = need(dsm_named("entries", sizeof *map.entries), "the map");

    run = run_begin("hashmap");
    serve(&run, &map, (uint64_t)operations, (uint64_t)keys);
    run_end(&run);

    if (DSM_NODE_ID == 0)
        check(&run, &map, (uint64_t)operations, (uint64_t)keys);
    code = run_report(&run, "%ld operations and %ld keys each, %" PRIu64 " entries at the end", operations, keys,
                      *map.entries);
    dsm_finalize();
    return code;
}

/*
 * snapshot.c - carries the program's variables from one rank to others, through shared memory.
 */
#include "internal.h"
#include <string.h>

struct units {
    const struct image *image;
    uintptr_t *all;
    size_t count, room;
};

struct clearing {
    const struct image *image;
    const struct snapshot *snapshot;
    size_t next; /* the snapshot's first unit that is not before the one visited */
};

static int is_zero(uintptr_t begin, uintptr_t end)
{
    const unsigned char *bytes = (const unsigned char *)begin;
    size_t count = end - begin;

    return count == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0);
}

static void note(uintptr_t unit, void *argument)
{
    struct units *units = argument;
    struct extent piece = {0, unit};

    do
        if (!dsm_parmacs_next_piece(units->image, unit, piece.end, &piece))
            return;
    while (is_zero(piece.begin, piece.end));
    if (units->count == units->room) {
        units->room = units->room * 2 + 64;
        units->all = dsm_parmacs_grow(units->all, units->room, sizeof(*units->all));
    }
    units->all[units->count++] = unit;
}

static size_t changed_words(const struct image *image)
{
    size_t count = 0, i;

    for (i = 0; i < image->outward_count; i++)
        count += *image->outward[i].at != image->outward[i].value;
    return count;
}

static size_t rounded(size_t bytes)
{
    return (bytes + UNIT - 1) / UNIT * UNIT;
}

static struct snapshot *allocate(size_t units, size_t words)
{
    size_t lists = rounded(sizeof(struct snapshot) + words * sizeof(struct word) + units * sizeof(uintptr_t));
    struct snapshot *snapshot = dsm_aligned_alloc(UNIT, lists + units * UNIT);

    dsm_parmacs_must(snapshot == NULL, "allocate memory to send variables with CREATE");
    /* This and its like have an effect on time alone, and fail only for memory that is not shared. */
    (void)dsm_prefetch_write(snapshot, lists + units * UNIT);
    snapshot->bytes = lists + units * UNIT;
    snapshot->unit_count = units;
    snapshot->word_count = 0;
    snapshot->words = (struct word *)(snapshot + 1);
    snapshot->units = (uintptr_t *)(snapshot->words + words);
    snapshot->content = (unsigned char(*)[UNIT])((char *)snapshot + lists);
    return snapshot;
}

static int is_same(const struct image *image, const struct units *units, const struct snapshot *snapshot)
{
    size_t i;

    if (snapshot == NULL || snapshot->unit_count != units->count || snapshot->word_count != changed_words(image) ||
        memcmp(snapshot->units, units->all, units->count * sizeof(*units->all)) != 0)
        return 0;
    for (i = 0; i < snapshot->word_count; i++)
        if (*snapshot->words[i].at != snapshot->words[i].value)
            return 0;
    for (i = 0; i < units->count; i++) {
        uintptr_t unit = units->all[i];
        struct extent piece = {0, unit};

        while (dsm_parmacs_next_piece(image, unit, piece.end, &piece))
            if (memcmp(snapshot->content[i] + (piece.begin - unit), (const void *)piece.begin, piece.end - piece.begin) != 0)
                return 0;
    }
    return 1;
}

struct snapshot *dsm_parmacs_take_snapshot(const struct image *image, struct snapshot *latest)
{
    struct units units = {.image = image};
    struct snapshot *snapshot = latest;
    size_t i;

    dsm_parmacs_each_unit(image, note, &units);
    if (!is_same(image, &units, latest)) {
        snapshot = allocate(units.count, image->outward_count);
        for (i = 0; i < units.count; i++) {
            uintptr_t unit = units.all[i];
            struct extent piece = {0, unit};

            snapshot->units[i] = unit;
            while (dsm_parmacs_next_piece(image, unit, piece.end, &piece))
                memcpy(snapshot->content[i] + (piece.begin - unit), (const void *)piece.begin, piece.end - piece.begin);
        }
        for (i = 0; i < image->outward_count; i++)
            if (*image->outward[i].at != image->outward[i].value)
                snapshot->words[snapshot->word_count++] = (struct word){image->outward[i].at, *image->outward[i].at};
    }
    free(units.all);
    return snapshot;
}

/* Makes variables zero that were touched here and are in no unit of the snapshot. */
static void clear(uintptr_t unit, void *argument)
{
    struct clearing *clearing = argument;
    const struct snapshot *snapshot = clearing->snapshot;
    struct extent piece = {0, unit};

    while (clearing->next < snapshot->unit_count && snapshot->units[clearing->next] < unit)
        clearing->next++;
    if (clearing->next < snapshot->unit_count && snapshot->units[clearing->next] == unit)
        return;
    while (dsm_parmacs_next_piece(clearing->image, unit, piece.end, &piece))
        if (!is_zero(piece.begin, piece.end))
            memset((void *)piece.begin, 0, piece.end - piece.begin);
}

/* The value of outward word i; `next` is where to look in the snapshot, 0 at first, and i ascends from call to call. */
static uintptr_t word_in(const struct image *image, const struct snapshot *snapshot, size_t i, size_t *next)
{
    while (*next < snapshot->word_count && snapshot->words[*next].at < image->outward[i].at)
        ++*next;
    if (*next < snapshot->word_count && snapshot->words[*next].at == image->outward[i].at)
        return snapshot->words[*next].value;
    return image->outward[i].value;
}

static void replace(const struct image *image, const struct snapshot *snapshot)
{
    struct clearing clearing = {.image = image, .snapshot = snapshot};
    size_t word = 0, i;

    dsm_parmacs_each_unit(image, clear, &clearing);
    for (i = 0; i < snapshot->unit_count; i++) {
        uintptr_t unit = snapshot->units[i];
        struct extent piece = {0, unit};

        while (dsm_parmacs_next_piece(image, unit, piece.end, &piece))
            memcpy((void *)piece.begin, snapshot->content[i] + (piece.begin - unit), piece.end - piece.begin);
    }
    for (i = 0; i < image->outward_count; i++)
        *image->outward[i].at = word_in(image, snapshot, i, &word);
}

/* Changes the bytes of a unit that differ between two contents. */
static void merge_unit(const struct image *image, uintptr_t unit, const unsigned char *before, const unsigned char *after)
{
    struct extent piece = {0, unit};
    uintptr_t at;

    while (dsm_parmacs_next_piece(image, unit, piece.end, &piece))
        for (at = piece.begin; at < piece.end; at++)
            if (before[at - unit] != after[at - unit])
                *(unsigned char *)at = after[at - unit];
}

static uintptr_t unit_at(const struct snapshot *snapshot, size_t i)
{
    return i < snapshot->unit_count ? snapshot->units[i] : UINTPTR_MAX;
}

static void merge(const struct image *image, const struct snapshot *before, const struct snapshot *after)
{
    static const unsigned char zeros[UNIT];
    size_t old = 0, new = 0, i;

    while (old < before->unit_count || new < after->unit_count) {
        uintptr_t old_unit = unit_at(before, old), new_unit = unit_at(after, new);
        uintptr_t unit = old_unit < new_unit ? old_unit : new_unit;

        merge_unit(image, unit, old_unit == unit ? before->content[old] : zeros,
                   new_unit == unit ? after->content[new] : zeros);
        old += old_unit == unit;
        new += new_unit == unit;
    }
    for (i = old = new = 0; i < image->outward_count; i++) {
        uintptr_t value = word_in(image, after, i, &new);

        if (value != word_in(image, before, i, &old))
            *image->outward[i].at = value;
    }
}

void dsm_parmacs_apply(const struct image *image, const struct snapshot *snapshot, const struct snapshot *before)
{
    (void)dsm_prefetch(snapshot, snapshot->bytes);
    if (before == NULL)
        replace(image, snapshot);
    else if (before != snapshot)
        merge(image, before, snapshot);
}

/*
 * internal.h - what the parts of libdsm_parmacs share.
 *
 * image.c knows which bytes of memory are the program's variables, snapshot.c carries them to other ranks, create.c runs
 * instances there, objects.c is for the macros of synchronisation.
 */
#ifndef DSM_PARMACS_INTERNAL_H
#define DSM_PARMACS_INTERNAL_H

#define DSM_NO_PR204_NAMES
#include <dsm.h>
#include <dsm_parmacs.h>
#include <pthread.h>

/* The unit in which variables are looked at and carried; no larger than a page of the machine. */
enum { UNIT = 4096, MAX_SEGMENTS = 8 };

struct extent {
    uintptr_t begin, end;
};

/* Writable memory of the executable. From file_end on it was zero at first. */
struct segment {
    struct extent memory;
    uintptr_t file_end;
};

/* A variable of the size of an address. */
struct word {
    uintptr_t *at;
    uintptr_t value;
};

/* The executable as the loader put it into memory. */
struct image {
    uintptr_t bias;                        /* what was added to the addresses in the file */
    int has_loader;                        /* libraries are elsewhere */
    uint64_t fingerprint;                  /* equal for equal builds */
    struct extent all;                     /* code, constants and variables */
    struct extent data;                    /* from the first variable to the last */
    struct segment segments[MAX_SEGMENTS]; /* ascending */
    size_t segment_count;
    struct extent *variables; /* the program's own, ascending: what is carried */
    size_t variable_count;
    struct word *outward;     /* ascending; see image.c, with the values that the loader gave them */
    size_t outward_count;
};

/*
 * The program's variables at some moment, in shared memory. Units that are not in it were zero, and outward words that are
 * not in it were as the loader filled them in.
 */
struct snapshot {
    size_t bytes; /* of all of it */
    size_t unit_count, word_count;
    uintptr_t *units;
    struct word *words;
    unsigned char (*content)[UNIT];
};

struct control;

/* All that this library keeps, in one place, so that it is not taken for the program's. */
struct dsm_parmacs_state {
    struct image image;
    char *area;              /* of dsm_init, NULL before it */
    struct control *control; /* the same, NULL before MAIN_INITENV */
    uintptr_t stand_ins;     /* where objects in variables are in shared memory */
    pid_t pid;
    int has_ended;

    pthread_mutex_t mutex; /* protects the two counts */
    pthread_cond_t idle;   /* no threads are left */
    unsigned running;      /* instances of this process that use its variables */
    unsigned threads;      /* the same, until they need the job no more */

    const struct snapshot *received; /* what the variables were replaced by last */

    /* The rest is for rank 0. */
    long created;                /* instances since the last WAIT_FOR_END, the caller's not counted */
    struct snapshot *latest;     /* what was sent last */
    struct snapshot **outdated;  /* what was sent before that and may be in use */
    size_t outdated_count;
};

extern struct dsm_parmacs_state dsm_parmacs_state;

/* Finds out about the executable, before the program has changed a variable. */
void dsm_parmacs_read_image(struct image *image);

/* NULL, or why its variables cannot be carried to other ranks. */
const char *dsm_parmacs_flaw(const struct image *image);

/* Calls visit for units that may hold something else than zeros, ascending; beginnings of units are multiples of UNIT. */
void dsm_parmacs_each_unit(const struct image *image, void (*visit)(uintptr_t unit, void *argument), void *argument);

/* The variables in a unit: the first of their extents behind `from`, cut off at the unit's ends; 0 if there is none. */
int dsm_parmacs_next_piece(const struct image *image, uintptr_t unit, uintptr_t from, struct extent *piece);

/* The program's variables as they are, or `latest` if that is the same. */
struct snapshot *dsm_parmacs_take_snapshot(const struct image *image, struct snapshot *latest);

/*
 * Makes the program's variables what they were when the snapshot was taken. With `before`, the one that was applied last,
 * changes only what differs between the two: instances use the variables, and what they changed is theirs.
 */
void dsm_parmacs_apply(const struct image *image, const struct snapshot *snapshot, const struct snapshot *before);

/* Ends the process, saying what could not be done, unless error is 0. */
void dsm_parmacs_must(int error, const char *what);

/* Memory of this process that is always had. */
void *dsm_parmacs_grow(void *memory, size_t count, size_t bytes);

#endif

/*
 * dsm.h - the names of include/dsm.h that the kernels use, without dsm: memory is the process's own, ranks are one, and
 * locks and barriers are nothing. A program of examples/ built against this header is the same program without dsm.
 *
 * The message-passing programs in bench/mp are built against it too, for the computation that they share with
 * the examples; they set DSM_NODE_ID and DSM_NODE_NUM themselves.
 */
#ifndef DSM_H
#define DSM_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PLAIN_UNUSED __attribute__((unused))

enum { PLAIN_AREA_BYTES = 1 << 30, PLAIN_PAGE_BYTES = 4096 };

static int DSM_NODE_ID PLAIN_UNUSED, DSM_NODE_NUM PLAIN_UNUSED = 1;

typedef struct { uint64_t unused; } dsm_mutex_t;

struct dsm_stats {
    uint64_t read_faults, write_faults, upgrades, pages_in, messages_sent, bytes_sent;
};

/* Zeroed, at a page, and nothing but address space until it is touched. */
static PLAIN_UNUSED void *plain_pages(size_t bytes)
{
    void *p = mmap(NULL, bytes > 0 ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p != MAP_FAILED ? p : NULL;
}

static PLAIN_UNUSED char *dsm_init(int argc, char **argv)
{
    (void)argc, (void)argv;
    return plain_pages(PLAIN_AREA_BYTES);
}

static PLAIN_UNUSED void *dsm_named(const char *name, size_t bytes)
{
    (void)name;
    return plain_pages(bytes);
}

/* Zeroed, as that of dsm is. */
static PLAIN_UNUSED void *dsm_malloc(size_t bytes) { return calloc(1, bytes); }
static PLAIN_UNUSED void dsm_free(void *p) { free(p); }

static PLAIN_UNUSED void dsm_finalize(void) {}
static PLAIN_UNUSED size_t dsm_size(void) { return PLAIN_AREA_BYTES; }
static PLAIN_UNUSED size_t dsm_page_size(void) { return PLAIN_PAGE_BYTES; }

static PLAIN_UNUSED int dsm_prefetch(const void *p, size_t bytes) { return (void)p, (void)bytes, 0; }
static PLAIN_UNUSED int dsm_prefetch_write(void *p, size_t bytes) { return (void)p, (void)bytes, 0; }

static PLAIN_UNUSED int dsm_mutex_lock(dsm_mutex_t *m) { return (void)m, 0; }
static PLAIN_UNUSED int dsm_mutex_unlock(dsm_mutex_t *m) { return (void)m, 0; }
static PLAIN_UNUSED int dsm_barrier(void) { return 0; }

static PLAIN_UNUSED uint64_t dsm_fetch_add_u64(uint64_t *p, uint64_t v)
{
    uint64_t before = *p;

    *p += v;
    return before;
}

static PLAIN_UNUSED int dsm_stats(struct dsm_stats *out)
{
    *out = (struct dsm_stats){0};
    return 0;
}

#endif /* DSM_H */

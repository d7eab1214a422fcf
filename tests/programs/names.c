/*
 * names [THREADS [NAMES]]: all threads of all ranks ask for the same names, each in an order of its own, and meet at the
 * same addresses. Default 3 threads, 60 names.
 */
#include "check.h"

enum { MAX_NAMES = 1000 };

static struct {
    _Atomic(void *) places[MAX_NAMES];
} *shared;

static long threads, names;

static size_t bytes_of(long number)
{
    return (size_t)(8 + number % 7 * 1000);
}

static void meet(long number)
{
    size_t bytes = bytes_of(number), i;
    void *expected = NULL;
    char name[40];
    uint64_t *at;

    snprintf(name, sizeof name, "name %ld of many", number);
    errno = 77;
    at = dsm_named(name, bytes);
    MUST(at != NULL);
    SAME(errno, 77);
    SAME((uintptr_t)at % 16, 0);
    MUST(dsm_is_shared(at));
    if (!atomic_compare_exchange_strong(&shared->places[number], &expected, at))
        SAME((uintptr_t)expected, (uintptr_t)at);
    dsm_fetch_add_u64(at, 1);
    for (i = sizeof *at; i < bytes; i++)
        SAME(((unsigned char *)at)[i], 0);
    errno = 0;
    MUST(dsm_named(name, bytes + 1) == NULL);
    SAME(errno, EEXIST);
    MUST(strstr(dsm_last_error(), name) != NULL);
}

static void work(long thread)
{
    long i, start = (DSM_NODE_ID * 7 + thread * 13) % names;

    for (i = 0; i < names; i++)
        meet((start + i) % names);
}

int main(int argc, char **argv)
{
    char longest[256];
    long i;

    threads = argument(argc, argv, 1, 3);
    names = argument(argc, argv, 2, 60);
    shared = join(argc, argv);
    MUST(names <= MAX_NAMES);
    in_threads(threads, work);
    EXPECT(0, dsm_barrier());
    for (i = 0; i < names; i++) {
        SAME(*(uint64_t *)shared->places[i], DSM_NODE_NUM * threads);
        MUST(i == 0 || shared->places[i] != shared->places[i - 1]);
    }
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    MUST(dsm_named(longest, 16) != NULL); /* 255 bytes, any but 0 */
    MUST(dsm_named("Stra\xc3\x9f" "e\n", 16) != NULL);
    MUST(dsm_named("name", 16) != dsm_named("name ", 16));
    return right("names");
}

/*
 * heap [THREADS [ROUNDS]]: every thread of every rank allocates blocks of many sizes and fills them; the next rank looks
 * whether they are whole, and frees them. What is allocated is zero and overlaps nothing. At the end mistakes. Default 3
 * threads, 20 rounds.
 */
#include "check.h"

enum { MAX_RANKS = 16, BLOCKS = 32 };

struct block {
    unsigned char *at;
    size_t bytes;
    uint64_t stamp;
};

static struct {
    struct block blocks[MAX_RANKS][MAX_THREADS][BLOCKS];
} *shared;

static long threads, rounds;
static char *area;
static pthread_barrier_t together; /* of this rank's threads */

/* All threads of all ranks meet. */
static void meet(void)
{
    if (pthread_barrier_wait(&together) == PTHREAD_BARRIER_SERIAL_THREAD)
        EXPECT(0, dsm_barrier());
    pthread_barrier_wait(&together);
}

static unsigned char pattern(uint64_t stamp, size_t i)
{
    return (unsigned char)((stamp + i * 0x9e3779b97f4a7c15u) >> 56);
}

static void check_zero(const unsigned char *at, size_t bytes)
{
    size_t i;

    for (i = 0; i < bytes; i++)
        SAME(at[i], 0);
}

/* Mostly small, some of a few pages. */
static size_t draw_bytes(uint64_t *random)
{
    uint64_t kind = next_random(random) % 16, any = next_random(random);

    return kind == 0 ? any % 40000 : kind < 4 ? any % 4096 : any % 300;
}

static void allocate(struct block *block, uint64_t *random)
{
    size_t align = next_random(random) % 4 == 0 ? (size_t)1 << next_random(random) % 17 : 0;

    block->bytes = draw_bytes(random);
    block->stamp = next_random(random);
    errno = 77;
    block->at = align > 0 ? dsm_aligned_alloc(align, block->bytes) : dsm_malloc(block->bytes);
    MUST(block->at != NULL);
    SAME(errno, 77);
    SAME((uintptr_t)block->at % (align > 16 ? align : 16), 0);
    MUST(dsm_is_shared(block->at) && dsm_home(block->at) >= 0);
    MUST((char *)block->at >= area + dsm_size() || (char *)block->at + block->bytes <= area);
    check_zero(block->at, block->bytes);
}

static void fill(const struct block *block)
{
    size_t i;

    for (i = 0; i < block->bytes; i++)
        block->at[i] = pattern(block->stamp, i);
}

static void check_and_free(const struct block *block)
{
    size_t i;

    for (i = 0; i < block->bytes; i++)
        SAME(block->at[i], pattern(block->stamp, i));
    errno = 77;
    dsm_free(block->at);
    SAME(errno, 77);
}

static void work(long thread)
{
    uint64_t random = (uint64_t)(DSM_NODE_ID * MAX_THREADS + thread + 1);
    long round, i;

    for (round = 0; round < rounds; round++) {
        struct block *mine = shared->blocks[DSM_NODE_ID][thread];
        struct block *others = shared->blocks[(DSM_NODE_ID + 1) % DSM_NODE_NUM][(thread + 1) % threads];

        for (i = 0; i < BLOCKS; i++)
            allocate(&mine[i], &random);
        for (i = 0; i < BLOCKS; i++)
            fill(&mine[i]);
        meet();
        for (i = 0; i < BLOCKS; i++)
            check_and_free(&others[i]);
        meet();
    }
}

/* Each is refused, and all goes on. */
static void mistake(void *at)
{
    errno = 0;
    dsm_free(at);
    SAME(errno, EINVAL);
    MUST(*dsm_last_error() != '\0');
}

static void check_mistakes(void)
{
    unsigned char *small = dsm_malloc(100), *large = dsm_malloc(100000), local;

    MUST(small != NULL && large != NULL);
    SAME((uintptr_t)large % dsm_page_size(), 0);
    errno = 77;
    dsm_free(NULL);
    SAME(errno, 77);
    mistake(&local);
    mistake(area);
    mistake(small + 16);
    mistake(large + dsm_page_size());
    mistake((void *)UINTPTR_MAX);
    dsm_free(small);
    mistake(small);
    dsm_free(large);
    mistake(large);
    small = dsm_malloc(0);
    large = dsm_malloc(0);
    MUST(small != NULL && large != NULL && small != large);
    dsm_free(small);
    dsm_free(large);
    mistake(small);
}

int main(int argc, char **argv)
{
    uint64_t began, took;
    int rank;

    threads = argument(argc, argv, 1, 3);
    rounds = argument(argc, argv, 2, 20);
    area = join(argc, argv);
    shared = (void *)area;
    MUST(DSM_NODE_NUM <= MAX_RANKS && threads <= MAX_THREADS && sizeof *shared <= dsm_size());
    MUST(pthread_barrier_init(&together, NULL, (unsigned)threads) == 0);
    began = now_ns();
    in_threads(threads, work);
    took = now_ns() - began;
    /* One after the other: what one has freed another could get, and then it would be no mistake. */
    for (rank = 0; rank < DSM_NODE_NUM; rank++) {
        EXPECT(0, dsm_barrier());
        if (rank == DSM_NODE_ID)
            check_mistakes();
    }
    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == 0)
        printf("%.1f us per block\n", (double)took / 1e3 / (double)(rounds * BLOCKS * threads));
    return right("heap");
}

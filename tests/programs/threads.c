/*
 * threads [THREADS [ROUNDS]]: all threads of all ranks go for one page at once; a page of its own each round. Each adds 1
 * to a counter of all and to a slot of its own on that page, and then reads all slots. Default 64 threads, 20 rounds.
 */
#include <dsm.h>
#include <pthread.h>
#include <stdatomic.h>

enum { MAX_THREADS = 64, MAX_RANKS = 8 };

struct page {
    _Atomic uint32_t counter;
    uint32_t slots[MAX_RANKS][MAX_THREADS];
};

static char *area;
static long threads = MAX_THREADS, rounds = 20;
static pthread_barrier_t together;
static _Atomic int wrong;

static void check(const struct page *page)
{
    uint32_t expected = (uint32_t)(DSM_NODE_NUM * threads);
    int rank;
    long i;

    if (page->counter != expected) {
        fprintf(stderr, "rank %d: the counter is %u, not %u\n", DSM_NODE_ID, page->counter, expected);
        wrong = 1;
    }
    for (rank = 0; rank < DSM_NODE_NUM; rank++)
        for (i = 0; i < threads; i++)
            if (page->slots[rank][i] != 1) {
                fprintf(stderr, "rank %d: slot %ld of rank %d is %u\n", DSM_NODE_ID, i, rank, page->slots[rank][i]);
                wrong = 1;
            }
}

static void *work(void *number)
{
    long me = (long)(intptr_t)number, round;

    for (round = 0; round < rounds; round++) {
        struct page *page = (struct page *)(area + (size_t)round * dsm_page_size());

        pthread_barrier_wait(&together);
        page->slots[DSM_NODE_ID][me]++;
        page->counter++;
        if (pthread_barrier_wait(&together) == PTHREAD_BARRIER_SERIAL_THREAD && dsm_barrier() != 0)
            wrong = 1;
        pthread_barrier_wait(&together);
        check(page);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t ids[MAX_THREADS];
    long i;

    if (argc > 1)
        threads = atol(argv[1]);
    if (argc > 2)
        rounds = atol(argv[2]);
    area = dsm_init(argc, argv);
    if (area == NULL || threads < 1 || threads > MAX_THREADS || DSM_NODE_NUM > MAX_RANKS ||
        pthread_barrier_init(&together, NULL, (unsigned)threads) != 0)
        return 1;
    for (i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, work, (void *)(intptr_t)i) != 0)
            return 1;
    for (i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    printf("%ld threads, %ld rounds, %s\n", threads, rounds, wrong ? "WRONG" : "right");
    dsm_finalize();
    return wrong;
}

/*
 * fail_thousand [THREADS [ROUNDS]]: so many threads of every rank fault on pages that all write to, and take one mutex; nothing
 * is lost. Default 1000 threads, 5 rounds.
 */
#include "check.h"

enum { MOST = 4000, PAGES = 64 };

static struct shared {
    dsm_mutex_t mutex;
    uint64_t counter;
} *shared;
static char *area;
static long threads, rounds;

static _Atomic uint64_t *word(long turn)
{
    return (_Atomic uint64_t *)(void *)(area + (size_t)(1 + turn % PAGES) * dsm_page_size());
}

static void *work(void *number)
{
    long round, mine = (long)(intptr_t)number;

    for (round = 0; round < rounds; round++) {
        atomic_fetch_add(word(mine + round), 1);
        EXPECT(0, dsm_mutex_lock(&shared->mutex));
        shared->counter++;
        EXPECT(0, dsm_mutex_unlock(&shared->mutex));
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static pthread_t ids[MOST];
    uint64_t all, sum = 0;
    pthread_attr_t small;
    long i;

    threads = argument(argc, argv, 1, 1000);
    rounds = argument(argc, argv, 2, 5);
    area = join(argc, argv);
    shared = (struct shared *)(void *)area;
    MUST(threads > 0 && threads <= MOST);
    MUST(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 256 << 10) == 0);
    for (i = 0; i < threads; i++)
        MUST(pthread_create(&ids[i], &small, work, (void *)(intptr_t)i) == 0);
    for (i = 0; i < threads; i++)
        MUST(pthread_join(ids[i], NULL) == 0);
    EXPECT(0, dsm_barrier());
    all = (uint64_t)(threads * rounds * DSM_NODE_NUM);
    for (i = 0; i < PAGES; i++)
        sum += *word(i);
    SAME(sum, all);
    SAME(shared->counter, all);
    EXPECT(0, dsm_barrier());
    return right("fail_thousand");
}

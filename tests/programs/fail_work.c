/*
 * fail_work [endless]: every rank counts under a mutex, and without one on a page that all write to, until the standard input
 * of rank 0 ends, or for ever; then each checks that nothing was lost or counted twice. Says its process number when all have
 * begun.
 */
#include "check.h"

#include <unistd.h>

enum { MAX_RANKS = 16 };

static struct shared {
    dsm_mutex_t mutex;
    uint64_t counter, own[MAX_RANKS];
} *shared;
static _Atomic uint64_t *word;
static _Atomic int *over; /* on a page of its own, which all ranks have until it is written */

static void *await_end_of_input(void *unused)
{
    char byte;

    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    *over = 1;
    return unused;
}

int main(int argc, char **argv)
{
    uint64_t sum = 0, own = 0;
    pthread_t reader;
    int rank;

    shared = join(argc, argv);
    MUST(DSM_NODE_NUM <= MAX_RANKS);
    word = (_Atomic uint64_t *)(void *)((char *)shared + dsm_page_size());
    over = (_Atomic int *)(void *)((char *)shared + 2 * dsm_page_size());
    EXPECT(0, dsm_barrier());
    printf("working %d\n", (int)getpid());
    fflush(stdout);
    if (DSM_NODE_ID == 0 && argc < 2)
        MUST(pthread_create(&reader, NULL, await_end_of_input, NULL) == 0);
    for (own = 0; !*over; own++) {
        EXPECT(0, dsm_mutex_lock(&shared->mutex));
        shared->counter += 1;
        EXPECT(0, dsm_mutex_unlock(&shared->mutex));
        atomic_fetch_add(word, 1);
    }
    shared->own[DSM_NODE_ID] = own;
    EXPECT(0, dsm_barrier());
    for (rank = 0; rank < DSM_NODE_NUM; rank++)
        sum += shared->own[rank];
    SAME(shared->counter, sum);
    SAME(*word, sum);
    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == 0)
        MUST(pthread_join(reader, NULL) == 0);
    return right("fail_work");
}

/*
 * waits: three ranks that wait for each other in every way there is, until they are ended. Rank 0 has a mutex and does
 * nothing more; threads of rank 1 wait for the mutex, a condition variable, a semaphore and a barrier of two threads.
 * When it reads a line, others touch two pages that rank 2 has, of which one is at home there, and rank 1 goes to the
 * barrier of all.
 */
#include "check.h"

static struct {
    dsm_mutex_t had, own;
    dsm_cond_t cond;
    dsm_sem_t semaphore;
    dsm_barrier_t two;
} *shared;

static void *await_mutex(void *unused)
{
    dsm_mutex_lock(&shared->had);
    return unused;
}

static void *await_condition(void *unused)
{
    dsm_mutex_lock(&shared->own);
    dsm_cond_wait(&shared->cond, &shared->own);
    return unused;
}

static void *await_semaphore(void *unused)
{
    dsm_sem_wait(&shared->semaphore);
    return unused;
}

static void *await_barrier(void *unused)
{
    dsm_barrier_wait(&shared->two, 2);
    return unused;
}

static void *await_page(void *page)
{
    MUST(*(const volatile char *)page == 1);
    return page;
}

int main(int argc, char **argv)
{
    void *(*const waits[])(void *) = {await_mutex, await_condition, await_semaphore, await_barrier};
    pthread_t thread;
    size_t i;

    shared = join(argc, argv);
    if (DSM_NODE_ID == 0)
        EXPECT(0, dsm_mutex_lock(&shared->had));
    if (DSM_NODE_ID == 2)
        for (i = 2; i < 4; i++)
            ((volatile char *)shared)[i * dsm_page_size()] = 1;
    MUST(dsm_barrier() == 0);
    for (i = 0; DSM_NODE_ID == 1 && i < sizeof waits / sizeof *waits; i++)
        EXPECT(0, pthread_create(&thread, NULL, waits[i], NULL));
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    if (DSM_NODE_ID == 1) {
        MUST(getchar() != EOF);
        for (i = 2; i < 4; i++)
            EXPECT(0, pthread_create(&thread, NULL, await_page, (char *)shared + i * dsm_page_size()));
        dsm_barrier();
    }
    for (;;)
        pause();
}

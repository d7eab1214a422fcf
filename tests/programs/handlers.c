/*
 * handlers [OPERATIONS [THREADS]]: a signal handler that runs a thousand times a second on any thread and writes to shared
 * pages that other ranks write to, while threads lock, wait, allocate and meet. A handler that waits for a page while its
 * thread is inside the library must not keep the library from bringing the page. Default 2000 operations, 2 threads.
 */
#include "check.h"

#include <signal.h>
#include <sys/time.h>

enum { PAGES = 4 };

static struct shared {
    dsm_mutex_t mutex;
    dsm_cond_t cond;
    dsm_sem_t semaphore;
    uint64_t counter, turns;
} *shared;
static char *area;
static long operations;
static atomic_ulong handled;

/* This rank's word of a page that all ranks write to. */
static volatile uint64_t *word(unsigned long page)
{
    return (volatile uint64_t *)(void *)(area + (1 + page % PAGES) * dsm_page_size()) + DSM_NODE_ID;
}

static void on_alarm(int signal)
{
    unsigned long number = atomic_fetch_add(&handled, 1);

    (void)signal;
    *word(number) += 1;
}

static void work(long thread)
{
    long i;
    sigset_t alarm;

    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    MUST(pthread_sigmask(SIG_UNBLOCK, &alarm, NULL) == 0);
    for (i = 0; i < operations; i++) {
        uint64_t *block = dsm_malloc(64);

        MUST(block != NULL);
        EXPECT(0, dsm_mutex_lock(&shared->mutex));
        *block = ++shared->counter;
        if (i % 16 == thread)
            EXPECT(0, dsm_cond_broadcast(&shared->cond));
        EXPECT(0, dsm_mutex_unlock(&shared->mutex));
        EXPECT(0, dsm_sem_post(&shared->semaphore));
        EXPECT(0, dsm_sem_wait(&shared->semaphore));
        dsm_fetch_add_u64(&shared->turns, 1);
        MUST(*block != 0);
        dsm_free(block);
    }
}

int main(int argc, char **argv)
{
    struct itimerval every = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    long threads = argument(argc, argv, 2, 2);
    uint64_t sum = 0;
    unsigned long page;
    sigset_t alarm;

    operations = argument(argc, argv, 1, 2000);
    area = join(argc, argv);
    shared = (struct shared *)(void *)area;
    sigemptyset(&action.sa_mask);
    /* The signals go to the threads that work, not to the one that waits for them. */
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    MUST(pthread_sigmask(SIG_BLOCK, &alarm, NULL) == 0);
    MUST(sigaction(SIGALRM, &action, NULL) == 0);
    MUST(setitimer(ITIMER_REAL, &every, NULL) == 0);
    in_threads(threads, work);
    EXPECT(0, dsm_barrier());
    MUST(setitimer(ITIMER_REAL, &never, NULL) == 0);
    for (page = 0; page < PAGES; page++)
        sum += *word(page);
    /* The handlers of one rank may run at once on two threads and lose an increment, but not most of them. */
    MUST(sum <= atomic_load(&handled) && 2 * sum >= atomic_load(&handled));
    SAME(shared->counter, (uint64_t)operations * threads * DSM_NODE_NUM);
    SAME(shared->turns, (uint64_t)operations * threads * DSM_NODE_NUM);
    printf("%lu signals handled\n", (unsigned long)atomic_load(&handled));
    EXPECT(0, dsm_barrier());
    return right("handlers");
}

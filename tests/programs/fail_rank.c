/*
 * fail_rank STATE HOW: rank 1 of three fails while its main thread is in a state, which another thread of it watches; the
 * others wait for it. It says a thousand last words first, and then its process number.
 *
 * STATE     rank 1                              rank 0                 rank 2
 * compute   computes                            waits in dsm_barrier   waits in dsm_barrier
 * fault     waits for a page of rank 2          waits in dsm_barrier   is stopped
 * lock      waits for a mutex that rank 0 has   waits in dsm_barrier   waits for a mutex that rank 1 has
 * barrier   waits in dsm_barrier                waits for that mutex   waits for that mutex
 * init      waits in dsm_init                   waits in dsm_init      computes
 * finalize  waits in dsm_finalize               waits for a semaphore  computes
 */
#include "check.h"

#include <signal.h>
#include <unistd.h>

enum { LAST_WORDS = 1000, STEADY_NS = 20 * 1000 * 1000 };

static struct shared {
    dsm_mutex_t of_rank_0, of_rank_1;
    dsm_sem_t semaphore;
    int stopped; /* the process of rank 2 that will be */
} *shared;
static const char *state, *how;
static atomic_int ready; /* the main thread goes into its state next */
static volatile int *volatile nowhere;

static int is(const char *word, const char *other)
{
    return strcmp(word, other) == 0;
}

/* The letter that /proc shows: R runs, S and D wait, T is stopped. */
static char state_of(int pid, int thread)
{
    char path[64], words[256], letter = '?';
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, thread);
    file = fopen(path, "r");
    if (file == NULL)
        return letter;
    if (fgets(words, sizeof words, file) != NULL)
        sscanf(strrchr(words, ')'), ") %c", &letter);
    fclose(file);
    return letter;
}

/* Until the main thread has waited without a break. */
static void await_wait(void)
{
    uint64_t since = now_ns();

    while (now_ns() - since < STEADY_NS) {
        char letter = state_of(getpid(), getpid());

        if (letter != 'S' && letter != 'D')
            since = now_ns();
        sched_yield();
    }
}

static void fail(void)
{
    if (is(how, "kill"))
        kill(getpid(), SIGKILL);
    if (is(how, "crash"))
        *nowhere = 0;
    if (is(how, "abort"))
        abort();
    if (is(how, "exit 3"))
        exit(3);
    if (is(how, "leave"))
        exit(0);
    fprintf(stderr, "fail_rank: there is no way %s\n", how);
    _exit(1);
}

static void *watch(void *unused)
{
    int i;

    while (!atomic_load(&ready))
        sched_yield();
    if (!is(state, "compute"))
        await_wait();
    for (i = 1; i <= LAST_WORDS; i++)
        printf("last words %d\n", i);
    printf("failing %d\n", (int)getpid());
    fflush(stdout);
    fail();
    return unused;
}

static void compute(void)
{
    volatile uint64_t sum = 0;

    for (;;)
        sum += 1;
}

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

static void enter_state(const char *page)
{
    atomic_store(&ready, 1);
    if (is(state, "compute"))
        compute();
    if (is(state, "fault"))
        MUST(*(const volatile char *)page == 0);
    if (is(state, "lock"))
        EXPECT(0, dsm_mutex_lock(&shared->of_rank_0));
    if (is(state, "barrier"))
        EXPECT(0, dsm_barrier());
    if (is(state, "finalize"))
        dsm_finalize();
    wait_for_ever();
}

static void as_rank_0(void)
{
    if (is(state, "barrier"))
        dsm_mutex_lock(&shared->of_rank_1);
    else if (is(state, "finalize"))
        dsm_sem_wait(&shared->semaphore);
    else
        dsm_barrier();
}

static void as_rank_2(void)
{
    if (is(state, "finalize"))
        compute();
    if (is(state, "fault"))
        raise(SIGSTOP);
    else if (is(state, "compute"))
        dsm_barrier();
    else
        dsm_mutex_lock(&shared->of_rank_1);
}

int main(int argc, char **argv)
{
    int rank = atoi(getenv("DSM_NODE_ID") ? getenv("DSM_NODE_ID") : "0");
    char *page;
    int stopped;
    pthread_t watcher;

    state = argc > 1 ? argv[1] : "";
    how = argc > 2 ? argv[2] : "";
    if (rank == 1)
        MUST(pthread_create(&watcher, NULL, watch, NULL) == 0);
    if (is(state, "init")) {
        if (rank == 2)
            compute();
        atomic_store(&ready, 1);
    }
    shared = join(argc, argv);
    page = (char *)shared + dsm_page_size();
    if (rank == 0)
        EXPECT(0, dsm_mutex_lock(&shared->of_rank_0));
    if (rank == 1)
        EXPECT(0, dsm_mutex_lock(&shared->of_rank_1));
    if (rank == 2) {
        *(volatile char *)page = 1;
        shared->stopped = (int)getpid();
    }
    EXPECT(0, dsm_barrier());
    stopped = shared->stopped; /* sooner than it is */
    EXPECT(0, dsm_barrier());
    if (rank == 1) {
        while (is(state, "fault") && state_of(stopped, stopped) != 'T')
            sched_yield();
        enter_state(page);
    }
    if (rank == 0)
        as_rank_0();
    else
        as_rank_2();
    wait_for_ever();
    return 0;
}

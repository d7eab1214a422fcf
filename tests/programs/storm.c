/*
 * storm HOW [SIGNALS]: signals come a thousand times a second while threads of all ranks fault, lock, wait and meet, until so
 * many handlers have run on every rank (default 500). HOW the handlers are set:
 *   restart, interrupt   with and without SA_RESTART; they store to pages that other ranks store to
 *   stack, shared stack  on alternate stacks, in memory of their own and in shared memory
 *   jump                 they leave by siglongjmp, out of loads and stores that may wait for a page
 */
#include "check.h"

#include <setjmp.h>
#include <signal.h>

enum { PAGES = 8, THREADS = 3, STACK_BYTES = 64 << 10 };

static struct shared {
    dsm_mutex_t mutex;
    dsm_cond_t cond;
    dsm_sem_t semaphore;
    uint64_t counter; /* under the mutex */
    _Atomic uint64_t rounds, stores, may_be_lost;
} *shared;
static char *area;
static long enough;
static const char *how;
static atomic_long handled, inside;
static __thread sigjmp_buf back;
static __thread volatile sig_atomic_t may_jump;

static _Atomic uint64_t *word(uint64_t turn)
{
    return (_Atomic uint64_t *)(void *)(area + (1 + turn % PAGES) * dsm_page_size());
}

static int on_stack(void)
{
    return strcmp(how, "stack") == 0 || strcmp(how, "shared stack") == 0;
}

static void on_signal(int signal)
{
    int before = errno;
    char here;

    (void)signal;
    atomic_fetch_add(&handled, 1);
    if (may_jump) {
        may_jump = 0;
        siglongjmp(back, 1);
    }
    if (strcmp(how, "jump") == 0)
        return;
    atomic_fetch_add(&inside, 1);
    if (on_stack()) {
        stack_t stack;

        if (sigaltstack(NULL, &stack) != 0 || &here < (char *)stack.ss_sp || &here >= (char *)stack.ss_sp + stack.ss_size)
            _exit(9);
    }
    atomic_fetch_add(word((uint64_t)atomic_load(&handled)), 1);
    atomic_fetch_add(&shared->stores, 1);
    atomic_fetch_sub(&inside, 1);
    errno = before;
}

static void block(int what)
{
    sigset_t both;

    sigemptyset(&both);
    sigaddset(&both, SIGALRM);
    sigaddset(&both, SIGHUP);
    MUST(pthread_sigmask(what, &both, NULL) == 0);
}

/*
 * Stores until a signal comes, which leaves by a jump and blocks signals again. The last store is done, or it is not, or it
 * is done and not counted.
 */
static void store_until_jump(void)
{
    volatile uint64_t stores = 0;

    if (sigsetjmp(back, 1) == 0) {
        may_jump = 1;
        block(SIG_UNBLOCK);
        for (;;) {
            atomic_fetch_add(word(stores), 1);
            stores++;
        }
    }
    atomic_fetch_add(&shared->stores, stores);
    atomic_fetch_add(&shared->may_be_lost, 1);
}

/* Thread 0 of every rank decides between two barriers whether all have had enough. */
static int all_have_enough(void)
{
    static int counted;
    int all;

    if (!counted && atomic_load(&handled) >= enough) {
        counted = 1;
        atomic_fetch_add(&shared->rounds, 1);
    }
    EXPECT(0, dsm_barrier());
    all = atomic_load(&shared->rounds) == (uint64_t)DSM_NODE_NUM;
    EXPECT(0, dsm_barrier());
    return all;
}

static void call(void)
{
    struct timespec then = after_ms(1);

    EXPECT(0, dsm_mutex_lock(&shared->mutex));
    shared->counter++;
    EXPECT(ETIMEDOUT, dsm_cond_timedwait(&shared->cond, &shared->mutex, &then));
    EXPECT(0, dsm_mutex_unlock(&shared->mutex));
    EXPECT(0, dsm_sem_post(&shared->semaphore));
    EXPECT(0, dsm_sem_wait(&shared->semaphore));
}

static void give_stack(void)
{
    stack_t stack = {.ss_size = STACK_BYTES};

    stack.ss_sp = strcmp(how, "stack") == 0 ? malloc(STACK_BYTES) : dsm_malloc(STACK_BYTES);
    MUST(stack.ss_sp != NULL && sigaltstack(&stack, NULL) == 0);
}

static void work(long thread)
{
    int jumps = strcmp(how, "jump") == 0, enough_here = 0;
    uint64_t turn = (uint64_t)thread;

    if (on_stack())
        give_stack();
    if (!jumps)
        block(SIG_UNBLOCK);
    while (!enough_here) {
        if (jumps) {
            store_until_jump();
        } else {
            atomic_fetch_add(word(turn++), 1);
            atomic_fetch_add(&shared->stores, 1);
        }
        call();
        enough_here = thread == 0 ? all_have_enough() : atomic_load(&shared->rounds) == (uint64_t)DSM_NODE_NUM;
    }
    block(SIG_BLOCK);
}

static timer_t start_timer(int signal)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal};
    struct itimerspec every = {{0, 1000000}, {0, 1000000}};
    timer_t timer;

    MUST(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    MUST(timer_settime(timer, 0, &every, NULL) == 0);
    return timer;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    timer_t timers[2];
    uint64_t sum = 0;
    int page;

    how = argc > 1 ? argv[1] : "restart";
    enough = argument(argc, argv, 2, 500);
    action.sa_flags = (strcmp(how, "interrupt") == 0 ? 0 : SA_RESTART) | (on_stack() ? SA_ONSTACK : 0);
    sigemptyset(&action.sa_mask);
    area = join(argc, argv);
    shared = (struct shared *)(void *)area;
    block(SIG_BLOCK);
    MUST(sigaction(SIGALRM, &action, NULL) == 0 && sigaction(SIGHUP, &action, NULL) == 0);
    timers[0] = start_timer(SIGALRM);
    timers[1] = start_timer(SIGHUP);
    in_threads(THREADS, work);
    MUST(timer_delete(timers[0]) == 0 && timer_delete(timers[1]) == 0);
    SAME(atomic_load(&inside), 0);
    EXPECT(0, dsm_barrier());
    for (page = 0; page < PAGES; page++)
        sum += *word((uint64_t)page);
    MUST(sum >= shared->stores && sum <= shared->stores + shared->may_be_lost);
    printf("%ld signals, %" PRIu64 " stores, %" PRIu64 " locks\n", atomic_load(&handled), sum, shared->counter);
    EXPECT(0, dsm_barrier());
    return right("storm");
}

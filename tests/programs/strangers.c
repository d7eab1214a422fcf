/*
 * strangers HOW [TURNS]: programs with SIGSEGV and SIGBUS handlers of their own. On all ranks two threads store to pages that
 * others store to, and in between fault on purpose in memory of their own, which the handlers mend. HOW they are set:
 *   before, old      before dsm_init, with three arguments and with one
 *   after            after dsm_init, passing on what is not theirs
 *   stack            the same as a Go program: on alternate stacks, before dsm_init, and again after it
 *   jump             before, and they leave by siglongjmp
 *   deaf             after dsm_init, passing on nothing: exit code 9 if a fault of dsm comes
 */
#include "check.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

enum { PAGES = 8, THREADS = 2, STACK_BYTES = 64 << 10 };

static char *area;
static long turns;
static const char *how;
static struct sigaction below[2]; /* of SIGSEGV and of SIGBUS */
static atomic_long mended;
static __thread char *guard;   /* a page of the thread's own that is mostly closed */
static __thread char *beyond;  /* a page of a file that has no such page */
static __thread sigjmp_buf back;

static _Atomic uint64_t *word(uint64_t turn)
{
    return (_Atomic uint64_t *)(void *)(area + turn % PAGES * dsm_page_size());
}

static int is(const char *word)
{
    return strcmp(how, word) == 0;
}

/* Whether it was this thread's own fault, which is mended then. */
static int mend(const char *address)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *own = guard != NULL && address >= guard && address < guard + page ? guard : NULL;

    if (own == NULL && beyond != NULL && address >= beyond && address < beyond + page)
        own = beyond;
    if (own == NULL)
        return 0;
    atomic_fetch_add(&mended, 1);
    if (is("jump"))
        siglongjmp(back, 1);
    if (own == guard) {
        if (mprotect(own, page, PROT_READ | PROT_WRITE) != 0)
            _exit(8);
    } else if (mmap(own, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != own) {
        _exit(8);
    }
    return 1;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    struct sigaction *next = &below[signal == SIGBUS];

    if (mend(info->si_addr))
        return;
    if (is("deaf") || !(next->sa_flags & SA_SIGINFO))
        _exit(9);
    next->sa_sigaction(signal, info, context);
}

/* The thread faults nowhere else in memory of its own, and a handler of dsm's sees its faults first. */
static void on_fault_old(int signal)
{
    if (!mend(signal == SIGBUS ? beyond : guard))
        _exit(9);
}

static void set(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};

    sigemptyset(&action.sa_mask);
    action.sa_sigaction = on_fault;
    if (is("stack"))
        action.sa_flags |= SA_ONSTACK | SA_RESTART;
    if (is("jump"))
        action.sa_flags |= SA_NODEFER;
    if (is("old")) {
        action.sa_flags = 0;
        action.sa_handler = on_fault_old;
    }
    MUST(sigaction(SIGSEGV, &action, &below[0]) == 0);
    MUST(sigaction(SIGBUS, &action, &below[1]) == 0);
}

/* A page that is not there at the end of a file. */
static char *map_beyond(FILE *file)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fileno(file), 0);

    MUST(at != MAP_FAILED);
    return at;
}

static void touch(char *page)
{
    if (!is("jump"))
        *(volatile char *)page = 1;
    else if (sigsetjmp(back, 1) == 0)
        *(volatile char *)page = 1;
}

static void work(long thread)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    stack_t stack = {.ss_sp = malloc(STACK_BYTES), .ss_size = STACK_BYTES};
    FILE *file = tmpfile();
    long i;

    MUST(file != NULL && stack.ss_sp != NULL);
    if (is("stack"))
        MUST(sigaltstack(&stack, NULL) == 0);
    guard = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(guard != MAP_FAILED);
    for (i = 0; i < turns; i++) {
        atomic_fetch_add(word((uint64_t)(i + thread)), 1);
        MUST(mprotect(guard, page, PROT_NONE) == 0);
        touch(guard);
        if (i % 16 == 0) {
            beyond = map_beyond(file);
            touch(beyond);
            MUST(munmap(beyond, page) == 0);
            beyond = NULL;
        }
    }
    fclose(file);
}

int main(int argc, char **argv)
{
    uint64_t sum = 0;
    int page, before;

    how = argc > 1 ? argv[1] : "before";
    turns = argument(argc, argv, 2, 2000);
    before = !is("after") && !is("deaf");
    if (before)
        set();
    area = join(argc, argv);
    if (!before || is("stack"))
        set();
    in_threads(THREADS, work);
    EXPECT(0, dsm_barrier());
    for (page = 0; page < PAGES; page++)
        sum += *word((uint64_t)page);
    SAME(sum, (uint64_t)turns * THREADS * DSM_NODE_NUM);
    SAME(atomic_load(&mended), (turns + (turns + 15) / 16) * THREADS);
    printf("%ld faults mended\n", atomic_load(&mended));
    EXPECT(0, dsm_barrier());
    return right("strangers");
}

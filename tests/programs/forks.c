/*
 * forks [ROUNDS]: threads of all ranks fight for pages, and rank 1 makes children of every kind meanwhile: by fork() with and
 * without touching shared memory or calling dsm_*, by vfork(), posix_spawn(), system() and popen(). Default 20 rounds.
 */
#include "check.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGES = 8, FIGHTERS = 2 };

static char *area;
static long rounds;
static atomic_int over;
extern char **environ;

static _Atomic uint64_t *word(uint64_t turn)
{
    return (_Atomic uint64_t *)(void *)(area + turn % PAGES * dsm_page_size());
}

/* What all ranks have added is summed up in the page behind the others. */
static _Atomic uint64_t *total(void)
{
    return (_Atomic uint64_t *)(void *)(area + PAGES * dsm_page_size());
}

static void fight(long thread)
{
    uint64_t turn;

    for (turn = (uint64_t)thread; !atomic_load(&over); turn++)
        atomic_fetch_add(word(turn), 1);
    atomic_fetch_add(total(), turn - (uint64_t)thread);
}

/* How the child ended, which is waited for. */
static int ending(pid_t child)
{
    int status;

    MUST(child > 0);
    while (waitpid(child, &status, 0) != child)
        MUST(errno == EINTR);
    return status;
}

static int code(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* In the child: a number of its own for each thing that is not as it should be. */
static int try_calls(void)
{
    dsm_mutex_t *mutex = (dsm_mutex_t *)(void *)area;
    struct dsm_stats stats;

    if (dsm_mutex_lock(mutex) != ENOTCONN)
        return 1;
    if (strstr(dsm_last_error(), "forked") == NULL)
        return 2;
    if (dsm_barrier() != ENOTCONN)
        return 3;
    if (dsm_malloc(64) != NULL)
        return 4;
    if (dsm_is_shared(area) || dsm_base() != NULL || dsm_size() != 0 || dsm_home(area) != -1)
        return 5;
    if (dsm_sem_post((dsm_sem_t *)(void *)area) != ENOTCONN)
        return 6;
    if (dsm_stats(&stats) != ENOTCONN)
        return 7;
    if (dsm_init(0, NULL) != NULL || errno != EALREADY)
        return 8;
    dsm_finalize();
    return 0;
}

static void fork_and(long what)
{
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child != 0) {
        SAME(code(ending(child)), what == 2 ? -SIGSEGV : 0);
        return;
    }
    switch (what) {
    case 0:
        _exit(0);
    case 1:
        exit(0);
    case 2:
        _exit(*(volatile char *)area != 1);
    case 3:
        _exit(try_calls());
    default:
        execlp("true", "true", (char *)NULL);
        _exit(127);
    }
}

static void spawn_true(void)
{
    char name[] = "true", *arguments[] = {name, NULL};
    pid_t child;

    MUST(posix_spawnp(&child, "true", NULL, NULL, arguments, environ) == 0);
    SAME(code(ending(child)), 0);
}

/* The child of vfork() has its parent's memory, shared memory too. */
static void vfork_true(void)
{
    pid_t child = vfork();

    if (child == 0) {
        atomic_fetch_add(word(0), 1);
        execlp("true", "true", (char *)NULL);
        _exit(127);
    }
    SAME(code(ending(child)), 0);
}

static void run_shells(void)
{
    char words[16];
    FILE *pipe;

    SAME(code(system("exit 5")), 5);
    pipe = popen("echo hello", "r");
    MUST(pipe != NULL && fgets(words, sizeof words, pipe) != NULL && strcmp(words, "hello\n") == 0);
    SAME(code(pclose(pipe)), 0);
}

static void work(long thread)
{
    long i, what;

    if (thread < FIGHTERS) {
        fight(thread);
        return;
    }
    for (i = 0; i < rounds; i++) {
        for (what = 0; what < 5; what++)
            fork_and(what);
        vfork_true();
        spawn_true();
        run_shells();
    }
    atomic_fetch_add(total(), (uint64_t)rounds);
    atomic_store(&over, 1);
}

int main(int argc, char **argv)
{
    uint64_t i, sum = 0;

    rounds = argument(argc, argv, 1, 20);
    area = join(argc, argv);
    if (DSM_NODE_ID == 1)
        in_threads(FIGHTERS + 1, work);
    else
        for (i = 0; *total() < (uint64_t)rounds; i++)
            atomic_fetch_add(word(i), 0);
    EXPECT(0, dsm_barrier());
    for (i = 0; i < PAGES; i++)
        sum += *word(i);
    SAME(sum, *total());
    printf("%" PRIu64 " stores\n", sum);
    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == 1) {
        /* A child that lives on does not hold up the end of the job. */
        pid_t child = fork();

        while (child == 0)
            pause();
        printf("child %ld\n", (long)child);
    }
    return right("forks");
}

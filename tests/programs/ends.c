/*
 * ends HOW: threads of all ranks fight for a page; in the middle of it rank 1 ends in one of many ways, listed in main(). In
 * the ways that are good for a job nobody fights, and all ranks end in the same way.
 */
#include "check.h"

#include <signal.h>
#include <unistd.h>

enum { ENOUGH = 2000 };

static _Atomic uint64_t *word;
static atomic_int over;
static volatile int *volatile nowhere;

static void *fight(void *unused)
{
    (void)unused;
    while (!atomic_load(&over))
        atomic_fetch_add(word, 1);
    return NULL;
}

static void *leave(void *unused)
{
    (void)unused;
    EXPECT(0, dsm_barrier());
    SAME(*word, 7);
    dsm_finalize();
    puts("left from another thread");
    return NULL;
}

static void *exit_with_4(void *unused)
{
    (void)unused;
    exit(4);
}

static void *wait_for_ever(void *unused)
{
    (void)unused;
    for (;;)
        pause();
    return NULL;
}

static void store_late(void)
{
    atomic_fetch_add(word, 1);
    puts("stored after main");
}

static void *started(void *(*run)(void *))
{
    static pthread_t thread;

    MUST(pthread_create(&thread, NULL, run, NULL) == 0);
    return &thread;
}

static void pthread_exit_from_main(void)
{
    *word = 7;
    EXPECT(0, dsm_barrier());
    started(leave);
    pthread_exit(NULL);
}

static void with_detached_thread(void *(*run)(void *))
{
    pthread_detach(*(pthread_t *)started(run));
    EXPECT(0, dsm_barrier());
    dsm_finalize();
    puts("left beside a thread");
    fflush(stdout);
}

/* Ends well, without a word of the launcher. */
static int ends_well(const char *how)
{
    if (strcmp(how, "atexit") == 0) {
        MUST(atexit(dsm_finalize) == 0);
        MUST(atexit(store_late) == 0);
    } else if (strcmp(how, "pthread_exit") == 0) {
        pthread_exit_from_main();
    } else if (strcmp(how, "detached") == 0) {
        with_detached_thread(wait_for_ever);
    } else if (strcmp(how, "late touch") == 0) {
        with_detached_thread(wait_for_ever);
        if (DSM_NODE_ID == 1)
            atomic_fetch_add(word, 1);
    } else {
        return 0;
    }
    return 1;
}

static void end(const char *how)
{
    if (strcmp(how, "return") == 0)
        return;
    if (strcmp(how, "exit") == 0)
        exit(0);
    if (strcmp(how, "exit 3") == 0)
        exit(3);
    if (strcmp(how, "_exit") == 0)
        _exit(0);
    if (strcmp(how, "_exit 3") == 0)
        _exit(3);
    if (strcmp(how, "quick_exit") == 0)
        quick_exit(0);
    if (strcmp(how, "quick_exit 3") == 0)
        quick_exit(3);
    if (strcmp(how, "exit of a thread") == 0)
        pthread_join(*(pthread_t *)started(exit_with_4), NULL);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(how, "null") == 0)
        *nowhere = 0;
    if (strcmp(how, "exec") == 0)
        execlp("tail", "tail", "-f", "/dev/null", (char *)NULL);
    if (strcmp(how, "exec true") == 0)
        execlp("true", "true", (char *)NULL);
    fprintf(stderr, "ends: there is no way %s\n", how);
    exit(1);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";

    word = (_Atomic uint64_t *)(void *)join(argc, argv);
    if (ends_well(how))
        return 0;
    started(fight);
    while (*word < ENOUGH)
        atomic_fetch_add(word, 1);
    printf("process %ld\n", (long)getpid());
    fflush(stdout);
    if (DSM_NODE_ID == 1) {
        end(how);
        return 0;
    }
    fight(NULL);
    return 0;
}

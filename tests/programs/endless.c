/*
 * endless [kill | exit | return]: all ranks fight for four pages for ever, two threads each. With an argument, rank 1 ends
 * itself in the middle of it: by SIGKILL, by exit(3), or by leaving main without dsm_finalize.
 */
#include <dsm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { PAGES = 4, ENOUGH = 2000 };

static char *area;

static _Atomic uint64_t *word(uint64_t turn)
{
    return (_Atomic uint64_t *)(area + turn % PAGES * dsm_page_size());
}

static void *fight(void *unused)
{
    uint64_t turn;

    (void)unused;
    for (turn = 0;; turn++)
        atomic_fetch_add(word(turn), 1);
    return NULL;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    pthread_t other;
    uint64_t turn;

    area = dsm_init(argc, argv);
    if (area == NULL || pthread_create(&other, NULL, fight, NULL) != 0)
        return 1;
    for (turn = 0; atomic_fetch_add(word(turn), 1) < ENOUGH; turn++)
        ;
    printf("fighting as process %ld\n", (long)getpid());
    fflush(stdout);
    if (DSM_NODE_ID == 1 && strcmp(how, "kill") == 0)
        raise(SIGKILL);
    if (DSM_NODE_ID == 1 && strcmp(how, "exit") == 0)
        exit(3);
    if (DSM_NODE_ID == 1 && strcmp(how, "return") == 0)
        return 0;
    fight(NULL);
    return 0;
}

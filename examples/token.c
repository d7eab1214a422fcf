/*
 * token: a counter goes round all ranks, through shared memory alone.
 *
 *     dsmexec machine_file token [ROUNDS]        (default 10)
 *
 * The rank whose turn it is adds to the sum and passes the turn on; the others wait by looking at the turn.
 * No lock, no barrier, no message: an atomic word behaves as it does between threads on one machine.
 *
 * Exit code 0; 1 if the job cannot be joined or the sum is wrong; 64 for wrong arguments.
 */
#include <dsm.h>
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 64, MAX_ROUNDS = 1000000 };

struct token {
    _Atomic uint64_t turn; /* how often the token was passed; rank turn % DSM_NODE_NUM holds it */
    uint64_t sum;          /* plain data, touched only by the holder: the turn orders it */
};

int main(int argc, char **argv)
{
    struct token *token;
    char *end = NULL;
    long rounds = 10;
    uint64_t turns, mine;

    if (argc > 1)
        rounds = strtol(argv[1], &end, 10);
    if (argc > 2 || (end != NULL && (end == argv[1] || *end != '\0')) || rounds < 1 || rounds > MAX_ROUNDS) {
        fprintf(stderr, "usage: token [ROUNDS]   (1 to %d, default 10)\n", MAX_ROUNDS);
        return EXIT_USAGE;
    }
    token = (struct token *)dsm_init(argc, argv);
    if (token == NULL)
        return 1;

    turns = (uint64_t)rounds * (uint64_t)DSM_NODE_NUM;
    for (mine = (uint64_t)DSM_NODE_ID; mine < turns; mine += (uint64_t)DSM_NODE_NUM) {
        while (atomic_load(&token->turn) != mine)
            sched_yield(); /* ranks may share a processor */
        token->sum += mine;
        atomic_store(&token->turn, mine + 1);
    }

    /* Everyone waits for the last turn, so that everyone can check the result. */
    while (atomic_load(&token->turn) != turns)
        sched_yield();
    if (token->sum != turns * (turns - 1) / 2) {
        fprintf(stderr, "token: rank %d: the sum is %" PRIu64 ", not %" PRIu64 "\n", DSM_NODE_ID, token->sum,
                turns * (turns - 1) / 2);
        return 1;
    }
    printf("rank %d: token passed %" PRIu64 " times, sum %" PRIu64 " is right\n", DSM_NODE_ID, turns, token->sum);
    dsm_finalize();
    return 0;
}

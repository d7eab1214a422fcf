/*
 * launched: joins a job, whatever launcher started it, and shares memory with whoever else does.
 *
 *     launched [OPEN_FD...]     descriptors that must not be there any more once the job is joined
 *     launched vanish RANK      that rank ends without a word while the others wait for it
 *
 * Says "rank R of N: right", or "refused: errno E: WORDS" with exit code 3 if there is no job to join.
 */
#include "check.h"
#include <fcntl.h>
#include <unistd.h>

/* Each rank writes into its own pages, and reads the others'. */
static void share(char *area)
{
    _Atomic uint64_t *counter = (void *)area;
    uint64_t *words = (void *)(area + dsm_page_size());
    long stride = (long)(dsm_page_size() / sizeof *words);
    int rank;

    atomic_fetch_add(counter, 1);
    words[DSM_NODE_ID * stride] = 1000 + (uint64_t)DSM_NODE_ID;
    EXPECT(0, dsm_barrier());
    SAME(atomic_load(counter), DSM_NODE_NUM);
    for (rank = 0; rank < DSM_NODE_NUM; rank++)
        SAME(words[rank * stride], 1000 + (uint64_t)rank);
    EXPECT(0, dsm_barrier());
}

int main(int argc, char **argv)
{
    int vanishes = argc > 2 && strcmp(argv[1], "vanish") == 0, argument;
    char *area = dsm_init(argc, argv);

    if (area == NULL) {
        printf("refused: errno %d: %s\n", errno, dsm_last_error());
        return 3;
    }
    share(area);
    if (vanishes && DSM_NODE_ID == atoi(argv[2]))
        _exit(5);
    if (vanishes)
        EXPECT(0, dsm_barrier());
    for (argument = 1; argument < argc; argument++)
        MUST(fcntl(atoi(argv[argument]), F_GETFD) == -1 || fcntl(atoi(argv[argument]), F_GETFD) == FD_CLOEXEC);
    dsm_finalize();
    printf("rank %d of %d: right\n", DSM_NODE_ID, DSM_NODE_NUM);
    return 0;
}

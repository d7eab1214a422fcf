/*
 * exemple: the first program of the PR204 course. Every rank prints where the shared area begins, and ranks 0
 * and 1 each print an int of it: rank 0 from the first page, rank 1 from the second.
 *
 *     dsmexec machine_file exemple
 *
 * Nobody has written to the area, so the ints are 0. The addresses are equal: pointers may be shared.
 */
#include "dsm.h"

int main(int argc, char **argv)
{
    char *base = dsm_init(argc, argv);
    char *place = base;

    if (base == NULL)
        return 1;
    printf("[%i] Coucou, mon adresse de base est : %p\n", DSM_NODE_ID, (void *)base);

    /* A plain load. If the page is elsewhere it comes over the network, and the load goes on. */
    if (DSM_NODE_ID == 0) {
        place += 4 * sizeof(int);
        printf("[%i] valeur de l'entier : %i\n", DSM_NODE_ID, *(int *)place);
    } else if (DSM_NODE_ID == 1) {
        place += PAGE_SIZE + 16 * sizeof(int);
        printf("[%i] valeur de l'entier : %i\n", DSM_NODE_ID, *(int *)place);
    }

    dsm_finalize();
    return 0;
}

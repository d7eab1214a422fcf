/*
 * laggard: the last rank computes for four seconds before it comes to the barrier; the others wait for it there.
 */
#include "check.h"

#include <time.h>

int main(int argc, char **argv)
{
    volatile unsigned work = 0;

    join(argc, argv);
    if (DSM_NODE_ID == DSM_NODE_NUM - 1)
        while (clock() < 4 * (clock_t)CLOCKS_PER_SEC)
            work++;
    MUST(dsm_barrier() == 0);
    dsm_finalize();
    return 0;
}

/*
 * leaver: rank 2 leaves the job, the last rank waits at the barrier of all ranks, and the others wait for something that never
 * comes: none of them sees that the last one waits in vain.
 */
#include "check.h"

int main(int argc, char **argv)
{
    dsm_sem_t *never = join(argc, argv);

    EXPECT(0, dsm_barrier());
    if (DSM_NODE_ID == DSM_NODE_NUM - 1)
        dsm_barrier();
    else if (DSM_NODE_ID != 2)
        dsm_sem_wait(never);
    dsm_finalize();
    return 0;
}

/*
 * last_frees [OBJECTS]: every rank frees objects of all ranks and leaves at once, while the homes of their pages still
 * clear them. Default 200 objects of each rank.
 */
#include "check.h"

int main(int argc, char **argv)
{
    long objects = argument(argc, argv, 1, 200), i;
    char **shared = join(argc, argv);
    size_t bytes = 16 * dsm_page_size();

    for (i = 0; i < objects; i++) {
        char *object = dsm_malloc(bytes);

        MUST(object != NULL);
        memset(object, 1, bytes);
        shared[i * DSM_NODE_NUM + DSM_NODE_ID] = object;
    }
    EXPECT(0, dsm_barrier());
    for (i = 0; i < objects; i++)
        dsm_free(shared[i * DSM_NODE_NUM + (DSM_NODE_ID + 1) % DSM_NODE_NUM]);
    return right("last_frees");
}

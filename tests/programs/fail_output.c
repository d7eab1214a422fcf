/*
 * fail_output LINES: every rank writes so many numbered lines, and between them adds to a page that all write to; the sum is
 * right when all have.
 */
#include "check.h"

int main(int argc, char **argv)
{
    long lines = argument(argc, argv, 1, 100), i;
    _Atomic uint64_t *sum = (_Atomic uint64_t *)join(argc, argv);

    for (i = 1; i <= lines; i++) {
        printf("line %ld\n", i);
        fflush(stdout);
        atomic_fetch_add(sum, (uint64_t)i);
    }
    EXPECT(0, dsm_barrier());
    SAME(*sum, (uint64_t)DSM_NODE_NUM * (uint64_t)lines * (uint64_t)(lines + 1) / 2);
    EXPECT(0, dsm_barrier());
    return right("fail_output");
}

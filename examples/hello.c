/*
 * hello: every rank leaves a greeting in shared memory, rank 0 prints them all.
 *
 *     dsmexec machine_file hello
 *
 * Exit code 0, or 1 if the job cannot be joined.
 */
#include <dsm.h>
#include <stdio.h>
#include <unistd.h>

enum { LINE = 128 };

int main(int argc, char **argv)
{
    char host[64] = "?";
    char(*lines)[LINE];
    int rank;

    lines = (char(*)[LINE])dsm_init(argc, argv);
    if (lines == NULL)
        return 1;
    gethostname(host, sizeof host - 1);

    /* Each rank writes its own line. Several lines share a page; the library moves it from writer to writer. */
    snprintf(lines[DSM_NODE_ID], LINE, "hello from rank %d of %d, process %ld on %s", DSM_NODE_ID, DSM_NODE_NUM,
             (long)getpid(), host);

    /* After the barrier everything written before it, by anyone, is there to be read. */
    dsm_barrier();
    if (DSM_NODE_ID == 0)
        for (rank = 0; rank < DSM_NODE_NUM; rank++)
            puts(lines[rank]);

    dsm_finalize();
    return 0;
}

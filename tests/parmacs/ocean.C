/*
 * ocean [-nSIDE] [-pPROCS] [-sSWEEPS]: relaxes a square grid in bands of rows, until no cell changes much, and compares
 * bit by bit with the same in one process.
 */
#include "ocean.h"

MAIN_ENV

struct GlobalMemory *global;
double **grid;
long side = 66, P = 1, limit = 200;
double tolerance = 1e-7;

static double **allocate(int shared)
{
    double **rows;
    long i, j;

    if (shared) {
        rows = (double **) G_MALLOC(side * sizeof(double *))
    } else {
        rows = malloc(side * sizeof(double *));
    }
    for (i = 0; i < side; i++) {
        if (shared) {
            rows[i] = (double *) G_MALLOC(side * sizeof(double))
        } else {
            rows[i] = calloc(side, sizeof(double));
        }
        for (j = 0; j < side; j++)
            if (i == 0 || j == 0)
                rows[i][j] = 1.0 + (i + j) % 7;
    }
    return rows;
}

int main(int argc, char *argv[])
{
    double **alone;
    long i, j, sweep, wrong = 0;
    unsigned long began, ended;
    int c;

    while ((c = getopt(argc, argv, "n:p:s:")) != -1)
        switch (c) {
        case 'n': side = atol(optarg); break;
        case 'p': P = atol(optarg); break;
        case 's': limit = atol(optarg); break;
        }
    if (side < 3 || side > MAXSIDE || P < 1) {
        fprintf(stderr, "ocean: cannot use -n%ld -p%ld\n", side, P);
        exit(-1);
    }
    MAIN_INITENV(, 60000000)
    global = (struct GlobalMemory *) G_MALLOC(sizeof(struct GlobalMemory));
    BARINIT(global->start)
    BARINIT(global->sweep, P)
    LOCKINIT(global->idlock)
    LOCKINIT(global->errorlock)
    grid = allocate(1);

    CLOCK(began)
    CREATE(slave, P)
    WAIT_FOR_END(P)
    CLOCK(ended)

    alone = allocate(0);
    for (sweep = 0; sweep < global->sweeps; sweep++) {
        relax(alone, 1, side - 1, 0);
        relax(alone, 1, side - 1, 1);
    }
    for (i = 0; i < side; i++)
        for (j = 0; j < side; j++)
            wrong += grid[i][j] != alone[i][j];
    printf("ocean: %ld x %ld cells, %ld processes, %ld sweeps, %s\n", side, side, P, global->sweeps,
           wrong == 0 ? "right" : "WRONG");
    printf("ocean: %lu us\n", ended - began);
    if (wrong != 0)
        exit(1);
    MAIN_END
}

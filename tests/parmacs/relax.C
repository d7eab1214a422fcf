/* relax.C: the part of ocean that every process runs. */
#include "ocean.h"

/* One half sweep of a red-black Gauss-Seidel relaxation; gives the largest change. */
double relax(double **cells, long first, long end, long colour)
{
    double largest = 0.0;
    long i, j;

    for (i = first; i < end; i++)
        for (j = 1 + (i + colour) % 2; j < side - 1; j += 2) {
            double was = cells[i][j];

            cells[i][j] = 0.25 * (cells[i - 1][j] + cells[i + 1][j] + cells[i][j - 1] + cells[i][j + 1]);
            if (fabs(cells[i][j] - was) > largest)
                largest = fabs(cells[i][j] - was);
        }
    return largest;
}

void slave(void)
{
    long procid, first, end, sweep;

    LOCK(global->idlock)
    procid = global->id;
    global->id = global->id + 1;
    UNLOCK(global->idlock)

    first = 1 + procid * (side - 2) / P;
    end = 1 + (procid + 1) * (side - 2) / P;
    BARRIER(global->start, P)
    for (sweep = 0; sweep < limit; sweep++) {
        double red, black, error;

        if (procid == 0)
            global->error = 0.0;
        red = relax(grid, first, end, 0);
        BARRIER(global->sweep, P)
        black = relax(grid, first, end, 1);
        LOCK(global->errorlock)
        if (red > global->error)
            global->error = red;
        if (black > global->error)
            global->error = black;
        UNLOCK(global->errorlock)
        BARRIER(global->sweep, P)
        error = global->error;
        BARRIER(global->sweep, P)
        if (procid == 0)
            global->sweeps = sweep + 1;
        if (error < tolerance)
            return;
    }
}

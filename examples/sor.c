/*
 * sor: the temperature of a plate at rest, by successive over-relaxation, until no cell changes much any more.
 *
 *     dsmexec machine_file sor [SIZE] [SWEEPS]
 *
 * One plate, computed in place. Its cells are coloured like a chessboard: a red cell has only black neighbours, so all
 * red cells can be computed at once, and then all black ones. Each rank computes a block of rows.
 * The plate's upper edge is kept at 1, its other edges at 0.
 *
 * Worth a look: how the ranks agree on the largest change of a sweep, under a mutex, to stop together.
 *
 * Exit code 0; 1 if the job cannot be joined or the result is wrong; 64 for wrong arguments.
 */
#include "example.h"

enum { RED, BLACK };

/* A sweep is the last if no cell changes by more than this. */
#define ENOUGH 1e-3

/*
 * What the ranks agree by. Sweep s uses change[s % 2]; the other one is set back meanwhile. Every rank writes here at
 * every sweep, so it has a page to itself, where that disturbs nobody.
 */
struct agreement {
    dsm_mutex_t mutex;
    double change[2];
};

/* Computes the cells of one colour in rows first .. end-1; gives the largest change. */
static double relax(double *plate, size_t size, size_t first, size_t end, size_t colour)
{
    const double omega = 1.9;
    double largest = 0;
    size_t row, column;

    for (row = first; row < end; row++)
        for (column = 1 + (row + colour) % 2; column + 1 < size; column += 2) {
            double *cell = plate + row * size + column;
            double change = omega * (0.25 * (cell[-1] + cell[1] + *(cell - size) + cell[size]) - *cell);

            *cell += change;
            change = change < 0 ? -change : change;
            largest = change > largest ? change : largest;
        }
    return largest;
}

static void heat(double *plate, size_t size)
{
    size_t column;

    for (column = 0; column < size; column++)
        plate[column] = 1.0;
}

/* Adds this rank's largest change to those of the others; gives the largest of all. Every rank calls it. */
static double agree(struct agreement *all, long sweep, double mine)
{
    double *change = &all->change[sweep % 2];

    dsm_mutex_lock(&all->mutex);
    if (mine > *change)
        *change = mine;
    dsm_mutex_unlock(&all->mutex);
    dsm_barrier();
    return *change;
}

/* Compares `result`, reached after `sweeps` sweeps, with what one process alone computes. */
static void check(struct run *run, const double *result, size_t size, long limit, long sweeps)
{
    double *plate = need(calloc(size * size, sizeof *plate), "the check");
    double began = now_seconds(), red, black;
    long done = 0;
    size_t i;

    heat(plate, size);
    do {
        red = relax(plate, size, 1, size - 1, RED);
        black = relax(plate, size, 1, size - 1, BLACK);
    } while (++done < limit && (red > ENOUGH || black > ENOUGH));
    run->alone = now_seconds() - began;
    if (done != sweeps)
        run_wrong(run, "%ld sweeps, not %ld", sweeps, done);
    for (i = 0; i < size * size; i++)
        if (result[i] != plate[i])
            run_wrong(run, "row %zu column %zu is %.17g, not %.17g", i / size, i % size, result[i], plate[i]);
    free(plate);
}

int main(int argc, char **argv)
{
    long side = 256, limit = 1000, sweeps = 0;
    const struct argument all[] = {
        {.name = "SIZE", .meaning = "rows and columns", .number = &side, .min = 3, .max = 32768},
        {.name = "SWEEPS", .meaning = "stop after so many", .number = &limit, .min = 1, .max = 1000000},
        {0},
    };
    struct run run;
    struct agreement *agreement;
    size_t size, first, end;
    double *plate, change;
    int code;

    parse_arguments(argc, argv, "sor", "The temperature of a plate at rest, by red-black over-relaxation.", all);
    plate = (double *)dsm_init(argc, argv);
    if (plate == NULL)
        return EXIT_WRONG;
    size = (size_t)side;
    need_area("sor", size * size * sizeof *plate);
    agreement = need(dsm_named("agreement", dsm_page_size()), "the agreement");
    first = 1 + part(size - 2, DSM_NODE_ID);
    end = 1 + part(size - 2, DSM_NODE_ID + 1);

    if (DSM_NODE_ID == 0)
        heat(plate, size);
    run = run_begin("sor");
    do {
        double red = relax(plate, size, first, end, RED), black;

        dsm_barrier(); /* the black cells need the red ones of the neighbours */
        if (DSM_NODE_ID == 0)
            agreement->change[1 - sweeps % 2] = 0; /* everyone has read what the last sweep left there */
        black = relax(plate, size, first, end, BLACK);
        change = agree(agreement, sweeps, red > black ? red : black);
    } while (++sweeps < limit && change > ENOUGH);
    run_end(&run);

    if (DSM_NODE_ID == 0)
        check(&run, plate, size, limit, sweeps);
    code = run_report(&run, "%zu x %zu cells, %ld sweeps", size, size, sweeps);
    dsm_finalize();
    return code;
}

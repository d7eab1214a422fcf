/*
 * barnes: stars attract each other, computed by the method of Barnes and Hut.
 *
 *     dsmexec machine_file barnes [BODIES] [STEPS]
 *
 * Space is a cube, which is divided into eight, and each of these again, until every cell has one body: a tree,
 * built anew in each step. A cell that is far away acts on a body as one heavy body at its centre of mass, so that
 * n bodies take about n log n steps and not n^2.
 *
 * Worth a look: all ranks build one tree at the same time, out of cells that they allocate when they need them, and
 * without locks: a cell is hung into the tree by a C11 atomic, which works between ranks as between threads.
 * A cell is allocated by one rank, hung into the tree below another's, and freed by a third.
 *
 * The tree does not depend on the order in which bodies come, and sums are made in the order of the tree: rank 0
 * computes the same alone, in private memory, and compares bit by bit. Exit code 0; 1 if the job cannot be joined
 * or the result is wrong; 64 for wrong arguments.
 */
#include "example.h"
#include <math.h>
#include <stdatomic.h>

enum { CHILDREN = 8, GRANDCHILDREN = CHILDREN * CHILDREN, AXES = 3 };

static const double OPENING = 0.25;    /* a cell is far away if (size / distance)^2 is below this */
static const double SOFTENING = 0.002; /* keeps bodies that meet from infinite forces */
static const double STEP = 0.01;

struct body {
    double at[AXES], speed[AXES], force[AXES], mass;
};

/* A cell with a body is a leaf. One without has children, which do not change into anything else but get more. */
struct cell {
    _Atomic(struct cell *) child[CHILDREN];
    struct body *body;
    double middle[AXES], half; /* the cube */
    double centre[AXES], mass; /* of all bodies in it */
};

/* The simulation of all ranks in shared memory, or of one in private memory. */
struct world {
    size_t bodies;
    struct body *body;
    struct cell *root, *leaves; /* a leaf for each body */
    int rank, ranks;
    int is_shared;
};

static size_t first_of(const struct world *w, int rank)
{
    return w->bodies * (size_t)rank / (size_t)w->ranks;
}

static void wait_for_all(const struct world *w)
{
    if (w->is_shared)
        dsm_barrier();
}

/* A cell that is no leaf; zeroed, as both allocators give it. */
static struct cell *new_cell(const struct world *w)
{
    return need(w->is_shared ? dsm_malloc(sizeof(struct cell)) : calloc(1, sizeof(struct cell)), "a cell");
}

static void free_cell(const struct world *w, struct cell *cell)
{
    if (w->is_shared)
        dsm_free(cell);
    else
        free(cell);
}

/* Frees what new_cell gave. */
static void free_tree(const struct world *w, struct cell *cell)
{
    int i;

    if (cell == NULL || cell->body != NULL)
        return;
    for (i = 0; i < CHILDREN; i++)
        free_tree(w, cell->child[i]);
    free_cell(w, cell);
}

/* Which child of the cell a place belongs into: a bit for each axis. */
static int octant(const struct cell *cell, const double at[AXES])
{
    return (at[0] > cell->middle[0]) + 2 * (at[1] > cell->middle[1]) + 4 * (at[2] > cell->middle[2]);
}

/* A cell without body, for one eighth of the cube of `parent`. */
static struct cell *new_inner(const struct world *w, const struct cell *parent, int which)
{
    struct cell *cell = new_cell(w);
    int axis;

    cell->half = parent->half / 2;
    for (axis = 0; axis < AXES; axis++)
        cell->middle[axis] = parent->middle[axis] + (which >> axis & 1 ? cell->half : -cell->half);
    return cell;
}

/*
 * Hangs a leaf into the tree. A place in the tree is empty, then has a leaf, then an inner cell, which remains there; who
 * changes it looks again if another was faster.
 */
static void insert(const struct world *w, struct cell *leaf)
{
    struct cell *cell = w->root, *inner;
    int is_in = 0;

    while (!is_in) {
        _Atomic(struct cell *) *place = &cell->child[octant(cell, leaf->centre)];
        struct cell *child = *place;

        if (child != NULL && child->body == NULL) {
            cell = child;
        } else if (child == NULL) {
            is_in = atomic_compare_exchange_strong(place, &child, leaf);
        } else { /* two bodies: a smaller cell takes the place of the first */
            inner = new_inner(w, cell, (int)(place - cell->child));
            inner->child[octant(inner, child->centre)] = child;
            if (!atomic_compare_exchange_strong(place, &child, inner))
                free_cell(w, inner);
        }
    }
}

/* The root is the cube about 0 that has all bodies in it. */
static struct cell *new_root(const struct world *w)
{
    struct cell *root = new_cell(w);
    size_t i;
    int axis;

    for (i = 0; i < w->bodies; i++)
        for (axis = 0; axis < AXES; axis++)
            root->half = fmax(root->half, fabs(w->body[i].at[axis]));
    return root;
}

static void add_bodies(const struct world *w)
{
    size_t i;

    for (i = first_of(w, w->rank); i < first_of(w, w->rank + 1); i++) {
        struct cell *leaf = &w->leaves[i];

        leaf->body = &w->body[i];
        leaf->mass = leaf->body->mass;
        memcpy(leaf->centre, leaf->body->at, sizeof leaf->centre);
        insert(w, leaf);
    }
}

/* Sets mass and centre of a cell from its children, if there are any. */
static void weigh(struct cell *cell)
{
    int i, axis;

    for (i = 0; i < CHILDREN && cell->body == NULL; i++) {
        const struct cell *child = cell->child[i];

        cell->mass += child != NULL ? child->mass : 0;
        for (axis = 0; axis < AXES && child != NULL; axis++)
            cell->centre[axis] += child->mass * child->centre[axis];
    }
    for (axis = 0; axis < AXES && cell->body == NULL; axis++)
        cell->centre[axis] /= cell->mass;
}

static void weigh_tree(struct cell *cell)
{
    int i;

    for (i = 0; i < CHILDREN; i++)
        if (cell->child[i] != NULL)
            weigh_tree(cell->child[i]);
    weigh(cell);
}

/* The root's grandchildren are divided among the ranks. Gives the next one of this rank from number *at on. */
static struct cell *next_subtree(const struct world *w, int *at)
{
    for (; *at < GRANDCHILDREN; ++*at) {
        struct cell *child = w->root->child[*at / CHILDREN];

        if (*at * w->ranks / GRANDCHILDREN == w->rank && child != NULL && child->child[*at % CHILDREN] != NULL)
            return child->child[*at % CHILDREN];
    }
    return NULL;
}

/* Adds what a cell does to a body. */
static void attract(const struct cell *cell, struct body *body)
{
    double apart[AXES], square = SOFTENING, pull, size = 2 * cell->half;
    int axis, i;

    for (axis = 0; axis < AXES; axis++) {
        apart[axis] = cell->centre[axis] - body->at[axis];
        square += apart[axis] * apart[axis];
    }
    if (cell->body == NULL && size * size >= OPENING * square) {
        for (i = 0; i < CHILDREN; i++)
            if (cell->child[i] != NULL)
                attract(cell->child[i], body);
    } else if (cell->body != body) {
        pull = cell->mass / (square * sqrt(square));
        for (axis = 0; axis < AXES; axis++)
            body->force[axis] += pull * apart[axis];
    }
}

static void move(struct body *body)
{
    int axis;

    for (axis = 0; axis < AXES; axis++) {
        body->speed[axis] += STEP * body->force[axis];
        body->at[axis] += STEP * body->speed[axis];
        body->force[axis] = 0;
    }
}

/* One step; `root` is where the ranks find the root of its tree. */
static void step(struct world *w, struct cell **root)
{
    struct cell *subtree;
    size_t i;
    int at;

    if (w->rank == 0)
        *root = new_root(w);
    wait_for_all(w);
    w->root = *root;
    add_bodies(w);
    wait_for_all(w);
    for (at = 0; (subtree = next_subtree(w, &at)) != NULL; at++)
        weigh_tree(subtree);
    wait_for_all(w);
    if (w->rank == 0) { /* what is above the grandchildren */
        for (at = 0; at < CHILDREN; at++)
            if (w->root->child[at] != NULL)
                weigh(w->root->child[at]);
        weigh(w->root);
    }
    wait_for_all(w);
    for (i = first_of(w, w->rank); i < first_of(w, w->rank + 1); i++)
        attract(w->root, &w->body[i]);
    wait_for_all(w);
    for (i = first_of(w, w->rank); i < first_of(w, w->rank + 1); i++)
        move(&w->body[i]);
    for (at = 0; (subtree = next_subtree(w, &at)) != NULL; at++) {
        free_tree(w, subtree);
        w->root->child[at / CHILDREN]->child[at % CHILDREN] = NULL;
    }
    wait_for_all(w);
    if (w->rank == 0)
        free_tree(w, w->root);
}

/*
 * Bodies are strewn over a cube of edge 2, at rest, in the order of its grandchildren: neighbours in space have
 * neighbouring numbers, so that a rank's bodies meet mostly each other's cells, on pages of their own rank.
 */
static void make_up(struct body *body, size_t bodies, size_t first, size_t end)
{
    size_t i;
    int axis;

    for (i = first; i < end; i++) {
        size_t which = i * GRANDCHILDREN / bodies, child = which / CHILDREN, grandchild = which % CHILDREN;

        body[i].mass = 1.0 / 1024;
        for (axis = 0; axis < AXES; axis++) {
            double place = (double)(scramble(AXES * i + (size_t)axis) >> 11) * 0x1p-53; /* from 0 to 1 */

            body[i].at[axis] = ((double)(2 * (child >> axis & 1) + (grandchild >> axis & 1)) + place) / 2 - 1;
        }
    }
}

static void check(struct run *run, const struct body *result, size_t bodies, long steps)
{
    struct body *body = need(calloc(bodies, sizeof *body), "the check");
    struct cell *leaves = need(calloc(bodies, sizeof *leaves), "the check"), *root;
    struct world w = {.bodies = bodies, .body = body, .leaves = leaves, .ranks = 1};
    double began;
    size_t i;

    make_up(body, bodies, 0, bodies);
    began = now_seconds();
    while (steps-- > 0)
        step(&w, &root);
    run->alone = now_seconds() - began;
    for (i = 0; i < bodies; i++)
        if (memcmp(&result[i], &body[i], sizeof body[i]) != 0)
            run_wrong(run, "body %zu is at %.17g %.17g %.17g, not at %.17g %.17g %.17g", i, result[i].at[0],
                      result[i].at[1], result[i].at[2], body[i].at[0], body[i].at[1], body[i].at[2]);
    free(leaves);
    free(body);
}

int main(int argc, char **argv)
{
    long bodies = 512, steps = 2, i;
    const struct argument all[] = {
        {.name = "BODIES", .meaning = "how many", .number = &bodies, .min = 1, .max = 10000000},
        {.name = "STEPS", .meaning = "in time", .number = &steps, .min = 1, .max = 1000000},
        {0},
    };
    struct run run;
    struct world w = {.is_shared = 1};
    struct cell **root;
    int code;

    parse_arguments(argc, argv, "barnes", "Stars attract each other, by the method of Barnes and Hut.", all);
    if (dsm_init(argc, argv) == NULL)
        return EXIT_WRONG;
    w.rank = DSM_NODE_ID;
    w.ranks = DSM_NODE_NUM;
    w.bodies = (size_t)bodies;
    w.body = need(dsm_named("bodies", w.bodies * sizeof *w.body), "the bodies");
    w.leaves = need(dsm_named("leaves", w.bodies * sizeof *w.leaves), "the leaves");
    root = need(dsm_named("root", sizeof *root), "the root");
    make_up(w.body, w.bodies, first_of(&w, w.rank), first_of(&w, w.rank + 1));
    memset(w.leaves + first_of(&w, w.rank), 0, (first_of(&w, w.rank + 1) - first_of(&w, w.rank)) * sizeof *w.leaves);

    run = run_begin("barnes");
    for (i = 0; i < steps; i++)
        step(&w, root);
    run_end(&run);

    if (DSM_NODE_ID == 0)
        check(&run, w.body, w.bodies, steps);
    code = run_report(&run, "%ld bodies, %ld steps", bodies, steps);
    dsm_finalize();
    return code;
}

/*
 * barnes, by messages: every rank builds the whole tree for itself, moves its own bodies, and gathers all of them.
 * That each builds all of it is what message passing does at this size: a tree is dearer to pass on than to build.
 */
#define main example_main
#include "../../examples/barnes.c"
#undef main
#include "kernel.h"

static void step_by_messages(struct world *w, size_t first, size_t end, const size_t *at)
{
    size_t i;

    w->root = new_root(w);
    add_bodies(w);
    weigh_tree(w->root);
    for (i = first; i < end; i++)
        attract(w->root, &w->body[i]);
    for (i = first; i < end; i++)
        move(&w->body[i]);
    free_tree(w, w->root);
    mp_gather_all(w->body, at);
}

int main(int argc, char **argv)
{
    long bodies = 512, steps = 2, i;
    const struct argument all[] = {
        {.name = "BODIES", .meaning = "how many", .number = &bodies, .min = 1, .max = 10000000},
        {.name = "STEPS", .meaning = "in time", .number = &steps, .min = 1, .max = 1000000},
        {0},
    };
    struct world w = {.ranks = 1}; /* each rank's world has all bodies */
    struct run run;
    size_t first, end, *at;
    int code;

    kernel_init(&argc, &argv);
    parse_arguments(argc, argv, "barnes", "Stars attract each other, by messages.", all);
    w.bodies = (size_t)bodies;
    w.body = need(calloc(w.bodies, sizeof *w.body), "the bodies");
    w.leaves = need(calloc(w.bodies, sizeof *w.leaves), "the leaves");
    at = kernel_parts(w.bodies, sizeof *w.body);
    first = part(w.bodies, mp_rank);
    end = part(w.bodies, mp_rank + 1);
    make_up(w.body, w.bodies, 0, w.bodies);
    memset(w.leaves, 0, w.bodies * sizeof *w.leaves);

    run = kernel_begin("barnes");
    for (i = 0; i < steps; i++)
        step_by_messages(&w, first, end, at);
    kernel_end(&run);

    if (mp_rank == 0)
        check(&run, w.body, w.bodies, steps);
    code = run_report(&run, "%ld bodies, %ld steps", bodies, steps);
    free(at);
    free(w.leaves);
    free(w.body);
    mp_finalize();
    return code;
}

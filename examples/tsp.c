/*
 * tsp: the shortest tour through all cities, by branch and bound.
 *
 *     dsmexec machine_file tsp [CITIES]
 *
 * Every tour begins at city 0. Rank 0 makes a queue of all ways to begin one, the most promising first. Each rank
 * takes a beginning and tries everything that can follow, but gives up where even the least that is missing makes
 * the tour longer than the best one known, by anyone.
 *
 * Worth a look: the length of the best tour. It is read at every step, without a lock: a word that nobody writes
 * is in every rank's memory, and reading it costs nothing. Whoever finds a better tour writes it, under a mutex;
 * the library takes the copies of the others away first, so that they read the new length at once.
 *
 * Rank 0 then searches alone, in plain order. The shortest length is unique, the tour may not be, so lengths are
 * compared, and the tour is measured. Exit code 0; 1 if the job cannot be joined or the result is wrong; 64 for
 * wrong arguments.
 */
#include "example.h"

enum { MOST = 20, AHEAD = 3 }; /* cities; those of a beginning */

struct tour {
    unsigned length, cities;
    unsigned char city[MOST];
};

struct best {
    dsm_mutex_t mutex;
    _Atomic unsigned length; /* written with the mutex held, read by everyone at any time */
    struct tour tour;        /* read and written with the mutex held */
};

struct queue {
    dsm_mutex_t mutex;
    size_t next, count;
    struct tour tour[(MOST - 1) * (MOST - 2)];
};

/* Every rank makes up the same map. */
struct map {
    unsigned cities, distance[MOST][MOST], nearest[MOST];
};

static struct map make_map(unsigned cities)
{
    struct map map = {.cities = cities};
    long x[MOST], y[MOST];
    unsigned i, j;

    for (i = 0; i < cities; i++) {
        x[i] = (long)(scramble(2 * i) % 1000);
        y[i] = (long)(scramble(2 * i + 1) % 1000);
    }
    for (i = 0; i < cities; i++) {
        map.nearest[i] = cities > 1 ? 2000 : 0;
        for (j = 0; j < cities; j++) {
            map.distance[i][j] = (unsigned)(labs(x[i] - x[j]) + labs(y[i] - y[j])); /* streets run along the axes */
            if (i != j && map.distance[i][j] < map.nearest[i])
                map.nearest[i] = map.distance[i][j];
        }
    }
    return map;
}

static int has(const struct tour *tour, unsigned city)
{
    unsigned i;

    for (i = 0; i < tour->cities; i++)
        if (tour->city[i] == city)
            return 1;
    return 0;
}

static struct tour visit(const struct map *map, struct tour tour, unsigned city)
{
    if (tour.cities > 0)
        tour.length += map->distance[tour.city[tour.cities - 1]][city];
    tour.city[tour.cities++] = (unsigned char)city;
    return tour;
}

/* No tour that begins so is shorter: it still has to leave the last city, and every city it has not seen. */
static unsigned at_least(const struct map *map, const struct tour *tour)
{
    unsigned length = tour->length + map->nearest[tour->city[tour->cities - 1]], city;

    for (city = 0; city < map->cities; city++)
        if (!has(tour, city))
            length += map->nearest[city];
    return length;
}

static void offer(const struct map *map, struct best *best, struct tour tour)
{
    tour.length += map->distance[tour.city[tour.cities - 1]][tour.city[0]];
    if (tour.length >= best->length)
        return;
    if (dsm_is_shared(best))
        dsm_mutex_lock(&best->mutex);
    if (tour.length < best->length) { /* nobody was quicker with a better one */
        best->tour = tour;
        best->length = tour.length;
    }
    if (dsm_is_shared(best))
        dsm_mutex_unlock(&best->mutex);
}

/* Tries all that can follow this beginning. */
static void search(const struct map *map, struct best *best, const struct tour *begin)
{
    unsigned city;

    if (begin->cities == map->cities)
        offer(map, best, *begin);
    else if (at_least(map, begin) < best->length)
        for (city = 1; city < map->cities; city++)
            if (!has(begin, city)) {
                struct tour next = visit(map, *begin, city);

                search(map, best, &next);
            }
}

static void add_beginnings(const struct map *map, struct queue *queue, const struct tour *begin)
{
    unsigned city;

    if (begin->cities == map->cities || begin->cities == AHEAD) {
        queue->tour[queue->count++] = *begin;
        return;
    }
    for (city = 1; city < map->cities; city++)
        if (!has(begin, city)) {
            struct tour next = visit(map, *begin, city);

            add_beginnings(map, queue, &next);
        }
}

static const struct map *sorted_for; /* qsort has no room for it */

static int more_promising(const void *a, const void *b)
{
    unsigned left = at_least(sorted_for, a), right = at_least(sorted_for, b);

    return (left > right) - (left < right);
}

/* Takes the next beginning; gives 0 if none is left. */
static int take(struct queue *queue, struct tour *tour)
{
    int is_there;

    dsm_mutex_lock(&queue->mutex);
    is_there = queue->next < queue->count;
    if (is_there)
        *tour = queue->tour[queue->next++];
    dsm_mutex_unlock(&queue->mutex);
    return is_there;
}

static void check(struct run *run, const struct map *map, const struct best *best)
{
    struct best alone = {.length = UINT32_MAX};
    struct tour start = visit(map, (struct tour){0}, 0), again = start;
    unsigned i;

    search(map, &alone, &start);
    if (best->length != alone.length)
        run_wrong(run, "the tour is %u long, not %u", best->length, alone.length);
    for (i = 1; i < map->cities && i < best->tour.cities; i++)
        if (!has(&again, best->tour.city[i]))
            again = visit(map, again, best->tour.city[i]);
    if (again.cities != map->cities)
        run_wrong(run, "the tour has %u cities, not %u", again.cities, map->cities);
    if (again.length + map->distance[again.city[again.cities - 1]][0] != best->length)
        run_wrong(run, "the tour is not as long as it says");
}

int main(int argc, char **argv)
{
    long cities = 14;
    const struct argument all[] = {
        {.name = "CITIES", .meaning = "how many", .number = &cities, .min = 1, .max = MOST},
        {0},
    };
    struct run run;
    struct map map;
    struct best *best;
    struct queue *queue;
    struct tour tour;
    int code;

    parse_arguments(argc, argv, "tsp", "The shortest tour through all cities, by branch and bound.", all);
    if (dsm_init(argc, argv) == NULL)
        return EXIT_WRONG;
    map = make_map((unsigned)cities);
    /* Pages of their own: best is read all the time, and must not go away when somebody takes from the queue. */
    best = need(dsm_named("best", dsm_page_size()), "the best tour");
    queue = need(dsm_named("queue", sizeof *queue), "the queue");
    if (DSM_NODE_ID == 0) {
        best->length = UINT32_MAX;
        tour = visit(&map, (struct tour){0}, 0);
        add_beginnings(&map, queue, &tour);
        sorted_for = &map;
        qsort(queue->tour, queue->count, sizeof queue->tour[0], more_promising);
    }

    run = run_begin("tsp");
    while (take(queue, &tour))
        search(&map, best, &tour);
    run_end(&run);

    if (DSM_NODE_ID == 0)
        check(&run, &map, best);
    code = run_report(&run, "%ld cities, shortest tour %u", cities, best->length);
    dsm_finalize();
    return code;
}

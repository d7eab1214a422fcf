/*
 * pipeline: blocks of numbers go through stages, from queue to queue.
 *
 *     dsmexec machine_file pipeline [BLOCKS] [STAGES] [--semaphores]
 *
 * The first stage makes blocks, the last one adds them up, those between change every number. A stage is a thread;
 * stage s runs on rank s % DSM_NODE_NUM, so every rank has some, and one rank alone has all. A queue has room for
 * SLOTS blocks: who finds it full, or empty, waits.
 *
 * Worth a look: the bounded queue, written twice. Once as in every textbook, with a mutex and two condition
 * variables; with --semaphores, which count free and filled slots by themselves. Blocks are filled and read where
 * they are, in the queue.
 *
 * The sum depends on the order of blocks. Rank 0 then computes the same alone, and compares. Exit code 0; 1 if the
 * job cannot be joined or the result is wrong; 64 for wrong arguments.
 */
#include "example.h"
#include <pthread.h>

enum { SLOTS = 8, WORDS = 512, MOST_STAGES = 64 };

struct block {
    uint64_t word[WORDS]; /* 4 KiB */
};

/* Between two stages. Block number b is in slot b % SLOTS. A queue begins on a page, and so does each slot. */
struct queue {
    _Alignas(4096) struct block slot[SLOTS];
    dsm_mutex_t mutex;
    dsm_cond_t not_full, not_empty;
    size_t filled;          /* with the mutex held */
    dsm_sem_t free, to_read; /* what --semaphores uses in place of these four */
};

struct stage {
    long number, stages, blocks, by_semaphores;
    struct queue *in, *out; /* NULL at the ends */
    uint64_t *sum;          /* what the last stage makes */
    pthread_t thread;
};

/* --- with a mutex and condition variables ----------------------------------------------------------------- */

/* Waits until a slot is free. There is one putting thread: nobody else can take it. */
static void await_room(struct queue *q)
{
    dsm_mutex_lock(&q->mutex);
    while (q->filled == SLOTS)
        dsm_cond_wait(&q->not_full, &q->mutex);
    dsm_mutex_unlock(&q->mutex);
}

static void await_block(struct queue *q)
{
    dsm_mutex_lock(&q->mutex);
    while (q->filled == 0)
        dsm_cond_wait(&q->not_empty, &q->mutex);
    dsm_mutex_unlock(&q->mutex);
}

static void add_block(struct queue *q)
{
    dsm_mutex_lock(&q->mutex);
    q->filled++;
    dsm_cond_signal(&q->not_empty);
    dsm_mutex_unlock(&q->mutex);
}

static void remove_block(struct queue *q)
{
    dsm_mutex_lock(&q->mutex);
    q->filled--;
    dsm_cond_signal(&q->not_full);
    dsm_mutex_unlock(&q->mutex);
}

/* --- either way ------------------------------------------------------------------------------------------- */

/* Slot for block number b, to be filled; after that, end_put. */
static struct block *begin_put(const struct stage *s, long b)
{
    if (s->by_semaphores)
        dsm_sem_wait(&s->out->free);
    else
        await_room(s->out);
    return &s->out->slot[b % SLOTS];
}

static void end_put(const struct stage *s)
{
    if (s->by_semaphores)
        dsm_sem_post(&s->out->to_read);
    else
        add_block(s->out);
}

/* Block number b, to be read; after that, end_take. */
static const struct block *begin_take(const struct stage *s, long b)
{
    if (s->by_semaphores)
        dsm_sem_wait(&s->in->to_read);
    else
        await_block(s->in);
    return &s->in->slot[b % SLOTS];
}

static void end_take(const struct stage *s)
{
    if (s->by_semaphores)
        dsm_sem_post(&s->in->free);
    else
        remove_block(s->in);
}

/* --- the stages ------------------------------------------------------------------------------------------- */

static void make_up(struct block *block, long b)
{
    long i;

    for (i = 0; i < WORDS; i++)
        block->word[i] = (uint64_t)(b * WORDS + i);
}

static void change(const struct block *from, struct block *to, long stage)
{
    long i;

    for (i = 0; i < WORDS; i++)
        to->word[i] = scramble(from->word[i] + (uint64_t)stage);
}

static uint64_t add_up(const struct block *block, uint64_t sum)
{
    long i;

    for (i = 0; i < WORDS; i++)
        sum = scramble(sum ^ block->word[i]);
    return sum;
}

static void *run_stage(void *argument)
{
    struct stage *s = argument;
    long b;

    for (b = 0; b < s->blocks; b++) {
        if (s->in == NULL) {
            make_up(begin_put(s, b), b);
            end_put(s);
        } else if (s->out == NULL) {
            *s->sum = add_up(begin_take(s, b), *s->sum);
            end_take(s);
        } else {
            const struct block *from = begin_take(s, b);

            change(from, begin_put(s, b), s->number);
            end_take(s);
            end_put(s);
        }
    }
    return NULL;
}

static void check(struct run *run, const struct stage *last)
{
    double began = now_seconds();
    struct block block;
    uint64_t sum = 0;
    long b, stage;

    for (b = 0; b < last->blocks; b++) {
        make_up(&block, b);
        for (stage = 1; stage < last->number; stage++)
            change(&block, &block, stage);
        sum = add_up(&block, sum);
    }
    run->alone = now_seconds() - began;
    if (*last->sum != sum)
        run_wrong(run, "the sum is %016" PRIx64 ", not %016" PRIx64, *last->sum, sum);
}

/* Runs this rank's stages, a thread each, and waits for their end. */
static void run_stages(struct stage *stage, long stages)
{
    long s;

    for (s = DSM_NODE_ID; s < stages; s += DSM_NODE_NUM) {
        int error = pthread_create(&stage[s].thread, NULL, run_stage, &stage[s]);

        if (error != 0) {
            fprintf(stderr, "pipeline: cannot start stage %ld: %s\n", s, strerror(error));
            exit(EXIT_WRONG);
        }
    }
    for (s = DSM_NODE_ID; s < stages; s += DSM_NODE_NUM)
        pthread_join(stage[s].thread, NULL);
}

int main(int argc, char **argv)
{
    long blocks = 200, stages = 4, by_semaphores = 0, s;
    const struct argument all[] = {
        {.name = "BLOCKS", .meaning = "of 4 KiB", .number = &blocks, .min = 1, .max = 100000000},
        {.name = "STAGES", .meaning = "first and last one included", .number = &stages, .min = 2, .max = MOST_STAGES},
        {.name = "--semaphores", .meaning = "wait by semaphores, not by condition variables", .number = &by_semaphores},
        {0},
    };
    struct stage stage[MOST_STAGES] = {0};
    struct queue *queue;
    struct run run;
    uint64_t *sum;
    int code;

    parse_arguments(argc, argv, "pipeline", "Blocks of numbers go through stages.", all);
    if (dsm_init(argc, argv) == NULL)
        return EXIT_WRONG;
    queue = need(dsm_named("queues", (size_t)(stages - 1) * sizeof *queue), "the queues");
    sum = need(dsm_named("sum", sizeof *sum), "the sum");
    for (s = 0; s < stages; s++) {
        stage[s] = (struct stage){.number = s, .stages = stages, .blocks = blocks, .by_semaphores = by_semaphores};
        stage[s].sum = sum;
        stage[s].in = s > 0 ? &queue[s - 1] : NULL;
        stage[s].out = s + 1 < stages ? &queue[s] : NULL;
        if (DSM_NODE_ID == 0 && stage[s].out != NULL)
            dsm_sem_init(&stage[s].out->free, SLOTS);
    }

    run = run_begin("pipeline");
    run_stages(stage, stages);
    run_end(&run);

    if (DSM_NODE_ID == 0)
        check(&run, &stage[stages - 1]);
    code = run_report(&run, "%ld blocks, %ld stages, %s", blocks, stages,
                      by_semaphores ? "semaphores" : "condition variables");
    dsm_finalize();
    return code;
}

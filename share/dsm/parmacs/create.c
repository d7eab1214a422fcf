/*
 * create.c - MAIN_INITENV, CREATE, WAIT_FOR_END and MAIN_END.
 *
 * Every rank runs the same executable. Rank 0 runs the program's main; the others wait, before theirs would begin, for
 * instances to run. Instance i of a program runs on rank i % N, in a thread of its own; the caller of CREATE is instance 0.
 */
#define _GNU_SOURCE
#include "internal.h"
#include <limits.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/personality.h>

/* What rank 0 tells another rank. */
struct command {
    void (*function)(void); /* NULL: the job is over */
    const struct snapshot *snapshot;
    long first, count; /* the number of the first instance, and of how many */
};

/* Holds one command. */
struct mailbox {
    dsm_sem_t room, filled;
    struct command command;
};

/* At the beginning of the shared area, filled in by rank 0. */
struct control {
    struct extent all, data;
    uint64_t fingerprint;
    uintptr_t stand_ins;
    dsm_sem_t ended; /* one for each instance that has ended */
    struct mailbox *mailboxes;
};

struct instance {
    void (*function)(void);
    long number;
};

/* As sysexits.h has it: something is not set up as it must be. */
enum { EXIT_SETUP = 78 };

/* Main threads had at least this much when the programs were written. */
static const size_t LEAST_STACK_BYTES = (size_t)8 << 20;

/* Set in the environment while the program executes itself. */
static const char AGAIN[] = "DSM_PARMACS_EXECUTED_AGAIN";

struct dsm_parmacs_state dsm_parmacs_state = {.mutex = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};

static __thread struct {
    long number;
    int is_instance;
} current;

static struct dsm_parmacs_state *const state = &dsm_parmacs_state;

void dsm_parmacs_must(int error, const char *what)
{
    if (error == 0)
        return;
    fprintf(stderr, "dsm: rank %d: cannot %s: %s\n", dsm_parmacs_rank(), what, dsm_last_error());
    exit(EXIT_FAILURE);
}

long dsm_parmacs_instance(void)
{
    return current.number;
}

int dsm_parmacs_rank(void)
{
    return DSM_NODE_ID;
}

static void refuse(const char *why)
{
    fprintf(stderr, "dsm: rank %d: cannot run this program on several ranks: %s\n", DSM_NODE_ID, why);
    exit(EXIT_SETUP);
}

/* --- instances -------------------------------------------------------------------------------------------- */

static void call(void (*function)(void))
{
    /* Programs declare it with no arguments, with any, or with one pointer, as for threads; null suits all of them. */
    ((void (*)(void *))function)(NULL);
}

/* First the variables are free for the next CREATE, then rank 0 may know, then this rank may leave the job. */
static void instance_ended(void *nothing)
{
    (void)nothing;
    pthread_mutex_lock(&state->mutex);
    state->running--;
    pthread_mutex_unlock(&state->mutex);
    dsm_parmacs_must(dsm_sem_post(&state->control->ended), "tell rank 0 that an instance has ended");
    pthread_mutex_lock(&state->mutex);
    if (--state->threads == 0)
        pthread_cond_broadcast(&state->idle);
    pthread_mutex_unlock(&state->mutex);
}

static void *run_instance(void *argument)
{
    struct instance instance = *(struct instance *)argument;

    free(argument);
    current.number = instance.number;
    current.is_instance = 1;
    pthread_cleanup_push(instance_ended, NULL);
    call(instance.function);
    pthread_cleanup_pop(1);
    return NULL;
}

static void start_instance(void (*function)(void), long number)
{
    struct instance *instance = dsm_parmacs_grow(NULL, 1, sizeof(*instance));
    pthread_attr_t attributes;
    pthread_t thread;
    size_t stack_bytes = 0;
    int error;

    *instance = (struct instance){function, number};
    pthread_mutex_lock(&state->mutex);
    state->running++;
    state->threads++;
    pthread_mutex_unlock(&state->mutex);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_getstacksize(&attributes, &stack_bytes);
    if (stack_bytes < LEAST_STACK_BYTES)
        pthread_attr_setstacksize(&attributes, LEAST_STACK_BYTES);
    error = pthread_create(&thread, &attributes, run_instance, instance);
    pthread_attr_destroy(&attributes);
    if (error != 0) {
        fprintf(stderr, "dsm: rank %d: cannot start a thread for CREATE: %s\n", DSM_NODE_ID, strerror(error));
        exit(EXIT_FAILURE);
    }
}

static void start_instances(const struct command *command)
{
    long i;

    for (i = 0; i < command->count; i++)
        start_instance(command->function, command->first + i * DSM_NODE_NUM);
}

static void wait_for_threads(void)
{
    pthread_mutex_lock(&state->mutex);
    while (state->threads > 0)
        pthread_cond_wait(&state->idle, &state->mutex);
    pthread_mutex_unlock(&state->mutex);
}

/* --- the ranks without main ------------------------------------------------------------------------------- */

static void compare_with_rank_0(void)
{
    const struct control *control = state->control;
    const struct image *image = &state->image;
    char why[256];

    if (dsm_parmacs_flaw(image) != NULL)
        refuse(dsm_parmacs_flaw(image));
    if (image->fingerprint != control->fingerprint)
        refuse("it is not the one that rank 0 runs: all hosts need the same build");
    if (image->all.begin == control->all.begin && image->all.end == control->all.end &&
        image->data.begin == control->data.begin)
        return;
    snprintf(why, sizeof(why),
             "it is at %#lx here and at %#lx on rank 0, so that variables cannot be sent: link it with -no-pie",
             (unsigned long)image->all.begin, (unsigned long)control->all.begin);
    refuse(why);
}

static void receive(const struct snapshot *snapshot)
{
    int in_use;

    /* No instance begins meanwhile: it is this thread that starts them. */
    pthread_mutex_lock(&state->mutex);
    in_use = state->running > 0;
    pthread_mutex_unlock(&state->mutex);
    dsm_parmacs_apply(&state->image, snapshot, in_use ? state->received : NULL);
    state->received = snapshot;
}

static void serve(void)
{
    struct mailbox *mailbox = &state->control->mailboxes[DSM_NODE_ID];

    for (;;) {
        struct command command;

        dsm_parmacs_must(dsm_sem_wait(&mailbox->filled), "wait for CREATE");
        command = mailbox->command;
        dsm_parmacs_must(dsm_sem_post(&mailbox->room), "take a command");
        if (command.function == NULL)
            break;
        receive(command.snapshot);
        start_instances(&command);
    }
    wait_for_threads();
    dsm_finalize();
    exit(EXIT_SUCCESS);
}

static void tell(long rank, const struct command *command)
{
    struct mailbox *mailbox = &state->control->mailboxes[rank];

    dsm_parmacs_must(dsm_sem_wait(&mailbox->room), "reach a rank");
    mailbox->command = *command;
    dsm_parmacs_must(dsm_sem_post(&mailbox->filled), "reach a rank");
}

/* --- joining and leaving ---------------------------------------------------------------------------------- */

static void join(void)
{
    if (state->area == NULL)
        state->area = dsm_init(0, NULL);
    if (state->area == NULL)
        exit(EXIT_FAILURE);
}

void dsm_parmacs_begin(void)
{
    struct control *control;
    long rank;

    if (state->control != NULL)
        return;
    join();
    if (DSM_NODE_NUM > 1 && dsm_parmacs_flaw(&state->image) != NULL)
        refuse(dsm_parmacs_flaw(&state->image));
    state->control = control = (struct control *)state->area;
    control->all = state->image.all;
    control->data = state->image.data;
    control->fingerprint = state->image.fingerprint;
    control->stand_ins = (uintptr_t)dsm_malloc(control->data.end - control->data.begin);
    dsm_parmacs_must(control->stand_ins == 0, "reserve shared memory for objects in global variables");
    control->mailboxes = dsm_malloc((size_t)DSM_NODE_NUM * sizeof(*control->mailboxes));
    dsm_parmacs_must(control->mailboxes == NULL, "allocate shared memory for CREATE");
    for (rank = 1; rank < DSM_NODE_NUM; rank++)
        dsm_parmacs_must(dsm_sem_init(&control->mailboxes[rank].room, 1), "prepare for CREATE");
    state->stand_ins = control->stand_ins;
    dsm_parmacs_must(dsm_barrier(), "meet the other ranks");
}

static void leave(void)
{
    const struct command over = {.function = NULL};
    long rank;

    state->has_ended = 1;
    dsm_parmacs_wait_for_end();
    wait_for_threads();
    for (rank = 1; rank < DSM_NODE_NUM; rank++)
        tell(rank, &over);
    dsm_finalize();
}

void dsm_parmacs_end(void)
{
    exit(EXIT_SUCCESS); /* on_exit does the rest */
}

/* Programs may end without MAIN_END, and before MAIN_INITENV when they are asked for help: the others wait for them. */
static void on_end(int status, void *nothing)
{
    (void)nothing;
    if (status != EXIT_SUCCESS || state->has_ended || current.is_instance || getpid() != state->pid)
        return;
    if (state->area == NULL)
        return;
    dsm_parmacs_begin();
    leave();
}

/*
 * A position-independent executable is at another address in each process, unless the kernel is told not to choose at
 * random. That takes effect at the next execution, so the program executes itself again, once, before it has done anything.
 */
static void give_up_random_addresses(char **arguments)
{
    static const char self[] = "/proc/self/exe";
    char path[PATH_MAX + 1] = "";
    int persona = personality(0xffffffff);

    if (getenv(AGAIN) != NULL) {
        unsetenv(AGAIN);
        return;
    }
    if (state->image.bias == 0 || persona == -1 || (persona & ADDR_NO_RANDOMIZE) != 0)
        return;
    /* Started as an argument of the loader, it would be executed without being named. */
    if (getauxval(AT_ENTRY) < state->image.all.begin || getauxval(AT_ENTRY) >= state->image.all.end)
        return;
    /* Where it is forbidden, the addresses will differ, and that will be said. */
    if (personality((unsigned long)persona | ADDR_NO_RANDOMIZE) == -1 || setenv(AGAIN, "1", 1) != 0)
        return;
    /* By its own path, so that the process keeps its name; by the link, if there is nothing at that path any more. */
    if (readlink(self, path, PATH_MAX) > 0)
        execv(path, arguments);
    execv(self, arguments);
    unsetenv(AGAIN);
}

static long number_in_environment(const char *name)
{
    const char *value = getenv(name);

    return value == NULL ? 0 : strtol(value, NULL, 10);
}

/*
 * Before main, so that main runs on rank 0 alone: it reads standard input, prints, and writes files. All ranks join the job
 * here, so that nothing that main does keeps them waiting, or surprises them if it ends the process.
 */
__attribute__((constructor)) static void before_main(int count, char **arguments)
{
    (void)count;
    state->pid = getpid();
    dsm_parmacs_read_image(&state->image);
    on_exit(on_end, NULL);
    if (number_in_environment("DSM_NODE_NUM") <= 1)
        return;
    give_up_random_addresses(arguments);
    join();
    if (DSM_NODE_ID == 0)
        return;
    state->has_ended = 1; /* rank 0 ends the job */
    dsm_parmacs_must(dsm_barrier(), "meet the other ranks");
    state->control = (struct control *)state->area;
    state->stand_ins = state->control->stand_ins;
    compare_with_rank_0();
    serve();
}

/* --- CREATE and WAIT_FOR_END ------------------------------------------------------------------------------ */

static void check_creator(const char *what)
{
    const char *why = NULL;

    if (state->control == NULL)
        why = "MAIN_INITENV comes first";
    else if (current.is_instance)
        why = "only the process that runs main can, not an instance";
    if (why == NULL)
        return;
    fprintf(stderr, "dsm: rank %d: cannot %s: %s\n", DSM_NODE_ID, what, why);
    exit(EXIT_FAILURE);
}

/* Starts instances number created+1 .. created+count. */
static void create(void (*function)(void), long count)
{
    long first = state->created + 1, rank;
    struct snapshot *latest = state->latest;

    if (DSM_NODE_NUM > 1)
        state->latest = dsm_parmacs_take_snapshot(&state->image, latest);
    if (latest != NULL && latest != state->latest) {
        state->outdated = dsm_parmacs_grow(state->outdated, state->outdated_count + 1, sizeof(*state->outdated));
        state->outdated[state->outdated_count++] = latest;
    }
    state->created += count;
    for (rank = 0; rank < DSM_NODE_NUM; rank++) {
        long number = first + (rank - first % DSM_NODE_NUM + DSM_NODE_NUM) % DSM_NODE_NUM;
        struct command command = {.function = function, .snapshot = state->latest, .first = number};

        if (number > state->created)
            continue;
        command.count = (state->created - number) / DSM_NODE_NUM + 1;
        if (rank == 0)
            start_instances(&command);
        else
            tell(rank, &command);
    }
}

void dsm_parmacs_create_one(void (*function)(void))
{
    check_creator("CREATE");
    create(function, 1);
}

void dsm_parmacs_create_all(void (*function)(void), long count)
{
    check_creator("CREATE");
    if (count > 1)
        create(function, count - 1);
    if (count < 1)
        return;
    current.is_instance = 1;
    call(function);
    current.is_instance = 0;
}

void dsm_parmacs_wait_for_end(void)
{
    check_creator("WAIT_FOR_END");
    for (; state->created > 0; state->created--)
        dsm_parmacs_must(dsm_sem_wait(&state->control->ended), "wait for an instance to end");
    while (state->outdated_count > 0)
        dsm_free(state->outdated[--state->outdated_count]);
}

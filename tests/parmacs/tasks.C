/*
 * tasks [-pPROCS] [-nNODES]: a search tree that all processes grow at once. Every node has a lock of its own and is
 * allocated by the process that hangs it in; work comes from task queues, one a process, from which the others steal,
 * and ends when all of them have nothing left to do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

MAIN_ENV

#define MAXPROCS 64
#define BATCH 16

typedef struct node {
    LOCKDEC(lock)
    long key, count;
    struct node *child[2];
} Node;

typedef struct task {
    long first, end; /* numbers of keys to put in */
    struct task *next;
} Task;

struct GlobalMemory {
    LOCKDEC(idlock)
    ALOCKDEC(queuelock, MAXPROCS)
    Task *queue[MAXPROCS];
    LOCKDEC(idlelock)
    CONDVARDEC(work)
    long id, idle, posted, finished;
    LOCKDEC(rootlock)
    Node *root;
    long nodes[MAXPROCS], stolen[MAXPROCS];
};

struct GlobalMemory *gm;
long P = 1, keys = 2000;

/* A permutation of 0 .. keys-1, so that the tree is not a list. */
long KeyOf(long number)
{
    return number * 7919 % keys;
}

void Insert(long me, long key)
{
    Node *parent = NULL, **link = &gm->root;

    /* The lock of what points to a node also protects the pointer. */
    LOCK(gm->rootlock)
    while (*link != NULL && (*link)->key != key) {
        Node *node = *link;

        LOCK(node->lock)
        if (parent == NULL) {
            UNLOCK(gm->rootlock)
        } else {
            UNLOCK(parent->lock)
        }
        parent = node;
        link = &node->child[key > node->key];
    }
    if (*link == NULL) {
        Node *node = (Node *) G_MALLOC(sizeof(Node));

        LOCKINIT(node->lock)
        node->key = key;
        *link = node;
        gm->nodes[me]++;
    }
    (*link)->count++;
    if (parent == NULL) {
        UNLOCK(gm->rootlock)
    } else {
        UNLOCK(parent->lock)
    }
}

void Post(long to, long first, long end)
{
    Task *task = (Task *) G_MALLOC(sizeof(Task));

    task->first = first;
    task->end = end;
    ALOCK(gm->queuelock, to)
    task->next = gm->queue[to];
    gm->queue[to] = task;
    AULOCK(gm->queuelock, to)
    LOCK(gm->idlelock)
    gm->posted++;
    if (gm->idle > 0) {
        CONDVARSIGNAL(gm->work)
    }
    UNLOCK(gm->idlelock)
}

Task *Take(long from)
{
    Task *task;

    ALOCK(gm->queuelock, from)
    task = gm->queue[from];
    if (task != NULL)
        gm->queue[from] = task->next;
    AULOCK(gm->queuelock, from)
    return task;
}

/* Waits for tasks unless there are some; 0 when there will be none any more. */
int WaitForWork(void)
{
    int more;

    LOCK(gm->idlelock)
    while (gm->posted == 0 && gm->finished < 2 * keys) {
        gm->idle++;
        CONDVARWAIT(gm->work, gm->idlelock)
        gm->idle--;
    }
    more = gm->posted > 0;
    UNLOCK(gm->idlelock)
    return more;
}

/* Large tasks are halved, and one half is posted. */
void Perform(long me, Task *task)
{
    long i, done;

    LOCK(gm->idlelock)
    gm->posted--;
    UNLOCK(gm->idlelock)
    while (task->end - task->first > BATCH) {
        long middle = (task->first + task->end) / 2;

        Post(me, middle, task->end);
        task->end = middle;
    }
    done = task->end - task->first;
    for (i = task->first; i < task->end; i++)
        Insert(me, KeyOf(i % keys));
    G_FREE(task)
    LOCK(gm->idlelock)
    gm->finished += done;
    if (gm->finished == 2 * keys) {
        CONDVARBCAST(gm->work)
    }
    UNLOCK(gm->idlelock)
}

void Worker(void)
{
    long me, i;

    LOCK(gm->idlock)
    me = gm->id++;
    UNLOCK(gm->idlock)
    while (WaitForWork())
        for (i = 0; i < P; i++) {
            Task *task = Take((me + i) % P);

            if (task == NULL)
                continue;
            if (i > 0)
                gm->stolen[me]++;
            Perform(me, task);
            break;
        }
}

/* Counts the nodes, and what is wrong with them. */
long Check(const Node *node, long low, long high, long *wrong)
{
    if (node == NULL)
        return 0;
    *wrong += node->key < low || node->key >= high || node->count != 2;
    return 1 + Check(node->child[0], low, node->key, wrong) + Check(node->child[1], node->key + 1, high, wrong);
}

int main(int argc, char *argv[])
{
    long i, made = 0, stolen = 0, wrong = 0, found;
    int c;

    while ((c = getopt(argc, argv, "p:n:")) != -1)
        switch (c) {
        case 'p': P = atol(optarg); break;
        case 'n': keys = atol(optarg); break;
        }
    MAIN_INITENV(, 100000000, P)
    gm = (struct GlobalMemory *) G_MALLOC(sizeof(struct GlobalMemory));
    LOCKINIT(gm->idlock)
    LOCKINIT(gm->idlelock)
    LOCKINIT(gm->rootlock)
    ALOCKINIT(gm->queuelock, P)
    CONDVARINIT(gm->work)
    Post(0, 0, 2 * keys);
    CREATE(Worker, P)
    WAIT_FOR_END(P)
    found = Check(gm->root, 0, keys, &wrong);
    for (i = 0; i < P; i++) {
        made += gm->nodes[i];
        stolen += gm->stolen[i];
    }
    wrong += found != keys || made != keys;
    printf("tasks: %ld nodes with a lock each, %ld processes, %s\n", found, P, wrong == 0 ? "right" : "WRONG");
    printf("tasks: %ld stolen\n", stolen);
    if (wrong != 0)
        exit(1);
    MAIN_END
}

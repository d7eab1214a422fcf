/*
 * globals [-pN] [-o]: what main stores in global variables before CREATE is there in every instance, and what belongs to
 * each process stays its own. Runs two rounds of N instances, with -o created one by one in the older manner.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

MAIN_ENV

#define MAXPROCS 64
#define SPARSE (256 << 20)

struct GlobalMemory {
    LOCKDEC(idlock)
    BARDEC(start)
    long id;
    long wrong;
    long seen[MAXPROCS];
};

struct GlobalMemory *Global;
extern int DSM_NODE_ID, DSM_NODE_NUM; /* as dsm.h has them: variables of a library */

long P = 2;
long Round = -1;                    /* initialised, and changed */
long Zeroed = 7;                    /* initialised, and zero at the second CREATE */
char Name[] = "set before main";
char *Constant = "a constant";
static long Hidden;
long Serial;                        /* changed between the CREATEs of one round */
long Kept[MAXPROCS];                /* written by instances while others are created */
char Sparse[SPARSE];                /* 256 MB, of which main touches a few pages */
int (*Own)(int);                    /* functions of the program are at the same address everywhere */
int (*Foreign)(const char *, const char *) = strcmp; /* those of libraries need not be */
int (*Replaced)(const char *, const char *) = strcmp;
FILE *const *Stream = &stdout;
LOCKDEC(GlobalLock)                 /* private memory: it stands for one in shared memory */
ALOCKDEC(GlobalLocks, 4)
BARDEC(GlobalBarrier)
long *Counter;                      /* in shared memory, under GlobalLock */
__thread long Mine = 5;

extern char **environ;

int twice(int x)
{
    return 2 * x;
}

int backwards(const char *a, const char *b)
{
    return strcmp(b, a);
}

void expect(int holds, const char *what)
{
    if (holds)
        return;
    printf("globals: rank %d, round %ld: not so: %s\n", DSM_NODE_ID, Round, what);
    LOCK(Global->idlock)
    Global->wrong++;
    UNLOCK(Global->idlock)
}

/* The same on all ranks. */
void ShippedVariables(void)
{
    long i;

    expect(strcmp(Name, Round == 0 ? "set in main" : "set again") == 0, "Name is what main copied there");
    expect(strcmp(Constant, Round == 0 ? "a constant" : "another one") == 0, "Constant");
    expect(Hidden == 1000 + Round, "Hidden");
    expect(Zeroed == (Round == 0 ? 7 : 0), "Zeroed");
    expect(Own(21) == 42, "Own is twice");
    for (i = 0; i < 5; i++)
        expect(Sparse[i * (SPARSE / 5)] == (Round == 0 || i % 2 == 0 ? 'a' + i : 0), "Sparse");
    expect(Sparse[12345] == 0, "Sparse is zero where an instance wrote in the round before");
    expect(Sparse[SPARSE - 1] == 0, "Sparse is zero at its end");
    expect(Replaced("a", "b") > 0 ? Round == 0 : Round == 1, "Replaced");
}

/* Each process' own. */
void OwnVariables(void)
{
    char text[8];

    expect(Foreign("a", "a") == 0, "Foreign is strcmp");
    expect(*Stream == stdout && fprintf(*Stream, "%s", "") == 0, "stdout works");
    expect(fileno(stderr) == 2, "stderr is descriptor 2");
    snprintf(text, sizeof(text), "%d", DSM_NODE_ID);
    expect(getenv("DSM_NODE_ID") == NULL || strcmp(getenv("DSM_NODE_ID"), text) == 0, "the environment is this rank's");
    expect(environ != NULL && environ[0] != NULL, "environ");
    expect(DSM_NODE_ID >= 0 && DSM_NODE_ID < DSM_NODE_NUM, "DSM_NODE_ID");
    expect(Mine == 5 || DSM_NODE_ID == 0, "variables of a thread are not shipped");
    expect(optind == 1 || DSM_NODE_ID == 0, "optind is the C library's");
}

void SlaveStart(void)
{
    long MyNum, me, i;

    GET_PID(me)
    expect(Kept[me] == 0 || DSM_NODE_ID == 0, "Kept is zero where no instance of rank 0 wrote");
    Kept[me] = me;
    LOCK(Global->idlock)
    MyNum = Global->id++;
    UNLOCK(Global->idlock)

    ShippedVariables();
    OwnVariables();
    BARRIER(Global->start, P)
    expect(Kept[me] == me, "what an instance wrote is not undone by the next CREATE");
    expect(Serial >= me && Serial < P, "Serial");
    for (i = 0; i < 100; i++) {
        LOCK(GlobalLock)
        ++*Counter;
        UNLOCK(GlobalLock)
        ALOCK(GlobalLocks, i % 4)
        Counter[1 + i % 4]++;
        AULOCK(GlobalLocks, i % 4)
    }
    BARRIER(GlobalBarrier)
    expect(*Counter == 100 * P * (Round + 1), "Counter after the barrier");
    Global->seen[me]++;
    if (DSM_NODE_ID != 0) { /* what instances leave behind is gone at the next CREATE */
        Sparse[12345] = 1;
        strcpy(Name, "scribbled");
        Hidden = MyNum;
    }
}

void Run(int oneByOne)
{
    long i;

    Global->id = 0;
    Serial = 0;
    if (oneByOne) {
        for (i = 1; i < P; i++) {
            Serial = i;
            CREATE(SlaveStart)
        }
        SlaveStart();
        WAIT_FOR_END(P - 1)
    } else {
        Serial = P - 1;
        CREATE(SlaveStart, P);
        WAIT_FOR_END(P);
    }
}

int main(int argc, char *argv[])
{
    int c, oneByOne = 0;
    long i;

    while ((c = getopt(argc, argv, "p:oh")) != -1)
        switch (c) {
        case 'p': P = atol(optarg); break;
        case 'o': oneByOne = 1; break;
        default: printf("usage: globals [-pN] [-o]\n"); exit(0);
        }
    printf("globals: main runs once\n");
    MAIN_INITENV(, 80000000)
    Mine = 6;
    Global = (struct GlobalMemory *) G_MALLOC(sizeof(struct GlobalMemory))
    Counter = (long *) NU_MALLOC(8 * sizeof(long));
    LOCKINIT(Global->idlock)
    LOCKINIT(GlobalLock);
    ALOCKINIT(GlobalLocks, 4)
    BARINIT(Global->start)
    BARINIT(GlobalBarrier, P);

    Round = 0;
    strcpy(Name, "set in main");
    Hidden = 1000;
    Own = twice;
    Replaced = backwards;
    for (i = 0; i < 5; i++)
        Sparse[i * (SPARSE / 5)] = 'a' + i;
    Run(oneByOne);

    Round = 1;
    strcpy(Name, "set again");
    Constant = "another one";
    Hidden = 1001;
    Zeroed = 0;
    Replaced = strcmp;
    for (i = 1; i < 5; i += 2)
        Sparse[i * (SPARSE / 5)] = 0;
    Run(oneByOne);

    for (i = 0; i < P; i++)
        expect(Global->seen[i] == 2, "each instance ran twice");
    printf("globals: %ld instances, counter %ld, %s\n", P, *Counter, Global->wrong == 0 ? "right" : "WRONG");
    if (Global->wrong != 0)
        exit(1);
    MAIN_END
}

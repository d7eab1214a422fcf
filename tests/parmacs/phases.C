/*
 * phases [-pPROCS] [-nROUNDS]: pauses, self-scheduled loops, semaphores, and condition variables, each with a result that
 * is wrong if one wake-up is lost or one too many.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

MAIN_ENV

#define MAXPROCS 64
#define SLOTS 4

struct stage {
    PAUSEDEC(full)
    PAUSEDEC(empty)
    long value;
    char pad[64];
};

struct GlobalMemory {
    LOCKDEC(idlock)
    BARDEC(barrier)
    long id, wrong;
    struct stage stage[MAXPROCS];
    GSDEC(loop)
    long square[1000], sum;
    LOCKDEC(sumlock)
    SEMDEC(items)
    SEMDEC(room)
    long ring[SLOTS], head, tail, taken;
    LOCKDEC(ringlock)
    long turn;
    LOCKDEC(turnlock)
    CONDVARDEC(turned[MAXPROCS])
};

struct GlobalMemory *Global;
GSDEC(GlobalLoop)                  /* these two are private memory and stand for shared ones */
PAUSEDEC(GlobalPause)
long P = 1, rounds = 20;

/* Values go from process to process through stages of one place each; the first makes them and the last checks them. */
void Pipeline(long me)
{
    long i, value;

    for (i = 1; i <= rounds; i++) {
        value = i;
        if (me > 0) {
            WAITPAUSE(Global->stage[me].full)
            CLEARPAUSE(Global->stage[me].full)
            value = Global->stage[me].value + 1;
            SETPAUSE(Global->stage[me].empty)
        }
        if (me == P - 1) {
            if (value != i + me)
                Global->wrong++;
            continue;
        }
        WAITPAUSE(Global->stage[me + 1].empty)
        CLEARPAUSE(Global->stage[me + 1].empty)
        Global->stage[me + 1].value = value;
        SETPAUSE(Global->stage[me + 1].full)
    }
}

/* One sets it, nobody clears it, all go on. */
void Start(long me)
{
    if (me == P - 1) {
        SETPAUSE(GlobalPause)
    }
    WAITPAUSE(GlobalPause)
}

/* Sums squares twice with a loop in shared memory, and twice with one in a global variable. */
void Loops(void)
{
    long i, mine = 0;
    int times;

    for (times = 0; times < 2; times++) {
        GETSUB(Global->loop, i, 999, P)
        while (i >= 0) {
            Global->square[i]++;
            mine += i * i;
            GETSUB(Global->loop, i, 999, P)
        }
        for (;;) {
            GETSUB(GlobalLoop, i, 99, P);
            if (i < 0)
                break;
            mine += i;
        }
    }
    LOCK(Global->sumlock)
    Global->sum += mine;
    UNLOCK(Global->sumlock)
}

/* Everyone puts numbers into a ring of few places and takes as many out. */
void Ring(long me)
{
    long i, sum = 0;

    for (i = 0; i < rounds; i++) {
        SEMP(Global->room)
        LOCK(Global->ringlock)
        Global->ring[Global->head++ % SLOTS] = me * rounds + i;
        UNLOCK(Global->ringlock)
        SEMV(Global->items)
        SEMP(Global->items)
        LOCK(Global->ringlock)
        sum += Global->ring[Global->tail++ % SLOTS];
        UNLOCK(Global->ringlock)
        SEMV(Global->room)
    }
    LOCK(Global->ringlock)
    Global->taken += sum;
    UNLOCK(Global->ringlock)
}

/* Round robin, one wake-up each. There are no other wake-ups. */
void Turns(long me)
{
    long i;

    for (i = 0; i < rounds; i++) {
        LOCK(Global->turnlock)
        while (Global->turn % P != me) {
            CONDVARWAIT(Global->turned[me], Global->turnlock)
        }
        if (Global->turn != i * P + me)
            Global->wrong++;
        Global->turn++;
        CONDVARSIGNAL(Global->turned[Global->turn % P])
        UNLOCK(Global->turnlock)
    }
}

void *slave(void *unused)
{
    long me;

    (void) unused;
    LOCK(Global->idlock)
    me = Global->id++;
    UNLOCK(Global->idlock)
    Start(me);
    Pipeline(me);
    BARRIER(Global->barrier)
    Loops();
    BARRIER(Global->barrier, P)
    Ring(me);
    BARRIER(Global->barrier)
    Turns(me);
    FULL_FENCE
    return NULL;
}

int main(int argc, char *argv[])
{
    long i, sum = 0;
    int c;

    while ((c = getopt(argc, argv, "p:n:")) != -1)
        switch (c) {
        case 'p': P = atol(optarg); break;
        case 'n': rounds = atol(optarg); break;
        }
    MAIN_INITENV(, 8000000)
    Global = (struct GlobalMemory *) G_MALLOC(sizeof(struct GlobalMemory));
    LOCKINIT(Global->idlock)
    LOCKINIT(Global->sumlock)
    LOCKINIT(Global->ringlock)
    LOCKINIT(Global->turnlock)
    BARINIT(Global->barrier, P)
    GSINIT(Global->loop)
    GSINIT(GlobalLoop)
    PAUSEINIT(GlobalPause)
    SEMINIT(Global->items, 0)
    SEMINIT(Global->room, SLOTS)
    for (i = 0; i < P; i++) {
        PAUSEINIT(Global->stage[i].full)
        PAUSEINIT(Global->stage[i].empty)
        SETPAUSE(Global->stage[i].empty)
        CONDVARINIT(Global->turned[i])
    }
    CREATE(slave, P)
    WAIT_FOR_END(P)

    for (i = 0; i < 1000; i++) {
        sum += 2 * i * i;
        Global->wrong += Global->square[i] != 2;
    }
    for (i = 0; i < 100; i++)
        sum += 2 * i;
    Global->wrong += Global->sum != sum;
    Global->wrong += Global->taken != P * rounds * (P * rounds - 1) / 2;
    Global->wrong += Global->turn != P * rounds;
    printf("phases: %ld processes, %ld rounds, %s\n", P, rounds, Global->wrong == 0 ? "right" : "WRONG");
    if (Global->wrong != 0)
        exit(1);
    MAIN_END
}

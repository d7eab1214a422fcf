#include <stdio.h>
#include <stdlib.h>

MAIN_ENV

struct GlobalMemory {
    LOCKDEC(lock)
    BARDEC(start)
    long id;
    double pi;
} *Global;

long P, steps = 10000000;            /* private memory: set in main, sent by CREATE */

void SlaveStart(void)
{
    double sum = 0.0;
    long me, i;

    LOCK(Global->lock)
    me = Global->id++;
    UNLOCK(Global->lock)
    BARRIER(Global->start, P)
    for (i = me; i < steps; i += P)
        sum += 4.0 / (1.0 + ((i + 0.5) / steps) * ((i + 0.5) / steps));
    LOCK(Global->lock)
    Global->pi += sum / steps;
    UNLOCK(Global->lock)
}

int main(int argc, char **argv)
{
    P = argc > 1 ? atol(argv[1]) : 1;
    MAIN_INITENV(, 1000000)
    Global = (struct GlobalMemory *) G_MALLOC(sizeof(struct GlobalMemory));
    LOCKINIT(Global->lock)
    BARINIT(Global->start, P)
    CREATE(SlaveStart, P);
    WAIT_FOR_END(P);
    printf("%ld processes: pi is about %.10f\n", P, Global->pi);
    MAIN_END;
}

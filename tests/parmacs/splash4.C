/* splash4 [-pPROCS]: what sources of SPLASH-4 use beside the rest, with m4 -DSPLASH4. */
#include <stdio.h>
#include <stdlib.h>

MAIN_ENV

struct memory {
    _Atomic long ticket, most;
    _Atomic double sum;
    long plain;
    BARDEC(bar)
};

static struct memory *shared;
static long P = 4;

static void work(void)
{
    long i, me = FETCH_ADD(shared->ticket, 1), most;

    for (i = 0; i < 100; i++) {
        (void) FETCH_ADD_DOUBLE(&shared->sum, 0.5);
        FETCH_ADD(shared->plain, 3);
        FETCH_SUB(shared->plain, 1);
    }
    most = LOAD(shared->most);
    while (most < me && !CAS(shared->most, most, me))
        ;
    BARRIER(shared->bar, P)
    STORE(shared->ticket, -1);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        P = atol(argv[1] + 2);
    MAIN_INITENV()
    shared = G_MALLOC(sizeof(*shared))
    BARINIT(shared->bar, P);
    CREATE(work, P);
    WAIT_FOR_END(P);
    printf("splash4: %ld processes, %s\n", P, LOAD(shared->ticket) == -1 && LOAD(shared->sum) == 50.0 * P &&
           shared->plain == 200 * P && shared->most == P - 1 ? "right" : "WRONG");
    MAIN_END();
}

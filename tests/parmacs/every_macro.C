/* every_macro: uses every macro of c.m4.dsm, those with two numbers of arguments with both. */
#include <stdio.h>
#include <stdlib.h>

MAIN_ENV
ENV
EXTERN_ENV
BAREXTERN

struct memory {
    LOCKDEC(lock)
    NLOCKDEC(nlock)
    ALOCKDEC(locks, 3)
    CONDVARDEC(cond)
    BARDEC(one)
    BARDEC(two)
    SEMDEC(sem)
    PAUSEDEC(pause)
    GSDEC(loop)
    NU_GSDEC(other)
    long count, go;
    double sum;
};

struct memory *shared;
long instances;

void NEWPROC work(void)
{
    long i, pid, home;

    GET_PID(pid)
    GET_HOME(home)
    if (pid < 0 || home < 0)
        exit(1);
    AUG_ON
    TRACE_ON REF_TRACE_ON DYN_TRACE_ON DYN_REF_TRACE_ON DYN_SIM_ON DYN_SCHED_ON
    AUG_SET_LOLIMIT(1) AUG_SET_HILIMIT(2) AUG_DELAY(1) ST_LOG(1)
    BAREXCLUDE(shared->one)
    BARINCLUDE(shared->one)
    BARRIER(shared->one, instances)
    BARRIER(shared->two)
    LOCK(shared->lock) shared->count++; UNLOCK(shared->lock)
    NLOCK(shared->nlock) shared->count++; NUNLOCK(shared->nlock)
    ALOCK(shared->locks, pid % 3) (void) AGETL(shared->locks, pid % 3); AULOCK(shared->locks, pid % 3)
    ALOCK(shared->locks, 1); AUNLOCK(shared->locks, 1);
    SEMP(shared->sem)
    SEMV(shared->sem)
    WAITPAUSE(shared->pause)
    PAUSE(1) EVENT(1)
    ACQUIRE(shared->lock) RELEASE(shared->lock) AACQUIRE(shared->locks, 0) ARELEASE(shared->locks, 0)
    ACQUIRE_FENCE RELEASE_FENCE FULL_FENCE ACQUIRE_FENCE() RELEASE_FENCE() FULL_FENCE()
    GETSUB(shared->loop, i, 5)
    NU_GETSUB(shared->other, i, -1, instances)
    if (i != -1)
        exit(1);
    LOCK(shared->lock)
    while (!shared->go) {
        CONDVARWAIT(shared->cond, shared->lock)
    }
    UNLOCK(shared->lock)
    TRACE_OFF REF_TRACE_OFF DYN_TRACE_OFF DYN_REF_TRACE_OFF DYN_SIM_OFF DYN_SCHED_OFF
    AUG_OFF
}

int main(void)
{
    unsigned long began, ended;
    void *memory;
    long i;

    MAIN_INITENV(, 1000000, 4)
    THREAD_INIT THREAD_INIT_FREE();
    G_MEMINIT(1000000)
    CLOCK(began)
    shared = G_MALLOC(sizeof(*shared))
    memory = G_MALLOC_F(100); G_FREE(memory)
    memory = G_MALLOC(100, 1) G_FREE(memory, 100)
    memory = G_MALLOC_F(100, 1); G_FREE(memory);
    memory = NU_MALLOC(100) NU_FREE(memory)
    memory = NU_MALLOC(100, 1); NU_FREE(memory, 100);
    memory = NU_MALLOC_F(100); NU_FREE(memory)
    memory = NU_MALLOC_F(100, 1); NU_FREE(memory)
    memory = G_MALLOC(100) free(memory);
    memory = malloc(100); free(memory);
    memory = malloc(100); G_FREE(memory)
    SET_HOME(memory, 1) ALLOCATE_PAGE(memory, 1) ALLOCATE_RANGE(memory, 1, 2) RESET_STATISTICS
    LOCKINIT(shared->lock) NLOCKINIT(shared->nlock) ALOCKINIT(shared->locks, 3) CONDVARINIT(shared->cond)
    SEMINIT(shared->sem, 1) PAUSEINIT(shared->pause) SETPAUSE(shared->pause) CLEARPAUSE(shared->pause)
    SETPAUSE(shared->pause);
    GSINIT(shared->loop) NU_GSINIT(shared->other)
    SPLASH3_ROI_BEGIN SPLASH4_ROI_BEGIN()

    instances = 2;
    BARINIT(shared->one)
    BARINIT(shared->two, instances)
    shared->go = 1;
    CREATE(work, instances)
    WAIT_FOR_END(instances)

    shared->go = 0;
    for (i = 0; i < instances; i++) {
        CREATE(work)
    }
    LOCK(shared->lock)
    shared->go = 1;
    CONDVARSIGNAL(shared->cond)
    CONDVARBCAST(shared->cond)
    UNLOCK(shared->lock)
    WAIT_FOR_END(instances)

    SPLASH3_ROI_END SPLASH4_ROI_END()
    CLOCK(ended)
    printf("every macro: %s\n", shared->count == 4 * instances && ended >= began ? "right" : "WRONG");
    MAIN_END
}

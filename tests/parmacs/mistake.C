/* mistake WHAT: does something wrong, or ends in an unusual way; see the test that starts it. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

MAIN_ENV

struct GlobalMemory {
    LOCKDEC(lock)
    BARDEC(barrier)
};

struct GlobalMemory *Global;
LOCKDEC(Variable)
extern int DSM_NODE_ID;
char what[20];

int is(const char *name)
{
    return strcmp(what, name) == 0;
}

void nothing(void)
{
}

void slave(void)
{
    LOCKDEC(stack)

    if (is("twice")) {
        LOCK(Global->lock)
        LOCK(Global->lock)
    }
    if (is("variable twice")) {
        LOCK(Variable)
        LOCK(Variable)
    }
    if (is("unheld")) {
        UNLOCK(Global->lock)
    }
    if (is("stack")) {
        LOCK(stack)
    }
    if (is("no count")) {
        BARRIER(Global->barrier)
    }
    if (DSM_NODE_ID != 1)
        return;
    if (is("nested")) {
        CREATE(nothing)
    }
    if (is("exit 3"))
        exit(3);
    if (is("exit 0"))
        exit(0);
    if (is("abort"))
        abort();
    if (is("pthread_exit"))
        pthread_exit(NULL);
}

int main(int argc, char *argv[])
{
    if (argc > 1)
        strncpy(what, argv[1], sizeof(what) - 1);
    if (is("input")) {
        int sum = 0, c;

        while ((c = getchar()) != EOF)
            sum += c;
        printf("mistake: input adds up to %d\n", sum);
        exit(0);
    }
    if (is("early lock")) {
        LOCK(Variable)
    }
    if (is("early CREATE")) {
        CREATE(slave)
    }
    if (is("early exit"))
        exit(5);
    MAIN_INITENV(, 100)
    if (is("too much")) {
        Global = G_MALLOC((size_t)1 << 50)
        exit(Global == NULL ? 9 : 0);
    }
    Global = G_MALLOC(sizeof(*Global))
    BARINIT(Global->barrier)
    CREATE(slave, 3)
    if (is("no WAIT_FOR_END")) {
        CREATE(nothing)
        return 0;
    }
    WAIT_FOR_END(3)
    MAIN_END
}

/*
 * lu [-nSIZE] [-pPROCS] [-bBLOCK]: factors a dense matrix into a lower and an upper triangle, in blocks that are scattered
 * over the processes, and compares bit by bit with the same in one process. The processes are created one by one, and
 * main takes part as the first of them, as programs for the older macro sets do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

MAIN_ENV

struct GlobalMemory {
    double *done;
    BARDEC(start)
    LOCKDEC(idlock)
    int id;
} *Global;

int n = 96, P = 1, block = 16, blocks;
double **a; /* a[i + j * blocks] is block row i of block column j, whose elements are by columns */
static int rows = 1, columns = 1;

int BlockOwner(int I, int J)
{
    return I % rows + J % columns * rows;
}

double *NewBlock(int shared)
{
    double *memory;

    if (!shared)
        return malloc(block * block * sizeof(double));
    memory = (double *) G_MALLOC(block * block * sizeof(double))
    return memory;
}

void InitA(double **m)
{
    unsigned seed = 12345;
    int i, j;

    for (j = 0; j < n; j++)
        for (i = 0; i < n; i++) {
            seed = seed * 1103515245u + 12345u;
            m[i / block + j / block * blocks][i % block + j % block * block] = (seed >> 16) % 1000 / 500.0 + (i == j) * 10.0;
        }
}

/* The factors of a diagonal block. */
void lu0(double *d)
{
    int i, j, k;

    for (k = 0; k < block; k++)
        for (j = k + 1; j < block; j++) {
            d[k + j * block] /= d[k + k * block];
            for (i = k + 1; i < block; i++)
                d[i + j * block] -= d[i + k * block] * d[k + j * block];
        }
}

/* A block below the diagonal. */
void bdiv(double *x, const double *d)
{
    int i, j, k;

    for (k = 0; k < block; k++)
        for (j = k + 1; j < block; j++)
            for (i = 0; i < block; i++)
                x[i + j * block] -= x[i + k * block] * d[k + j * block];
}

/* A block right of the diagonal. */
void bmodd(const double *d, double *x)
{
    int i, j, k;

    for (j = 0; j < block; j++)
        for (k = 0; k < block; k++) {
            x[k + j * block] /= d[k + k * block];
            for (i = k + 1; i < block; i++)
                x[i + j * block] -= d[i + k * block] * x[k + j * block];
        }
}

/* An inner block. */
void bmod(const double *left, const double *above, double *x)
{
    int i, j, k;

    for (k = 0; k < block; k++)
        for (j = 0; j < block; j++)
            for (i = 0; i < block; i++)
                x[i + j * block] -= left[i + k * block] * above[k + j * block];
}

/* MyNum < 0: alone, for all blocks. */
void lu(double **m, int MyNum)
{
    int I, J, K;

    for (K = 0; K < blocks; K++) {
        double *d = m[K + K * blocks];

        if (MyNum < 0 || BlockOwner(K, K) == MyNum)
            lu0(d);
        if (MyNum >= 0) {
            BARRIER(Global->start, P)
        }
        for (I = K + 1; I < blocks; I++) {
            if (MyNum < 0 || BlockOwner(I, K) == MyNum)
                bdiv(m[I + K * blocks], d);
            if (MyNum < 0 || BlockOwner(K, I) == MyNum)
                bmodd(d, m[K + I * blocks]);
        }
        if (MyNum >= 0) {
            BARRIER(Global->start, P)
        }
        for (I = K + 1; I < blocks; I++)
            for (J = K + 1; J < blocks; J++)
                if (MyNum < 0 || BlockOwner(I, J) == MyNum)
                    bmod(m[I + K * blocks], m[K + J * blocks], m[I + J * blocks]);
        if (MyNum >= 0) {
            BARRIER(Global->start, P)
        }
    }
}

void SlaveStart()
{
    int MyNum;

    LOCK(Global->idlock)
    MyNum = Global->id;
    Global->id++;
    UNLOCK(Global->idlock)
    BARRIER(Global->start, P);
    lu(a, MyNum);
    CLOCK(Global->done[MyNum])
}

int main(int argc, char *argv[])
{
    double **alone;
    int ch, i;
    long wrong = 0;

    while ((ch = getopt(argc, argv, "n:p:b:")) != -1) {
        switch (ch) {
        case 'n': n = atoi(optarg); break;
        case 'p': P = atoi(optarg); break;
        case 'b': block = atoi(optarg); break;
        }
    }
    MAIN_INITENV(, 150000000)
    for (rows = 1; P % (rows + 1) == 0 && (rows + 1) * (rows + 1) <= P; rows++)
        ;
    columns = P / rows;
    blocks = (n + block - 1) / block;
    n = blocks * block;
    a = (double **) G_MALLOC(blocks * blocks * sizeof(double *));
    alone = malloc(blocks * blocks * sizeof(double *));
    for (i = 0; i < blocks * blocks; i++) {
        a[i] = NewBlock(1);
        alone[i] = NewBlock(0);
    }
    Global = (struct GlobalMemory *) G_MALLOC(sizeof(struct GlobalMemory));
    Global->done = (double *) G_MALLOC(P * sizeof(double));
    BARINIT(Global->start);
    LOCKINIT(Global->idlock);
    Global->id = 0;
    for (i = 1; i < P; i++) {
        CREATE(SlaveStart)
    }
    InitA(a); /* the others have begun, and wait at the barrier */
    SlaveStart();
    WAIT_FOR_END(P - 1)

    InitA(alone);
    lu(alone, -1);
    for (i = 0; i < n * n; i++)
        wrong += a[i / (block * block)][i % (block * block)] != alone[i / (block * block)][i % (block * block)];
    for (i = 0; i < P; i++)
        wrong += Global->done[i] == 0.0;
    printf("lu: %d x %d in blocks of %d, %d processes, %s\n", n, n, block, P, wrong == 0 ? "right" : "WRONG");
    if (wrong != 0)
        exit(1);
    MAIN_END;
}

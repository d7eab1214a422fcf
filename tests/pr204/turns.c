/*
 * turns [SECONDS]: rank 0 writes a value into each of some pages, then every rank in turn adds 1 to each, three times around.
 * In the end each rank checks all values. One rank writes at a time.
 */
#include "phases.h"

enum { FIRST = 30, COUNT = 10, ROUNDS = 3, FLAGS = 10 };

static int start_value(long page)
{
    return 1000000 + 1000 * (int)page;
}

static void put(long page, int value)
{
    atomic_store(word(page, words_of_page() - 1), ~value);
    atomic_store(word(page, 0), value);
}

/* The value of a page, which stands in two places. */
static int value_of(long page)
{
    int value = atomic_load(word(page, 0)), copy = ~atomic_load(word(page, words_of_page() - 1));

    if (value != copy)
        wrong("the two values of page", page, value, copy);
    return value;
}

int main(int argc, char **argv)
{
    int turn, turns;
    long page, sum = 0;

    join(argc, argv);
    turns = ROUNDS * DSM_NODE_NUM;
    for (turn = DSM_NODE_ID; turn < turns; turn += DSM_NODE_NUM) {
        if (turn > 0)
            await_flag(FLAGS + (turn - 1) % DSM_NODE_NUM, turn);
        for (page = FIRST; page < FIRST + COUNT; page++)
            put(page, 1 + (turn == 0 ? start_value(page) : value_of(page)));
        raise_flag(FLAGS + DSM_NODE_ID, turn + 1);
    }
    await_flag(FLAGS + (turns - 1) % DSM_NODE_NUM, turns);
    for (page = FIRST; page < FIRST + COUNT; page++) {
        if (value_of(page) != start_value(page) + turns)
            wrong("value of page", page, value_of(page), start_value(page) + turns);
        sum += value_of(page);
    }
    return right(sum);
}

/*
 * bank [TRANSFERS [ACCOUNTS]]: every rank moves money between accounts, each of which has a lock and is on a page of its own;
 * whatever happens meanwhile, the total is conserved. Default 1000 transfers, 16 accounts.
 */
#include "workload.h"

enum { MAX_ACCOUNTS = 64, PAGE = 4096, OPENING = 1000 };

static struct account {
    dsm_mutex_t mutex;
    int64_t balance;
    char page[PAGE - sizeof(dsm_mutex_t) - sizeof(int64_t)];
} *accounts;

static long count;

static void transfer(uint64_t *random)
{
    long from = (long)(next_random(random) % (uint64_t)count);
    long to = (from + 1 + (long)(next_random(random) % (uint64_t)(count - 1))) % count;
    int64_t amount = (int64_t)(next_random(random) % 100);
    struct account *first = &accounts[from < to ? from : to], *second = &accounts[from < to ? to : from];

    EXPECT(0, dsm_mutex_lock(&first->mutex));
    EXPECT(0, dsm_mutex_lock(&second->mutex));
    accounts[from].balance -= amount;
    accounts[to].balance += amount;
    EXPECT(0, dsm_mutex_unlock(&second->mutex));
    EXPECT(0, dsm_mutex_unlock(&first->mutex));
}

int main(int argc, char **argv)
{
    long transfers = argument(argc, argv, 1, 1000), i;
    int64_t total = 0;
    uint64_t random;

    count = argument(argc, argv, 2, 16);
    MUST(count >= 2 && count <= MAX_ACCOUNTS);
    accounts = join(argc, argv);
    random = 0x9e3779b97f4a7c15u + (uint64_t)DSM_NODE_ID;
    for (i = DSM_NODE_ID; i < count; i += DSM_NODE_NUM)
        accounts[i].balance = OPENING;
    begin();
    for (i = 0; i < transfers; i++)
        transfer(&random);
    EXPECT(0, dsm_barrier());
    for (i = 0; i < count; i++)
        total += accounts[i].balance;
    SAME(total, OPENING * count);
    EXPECT(0, dsm_barrier());
    return right("bank");
}

/*
 * peer/seed8: two ranks; rank 1 connects to rank 0 and says nothing. A request is i32 source, i32 page (-1: finalize), the answer
 * 4096 bytes without a head. When requests cross, only the number of bytes tells a request from a page: see README.md.
 */
#define _GNU_SOURCE
#include "peer.h"

enum { REQUEST_BYTES = 8, BOTH_BYTES = REQUEST_BYTES + PAGE_BYTES };

static int meet(struct node *node)
{
    const struct record *record = &node->job.records[0];

    if (node->job.rank == 1) {
        node->peers[0].fd = connect_to(record->machine, record->port, node->end);
        return node->peers[0].fd < 0 ? -1 : 0;
    }
    if (wait_for(node->job.master, POLLIN, node->end) < 0)
        return -1;
    node->peers[1].fd = accept4(node->job.master, NULL, NULL, SOCK_CLOEXEC);
    return node->peers[1].fd < 0 ? -1 : 0;
}

static void ask(struct node *node, int page)
{
    unsigned char bytes[REQUEST_BYTES];

    put_i32(bytes, node->job.rank);
    put_i32(bytes + 4, page);
    say(node, 1 - node->job.rank, bytes, sizeof bytes);
}

static void give(struct node *node, int page, int to, const unsigned char *content)
{
    (void)page;
    say(node, to, content, PAGE_BYTES);
}

static void say_finalize(struct node *node)
{
    ask(node, FINALIZE);
}

/* 1 if the peer can have sent this as a request. `coming` is a page that counts as the peer's, or -2. */
static int is_request(int from, const unsigned char *bytes, int coming)
{
    int source = get_i32(bytes), page = get_i32(bytes + 4);

    return source == from && (page == FINALIZE || page == coming || (page >= 0 && page < PAGES && memory_has(page)));
}

static int is_zero(const unsigned char *bytes, size_t count)
{
    while (count > 0 && bytes[count - 1] == 0)
        count--;
    return count == 0;
}

/* With our request outstanding: 1 if what is there begins with the peer's request, 0 if with our page, -1: wait for more. */
static int begins_with_request(const struct node *node, const struct peer *peer, int from)
{
    int first = peer->in_count >= REQUEST_BYTES && is_request(from, peer->in, -2);

    if (peer->in_count == REQUEST_BYTES && first)
        return 1;
    if (peer->in_count < PAGE_BYTES)
        return -1;
    if (peer->in_count < BOTH_BYTES || !first)
        return 0;
    return !is_request(from, peer->in + PAGE_BYTES, node->asked) || is_zero(peer->in + REQUEST_BYTES, PAGE_BYTES);
}

static size_t hear(struct node *node, int from)
{
    struct peer *peer = &node->peers[from];
    int page;

    if (node->asked >= 0) {
        int is_first = begins_with_request(node, peer, from);

        if (is_first < 0)
            return 0;
        if (is_first == 0) {
            arrived(node, node->asked, peer->in);
            return PAGE_BYTES;
        }
    }
    if (peer->in_count < REQUEST_BYTES)
        return 0;
    if (!is_request(from, peer->in, -2))
        fatal("take a request of rank %d for page %d, which is not here, of rank %d", get_i32(peer->in),
              get_i32(peer->in + 4), from);
    page = get_i32(peer->in + 4);
    if (page == FINALIZE)
        peer->has_finalized = 1;
    else
        requested(node, page, from);
    return REQUEST_BYTES;
}

const struct profile seed8 = {
    .name = "seed8",
    .max_nodes = 2,
    .meet = meet,
    .ask = ask,
    .give = give,
    .say_finalize = say_finalize,
    .hear = hear,
};

/*
 * peer/bcast: the lower rank connects to the higher and says its rank. Messages begin with an i32 type; a page message goes to
 * all, with 4096 bytes for the new owner alone. What is left open is decided in README.md.
 */
#define _GNU_SOURCE
#include "peer.h"

enum { REQUEST = 0, PAGE = 1, NEGATIVE = 2, LEAVE = 3, NOTHING = -1, TYPE_BYTES = 4, BODY_BYTES = 12 };

/* Takes the connections of all lower ranks, in any order. */
static int accept_lower(struct node *node)
{
    int missing;

    for (missing = node->job.rank; missing > 0; missing--) {
        unsigned char bytes[4];
        int fd, rank;

        if (wait_for(node->job.master, POLLIN, node->end) < 0)
            return -1;
        fd = accept4(node->job.master, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            return -1;
        if (read_all(fd, bytes, sizeof bytes, node->end) != sizeof bytes) {
            errno = EPROTO;
            return -1;
        }
        rank = get_i32(bytes);
        if (rank < 0 || rank >= node->job.rank || node->peers[rank].fd >= 0) {
            errno = EPROTO;
            return -1;
        }
        node->peers[rank].fd = fd;
    }
    return 0;
}

static int meet(struct node *node)
{
    unsigned char bytes[4];
    int k;

    put_i32(bytes, node->job.rank);
    for (k = node->job.rank + 1; k < node->job.nodes; k++) {
        const struct record *record = &node->job.records[k];

        node->peers[k].fd = connect_to(record->machine, record->port, node->end);
        if (node->peers[k].fd < 0 || write_all(node->peers[k].fd, bytes, sizeof bytes, node->end) < 0)
            return -1;
    }
    return accept_lower(node);
}

static void head(unsigned char bytes[BODY_BYTES], int type, int rank, int page)
{
    put_i32(bytes, type);
    put_i32(bytes + 4, rank);
    put_i32(bytes + 8, page);
}

static void send_request(struct node *node, int to, int source, int page)
{
    unsigned char bytes[BODY_BYTES];

    head(bytes, REQUEST, source, page);
    say(node, to, bytes, sizeof bytes);
}

static void ask(struct node *node, int page)
{
    send_request(node, node->owner[page], node->job.rank, page);
}

/* The table may be stale for ever: somebody among all ranks has it. */
static void ask_again(struct node *node, int page)
{
    int k;

    for (k = 0; k < node->job.nodes; k++)
        if (k != node->job.rank)
            send_request(node, k, node->job.rank, page);
}

static void give(struct node *node, int page, int to, const unsigned char *content)
{
    unsigned char bytes[BODY_BYTES];
    int k;

    head(bytes, PAGE, to, page);
    for (k = 0; k < node->job.nodes; k++)
        if (k != node->job.rank)
            say(node, k, bytes, sizeof bytes);
    say(node, to, content, PAGE_BYTES);
}

static void say_finalize(struct node *node)
{
    unsigned char bytes[TYPE_BYTES];
    int k;

    put_i32(bytes, LEAVE);
    for (k = 0; k < node->job.nodes; k++)
        if (k != node->job.rank)
            say(node, k, bytes, sizeof bytes);
}

/* To the presumed owner, never to the source itself. */
static void forward(struct node *node, int page, int source)
{
    if (node->owner[page] != source)
        send_request(node, node->owner[page], source, page);
}

static size_t hear(struct node *node, int from)
{
    struct peer *peer = &node->peers[from];
    int type = peer->in_count < TYPE_BYTES ? NOTHING : get_i32(peer->in), rank, page;

    if (peer->in_count < TYPE_BYTES)
        return 0;
    if (type == LEAVE)
        peer->has_finalized = 1;
    if (type == LEAVE || type == NEGATIVE || type == NOTHING)
        return TYPE_BYTES;
    if (type != REQUEST && type != PAGE)
        fatal("take message type %d of rank %d", type, from);
    if (peer->in_count < BODY_BYTES)
        return 0;
    rank = get_i32(peer->in + 4);
    page = get_i32(peer->in + 8);
    if (rank < 0 || rank >= node->job.nodes || page < 0 || page >= PAGES)
        fatal("take what rank %d says of rank %d and page %d", from, rank, page);
    if (type == REQUEST) {
        if (rank == node->job.rank) /* gone in a circle: we wait already, or have it */
            return BODY_BYTES;
        if (memory_has(page))
            requested(node, page, rank);
        else
            forward(node, page, rank);
        return BODY_BYTES;
    }
    if (rank != node->job.rank) {
        if (!memory_has(page))
            node->owner[page] = rank;
        return BODY_BYTES;
    }
    if (peer->in_count < BODY_BYTES + PAGE_BYTES)
        return 0;
    if (memory_has(page))
        fatal("take page %d from rank %d: it is here", page, from);
    arrived(node, page, peer->in + BODY_BYTES);
    return BODY_BYTES + PAGE_BYTES;
}

const struct profile bcast = {
    .name = "bcast",
    .max_nodes = MAX_RANKS,
    .meet = meet,
    .ask = ask,
    .ask_again = ask_again,
    .give = give,
    .forward = forward,
    .say_finalize = say_finalize,
    .hear = hear,
};

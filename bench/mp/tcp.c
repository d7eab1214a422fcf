/*
 * tcp.c - mp.h over TCP: one connection between any two ranks, no thread, no copy.
 *
 * Ranks are started by `dsmexec --launch=pr204`, which leaves each a bound socket in MASTER_FD and in DSMEXEC_FD the list
 * of all ranks with the hosts and ports of theirs (docs/interoperability.md). Started by hand a rank is alone.
 */
#include "mp.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int mp_rank, mp_ranks = 1;
uint64_t mp_messages, mp_bytes;

enum {
    MAX_RANKS = 64,
    SPIN_NS = 50000, /* an answer is looked for so long before the rank sleeps, as ranks of dsm do */
    DEADLINE_MS = 20000,
    MACHINE_BYTES = 1024,
};

/* A rank as the launcher describes it. */
struct record {
    int32_t rank;
    char machine[MACHINE_BYTES];
    int32_t port, unused[2];
};

static int connections[MAX_RANKS];

static void fail(const char *what)
{
    fprintf(stderr, "rank %d: cannot %s: %s\n", mp_rank, what, strerror(errno));
    exit(1);
}

/* --- finding each other ------------------------------------------------------------------------------------ */

/* All of `count` bytes, or the end of the program. Blocks; the other side's end is an end too. */
static void read_all(int fd, void *bytes, size_t count, const char *what)
{
    size_t had = 0;

    while (had < count) {
        ssize_t n = read(fd, (char *)bytes + had, count - had);

        if (n == 0)
            errno = ECONNRESET;
        if (n == 0 || (n < 0 && errno != EINTR))
            fail(what);
        had += n > 0 ? (size_t)n : 0;
    }
}

/* The number in an environment variable, -1 if it is not set. */
static int descriptor(const char *name)
{
    const char *text = getenv(name);

    return text != NULL ? atoi(text) : -1;
}

static int connect_to(const struct record *peer)
{
    struct addrinfo want = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), timeout_ms = DEADLINE_MS;
    char port[16];

    snprintf(port, sizeof port, "%d", peer->port);
    if (getaddrinfo(peer->machine, port, &want, &found) != 0) {
        errno = EHOSTUNREACH;
        fail("find a peer");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) < 0)
        fail("connect to a peer");
    freeaddrinfo(found);
    return fd;
}

static int accept_one(int listener)
{
    struct pollfd wanted = {.fd = listener, .events = POLLIN};
    int ready;

    while ((ready = poll(&wanted, 1, DEADLINE_MS)) < 0 && errno == EINTR)
        ;
    if (ready == 0)
        errno = ETIMEDOUT;
    if (ready <= 0)
        fail("hear of a peer");
    return accept(listener, NULL, NULL);
}

/* A rank connects to those before it, says who it is, and waits for those after it. */
static void connect_all(const struct record *records, int listener)
{
    int peer, one = 1, left;

    for (peer = 0; peer < mp_rank; peer++) {
        int32_t self = mp_rank;

        connections[peer] = connect_to(&records[peer]);
        if (send(connections[peer], &self, sizeof self, MSG_NOSIGNAL) != sizeof self)
            fail("greet a peer");
    }
    for (left = mp_ranks - 1 - mp_rank; left > 0; left--) {
        int fd = accept_one(listener);
        int32_t who;

        if (fd < 0)
            fail("accept a peer");
        read_all(fd, &who, sizeof who, "hear who a peer is");
        if (who <= mp_rank || who >= mp_ranks || connections[who] != 0) {
            errno = EPROTO;
            fail("take a peer's rank");
        }
        connections[who] = fd;
    }
    for (peer = 0; peer < mp_ranks; peer++)
        if (peer != mp_rank)
            setsockopt(connections[peer], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void mp_init(int *argc, char ***argv)
{
    int launcher = descriptor("DSMEXEC_FD"), listener = descriptor("MASTER_FD");
    struct record records[MAX_RANKS];
    int32_t head[2]; /* how many ranks, and which is this one */

    (void)argc, (void)argv;
    if (launcher < 0 || listener < 0)
        return;
    if (listen(listener, MAX_RANKS) < 0)
        fail("listen");
    read_all(launcher, head, sizeof head, "hear of the job");
    mp_ranks = head[0];
    mp_rank = head[1];
    if (mp_ranks < 1 || mp_ranks > MAX_RANKS || mp_rank < 0 || mp_rank >= mp_ranks) {
        errno = EPROTO;
        fail("take the job");
    }
    read_all(launcher, records, (size_t)mp_ranks * sizeof *records, "hear of the ranks");
    connect_all(records, listener);
    close(listener);
    mp_barrier();
}

void mp_finalize(void)
{
    int peer;

    mp_barrier();
    for (peer = 0; peer < mp_ranks; peer++)
        if (peer != mp_rank)
            close(connections[peer]);
}

/* --- one exchange ------------------------------------------------------------------------------------------ */

/* What is left to do in one direction. */
struct transfer {
    int fd;
    char *bytes;
    size_t left;
};

/* Moves what can be moved without waiting; 1 if that was something. */
static int advance(struct transfer *t, int is_out)
{
    ssize_t n;

    if (t->left == 0)
        return 0;
    if (is_out)
        n = send(t->fd, t->bytes, t->left, MSG_DONTWAIT | MSG_NOSIGNAL);
    else
        n = recv(t->fd, t->bytes, t->left, MSG_DONTWAIT);
    if (n == 0)
        errno = ECONNRESET;
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        fail(is_out ? "send" : "receive");
    if (n < 0)
        return 0;
    t->bytes += n;
    t->left -= (size_t)n;
    return 1;
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Until a peer acts or is gone: a rank may compute for as long as it likes before it sends. */
static void sleep_until_ready(const struct transfer *out, const struct transfer *in)
{
    struct pollfd wanted[2] = {
        {.fd = out->left > 0 ? out->fd : -1, .events = POLLOUT},
        {.fd = in->left > 0 ? in->fd : -1, .events = POLLIN},
    };

    if (poll(wanted, 2, -1) < 0 && errno != EINTR)
        fail("wait for a peer");
}

void mp_exchange(int to, const void *out, size_t out_bytes, int from, void *in, size_t in_bytes)
{
    struct transfer sending = {-1, (char *)out, 0}, receiving = {-1, in, 0};
    int64_t idle_since = 0;

    if (to != MP_NOBODY) {
        sending = (struct transfer){connections[to], (char *)out, out_bytes};
        mp_messages++;
        mp_bytes += out_bytes;
    }
    if (from != MP_NOBODY)
        receiving = (struct transfer){connections[from], in, in_bytes};
    while (sending.left > 0 || receiving.left > 0) {
        if (advance(&sending, 1) + advance(&receiving, 0) > 0) {
            idle_since = 0;
        } else if (idle_since == 0) {
            idle_since = now_ns();
        } else if (now_ns() - idle_since > SPIN_NS) {
            sleep_until_ready(&sending, &receiving);
            idle_since = 0;
        }
    }
}

/* --- all ranks --------------------------------------------------------------------------------------------- */

/* Dissemination: in round k with the ranks 2^k further and 2^k before. */
void mp_barrier(void)
{
    char out = 0, in;
    int apart;

    for (apart = 1; apart < mp_ranks; apart *= 2)
        mp_exchange((mp_rank + apart) % mp_ranks, &out, 1, (mp_rank - apart + mp_ranks) % mp_ranks, &in, 1);
}

/* Down a binomial tree: a rank hears from the one without its lowest bit, and tells those with one more below it. */
void mp_broadcast(int root, void *bytes, size_t count)
{
    int place = (mp_rank - root + mp_ranks) % mp_ranks, bit;

    for (bit = 1; bit < mp_ranks && (place & bit) == 0; bit *= 2)
        ;
    if (place != 0)
        mp_exchange(MP_NOBODY, NULL, 0, (place - bit + root) % mp_ranks, bytes, count);
    for (bit /= 2; bit > 0; bit /= 2)
        if (place + bit < mp_ranks)
            mp_exchange((place + bit + root) % mp_ranks, bytes, count, MP_NOBODY, NULL, 0);
}

/* A ring: each passes on what it got last. */
void mp_gather_all(void *whole, const size_t *at)
{
    int next = (mp_rank + 1) % mp_ranks, before = (mp_rank - 1 + mp_ranks) % mp_ranks, step;
    char *bytes = whole;

    for (step = 0; step < mp_ranks - 1; step++) {
        int out = (mp_rank - step + mp_ranks) % mp_ranks, in = (before - step + mp_ranks) % mp_ranks;

        mp_exchange(next, bytes + at[out], at[out + 1] - at[out], before, bytes + at[in], at[in + 1] - at[in]);
    }
}

void mp_all_to_all(const void *out, const struct mp_span *outs, void *in, const struct mp_span *ins)
{
    const char *from_bytes = out;
    char *to_bytes = in;
    int step;

    memcpy(to_bytes + ins[mp_rank].at, from_bytes + outs[mp_rank].at, outs[mp_rank].count);
    for (step = 1; step < mp_ranks; step++) {
        int to = (mp_rank + step) % mp_ranks, from = (mp_rank - step + mp_ranks) % mp_ranks;

        mp_exchange(to, from_bytes + outs[to].at, outs[to].count, from, to_bytes + ins[from].at, ins[from].count);
    }
}

uint64_t mp_sum(uint64_t value)
{
    uint64_t values[MAX_RANKS], sum = 0;
    size_t at[MAX_RANKS + 1];
    int rank;

    values[mp_rank] = value;
    for (rank = 0; rank <= mp_ranks; rank++)
        at[rank] = (size_t)rank * sizeof value;
    mp_gather_all(values, at);
    for (rank = 0; rank < mp_ranks; rank++)
        sum += values[rank];
    return sum;
}

/*
 * libpeer: a single-owner library of the PR204 family for tests. A page is on one rank, for reading and writing; who touches it
 * elsewhere gets it. One thread talks with all other ranks; nothing it does blocks.
 *
 * Like every member it is right for programs without races; unlike some it also keeps every store when pages are contended.
 * System calls on missing pages fail with EFAULT.
 *
 * Environment: PR204_PEER=bcast|seed8, PR204_DEADLINE=seconds.
 */
#define _GNU_SOURCE
#include "peer.h"
#include "dsm.h"
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>

enum {
    IN_BYTES = 65536,
    MAX_OUT_BYTES = 4 << 20,
    KEEP_MS = 1,         /* a page stays so long after its fault is resolved */
    ASK_AGAIN_MS = 250,
    LINGER_MS = 2000,
    LEAVE_ORDER = PAGES, /* to the talking thread: the program is in dsm_finalize */
};

int DSM_NODE_NUM = 1, DSM_NODE_ID = 0;

static struct node self;
static pthread_t talker;

void fatal(const char *format, ...)
{
    char line[200];
    va_list values;

    va_start(values, format);
    vsnprintf(line, sizeof line, format, values);
    va_end(values);
    fprintf(stderr, "libpeer: rank %d of %d (%s): cannot %s\n", DSM_NODE_ID, DSM_NODE_NUM, self.profile->name, line);
    _exit(1);
}

/* --- pages ------------------------------------------------------------------------------------------------ */

void requested(struct node *node, int page, int source)
{
    node->wanted[page] |= 1u << source;
}

void arrived(struct node *node, int page, const unsigned char *content)
{
    memory_install(page, content);
    node->owner[page] = node->job.rank;
    if (node->asked != page)
        return;
    node->asked = -1;
    node->is_pinned[page] = 1;
    memory_resume();
}

static void on_fault(struct node *node, int page)
{
    if (memory_has(page)) {
        node->is_pinned[page] = 1;
        memory_resume();
        return;
    }
    node->asked = page;
    node->ask_again = now_ms() + ASK_AGAIN_MS;
    node->profile->ask(node, page);
}

static void take_faults(struct node *node)
{
    int what;

    if (read(memory_faults(), &what, sizeof what) != sizeof what)
        fatal("read faults: %s", strerror(errno));
    if (what == LEAVE_ORDER) {
        node->is_finalizing = 1;
        node->end = now_ms() + node->limit_ms;
        node->profile->say_finalize(node);
    } else if (what >= 0) {
        on_fault(node, what);
    } else {
        node->is_pinned[~what] = 0;
        node->keep_until[~what] = now_ms() + KEEP_MS;
    }
}

/* Gives a page to the next in rank order who waits for it; the others are sent after it. */
static void give(struct node *node, int page)
{
    int nodes = node->job.nodes, to = (node->job.rank + 1) % nodes, k;
    unsigned left;

    while (!(node->wanted[page] >> to & 1))
        to = (to + 1) % nodes;
    left = node->wanted[page] & ~(1u << to);
    node->wanted[page] = 0;
    if (node->peers[to].fd < 0) /* it has left; it needs nothing */
        return;
    node->owner[page] = to;
    node->profile->give(node, page, to, memory_take_away(page));
    for (k = 0; k < nodes; k++)
        if (left >> k & 1)
            node->profile->forward(node, page, k);
}

/* Gives what may go; lowers *wake to when the next page may. */
static void give_wanted(struct node *node, long long now, long long *wake)
{
    int page;

    for (page = 0; page < PAGES; page++) {
        if (node->wanted[page] == 0 || node->is_pinned[page])
            continue;
        if (node->keep_until[page] <= now)
            give(node, page);
        else if (node->keep_until[page] < *wake)
            *wake = node->keep_until[page];
    }
}

/* --- connections ------------------------------------------------------------------------------------------ */

void say(struct node *node, int to, const void *bytes, size_t count)
{
    struct peer *peer = &node->peers[to];
    unsigned char *more;

    if (peer->fd < 0)
        return;
    if (peer->out_count + count > MAX_OUT_BYTES)
        fatal("speak to rank %d: %d bytes wait already", to, MAX_OUT_BYTES);
    more = realloc(peer->out, peer->out_count + count);
    if (more == NULL)
        fatal("speak to rank %d: no memory", to);
    memcpy(more + peer->out_count, bytes, count);
    peer->out = more;
    peer->out_count += count;
}

static void lose(struct node *node, int rank)
{
    if (!node->peers[rank].has_finalized)
        fatal("do without rank %d, which left before its finalize", rank);
    close(node->peers[rank].fd);
    node->peers[rank].fd = -1;
}

static void send_out(struct node *node, int to)
{
    struct peer *peer = &node->peers[to];
    ssize_t n = send(peer->fd, peer->out, peer->out_count, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) { /* whether it may have closed, what it said last tells: see receive */
        peer->out_count = 0;
        return;
    }
    peer->out_count -= (size_t)n;
    memmove(peer->out, peer->out + n, peer->out_count);
}

static void receive(struct node *node, int from)
{
    struct peer *peer = &node->peers[from];
    ssize_t n = recv(peer->fd, peer->in + peer->in_count, IN_BYTES - peer->in_count, MSG_DONTWAIT);
    size_t taken;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        lose(node, from);
        return;
    }
    peer->in_count += (size_t)n;
    while ((taken = node->profile->hear(node, from)) > 0) {
        peer->in_count -= taken;
        memmove(peer->in, peer->in + taken, peer->in_count);
    }
}

/* One wait, until something happens or `wake`. */
static void wait_once(struct node *node, long long wake)
{
    struct pollfd wanted[1 + MAX_RANKS];
    long long left = wake - now_ms();
    int k;

    wanted[0] = (struct pollfd){.fd = memory_faults(), .events = POLLIN};
    for (k = 0; k < MAX_RANKS; k++)
        wanted[1 + k] = (struct pollfd){.fd = node->peers[k].fd,
                                        .events = POLLIN | (node->peers[k].out_count > 0 ? POLLOUT : 0)};
    if (poll(wanted, 1 + MAX_RANKS, left > 0 ? (int)left : 0) <= 0)
        return;
    if (wanted[0].revents != 0)
        take_faults(node);
    for (k = 0; k < MAX_RANKS; k++) {
        if (wanted[1 + k].revents & (POLLIN | POLLHUP | POLLERR))
            receive(node, k);
        if (wanted[1 + k].revents & POLLOUT && node->peers[k].fd >= 0)
            send_out(node, k);
    }
}

/* --- the talking thread ----------------------------------------------------------------------------------- */

/* The first rank that has not finalized, or -1. */
static int missing_rank(const struct node *node)
{
    int k;

    for (k = 0; k < node->job.nodes; k++)
        if (k != node->job.rank && !node->peers[k].has_finalized)
            return k;
    return -1;
}

/* Says everything that is left to say, then waits a while for the others to close. */
static void leave(struct node *node)
{
    long long end = now_ms() + LINGER_MS;
    int k, open;

    do {
        for (k = 0, open = 0; k < MAX_RANKS; k++) {
            struct peer *peer = &node->peers[k];

            if (peer->fd >= 0 && peer->out_count == 0)
                shutdown(peer->fd, SHUT_WR);
            open += peer->fd >= 0;
        }
        if (open > 0)
            wait_once(node, end);
    } while (open > 0 && now_ms() < end);
    for (k = 0; k < MAX_RANKS; k++)
        if (node->peers[k].fd >= 0)
            close(node->peers[k].fd);
}

static void *talk(void *argument)
{
    struct node *node = argument;

    while (!node->is_finalizing || missing_rank(node) >= 0) {
        long long now = now_ms(), wake = node->is_finalizing ? node->end : now + 1000;

        give_wanted(node, now, &wake);
        if (node->is_finalizing && now >= node->end)
            fatal("leave: rank %d has not finalized", missing_rank(node));
        if (node->asked >= 0 && node->profile->ask_again != NULL && now >= node->ask_again) {
            node->ask_again = now + ASK_AGAIN_MS;
            node->profile->ask_again(node, node->asked);
        }
        if (node->asked >= 0 && node->profile->ask_again != NULL && node->ask_again < wake)
            wake = node->ask_again;
        wait_once(node, wake);
    }
    leave(node);
    return NULL;
}

/* --- joining and leaving ---------------------------------------------------------------------------------- */

static char *refuse(const char *what)
{
    fprintf(stderr, "libpeer: rank %d of %d: cannot %s: %s\n", DSM_NODE_ID, DSM_NODE_NUM, what, strerror(errno));
    return NULL;
}

/* The profile and the deadline; 0, or -1 after a line. */
static int read_environment(struct node *node)
{
    const char *name = getenv("PR204_PEER"), *seconds = getenv("PR204_DEADLINE");
    long limit = DEADLINE_MS / 1000;

    node->profile = name == NULL || strcmp(name, "bcast") == 0 ? &bcast : strcmp(name, "seed8") == 0 ? &seed8 : NULL;
    if (node->profile == NULL) {
        fprintf(stderr, "libpeer: cannot speak PR204_PEER=%s: bcast or seed8\n", name);
        return -1;
    }
    if (seconds != NULL && !parse_number(seconds, 1, 3600, &limit)) {
        fprintf(stderr, "libpeer: cannot take PR204_DEADLINE=%s: not a number of seconds\n", seconds);
        return -1;
    }
    node->limit_ms = limit * 1000;
    return 0;
}

static int prepare_peers(struct node *node)
{
    int k;

    for (k = 0; k < MAX_RANKS; k++) {
        node->peers[k] = (struct peer){.fd = -1, .in = malloc(IN_BYTES)};
        if (node->peers[k].in == NULL)
            return -1;
    }
    for (k = 0; k < PAGES; k++)
        node->owner[k] = k % node->job.nodes;
    node->asked = -1;
    return 0;
}

static int start_talking(struct node *node)
{
    sigset_t all, kept;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &kept);
    error = pthread_create(&talker, NULL, talk, node);
    pthread_sigmask(SIG_SETMASK, &kept, NULL);
    errno = error;
    return error == 0 ? 0 : -1;
}

char *dsm_init(int argc, char **argv)
{
    struct node *node = &self;
    int k, one = 1;

    (void)argc;
    (void)argv;
    if (node->profile != NULL) {
        errno = EALREADY;
        return NULL;
    }
    if (read_environment(node) < 0)
        return NULL;
    node->end = now_ms() + node->limit_ms;
    if (find_job(&node->job, node->end) < 0)
        return NULL;
    DSM_NODE_NUM = node->job.nodes;
    DSM_NODE_ID = node->job.rank;
    if (node->job.nodes > node->profile->max_nodes) {
        fprintf(stderr, "libpeer: cannot join %d ranks: %s has at most %d\n", node->job.nodes, node->profile->name,
                node->profile->max_nodes);
        return NULL;
    }
    signal(SIGPIPE, SIG_IGN);
    if (memory_open(node->job.nodes, node->job.rank, node->limit_ms) < 0)
        return refuse("map the area");
    if (prepare_peers(node) < 0)
        return refuse("have memory");
    if (node->job.nodes > 1 && node->profile->meet(node) < 0)
        return refuse("meet the other ranks");
    for (k = 0; k < MAX_RANKS; k++)
        if (node->peers[k].fd >= 0)
            setsockopt(node->peers[k].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (start_talking(node) < 0)
        return refuse("start a thread");
    return (char *)(uintptr_t)AREA;
}

void dsm_finalize(void)
{
    int k;

    if (self.job.nodes == 0)
        return;
    memory_tell(LEAVE_ORDER);
    pthread_join(talker, NULL);
    memory_close();
    if (self.job.master >= 0)
        close(self.job.master);
    for (k = 0; k < MAX_RANKS; k++) {
        free(self.peers[k].in);
        free(self.peers[k].out);
    }
    self.job.nodes = 0;
}

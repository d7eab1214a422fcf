/*
 * pick RANKS PROGRAM OTHER [ARG...]: becomes PROGRAM on the ranks of the list (such as 0,2), OTHER on the others.
 *
 * So one command line makes a job of mixed ranks under any launcher. The rank is DSMEXEC_RANKID, or stands in the head of the
 * launch block, which is looked at without being taken (descriptor DSMEXEC_FD, or 3). PR204_DEADLINE seconds (20).
 */
#include "pr204.h"

static void fail(const char *what)
{
    fprintf(stderr, "pick: cannot %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The number in a variable, or `otherwise` if there is none. */
static long variable(const char *name, long otherwise)
{
    const char *text = getenv(name);
    long number = otherwise;

    if (text != NULL && !parse_number(text, 0, INT32_MAX, &number)) {
        fprintf(stderr, "pick: %s=%s is not a number\n", name, text);
        exit(1);
    }
    return number;
}

/* The rank that the head of the block has. Looking takes nothing, so it cannot wait for the bytes that are missing: it looks again. */
static long peeked_rank(int fd)
{
    long long end = now_ms() + 1000 * variable("PR204_DEADLINE", DEADLINE_MS / 1000);
    unsigned char head[HEAD_BYTES];

    for (;;) {
        ssize_t count;

        if (wait_for(fd, POLLIN, end) < 0)
            fail("await the launch block");
        count = recv(fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
        if (count == HEAD_BYTES)
            return get_i32(head + 4);
        if (count == 0 || now_ms() >= end)
            errno = EPROTO;
        if (count == 0 || now_ms() >= end || (count < 0 && errno != EAGAIN && errno != EINTR))
            fail("read the launch block");
        poll(NULL, 0, RETRY_MS);
    }
}

static int is_listed(const char *list, long rank)
{
    char *end;

    for (;; list = end + 1) {
        if (strtol(list, &end, 10) == rank && end != list)
            return 1;
        if (*end != ',')
            return 0;
    }
}

int main(int argc, char **argv)
{
    long rank;

    if (argc < 4) {
        fprintf(stderr, "usage: pick RANKS PROGRAM OTHER [ARG...]\n");
        return 2;
    }
    rank = variable("DSMEXEC_RANKID", -1);
    if (rank < 0)
        rank = peeked_rank((int)variable("DSMEXEC_FD", 3));
    argv[3] = argv[is_listed(argv[1], rank) ? 2 : 3];
    execv(argv[3], argv + 3);
    fprintf(stderr, "pick: cannot execute %s: %s\n", argv[3], strerror(errno));
    return 1;
}

/*
 * dsmwrap, as three members of the family have it; which one is decided when it is compiled (FORM is "ref", "seed" or "rank").
 *
 *     ref:  dsmwrap HOST PORT TOKEN1 TOKEN2 PROGRAM [ARG...]
 *     seed: dsmwrap IPv4 PORT PROGRAM [ARG...]
 *     rank: dsmwrap HOST PORT RANK PROGRAM [ARG...]
 *
 * It binds a socket for the program, connects to the launcher, announces itself, and becomes the program, which finds
 * the launch block on DSMEXEC_FD and the socket on MASTER_FD. In ref and seed the launcher's stream *is* the block: the
 * program gets the connection with nothing read from it. In rank the program's rank is not in the stream: the wrapper reads all and
 * serves the whole block again from a socket pair, which ends after it.
 *
 * Environment: PR204_LISTEN_LATER=1 leaves the socket bound but not listening; PR204_EAGER=1 makes seed read N and rank
 * before it announces itself, and serve the block again as rank does; PR204_DEADLINE seconds (20).
 */
#define _GNU_SOURCE
#include "pr204.h"
#include <signal.h>

static void fail(const char *what)
{
    fprintf(stderr, "dsmwrap (%s): cannot %s: %s\n", FORM, what, strerror(errno));
    exit(1);
}

static int is_form(const char *form)
{
    return strcmp(FORM, form) == 0;
}

static int is_set(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && strcmp(value, "1") == 0;
}

static void read_or_fail(int fd, void *bytes, size_t count, long long end)
{
    ssize_t had = read_all(fd, bytes, count, end);

    if (had >= 0 && (size_t)had < count)
        errno = ECONNRESET;
    if (had < 0 || (size_t)had < count)
        fail("read the launcher's stream");
}

/* Says who we are. `numbers` are TOKEN1 and TOKEN2, or the rank. */
static void announce(int fd, int port, const long *numbers, long long end)
{
    struct record self = {.rank = (int)numbers[0], .port = port, .machine = "127.0.0.1"};
    unsigned char bytes[RECORD_BYTES + 16] = {0};
    size_t length = strlen(self.machine) + 1, count;

    if (is_form("ref")) {
        put_i32(bytes, (int32_t)length);
        memcpy(bytes + 4, self.machine, length);
        count = 4 + length;
        put_i32(bytes + count, (int32_t)getpid());
        put_i32(bytes + count + 4, port);
        put_i32(bytes + count + 8, (int32_t)numbers[0]);
        put_i32(bytes + count + 12, (int32_t)numbers[1]);
        count += 16;
    } else if (is_form("seed")) {
        memcpy(bytes, self.machine, length);
        put_i32(bytes + MACHINE_BYTES, (int32_t)getpid());
        put_i32(bytes + MACHINE_BYTES + 4, port);
        count = MACHINE_BYTES + 8;
    } else {
        put_record(bytes, &self);
        count = RECORD_BYTES;
    }
    if (write_all(fd, bytes, count, end) < 0)
        fail("announce myself");
}

/* Reads the records that follow `head` and closes the connection; gives a socket that serves the whole block. */
static int serve_again(int fd, const unsigned char *head, long long end)
{
    int32_t nodes = get_i32(head);
    size_t count = HEAD_BYTES + (size_t)nodes * RECORD_BYTES;
    unsigned char *block;
    int pair[2];

    errno = EPROTO;
    if (nodes < 1 || nodes > MAX_NODES)
        fail("take the launcher's number of processes");
    block = malloc(count);
    if (block == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        fail("serve the block again");
    memcpy(block, head, HEAD_BYTES);
    read_or_fail(fd, block + HEAD_BYTES, count - HEAD_BYTES, end);
    if (write_all(pair[1], block, count, end) < 0)
        fail("serve the block again");
    free(block);
    close(pair[1]);
    close(fd);
    return pair[0];
}

/* Puts the number of a descriptor that the program inherits into the environment. */
static void hand_over(const char *name, int fd)
{
    char number[16];

    snprintf(number, sizeof number, "%d", fd);
    if (fcntl(fd, F_SETFD, 0) < 0 || setenv(name, number, 1) < 0)
        fail("hand a descriptor over");
}

int main(int argc, char **argv)
{
    const int count = is_form("ref") ? 2 : is_form("rank") ? 1 : 0;
    const char *seconds = getenv("PR204_DEADLINE");
    long port, limit = DEADLINE_MS / 1000, numbers[2] = {0, 0};
    unsigned char head[HEAD_BYTES];
    long long end;
    int i, master, launcher;

    if (argc < 4 + count || !parse_number(argv[2], 1, 65535, &port)) {
        fprintf(stderr, "usage: dsmwrap HOST PORT %sPROGRAM [ARG...]\n",
                count == 2 ? "TOKEN1 TOKEN2 " : count == 1 ? "RANK " : "");
        return 2;
    }
    for (i = 0; i < count; i++)
        if (!parse_number(argv[3 + i], INT32_MIN, INT32_MAX, &numbers[i])) {
            fprintf(stderr, "dsmwrap (%s): '%s' is not a number\n", FORM, argv[3 + i]);
            return 2;
        }
    if (seconds != NULL && !parse_number(seconds, 1, 3600, &limit)) {
        fprintf(stderr, "dsmwrap (%s): PR204_DEADLINE=%s is not a number of seconds\n", FORM, seconds);
        return 2;
    }
    end = now_ms() + limit * 1000;

    master = bound_socket();
    if (master < 0 || (!is_set("PR204_LISTEN_LATER") && listen(master, MAX_NODES) < 0))
        fail("make a socket for the program");
    launcher = connect_to(argv[1], (int)port, end);
    if (launcher < 0)
        fail("connect to the launcher");
    if (is_form("rank")) {
        read_or_fail(launcher, head, 4, end);
        put_i32(head + 4, (int32_t)numbers[0]);
    } else if (is_form("seed") && is_set("PR204_EAGER")) {
        read_or_fail(launcher, head, HEAD_BYTES, end);
    }
    announce(launcher, port_of(master), numbers, end);
    if (is_form("rank") || (is_form("seed") && is_set("PR204_EAGER")))
        launcher = serve_again(launcher, head, end);

    hand_over("DSMEXEC_FD", launcher);
    hand_over("MASTER_FD", master);
    execvp(argv[3 + count], argv + 3 + count);
    fail("execute the program");
}

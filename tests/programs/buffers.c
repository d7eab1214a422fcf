/*
 * buffers [ROUNDS]: two ranks. Rank 1 gives shared memory that is on rank 0, and that rank 0 takes away all the time, to the
 * calls of libc that people use, and compares with what they do with private memory. Default 20 rounds.
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum { PAGES = 3, ODD = 40, CALLS = 22 };

static char *area, *buffer, *expected, *got;
static size_t bytes; /* of the buffer, from within the first page to within the last */
static atomic_int over;
static char name[64];

/* Takes the first and the last page away, without changing a byte of the buffer. */
static void *steal(void *unused)
{
    _Atomic uint64_t *first = (_Atomic uint64_t *)(void *)area;
    _Atomic uint64_t *last = (_Atomic uint64_t *)(void *)(area + PAGES * dsm_page_size()) - 1;

    (void)unused;
    while (!atomic_load(&over)) {
        atomic_fetch_add(first, 1);
        atomic_fetch_add(last, 1);
    }
    return NULL;
}

static void fill(char *to, int salt)
{
    size_t i;

    for (i = 0; i < bytes; i++)
        to[i] = (char)(i * 31 + i / 4096 + (size_t)salt);
}

static void is_all(ssize_t done)
{
    MUST(done >= 0);
    SAME(done, bytes);
}

/* Everything that was sent comes out of this end. */
static void expect_from(int fd)
{
    size_t done = 0;

    while (done < bytes) {
        ssize_t more = read(fd, got + done, bytes - done);

        MUST(more > 0);
        done += (size_t)more;
    }
    MUST(memcmp(got, expected, bytes) == 0);
}

static void expect_in(int fd)
{
    is_all(pread(fd, got, bytes, 0));
    MUST(memcmp(got, expected, bytes) == 0);
}

static void put_into(int fd)
{
    is_all(pwrite(fd, expected, bytes, 0));
    MUST(lseek(fd, 0, SEEK_SET) == 0);
}

static struct iovec *two_parts(char *from)
{
    static struct iovec parts[2];

    parts[0] = (struct iovec){from, bytes / 3};
    parts[1] = (struct iovec){from + bytes / 3, bytes - bytes / 3};
    return parts;
}

/* Rank 1 takes bytes out of the buffer, which holds what is expected. */
static void out(int call, int file, int *ends)
{
    struct msghdr message = {.msg_iov = two_parts(buffer), .msg_iovlen = 2};
    FILE *stream;

    MUST(ftruncate(file, 0) == 0 && lseek(file, 0, SEEK_SET) == 0);
    switch (call) {
    case 0: is_all(write(file, buffer, bytes)); expect_in(file); break;
    case 1: is_all(pwrite(file, buffer, bytes, 0)); expect_in(file); break;
    case 2: is_all(writev(file, two_parts(buffer), 2)); expect_in(file); break;
    case 3: is_all(send(ends[0], buffer, bytes, 0)); expect_from(ends[1]); break;
    case 4: is_all(sendmsg(ends[0], &message, 0)); expect_from(ends[1]); break;
    case 5:
        stream = fdopen(dup(file), "w");
        MUST(stream != NULL);
        SAME(fwrite(buffer, 1, bytes, stream), bytes);
        MUST(fclose(stream) == 0);
        expect_in(file);
        break;
    }
}

/* Rank 1 has bytes put into the buffer. */
static void in(int call, int file, int *ends)
{
    struct msghdr message = {.msg_iov = two_parts(buffer), .msg_iovlen = 2};
    FILE *stream;

    put_into(file);
    if (call == 9 || call == 10)
        is_all(send(ends[0], expected, bytes, 0));
    switch (call) {
    case 6: is_all(read(file, buffer, bytes)); break;
    case 7: is_all(pread(file, buffer, bytes, 0)); break;
    case 8: is_all(readv(file, two_parts(buffer), 2)); break;
    case 9: is_all(recv(ends[1], buffer, bytes, MSG_WAITALL)); break;
    case 10: is_all(recvmsg(ends[1], &message, MSG_WAITALL)); break;
    case 11:
        stream = fdopen(dup(file), "r");
        MUST(stream != NULL);
        SAME(fread(buffer, 1, bytes, stream), bytes);
        MUST(fclose(stream) == 0);
        break;
    }
    MUST(memcmp(buffer, expected, bytes) == 0);
}

/* To oneself, with addresses and bytes where two pages meet. */
static void send_datagram(char *seam)
{
    struct sockaddr_in *to = (struct sockaddr_in *)(void *)(seam - 8), *from = (struct sockaddr_in *)(void *)(buffer + 8);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t *length = (socklen_t *)(void *)(seam + dsm_page_size() - 4), own_length = sizeof own;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    MUST(fd >= 0 && bind(fd, (struct sockaddr *)&own, sizeof own) == 0);
    MUST(getsockname(fd, (struct sockaddr *)&own, &own_length) == 0);
    *to = own;
    memset(seam + 1000, 5, 4000);
    SAME(sendto(fd, seam + 1000, 4000, 0, (struct sockaddr *)to, sizeof *to), 4000);
    *length = sizeof *from;
    SAME(recvfrom(fd, buffer + 100, 4000, 0, (struct sockaddr *)from, length), 4000);
    SAME(*length, sizeof *from);
    SAME(from->sin_port, own.sin_port);
    MUST(buffer[100] == 5 && buffer[4099] == 5 && close(fd) == 0);
}

/* What is not bytes: structures and names. Each is put where two pages meet. */
static void others(int call, int file)
{
    char *seam = area + dsm_page_size();
    struct stat *status = (struct stat *)(void *)(seam - 48), known;
    struct pollfd *polled = (struct pollfd *)(void *)(seam - sizeof *polled);
    int *ends = (int *)(void *)(seam - sizeof(int)), fd;
    size_t i, zeros = 0;

    switch (call) {
    case 12: MUST(fstat(file, &known) == 0 && fstat(file, status) == 0); SAME(status->st_ino, known.st_ino); break;
    case 13:
        strcpy(seam - 4, name);
        MUST(stat(name, &known) == 0 && stat(seam - 4, status + 1) == 0);
        SAME(status[1].st_ino, known.st_ino);
        break;
    case 14:
        strcpy(seam - 4, name);
        fd = open(seam - 4, O_RDONLY);
        MUST(fd >= 0 && close(fd) == 0);
        break;
    case 15:
        MUST(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
        polled[0] = (struct pollfd){.fd = ends[0], .events = POLLIN};
        fd = ends[1];
        MUST(poll(polled, 1, 10000) == 1 && polled[0].revents == POLLIN);
        MUST(close(polled[0].fd) == 0 && close(fd) == 0);
        break;
    case 16:
        memset(buffer, 0, 256);
        SAME(getrandom(buffer, 256, 0), 256);
        for (i = 0; i < 256; i++)
            zeros += buffer[i] == 0;
        MUST(zeros < 16);
        break;
    case 17: strcpy(seam - 4, "lines\n"); MUST(fputs(seam - 4, stdout) >= 0); break;
    case 18: strcpy(seam - 4, "lines"); MUST(puts(seam - 4) >= 0); break;
    case 19: MUST(read(-1, buffer, bytes) == -1 && errno == EBADF); break;
    case 20: SAME(read(file, buffer, 0), 0); break;
    case 21: send_datagram(seam); break;
    }
}

static void all_calls(long round, int file, int *ends)
{
    int call;

    for (call = 0; call < CALLS; call++) {
        int salt = (int)round * CALLS + call;

        fill(expected, salt);
        if (DSM_NODE_ID == 0)
            fill(buffer, call < 6 ? salt : -1);
        EXPECT(0, dsm_barrier());
        if (DSM_NODE_ID == 1) {
            if (call < 6)
                out(call, file, ends);
            else if (call < 12)
                in(call, file, ends);
            else
                others(call, file);
        }
        EXPECT(0, dsm_barrier());
        if (call >= 6 && call < 12)
            MUST(memcmp(buffer, expected, bytes) == 0);
        EXPECT(0, dsm_barrier());
    }
}

int main(int argc, char **argv)
{
    long rounds = argument(argc, argv, 1, 20), round;
    pthread_t thief;
    int ends[2], file;

    area = join(argc, argv);
    MUST(DSM_NODE_NUM == 2);
    bytes = PAGES * dsm_page_size() - 2 * ODD;
    buffer = area + ODD;
    expected = malloc(bytes);
    got = malloc(bytes);
    snprintf(name, sizeof name, "buffers.%d", DSM_NODE_ID);
    file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    MUST(expected != NULL && got != NULL && file >= 0);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    if (DSM_NODE_ID == 0)
        MUST(pthread_create(&thief, NULL, steal, NULL) == 0);
    for (round = 0; round < rounds; round++)
        all_calls(round, file, ends);
    atomic_store(&over, 1);
    if (DSM_NODE_ID == 0)
        MUST(pthread_join(thief, NULL) == 0);
    MUST(unlink(name) == 0);
    return right("buffers");
}

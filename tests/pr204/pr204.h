/*
 * pr204.h - what the C peers share: the numbers of the family, its record, and waits that end.
 *
 * Written from the description of the bytes alone, so that it can disagree with the Rust code if that is wrong. Integers
 * are 32 bits, little endian. All waits are poll() with a point in time at which they end.
 */
#ifndef PR204_H
#define PR204_H

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MACHINE_BYTES = 1024,
    RECORD_BYTES = 1040, /* i32 rank, char machine[1024], i32 port, i32 fd, i32 fd_for_exit */
    HEAD_BYTES = 8,      /* i32 number of processes, i32 rank */
    ETE7_HEAD_BYTES = 12, /* i32 rank, u64 size, without padding */
    PORT_AT = 1028,
    MAX_NODES = 64,
    DEADLINE_MS = 20000,
    RETRY_MS = 10, /* between two attempts to connect to who does not listen yet */
};

/* --- numbers ---------------------------------------------------------------------------------------------- */

static inline void put_i32(unsigned char *at, int32_t value)
{
    uint32_t bits = (uint32_t)value;
    int i;

    for (i = 0; i < 4; i++)
        at[i] = (unsigned char)(bits >> 8 * i);
}

static inline int32_t get_i32(const unsigned char *at)
{
    return (int32_t)((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);
}

static inline void put_u64(unsigned char *at, uint64_t value)
{
    put_i32(at, (int32_t)(uint32_t)value);
    put_i32(at + 4, (int32_t)(uint32_t)(value >> 32));
}

static inline uint64_t get_u64(const unsigned char *at)
{
    return (uint32_t)get_i32(at) | (uint64_t)(uint32_t)get_i32(at + 4) << 32;
}

/* 1 if all of `text` is a number from `min` to `max`, which is then in *number. */
static inline int parse_number(const char *text, long min, long max, long *number)
{
    char *end;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
        return 0;
    *number = value;
    return 1;
}

/* --- records ---------------------------------------------------------------------------------------------- */

struct record {
    int rank, port;
    char machine[MACHINE_BYTES];
};

/* The last two fields of a record are its sender's private numbers; 0 from us. */
static inline void put_record(unsigned char *at, const struct record *record)
{
    memset(at, 0, RECORD_BYTES);
    put_i32(at, record->rank);
    memcpy(at + 4, record->machine, strnlen(record->machine, MACHINE_BYTES - 1));
    put_i32(at + PORT_AT, record->port);
}

/* NULL, or what is wrong with the record. */
static inline const char *get_record(const unsigned char *at, struct record *record)
{
    record->rank = get_i32(at);
    memcpy(record->machine, at + 4, MACHINE_BYTES);
    record->port = get_i32(at + PORT_AT);
    if (memchr(record->machine, '\0', MACHINE_BYTES) == NULL)
        return "a machine name without an end";
    if (record->machine[0] == '\0')
        return "an empty machine name";
    if (record->port < 1 || record->port > 65535)
        return "a port that is none";
    return NULL;
}

/* --- waits ------------------------------------------------------------------------------------------------ */

static inline long long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* 0 when `fd` is ready (or has failed: the call that follows tells), -1 with ETIMEDOUT when it is `end` before. */
static inline int wait_for(int fd, short events, long long end)
{
    struct pollfd wanted = {.fd = fd, .events = events};

    for (;;) {
        long long left = end - now_ms();
        int n = poll(&wanted, 1, left > 0 ? (int)left : 0);

        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -1;
        if (left <= 0) {
            errno = ETIMEDOUT;
            return -1;
        }
    }
}

/* How many of `count` bytes came before `end`, an error (-1, errno) or the end of the stream. */
static inline ssize_t read_all(int fd, void *bytes, size_t count, long long end)
{
    size_t had = 0;

    while (had < count) {
        ssize_t n;

        if (wait_for(fd, POLLIN, end) < 0)
            return -1;
        n = read(fd, (char *)bytes + had, count - had);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return -1;
        had += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)had;
}

/* 0 when all bytes are on their way, else -1 with errno. Only for sockets; no SIGPIPE. */
static inline int write_all(int fd, const void *bytes, size_t count, long long end)
{
    size_t had = 0;

    while (had < count) {
        ssize_t n;

        if (wait_for(fd, POLLOUT, end) < 0)
            return -1;
        n = send(fd, (const char *)bytes + had, count - had, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return -1;
        had += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* --- sockets ---------------------------------------------------------------------------------------------- */

static inline int port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;

    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0 || address.sin_family != AF_INET)
        return -1;
    return ntohs(address.sin_port);
}

/* A TCP/IPv4 socket bound to a free port of this machine's loopback, close-on-exec; -1 with errno. */
static inline int bound_socket(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* 0, or -1 if the system's resolver knows no IPv4 address of `host`. */
static inline int resolve(const char *host, int port, struct sockaddr_in *address)
{
    struct addrinfo want = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;

    if (getaddrinfo(host, NULL, &want, &found) != 0) {
        errno = EHOSTUNREACH;
        return -1;
    }
    memcpy(address, found->ai_addr, sizeof *address);
    address->sin_port = htons((uint16_t)port);
    freeaddrinfo(found);
    return 0;
}

static inline int connect_once(const struct sockaddr_in *address, long long end)
{
    int error = 0, one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size = sizeof error;

    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0)
        error = errno;
    if (error == EINPROGRESS) {
        if (wait_for(fd, POLLOUT, end) < 0)
            error = errno;
        else
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (error != 0) {
        close(fd);
        errno = error;
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    return fd;
}

/* A blocking connection, close-on-exec; -1 with errno. Tries again until `end` while nobody listens. */
static inline int connect_to(const char *host, int port, long long end)
{
    struct sockaddr_in address;

    if (resolve(host, port, &address) < 0)
        return -1;
    for (;;) {
        int fd = connect_once(&address, end);

        if (fd >= 0 || errno != ECONNREFUSED || now_ms() >= end)
            return fd;
        poll(NULL, 0, RETRY_MS);
    }
}

#endif

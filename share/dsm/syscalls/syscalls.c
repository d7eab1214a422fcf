/*
 * libdsm_syscalls - system calls whose buffers are in shared memory, where the kernel cannot wait for a page.
 *
 * With a userfaultfd that an ordinary user gets, and with SIGSEGV, a system call that meets a page that is not here fails
 * with EFAULT, or does a part of its work. This library, preloaded or linked in front of libc, gives the kernel private
 * memory instead, and copies: to copy is to touch pages in user mode, which works everywhere. So the same bytes move, and
 * the same counts are returned, as with a private buffer, whatever other ranks do to the pages meanwhile. Calls on memory
 * that is not shared go straight on. It allocates no memory by malloc, takes no lock and may be used in signal handlers as
 * far as the calls themselves may.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Of libdsm, null in a program without it. It asks about an address and does not look there, hence this type for it. */
extern int dsm_is_shared(uintptr_t address) __attribute__((weak));

/* The function of this name that would be called without this library, looked up once. */
#define NEXT(name) ((__typeof__(&name))next(&found_##name, #name))
#define FIND(name) static void *found_##name

typedef void function_t(void);

static function_t *next(void **found, const char *name)
{
    void *address = __atomic_load_n(found, __ATOMIC_ACQUIRE);
    function_t *function;

    if (address == NULL) {
        address = dlsym(RTLD_NEXT, name);
        __atomic_store_n(found, address, __ATOMIC_RELEASE);
    }
    memcpy(&function, &address, sizeof function);
    return function;
}

FIND(read);
FIND(write);
FIND(pread);
FIND(pwrite);
FIND(readv);
FIND(writev);
FIND(recv);
FIND(send);
FIND(recvfrom);
FIND(sendto);
FIND(recvmsg);
FIND(sendmsg);
FIND(fread);
FIND(fwrite);
FIND(fputs);
FIND(puts);
FIND(getrandom);
FIND(stat);
FIND(lstat);
FIND(fstat);
FIND(openat);
FIND(poll);
FIND(pipe2);

/* Whether any of n bytes is in shared memory, which is one range: then the first is, or the last. */
#define is_shared(p, n) range_is_shared((uintptr_t)(p), (n))

static int range_is_shared(uintptr_t first, size_t n)
{
    if (dsm_is_shared == NULL || n == 0)
        return 0;
    return dsm_is_shared(first) || dsm_is_shared(first + (n - 1));
}

/* Private memory in place of shared. */
struct copy {
    char *at;
    size_t mapped; /* bytes to be unmapped */
    _Alignas(16) char few[2048];
};

static char *take(struct copy *copy, size_t n)
{
    copy->mapped = 0;
    copy->at = copy->few;
    if (n > sizeof copy->few) {
        copy->at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (copy->at == MAP_FAILED) {
            errno = ENOMEM;
            return NULL;
        }
        copy->mapped = n;
    }
    return copy->at;
}

static void give(struct copy *copy)
{
    int before = errno;

    if (copy->mapped > 0)
        munmap(copy->at, copy->mapped);
    errno = before;
}

/* A call that fills n bytes and returns how many. */
#define FILL(p, n, call)                        \
    do {                                        \
        struct copy copy;                       \
        ssize_t done;                           \
                                                \
        if (take(&copy, n) == NULL)             \
            return -1;                          \
        done = call;                            \
        if (done > 0)                           \
            memcpy(p, copy.at, least(done, n)); \
        give(&copy);                            \
        return done;                            \
    } while (0)

/* A call that takes n bytes and returns how many. */
#define DRAIN(p, n, call)           \
    do {                            \
        struct copy copy;           \
        ssize_t done;               \
                                    \
        if (take(&copy, n) == NULL) \
            return -1;              \
        memcpy(copy.at, p, n);      \
        done = call;                \
        give(&copy);                \
        return done;                \
    } while (0)

/* With MSG_TRUNC more may be said to have come than there was room for. */
static size_t least(ssize_t done, size_t n)
{
    return (size_t)done < n ? (size_t)done : n;
}

/* The most that one call moves; more is as if this were asked. */
static size_t at_most(size_t n)
{
    return n < 0x7ffff000 ? n : 0x7ffff000;
}

ssize_t read(int fd, void *p, size_t n)
{
    if (!is_shared(p, n))
        return NEXT(read)(fd, p, n);
    n = at_most(n);
    FILL(p, n, NEXT(read)(fd, copy.at, n));
}

ssize_t write(int fd, const void *p, size_t n)
{
    if (!is_shared(p, n))
        return NEXT(write)(fd, p, n);
    n = at_most(n);
    DRAIN(p, n, NEXT(write)(fd, copy.at, n));
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
    if (!is_shared(p, n))
        return NEXT(pread)(fd, p, n, at);
    n = at_most(n);
    FILL(p, n, NEXT(pread)(fd, copy.at, n, at));
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    if (!is_shared(p, n))
        return NEXT(pwrite)(fd, p, n, at);
    n = at_most(n);
    DRAIN(p, n, NEXT(pwrite)(fd, copy.at, n, at));
}

ssize_t recv(int fd, void *p, size_t n, int flags)
{
    if (!is_shared(p, n))
        return NEXT(recv)(fd, p, n, flags);
    n = at_most(n);
    FILL(p, n, NEXT(recv)(fd, copy.at, n, flags));
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
    if (!is_shared(p, n))
        return NEXT(send)(fd, p, n, flags);
    n = at_most(n);
    DRAIN(p, n, NEXT(send)(fd, copy.at, n, flags));
}

ssize_t getrandom(void *p, size_t n, unsigned flags)
{
    if (!is_shared(p, n))
        return NEXT(getrandom)(p, n, flags);
    n = at_most(n);
    FILL(p, n, NEXT(getrandom)(copy.at, n, flags));
}

/* Bytes of private memory that these parts need: none if they share nothing. The list may be shared itself. */
static size_t needed(const struct iovec *parts, size_t count)
{
    size_t bytes = 0, i;
    int shares = is_shared(parts, count * sizeof *parts);

    if (count > IOV_MAX)
        return 0;
    for (i = 0; i < count; i++)
        if (is_shared(parts[i].iov_base, parts[i].iov_len)) {
            shares = 1;
            if (__builtin_add_overflow(bytes, parts[i].iov_len, &bytes) || bytes > 0x7ffff000)
                return 0;
        }
    return shares ? bytes + count * sizeof *parts : 0;
}

/* The same parts with private memory for those that are shared, filled if the call takes them. */
static struct iovec *divert(struct copy *copy, const struct iovec *parts, size_t count, int takes)
{
    struct iovec *own = (struct iovec *)(void *)copy->at;
    char *free = copy->at + count * sizeof *parts;
    size_t i;

    for (i = 0; i < count; i++) {
        own[i] = parts[i];
        if (!is_shared(own[i].iov_base, own[i].iov_len))
            continue;
        if (takes)
            memcpy(free, own[i].iov_base, own[i].iov_len);
        own[i].iov_base = free;
        free += own[i].iov_len;
    }
    return own;
}

/* Copies what came to where it belongs. */
static void deliver(const struct iovec *parts, const struct iovec *own, size_t count, size_t done)
{
    size_t i, part;

    for (i = 0; i < count && done > 0; i++, done -= part) {
        part = own[i].iov_len < done ? own[i].iov_len : done;
        if (parts[i].iov_base != own[i].iov_base)
            memcpy(parts[i].iov_base, own[i].iov_base, part);
    }
}

ssize_t readv(int fd, const struct iovec *parts, int count)
{
    size_t bytes = count > 0 ? needed(parts, (size_t)count) : 0;
    struct copy copy;
    struct iovec *own;
    ssize_t done;

    if (bytes == 0)
        return NEXT(readv)(fd, parts, count);
    if (take(&copy, bytes) == NULL)
        return -1;
    own = divert(&copy, parts, (size_t)count, 0);
    done = NEXT(readv)(fd, own, count);
    if (done > 0)
        deliver(parts, own, (size_t)count, (size_t)done);
    give(&copy);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    size_t bytes = count > 0 ? needed(parts, (size_t)count) : 0;
    struct copy copy;
    ssize_t done;

    if (bytes == 0)
        return NEXT(writev)(fd, parts, count);
    if (take(&copy, bytes) == NULL)
        return -1;
    done = NEXT(writev)(fd, divert(&copy, parts, (size_t)count, 1), count);
    give(&copy);
    return done;
}

/* A message with private memory in place of shared: header, parts, name and control data. */
struct message {
    struct msghdr header;
    struct copy parts, name, control;
};

/* Gives -1 where there is no memory. */
static int divert_message(struct message *own, const struct msghdr *message, int takes)
{
    size_t bytes;

    own->header = *message;
    own->parts.mapped = own->name.mapped = own->control.mapped = 0;
    bytes = needed(own->header.msg_iov, own->header.msg_iovlen);
    if (bytes > 0) {
        if (take(&own->parts, bytes) == NULL)
            return -1;
        own->header.msg_iov = divert(&own->parts, own->header.msg_iov, own->header.msg_iovlen, takes);
    }
    if (is_shared(own->header.msg_name, own->header.msg_namelen)) {
        if (take(&own->name, own->header.msg_namelen) == NULL)
            return -1;
        memcpy(own->name.at, own->header.msg_name, own->header.msg_namelen);
        own->header.msg_name = own->name.at;
    }
    if (is_shared(own->header.msg_control, own->header.msg_controllen)) {
        if (take(&own->control, own->header.msg_controllen) == NULL)
            return -1;
        memcpy(own->control.at, own->header.msg_control, own->header.msg_controllen);
        own->header.msg_control = own->control.at;
    }
    return 0;
}

static void give_message(struct message *own)
{
    give(&own->parts);
    give(&own->name);
    give(&own->control);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct message own;
    ssize_t done = -1;

    if (divert_message(&own, message, 1) == 0)
        done = NEXT(sendmsg)(fd, &own.header, flags);
    give_message(&own);
    return done;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    struct msghdr given = *message;
    struct message own;
    ssize_t done = -1;

    if (divert_message(&own, &given, 0) == 0)
        done = NEXT(recvmsg)(fd, &own.header, flags);
    if (done >= 0) {
        deliver(given.msg_iov, own.header.msg_iov, given.msg_iovlen, (size_t)done);
        if (given.msg_name != own.header.msg_name)
            memcpy(given.msg_name, own.header.msg_name, least(own.header.msg_namelen, given.msg_namelen));
        if (given.msg_control != own.header.msg_control)
            memcpy(given.msg_control, own.header.msg_control, own.header.msg_controllen);
        message->msg_namelen = own.header.msg_namelen;
        message->msg_controllen = own.header.msg_controllen;
        message->msg_flags = own.header.msg_flags;
    }
    give_message(&own);
    return done;
}

/* With _GNU_SOURCE glibc declares these two with a union of all kinds of addresses, which is passed as a pointer is. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"

ssize_t recvfrom(int fd, void *restrict p, size_t n, int flags, struct sockaddr *restrict from, socklen_t *restrict length)
{
    struct iovec part = {p, n};
    struct msghdr message = {.msg_name = from, .msg_iov = &part, .msg_iovlen = 1};
    ssize_t done;

    if (!is_shared(p, n) && (from == NULL || (!is_shared(length, sizeof *length) && !is_shared(from, *length))))
        return NEXT(recvfrom)(fd, p, n, flags, from, length);
    if (from != NULL)
        message.msg_namelen = *length;
    done = recvmsg(fd, &message, flags);
    if (done >= 0 && from != NULL)
        *length = message.msg_namelen;
    return done;
}

ssize_t sendto(int fd, const void *p, size_t n, int flags, const struct sockaddr *to, socklen_t length)
{
    uintptr_t buffer = (uintptr_t)p, name = (uintptr_t)to;
    struct iovec part = {(void *)buffer, n};
    struct msghdr message = {.msg_name = (void *)name, .msg_namelen = length, .msg_iov = &part, .msg_iovlen = 1};

    if (!is_shared(p, n) && (to == NULL || !is_shared(to, length)))
        return NEXT(sendto)(fd, p, n, flags, to, length);
    return sendmsg(fd, &message, flags);
}

#pragma GCC diagnostic pop

/* A stream gives large pieces to the kernel where they are. */
size_t fread(void *p, size_t size, size_t count, FILE *file)
{
    struct copy copy;
    size_t n, done;

    if (__builtin_mul_overflow(size, count, &n) || !is_shared(p, n))
        return NEXT(fread)(p, size, count, file);
    if (take(&copy, n) == NULL)
        return 0;
    done = NEXT(fread)(copy.at, size, count, file);
    memcpy(p, copy.at, done * size);
    give(&copy);
    return done;
}

size_t fwrite(const void *p, size_t size, size_t count, FILE *file)
{
    struct copy copy;
    size_t n, done;

    if (__builtin_mul_overflow(size, count, &n) || !is_shared(p, n))
        return NEXT(fwrite)(p, size, count, file);
    if (take(&copy, n) == NULL)
        return 0;
    memcpy(copy.at, p, n);
    done = NEXT(fwrite)(copy.at, size, count, file);
    give(&copy);
    return done;
}

/* A private copy of a string; null where there is no memory. */
static const char *string(struct copy *copy, const char *words)
{
    size_t n = strlen(words) + 1;

    return take(copy, n) == NULL ? NULL : memcpy(copy->at, words, n);
}

int fputs(const char *words, FILE *file)
{
    struct copy copy;
    int done;

    if (!is_shared(words, 1))
        return NEXT(fputs)(words, file);
    if (string(&copy, words) == NULL)
        return EOF;
    done = NEXT(fputs)(copy.at, file);
    give(&copy);
    return done;
}

int puts(const char *words)
{
    struct copy copy;
    int done;

    if (!is_shared(words, 1))
        return NEXT(puts)(words);
    if (string(&copy, words) == NULL)
        return EOF;
    done = NEXT(puts)(copy.at);
    give(&copy);
    return done;
}

/* A call that takes a path and gives what is known of a file. */
#define LOOK(path, status, call)                                       \
    do {                                                               \
        struct stat known;                                             \
        struct copy copy;                                              \
        const char *at = path;                                         \
        int done;                                                      \
                                                                       \
        copy.mapped = 0;                                               \
        if (is_shared(path, 1) && (at = string(&copy, path)) == NULL)  \
            return -1;                                                 \
        done = call;                                                   \
        give(&copy);                                                   \
        if (done == 0)                                                 \
            *(status) = known;                                         \
        return done;                                                   \
    } while (0)

int stat(const char *restrict path, struct stat *restrict status)
{
    LOOK(path, status, NEXT(stat)(at, &known));
}

int lstat(const char *restrict path, struct stat *restrict status)
{
    LOOK(path, status, NEXT(lstat)(at, &known));
}

int fstat(int fd, struct stat *status)
{
    LOOK("", status, ((void)at, NEXT(fstat)(fd, &known)));
}

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
    struct copy copy;
    int fd;

    copy.mapped = 0;
    if (is_shared(path, 1) && (path = string(&copy, path)) == NULL)
        return -1;
    fd = NEXT(openat)(dir, path, flags, mode);
    give(&copy);
    return fd;
}

#define MODE(mode)                   \
    do {                             \
        va_list list;                \
                                     \
        va_start(list, flags);       \
        mode = va_arg(list, mode_t); \
        va_end(list);                \
    } while (0)

/* Whether a mode was given. */
static int makes(int flags)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;

    if (makes(flags))
        MODE(mode);
    return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    mode_t mode = 0;

    if (makes(flags))
        MODE(mode);
    return open_at(dir, path, flags, mode);
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    size_t n = count * sizeof *fds;
    struct copy copy;
    int ready;

    if (!is_shared(fds, n))
        return NEXT(poll)(fds, count, timeout);
    if (take(&copy, n) == NULL)
        return -1;
    memcpy(copy.at, fds, n);
    ready = NEXT(poll)((struct pollfd *)(void *)copy.at, count, timeout);
    if (ready >= 0)
        memcpy(fds, copy.at, n);
    give(&copy);
    return ready;
}

int pipe2(int ends[2], int flags)
{
    int own[2], done = NEXT(pipe2)(own, flags);

    if (done == 0)
        memcpy(ends, own, sizeof own);
    return done;
}

int pipe(int ends[2])
{
    return pipe2(ends, 0);
}

/* Names of the same for programs that ask for large files. */
ssize_t pread64(int fd, void *p, size_t n, off_t at) __attribute__((alias("pread")));
ssize_t pwrite64(int fd, const void *p, size_t n, off_t at) __attribute__((alias("pwrite")));
int open64(const char *path, int flags, ...) __attribute__((alias("open")));
int openat64(int dir, const char *path, int flags, ...) __attribute__((alias("openat")));

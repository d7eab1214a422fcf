/*
 * The shared area of libpeer: 100 pages, one memory mapped twice. Programs use it at its fixed address, where a page that is
 * elsewhere cannot be touched; the talking thread uses the other mapping. So access ends before a page is read, and a page is
 * complete before it can be touched.
 *
 * A thread that touches a missing page says so in a pipe and waits for a byte in another. One thread at a time does so: it has
 * taken the one byte of a third pipe.
 */
#define _GNU_SOURCE
#include "peer.h"
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

static unsigned char *const area = (unsigned char *)(uintptr_t)AREA;
static unsigned char *other; /* the second mapping */
static atomic_char has[PAGES];
static int faults[2], resumes[2], turns[2];
static long wait_ms;
static struct sigaction before;

/* Waits for a byte and takes it; only what a signal handler may call: poll, read, write, _exit, clock_gettime. */
static void take_byte(int fd)
{
    static const char late[] = "libpeer: a page did not come in time\n";
    char byte;

    while (wait_for(fd, POLLIN, now_ms() + wait_ms) < 0 || read(fd, &byte, 1) != 1)
        if (errno != EAGAIN && errno != EINTR) {
            if (write(2, late, sizeof late - 1) < 0)
                _exit(1);
            _exit(1);
        }
}

static void put(int fd, const void *bytes, size_t count)
{
    if (write(fd, bytes, count) != (ssize_t)count)
        _exit(1);
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)info->si_addr;
    int kept = errno, page, done;

    (void)context;
    if (at < AREA || at >= AREA + PAGES * PAGE_BYTES) {
        sigaction(signal, &before, NULL); /* not ours: the access is made again and meets who was there before */
        return;
    }
    page = (int)((at - AREA) / PAGE_BYTES);
    take_byte(turns[0]);
    if (!atomic_load(&has[page])) {
        put(faults[1], &page, sizeof page);
        take_byte(resumes[0]);
        done = ~page;
        put(faults[1], &done, sizeof done);
    }
    put(turns[1], "", 1);
    errno = kept;
}

int memory_open(int nodes, int rank, long limit_ms)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_RESTART};
    int fd = memfd_create("libpeer", MFD_CLOEXEC), page;

    wait_ms = limit_ms;
    if (fd < 0 || ftruncate(fd, PAGES * PAGE_BYTES) < 0)
        return -1;
    if (mmap(area, PAGES * PAGE_BYTES, PROT_NONE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) == MAP_FAILED)
        return -1;
    other = mmap(NULL, PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (other == MAP_FAILED || pipe2(faults, O_CLOEXEC) < 0 || pipe2(resumes, O_CLOEXEC) < 0 || pipe2(turns, O_CLOEXEC) < 0)
        return -1;
    put(turns[1], "", 1);
    for (page = 0; page < PAGES; page++) {
        if (page % nodes != rank)
            continue;
        atomic_store(&has[page], 1);
        if (mprotect(area + page * PAGE_BYTES, PAGE_BYTES, PROT_READ | PROT_WRITE) < 0)
            return -1;
    }
    return sigaction(SIGSEGV, &action, &before);
}

void memory_close(void)
{
    sigaction(SIGSEGV, &before, NULL);
}

int memory_faults(void)
{
    return faults[0];
}

void memory_tell(int order)
{
    put(faults[1], &order, sizeof order);
}

int memory_has(int page)
{
    return atomic_load(&has[page]);
}

const unsigned char *memory_take_away(int page)
{
    atomic_store(&has[page], 0);
    if (mprotect(area + page * PAGE_BYTES, PAGE_BYTES, PROT_NONE) < 0)
        fatal("take page %d away: %s", page, strerror(errno));
    return other + page * PAGE_BYTES;
}

void memory_install(int page, const unsigned char *content)
{
    memcpy(other + page * PAGE_BYTES, content, PAGE_BYTES);
    if (mprotect(area + page * PAGE_BYTES, PAGE_BYTES, PROT_READ | PROT_WRITE) < 0)
        fatal("install page %d: %s", page, strerror(errno));
    atomic_store(&has[page], 1);
}

void memory_resume(void)
{
    put(resumes[1], "", 1);
}

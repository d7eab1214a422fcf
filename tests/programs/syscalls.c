/*
 * syscalls: two ranks. Rank 1 gives pages that are not there to write() and read(), and to read() again while rank 0
 * takes them away. Exit code 2 if a system call fails, as all of them must where a fault inside one cannot be served.
 */
#include <dsm.h>
#include <errno.h>
#include <stdatomic.h>

enum { PAGES = 64, STEALS = 1000 };

static size_t bytes; /* of all the pages */

static unsigned char pattern(size_t at, int salt)
{
    return (unsigned char)(at * 31 + at / 4096 + (size_t)salt);
}

static void fill(unsigned char *to, int salt)
{
    size_t i;

    for (i = 0; i < bytes; i++)
        to[i] = pattern(i, salt);
}

static void expect(const unsigned char *from, int salt, const char *what)
{
    size_t i;

    for (i = 0; i < bytes; i++)
        if (from[i] != pattern(i, salt)) {
            fprintf(stderr, "rank %d: %s: byte %zu is %u, not %u\n", DSM_NODE_ID, what, i, from[i], pattern(i, salt));
            exit(1);
        }
}

/* A call must transfer all of it. */
static void must(ssize_t done, size_t asked, const char *what)
{
    if (done != (ssize_t)asked) {
        fprintf(stderr, "rank %d: %s: %zd of %zu bytes: %s\n", DSM_NODE_ID, what, done, asked, done < 0 ? strerror(errno) : "short");
        exit(2);
    }
}

static void transfer(unsigned char *sent, unsigned char *received)
{
    FILE *file = tmpfile();
    unsigned char *own = malloc(bytes);

    if (file == NULL || own == NULL)
        exit(1);
    must(pwrite(fileno(file), sent, bytes, 0), bytes, "write from pages of rank 0");
    must(pread(fileno(file), own, bytes, 0), bytes, "read into private memory");
    expect(own, 1, "what write() took");
    must(pread(fileno(file), received, bytes, 0), bytes, "read into pages of rank 0");
    fclose(file);
    free(own);
}

/* Rank 1 reads into the lower half of a page while rank 0 counts in its upper half. */
static void steal(unsigned char *page)
{
    size_t half = dsm_page_size() / 2, i;
    _Atomic uint32_t *count = (_Atomic uint32_t *)(page + half);
    FILE *zeros = fopen("/dev/zero", "r");
    int n;

    if (zeros == NULL)
        exit(1);
    for (n = 0; n < STEALS; n++) {
        if (DSM_NODE_ID == 0) {
            atomic_fetch_add(count, 1);
        } else {
            page[n % (int)half] = 0xff;
            must(read(fileno(zeros), page, half), half, "read into a page that is stolen");
            for (i = 0; i < half; i++)
                if (page[i] != 0) {
                    fprintf(stderr, "rank 1: byte %zu was not read\n", i);
                    exit(1);
                }
        }
    }
    fclose(zeros);
    dsm_barrier();
    if (*count != STEALS) {
        fprintf(stderr, "rank %d: %u of %d counts are there\n", DSM_NODE_ID, *count, STEALS);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    unsigned char *area = (unsigned char *)dsm_init(argc, argv), *sent = area, *received;

    if (area == NULL || DSM_NODE_NUM != 2)
        return 1;
    bytes = PAGES * dsm_page_size();
    received = area + bytes;
    if (DSM_NODE_ID == 0) {
        fill(sent, 1);
        fill(received, 2); /* so that rank 0 has these pages, too */
    }
    dsm_barrier();
    if (DSM_NODE_ID == 1)
        transfer(sent, received);
    dsm_barrier();
    expect(received, 1, "what read() gave");
    dsm_barrier();
    steal(area + 2 * bytes);
    puts("system calls are right");
    dsm_finalize();
    return 0;
}

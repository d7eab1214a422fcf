/* Uses every declaration of dsm.h, in a job of one rank, and checks what it says. Started by library.rs. */
#include "dsm.h"

#include <errno.h>

static int failures;

#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            fprintf(stderr, "line %d: not so: %s (last error: %s)\n", __LINE__, #condition, dsm_last_error());      \
            failures++;                                                                                               \
        }                                                                                                             \
    } while (0)

/* Nothing of the library runs outside a job, and everything says so. */
static void check_outside(const char *when)
{
    struct dsm_stats stats;
    int local = 0;

    fprintf(stderr, "%s:\n", when);
    CHECK(dsm_size() == 0);
    CHECK(dsm_page_size() == (size_t)sysconf(_SC_PAGESIZE));
    CHECK(dsm_base() == NULL);
    CHECK(dsm_home(&local) == -1);
    CHECK(dsm_is_shared(&local) == 0);
    CHECK(dsm_barrier() == EINVAL);
    CHECK(strstr(dsm_last_error(), "not in a job") != NULL);
    CHECK(dsm_stats(&stats) == EINVAL);
}

static void check_area(char *area)
{
    char *last = area + dsm_size() - 1;
    int local = 0;

    CHECK(dsm_base() == area);
    CHECK(dsm_size() % dsm_page_size() == 0);
    CHECK(dsm_home(area) == 0);
    CHECK(dsm_home(last) == 0);
    CHECK(dsm_home(last + 1) == -1);
    CHECK(dsm_home(&local) == -1);
    CHECK(dsm_is_shared(area) == 1);
    CHECK(dsm_is_shared(last) == 1);
    CHECK(dsm_is_shared(area - 1) == 0);
    CHECK(dsm_is_shared(NULL) == 0);
    CHECK(*area == 0 && *last == 0);
    *area = *last = 1;

    CHECK(PAGE_SIZE == (long)dsm_page_size());
    CHECK(PAGE_NUMBER * PAGE_SIZE == (long)dsm_size());
    CHECK((char *)BASE_ADDR == area);
    CHECK((char *)TOP_ADDR == last + 1);
}

static void check_stats(void)
{
    struct {
        uint64_t before;
        struct dsm_stats stats;
        uint64_t after;
    } guarded;

    memset(&guarded, 0xa5, sizeof guarded);
    CHECK(dsm_barrier() == 0);
    CHECK(dsm_barrier() == 0);
    CHECK(dsm_stats(&guarded.stats) == 0);
    CHECK(guarded.before == UINT64_C(0xa5a5a5a5a5a5a5a5) && guarded.after == guarded.before);
    CHECK(guarded.stats.barriers == 2);
    CHECK(guarded.stats.read_faults + guarded.stats.write_faults + guarded.stats.upgrades + guarded.stats.invalidations +
              guarded.stats.pages_in + guarded.stats.pages_out + guarded.stats.messages_sent + guarded.stats.bytes_sent +
              guarded.stats.lock_local + guarded.stats.lock_remote + guarded.stats.fault_ns ==
          0);
    CHECK(dsm_stats(NULL) == EINVAL);
    CHECK(strstr(dsm_last_error(), "null pointer") != NULL);
}

int main(int argc, char **argv)
{
    char *area;

    CHECK(DSM_NODE_ID == 0 && DSM_NODE_NUM == 1);
    CHECK(strcmp(dsm_last_error(), "") == 0);
    dsm_finalize();
    check_outside("before dsm_init");

    /* The program and the library must mean the same objects, however the program was linked. */
    DSM_NODE_ID = DSM_NODE_NUM = 77;
    area = dsm_init(argc, argv);
    CHECK(area != NULL);
    CHECK(DSM_NODE_ID == 0 && DSM_NODE_NUM == 1);
    if (area != NULL)
        check_area(area);
    check_stats();

    errno = 0;
    CHECK(dsm_init(0, NULL) == NULL && errno == EALREADY);
    dsm_finalize();
    check_outside("after dsm_finalize");
    dsm_finalize();
    errno = 0;
    CHECK(dsm_init(0, NULL) == NULL && errno == EALREADY);

    if (failures == 0)
        puts("all declarations hold");
    return failures != 0;
}

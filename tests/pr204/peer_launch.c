/*
 * How a rank finds its job: descriptors in DSMEXEC_FD and MASTER_FD, the four variables of ete7, descriptors 3 and 4 that are
 * what they should be, or nothing: then it is alone.
 */
#define _GNU_SOURCE
#include "peer.h"

static int refuse(const char *what, const char *why)
{
    fprintf(stderr, "libpeer: cannot %s: %s\n", what, why);
    return -1;
}

/* 1 if the variable is there and a number in range; 0 if it is not there; -1 after a line. */
static int number_from(const char *name, long min, long max, int *number)
{
    const char *text = getenv(name);
    long value;

    if (text == NULL)
        return 0;
    if (!parse_number(text, min, max, &value)) {
        fprintf(stderr, "libpeer: cannot take %s=%s: not a number from %ld to %ld\n", name, text, min, max);
        return -1;
    }
    *number = (int)value;
    return 1;
}

static int check_size(const struct job *job)
{
    if (job->nodes < 1 || job->nodes > MAX_RANKS) {
        fprintf(stderr, "libpeer: cannot join a job of %d processes: 1 to %d are possible\n", job->nodes, MAX_RANKS);
        return -1;
    }
    if (job->rank < 0 || job->rank >= job->nodes) {
        fprintf(stderr, "libpeer: cannot be rank %d of %d\n", job->rank, job->nodes);
        return -1;
    }
    return 0;
}

static int read_exactly(int fd, unsigned char *bytes, size_t count, long long end)
{
    ssize_t had = read_all(fd, bytes, count, end);

    if (had < 0)
        return refuse("read the launch stream", strerror(errno));
    if ((size_t)had < count) {
        fprintf(stderr, "libpeer: cannot read the launch stream: it ends %zu bytes early\n", count - (size_t)had);
        return -1;
    }
    return 0;
}

static int read_records(struct job *job, int fd, long long end)
{
    unsigned char bytes[RECORD_BYTES];
    int k;

    for (k = 0; k < job->nodes; k++) {
        const char *wrong;

        if (read_exactly(fd, bytes, sizeof bytes, end) < 0)
            return -1;
        wrong = get_record(bytes, &job->records[k]);
        if (wrong == NULL && job->records[k].rank != k)
            wrong = "another rank than its place says";
        if (wrong != NULL) {
            fprintf(stderr, "libpeer: cannot take the record of rank %d: it has %s\n", k, wrong);
            return -1;
        }
    }
    return 0;
}

static int from_descriptors(struct job *job, int launcher, long long end)
{
    unsigned char head[HEAD_BYTES];
    int result = -1;

    if (read_exactly(launcher, head, sizeof head, end) == 0) {
        job->nodes = get_i32(head);
        job->rank = get_i32(head + 4);
        if (check_size(job) == 0)
            result = read_records(job, launcher, end);
    }
    close(launcher);
    return result;
}

static int from_port(struct job *job, const char *host, int port, long long end)
{
    unsigned char bytes[ETE7_HEAD_BYTES + RECORD_BYTES];
    struct record self = {.rank = job->rank, .machine = "127.0.0.1"};
    int fd, result = -1;

    job->master = bound_socket();
    if (job->master < 0 || listen(job->master, MAX_RANKS) < 0)
        return refuse("listen", strerror(errno));
    self.port = port_of(job->master);
    fd = connect_to(host, port, end);
    if (fd < 0)
        return refuse("connect to the launcher", strerror(errno));
    put_i32(bytes, job->rank);
    put_u64(bytes + 4, RECORD_BYTES);
    put_record(bytes + ETE7_HEAD_BYTES, &self);
    if (write_all(fd, bytes, sizeof bytes, end) < 0)
        refuse("speak to the launcher", strerror(errno));
    else
        result = read_records(job, fd, end);
    close(fd);
    return result;
}

static int is_connected_stream(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address, type_size = sizeof(int);
    int type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) == 0 && type == SOCK_STREAM &&
           getpeername(fd, (struct sockaddr *)&address, &size) == 0;
}

static int is_bound_tcp(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address, type_size = sizeof(int);
    int type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) == 0 && type == SOCK_STREAM && port_of(fd) > 0 &&
           getpeername(fd, (struct sockaddr *)&address, &size) < 0;
}

static int has_descriptors(struct job *job, int launcher, long long end)
{
    if (!is_connected_stream(launcher))
        return refuse("take DSMEXEC_FD", "not a connected stream socket");
    if (!is_bound_tcp(job->master))
        return refuse("take MASTER_FD", "not a bound TCP/IPv4 socket");
    fcntl(job->master, F_SETFD, FD_CLOEXEC);
    if (from_descriptors(job, launcher, end) < 0)
        return -1;
    return listen(job->master, MAX_RANKS) < 0 ? refuse("listen", strerror(errno)) : 0;
}

int find_job(struct job *job, long long end)
{
    const char *host = getenv("DSMEXEC_HOSTNAME");
    int launcher, port, has_launcher, has_master, a, b, c;

    memset(job, 0, sizeof *job);
    has_launcher = number_from("DSMEXEC_FD", 0, INT32_MAX, &launcher);
    has_master = number_from("MASTER_FD", 0, INT32_MAX, &job->master);
    if (has_launcher < 0 || has_master < 0)
        return -1;
    if (has_launcher && has_master)
        return has_descriptors(job, launcher, end);

    a = number_from("DSMEXEC_PORTNUM", 1, 65535, &port);
    b = number_from("DSMEXEC_RANKID", INT32_MIN, INT32_MAX, &job->rank);
    c = number_from("DSMEXEC_RANKNUM", INT32_MIN, INT32_MAX, &job->nodes);
    if (a < 0 || b < 0 || c < 0)
        return -1;
    if (host != NULL && a && b && c)
        return check_size(job) < 0 ? -1 : from_port(job, host, port, end);

    job->master = 4;
    if (is_connected_stream(3) && is_bound_tcp(4))
        return has_descriptors(job, 3, end);
    fputs("libpeer: nobody launched this rank: a job of one\n", stderr);
    *job = (struct job){.nodes = 1, .master = -1};
    return 0;
}

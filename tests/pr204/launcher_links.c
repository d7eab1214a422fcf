/*
 * What is said on the connections of the stub launcher, in each form:
 *
 *     ref   <  i32 L, L bytes host, i32 pid, i32 port, i32 TOKEN1, i32 TOKEN2     >  block
 *     seed  >  i32 N, i32 rank     <  char[1024] host, i32 pid, i32 port          >  N records
 *     rank  >  i32 N               <  record                                      >  N records, end of stream
 *     bare                                                                        >  block
 *     ete7                         <  i32 rank, u64 size, bytes                   >  N times bytes
 *
 * Sockets do not block here: a program that never reads hurts nobody.
 */
#include "launcher.h"
#include <stdarg.h>

enum {
    MAX_IN = 65536 + ETE7_HEAD_BYTES,
    SEED_BYTES = MACHINE_BYTES + 8,
    SEGMENT_MS = 1,   /* between two segments of a split stream */
    MAX_PAUSES = 200, /* so many segments are kept apart; the rest follows at once */
};

int token1(int rank)
{
    return 3 + 2 * rank;
}

int token2(int rank)
{
    return 1000 + rank;
}

void links_init(struct links *links, const struct options *options)
{
    memset(links, 0, sizeof *links);
    links->options = options;
}

void links_trouble(struct links *links, const char *format, ...)
{
    va_list values;

    if (links->trouble[0] != '\0')
        return;
    va_start(values, format);
    vsnprintf(links->trouble, sizeof links->trouble, format, values);
    va_end(values);
}

/* --- the transcript --------------------------------------------------------------------------------------- */

/* Sixteen bytes a line, with their offset in this direction. */
static void note(struct link *link, char direction, size_t offset, const unsigned char *bytes, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (i % 16 == 0)
            fprintf(link->transcript, "%s%c %08zx ", i == 0 ? "" : "\n", direction, offset + i);
        fprintf(link->transcript, " %02x", bytes[i]);
    }
    fputc('\n', link->transcript);
}

static void write_capture(const struct links *links, const struct link *link)
{
    FILE *file = fopen(links->options->capture, "w");

    fflush(link->transcript);
    if (file == NULL) {
        fprintf(stderr, "launcher: cannot write %s: %s\n", links->options->capture, strerror(errno));
        return;
    }
    fputs("# '>' launcher to rank 0, '<' rank 0 to launcher; offset in that direction; bytes\n", file);
    fwrite(link->transcript_text, 1, link->transcript_size, file);
    fclose(file);
}

/* --- what is sent ----------------------------------------------------------------------------------------- */

static void queue(struct link *link, const void *bytes, size_t count)
{
    unsigned char *more = realloc(link->out, link->out_count + count);

    if (more == NULL)
        abort();
    memcpy(more + link->out_count, bytes, count);
    link->out = more;
    link->out_count += count;
}

static void queue_i32(struct link *link, int value)
{
    unsigned char bytes[4];

    put_i32(bytes, value);
    queue(link, bytes, sizeof bytes);
}

/* The number of processes, or the lie about it. */
static int told_nodes(const struct options *options)
{
    switch (options->hostile) {
    case NODES_ZERO:
        return 0;
    case NODES_NEGATIVE:
        return -1;
    case NODES_HUGE:
        return INT32_MAX;
    default:
        return options->nodes;
    }
}

static int told_rank(const struct options *options, int rank)
{
    return options->hostile == RANK_RANGE ? options->nodes + rank : rank;
}

/* Spoils a record if that is the lie asked for. */
static void spoil(const struct options *options, unsigned char *record)
{
    if (options->hostile == NO_NUL)
        memset(record + 4, 'x', MACHINE_BYTES);
    if (options->hostile == PORT_ZERO)
        put_i32(record + PORT_AT, 0);
}

static struct link *link_of(struct links *links, int rank)
{
    int i;

    for (i = 0; i < links->count; i++)
        if (links->all[i].rank == rank)
            return &links->all[i];
    return NULL;
}

/* What rank `k` has contributed, as everyone is told. */
static void queue_part(struct links *links, struct link *to, int k)
{
    const struct options *options = links->options;
    struct link *from = link_of(links, k);
    unsigned char bytes[RECORD_BYTES];

    if (options->launch == LAUNCH_ETE7 && from->message != ETE7_HEAD_BYTES + RECORD_BYTES) {
        queue(to, from->in + ETE7_HEAD_BYTES, from->message - ETE7_HEAD_BYTES);
        return;
    }
    if (options->launch == LAUNCH_ETE7)
        memcpy(bytes, from->in + ETE7_HEAD_BYTES, RECORD_BYTES);
    else
        put_record(bytes, &from->record);
    /* In wrap/rank no rank is told but those in the records: the lie is there. */
    if (options->launch == LAUNCH_PR204 && options->wrap == WRAP_RANK)
        put_i32(bytes, told_rank(options, k));
    spoil(options, bytes);
    queue(to, bytes, sizeof bytes);
}

void links_tell(struct links *links)
{
    const struct options *options = links->options;
    int i, k;

    for (i = 0; i < links->count; i++) {
        struct link *to = &links->all[i];

        if (options->launch == LAUNCH_BARE || (options->launch == LAUNCH_PR204 && options->wrap == WRAP_REF)) {
            queue_i32(to, told_nodes(options));
            queue_i32(to, told_rank(options, to->rank));
        }
        for (k = 0; k < options->nodes; k++)
            queue_part(links, to, k);
    }
    links->is_told = 1;
}

static int closes_after(const struct options *options)
{
    return options->close_after || (options->launch == LAUNCH_PR204 && options->wrap == WRAP_RANK) || options->cut > 0;
}

void links_send(struct links *links, struct link *link)
{
    const struct options *options = links->options;
    size_t limit = link->out_count, count;
    ssize_t n;

    if (options->cut > 0 && limit > (size_t)options->cut)
        limit = (size_t)options->cut;
    count = limit - link->sent;
    if (options->split > 0 && count > (size_t)options->split)
        count = (size_t)options->split;
    if (count > 0) {
        n = send(link->fd, link->out + link->sent, count, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) { /* it does not want to know; that is its right */
            link->is_sent = 1;
            return;
        }
        note(link, '>', link->sent, link->out + link->sent, (size_t)n);
        link->sent += (size_t)n;
        if (options->split > 0 && link->pauses++ < MAX_PAUSES)
            link->resume = now_ms() + SEGMENT_MS;
    }
    if (link->sent < limit || (!links->is_told && link->sent == link->out_count))
        return;
    link->is_sent = 1;
    if (closes_after(options))
        shutdown(link->fd, SHUT_WR);
}

short links_events(const struct links *links, const struct link *link, long long now, long long *wake)
{
    int has_more = !link->is_sent && (link->sent < link->out_count || links->is_told);
    short events = link->is_at_end ? 0 : POLLIN;

    if (!has_more)
        return events;
    if (link->resume > now) {
        if (link->resume < *wake)
            *wake = link->resume;
        return events;
    }
    return events | POLLOUT;
}

/* --- what is received ------------------------------------------------------------------------------------- */

/* Bytes of the announcement, as far as `in` tells: 0 if it must be read further, SIZE_MAX if it is none. */
static size_t announcement_bytes(const struct options *options, const struct link *link)
{
    if (options->launch == LAUNCH_ETE7) {
        uint64_t size;

        if (link->in_count < ETE7_HEAD_BYTES)
            return 0;
        size = get_u64(link->in + 4);
        return size > MAX_IN - ETE7_HEAD_BYTES ? SIZE_MAX : ETE7_HEAD_BYTES + (size_t)size;
    }
    if (options->wrap == WRAP_REF) {
        int32_t length = link->in_count < 4 ? 1 : get_i32(link->in);

        if (link->in_count < 4)
            return 0;
        return length < 1 || length > MACHINE_BYTES ? SIZE_MAX : 4 + (size_t)length + 16;
    }
    return options->wrap == WRAP_SEED ? SEED_BYTES : RECORD_BYTES;
}

/* NULL, or what is wrong with the announcement. Sets the link's rank, record and pid. */
static const char *take_announcement(const struct options *options, struct link *link)
{
    unsigned char record[RECORD_BYTES] = {0};
    int rank = link->rank;

    if (options->launch == LAUNCH_ETE7) {
        link->rank = get_i32(link->in) - (options->hostile == RANK_RANGE ? options->nodes : 0);
        return NULL;
    }
    if (options->wrap == WRAP_REF) {
        size_t length = (size_t)get_i32(link->in);
        const unsigned char *numbers = link->in + 4 + length;

        memcpy(record + 4, link->in + 4, length);
        if (link->in[4 + length - 1] != '\0')
            return "a host name without an end";
        memcpy(record + PORT_AT, numbers + 4, 4);
        link->pid = get_i32(numbers);
        rank = (get_i32(numbers + 8) - token1(0)) / 2;
        if (rank < 0 || get_i32(numbers + 8) != token1(rank) || get_i32(numbers + 12) != token2(rank))
            return "tokens that were not given";
    } else if (options->wrap == WRAP_SEED) {
        memcpy(record + 4, link->in, MACHINE_BYTES);
        link->pid = get_i32(link->in + MACHINE_BYTES);
        memcpy(record + PORT_AT, link->in + MACHINE_BYTES + 4, 4);
    } else {
        memcpy(record, link->in, RECORD_BYTES);
        rank = get_i32(record);
    }
    put_i32(record, rank);
    link->rank = rank;
    return get_record(record, &link->record);
}

/* Takes the announcement if it is complete. */
static void hear(struct links *links, struct link *link)
{
    const struct options *options = links->options;
    size_t count = announcement_bytes(options, link);
    const char *wrong = NULL;
    int i;

    if (count == SIZE_MAX)
        wrong = "an impossible length";
    if (wrong == NULL && (count == 0 || link->in_count < count))
        return;
    if (wrong == NULL)
        wrong = take_announcement(options, link);
    if (wrong == NULL && (link->rank < 0 || link->rank >= options->nodes))
        wrong = "a rank out of range";
    for (i = 0; wrong == NULL && i < links->count; i++)
        if (&links->all[i] != link && links->all[i].message > 0 && links->all[i].rank == link->rank)
            wrong = "a rank that is here already";
    if (wrong != NULL) {
        links_trouble(links, "a connection announces %s", wrong);
        link->is_at_end = 1;
        link->rank = -1;
        return;
    }
    link->message = count;
    links->announced++;
}

void links_receive(struct links *links, struct link *link)
{
    ssize_t n;

    if (link->in_count == MAX_IN)
        link->in_count = link->message; /* what comes after the announcement means nothing */
    n = recv(link->fd, link->in + link->in_count, MAX_IN - link->in_count, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        link->is_at_end = 1;
        return;
    }
    note(link, '<', link->received, link->in + link->in_count, (size_t)n);
    link->in_count += (size_t)n;
    link->received += (size_t)n;
    if (link->message == 0 && links->options->launch != LAUNCH_BARE)
        hear(links, link);
}

/* --- coming and going ------------------------------------------------------------------------------------- */

void links_add(struct links *links, int fd, int rank)
{
    const struct options *options = links->options;
    struct link *link = &links->all[links->count];
    int one = 1;

    if (links->count == options->nodes) {
        links_trouble(links, "more connections than the %d that were expected", options->nodes);
        close(fd);
        return;
    }
    memset(link, 0, sizeof *link);
    link->fd = fd;
    link->rank = rank;
    link->in = malloc(MAX_IN);
    link->transcript = open_memstream(&link->transcript_text, &link->transcript_size);
    if (link->in == NULL || link->transcript == NULL)
        abort();
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    links->count++;
    if (options->launch != LAUNCH_PR204)
        return;
    if (options->wrap == WRAP_SEED) { /* ranks by order of accept */
        link->rank = links->count - 1;
        queue_i32(link, told_nodes(options));
        queue_i32(link, told_rank(options, link->rank));
    }
    if (options->wrap == WRAP_RANK)
        queue_i32(link, told_nodes(options));
}

void links_close(struct links *links)
{
    int i;

    for (i = 0; i < links->count; i++) {
        struct link *link = &links->all[i];

        if (link->rank == 0 && links->options->capture != NULL)
            write_capture(links, link);
        close(link->fd);
        fclose(link->transcript);
        free(link->transcript_text);
        free(link->in);
        free(link->out);
    }
    links->count = 0;
}

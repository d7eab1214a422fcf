/*
 * launcher.h - the parts of the stub launcher: what it is asked for (launcher_options.c), what is said on its connections
 * (launcher_links.c), and the processes it starts (launcher.c).
 */
#ifndef LAUNCHER_H
#define LAUNCHER_H

#include "pr204.h"

enum { MAX_VARIABLES = 64 };

enum launch { LAUNCH_PR204, LAUNCH_BARE, LAUNCH_ETE7 };
enum wrap { WRAP_REF, WRAP_SEED, WRAP_RANK };
enum hostile { NO_LIE, NODES_ZERO, NODES_NEGATIVE, NODES_HUGE, RANK_RANGE, NO_NUL, PORT_ZERO };

struct options {
    enum launch launch;
    enum wrap wrap;
    enum hostile hostile;
    const char *wrapper, *host, *capture;
    const char *names[MAX_NODES]; /* one a rank, as the machine file has them */
    int nodes, listen_later, no_variables, close_after;
    long split, cut, deadline_ms; /* split and cut: 0 if not asked for */
    const char *variables[MAX_VARIABLES]; /* NAME=VALUE, added to the programs' environment */
    int variable_count;
    char **program;
    const char *instead[MAX_NODES]; /* program of a rank (machine-file line) that runs another, else NULL */
};

/* Ends the process with exit code 2 if the arguments cannot be taken. */
struct options parse_options(int argc, char **argv);

/* One connection, with everything that was and will be said on it. */
struct link {
    int fd, rank; /* rank -1 until it is known */
    int is_at_end, is_sent; /* the other side has closed; the whole stream is sent, or nobody wants it */
    unsigned char *in, *out;
    size_t in_count, out_count, sent, received;
    size_t message; /* bytes of `in` that are the announcement, 0 until it is complete */
    struct record record;
    int pid; /* as announced, 0 if this form has none */
    long pauses;
    long long resume; /* no next segment before this time */
    FILE *transcript;
    char *transcript_text;
    size_t transcript_size;
};

struct links {
    const struct options *options;
    struct link all[MAX_NODES];
    int count, announced, is_told; /* is_told: the streams are queued completely */
    char trouble[200]; /* the first thing that was wrong, "" if none */
};

void links_init(struct links *links, const struct options *options);

/* Notes the first trouble. */
void links_trouble(struct links *links, const char *format, ...);

/* A connection that a wrapper or program has made; `fd` is closed in the end. Rank -1: it will say so. */
void links_add(struct links *links, int fd, int rank);

/* What can be read from or written to a link now. */
void links_receive(struct links *links, struct link *link);
void links_send(struct links *links, struct link *link);

/* Events to wait for on a link at `now`; lowers *wake to the time of its next segment. */
short links_events(const struct links *links, const struct link *link, long long now, long long *wake);

/* Queues the launch stream of all ranks once everyone is known. */
void links_tell(struct links *links);

/* Closes all connections; what is not sent stays unsaid. */
void links_close(struct links *links);

/* The numbers that TOKEN1 and TOKEN2 of `rank` are in wrap/ref. */
int token1(int rank);
int token2(int rank);

#endif

/*
 * wordcount: how often each word occurs in a text.
 *
 *     dsmexec machine_file wordcount [INPUT]
 *
 * INPUT is a file, which rank 0 reads, or a number of words, which rank 0 makes up. A word is a run of the letters
 * a to z, small or capital. Each rank counts the words that begin in its part of the text, in a map of its own, in
 * private memory. Then it adds its counts to the map of all, piece by piece: a piece has a mutex, and the ranks
 * begin at different pieces.
 *
 * Worth a look: one rank allocates the text and passes its address on in a variable; the map's words are linked by
 * plain pointers. An address means the same to every rank. And private work is done in private memory: the map of
 * all is locked once per piece, not once per word.
 *
 * Rank 0 then counts all words alone, and compares. Exit code 0; 1 if the job cannot be joined, the input cannot
 * be read, or the result is wrong; 64 for wrong arguments.
 */
#include "example.h"

enum { PIECES = 16, BUCKETS = 509, LONGEST = 64 /* letters of a word that are looked at */ };

struct word {
    struct word *next;
    uint64_t count;
    char letters[LONGEST + 1];
};

struct piece {
    dsm_mutex_t mutex;
    uint64_t words; /* different ones */
    struct word *bucket[BUCKETS];
};

struct map {
    struct piece piece[PIECES];
};

struct text {
    size_t bytes;
    char *letters; /* small letters, and anything else for what separates words */
};

/* Adds to a word's count in this piece. A new word is allocated beside the map: in shared memory, or in private. */
static void add(struct piece *piece, const char *letters, uint64_t hash, uint64_t count)
{
    struct word **link = &piece->bucket[hash / PIECES % BUCKETS];

    while (*link != NULL && strcmp((*link)->letters, letters) != 0)
        link = &(*link)->next;
    if (*link == NULL) {
        size_t bytes = offsetof(struct word, letters) + strlen(letters) + 1;

        *link = need(dsm_is_shared(piece) ? dsm_malloc(bytes) : calloc(1, bytes), "a word");
        strcpy((*link)->letters, letters);
        piece->words++;
    }
    (*link)->count += count;
}

static uint64_t hash_of(const char *letters)
{
    uint64_t hash = 0;

    while (*letters != '\0')
        hash = scramble(hash ^ (unsigned char)*letters++);
    return hash;
}

static int is_letter(char c)
{
    return c >= 'a' && c <= 'z';
}

/* Counts the words that begin in first .. end-1; the last one may go on behind. */
static void count_words(const struct text *text, size_t first, size_t end, struct map *map)
{
    char word[LONGEST + 1];
    size_t at = first, length;

    while (at > 0 && at < text->bytes && is_letter(text->letters[at - 1]) && is_letter(text->letters[at]))
        at++; /* it began before: another rank counts it */
    while (at < end) {
        for (length = 0; at < text->bytes && is_letter(text->letters[at]); at++)
            if (length < LONGEST)
                word[length++] = text->letters[at];
        word[length] = '\0';
        if (length > 0)
            add(&map->piece[hash_of(word) % PIECES], word, hash_of(word), 1);
        at++;
    }
}

/* Adds this rank's counts to those of all. */
static void merge(const struct map *mine, struct map *all)
{
    size_t i, bucket;

    for (i = 0; i < PIECES; i++) {
        size_t which = (part(PIECES, DSM_NODE_ID) + i) % PIECES;
        const struct word *word;

        dsm_mutex_lock(&all->piece[which].mutex);
        for (bucket = 0; bucket < BUCKETS; bucket++)
            for (word = mine->piece[which].bucket[bucket]; word != NULL; word = word->next)
                add(&all->piece[which], word->letters, hash_of(word->letters), word->count);
        dsm_mutex_unlock(&all->piece[which].mutex);
    }
}

/* Words of one to three letters; as in any language some are much more frequent than others. */
static void make_up(struct text *text, long words)
{
    size_t i;

    text->letters = need(dsm_malloc((size_t)words * 4 + 1), "the text");
    for (i = 0; i < (size_t)words; i++) {
        uint64_t number = scramble(2 * i) % (1 + scramble(2 * i + 1) % 5000);

        for (; number > 0 || text->bytes == 0 || text->letters[text->bytes - 1] == ' '; number /= 26)
            text->letters[text->bytes++] = (char)('a' + number % 26);
        text->letters[text->bytes++] = ' ';
    }
}

/*
 * The file's bytes come through getc's private buffer, and not by read() straight into shared memory: that would work
 * only where faults inside system calls can be served ('dsm doctor' tells).
 */
static void read_file(struct text *text, const char *path)
{
    FILE *file = fopen(path, "r");
    long bytes = -1;
    int c;

    if (file != NULL && fseek(file, 0, SEEK_END) == 0)
        bytes = ftell(file);
    if (bytes < 0) {
        fprintf(stderr, "wordcount: cannot read %s: %s\n", path, strerror(errno));
        exit(EXIT_WRONG);
    }
    rewind(file);
    text->letters = need(dsm_malloc((size_t)bytes + 1), "the text");
    while (text->bytes < (size_t)bytes && (c = getc(file)) != EOF)
        text->letters[text->bytes++] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    fclose(file);
}

/* Compares with a count of the whole text; gives the most frequent word. */
static const struct word *check(struct run *run, const struct text *text, const struct map *all)
{
    struct map *alone = need(calloc(1, sizeof *alone), "the check");
    const struct word *word, *ours, *most = NULL;
    double began = now_seconds();
    size_t i, bucket;

    count_words(text, 0, text->bytes, alone);
    run->alone = now_seconds() - began;
    for (i = 0; i < PIECES; i++) {
        if (all->piece[i].words != alone->piece[i].words)
            run_wrong(run, "%" PRIu64 " different words in piece %zu, not %" PRIu64, all->piece[i].words, i,
                      alone->piece[i].words);
        for (bucket = 0; bucket < BUCKETS; bucket++)
            for (word = alone->piece[i].bucket[bucket]; word != NULL; word = word->next) {
                for (ours = all->piece[i].bucket[bucket]; ours != NULL; ours = ours->next)
                    if (strcmp(ours->letters, word->letters) == 0)
                        break;
                if (ours == NULL || ours->count != word->count)
                    run_wrong(run, "'%s' occurs %" PRIu64 " times, not %" PRIu64, word->letters,
                              ours == NULL ? 0 : ours->count, word->count);
                if (most == NULL || word->count > most->count)
                    most = word;
            }
    }
    return most;
}

int main(int argc, char **argv)
{
    const char *input = "100000";
    const struct argument arguments[] = {
        {.name = "INPUT", .meaning = "a file, or how many words to make up", .text = &input},
        {0},
    };
    static const struct word none = {.letters = "nothing"};
    const struct word *most = &none;
    struct run run;
    struct text *text;
    struct map *all, *mine;
    size_t first, end;
    long words;
    int code;

    parse_arguments(argc, argv, "wordcount", "How often each word occurs in a text.", arguments);
    if (dsm_init(argc, argv) == NULL)
        return EXIT_WRONG;
    text = need(dsm_named("text", sizeof *text), "the text");
    all = need(dsm_named("map", sizeof *all), "the map");
    mine = need(calloc(1, sizeof *mine), "a map");
    if (DSM_NODE_ID == 0 && parse_number(input, 0, 100000000, &words))
        make_up(text, words);
    else if (DSM_NODE_ID == 0)
        read_file(text, input);

    run = run_begin("wordcount");
    first = part(text->bytes, DSM_NODE_ID);
    end = part(text->bytes, DSM_NODE_ID + 1);
    dsm_prefetch(text->letters + first, end - first);
    count_words(text, first, end, mine);
    merge(mine, all);
    run_end(&run);

    if (DSM_NODE_ID == 0 && text->bytes > 0)
        most = check(&run, text, all);
    code = run_report(&run, "%zu bytes, most often '%s' (%" PRIu64 ")", text->bytes, most != NULL ? most->letters : "",
                      most != NULL ? most->count : 0);
    dsm_finalize();
    return code;
}

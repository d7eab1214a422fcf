/*
 * image.c - which bytes of the process are variables of the program.
 *
 * They are in the executable's writable segments. So are bytes that belong to others and must be left alone on each rank:
 * - what the loader made read-only after it filled it in, and the dynamic section, where it keeps a pointer of its own;
 * - the table through which functions of libraries are called, filled in at the first call of each;
 * - variables of libraries (stdout, environ, optarg, DSM_NODE_ID) that the linker moved here, with copy relocations;
 * - what this library keeps.
 * A variable whose first value is the address of something outside, a function of a library for instance, is *outward*: as
 * long as it has that value, each rank keeps the address that its own loader found.
 */
#define _GNU_SOURCE
#include "internal.h"
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>

#if defined(__x86_64__)
enum { RELATIVE = R_X86_64_RELATIVE, COPY = R_X86_64_COPY, ADDRESS = R_X86_64_64, TLS_PAIR = R_X86_64_TLSDESC };
#elif defined(__aarch64__)
enum { RELATIVE = R_AARCH64_RELATIVE, COPY = R_AARCH64_COPY, ADDRESS = R_AARCH64_ABS64, TLS_PAIR = R_AARCH64_TLSDESC };
#else
/* Relocations of other machines are unknown here; see dsm_parmacs_read_image. */
enum { RELATIVE = 0, COPY = 0, ADDRESS = 0, TLS_PAIR = 0 };
#endif

/* The table of functions of libraries begins with words that the loader fills in without being asked to. */
enum { LOADER_WORDS = 3, PAGEMAP_WORDS = 512 };

struct holes {
    struct extent *all;
    size_t count;
};

void *dsm_parmacs_grow(void *memory, size_t count, size_t bytes)
{
    void *grown = realloc(memory, (count == 0 ? 1 : count) * bytes);

    if (grown == NULL) {
        fprintf(stderr, "dsm: rank %d: cannot allocate %zu bytes\n", dsm_parmacs_rank(), count * bytes);
        exit(EXIT_FAILURE);
    }
    return grown;
}

static void dig(struct holes *holes, uintptr_t begin, size_t bytes)
{
    holes->all = dsm_parmacs_grow(holes->all, holes->count + 1, sizeof(*holes->all));
    holes->all[holes->count++] = (struct extent){begin, begin + bytes};
}

static uint64_t hash(uint64_t so_far, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;

    while (count-- > 0)
        so_far = (so_far ^ *at++) * 0x100000001b3u; /* FNV-1a */
    return so_far;
}

/* The build's own name in a note, if the linker gave it one. */
static const Elf64_Nhdr *build_id(const Elf64_Phdr *header, uintptr_t bias)
{
    uintptr_t at = bias + header->p_vaddr, end = at + header->p_memsz;

    while (end - at >= sizeof(Elf64_Nhdr)) {
        const Elf64_Nhdr *note = (const Elf64_Nhdr *)at;
        size_t name = (note->n_namesz + 3u) & ~3u, content = (note->n_descsz + 3u) & ~3u;

        if (note->n_type == NT_GNU_BUILD_ID && name == 4 && memcmp(note + 1, "GNU", 4) == 0)
            return note;
        at += sizeof(*note) + name + content;
    }
    return NULL;
}

static uint64_t fingerprint(const struct dl_phdr_info *program)
{
    uint64_t value = 0xcbf29ce484222325u;
    const Elf64_Nhdr *note = NULL;
    size_t i;

    value = hash(value, program->dlpi_phdr, program->dlpi_phnum * sizeof(Elf64_Phdr));
    for (i = 0; i < program->dlpi_phnum && note == NULL; i++)
        if (program->dlpi_phdr[i].p_type == PT_NOTE)
            note = build_id(&program->dlpi_phdr[i], program->dlpi_addr);
    if (note != NULL)
        return hash(value, note + 1, 4 + note->n_descsz);
    for (i = 0; i < program->dlpi_phnum; i++) {
        const Elf64_Phdr *header = &program->dlpi_phdr[i];

        if (header->p_type == PT_LOAD && (header->p_flags & (PF_R | PF_W)) == PF_R)
            value = hash(value, (const void *)(program->dlpi_addr + header->p_vaddr), header->p_filesz);
    }
    return value;
}

/* The loader replaces offsets by addresses in some of the dynamic section's entries. */
static uintptr_t address(const struct image *image, Elf64_Addr value)
{
    return value >= image->bias ? value : image->bias + value;
}

static void relocated(struct image *image, struct holes *holes, const Elf64_Rela *relocation, const Elf64_Sym *symbols)
{
    uintptr_t at = image->bias + relocation->r_offset;
    const Elf64_Sym *symbol = &symbols[ELF64_R_SYM(relocation->r_info)];
    unsigned type = ELF64_R_TYPE(relocation->r_info);

    if (type == RELATIVE)
        return; /* an address within the program, equal on all ranks */
    if (type == COPY) {
        dig(holes, at, symbol->st_size);
        return;
    }
    dig(holes, at, type == TLS_PAIR ? 16 : 8);
    if (type == ADDRESS) {
        image->outward = dsm_parmacs_grow(image->outward, image->outward_count + 1, sizeof(*image->outward));
        image->outward[image->outward_count++] = (struct word){(uintptr_t *)at, *(uintptr_t *)at};
    }
}

static void read_dynamic(struct image *image, struct holes *holes, const Elf64_Dyn *entry)
{
    const Elf64_Sym *symbols = NULL;
    uintptr_t tables[2] = {0, 0}, functions = 0;
    size_t bytes[2] = {0, 0}, table, i;

    for (; entry->d_tag != DT_NULL; entry++)
        switch (entry->d_tag) {
        case DT_SYMTAB: symbols = (const Elf64_Sym *)address(image, entry->d_un.d_ptr); break;
        case DT_RELA: tables[0] = address(image, entry->d_un.d_ptr); break;
        case DT_RELASZ: bytes[0] = entry->d_un.d_val; break;
        case DT_JMPREL: tables[1] = address(image, entry->d_un.d_ptr); break;
        case DT_PLTRELSZ: bytes[1] = entry->d_un.d_val; break;
        case DT_PLTGOT: functions = address(image, entry->d_un.d_ptr); break;
        default: break;
        }
    if (functions != 0)
        dig(holes, functions, LOADER_WORDS * sizeof(uintptr_t));
    for (table = 0; table < 2; table++)
        for (i = 0; i < bytes[table] / sizeof(Elf64_Rela); i++)
            relocated(image, holes, (const Elf64_Rela *)tables[table] + i, symbols);
}

static int ascending(const void *left, const void *right)
{
    const struct extent *one = left, *other = right;

    return (one->begin > other->begin) - (one->begin < other->begin);
}

static int words_ascending(const void *left, const void *right)
{
    const struct word *one = left, *other = right;

    return (one->at > other->at) - (one->at < other->at);
}

static void keep(struct image *image, uintptr_t begin, uintptr_t end)
{
    if (begin >= end)
        return;
    image->variables = dsm_parmacs_grow(image->variables, image->variable_count + 1, sizeof(*image->variables));
    image->variables[image->variable_count++] = (struct extent){begin, end};
}

/* What is left of the writable segments. */
static void leave_out(struct image *image, struct holes *holes)
{
    size_t i, hole;

    qsort(holes->all, holes->count, sizeof(*holes->all), ascending);
    for (i = 0; i < image->segment_count; i++) {
        uintptr_t from = image->segments[i].memory.begin, end = image->segments[i].memory.end;

        for (hole = 0; hole < holes->count && from < end; hole++) {
            if (holes->all[hole].begin >= end || holes->all[hole].end <= from)
                continue;
            keep(image, from, holes->all[hole].begin);
            from = holes->all[hole].end;
        }
        keep(image, from, end);
    }
    free(holes->all);
}

static int read_program(struct dl_phdr_info *program, size_t size, void *argument)
{
    struct image *image = argument;
    struct holes holes = {NULL, 0};
    size_t i;

    (void)size;
    image->bias = program->dlpi_addr;
    image->fingerprint = fingerprint(program);
    for (i = 0; i < program->dlpi_phnum; i++) {
        const Elf64_Phdr *header = &program->dlpi_phdr[i];
        uintptr_t begin = image->bias + header->p_vaddr, end = begin + header->p_memsz;

        if (header->p_type == PT_LOAD && image->all.end == 0)
            image->all.begin = begin;
        if (header->p_type == PT_LOAD)
            image->all.end = end;
        if (header->p_type == PT_LOAD && (header->p_flags & PF_W) != 0 && image->segment_count < MAX_SEGMENTS)
            image->segments[image->segment_count++] =
                (struct segment){.memory = {begin, end}, .file_end = begin + header->p_filesz};
        if (header->p_type == PT_INTERP)
            image->has_loader = 1;
        if (header->p_type == PT_GNU_RELRO || header->p_type == PT_DYNAMIC)
            dig(&holes, begin, header->p_memsz);
        if (header->p_type == PT_DYNAMIC)
            read_dynamic(image, &holes, (const Elf64_Dyn *)begin);
    }
    dig(&holes, (uintptr_t)&dsm_parmacs_state, sizeof(dsm_parmacs_state));
    leave_out(image, &holes);
    if (image->outward_count > 0)
        qsort(image->outward, image->outward_count, sizeof(*image->outward), words_ascending);
    if (image->segment_count > 0) {
        image->data.begin = image->segments[0].memory.begin;
        image->data.end = image->segments[image->segment_count - 1].memory.end;
    }
    return 1; /* the program is the first of what is loaded; the rest does not matter */
}

void dsm_parmacs_read_image(struct image *image)
{
    memset(image, 0, sizeof(*image));
    dl_iterate_phdr(read_program, image);
}

const char *dsm_parmacs_flaw(const struct image *image)
{
    uintptr_t library = (uintptr_t)dsm_is_shared;

    if (image->segment_count == MAX_SEGMENTS)
        return "it has too many writable segments";
    if (!image->has_loader)
        return "it is linked statically, so that the C library's variables are among its own: link it dynamically";
    if (image->all.begin <= library && library < image->all.end)
        return "libdsm is linked statically, so that its variables are among the program's: link libdsm.so";
    if (ADDRESS == COPY)
        return "its relocations are not known on this kind of processor";
    return NULL;
}

/* Units of one page of the machine, as far as they are in the segment. */
static void visit_page(const struct segment *segment, uintptr_t page, size_t page_bytes, uintptr_t *next,
                       void (*visit)(uintptr_t unit, void *argument), void *argument)
{
    uintptr_t unit;

    for (unit = page; unit < page + page_bytes && unit < segment->memory.end; unit += UNIT)
        if (unit + UNIT > segment->memory.begin && unit >= *next) {
            visit(unit, argument);
            *next = unit + UNIT;
        }
}

void dsm_parmacs_each_unit(const struct image *image, void (*visit)(uintptr_t unit, void *argument), void *argument)
{
    const uint64_t present_or_swapped = UINT64_C(3) << 62;
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE), i, entry;
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uintptr_t next = 0;

    for (i = 0; i < image->segment_count; i++) {
        const struct segment *segment = &image->segments[i];
        uintptr_t page = segment->memory.begin & ~(page_bytes - 1);

        while (page < segment->memory.end) {
            uint64_t map[PAGEMAP_WORDS];
            ssize_t got = pread(pagemap, map, sizeof(map), (off_t)(page / page_bytes * sizeof(*map)));
            size_t known = got > 0 ? (size_t)got / sizeof(*map) : 0;

            /* A page that was never touched is zero. Where the kernel does not tell, all were. */
            for (entry = 0; entry < PAGEMAP_WORDS && page < segment->memory.end; entry++, page += page_bytes)
                if (page < segment->file_end || entry >= known || (map[entry] & present_or_swapped) != 0)
                    visit_page(segment, page, page_bytes, &next, visit, argument);
        }
    }
    if (pagemap >= 0)
        close(pagemap);
}

int dsm_parmacs_next_piece(const struct image *image, uintptr_t unit, uintptr_t from, struct extent *piece)
{
    size_t low = 0, high = image->variable_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (image->variables[middle].end > from)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == image->variable_count || image->variables[low].begin >= unit + UNIT || from >= unit + UNIT)
        return 0;
    piece->begin = image->variables[low].begin > from ? image->variables[low].begin : from;
    piece->end = image->variables[low].end < unit + UNIT ? image->variables[low].end : unit + UNIT;
    return 1;
}

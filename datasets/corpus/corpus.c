#include "datasets/corpus/corpus.h"

#include "datasets/corpus/corpus_layout.h"
#include "harness/base/keyval.h"
#include "harness/base/os.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const split_names[] = {"train", "validation", "test"};
enum { SPLITS = sizeof split_names / sizeof *split_names };

/* ---- Opening ---- */

int corpus_add(corpus *c, const char *name, const char *path, const corpus_entry *place, pal_error *err)
{
    if (c->count == c->capacity) {
        const size_t capacity = 2 * c->capacity + 64;
        corpus_entry *grown = realloc(c->entry, capacity * sizeof *grown);
        if (!grown) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for the list of documents", path);
        c->entry = grown;
        c->capacity = capacity;
    }
    corpus_entry entry = place ? *place : (corpus_entry){0};
    entry.name = strdup(name);
    entry.path = strdup(path);
    c->entry[c->count++] = entry; /* corpus_close frees what there is of it */
    return entry.name && entry.path ? PAL_OK : pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
}

static int is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* The splits that a PG19 folder has, as "train, test"; returns how many. */
static int list_splits(const char *path, char *out, size_t size)
{
    int count = 0;
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < SPLITS; i++) {
        char *folder = NULL;
        if (asprintf(&folder, "%s/%s", path, split_names[i]) < 0) continue;
        if (is_folder(folder))
            used += (size_t)snprintf(out + used, size - used, "%s%s", count++ ? ", " : "", split_names[i]);
        free(folder);
    }
    return count;
}

static int add_split(corpus *c, const char *path, const char *split, const char *splits, pal_error *err)
{
    int known = 0;
    for (int i = 0; i < SPLITS; i++) known |= strcmp(split, split_names[i]) == 0;
    char *folder = NULL;
    if (asprintf(&folder, "%s/%s", path, split) < 0) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    int code;
    if (!known || !is_folder(folder))
        code = pal_fail(err, PAL_DATA, "%s: no split '%s'; there are: %s", path, split, splits);
    else
        code = corpus_add_folder(c, folder, err);
    free(folder);
    return code;
}

static int add_path(corpus *c, const char *path, const char *split, pal_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return pal_fail(err, PAL_DATA,
                        "%s: %s; a corpus is a folder with train/, validation/ and test/, a folder of texts, a "
                        ".jsonl[.gz] file or a text file",
                        path, strerror(errno));
    char splits[64];
    if (S_ISDIR(info.st_mode) && list_splits(path, splits, sizeof splits) > 0)
        return add_split(c, path, split, splits, err);
    if (strcmp(split, "all") != 0)
        return pal_fail(err, PAL_DATA, "%s: no split '%s'; there is only: all (%s)", path, split,
                        S_ISDIR(info.st_mode) ? "the folder has no train/, validation/ or test/"
                                              : "a file has no splits");
    if (S_ISDIR(info.st_mode)) return corpus_add_folder(c, path, err);
    return corpus_is_lines(path) ? corpus_add_lines(c, path, err) : corpus_add_file(c, path, err);
}

/* Results are paired by name, so no two documents may share one. */
static int by_name(const void *a, const void *b)
{
    const corpus_entry *x = *(const corpus_entry *const *)a, *y = *(const corpus_entry *const *)b;
    return strcmp(x->name, y->name);
}

static int check_names(const corpus *c, pal_error *err)
{
    const corpus_entry **sorted = malloc((c->count ? c->count : 1) * sizeof *sorted);
    if (!sorted) return pal_fail(err, PAL_INTERNAL, "out of memory for the list of documents");
    for (size_t i = 0; i < c->count; i++) sorted[i] = &c->entry[i];
    qsort(sorted, c->count, sizeof *sorted, by_name);
    int code = PAL_OK;
    for (size_t i = 1; code == PAL_OK && i < c->count; i++) {
        const corpus_entry *a = sorted[i - 1], *b = sorted[i];
        if (strcmp(a->name, b->name) != 0) continue;
        if (a->line)
            code = pal_fail(err, PAL_DATA, "%s:%llu: id '%s' is also that of line %llu; ids must differ", a->path,
                            (unsigned long long)(a->line > b->line ? a->line : b->line), a->name,
                            (unsigned long long)(a->line < b->line ? a->line : b->line));
        else
            code = pal_fail(err, PAL_DATA, "%s and %s: both documents are named '%s'; rename or remove one",
                            a->path, b->path, a->name);
    }
    free(sorted);
    return code;
}

int corpus_open(corpus **out, const char *path, const char *split, pal_error *err)
{
    *out = NULL;
    corpus *c = calloc(1, sizeof *c);
    if (!c) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    int code = add_path(c, path, split, err);
    if (code == PAL_OK && c->count == 0)
        code = pal_fail(err, PAL_DATA, "%s: no document in split '%s'; put text files or JSON lines there", path,
                        split);
    if (code == PAL_OK) code = check_names(c, err);
    if (code == PAL_OK)
        *out = c;
    else
        corpus_close(c);
    return code;
}

void corpus_close(corpus *c)
{
    if (!c) return;
    for (size_t i = 0; i < c->count; i++) {
        free(c->entry[i].name);
        free(c->entry[i].path);
    }
    free(c->entry);
    free(c);
}

typedef struct list_job {
    const char *split;
    corpus_take *take;
    void *arg;
} list_job;

static int open_named(void *arg, const char *name, pal_error *err)
{
    const list_job *job = arg;
    char path[1024];
    snprintf(path, sizeof path, "%s", name);
    if (!os_file_exists(path)) snprintf(path, sizeof path, CORPUS_TEXTS "/%s", name);
    if (!os_file_exists(path))
        return pal_fail(err, PAL_USAGE, "data: neither %s nor %s is there; give a path, or `make datasets` first",
                        name, path);
    corpus *c;
    PAL_TRY(corpus_open(&c, path, job->split, err));
    return job->take(job->arg, c, path, err);
}

int corpus_open_list(const char *list, const char *split, corpus_take *take, void *arg, pal_error *err)
{
    list_job job = {split, take, arg};
    return kv_each_name("data", list, open_named, &job, err);
}

size_t corpus_count(const corpus *c)
{
    return c->count;
}

const char *corpus_name(const corpus *c, size_t index)
{
    return c->entry[index].name;
}

/* ---- Documents ---- */

struct document {
    const corpus_entry *entry;
    text_file *file; /* a file of its own, or */
    char *text;      /* the text of a JSON line, */
    size_t size, at; /* of which text[at] is read next */
    uint64_t total;  /* bytes read */
};

int document_open(const corpus *c, size_t index, document **out, pal_error *err)
{
    *out = NULL;
    document *d = calloc(1, sizeof *d);
    if (!d) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", c->entry[index].path);
    d->entry = &c->entry[index];
    const int code = d->entry->line ? corpus_line_text(d->entry, &d->text, &d->size, err)
                                    : text_file_open(&d->file, d->entry->path, err);
    if (code == PAL_OK)
        *out = d;
    else
        document_close(d);
    return code;
}

int document_read(document *d, char *text, size_t max, size_t *got, pal_error *err)
{
    *got = 0;
    if (d->file)
        PAL_TRY(text_file_read(d->file, text, max, got, err));
    else {
        size_t count = d->size - d->at;
        if (count > max)
            for (count = max; (d->text[d->at + count] & 0xC0) == 0x80;) count--; /* back to a character's start */
        memcpy(text, d->text + d->at, count);
        d->at += count;
        *got = count;
    }
    d->total += *got;
    if (d->total == 0)
        return pal_fail(err, PAL_DATA, "%s: the document is empty; remove the file", d->entry->path);
    return PAL_OK;
}

void document_close(document *d)
{
    if (!d) return;
    text_file_close(d->file);
    free(d->text);
    free(d);
}

/* ---- Digest ---- */

/* SHA-256 of one document's text. */
static int document_digest(const corpus *c, size_t index, EVP_MD_CTX *context, char hex[HASH_HEX], pal_error *err)
{
    char buffer[1 << 16];
    document *d;
    PAL_TRY(document_open(c, index, &d, err));
    int ok = EVP_DigestInit_ex(context, EVP_sha256(), NULL), code;
    size_t got;
    while ((code = document_read(d, buffer, sizeof buffer, &got, err)) == PAL_OK && got > 0)
        ok &= EVP_DigestUpdate(context, buffer, got);
    document_close(d);
    if (code != PAL_OK) return code;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    ok &= EVP_DigestFinal_ex(context, digest, &size);
    if (!ok || 2 * size + 1 != HASH_HEX) return pal_fail(err, PAL_INTERNAL, "libcrypto has no SHA-256");
    for (unsigned i = 0; i < size; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return PAL_OK;
}

/* The SHA-256 of what sha256sum would print for the texts: a line "HEX  NAME" each. */
int corpus_digest(const corpus *c, char hex[HASH_HEX], pal_error *err)
{
    char *list = NULL;
    size_t size = 0;
    FILE *lines = open_memstream(&list, &size);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int code = lines && context ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the corpus digest");
    for (size_t i = 0; code == PAL_OK && i < c->count; i++) {
        char one[HASH_HEX];
        code = document_digest(c, i, context, one, err);
        if (code == PAL_OK) fprintf(lines, "%s  %s\n", one, c->entry[i].name);
    }
    EVP_MD_CTX_free(context);
    if (lines && fclose(lines) != 0 && code == PAL_OK)
        code = pal_fail(err, PAL_INTERNAL, "out of memory for the corpus digest");
    if (code == PAL_OK) hash_hex(list, size, hex);
    free(list);
    return code;
}

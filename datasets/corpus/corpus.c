/* A corpus as it is opened: documents by number, their texts as streams, and the digest that names the data.
 * What a path holds is found in corpus_layout.c. */
#include "datasets/corpus/corpus.h"

#include "datasets/corpus/corpus_layout.h"
#include "datasets/corpus/text_file.h"
#include "harness/base/home.h"
#include "harness/base/keyval.h"
#include "harness/base/os.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

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

int corpus_open(corpus **out, const char *path, const char *split, const char *usual, pal_error *err)
{
    char place[KV_TEXT_MAX];
    *out = NULL;
    corpus *c = calloc(1, sizeof *c);
    if (!c) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    int code = corpus_add_path(c, home_path(path, place), split_canonical(split), usual, err);
    if (code == PAL_OK && c->count == 0)
        code = pal_fail(err, PAL_DATA, "%s: no document in split '%s'; put text files or JSON lines there", path,
                        c->split);
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
    if (c->lines) line_reader_close(c->lines);
    free(c->lines);
    free(c);
}

/* ---- Lists ---- */

/* Where the corpora come from that this project's commands and results name. */
static const char *origin(const char *name)
{
    static const struct {
        const char *name, *from;
    } known[] = {
        {"books", "type: make datasets DATASETS=books"},
        {"math", "type: make datasets DATASETS=math"},
        {"code", "type: make datasets DATASETS=code"},
        {"novels",
         "these are the 95 novels of ELTeC-eng, from the internet; datasets/README.md tells how to make them"},
        {"stacks", "this is the Stacks project, from the internet; datasets/README.md tells how to make it"},
        {"summaries",
         "these are texts with summaries for task=booksum; datasets/README.md tells how to make them"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) return known[i].from;
    return "give a path, or one of the names in datasets/README.md";
}

typedef struct list_job {
    const char *split, *usual;
    corpus_take *take;
    void *arg;
} list_job;

static int open_named(void *arg, const char *name, pal_error *err)
{
    const list_job *job = arg;
    char place[KV_TEXT_MAX];
    char *path = NULL;
    const int direct = os_file_exists(home_path(name, place));
    if (asprintf(&path, "%s%s", direct ? "" : CORPUS_TEXTS "/", name) < 0)
        return pal_fail(err, PAL_INTERNAL, "data=%s: out of memory", name);
    corpus *c;
    int code =
        os_file_exists(home_path(path, place))
            ? corpus_open(&c, path, job->split, job->usual, err)
            : pal_fail(err, PAL_USAGE, "data=%s: neither %s nor %s is there; %s", name, name, path, origin(name));
    if (code == PAL_OK) code = job->take(job->arg, c, path, err);
    free(path);
    return code;
}

int corpus_open_list(const char *list, const char *split, const char *usual, corpus_take *take, void *arg,
                     pal_error *err)
{
    list_job job = {split, usual, take, arg};
    return kv_each_name("data", list, open_named, &job, err);
}

const char *corpus_split(const corpus *c)
{
    return c->split;
}

uint64_t corpus_work(const corpus *c)
{
    return c->lines ? text_file_work(c->lines->file) : 0;
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
    const int code = d->entry->line ? corpus_line_text(c, d->entry, &d->text, &d->size, err)
                                    : text_file_open(&d->file, d->entry->path, PACKED_FORWARD, err);
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

int document_refuse_word(const document *d, uint64_t at, size_t most, pal_error *err)
{
    return pal_fail(err, PAL_DATA,
                    "%s: document '%s': the text at byte %llu goes on for more than %zu MiB without a place to "
                    "split words; break it by spaces, or use tokenizer=bytes",
                    d->entry->path, d->entry->name, (unsigned long long)at, most >> 20);
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
static int document_digest(const corpus *c, size_t index, EVP_MD_CTX *context, char hex[HASH_HEX], text_scan *scan,
                           pal_error *err)
{
    char buffer[1 << 16];
    document *d;
    PAL_TRY(document_open(c, index, &d, err));
    int ok = EVP_DigestInit_ex(context, EVP_sha256(), NULL), code;
    size_t got;
    if (scan) text_scan_start(scan);
    while ((code = document_read(d, buffer, sizeof buffer, &got, err)) == PAL_OK && got > 0) {
        ok &= EVP_DigestUpdate(context, buffer, got);
        if (scan) text_scan_feed(scan, buffer, got);
    }
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
int corpus_digest(const corpus *c, char hex[HASH_HEX], text_scan *scan, pal_error *err)
{
    char *list = NULL;
    size_t size = 0;
    FILE *lines = open_memstream(&list, &size);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int code = lines && context ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the corpus digest");
    for (size_t i = 0; code == PAL_OK && i < c->count; i++) {
        char one[HASH_HEX];
        code = document_digest(c, i, context, one, scan, err);
        if (code == PAL_OK) fprintf(lines, "%s  %s\n", one, c->entry[i].name);
    }
    EVP_MD_CTX_free(context);
    if (lines && fclose(lines) != 0 && code == PAL_OK)
        code = pal_fail(err, PAL_INTERNAL, "out of memory for the corpus digest");
    if (code == PAL_OK) hash_hex(list, size, hex);
    free(list);
    return code;
}

#include "datasets/corpus/summary_file.h"

#include "datasets/corpus/line_reader.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct place {
    char *bid, *id;
    uint64_t offset, line;
} place;

struct booksum_file {
    char *path;
    place *place;
    size_t count, capacity;
    char digest[HASH_HEX];
};

/* ---- One line ---- */

static int blank(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!text[i] || !strchr(" \t\r\n\v\f", text[i])) return 0;
    return 1;
}

static int copy_text(const char *text, size_t size, booksum_string *out, pal_error *err)
{
    out->size = size;
    out->text = malloc(size + 1);
    if (!out->text) return pal_fail(err, PAL_INTERNAL, "out of memory for a text of %zu bytes", size);
    memcpy(out->text, text, size);
    out->text[size] = '\0';
    return PAL_OK;
}

/* The string member `key`, called `name` in messages. */
static int take_text(const booksum_file *f, const place *p, const json_t *object, const char *key,
                     const char *name, booksum_string *out, pal_error *err)
{
    const json_t *value = json_object_get(object, key);
    const unsigned long long line = (unsigned long long)p->line;
    if (!value) return pal_fail(err, PAL_DATA, "%s:%llu: there is no \"%s\"", f->path, line, name);
    if (!json_is_string(value))
        return pal_fail(err, PAL_DATA, "%s:%llu: \"%s\" is no string", f->path, line, name);
    if (blank(json_string_value(value), json_string_length(value)))
        return pal_fail(err, PAL_DATA, "%s:%llu: \"%s\" is empty; remove the line or fill it in", f->path, line,
                        name);
    return copy_text(json_string_value(value), json_string_length(value), out, err);
}

/* The elements of "summary", each with its own "text". */
static int take_summaries(const booksum_file *f, const place *p, const json_t *object, booksum_book *out,
                          pal_error *err)
{
    const json_t *list = json_object_get(object, "summary");
    const unsigned long long line = (unsigned long long)p->line;
    if (!json_is_array(list))
        return pal_fail(err, PAL_DATA, "%s:%llu: there is no list \"summary\"", f->path, line);
    if (json_array_size(list) == 0)
        return pal_fail(err, PAL_DATA, "%s:%llu: \"summary\" is empty; remove the line or fill it in", f->path,
                        line);
    out->summary = calloc(json_array_size(list), sizeof *out->summary);
    if (!out->summary) return pal_fail(err, PAL_INTERNAL, "out of memory for the summaries of %s", f->path);
    for (size_t i = 0; i < json_array_size(list); i++) {
        char name[48];
        snprintf(name, sizeof name, "summary[%zu].text", i);
        PAL_TRY(take_text(f, p, json_array_get(list, i), "text", name, &out->summary[i], err));
        out->summaries++;
    }
    return PAL_OK;
}

static int take_book(const booksum_file *f, const place *p, const json_t *object, booksum_book *out,
                     pal_error *err)
{
    if (!json_object_get(object, "chapter")) {
        if (!json_object_get(object, "text"))
            return pal_fail(err, PAL_DATA, "%s:%llu: there is neither \"text\" (a book) nor \"chapter\"", f->path,
                            (unsigned long long)p->line);
        PAL_TRY(take_text(f, p, object, "text", "text", &out->text, err));
        return take_summaries(f, p, object, out, err);
    }
    PAL_TRY(take_text(f, p, object, "chapter", "chapter", &out->text, err));
    out->summary = calloc(1, sizeof *out->summary);
    if (!out->summary) return pal_fail(err, PAL_INTERNAL, "out of memory for a summary of %s", f->path);
    PAL_TRY(take_text(f, p, object, "summary_text", "summary_text", out->summary, err));
    out->summaries = 1;
    return PAL_OK;
}

static int parse_line(const booksum_file *f, const place *p, const char *line, size_t size, json_t **out,
                      pal_error *err)
{
    json_error_t why;
    *out = json_loadb(line, size, JSON_ALLOW_NUL, &why);
    if (!*out)
        return pal_fail(err, PAL_DATA, "%s:%llu: not JSON: %s (column %d)", f->path, (unsigned long long)p->line,
                        why.text, why.column);
    if (json_is_object(*out)) return PAL_OK;
    json_decref(*out);
    return pal_fail(err, PAL_DATA, "%s:%llu: each line must be an object", f->path, (unsigned long long)p->line);
}

void booksum_book_free(booksum_book *b)
{
    free(b->text.text);
    for (size_t i = 0; i < b->summaries; i++) free(b->summary[i].text);
    free(b->summary);
    *b = (booksum_book){0};
}

/* ---- The whole file ---- */

/* An id that may be a number; malloc'ed, "" when there is none. */
static char *take_id(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    char number[32];
    if (json_is_string(value)) return strdup(json_string_value(value));
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    return strdup(json_is_integer(value) ? number : "");
}

static const char *id_key(const json_t *object)
{
    if (!json_object_get(object, "chapter")) return "bid";
    return json_object_get(object, "chapter_id") ? "chapter_id" : "book_id";
}

/* SHA-256 of the digest so far, the ids and the texts. */
static int extend_digest(booksum_file *f, const place *p, const booksum_book *b, pal_error *err)
{
    char *data = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&data, &size);
    if (!out) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", f->path);
    fprintf(out, "%s\n%s\n%s\n%zu\n", f->digest, p->bid, p->id, b->text.size);
    fwrite(b->text.text, 1, b->text.size, out);
    for (size_t i = 0; i < b->summaries; i++) {
        fprintf(out, "\n%zu\n", b->summary[i].size);
        fwrite(b->summary[i].text, 1, b->summary[i].size, out);
    }
    if (fclose(out) != 0) {
        free(data);
        return pal_fail(err, PAL_INTERNAL, "%s: out of memory", f->path);
    }
    hash_hex(data, size, f->digest);
    free(data);
    return PAL_OK;
}

static int check_ids(const booksum_file *f, const place *p, pal_error *err)
{
    if (!p->bid || !p->id) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", f->path);
    if (p->bid[0]) return PAL_OK;
    return pal_fail(err, PAL_DATA, "%s:%llu: there is no \"bid\" (a string or a whole number)", f->path,
                    (unsigned long long)p->line);
}

static int add_line(booksum_file *f, const place *p, const char *line, size_t size, pal_error *err)
{
    if (f->count == f->capacity) {
        const size_t capacity = 2 * f->capacity + 64;
        place *grown = realloc(f->place, capacity * sizeof *grown);
        if (!grown) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for its places", f->path);
        f->place = grown;
        f->capacity = capacity;
    }
    json_t *object;
    booksum_book book = {0};
    PAL_TRY(parse_line(f, p, line, size, &object, err));
    place *added = &f->place[f->count++];
    *added = (place){take_id(object, "bid"), take_id(object, id_key(object)), p->offset, p->line};
    int code = check_ids(f, added, err);
    if (code == PAL_OK) code = take_book(f, added, object, &book, err);
    if (code == PAL_OK) code = extend_digest(f, added, &book, err);
    booksum_book_free(&book);
    json_decref(object);
    return code;
}

static int add_lines(booksum_file *f, line_reader *r, pal_error *err)
{
    for (;;) {
        int found;
        const char *line;
        size_t size;
        PAL_TRY(line_reader_next(r, &found, &line, &size, err));
        if (!found) break;
        if (blank(line, size)) continue;
        PAL_TRY(add_line(f, &(place){.offset = r->offset, .line = r->number}, line, size, err));
    }
    if (f->count) return PAL_OK;
    return pal_fail(err, PAL_DATA, "%s: there is no line in it", f->path);
}

int booksum_file_open(booksum_file **out, const char *path, pal_error *err)
{
    booksum_file *f = calloc(1, sizeof *f);
    char *name = strdup(path);
    *out = NULL;
    if (!f || !name) {
        free(f);
        free(name);
        return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    }
    f->path = name;
    line_reader lines;
    int code = line_reader_open(&lines, path, err);
    if (code == PAL_OK) code = add_lines(f, &lines, err);
    line_reader_close(&lines);
    if (code == PAL_OK)
        *out = f;
    else
        booksum_file_close(f);
    return code;
}

void booksum_file_close(booksum_file *f)
{
    if (!f) return;
    for (size_t i = 0; i < f->count; i++) {
        free(f->place[i].bid);
        free(f->place[i].id);
    }
    free(f->place);
    free(f->path);
    free(f);
}

size_t booksum_file_count(const booksum_file *f)
{
    return f->count;
}

const char *booksum_file_bid(const booksum_file *f, size_t index)
{
    return f->place[index].bid;
}

const char *booksum_file_id(const booksum_file *f, size_t index)
{
    return f->place[index].id;
}

const char *booksum_file_digest(const booksum_file *f)
{
    return f->digest;
}

static int read_book(const booksum_file *f, const place *p, line_reader *r, booksum_book *out, pal_error *err)
{
    int found;
    const char *line;
    size_t size;
    json_t *object;
    PAL_TRY(line_reader_seek(r, p->offset, p->line, err));
    PAL_TRY(line_reader_next(r, &found, &line, &size, err));
    PAL_TRY(parse_line(f, p, line, size, &object, err)); /* of nothing at the end: it says so */
    const int code = take_book(f, p, object, out, err);
    json_decref(object);
    return code;
}

int booksum_file_read(const booksum_file *f, size_t index, booksum_book *out, pal_error *err)
{
    line_reader lines;
    *out = (booksum_book){0};
    int code = line_reader_open(&lines, f->path, err);
    if (code == PAL_OK) code = read_book(f, &f->place[index], &lines, out, err);
    line_reader_close(&lines);
    if (code != PAL_OK) booksum_book_free(out);
    return code;
}

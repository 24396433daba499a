/* Texts with summaries out of JSON lines or CSV. A record of either becomes a JSON object with BookSum's members,
 * so that both have the same checks; blank summaries are left out and counted. */
#include "datasets/corpus/summary_file.h"

#include "datasets/corpus/csv_reader.h"
#include "datasets/corpus/line_reader.h"
#include "harness/base/array.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct place {
    char *bid, *id;
    uint64_t offset, line;
} place;

/* The columns of a CSV file that are read. */
enum { CSV_BID, CSV_CHAPTER, CSV_SUMMARY, CSV_CHAPTER_ID, CSV_BOOK_ID, CSV_COLUMNS };
static const char *const csv_name[CSV_COLUMNS] = {"bid", "chapter", "summary_text", "chapter_id", "book_id"};

struct booksum_file {
    char *path;
    line_reader *lines;                  /* of JSON lines, or */
    csv_reader *csv;                     /* of a CSV file, whose */
    size_t column[CSV_COLUMNS], columns; /* places in a record and width are these; SIZE_MAX: not there */
    place *place;
    size_t count, capacity;
    uint64_t blank_summaries, blank_texts, first_blank; /* left out; the line of the first */
    char digest[HASH_HEX];
};

/* ---- One record ---- */

static int copy_text(const char *text, size_t size, booksum_string *out, pal_error *err)
{
    out->size = size;
    out->text = malloc(size + 1);
    if (!out->text) return pal_fail(err, PAL_INTERNAL, "out of memory for a text of %zu bytes", size);
    memcpy(out->text, text, size);
    out->text[size] = '\0';
    return PAL_OK;
}

/* The string member `key`, called `name` in messages. A blank or null one gives out->text NULL. */
static int take_text(const booksum_file *f, const place *p, const json_t *object, const char *key,
                     const char *name, booksum_string *out, pal_error *err)
{
    const json_t *value = json_object_get(object, key);
    const unsigned long long line = (unsigned long long)p->line;
    *out = (booksum_string){0};
    if (!value) return pal_fail(err, PAL_DATA, "%s:%llu: there is no \"%s\"", f->path, line, name);
    if (json_is_null(value)) return PAL_OK;
    if (!json_is_string(value))
        return pal_fail(err, PAL_DATA, "%s:%llu: \"%s\" is no string", f->path, line, name);
    if (line_is_blank(json_string_value(value), json_string_length(value))) return PAL_OK;
    return copy_text(json_string_value(value), json_string_length(value), out, err);
}

static int take_summary(const booksum_file *f, const place *p, const json_t *object, const char *key,
                        const char *name, booksum_book *out, pal_error *err)
{
    booksum_string text;
    PAL_TRY(take_text(f, p, object, key, name, &text, err));
    if (text.text)
        out->summary[out->summaries++] = text;
    else
        out->blank_summaries++;
    return PAL_OK;
}

/* The elements of "summary", each with its own "text". */
static int take_summaries(const booksum_file *f, const place *p, const json_t *object, booksum_book *out,
                          pal_error *err)
{
    const json_t *list = json_object_get(object, "summary");
    if (!json_is_array(list))
        return pal_fail(err, PAL_DATA, "%s:%llu: there is no list \"summary\"", f->path,
                        (unsigned long long)p->line);
    out->summary = calloc(json_array_size(list) + 1, sizeof *out->summary);
    if (!out->summary) return pal_fail(err, PAL_INTERNAL, "out of memory for the summaries of %s", f->path);
    for (size_t i = 0; i < json_array_size(list); i++) {
        char name[48];
        snprintf(name, sizeof name, "summary[%zu].text", i);
        PAL_TRY(take_summary(f, p, json_array_get(list, i), "text", name, out, err));
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
    return take_summary(f, p, object, "summary_text", "summary_text", out, err);
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
    const unsigned long long line = (unsigned long long)p->line;
    if (!p->bid || !p->id) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", f->path);
    if (!p->bid[0])
        return pal_fail(err, PAL_DATA, "%s:%llu: there is no \"bid\" (a string or a whole number)", f->path, line);
    const char *longer = strlen(p->bid) > strlen(p->id) ? p->bid : p->id;
    if (strlen(longer) < BOOKSUM_NAME) return PAL_OK;
    return pal_fail(err, PAL_DATA, "%s:%llu: the name '%.40s...' has %zu bytes; %d is the most", f->path, line,
                    longer, strlen(longer), BOOKSUM_NAME - 1);
}

/* Count what is left out. Whether the text can be used. */
static int is_usable(booksum_file *f, const place *p, const booksum_book *b)
{
    const int usable = b->text.text && b->summaries > 0;
    if ((b->blank_summaries > 0 || !usable) && f->blank_summaries + f->blank_texts == 0) f->first_blank = p->line;
    f->blank_summaries += b->blank_summaries;
    f->blank_texts += !usable;
    return usable;
}

static void free_place(place *p)
{
    free(p->bid);
    free(p->id);
}

static int add_record(booksum_file *f, place p, const json_t *object, pal_error *err)
{
    PAL_TRY(array_room(&f->place, &f->capacity, f->count + 1, sizeof *f->place, f->path, err));
    booksum_book book = {0};
    p.bid = take_id(object, "bid");
    p.id = take_id(object, id_key(object));
    int code = check_ids(f, &p, err);
    if (code == PAL_OK) code = take_book(f, &p, object, &book, err);
    const int usable = code == PAL_OK && is_usable(f, &p, &book);
    if (usable) code = extend_digest(f, &p, &book, err);
    if (usable)
        f->place[f->count++] = p;
    else
        free_place(&p);
    booksum_book_free(&book);
    return code;
}

/* ---- JSON lines ---- */

static int next_line(const booksum_file *f, place *p, json_t **object, pal_error *err)
{
    const char *line;
    size_t size;
    int found;
    *object = NULL;
    do {
        PAL_TRY(line_reader_next(f->lines, &found, &line, &size, err));
    } while (found && line_is_blank(line, size));
    if (!found) return PAL_OK;
    *p = (place){.offset = f->lines->offset, .line = f->lines->number};
    return parse_line(f, p, line, size, object, err);
}

/* ---- CSV ---- */

/* Find the columns in the header. */
static int read_header(booksum_file *f, pal_error *err)
{
    int found;
    PAL_TRY(csv_reader_next(f->csv, &found, err));
    f->columns = f->csv->fields;
    for (int c = 0; c < CSV_COLUMNS; c++) {
        f->column[c] = SIZE_MAX;
        for (size_t i = 0; i < f->columns; i++) {
            size_t size;
            if (strcmp(csv_reader_field(f->csv, i, &size), csv_name[c]) == 0) f->column[c] = i;
        }
        if (c <= CSV_SUMMARY && f->column[c] == SIZE_MAX)
            return pal_fail(err, PAL_DATA,
                            "%s:1: there is no column \"%s\"; a CSV file of summaries has bid, chapter and "
                            "summary_text",
                            f->path, csv_name[c]);
    }
    return PAL_OK;
}

static int next_row(const booksum_file *f, place *p, json_t **object, pal_error *err)
{
    int found;
    *object = NULL;
    PAL_TRY(csv_reader_next(f->csv, &found, err));
    if (!found) return PAL_OK;
    *p = (place){.offset = f->csv->offset, .line = f->csv->number};
    if (f->csv->fields != f->columns)
        return pal_fail(err, PAL_DATA,
                        "%s:%llu: the record has %zu fields, the header %zu; quote fields with commas", f->path,
                        (unsigned long long)p->line, f->csv->fields, f->columns);
    *object = json_object();
    int failed = !*object;
    for (int c = 0; !failed && c < CSV_COLUMNS; c++) {
        if (f->column[c] == SIZE_MAX) continue;
        size_t size;
        const char *text = csv_reader_field(f->csv, f->column[c], &size);
        failed = json_object_set_new(*object, csv_name[c], json_stringn(text, size)) != 0;
    }
    if (!failed) return PAL_OK;
    json_decref(*object);
    *object = NULL;
    return pal_fail(err, PAL_INTERNAL, "%s: out of memory for a record", f->path);
}

/* The next record and where it stands; *object is NULL at the end. */
static int next_record(const booksum_file *f, place *p, json_t **object, pal_error *err)
{
    return f->csv ? next_row(f, p, object, err) : next_line(f, p, object, err);
}

/* ---- The whole file ---- */

static int add_records(booksum_file *f, pal_error *err)
{
    for (;;) {
        place p;
        json_t *object;
        PAL_TRY(next_record(f, &p, &object, err));
        if (!object) break;
        const int code = add_record(f, p, object, err);
        json_decref(object);
        PAL_TRY(code);
    }
    if (f->lines) line_reader_rest(f->lines);
    if (f->count) return PAL_OK;
    if (f->blank_texts)
        return pal_fail(err, PAL_DATA, "%s: each of its %llu texts or their summaries are blank", f->path,
                        (unsigned long long)f->blank_texts);
    return pal_fail(err, PAL_DATA, "%s: there is no line in it", f->path);
}

static int is_csv(const char *path)
{
    size_t size = strlen(path);
    if (size > 3 && strcmp(path + size - 3, ".gz") == 0) size -= 3;
    return size > 4 && memcmp(path + size - 4, ".csv", 4) == 0;
}

static int open_file(booksum_file *f, pal_error *err)
{
    if (is_csv(f->path)) {
        f->csv = calloc(1, sizeof *f->csv);
        if (!f->csv) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", f->path);
        PAL_TRY(csv_reader_open(f->csv, f->path, PACKED_RANDOM, err));
        PAL_TRY(read_header(f, err));
    } else {
        f->lines = calloc(1, sizeof *f->lines);
        if (!f->lines) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", f->path);
        PAL_TRY(line_reader_open(f->lines, f->path, PACKED_RANDOM, err));
    }
    return add_records(f, err);
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
    const int code = open_file(f, err);
    if (code == PAL_OK)
        *out = f;
    else
        booksum_file_close(f);
    return code;
}

void booksum_file_close(booksum_file *f)
{
    if (!f) return;
    for (size_t i = 0; i < f->count; i++) free_place(&f->place[i]);
    free(f->place);
    if (f->lines) line_reader_close(f->lines);
    if (f->csv) csv_reader_close(f->csv);
    free(f->lines);
    free(f->csv);
    free(f->path);
    free(f);
}

int booksum_file_note(const booksum_file *f, char *out, size_t size)
{
    if (f->blank_summaries + f->blank_texts == 0) return 0;
    snprintf(out, size,
             "blank summaries left out: %llu; texts left out for it or as blank: %llu (first: line %llu)",
             (unsigned long long)f->blank_summaries, (unsigned long long)f->blank_texts,
             (unsigned long long)f->first_blank);
    return 1;
}

uint64_t booksum_file_work(const booksum_file *f)
{
    return text_file_work(f->csv ? f->csv->file : f->lines->file);
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

static int read_book(const booksum_file *f, const place *p, booksum_book *out, pal_error *err)
{
    place now;
    json_t *object;
    if (f->csv)
        PAL_TRY(csv_reader_seek(f->csv, p->offset, p->line, err));
    else
        PAL_TRY(line_reader_seek(f->lines, p->offset, p->line, err));
    PAL_TRY(next_record(f, &now, &object, err));
    int code = object ? take_book(f, p, object, out, err) : PAL_OK;
    json_decref(object);
    if (code == PAL_OK && !(out->text.text && out->summaries))
        code = pal_fail(err, PAL_DATA, "%s:%llu: the file was cut or changed since it was opened", f->path,
                        (unsigned long long)p->line);
    return code;
}

int booksum_file_read(const booksum_file *f, size_t index, booksum_book *out, pal_error *err)
{
    *out = (booksum_book){0};
    const int code = read_book(f, &f->place[index], out, err);
    if (code != PAL_OK) booksum_book_free(out);
    return code;
}

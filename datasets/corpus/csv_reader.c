/* Parses CSV one character at a time out of a fixed buffer. Memory grows with the longest record only,
 * up to a stated limit; records can be read again by their place. */
#include "datasets/corpus/csv_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int csv_reader_open(csv_reader *r, const char *path, packed_access access, pal_error *err)
{
    *r = (csv_reader){.line = 1};
    return text_file_open(&r->file, path, access, err);
}

void csv_reader_close(csv_reader *r)
{
    text_file_close(r->file);
    free(r->text);
    *r = (csv_reader){.line = 1};
}

int csv_reader_seek(csv_reader *r, uint64_t offset, uint64_t number, pal_error *err)
{
    const uint64_t begin = r->next - r->at; /* of the chunk */
    r->line = number;
    r->next = offset;
    if (offset >= begin && offset - begin < r->used) {
        r->at = (size_t)(offset - begin);
        return PAL_OK;
    }
    r->at = r->used = 0;
    return text_file_seek(r->file, offset, err);
}

const char *csv_reader_field(const csv_reader *r, size_t index, size_t *size)
{
    *size = r->field[index + 1] - r->field[index] - 1;
    return r->text + r->field[index];
}

static int bad(const csv_reader *r, uint64_t line, const char *what, pal_error *err)
{
    return pal_fail(err, PAL_DATA, "%s:%llu: %s", text_file_path(r->file), (unsigned long long)line, what);
}

/* The next character, or EOF, without taking it. */
static int peek(csv_reader *r, int *c, pal_error *err)
{
    if (r->at == r->used) {
        r->at = r->used = 0;
        PAL_TRY(text_file_read(r->file, r->chunk, sizeof r->chunk, &r->used, err));
    }
    *c = r->used ? (unsigned char)r->chunk[r->at] : EOF;
    return PAL_OK;
}

static void take(csv_reader *r)
{
    r->line += r->chunk[r->at] == '\n';
    r->at++;
    r->next++;
}

static int put(csv_reader *r, int c, pal_error *err)
{
    if (r->size == CSV_BYTES_MAX) return bad(r, r->number, "the record is longer than 64 MiB; split it", err);
    if (r->size == r->capacity) {
        const size_t capacity = 2 * r->capacity + 4096;
        char *grown = realloc(r->text, capacity);
        if (!grown) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for a record", text_file_path(r->file));
        r->text = grown;
        r->capacity = capacity;
    }
    r->text[r->size++] = (char)(unsigned char)c;
    return PAL_OK;
}

/* The inside of a field whose opening quote was taken; takes the closing one. */
static int read_quoted(csv_reader *r, pal_error *err)
{
    const uint64_t began = r->line;
    for (;;) {
        int c;
        PAL_TRY(peek(r, &c, err));
        if (c == EOF) return bad(r, began, "a quote is opened here and never closed", err);
        take(r);
        if (c == '"') {
            PAL_TRY(peek(r, &c, err));
            if (c != '"') break;
            take(r);
        }
        PAL_TRY(put(r, c, err));
    }
    int c;
    PAL_TRY(peek(r, &c, err));
    if (c == ',' || c == '\n' || c == '\r' || c == EOF) return PAL_OK;
    return bad(r, r->line, "there is text behind a closing quote; a quote inside a field must be doubled", err);
}

/* One field, up to the comma or line end behind it, which stays. */
static int read_field(csv_reader *r, pal_error *err)
{
    int c;
    PAL_TRY(peek(r, &c, err));
    if (c == '"') {
        take(r);
        PAL_TRY(read_quoted(r, err));
    } else {
        for (; c != ',' && c != '\n' && c != '\r' && c != EOF;) {
            PAL_TRY(put(r, c, err));
            take(r);
            PAL_TRY(peek(r, &c, err));
        }
    }
    return put(r, '\0', err);
}

/* Take the end of a line, if it is there. */
static int take_line_end(csv_reader *r, int *taken, pal_error *err)
{
    int c;
    PAL_TRY(peek(r, &c, err));
    *taken = c == '\r' || c == '\n';
    if (!*taken) return PAL_OK;
    take(r);
    if (c == '\n') return PAL_OK;
    PAL_TRY(peek(r, &c, err));
    if (c == '\n') take(r);
    return PAL_OK;
}

int csv_reader_next(csv_reader *r, int *found, pal_error *err)
{
    int c, empty = 1;
    r->size = r->fields = 0;
    while (empty) PAL_TRY(take_line_end(r, &empty, err));
    PAL_TRY(peek(r, &c, err));
    *found = c != EOF;
    r->offset = r->next;
    r->number = r->line;
    if (!*found) return PAL_OK;
    for (;;) {
        if (r->fields == CSV_FIELDS_MAX) return bad(r, r->number, "the record has too many fields", err);
        PAL_TRY(read_field(r, err));
        r->field[++r->fields] = r->size;
        PAL_TRY(peek(r, &c, err));
        if (c != ',') break;
        take(r);
    }
    return take_line_end(r, &empty, err);
}

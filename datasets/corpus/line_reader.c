/* Lines out of a text file. One buffer holds the current line and what was read beyond it.
 * Lines in the file's order need no seek, and memory is bounded by the longest line that is allowed. */
#include "datasets/corpus/line_reader.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 16 };

int line_reader_open(line_reader *r, const char *path, packed_access access, pal_error *err)
{
    *r = (line_reader){.number = 1};
    return text_file_open(&r->file, path, access, err);
}

void line_reader_close(line_reader *r)
{
    text_file_close(r->file);
    free(r->text);
    *r = (line_reader){0};
}

void line_reader_rest(line_reader *r)
{
    free(r->text);
    *r = (line_reader){.file = r->file, .number = 1};
}

int line_reader_seek(line_reader *r, uint64_t offset, uint64_t number, pal_error *err)
{
    const uint64_t held = r->used - r->start;
    const int here = offset >= r->offset && offset - r->offset < held;
    r->start = here ? r->start + (size_t)(offset - r->offset) : 0;
    if (!here) r->used = 0;
    r->size = 0;
    r->any = 0;
    r->offset = offset;
    r->number = number;
    if (here) return PAL_OK;
    r->end = 0;
    return text_file_seek(r->file, offset, err);
}

/* Drop what is before the current line and read on. */
static int read_more(line_reader *r, pal_error *err)
{
    r->used -= r->start;
    if (r->start) memmove(r->text, r->text + r->start, r->used);
    r->start = 0;
    if (r->used > LINE_BYTES_MAX)
        return pal_fail(
            err, PAL_DATA,
            "%s:%llu: the line is longer than %d MiB; make its text a file of its own, which is read as a stream",
            text_file_path(r->file), (unsigned long long)r->number, LINE_BYTES_MAX >> 20);
    if (r->capacity - r->used < CHUNK) {
        const size_t capacity = 2 * r->capacity + CHUNK;
        char *grown = realloc(r->text, capacity);
        if (!grown)
            return pal_fail(err, PAL_INTERNAL, "%s:%llu: out of memory for a line of %zu bytes",
                            text_file_path(r->file), (unsigned long long)r->number, r->used);
        r->text = grown;
        r->capacity = capacity;
    }
    size_t got;
    PAL_TRY(text_file_read(r->file, r->text + r->used, CHUNK, &got, err));
    r->used += got;
    r->end = got == 0;
    return PAL_OK;
}

int line_reader_next(line_reader *r, int *found, const char **line, size_t *size, pal_error *err)
{
    *found = 0;
    if (r->any) {
        r->start += r->size + 1;
        r->offset += r->size + 1;
        r->number++;
        if (r->start > r->used) r->start = r->used; /* the last line had no newline */
    }
    const char *stop = NULL;
    for (size_t scanned = 0;;) {
        const size_t held = r->used - r->start;
        if (held > scanned) stop = memchr(r->text + r->start + scanned, '\n', held - scanned);
        if (stop || r->end) break;
        scanned = held;
        PAL_TRY(read_more(r, err));
    }
    r->size = stop ? (size_t)(stop - r->text) - r->start : r->used - r->start;
    *found = r->any = stop || r->size > 0;
    *line = r->text + r->start;
    *size = r->size;
    return PAL_OK;
}

int line_is_blank(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!line[i] || !strchr(" \t\r\n\v\f", line[i])) return 0;
    return 1;
}

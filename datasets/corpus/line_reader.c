#include "datasets/corpus/line_reader.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 16 };

int line_reader_open(line_reader *r, const char *path, pal_error *err)
{
    *r = (line_reader){.number = 1};
    return text_file_open(&r->file, path, err);
}

void line_reader_close(line_reader *r)
{
    text_file_close(r->file);
    free(r->text);
    *r = (line_reader){0};
}

int line_reader_seek(line_reader *r, uint64_t offset, uint64_t number, pal_error *err)
{
    r->start = r->size = r->used = 0;
    r->any = r->end = 0;
    r->offset = offset;
    r->number = number;
    return text_file_seek(r->file, offset, err);
}

/* Drop what is before the current line and read on. */
static int read_more(line_reader *r, pal_error *err)
{
    r->used -= r->start;
    if (r->start) memmove(r->text, r->text + r->start, r->used);
    r->start = 0;
    if (r->capacity - r->used < CHUNK) {
        const size_t capacity = 2 * r->capacity + CHUNK;
        char *grown = realloc(r->text, capacity);
        if (!grown) return pal_fail(err, PAL_INTERNAL, "out of memory for a line of %zu bytes", r->used);
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

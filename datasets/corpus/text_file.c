/* UTF-8 text out of a plain or gzip file, in pieces of whole characters.
 * What is not UTF-8 is refused with its place; a byte order mark at the beginning is left out. */
#include "datasets/corpus/text_file.h"

#include "harness/base/utf8.h"

#include <stdlib.h>
#include <string.h>

struct text_file {
    packed_file *file;
    uint64_t offset; /* of the first byte of `part` in the text */
    size_t mark;     /* bytes of the file's byte order mark */
    char part[4];    /* read but not handed out: less than a whole character, but for the file's first bytes */
    size_t part_size;
};

/* Read the first bytes, to find a byte order mark. */
static int read_mark(text_file *f, pal_error *err)
{
    for (size_t got = 1; got > 0 && f->part_size < UTF8_MARK; f->part_size += got)
        PAL_TRY(packed_read(f->file, f->part + f->part_size, UTF8_MARK - f->part_size, &got, err));
    PAL_TRY(utf8_refuse_16(packed_path(f->file), f->part, f->part_size, err));
    f->mark = utf8_mark(f->part, f->part_size);
    f->part_size -= f->mark;
    return PAL_OK;
}

int text_file_open(text_file **out, const char *path, packed_access access, pal_error *err)
{
    *out = NULL;
    text_file *f = calloc(1, sizeof *f);
    if (!f) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    int code = packed_open(&f->file, path, access, err);
    if (code == PAL_OK) code = read_mark(f, err);
    if (code == PAL_OK)
        *out = f;
    else
        text_file_close(f);
    return code;
}

int text_file_seek(text_file *f, uint64_t offset, pal_error *err)
{
    f->part_size = 0;
    f->offset = offset;
    return packed_seek(f->file, offset + f->mark, err);
}

static int not_utf8(const text_file *f, uint64_t offset, const char *why, pal_error *err)
{
    return pal_fail(err, PAL_DATA, "%s: byte offset %llu: %s; convert the file to UTF-8", packed_path(f->file),
                    (unsigned long long)(offset + f->mark), why);
}

int text_file_read(text_file *f, char *text, size_t max, size_t *got, pal_error *err)
{
    *got = 0;
    size_t have = f->part_size, count = 1;
    memcpy(text, f->part, have);
    f->part_size = 0;
    while (*got == 0 && count > 0) { /* a short read may end within the first character */
        int broken;
        PAL_TRY(packed_read(f->file, text + have, max - have, &count, err));
        have += count;
        *got = utf8_valid(text, have, &broken);
        if (broken) return not_utf8(f, f->offset + *got, "not UTF-8", err);
    }
    if (count == 0 && *got < have) return not_utf8(f, f->offset + *got, "the file ends within a character", err);
    f->part_size = have - *got;
    memcpy(f->part, text + *got, f->part_size);
    f->offset += *got;
    return PAL_OK;
}

const char *text_file_path(const text_file *f)
{
    return packed_path(f->file);
}

uint64_t text_file_work(const text_file *f)
{
    return packed_work(f->file);
}

void text_file_close(text_file *f)
{
    if (!f) return;
    packed_close(f->file);
    free(f);
}

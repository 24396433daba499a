#include "datasets/corpus/text_file.h"

#include "harness/base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

struct text_file {
    char *path;
    gzFile gz;       /* reads plain files as they are */
    uint64_t offset; /* of the first byte of `part` in the unpacked text */
    char part[4];    /* the beginning of a character whose end was not read yet */
    size_t part_size;
};

/* Bytes of the character that begins with `lead`, and the bounds of its second byte; 0 for no lead byte. */
static size_t character_size(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    *high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

size_t text_valid(const char *text, size_t size, int *broken)
{
    *broken = 0;
    size_t at = 0;
    while (at < size) {
        uint64_t eight;
        if (size - at >= sizeof eight) { /* most text is ASCII */
            memcpy(&eight, text + at, sizeof eight);
            if (!(eight & UINT64_C(0x8080808080808080))) {
                at += sizeof eight;
                continue;
            }
        }
        unsigned char low, high;
        const size_t wanted = character_size((unsigned char)text[at], &low, &high);
        size_t good = 1;
        while (good < wanted && at + good < size) {
            const unsigned char next = (unsigned char)text[at + good];
            if (next < low || next > high) break;
            low = 0x80;
            high = 0xBF;
            good++;
        }
        if (good != wanted) {
            *broken = wanted == 0 || at + good < size;
            return at;
        }
        at += wanted;
    }
    return at;
}

static int ends_with(const char *text, const char *end)
{
    const size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

int text_file_open(text_file **out, const char *path, pal_error *err)
{
    text_file *f = calloc(1, sizeof *f);
    char *name = strdup(path);
    *out = NULL;
    if (!f || !name) {
        free(f);
        free(name);
        return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    }
    f->path = name;
    int fd;
    int code = os_open_regular(path, O_RDONLY, &fd, err);
    if (code == PAL_OK && !(f->gz = gzdopen(fd, "rb"))) {
        close(fd);
        code = pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    } else if (code == PAL_OK && (gzbuffer(f->gz, 1 << 17), ends_with(path, ".gz") && gzdirect(f->gz)))
        code = pal_fail(err, PAL_DATA, "%s: is not gzip, though named so; rename or pack it", path);
    if (code != PAL_OK)
        text_file_close(f);
    else
        *out = f;
    return code;
}

/* PAL_OK unless zlib met an error. */
static int check_stream(const text_file *f, pal_error *err)
{
    int code = Z_OK;
    const char *text = gzerror(f->gz, &code);
    if (code == Z_OK || code == Z_STREAM_END) return PAL_OK;
    if (code == Z_ERRNO) return pal_fail(err, PAL_DATA, "%s: cannot read: %s", f->path, strerror(errno));
    if (code == Z_MEM_ERROR) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", f->path);
    if (code == Z_BUF_ERROR)
        return pal_fail(err, PAL_DATA, "%s: the gzip stream is cut short after %llu bytes of text; get it again",
                        f->path, (unsigned long long)gztell(f->gz));
    return pal_fail(err, PAL_DATA, "%s: the gzip stream is broken after %llu bytes of text (%s); get it again",
                    f->path, (unsigned long long)gztell(f->gz), text);
}

int text_file_seek(text_file *f, uint64_t offset, pal_error *err)
{
    f->part_size = 0;
    f->offset = offset;
    if (gzseek(f->gz, (z_off_t)offset, SEEK_SET) >= 0) return PAL_OK;
    PAL_TRY(check_stream(f, err));
    return pal_fail(err, PAL_DATA, "%s: cannot go to byte %llu", f->path, (unsigned long long)offset);
}

static int not_utf8(const text_file *f, uint64_t offset, const char *why, pal_error *err)
{
    return pal_fail(err, PAL_DATA, "%s: byte offset %llu: %s; convert the file to UTF-8", f->path,
                    (unsigned long long)offset, why);
}

int text_file_read(text_file *f, char *text, size_t max, size_t *got, pal_error *err)
{
    *got = 0;
    size_t have = f->part_size;
    memcpy(text, f->part, have);
    const size_t room = max - have < INT_MAX ? max - have : INT_MAX;
    const int count = gzread(f->gz, text + have, (unsigned)room);
    if (count < (int)room) PAL_TRY(check_stream(f, err));
    if (count == 0 && have > 0) return not_utf8(f, f->offset, "the file ends within a character", err);
    if (count > 0) have += (size_t)count;

    int broken;
    const size_t whole = text_valid(text, have, &broken);
    if (broken) return not_utf8(f, f->offset + whole, "not UTF-8", err);
    f->part_size = have - whole;
    memcpy(f->part, text + whole, f->part_size);
    f->offset += whole;
    *got = whole;
    /* Only the end of the file may cut a character so early that nothing else was read. */
    if (whole == 0 && have > 0) return not_utf8(f, f->offset, "the file ends within a character", err);
    return PAL_OK;
}

void text_file_close(text_file *f)
{
    if (!f) return;
    if (f->gz) gzclose_r(f->gz);
    free(f->path);
    free(f);
}

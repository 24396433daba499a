/* Plain and gzip files as bytes. zlib's own gzread stops quietly where a later member is damaged, so members are
 * walked here; random access goes by saved places of the deflate stream (the method of zlib's examples/zran.c). */
#include "datasets/corpus/packed_file.h"

#include "harness/base/array.h"
#include "harness/base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum {
    INPUT = 1 << 17,
    WINDOW = 1 << 15,  /* how far back deflate refers */
    SPACING = 1 << 20, /* bytes of text between saved places */
    TRAILER = 8,       /* checksum and size behind the deflate data */
    GZIP_BITS = 15 + 16,
    RAW_BITS = -15
};

/* A place between two deflate blocks. */
typedef struct place {
    uint64_t text, file;   /* offsets */
    int bits;              /* of the byte before `file` that belong to the next block */
    unsigned char *window; /* the text before it */
    unsigned window_size;
} place;

struct packed_file {
    char *path;
    int fd, gzip, random;
    unsigned char *input; /* input[at .. size) is not used yet */
    size_t at, size;
    int input_end;       /* the file holds nothing beyond input[size] */
    uint64_t file, text; /* offsets: of input[size], and of the next byte handed out */
    z_stream z;
    int in_member, raw; /* raw: entered in its midst, so that the trailer is skipped and not checked */
    size_t trailer;     /* bytes of it still to skip */
    uint64_t members;   /* that ended */
    place *place;
    size_t places, capacity;
    uint64_t work;
};

static int ends_with(const char *text, const char *end)
{
    const size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* Read more, keeping what is not used yet. */
static int fill(packed_file *f, pal_error *err)
{
    f->size -= f->at;
    memmove(f->input, f->input + f->at, f->size);
    f->at = 0;
    while (f->size < INPUT && !f->input_end) {
        const ssize_t got = read(f->fd, f->input + f->size, INPUT - f->size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return pal_fail(err, PAL_DATA, "%s: cannot read: %s", f->path, strerror(errno));
        f->input_end = got == 0;
        f->size += (size_t)got;
        f->file += (uint64_t)got;
        f->work += (uint64_t)got;
    }
    return PAL_OK;
}

static int prepare(packed_file *f, const char *path, pal_error *err)
{
    f->path = strdup(path);
    f->input = malloc(INPUT);
    if (!f->path || !f->input) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    PAL_TRY(os_open_regular(path, O_RDONLY, &f->fd, err));
    PAL_TRY(fill(f, err));
    f->gzip = f->size >= 2 && f->input[0] == 0x1F && f->input[1] == 0x8B;
    if (!f->gzip && ends_with(path, ".gz"))
        return pal_fail(err, PAL_DATA, "%s: is not gzip, though named so; rename or pack it", path);
    if (f->gzip && inflateInit2(&f->z, GZIP_BITS) != Z_OK) {
        f->gzip = 0;
        return pal_fail(err, PAL_INTERNAL, "%s: out of memory for zlib", path);
    }
    return PAL_OK;
}

int packed_open(packed_file **out, const char *path, packed_access access, pal_error *err)
{
    *out = NULL;
    packed_file *f = calloc(1, sizeof *f);
    if (!f) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    f->fd = -1;
    f->random = access == PACKED_RANDOM;
    const int code = prepare(f, path, err);
    if (code == PAL_OK)
        *out = f;
    else
        packed_close(f);
    return code;
}

void packed_close(packed_file *f)
{
    if (!f) return;
    if (f->gzip) inflateEnd(&f->z);
    if (f->fd >= 0) close(f->fd);
    for (size_t i = 0; i < f->places; i++) free(f->place[i].window);
    free(f->place);
    free(f->input);
    free(f->path);
    free(f);
}

uint64_t packed_work(const packed_file *f)
{
    return f->work;
}

const char *packed_path(const packed_file *f)
{
    return f->path;
}

/* ---- gzip ---- */

static int damaged(const packed_file *f, const char *what, pal_error *err)
{
    return pal_fail(err, PAL_DATA,
                    "%s: the gzip stream is %s at byte %llu of the file, after %llu bytes of text; get it again",
                    f->path, what, (unsigned long long)(f->file - (f->size - f->at)), (unsigned long long)f->text);
}

/* Go on at the next member, if there is one. *end: the file ends here. */
static int next_member(packed_file *f, int *end, pal_error *err)
{
    while (f->trailer > 0) {
        if (f->at == f->size) PAL_TRY(fill(f, err));
        const size_t held = f->size - f->at, skipped = held < f->trailer ? held : f->trailer;
        if (held == 0) return damaged(f, "cut short", err);
        f->at += skipped;
        f->trailer -= skipped;
    }
    if (f->size - f->at < 2) PAL_TRY(fill(f, err));
    *end = f->at == f->size;
    if (*end) return PAL_OK;
    if (f->size - f->at < 2 || f->input[f->at] != 0x1F || f->input[f->at + 1] != 0x8B)
        return damaged(f, "followed by something that is no gzip", err);
    inflateReset2(&f->z, GZIP_BITS);
    f->in_member = 1;
    f->raw = 0;
    return PAL_OK;
}

/* Save the place where zlib stopped, if it is a useful one. */
static int save_place(packed_file *f, pal_error *err)
{
    const int between_blocks = f->z.data_type & 128, last_block = f->z.data_type & 64;
    const uint64_t next = f->places ? f->place[f->places - 1].text + SPACING : SPACING;
    if (!f->random || !f->in_member || !between_blocks || last_block || f->text < next) return PAL_OK;
    PAL_TRY(array_room(&f->place, &f->capacity, f->places + 1, sizeof *f->place, f->path, err));
    place p = {.text = f->text, .file = f->file - (f->size - f->at), .bits = f->z.data_type & 7};
    p.window = malloc(WINDOW);
    if (!p.window) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for places in it", f->path);
    inflateGetDictionary(&f->z, p.window, &p.window_size);
    unsigned char *fitted = realloc(p.window, p.window_size ? p.window_size : 1);
    if (fitted) p.window = fitted;
    f->place[f->places++] = p;
    return PAL_OK;
}

/* Unpack some of the member into bytes[max]. */
static int inflate_some(packed_file *f, char *bytes, size_t max, size_t *got, pal_error *err)
{
    if (f->at == f->size) PAL_TRY(fill(f, err));
    if (f->at == f->size) return damaged(f, "cut short", err);
    f->z.next_in = f->input + f->at;
    f->z.avail_in = (uInt)(f->size - f->at);
    f->z.next_out = (Bytef *)bytes;
    f->z.avail_out = (uInt)max;
    const int status = inflate(&f->z, f->random ? Z_BLOCK : Z_NO_FLUSH);
    f->at = f->size - f->z.avail_in;
    *got = max - f->z.avail_out;
    f->text += *got;
    f->work += *got;
    if (status == Z_STREAM_END) {
        f->in_member = 0;
        f->members++;
        f->trailer = f->raw ? TRAILER : 0;
        return PAL_OK;
    }
    if (status == Z_MEM_ERROR) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for zlib", f->path);
    if (status != Z_OK && status != Z_BUF_ERROR) return damaged(f, "broken", err);
    return save_place(f, err);
}

static int read_gzip(packed_file *f, char *bytes, size_t max, size_t *got, pal_error *err)
{
    for (int end = 0; *got == 0;) {
        if (!f->in_member) PAL_TRY(next_member(f, &end, err));
        if (end) break;
        PAL_TRY(inflate_some(f, bytes, max, got, err));
    }
    return PAL_OK;
}

int packed_read(packed_file *f, char *bytes, size_t max, size_t *got, pal_error *err)
{
    enum { MOST = 1 << 30 }; /* zlib counts in unsigned int */
    *got = 0;
    if (max > MOST) max = MOST;
    if (max == 0) return PAL_OK;
    if (f->gzip) return read_gzip(f, bytes, max, got, err);
    if (f->at == f->size) PAL_TRY(fill(f, err));
    const size_t held = f->size - f->at;
    *got = held < max ? held : max;
    memcpy(bytes, f->input + f->at, *got);
    f->at += *got;
    f->text += *got;
    return PAL_OK;
}

/* ---- Going to a place ---- */

/* Let the next byte read be that at `file`. */
static int restart(packed_file *f, uint64_t file, pal_error *err)
{
    if (lseek(f->fd, (off_t)file, SEEK_SET) < 0)
        return pal_fail(err, PAL_DATA, "%s: cannot go to byte %llu: %s", f->path, (unsigned long long)file,
                        strerror(errno));
    f->at = f->size = 0;
    f->input_end = 0;
    f->file = file;
    return PAL_OK;
}

static int enter(packed_file *f, const place *p, pal_error *err)
{
    f->trailer = 0;
    f->in_member = p != NULL;
    f->raw = f->in_member;
    f->text = p ? p->text : 0;
    if (!p) return restart(f, 0, err);
    PAL_TRY(restart(f, p->file - (p->bits > 0), err));
    inflateReset2(&f->z, RAW_BITS);
    if (p->bits > 0) {
        PAL_TRY(fill(f, err));
        if (f->size == 0) return damaged(f, "cut short", err);
        inflatePrime(&f->z, p->bits, f->input[f->at++] >> (8 - p->bits));
    }
    inflateSetDictionary(&f->z, p->window, p->window_size);
    return PAL_OK;
}

/* The last saved place at or before `offset`; NULL: the beginning. */
static const place *last_before(const packed_file *f, uint64_t offset)
{
    size_t low = 0, high = f->places;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (f->place[middle].text <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? &f->place[low - 1] : NULL;
}

static int seek_gzip(packed_file *f, uint64_t offset, pal_error *err)
{
    const place *p = last_before(f, offset);
    if (offset < f->text || (p && p->text > f->text)) PAL_TRY(enter(f, p, err));
    char skipped[1 << 14];
    while (f->text < offset) {
        const uint64_t left = offset - f->text;
        size_t got = 0;
        PAL_TRY(read_gzip(f, skipped, left < sizeof skipped ? (size_t)left : sizeof skipped, &got, err));
        if (got == 0) break; /* what is read there is nothing */
    }
    return PAL_OK;
}

int packed_seek(packed_file *f, uint64_t offset, pal_error *err)
{
    if (f->gzip) return seek_gzip(f, offset, err);
    if (offset < f->text || offset - f->text > f->size - f->at)
        PAL_TRY(restart(f, offset, err));
    else
        f->at += (size_t)(offset - f->text);
    f->text = offset;
    return PAL_OK;
}

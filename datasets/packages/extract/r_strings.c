/* r_strings RDB DIRECTORY: the character vectors that an R package's lazy-load data base holds, each written to
 * DIRECTORY/N.txt (N = 1, 2, ... by place in the file) with a newline after each string.
 *
 * The file is a row of objects: 4 bytes of unpacked size (big-endian), then a zlib stream of R's binary ("X")
 * serialisation, see "R Internals", sections 1.8 and 5.1. Objects of other types are passed over. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { STRING_VECTOR = 16, STRING = 9 };

typedef struct bytes {
    const unsigned char *at, *end;
} bytes;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "r_strings: %s: %s\n", what, why);
    exit(1);
}

static uint32_t number(bytes *b, const char *path)
{
    if (b->end - b->at < 4) die(path, "ends too early");
    const unsigned char *p = b->at;
    b->at += 4;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The header of a serialised object; returns its type. */
static uint32_t object_type(bytes *b, const char *path)
{
    if (b->end - b->at < 2 || memcmp(b->at, "X\n", 2) != 0) die(path, "an object is not of R's binary format");
    b->at += 2;
    const uint32_t version = number(b, path);
    number(b, path); /* of R that wrote it */
    number(b, path); /* of R that can read it */
    if (version == 3) {
        const uint32_t size = number(b, path); /* the native encoding's name */
        if (size > (size_t)(b->end - b->at)) die(path, "ends too early");
        b->at += size;
    } else if (version != 2)
        die(path, "unknown version of R's serialisation");
    return number(b, path) & 0xFF;
}

static void write_strings(bytes *b, const char *path, const char *to)
{
    FILE *out = fopen(to, "wb");
    if (!out) die(to, "cannot create");
    for (uint32_t count = number(b, path); count > 0; count--) {
        if ((number(b, path) & 0xFF) != STRING) die(path, "a string is missing");
        const uint32_t size = number(b, path);
        if (size == UINT32_MAX) die(path, "a string is not available (NA)");
        if (size > (size_t)(b->end - b->at)) die(path, "ends too early");
        fwrite(b->at, 1, size, out);
        fputc('\n', out);
        b->at += size;
    }
    if (ferror(out) || fclose(out) != 0) die(to, "cannot write");
}

static unsigned char *read_all(const char *path, size_t *size)
{
    FILE *in = fopen(path, "rb");
    if (!in || fseek(in, 0, SEEK_END) != 0) die(path, "cannot open");
    const long end = ftell(in);
    unsigned char *data = malloc(end > 0 ? (size_t)end : 1);
    rewind(in);
    if (end < 0 || !data || fread(data, 1, (size_t)end, in) != (size_t)end) die(path, "cannot read");
    fclose(in);
    *size = (size_t)end;
    return data;
}

int main(int argc, char **argv)
{
    if (argc != 3) die("usage", "r_strings RDB DIRECTORY");
    size_t size;
    unsigned char *data = read_all(argv[1], &size);
    bytes file = {data, data + size};
    for (int count = 0; file.at < file.end;) {
        const uint32_t unpacked = number(&file, argv[1]);
        unsigned char *object = malloc(unpacked + 1);
        z_stream z = {.next_in = (Bytef *)file.at,
                      .avail_in = (uInt)(file.end - file.at),
                      .next_out = object,
                      .avail_out = unpacked};
        if (!object || inflateInit(&z) != Z_OK) die(argv[1], "out of memory");
        if (inflate(&z, Z_FINISH) != Z_STREAM_END || z.total_out != unpacked)
            die(argv[1], "a zlib stream is broken");
        file.at = z.next_in;
        inflateEnd(&z);
        bytes b = {object, object + unpacked};
        if (object_type(&b, argv[1]) == STRING_VECTOR) {
            char to[4096];
            if ((size_t)snprintf(to, sizeof to, "%s/%d.txt", argv[2], ++count) >= sizeof to)
                die(argv[2], "too long");
            write_strings(&b, argv[1], to);
        }
        free(object);
    }
    free(data);
    return 0;
}

/* Reading safetensors files. The header is checked against the file's size before anything is allocated for data.
 * Every byte of the data belongs to exactly one tensor, and our own files match their digest. */
#include "models/files/safetensors.h"
#include "harness/base/os.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define AGAIN "; fetch or train it again"

/* The reference implementation reads no longer header. */
enum { HEADER_MOST = 100 * 1000 * 1000 };

enum { MAX_DIMS = sizeof((st_tensor *)0)->dim / sizeof(size_t) };

int st_reserved(const char *key)
{
    return strcmp(key, ST_FORMAT_KEY) == 0 || strcmp(key, ST_DIGEST_KEY) == 0 || strcmp(key, ST_CONFIG_KEY) == 0;
}

char *st_digest_place(char *buffer)
{
    return buffer + ST_LENGTH_BYTES + sizeof ST_OPENING - 1;
}

void st_compute_digest(st_file *f)
{
    char kept[ST_DIGEST_CHARS], *place = st_digest_place(f->buffer);
    memcpy(kept, place, ST_DIGEST_CHARS);
    memset(place, '0', ST_DIGEST_CHARS);
    hash_hex(f->buffer, f->size, f->digest);
    memcpy(place, kept, ST_DIGEST_CHARS);
}

/* ---- The header ---- */

static int wrong_digest(const char *path, pal_error *err)
{
    return pal_fail(err, PAL_DATA, "%s: content does not match its SHA-256 (a flipped byte or a torn copy)" AGAIN,
                    path);
}

/* What digest the header claims, if any; the data is compared with it later. */
static int take_claim(const char *path, st_file *f, size_t header_size, const json_t *metadata, pal_error *err)
{
    const char *digest = json_string_value(json_object_get(metadata, ST_DIGEST_KEY));
    const char *format = json_string_value(json_object_get(metadata, ST_FORMAT_KEY));
    if (!digest) {
        if (format && strcmp(format, ST_OURS) == 0)
            return pal_fail(err, PAL_DATA, "%s: its SHA-256 is missing from the header" AGAIN, path);
        return PAL_OK;
    }
    if (strlen(digest) != ST_DIGEST_CHARS || header_size < sizeof ST_OPENING - 1 + ST_DIGEST_CHARS ||
        memcmp(f->buffer + ST_LENGTH_BYTES, ST_OPENING, sizeof ST_OPENING - 1) != 0)
        return wrong_digest(path, err);
    memcpy(f->claimed, digest, sizeof f->claimed);
    return PAL_OK;
}

static int read_metadata(const char *path, st_file *f, json_t *metadata, pal_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value)
    {
        const char *text = json_string_value(value);
        if (!text) return pal_fail(err, PAL_DATA, "%s: __metadata__ \"%.60s\" is not a string" AGAIN, path, key);
        if (strcmp(key, ST_DIGEST_KEY) == 0) continue;
        if (strcmp(key, ST_CONFIG_KEY) == 0) {
            f->config = strdup(text);
            if (!f->config) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
            continue;
        }
        if (!*key || strlen(key) >= sizeof f->metadata.pair->key || strlen(text) >= KV_TEXT_MAX) continue;
        PAL_TRY(kv_pairs_add(&f->metadata, key, text, path, err));
    }
    return PAL_OK;
}

/* A whole number >= 0 in out; 0 when it is none. */
static int read_count(const json_t *value, size_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) return 0;
    *out = (size_t)json_integer_value(value);
    return 1;
}

/* One header entry. data_offsets are relative to the `data_size` bytes behind the header, at byte `data` of the
 * file.
 */
static int read_tensor(const char *path, const char *name, const json_t *entry, size_t data, size_t data_size,
                       st_tensor *t, pal_error *err)
{
    if (strlen(name) >= sizeof t->name)
        return pal_fail(err, PAL_DATA, "%s: the tensor name \"%.40s...\" is longer than %zu characters", path,
                        name, sizeof t->name - 1);
    memcpy(t->name, name, strlen(name) + 1);

    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const json_t *shape = json_object_get(entry, "shape"), *offsets = json_object_get(entry, "data_offsets");
    size_t begin = 0, end = 0;
    if (!dtype || !json_is_array(shape) || json_array_size(offsets) != 2 ||
        !read_count(json_array_get(offsets, 0), &begin) || !read_count(json_array_get(offsets, 1), &end))
        return pal_fail(err, PAL_DATA, "%s: tensor \"%s\" lacks a dtype, a shape or two data_offsets" AGAIN, path,
                        name);
    int kind = 0;
    while (kind < ST_DTYPES && strcmp(st_dtype_name((st_dtype)kind), dtype) != 0) kind++;
    if (kind == ST_DTYPES)
        return pal_fail(err, PAL_DATA, "%s: tensor \"%s\" has dtype %.16s; convert it to F32, F16 or BF16", path,
                        name, dtype);
    t->dtype = (st_dtype)kind;

    if (json_array_size(shape) > MAX_DIMS)
        return pal_fail(err, PAL_DATA, "%s: tensor \"%s\" has %zu dimensions; up to %d can be read", path, name,
                        json_array_size(shape), (int)MAX_DIMS);
    t->dims = (int)json_array_size(shape);
    t->bytes = st_dtype_bytes((st_dtype)kind);
    for (int i = 0; i < t->dims; i++)
        if (!read_count(json_array_get(shape, (size_t)i), &t->dim[i]) ||
            __builtin_mul_overflow(t->bytes, t->dim[i], &t->bytes))
            return pal_fail(err, PAL_DATA, "%s: tensor \"%s\" has an impossible shape" AGAIN, path, name);
    if (begin > end || end > data_size)
        return pal_fail(err, PAL_DATA,
                        "%s: tensor \"%s\" lies at bytes %zu to %zu of %zu: the file is cut short" AGAIN, path,
                        name, begin, end, data_size);
    if (end - begin != t->bytes)
        return pal_fail(err, PAL_DATA, "%s: tensor \"%s\" has %zu bytes where its shape needs %zu" AGAIN, path,
                        name, end - begin, t->bytes);
    t->offset = data + begin;
    return PAL_OK;
}

static int by_place(const void *a, const void *b)
{
    const st_tensor *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes; /* empty tensors share a place: they come first */
}

/* Data must be covered once and wholly, as the format asks. */
static int check_places(const char *path, st_file *f, size_t data, pal_error *err)
{
    qsort(f->tensor, f->count, sizeof *f->tensor, by_place);
    size_t next = data;
    for (size_t i = 0; i < f->count; i++) {
        const st_tensor *t = &f->tensor[i];
        if (t->offset != next)
            return pal_fail(err, PAL_DATA, "%s: the data of tensor \"%s\" %s" AGAIN, path, t->name,
                            t->offset < next ? "overlaps another's" : "follows a gap");
        next += t->bytes;
    }
    if (next != f->size)
        return pal_fail(err, PAL_DATA, "%s: %zu bytes behind the last tensor belong to none" AGAIN, path,
                        f->size - next);
    return PAL_OK;
}

static int read_entries(const char *path, st_file *f, size_t header_size, json_t *root, pal_error *err)
{
    json_t *metadata = json_object_get(root, "__metadata__");
    if (metadata && !json_is_object(metadata))
        return pal_fail(err, PAL_DATA, "%s: __metadata__ is not an object" AGAIN, path);
    PAL_TRY(take_claim(path, f, header_size, metadata, err));
    PAL_TRY(read_metadata(path, f, metadata, err));

    const size_t tensors = json_object_size(root) - (metadata ? 1 : 0);
    const size_t data = ST_LENGTH_BYTES + header_size, data_size = f->size - data;
    f->tensor = calloc(tensors ? tensors : 1, sizeof *f->tensor);
    if (!f->tensor) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    const char *name;
    json_t *entry;
    json_object_foreach(root, name, entry)
    {
        if (entry == metadata) continue;
        PAL_TRY(read_tensor(path, name, entry, data, data_size, &f->tensor[f->count], err));
        f->count++;
    }
    return check_places(path, f, data, err);
}

/* `count` bytes of the file from where it stands. */
static int read_bytes(const char *path, st_file *f, char *out, size_t count, pal_error *err)
{
    if (fread(out, 1, count, f->stream) == count) return PAL_OK;
    return pal_fail(err, PAL_DATA, "%s: cannot read: %s", path,
                    ferror(f->stream) ? strerror(errno) : "the file became shorter");
}

static int read_header(const char *path, st_file *f, pal_error *err)
{
    struct stat info;
    if (fstat(fileno(f->stream), &info) != 0)
        return pal_fail(err, PAL_DATA, "%s: cannot read: %s", path, strerror(errno));
    f->size = (size_t)info.st_size;
    unsigned char length[ST_LENGTH_BYTES];
    if (f->size < ST_LENGTH_BYTES)
        return pal_fail(err, PAL_DATA, "%s: not a safetensors file: only %zu bytes" AGAIN, path, f->size);
    PAL_TRY(read_bytes(path, f, (char *)length, sizeof length, err));
    uint64_t header_size = 0;
    for (int i = 0; i < ST_LENGTH_BYTES; i++) header_size |= (uint64_t)length[i] << (8 * i);
    if (header_size > f->size - ST_LENGTH_BYTES || header_size > HEADER_MOST)
        return pal_fail(err, PAL_DATA,
                        "%s: the header should have %llu bytes, the file has %zu: cut short, or no "
                        "safetensors file" AGAIN,
                        path, (unsigned long long)header_size, f->size);
    f->buffer = malloc(ST_LENGTH_BYTES + header_size);
    if (!f->buffer) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    memcpy(f->buffer, length, sizeof length);
    PAL_TRY(read_bytes(path, f, f->buffer + ST_LENGTH_BYTES, header_size, err));
    json_error_t cause;
    json_t *root = json_loadb(f->buffer + ST_LENGTH_BYTES, header_size, JSON_REJECT_DUPLICATES, &cause);
    if (!root)
        return pal_fail(err, PAL_DATA, "%s: the header is not JSON at byte %d (%s)" AGAIN, path, cause.position,
                        cause.text);
    const int code = json_is_object(root)
                         ? read_entries(path, f, header_size, root, err)
                         : pal_fail(err, PAL_DATA, "%s: the header is not a JSON object" AGAIN, path);
    json_decref(root);
    return code;
}

int st_open(const char *path, st_file *out, pal_error *err)
{
    *out = (st_file){0};
    PAL_TRY(os_open_stream(path, "r", &out->stream, err));
    const int code = read_header(path, out, err);
    if (code != PAL_OK) st_free(out);
    return code;
}

/* ---- The data ---- */

static int read_data(const char *path, st_file *f, pal_error *err)
{
    const size_t have = (size_t)ftello(f->stream);
    const uint64_t room = os_available_memory();
    char *grown = f->size > room ? NULL : realloc(f->buffer, f->size);
    if (!grown)
        return pal_fail(err, PAL_INTERNAL, "%s: out of memory: the file needs %zu MiB, %llu are free", path,
                        f->size >> 20, (unsigned long long)(room >> 20));
    f->buffer = grown;
    PAL_TRY(read_bytes(path, f, f->buffer + have, f->size - have, err));
    if (f->claimed[0])
        st_compute_digest(f);
    else
        hash_hex(f->buffer, f->size, f->digest);
    if (f->claimed[0] && memcmp(f->digest, f->claimed, HASH_HEX) != 0) return wrong_digest(path, err);
    for (size_t i = 0; i < f->count; i++) f->tensor[i].data = f->buffer + f->tensor[i].offset;
    return PAL_OK;
}

int st_load(const char *path, st_file *f, pal_error *err)
{
    const int code = read_data(path, f, err);
    fclose(f->stream);
    f->stream = NULL;
    if (code != PAL_OK) st_free(f);
    return code;
}

int st_read(const char *path, st_file *out, pal_error *err)
{
    PAL_TRY(st_open(path, out, err));
    return st_load(path, out, err);
}

void st_free(st_file *f)
{
    if (f->stream) fclose(f->stream);
    free(f->buffer);
    free(f->tensor);
    free(f->config);
    kv_pairs_free(&f->metadata);
    *f = (st_file){0};
}

const st_tensor *st_find(const st_file *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->tensor[i].name, name) == 0) return &f->tensor[i];
    return NULL;
}

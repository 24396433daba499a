/* The safetensors container: u64 little-endian header length, JSON header, raw little-endian data. */
#include "harness/base/os.h"
#include "models/files/checkpoint.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define AGAIN "; fetch or train it again"

enum { LENGTH_BYTES = 8, DIGEST_CHARS = HASH_HEX - 1, HEADER_ALIGN = 64 };

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [ST_F32] = {"F32", 4}, [ST_BF16] = {"BF16", 2}, [ST_F64] = {"F64", 8},
    [ST_I32] = {"I32", 4}, [ST_I64] = {"I64", 8},   [ST_U8] = {"U8", 1},
};

enum { DTYPES = sizeof dtypes / sizeof dtypes[0], MAX_DIMS = sizeof((st_tensor *)0)->dim / sizeof(size_t) };

/* Our files say so. It makes the digest compulsory: damage to the digest's own key would otherwise turn a damaged
 * file into an acceptable foreign one. */
static const char format_key[] = "format", format_ours[] = "palimpsest";
static const char digest_key[] = "sha256", config_key[] = "config";

int st_reserved(const char *key)
{
    return strcmp(key, format_key) == 0 || strcmp(key, digest_key) == 0 || strcmp(key, config_key) == 0;
}

/* How the header of our files begins; the digest's characters follow. */
static const char opening[] = "{\"__metadata__\":{\"sha256\":\"";

static char *digest_place(char *buffer)
{
    return buffer + LENGTH_BYTES + sizeof opening - 1;
}

/* The file's SHA-256 as if the digest's characters were '0'. */
static void compute_digest(st_file *f)
{
    char kept[DIGEST_CHARS], *place = digest_place(f->buffer);
    memcpy(kept, place, DIGEST_CHARS);
    memset(place, '0', DIGEST_CHARS);
    hash_hex(f->buffer, f->size, f->digest);
    memcpy(place, kept, DIGEST_CHARS);
}

/* ---- Reading. ---- */

static int check_digest(const char *path, st_file *f, const json_t *metadata, pal_error *err)
{
    const char *digest = json_string_value(json_object_get(metadata, digest_key));
    const char *format = json_string_value(json_object_get(metadata, format_key));
    if (!digest) {
        if (format && strcmp(format, format_ours) == 0)
            return pal_fail(err, PAL_DATA, "%s: its SHA-256 is missing from the header" AGAIN, path);
        hash_hex(f->buffer, f->size, f->digest);
        return PAL_OK;
    }
    const int ours = strlen(digest) == DIGEST_CHARS && f->size > LENGTH_BYTES + sizeof opening + DIGEST_CHARS &&
                     memcmp(f->buffer + LENGTH_BYTES, opening, sizeof opening - 1) == 0;
    if (ours) compute_digest(f);
    if (!ours || memcmp(f->digest, digest, HASH_HEX) != 0)
        return pal_fail(err, PAL_DATA,
                        "%s: content does not match its SHA-256 (a flipped byte or a torn copy)" AGAIN, path);
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
        if (strcmp(key, digest_key) == 0) continue;
        if (strcmp(key, config_key) == 0) {
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

/* One header entry. data_offsets are relative to `data`, the `data_size` bytes behind the header. */
static int read_tensor(const char *path, const char *name, const json_t *entry, const char *data, size_t data_size,
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
    while (kind < DTYPES && strcmp(dtypes[kind].name, dtype) != 0) kind++;
    if (kind == DTYPES)
        return pal_fail(err, PAL_DATA, "%s: tensor \"%s\" has dtype %.16s; convert it to F32 or BF16", path, name,
                        dtype);
    t->dtype = (st_dtype)kind;

    if (json_array_size(shape) > MAX_DIMS)
        return pal_fail(err, PAL_DATA, "%s: tensor \"%s\" has %zu dimensions; up to %d can be read", path, name,
                        json_array_size(shape), (int)MAX_DIMS);
    t->dims = (int)json_array_size(shape);
    t->bytes = dtypes[kind].size;
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
    t->data = data + begin;
    return PAL_OK;
}

static int by_place(const void *a, const void *b)
{
    const st_tensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes; /* empty tensors share a place: they come first */
}

/* Data must be covered once and wholly, as the format asks. */
static int check_places(const char *path, st_file *f, const char *data, size_t data_size, pal_error *err)
{
    qsort(f->tensor, f->count, sizeof *f->tensor, by_place);
    const char *next = data;
    for (size_t i = 0; i < f->count; i++) {
        const st_tensor *t = &f->tensor[i];
        if (t->data != next)
            return pal_fail(err, PAL_DATA, "%s: the data of tensor \"%s\" %s" AGAIN, path, t->name,
                            (const char *)t->data < next ? "overlaps another's" : "follows a gap");
        next += t->bytes;
    }
    if (next != data + data_size)
        return pal_fail(err, PAL_DATA, "%s: %zu bytes behind the last tensor belong to none" AGAIN, path,
                        (size_t)(data + data_size - next));
    return PAL_OK;
}

static int read_header(const char *path, st_file *f, size_t header_size, json_t *root, pal_error *err)
{
    json_t *metadata = json_object_get(root, "__metadata__");
    if (metadata && !json_is_object(metadata))
        return pal_fail(err, PAL_DATA, "%s: __metadata__ is not an object" AGAIN, path);
    PAL_TRY(check_digest(path, f, metadata, err));
    PAL_TRY(read_metadata(path, f, metadata, err));

    const size_t tensors = json_object_size(root) - (metadata ? 1 : 0);
    const char *data = f->buffer + LENGTH_BYTES + header_size;
    const size_t data_size = f->size - LENGTH_BYTES - header_size;
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
    return check_places(path, f, data, data_size, err);
}

static int parse_file(const char *path, st_file *f, pal_error *err)
{
    if (f->size < LENGTH_BYTES)
        return pal_fail(err, PAL_DATA, "%s: not a safetensors file: only %zu bytes" AGAIN, path, f->size);
    uint64_t header_size = 0;
    for (int i = 0; i < LENGTH_BYTES; i++) header_size |= (uint64_t)(unsigned char)f->buffer[i] << (8 * i);
    if (header_size > f->size - LENGTH_BYTES)
        return pal_fail(err, PAL_DATA,
                        "%s: the header should have %llu bytes, the file has %zu: cut short, or no "
                        "safetensors file" AGAIN,
                        path, (unsigned long long)header_size, f->size);
    json_error_t cause;
    json_t *root = json_loadb(f->buffer + LENGTH_BYTES, header_size, JSON_REJECT_DUPLICATES, &cause);
    if (!root)
        return pal_fail(err, PAL_DATA, "%s: the header is not JSON at byte %d (%s)" AGAIN, path, cause.position,
                        cause.text);
    const int code = json_is_object(root)
                         ? read_header(path, f, header_size, root, err)
                         : pal_fail(err, PAL_DATA, "%s: the header is not a JSON object" AGAIN, path);
    json_decref(root);
    return code;
}

int st_read(const char *path, st_file *out, pal_error *err)
{
    *out = (st_file){0};
    PAL_TRY(os_read_file(path, &out->buffer, &out->size, err));
    const int code = parse_file(path, out, err);
    if (code != PAL_OK) st_free(out);
    return code;
}

void st_free(st_file *f)
{
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

double st_value(const st_tensor *t, size_t i)
{
    /* memcpy: foreign files need not align their data. */
    const char *at = (const char *)t->data + i * dtypes[t->dtype].size;
    union {
        float f32;
        double f64;
        uint32_t bits;
        int32_t i32;
        int64_t i64;
    } v;
    switch (t->dtype) {
    case ST_F32:
        memcpy(&v.f32, at, 4);
        return v.f32;
    case ST_BF16: {
        uint16_t high;
        memcpy(&high, at, 2);
        v.bits = (uint32_t)high << 16;
        return v.f32;
    }
    case ST_F64:
        memcpy(&v.f64, at, 8);
        return v.f64;
    case ST_I32:
        memcpy(&v.i32, at, 4);
        return v.i32;
    case ST_I64:
        memcpy(&v.i64, at, 8);
        return (double)v.i64;
    case ST_U8:
        return *(const unsigned char *)at;
    }
    return 0;
}

/* ---- Writing. ---- */

/* __metadata__, with the digest where digest_place expects it. */
static int add_metadata(json_t *root, const char *config, const kv_pairs *metadata, pal_error *err)
{
    char zeros[HASH_HEX] = {0};
    memset(zeros, '0', DIGEST_CHARS);
    json_t *object = json_object();
    int failed = json_object_set_new(root, "__metadata__", object);
    failed |= json_object_set_new(object, digest_key, json_string(zeros));
    failed |= json_object_set_new(object, format_key, json_string(format_ours));
    if (config) failed |= json_object_set_new(object, config_key, json_string(config));
    if (failed) return pal_fail(err, PAL_INTERNAL, "out of memory for a checkpoint's header");
    for (size_t i = 0; metadata && i < metadata->count; i++) {
        const kv_pair *pair = &metadata->pair[i];
        if (st_reserved(pair->key))
            return pal_fail(err, PAL_USAGE, "checkpoint metadata: the key \"%s\" is reserved", pair->key);
        if (json_object_set_new(object, pair->key, json_string(pair->value)) != 0)
            return pal_fail(err, PAL_USAGE, "checkpoint metadata: \"%s\" is not UTF-8", pair->key);
    }
    return PAL_OK;
}

static int add_tensors(json_t *root, st_file *f, size_t *data_size, pal_error *err)
{
    int failed = 0;
    *data_size = 0;
    for (size_t i = 0; i < f->count && !failed; i++) {
        st_tensor *t = &f->tensor[i];
        json_t *shape = json_array();
        t->bytes = dtypes[t->dtype].size;
        for (int k = 0; k < t->dims; k++) {
            failed |= json_array_append_new(shape, json_integer((json_int_t)t->dim[k]));
            t->bytes *= t->dim[k];
        }
        const size_t end = *data_size + t->bytes;
        json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtypes[t->dtype].name, "shape", shape,
                                  "data_offsets", (json_int_t)*data_size, (json_int_t)end);
        failed |= json_object_set_new(root, t->name, entry);
        *data_size = end;
    }
    return failed ? pal_fail(err, PAL_INTERNAL, "out of memory for a checkpoint's header") : PAL_OK;
}

/* The bytes of the file with the data still zero. */
static int lay_out(st_file *f, json_t *root, size_t data_size, pal_error *err)
{
    char *header = json_dumps(root, JSON_COMPACT);
    if (!header) return pal_fail(err, PAL_INTERNAL, "out of memory for a checkpoint's header");
    const size_t length = strlen(header);
    const size_t data_at = (LENGTH_BYTES + length + HEADER_ALIGN - 1) / HEADER_ALIGN * HEADER_ALIGN;
    f->size = data_at + data_size;
    f->buffer = calloc(1, f->size);
    if (f->buffer) {
        for (int i = 0; i < LENGTH_BYTES; i++) f->buffer[i] = (char)((data_at - LENGTH_BYTES) >> (8 * i));
        memset(f->buffer + LENGTH_BYTES, ' ', data_at - LENGTH_BYTES);
        memcpy(f->buffer + LENGTH_BYTES, header, length);
    }
    free(header);
    if (!f->buffer) return pal_fail(err, PAL_INTERNAL, "out of memory for a checkpoint of %zu MiB", f->size >> 20);
    char *data = f->buffer + data_at;
    for (size_t i = 0; i < f->count; i++) {
        f->tensor[i].data = data;
        data += f->tensor[i].bytes;
    }
    return PAL_OK;
}

int st_create(const st_tensor *tensors, size_t count, const char *config, const kv_pairs *metadata, st_file *out,
              pal_error *err)
{
    *out = (st_file){.count = count};
    out->tensor = calloc(count ? count : 1, sizeof *out->tensor);
    json_t *root = json_object();
    int code = PAL_OK;
    size_t data_size = 0;
    if (!out->tensor || !root) {
        code = pal_fail(err, PAL_INTERNAL, "out of memory for a checkpoint's header");
    } else {
        for (size_t i = 0; i < count; i++) out->tensor[i] = tensors[i];
        code = add_metadata(root, config, metadata, err);
    }
    if (code == PAL_OK) code = add_tensors(root, out, &data_size, err);
    if (code == PAL_OK) code = lay_out(out, root, data_size, err);
    json_decref(root);
    if (code != PAL_OK) st_free(out);
    return code;
}

int st_write(const char *path, st_file *f, pal_error *err)
{
    compute_digest(f);
    memcpy(digest_place(f->buffer), f->digest, DIGEST_CHARS);
    return os_write_file(path, f->buffer, f->size, err);
}

/* Writing safetensors files: names, types and shapes are laid out first, then filled by the caller, then sealed.
 * The digest of the whole file stands at a fixed place of the header. */
#include "harness/base/os.h"
#include "models/files/safetensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_ALIGN = 64 };

/* __metadata__, with the digest where st_digest_place expects it. */
static int add_metadata(json_t *root, const char *config, const kv_pairs *metadata, pal_error *err)
{
    char zeros[HASH_HEX] = {0};
    memset(zeros, '0', ST_DIGEST_CHARS);
    json_t *object = json_object();
    int failed = json_object_set_new(root, "__metadata__", object);
    failed |= json_object_set_new(object, ST_DIGEST_KEY, json_string(zeros));
    failed |= json_object_set_new(object, ST_FORMAT_KEY, json_string(ST_OURS));
    if (config) failed |= json_object_set_new(object, ST_CONFIG_KEY, json_string(config));
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
        t->bytes = st_dtype_bytes(t->dtype);
        for (int k = 0; k < t->dims; k++) {
            failed |= json_array_append_new(shape, json_integer((json_int_t)t->dim[k]));
            t->bytes *= t->dim[k];
        }
        const size_t end = *data_size + t->bytes;
        json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", st_dtype_name(t->dtype), "shape", shape,
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
    const size_t data_at = (ST_LENGTH_BYTES + length + HEADER_ALIGN - 1) / HEADER_ALIGN * HEADER_ALIGN;
    f->size = data_at + data_size;
    f->buffer = calloc(1, f->size);
    if (f->buffer) {
        for (int i = 0; i < ST_LENGTH_BYTES; i++) f->buffer[i] = (char)((data_at - ST_LENGTH_BYTES) >> (8 * i));
        memset(f->buffer + ST_LENGTH_BYTES, ' ', data_at - ST_LENGTH_BYTES);
        memcpy(f->buffer + ST_LENGTH_BYTES, header, length);
    }
    free(header);
    if (!f->buffer) return pal_fail(err, PAL_INTERNAL, "out of memory for a checkpoint of %zu MiB", f->size >> 20);
    char *data = f->buffer + data_at;
    for (size_t i = 0; i < f->count; i++) {
        f->tensor[i].data = data;
        f->tensor[i].offset = (size_t)(data - f->buffer);
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
    st_compute_digest(f);
    memcpy(st_digest_place(f->buffer), f->digest, ST_DIGEST_CHARS);
    return os_write_file(path, f->buffer, f->size, err);
}

/* HuggingFace folders: config.json, the weights in one safetensors file or in several with an index.
 * Weights are mapped; only headers are read here. */
#include "models/import/foreign.h"

#include "harness/base/os.h"
#include "models/files/safetensors.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char config_name[] = "config.json", one_name[] = "model.safetensors",
                  index_name[] = "model.safetensors.index.json", tokenizer_name[] = "tokenizer.json";

static int join(char *out, size_t size, const char *folder, const char *name, pal_error *err)
{
    if (snprintf(out, size, "%s/%s", folder, name) < (int)size) return PAL_OK;
    return pal_fail(err, PAL_USAGE, "%.200s...: the path is too long", folder);
}

/* ---- Weights ---- */

static const block_format *format_of(st_dtype dtype)
{
    return dtype == ST_F32    ? block_format_find(BLOCK_F32)
           : dtype == ST_F16  ? block_format_find(BLOCK_F16)
           : dtype == ST_BF16 ? block_format_find(BLOCK_BF16)
                              : NULL;
}

static int add_tensor(foreign *f, const st_tensor *t, const char *path, const char *base, pal_error *err)
{
    const block_format *format = format_of(t->dtype);
    if (!format)
        return pal_fail(err, PAL_DATA, "%s: tensor \"%s\" is of type %s; convert it to F32, F16 or BF16", path,
                        t->name, st_dtype_name(t->dtype));
    if (t->dims < 1 || t->dims > 2)
        return pal_fail(err, PAL_DATA, "%s: tensor \"%s\" has %d dimensions; matrices and vectors can be read",
                        path, t->name, t->dims);
    return foreign_add(f, t->name, format, base + t->offset, t->dim[0], t->dims == 2 ? t->dim[1] : 1, path, err);
}

static int add_weights(foreign *f, const char *path, pal_error *err)
{
    st_file header;
    const void *base;
    size_t size;
    PAL_TRY(st_open(path, &header, err));
    int code = foreign_map_file(f, path, &base, &size, err);
    if (code == PAL_OK && size != header.size)
        code = pal_fail(err, PAL_DATA, "%s: changed while it was read; try again", path);
    for (size_t i = 0; code == PAL_OK && i < header.count; i++)
        code = add_tensor(f, &header.tensor[i], path, base, err);
    st_free(&header);
    return code;
}

/* ---- The index of several files ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A name that leads out of the folder is no shard. */
static int is_plain(const char *name)
{
    const size_t length = strlen(name), suffix = strlen(".safetensors");
    return length > suffix && length < 256 && !strchr(name, '/') &&
           strcmp(name + length - suffix, ".safetensors") == 0;
}

static int add_shards(foreign *f, const char *folder, const char *index, const char **file, size_t count,
                      pal_error *err)
{
    char path[KV_TEXT_MAX];
    if (count) qsort(file, count, sizeof *file, by_text);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(file[i], file[i - 1]) == 0) continue;
        PAL_TRY(join(path, sizeof path, folder, file[i], err));
        if (!os_file_exists(path))
            return pal_fail(err, PAL_DATA, "%s: names the file %s, which is not there; fetch it too", index,
                            file[i]);
        PAL_TRY(add_weights(f, path, err));
    }
    return PAL_OK;
}

static int check_map(const foreign *f, const json_t *map, const char *index, pal_error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)map, name, value)
    {
        if (!foreign_find(f, name))
            return pal_fail(err, PAL_DATA, "%s: its tensor \"%.100s\" is in no file; fetch the model again", index,
                            name);
    }
    return PAL_OK;
}

static int read_map(foreign *f, const char *folder, const char *index, const json_t *map, pal_error *err)
{
    const size_t most = json_object_size(map);
    size_t count = 0;
    if (most == 0)
        return pal_fail(err, PAL_DATA, "%s: \"weight_map\" is missing or empty; fetch the model again", index);
    const char **file = calloc(most, sizeof *file), *name;
    json_t *value;
    int code = file ? PAL_OK : pal_fail(err, PAL_INTERNAL, "%s: out of memory", index);
    json_object_foreach((json_t *)map, name, value)
    {
        const char *text = json_string_value(value);
        if (code != PAL_OK) break;
        if (text && is_plain(text))
            file[count++] = text;
        else
            code = pal_fail(err, PAL_DATA, "%s: \"%.60s\" is in no safetensors file of this folder", index, name);
    }
    if (code == PAL_OK) code = add_shards(f, folder, index, file, count, err);
    free(file);
    if (code == PAL_OK) code = foreign_sort(f, err);
    return code == PAL_OK ? check_map(f, map, index, err) : code;
}

static int add_indexed(foreign *f, const char *folder, const char *index, pal_error *err)
{
    char *text;
    size_t size;
    PAL_TRY(os_read_file(index, &text, &size, err));
    json_error_t cause;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &cause);
    free(text);
    if (!root)
        return pal_fail(err, PAL_DATA, "%s:%d: no JSON (%s); fetch the model again", index, cause.line,
                        cause.text);
    const int code = read_map(f, folder, index, json_object_get(root, "weight_map"), err);
    json_decref(root);
    return code;
}

/* ---- The folder ---- */

static int add_all_weights(foreign *f, const char *folder, pal_error *err)
{
    char path[KV_TEXT_MAX];
    PAL_TRY(join(path, sizeof path, folder, one_name, err));
    if (os_file_exists(path)) {
        PAL_TRY(add_weights(f, path, err));
        return foreign_sort(f, err);
    }
    PAL_TRY(join(path, sizeof path, folder, index_name, err));
    if (os_file_exists(path)) return add_indexed(f, folder, path, err);
    return pal_fail(err, PAL_DATA, "%s: holds neither %s nor %s; fetch the safetensors files of the model", folder,
                    one_name, index_name);
}

/* The folder of `path`: itself, or where the file lies. */
static int folder_of(const char *path, char *out, size_t size, pal_error *err)
{
    static const char suffix[] = ".safetensors";
    size_t length = strlen(path);
    if (length > sizeof suffix && strcmp(path + length - (sizeof suffix - 1), suffix) == 0) {
        const char *slash = strrchr(path, '/');
        length = slash ? (size_t)(slash - path) : 0;
    }
    while (length > 1 && path[length - 1] == '/') length--;
    if (snprintf(out, size, "%.*s", length ? (int)length : 1, length ? path : ".") < (int)size) return PAL_OK;
    return pal_fail(err, PAL_USAGE, "%.200s...: the path is too long", path);
}

int huggingface_open(foreign *f, const char *path, pal_error *err)
{
    char folder[KV_TEXT_MAX], file[KV_TEXT_MAX];
    const void *text;
    size_t size;
    f->kind = "HuggingFace folder";
    f->style = NAMES_HUGGINGFACE;
    PAL_TRY(folder_of(path, folder, sizeof folder, err));
    PAL_TRY(join(file, sizeof file, folder, config_name, err));
    if (!os_file_exists(file))
        return pal_fail(err, PAL_DATA, "%s: holds no %s; give the folder of a model, as the hub has it", folder,
                        config_name);
    PAL_TRY(foreign_map_file(f, file, &text, &size, err));
    PAL_TRY(huggingface_shape(&f->shape, text, size, file, err));
    PAL_TRY(add_all_weights(f, folder, err));
    if (f->shape.tied < 0) f->shape.tied = !foreign_find(f, "lm_head.weight");
    PAL_TRY(join(file, sizeof file, folder, tokenizer_name, err));
    if (os_file_exists(file)) memcpy(f->tokenizer, file, strlen(file) + 1);
    return PAL_OK;
}

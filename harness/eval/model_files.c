/* Finding weights: a directory's files by name, or files by path. */
#include "harness/eval/model_files.h"

#include "harness/base/os.h"
#include "harness/base/utf8.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(((const weights_file *)a)->name, ((const weights_file *)b)->name);
}

static int has_suffix(const char *name, size_t length)
{
    const size_t suffix = strlen(WEIGHTS_SUFFIX);
    return length > suffix && memcmp(name + length - suffix, WEIGHTS_SUFFIX, suffix) == 0;
}

static int add(weights_file **list, size_t *count, const char *dir, const char *file, size_t length,
               pal_error *err)
{
    weights_file *grown = realloc(*list, (*count + 1) * sizeof *grown);
    if (!grown) return pal_fail(err, PAL_INTERNAL, "out of memory for the list of models");
    *list = grown;
    weights_file *added = &grown[*count];
    const char *slash = memrchr(file, '/', length);
    const char *name = slash ? slash + 1 : file;
    size_t name_length = length - (size_t)(name - file);
    if (has_suffix(name, name_length)) name_length -= strlen(WEIGHTS_SUFFIX);
    const int fits = name_length > 0 && snprintf(added->path, sizeof added->path, "%s%s%.*s", dir ? dir : "",
                                                 dir ? "/" : "", (int)length, file) < (int)sizeof added->path;
    if (!fits || name_length >= sizeof added->name)
        return pal_fail(err, PAL_USAGE, "\"%.*s\" cannot be the name of a weights file", (int)length, file);
    snprintf(added->name, sizeof added->name, "%.*s", (int)name_length, name);
    ++*count;
    return PAL_OK;
}

/* All shipped weights, by name. A directory that does not exist has none. */
static int list_dir(const char *dir, weights_file **out, size_t *count, pal_error *err)
{
    DIR *handle = opendir(dir);
    int code = PAL_OK;
    for (struct dirent *entry; handle && code == PAL_OK && (entry = readdir(handle));)
        if (has_suffix(entry->d_name, strlen(entry->d_name)))
            code = add(out, count, dir, entry->d_name, strlen(entry->d_name), err);
    if (handle) closedir(handle);
    if (*count) qsort(*out, *count, sizeof **out, by_name);
    return code;
}

static int unknown(const char *name, size_t length, const char *dir, const weights_file *shipped, size_t count,
                   pal_error *err)
{
    char names[400] = "";
    size_t used = 0;
    for (size_t i = 0; i < count && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", shipped[i].name);
    if (count == 0)
        return pal_fail(err, PAL_USAGE, "model=%.*s: there are no weights in %s; give the path of a %s file",
                        (int)length, name, dir, WEIGHTS_SUFFIX);
    return pal_fail(err, PAL_USAGE, "model=%.*s: no such model in %s; use all, a path, or one of: %s", (int)length,
                    name, dir, names);
}

static int pick(const char *name, size_t length, const char *dir, const weights_file *shipped,
                size_t shipped_count, weights_file **out, size_t *count, pal_error *err)
{
    if (memchr(name, '/', length) || has_suffix(name, length)) {
        PAL_TRY(add(out, count, NULL, name, length, err));
        const weights_file *added = &(*out)[*count - 1];
        if (os_file_exists(added->path)) return PAL_OK;
        return pal_fail(err, PAL_USAGE, "model=%s: there is no such file", added->path);
    }
    for (size_t i = 0; i < shipped_count; i++)
        if (strlen(shipped[i].name) == length && memcmp(shipped[i].name, name, length) == 0)
            return add(out, count, NULL, shipped[i].path, strlen(shipped[i].path), err);
    return unknown(name, length, dir, shipped, shipped_count, err);
}

int weights_resolve(const char *models, const char *dir, weights_file **out, size_t *count, pal_error *err)
{
    weights_file *shipped = NULL;
    size_t shipped_count = 0;
    *out = NULL;
    *count = 0;
    int code = list_dir(dir, &shipped, &shipped_count, err);
    if (code == PAL_OK && strcmp(models, "all") == 0) {
        if (shipped_count == 0) code = unknown(models, strlen(models), dir, NULL, 0, err);
        *out = shipped;
        *count = shipped_count;
        shipped = NULL;
    } else {
        for (const char *at = models; code == PAL_OK; at++) {
            const size_t length = strcspn(at, ",");
            code = pick(at, length, dir, shipped, shipped_count, out, count, err);
            at += length;
            if (!*at) break;
        }
    }
    free(shipped);
    for (size_t i = 0; code == PAL_OK && i < *count; i++)
        code = utf8_check_name("the name of the weights", (*out)[i].path, PAL_USAGE, err);
    if (code != PAL_OK) {
        free(*out);
        *out = NULL;
        *count = 0;
    }
    return code;
}

/* Finding weights: a directory's files by name, or files by path. */
#include "harness/eval/model_files.h"

#include "harness/base/home.h"
#include "harness/base/near.h"
#include "harness/base/os.h"
#include "harness/base/utf8.h"
#include "models/import/adapter.h"
#include "models/import/import.h"

#include <dirent.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(((const weights_file *)a)->name, ((const weights_file *)b)->name);
}

static int has_suffix(const char *name, size_t length)
{
    const size_t suffix = strlen(WEIGHTS_SUFFIX);
    return length > suffix && memcmp(name + length - suffix, WEIGHTS_SUFFIX, suffix) == 0;
}

/* The bytes of a name before the suffix of any file that holds weights; all of them where it has none. */
static size_t stem_of(const char *name, size_t length)
{
    static const char *const suffixes[] = {WEIGHTS_SUFFIX, ".gguf", ".bin"};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        const size_t suffix = strlen(suffixes[i]);
        if (length > suffix && strncasecmp(name + length - suffix, suffixes[i], suffix) == 0)
            return length - suffix;
    }
    return length;
}

/* What is known while model= is resolved, and what was found. */
typedef struct search {
    const char *task, *dir;
    weights_file *shipped;
    size_t shipped_count;
    weights_file *found;
    size_t count;
    const char *instead; /* of the name that is looked for; NULL: its own */
} search;

static int add(weights_file **list, size_t *count, const char *dir, const char *file, pal_error *err)
{
    weights_file *grown = realloc(*list, (*count + 1) * sizeof *grown);
    if (!grown) return pal_fail(err, PAL_INTERNAL, "out of memory for the list of models");
    *list = grown;
    weights_file *added = &grown[*count];
    size_t end = strlen(file);
    while (end > 1 && file[end - 1] == '/') end--; /* of a folder */
    const char *slash = memrchr(file, '/', end), *name = slash ? slash + 1 : file;
    const size_t name_length = stem_of(name, end - (size_t)(name - file));
    const int fits = name_length > 0 && snprintf(added->path, sizeof added->path, "%s%s%s", dir ? dir : "",
                                                 dir ? "/" : "", file) < (int)sizeof added->path;
    if (!fits || name_length >= sizeof added->name)
        return pal_fail(err, PAL_USAGE, "\"%s\" cannot be the name of a weights file", file);
    snprintf(added->name, sizeof added->name, "%.*s", (int)name_length, name);
    ++*count;
    return PAL_OK;
}

/* A file that two names or patterns mean is evaluated once. */
static int take(search *s, const char *path, pal_error *err)
{
    const char *instead = s->instead ? s->instead : "";
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->found[i].path, path) == 0 && strcmp(s->found[i].instead, instead) == 0) return PAL_OK;
    PAL_TRY(add(&s->found, &s->count, NULL, path, err));
    if (snprintf(s->found[s->count - 1].instead, INSTEAD_TEXT, "%s", instead) < INSTEAD_TEXT) return PAL_OK;
    return pal_fail(err, PAL_USAGE, "%s+%.40s...: the attention's settings are too long", path, instead);
}

/* All shipped weights, in order. A directory that does not exist has none. */
static int list_dir(search *s, pal_error *err)
{
    DIR *handle = opendir(s->dir);
    int code = PAL_OK;
    for (struct dirent *entry; handle && code == PAL_OK && (entry = readdir(handle));)
        if (has_suffix(entry->d_name, strlen(entry->d_name)))
            code = add(&s->shipped, &s->shipped_count, s->dir, entry->d_name, err);
    if (handle) closedir(handle);
    if (s->shipped_count) qsort(s->shipped, s->shipped_count, sizeof *s->shipped, by_name);
    return code;
}

/* The part of "passkey-infini-delta" behind its first dash; NULL: none. */
static const char *short_name(const char *name)
{
    const char *dash = strchr(name, '-');
    return dash ? dash + 1 : NULL;
}

static int trained_on(const char *path, const char *task)
{
    decoder *d = NULL;
    checkpoint_info info;
    pal_error unread;
    if (checkpoint_load(path, &d, &info, &unread) != PAL_OK) return 0;
    const char *theirs = kv_pairs_value(&info.metadata, "task");
    const int same = theirs && strcasecmp(theirs, task) == 0;
    decoder_destroy(d);
    checkpoint_info_free(&info);
    return same;
}

/* A damaged file is none: who loads it says what is wrong. */
static int is_adapter(const char *path)
{
    adapter_base base;
    pal_error ignored;
    return adapter_find_base(path, &base, &ignored) == PAL_OK && base.path[0];
}

static int unknown(const search *s, const char *name, pal_error *err)
{
    near_names near;
    char text[NEAR_TEXT];
    if (s->shipped_count == 0)
        return pal_fail(err, PAL_USAGE, "model=%s: there are no weights in %s; give the path of a %s file", name,
                        s->dir, WEIGHTS_SUFFIX);
    if (strcmp(name, "all") == 0)
        return pal_fail(err, PAL_USAGE, "model=all: there are only adapters in %s; name them", s->dir);
    near_begin(&near, name);
    /* Of equally near names those of the task come first. */
    for (int theirs = 1; theirs >= 0; theirs--)
        for (size_t i = 0; i < s->shipped_count; i++) {
            const char *full = s->shipped[i].name, *last = short_name(full);
            if ((s->task && strncasecmp(full, s->task, strlen(s->task)) == 0) != theirs) continue;
            if (last) near_offer_as(&near, last, full);
            near_offer(&near, full);
        }
    return pal_fail(err, PAL_USAGE, "model=%s: no such model in %s%s `palimpsest list models` has all", name,
                    s->dir,
                    near.count ? near_text(&near, text) : "; give its name, \"all\", or the path of a file;");
}

/* A path, or a pattern of paths. */
static int pick_path(search *s, const char *name, pal_error *err)
{
    glob_t match = {0};
    if (os_file_exists(name)) return take(s, name, err);
    int code = PAL_OK;
    if (strpbrk(name, "*?[") && glob(name, 0, NULL, &match) == 0)
        for (size_t i = 0; code == PAL_OK && i < match.gl_pathc; i++) code = take(s, match.gl_pathv[i], err);
    else
        code = pal_fail(err, PAL_USAGE, "model=%s: there is no such file%s", name, import_remedy(name));
    globfree(&match);
    return code;
}

static int pick(void *arg, const char *name, pal_error *err);

/* A name with an attention behind the '+' at `plus`. */
static int pick_instead(search *s, const char *name, const char *plus, pal_error *err)
{
    char *base = strndup(name, (size_t)(plus - name));
    if (!base) return pal_fail(err, PAL_INTERNAL, "out of memory for the name of a model");
    s->instead = plus + 1;
    const int code = pick(s, base, err);
    s->instead = NULL;
    free(base);
    return code;
}

static int pick(void *arg, const char *name, pal_error *err)
{
    search *s = arg;
    const char *plus = s->instead || os_file_exists(name) ? NULL : instead_find(name);
    if (plus) return pick_instead(s, name, plus, err);
    if (strchr(name, '/') || stem_of(name, strlen(name)) < strlen(name)) return pick_path(s, name, err);
    int known = 0;
    const int all = strcmp(name, "all") == 0, pattern = strpbrk(name, "*?[") != NULL;
    for (size_t i = 0; i < s->shipped_count; i++) {
        const char *there = s->shipped[i].name;
        if (!all && strcmp(there, name) != 0 && !(pattern && fnmatch(name, there, 0) == 0)) continue;
        if (all && is_adapter(s->shipped[i].path)) continue;
        known = 1;
        PAL_TRY(take(s, s->shipped[i].path, err));
    }
    for (size_t i = 0; s->task && !known && i < s->shipped_count; i++) {
        const char *last = short_name(s->shipped[i].name);
        if (!last || strcmp(last, name) != 0 || !trained_on(s->shipped[i].path, s->task)) continue;
        known = 1;
        PAL_TRY(take(s, s->shipped[i].path, err));
    }
    if (!known && import_is_foreign(name)) return take(s, name, err); /* a folder right here */
    return known ? PAL_OK : unknown(s, name, err);
}

int weights_resolve_for(const char *task, const char *models, const char *dir, weights_file **out, size_t *count,
                        pal_error *err)
{
    char place[KV_TEXT_MAX];
    search s = {.task = task, .dir = home_path(dir, place)};
    int code = list_dir(&s, err);
    if (code == PAL_OK) code = kv_each_name("model", models, pick, &s, err);
    free(s.shipped);
    for (size_t i = 0; code == PAL_OK && i < s.count; i++)
        code = utf8_check_name("the name of the weights", s.found[i].path, PAL_USAGE, err);
    if (code != PAL_OK) {
        free(s.found);
        s = (search){0};
    }
    *out = s.found;
    *count = s.count;
    return code;
}

int weights_resolve(const char *models, const char *dir, weights_file **out, size_t *count, pal_error *err)
{
    return weights_resolve_for(NULL, models, dir, out, count, err);
}

int weights_fit(const weights_file *file, uint64_t tokens, decoder **d, pal_error *err)
{
    enum { STEP = 1024 };
    const int64_t limit = attn_sizes_of(decoder_config(*d), 0, 1).max_tokens;
    const uint64_t context = (tokens + STEP - 1) / STEP * STEP;
    char value[32];
    instead_words words = {0};
    decoder *fitting = NULL;
    if (limit == 0 || context >= (uint64_t)limit) return PAL_OK;
    snprintf(value, sizeof value, "%llu", (unsigned long long)context);
    int code = file->instead[0] ? instead_parse(file->instead, &words.own, err) : PAL_OK;
    if (code == PAL_OK) code = kv_pairs_add(&words.own, "context", value, file->path, err);
    if (code == PAL_OK) code = model_describe(file->path, &words, NULL, NULL, &fitting, NULL, NULL, err);
    instead_words_free(&words);
    PAL_TRY(code);
    decoder_destroy(*d);
    *d = fitting;
    return PAL_OK;
}

static int load_foreign(const weights_file *file, const instead_words *words, weights_form form, uint64_t tokens,
                        decoder **out, checkpoint_info *info, pal_error *err)
{
    decoder *d = NULL;
    PAL_TRY(model_describe(file->path, words, NULL, NULL, &d, NULL, info, err));
    int code = tokens ? weights_fit(file, tokens, &d, err) : PAL_OK;
    if (code == PAL_OK) code = model_read_weights_as(file->path, form, NULL, d, err);
    if (code == PAL_OK) {
        *out = d;
        return PAL_OK;
    }
    decoder_destroy(d);
    if (info) checkpoint_info_free(info);
    return code;
}

int weights_load(const weights_file *file, weights_form form, uint64_t tokens, decoder **out,
                 checkpoint_info *info, pal_error *err)
{
    instead_words words = {0};
    int code = file->instead[0] ? instead_parse(file->instead, &words.own, err) : PAL_OK;
    if (code == PAL_OK)
        code = import_is_foreign(file->path) ? load_foreign(file, &words, form, tokens, out, info, err)
                                             : model_load(file->path, &words, out, NULL, info, err);
    instead_words_free(&words);
    return code;
}

/* Reading recipes: which settings a name stands for, and where its weights and its log go.
 * A recipe is a section whose settings name a task and an attention module; the other sections are parts. */
#include "harness/train/recipes.h"

#include "harness/base/home.h"
#include "harness/base/os.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static const char suffix[] = ".safetensors";

/* Keys about a recipe that are no settings of training; a section does not take them over. */
static const char *const own_only[] = {"stage", "init", "out", "log", NULL};

/* ---- Files ---- */

static int is_conf(const struct dirent *entry)
{
    const size_t size = strlen(entry->d_name);
    return entry->d_name[0] != '.' && size > 5 && strcmp(entry->d_name + size - 5, ".conf") == 0;
}

static int read_all(kv_sections *all, const char *where, pal_error *err)
{
    char place[KV_TEXT_MAX], path[2 * KV_TEXT_MAX];
    struct stat info;
    struct dirent **entry = NULL;
    home_path(where, place);
    if (stat(place, &info) == 0 && !S_ISDIR(info.st_mode)) return sections_read(all, place, err);
    const int count = scandir(place, &entry, is_conf, alphasort);
    int code = count > 0 ? PAL_OK
                         : pal_fail(err, PAL_DATA,
                                    "%s: no recipes (.conf files) there; set PALIMPSEST_HOME or recipes=", place);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", place, entry[i]->d_name);
        if (code == PAL_OK) code = sections_read(all, path, err);
        free(entry[i]);
    }
    free(entry);
    return code;
}

/* ---- One recipe ---- */

static int is_file(const char *init)
{
    const size_t size = strlen(init), end = strlen(suffix);
    return strchr(init, '/') || (size > end && strcmp(init + size - end, suffix) == 0);
}

static int is_stage(const kv_sections *all, const char *name)
{
    const kv_section *at = sections_find(all, name);
    const char *stage = at ? kv_pairs_value(&at->own, "stage") : NULL;
    return stage && strcasecmp(stage, "yes") == 0;
}

static int weights_of(const kv_sections *all, const char *name, char path[KV_TEXT_MAX], pal_error *err)
{
    char folder[KV_TEXT_MAX];
    home_path(HOME_WEIGHTS, folder);
    if (snprintf(path, KV_TEXT_MAX, "%s%s/%s%s", folder, is_stage(all, name) ? "/stages" : "", name, suffix) <
        KV_TEXT_MAX)
        return PAL_OK;
    return pal_fail(err, PAL_USAGE, "%.60s...: the path of its weights is too long", name);
}

/* A pair that the recipe itself does not set. */
static int add_default(kv_pairs *out, const char *key, const char *value, const char *name, pal_error *err)
{
    return kv_pairs_value(out, key) ? PAL_OK : kv_pairs_add(out, key, value, name, err);
}

static int is_recipe(const kv_pairs *pairs)
{
    return kv_pairs_value(pairs, "task") && kv_pairs_value(pairs, "attention");
}

static int settle(const kv_sections *all, const char *name, const kv_pairs *held, kv_pairs *out, pal_error *err)
{
    char path[KV_TEXT_MAX], log[KV_TEXT_MAX];
    for (size_t i = 0; i < held->count; i++) {
        const kv_pair *p = &held->pair[i];
        if (strcasecmp(p->key, "stage") == 0) continue;
        const int from_recipe = strcasecmp(p->key, "init") == 0 && p->value[0] && !is_file(p->value);
        if (from_recipe) {
            if (!sections_find(all, p->value))
                return pal_fail(err, PAL_DATA, "%s: init = %s: no such recipe", p->where, p->value);
            PAL_TRY(weights_of(all, p->value, path, err));
        }
        PAL_TRY(kv_pairs_add(out, p->key, from_recipe ? path : p->value, p->where, err));
    }
    PAL_TRY(weights_of(all, name, path, err));
    PAL_TRY(add_default(out, "out", path, name, err));
    if (snprintf(log, sizeof log, "results/training/%s.csv", name) >= (int)sizeof log)
        return pal_fail(err, PAL_USAGE, "%.60s...: the name is too long", name);
    return add_default(out, "log", log, name, err);
}

/* Read all, resolve one, and hand both on. */
static int open_recipe(const char *name, const char *where, kv_sections *all, kv_pairs *held, pal_error *err)
{
    PAL_TRY(read_all(all, where, err));
    pal_error cause;
    const int code = sections_resolve(all, name, own_only, held, &cause);
    if (code == PAL_USAGE)
        return pal_fail(err, code, "recipe=%s%s `palimpsest list recipes` has all", cause.text,
                        strchr(cause.text, '?') ? "" : ";");
    if (code != PAL_OK) return pal_fail(err, code, "%s", cause.text);
    if (is_recipe(held)) return PAL_OK;
    return pal_fail(err, PAL_USAGE,
                    "recipe=%s: only a part of recipes: it names no task or no attention; `palimpsest "
                    "list recipes` has the whole ones",
                    name);
}

int recipe_read(const char *name, const char *where, kv_pairs *out, pal_error *err)
{
    kv_sections all = {0};
    kv_pairs held = {0};
    int code = open_recipe(name, where, &all, &held, err);
    if (code == PAL_OK) code = settle(&all, name, &held, out, err);
    kv_pairs_free(&held);
    sections_free(&all);
    return code;
}

int recipe_init(const char *name, const char *where, char init[KV_TEXT_MAX], pal_error *err)
{
    kv_sections all = {0};
    kv_pairs held = {0};
    const int code = open_recipe(name, where, &all, &held, err);
    const char *value = code == PAL_OK ? kv_pairs_value(&held, "init") : NULL;
    snprintf(init, KV_TEXT_MAX, "%s", value && !is_file(value) ? value : "");
    kv_pairs_free(&held);
    sections_free(&all);
    return code;
}

int recipe_weights(const char *name, const char *where, char path[KV_TEXT_MAX], pal_error *err)
{
    kv_sections all = {0};
    int code = read_all(&all, where, err);
    if (code == PAL_OK) code = weights_of(&all, name, path, err);
    sections_free(&all);
    return code;
}

/* ---- All of them ---- */

int recipe_each(const char *where, recipe_visit *visit, void *arg, pal_error *err)
{
    kv_sections all = {0};
    int code = read_all(&all, where, err);
    for (size_t i = 0; code == PAL_OK && i < all.count; i++) {
        const kv_section *at = &all.section[i];
        kv_pairs held = {0};
        code = sections_resolve(&all, at->name, own_only, &held, err);
        const char *init = kv_pairs_value(&held, "init");
        if (code == PAL_OK && is_recipe(&held))
            code = visit(arg, at->name, kv_pairs_value(&held, "task"), kv_pairs_value(&held, "attention"),
                         init ? init : "", err);
        kv_pairs_free(&held);
    }
    sections_free(&all);
    return code;
}

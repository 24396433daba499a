/* The file that says what a shared evaluation is: program, core, request, cells with their hashes, and the deal.
 * It is made under another name and linked, so that of two first processes one wins with a whole file. */
#include "harness/shard/manifest.h"

#include "harness/base/os.h"
#include "harness/base/version.h"
#include "harness/shard/host.h"
#include "models/engine/gemm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Making it ---- */

/* Add "0-4,7" for the samples of a cell that `part` has. */
static int add_range(char **text, size_t *used, int64_t from, int64_t to)
{
    char word[64];
    const int size =
        from == to ? snprintf(word, sizeof word, "%s%lld", *used ? "," : "", (long long)from)
                   : snprintf(word, sizeof word, "%s%lld-%lld", *used ? "," : "", (long long)from, (long long)to);
    char *grown = realloc(*text, *used + (size_t)size + 1);
    if (!grown) return 0;
    memcpy(grown + *used, word, (size_t)size + 1);
    *text = grown;
    *used += (size_t)size;
    return 1;
}

/* Who has sample `index` of the cell: of a part of the plan, or rows without a model. */
static size_t owner_of(const manifest_view *v, size_t part, size_t cell, int64_t index)
{
    if (part != EVAL_ROWS) return v->owner[deal_unit_of(v->deal, part, cell, index)];
    for (size_t i = 0; i < v->deal->count; i++)
        if (v->deal->unit[i].part == EVAL_ROWS && v->deal->unit[i].cell == cell) return v->owner[i];
    return 0;
}

static json_t *ranges(const manifest_view *v, size_t part, size_t cell, int64_t asked, size_t shard)
{
    char *text = NULL;
    size_t used = 0;
    int fine = 1;
    for (int64_t i = 0, from; fine && i < asked; i++) {
        if (owner_of(v, part, cell, i) != shard) continue;
        from = i;
        while (i + 1 < asked && owner_of(v, part, cell, i + 1) == shard) i++;
        fine = add_range(&text, &used, from, i);
    }
    json_t *out = fine ? json_string(text ? text : "") : NULL;
    free(text);
    return out;
}

static json_t *cell_object(const manifest_view *v, size_t index, size_t part, size_t cell)
{
    const result_cell *c = &v->whole->cell[index];
    const int64_t asked = v->whole->asked[index];
    json_t *out = json_pack("{ss ss ss ss ss ss ss ss sI ss}", "model", c->model, "cell", c->name, "weights",
                            c->weights, "config", c->config, "tokenizer", c->tokenizer, "data", c->data, "core",
                            c->blas_core, "settings", c->settings, "asked", (json_int_t)asked, "key", c->key);
    if (out) json_object_set_new(out, "zeroed", json_boolean(c->memory == RESULT_ZEROED));
    if (!out || !v->owner) return out;
    json_t *dealt = json_array();
    for (int64_t s = 0; s < v->choice->count; s++)
        json_array_append_new(dealt, ranges(v, part, cell, asked, (size_t)s));
    json_object_set_new(out, "dealt", dealt);
    return out;
}

/* Where a cell of the list stands in the request or in the plan. */
static void place_of(const eval_whole *w, size_t index, size_t *part, size_t *cell)
{
    *part = EVAL_ROWS;
    for (*cell = 0; *cell < w->request->cell_count; ++*cell)
        if (w->cell[index].kind == RESULT_REFERENCE &&
            strcmp(w->request->cell[*cell].name, w->cell[index].name) == 0)
            return;
    for (size_t p = 0; p < w->plan->count; p++) {
        const plan_part *at = &w->plan->part[p];
        if (at->skip[0] || index < w->first[p] || index >= w->first[p] + at->cell_count) continue;
        *part = p;
        *cell = index - w->first[p];
    }
}

static json_t *make(const manifest_view *v, pal_error *err)
{
    const eval_request *r = v->whole->request;
    char words[RESULT_TEXT], name[SHARD_NAME], by[SHARD_NAME + HOST_NAME + 8], versions[32];
    const host_id self = host_self();
    if (eval_request_words(r, 0, words, sizeof words, err) != PAL_OK) return NULL;
    snprintf(by, sizeof by, "%s on %s", shard_name(v->choice, name), self.name);
    snprintf(versions, sizeof versions, "%d.%d", r->task->version, r->task->scorer_version);
    json_t *cells = json_array();
    for (size_t i = 0; i < v->whole->count; i++) {
        size_t part, cell;
        place_of(v->whole, i, &part, &cell);
        json_array_append_new(cells, cell_object(v, i, part, cell));
    }
    json_t *out = json_pack("{ss ss ss ss ss ss sI so}", "by", by, "program", pal_version(), "task", r->task->name,
                            "task_version", versions, "request", words, "core", gemm_core(), "shards",
                            (json_int_t)(v->choice->kind == SHARD_FIXED ? v->choice->count : 0), "cells", cells);
    if (!out) pal_fail(err, PAL_INTERNAL, "out of memory for the deal");
    return out;
}

/* ---- Comparing ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int unlike(const char *path, const json_t *there, const json_t *mine, const char *what, const char *fix,
                  const char *a, const char *b, pal_error *err)
{
    return pal_fail(err, PAL_USAGE, "%s: %s has %s %.200s, but %s has %.200s: %s", path, text_of(there, "by"),
                    what, a, text_of(mine, "by"), b, fix);
}

static int compare_run(const char *path, const json_t *there, const json_t *mine, pal_error *err)
{
    static const struct {
        const char *key, *name, *fix;
    } same[] = {
        {"program", "version", "use one version, or merge what there is and begin anew"},
        {"core", "BLAS core", "set OPENBLAS_CORETYPE to the same on all machines"},
        {"task", "task", "use another results="},
        {"task_version", "task version", "use one version of the program"},
        {"request", "the request", "use the same words, or another results="},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        const char *a = text_of(there, same[i].key), *b = text_of(mine, same[i].key);
        if (strcmp(a, b) != 0) return unlike(path, there, mine, same[i].name, same[i].fix, a, b, err);
    }
    const json_int_t a = json_integer_value(json_object_get(there, "shards")),
                     b = json_integer_value(json_object_get(mine, "shards"));
    if (a == b) return PAL_OK;
    return pal_fail(
        err, PAL_USAGE,
        "%s: %s is of a run in %lld shards, but %s is of one in %lld (0: auto or ranks): use the same number, or "
        "another results=",
        path, text_of(there, "by"), (long long)a, text_of(mine, "by"), (long long)b);
}

static int compare_cell(const char *path, const json_t *there, const json_t *mine, const json_t *a,
                        const json_t *b, pal_error *err)
{
    static const char *const keys[] = {"model",     "cell", "weights", "config",
                                       "tokenizer", "data", "core",    "settings"};
    char what[KV_TEXT_MAX + 200];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(text_of(a, keys[i]), text_of(b, keys[i])) == 0) continue;
        snprintf(what, sizeof what, "for %s, %s, the %s", text_of(a, "model"), text_of(a, "cell"), keys[i]);
        return unlike(path, there, mine, what, "give all processes the same files and words", text_of(a, keys[i]),
                      text_of(b, keys[i]), err);
    }
    if (json_equal(a, b)) return PAL_OK;
    snprintf(what, sizeof what, "for %s, %s,", text_of(a, "model"), text_of(a, "cell"));
    return unlike(path, there, mine, what, "give all processes the same words", "another number of samples",
                  "this one", err);
}

static int compare(const char *path, const json_t *there, const json_t *mine, pal_error *err)
{
    const json_t *a = json_object_get(there, "cells"), *b = json_object_get(mine, "cells");
    char text[2][24];
    PAL_TRY(compare_run(path, there, mine, err));
    for (size_t i = 0; i < json_array_size(a) && i < json_array_size(b); i++)
        PAL_TRY(compare_cell(path, there, mine, json_array_get(a, i), json_array_get(b, i), err));
    if (json_array_size(a) == json_array_size(b)) return PAL_OK;
    snprintf(text[0], sizeof text[0], "%zu cells", json_array_size(a));
    snprintf(text[1], sizeof text[1], "%zu", json_array_size(b));
    return unlike(path, there, mine, "an evaluation of", "give all processes the same models and words", text[0],
                  text[1], err);
}

/* ---- The file ---- */

/* 0: somebody was faster. */
static int place_file(const char *path, const char *text, int *placed, pal_error *err)
{
    char *temporary, name[HOST_PROCESS];
    const host_id self = host_self();
    if (asprintf(&temporary, "%s.%s", path, host_process(&self, name)) < 0)
        return pal_fail(err, PAL_INTERNAL, "out of memory for a path");
    int code = os_write_file(temporary, text, strlen(text), err);
    *placed = code == PAL_OK && link(temporary, path) == 0;
    const int cause = errno;
    if (code == PAL_OK && !*placed && cause != EEXIST) {
        /* Some file systems have no links. */
        *placed = !os_file_exists(path) && os()->rename(temporary, path) == 0;
        if (!*placed && !os_file_exists(path))
            code = pal_fail(err, PAL_INTERNAL, "cannot create %s: %s", path, strerror(cause));
    }
    unlink(temporary);
    free(temporary);
    return code;
}

int manifest_join(const char *path, const manifest_view *view, pal_error *err)
{
    json_t *mine = make(view, err), *there = NULL;
    if (!mine) return err->code ? err->code : PAL_INTERNAL;
    char *text = json_dumps(mine, JSON_INDENT(1) | JSON_ENSURE_ASCII);
    int placed = 0, code = text ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the deal");
    if (code == PAL_OK && !os_file_exists(path)) code = place_file(path, text, &placed, err);
    if (code == PAL_OK && !placed) code = manifest_read(path, &there, err);
    if (code == PAL_OK && !placed) code = compare(path, there, mine, err);
    free(text);
    json_decref(there);
    json_decref(mine);
    return code;
}

int manifest_read(const char *path, json_t **out, pal_error *err)
{
    char *data;
    size_t size;
    PAL_TRY(os_read_file(path, &data, &size, err));
    json_error_t where;
    *out = json_loadb(data, size, JSON_REJECT_DUPLICATES, &where);
    free(data);
    if (json_is_array(json_object_get(*out, "cells"))) return PAL_OK;
    json_decref(*out);
    *out = NULL;
    return pal_fail(err, PAL_DATA, "%s: not what a run of shards begins with; remove its folder to begin anew",
                    path);
}

size_t manifest_cells(const json_t *manifest)
{
    return json_array_size(json_object_get(manifest, "cells"));
}

int manifest_cell_at(const json_t *manifest, size_t index, manifest_cell *out)
{
    const json_t *cell = json_array_get(json_object_get(manifest, "cells"), index);
    *out = (manifest_cell){.key = text_of(cell, "key"),
                           .model = text_of(cell, "model"),
                           .name = text_of(cell, "cell"),
                           .zeroed = json_is_true(json_object_get(cell, "zeroed")),
                           .asked = json_integer_value(json_object_get(cell, "asked")),
                           .dealt = json_object_get(cell, "dealt")};
    return strlen(out->key) == RESULT_KEY - 1 && out->asked >= 0 && out->asked <= RESULT_INDEX_MAX;
}

static int holds(const char *ranges_text, int64_t index)
{
    for (const char *at = ranges_text; at && *at;) {
        char *end;
        const long long from = strtoll(at, &end, 10);
        const long long to = *end == '-' ? strtoll(end + 1, &end, 10) : from;
        if (index >= from && index <= to) return 1;
        at = *end == ',' ? end + 1 : NULL;
    }
    return 0;
}

size_t manifest_owner(const manifest_cell *cell, int64_t index)
{
    for (size_t s = 0; s < json_array_size(cell->dealt); s++)
        if (holds(json_string_value(json_array_get(cell->dealt, s)), index)) return s + 1;
    return 0;
}

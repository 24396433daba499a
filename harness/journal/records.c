/* The records of a journal: reading them into cells and samples, and writing them as JSON. */
#include "harness/base/array.h"
#include "harness/base/version.h"
#include "harness/journal/cells.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Reading ---- */

/* A string member copied into out; "" when absent. Returns whether it was there and fitted. */
static int get_text(const json_t *object, const char *key, char *out, size_t size)
{
    const char *value = json_string_value(json_object_get(object, key));
    const int fits = value && strlen(value) < size;
    snprintf(out, size, "%s", fits ? value : "");
    return fits;
}

static double get_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int64_t get_whole(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* Never 0; 0 for NULL. */
static uint64_t name_hash(const char *name)
{
    if (!name) return 0;
    const uint64_t hash = hash_fnv(HASH_FNV_BEGIN, name, strlen(name));
    return hash ? hash : 1;
}

/* ---- Facts ---- */

static const char *const kind_word[] = {[RESULT_MODEL] = "model", [RESULT_REFERENCE] = "reference"};
static const char *const memory_word[] = {[RESULT_KEPT] = "kept", [RESULT_ZEROED] = "zeroed"};
static const char *const extent_word[] = {[RESULT_LENGTH] = "length", [RESULT_DOCUMENTS] = "documents"};

/* What is told of every cell by the other members of a record, for those written before facts were journaled. */
static void derive_facts(result_cell *cell)
{
    char place[64];
    const int size = snprintf(place, sizeof place, "len=%lld,depth=%g,", (long long)cell->length, cell->depth);
    cell->kind = strcmp(cell->blas_core, REFERENCES_CORE) == 0 ? RESULT_REFERENCE : RESULT_MODEL;
    cell->memory = strstr(cell->settings, "memory=zeroed") ? RESULT_ZEROED : RESULT_KEPT;
    cell->extent = cell->length ? RESULT_LENGTH : RESULT_DOCUMENTS;
    cell->facts.train_seed = MODEL_SEED_UNKNOWN;
    if (cell->length && strncmp(cell->name, place, (size_t)size) == 0)
        snprintf(cell->variant, sizeof cell->variant, "%.31s", cell->name + size);
}

/* The place of a member's word in a list; what it was where the member is not there. -1: a strange word. */
static int get_word(const json_t *object, const char *key, const char *const word[2], int otherwise)
{
    const char *value = json_string_value(json_object_get(object, key));
    if (!value) return otherwise;
    return strcmp(value, word[0]) == 0 ? 0 : strcmp(value, word[1]) == 0 ? 1 : -1;
}

/* 0: a member holds a word that this version does not know. */
static int take_facts(const json_t *object, result_cell *cell)
{
    derive_facts(cell);
    const int kind = get_word(object, "row", kind_word, (int)cell->kind);
    const int memory = get_word(object, "memory", memory_word, (int)cell->memory);
    const int extent = get_word(object, "extent", extent_word, (int)cell->extent);
    if (kind < 0 || memory < 0 || extent < 0) return 0;
    cell->kind = (result_kind)kind;
    cell->memory = (result_memory)memory;
    cell->extent = (result_extent)extent;
    if (json_object_get(object, "variant")) get_text(object, "variant", cell->variant, sizeof cell->variant);
    const json_t *facts = json_object_get(object, "facts");
    if (!json_is_object(facts)) return 1;
    const json_t *seed = json_object_get(facts, "train_seed");
    get_text(facts, "attention", cell->facts.attention, sizeof cell->facts.attention);
    get_text(facts, "trained_on", cell->facts.trained_on, sizeof cell->facts.trained_on);
    cell->facts.train_seed = json_is_integer(seed) ? json_integer_value(seed) : MODEL_SEED_UNKNOWN;
    cell->facts.xl_len = get_whole(facts, "xl_len");
    cell->facts.fine_tuned = json_is_true(json_object_get(facts, "fine_tuned"));
    if (json_object_get(facts, "instead"))
        get_text(facts, "instead", cell->facts.instead, sizeof cell->facts.instead);
    return 1;
}

static int take_cell(results *r, const json_t *object, int *understood, pal_error *err)
{
    result_cell cell = {0};
    *understood = get_text(object, "key", cell.key, sizeof cell.key) &&
                  get_text(object, "model", cell.model, sizeof cell.model) &&
                  get_text(object, "weights", cell.weights, sizeof cell.weights) &&
                  get_text(object, "config", cell.config, sizeof cell.config) &&
                  get_text(object, "tokenizer", cell.tokenizer, sizeof cell.tokenizer) &&
                  get_text(object, "data", cell.data, sizeof cell.data) &&
                  get_text(object, "blas_core", cell.blas_core, sizeof cell.blas_core) &&
                  get_text(object, "settings", cell.settings, sizeof cell.settings) &&
                  get_text(object, "request", cell.request, sizeof cell.request) &&
                  get_text(object, "cell", cell.name, sizeof cell.name);
    if (!*understood) return PAL_OK;
    cell.length = get_whole(object, "length");
    cell.depth = get_number(object, "depth");
    cell.parameters = (uint64_t)get_whole(object, "parameters");
    cell.state_bytes = (uint64_t)get_whole(object, "state_bytes");
    const int64_t samples = get_whole(object, "asked");
    *understood = take_facts(object, &cell) && cell.length >= 0 && samples >= 0 && samples <= RESULT_INDEX_MAX;
    if (!*understood) return PAL_OK;

    result_cell *known = results_find(r, cell.key);
    if (!known) {
        PAL_TRY(array_room(&r->cell, &r->capacity, r->count + 1, sizeof cell, "the results", err));
        known = &r->cell[r->count++];
        *known = cell;
    }
    if (!result_described(known)) known->facts = cell.facts;
    int64_t *asked = realloc(known->asked, (known->asked_count + 1) * sizeof *asked);
    if (!asked) return pal_fail(err, PAL_INTERNAL, "out of memory for the results");
    asked[known->asked_count++] = samples;
    known->asked = asked;
    return PAL_OK;
}

static int take_sample(results *r, const json_t *object, int *understood, pal_error *err)
{
    char key[RESULT_KEY];
    result_cell *cell = get_text(object, "cell_key", key, sizeof key) ? results_find(r, key) : NULL;
    const int64_t index = get_whole(object, "index");
    const double seconds = get_number(json_object_get(object, "cost"), "seconds");
    const json_t *values = json_object_get(object, "values"), *cost = json_object_get(object, "cost");
    *understood = cell && index >= 0 && index < RESULT_INDEX_MAX && json_is_object(values);
    if (!*understood) return PAL_OK;
    result_sample sample = {.index = index,
                            .not_finite = json_is_true(json_object_get(object, "not_finite")),
                            .seconds = seconds < 0 ? 0 : seconds, /* a clock once ran backwards */
                            .tokens = get_whole(cost, "tokens"),
                            .read = get_number(cost, "read"),
                            .threads = get_whole(cost, "threads"),
                            .batch = get_whole(cost, "batch"),
                            .held = (uint64_t)get_whole(cost, "held"),
                            .peak_rss = (uint64_t)get_whole(cost, "peak_rss")};
    if (r->task->cluster)
        sample.cluster =
            name_hash(json_string_value(json_object_get(json_object_get(object, "record"), r->task->cluster)));
    /* Records of before it was counted: known where nothing could be shared. */
    if (!isfinite(sample.read) && !(r->task->eval && r->task->eval->shares)) sample.read = (double)sample.tokens;
    for (size_t v = 0; v < r->task->value_count; v++) sample.value[v] = get_number(values, r->task->value[v]);
    return result_put(cell, &sample, err);
}

int results_visit(void *results_arg, const char *line, size_t size, int64_t number, pal_error *err)
{
    results *r = results_arg;
    json_error_t where;
    json_t *object = json_loadb(line, size, JSON_ALLOW_NUL, &where);
    const char *kind = json_string_value(json_object_get(object, "kind"));
    const char *task = json_string_value(json_object_get(object, "task"));
    int code = PAL_OK, understood = kind && task && strcmp(task, r->task->name) == 0;
    if (understood && (get_whole(object, "task_version") != r->task->version ||
                       get_whole(object, "scorer_version") != r->task->scorer_version))
        r->outdated++;
    else if (understood && strcmp(kind, "cell") == 0)
        code = take_cell(r, object, &understood, err);
    else if (understood && strcmp(kind, "sample") == 0)
        code = take_sample(r, object, &understood, err);
    json_decref(object);
    if (!understood)
        return pal_fail(
            err, PAL_DATA,
            "%s:%lld: not a record of task %s that this version reads; move the file away to start anew", r->path,
            (long long)number, r->task->name);
    return code;
}

/* ---- Writing ---- */

/* Write the object to the journal and take it in; drops the reference. */
static int write_object(results *r, journal *j, json_t *object, pal_error *err)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(object);
    if (!text) return pal_fail(err, PAL_INTERNAL, "cannot form a journal record: out of memory");
    int code = journal_append(j, text, err);
    if (code == PAL_OK) code = results_visit(r, text, strlen(text), 0, err);
    free(text);
    return code;
}

/* JSON has no NaN: null stands for it. */
static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

int results_announce(results *r, journal *j, const result_cell *cell, int64_t asked, pal_error *err)
{
    json_t *object = json_pack(
        "{ss ss si si ss ss ss ss ss so sI ss ss sI sI sI}", "kind", "cell", "task", r->task->name, "task_version",
        r->task->version, "scorer_version", r->task->scorer_version, "key", cell->key, "model", cell->model,
        "weights", cell->weights, "config", cell->config, "cell", cell->name, "depth", number_or_null(cell->depth),
        "length", (json_int_t)cell->length, "settings", cell->settings, "request", cell->request, "parameters",
        (json_int_t)cell->parameters, "state_bytes", (json_int_t)cell->state_bytes, "asked", (json_int_t)asked);
    json_object_set_new(object, "blas_core", json_string(cell->blas_core));
    json_object_set_new(object, "tokenizer", json_string(cell->tokenizer));
    json_object_set_new(object, "data", json_string(cell->data));
    json_object_set_new(object, "program", json_string(pal_version()));
    json_object_set_new(object, "row", json_string(kind_word[cell->kind]));
    json_object_set_new(object, "memory", json_string(memory_word[cell->memory]));
    json_object_set_new(object, "extent", json_string(extent_word[cell->extent]));
    json_object_set_new(object, "variant", json_string(cell->variant));
    if (cell->kind == RESULT_MODEL && cell->facts.attention[0])
        json_object_set_new(object, "facts",
                            json_pack("{ss ss so sI sb}", "attention", cell->facts.attention, "trained_on",
                                      cell->facts.trained_on, "train_seed",
                                      cell->facts.train_seed == MODEL_SEED_UNKNOWN
                                          ? json_null()
                                          : json_integer((json_int_t)cell->facts.train_seed),
                                      "xl_len", (json_int_t)cell->facts.xl_len, "fine_tuned",
                                      cell->facts.fine_tuned));
    if (cell->facts.instead[0])
        json_object_set_new(json_object_get(object, "facts"), "instead", json_string(cell->facts.instead));
    return write_object(r, j, object, err);
}

int results_add(results *r, journal *j, const char *key, int64_t index, const result_sample *sample,
                const char *record, pal_error *err)
{
    const result_cell *cell = results_find(r, key);
    json_t *seen = json_loads(record, JSON_ALLOW_NUL, NULL), *values = json_object();
    if (!cell || !json_is_object(seen)) {
        json_decref(seen);
        json_decref(values);
        return pal_fail(err, PAL_INTERNAL, "task %s made a record that is not a JSON object", r->task->name);
    }
    for (size_t v = 0; v < r->task->value_count; v++)
        json_object_set_new(values, r->task->value[v], number_or_null(sample->value[v]));
    json_t *object = json_pack(
        "{ss ss si si ss ss ss ss sI so so s{sf sI sf sI sI sI sI}}", "kind", "sample", "task", r->task->name,
        "task_version", r->task->version, "scorer_version", r->task->scorer_version, "cell_key", cell->key,
        "model", cell->model, "weights", cell->weights, "cell", cell->name, "index", (json_int_t)index, "values",
        values, "record", seen, "cost", "seconds", sample->seconds, "tokens", (json_int_t)sample->tokens, "read",
        sample->read, "held", (json_int_t)sample->held, "threads", (json_int_t)sample->threads, "batch",
        (json_int_t)sample->batch, "peak_rss", (json_int_t)sample->peak_rss);
    if (sample->not_finite) json_object_set_new(object, "not_finite", json_true());
    return write_object(r, j, object, err);
}

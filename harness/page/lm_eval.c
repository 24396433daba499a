/* Writes the results of models as lm-evaluation-harness does: results, configs, versions, n-shot, n-samples.
 * Intervals are added under a key of their own, which its programs leave alone. */
#include "harness/page/lm_eval.h"

#include "harness/base/os.h"
#include "harness/base/text.h"
#include "harness/base/version.h"
#include "harness/report/again.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Names and numbers ---- */

/* Append with every run of other characters as one '_'. */
static void add_word(char out[LM_EVAL_NAME], const char *text)
{
    size_t held = strlen(out);
    for (; *text && held + 1 < LM_EVAL_NAME; text++) {
        const int plain = isalnum((unsigned char)*text) != 0;
        if (!plain && held && out[held - 1] == '_') continue;
        out[held++] = plain ? (char)tolower((unsigned char)*text) : '_';
        out[held] = '\0';
    }
}

char *lm_eval_task_name(const task_module *task, const result_cell *cell, char out[LM_EVAL_NAME])
{
    char word[64], size[24];
    out[0] = '\0';
    add_word(out, task->name);
    add_word(out, "_");
    if (cell->extent == RESULT_DOCUMENTS) {
        add_word(out, cell->name);
    } else {
        add_word(out, kv_format_size(cell->length, size));
        snprintf(word, sizeof word, "_d%.10g", cell->depth);
        if (isfinite(cell->depth)) add_word(out, word);
        snprintf(word, sizeof word, "_%s", cell->variant);
        if (cell->variant[0]) add_word(out, word);
    }
    return out;
}

double lm_eval_stderr(const task_metric *metric, const report_row *row)
{
    double num = 0, den = 0, square = 0;
    const result_sample *s = row->cell->sample;
    if (row->n < 2) return NAN;
    for (int64_t i = 0; i < row->n; i++) {
        num += s[i].value[metric->value];
        den += metric->over < 0 ? 1 : s[i].value[metric->over];
    }
    const double ratio = num / den, mean = den / (double)row->n;
    for (int64_t i = 0; i < row->n; i++) {
        const double over = metric->over < 0 ? 1 : s[i].value[metric->over],
                     z = (s[i].value[metric->value] - ratio * over) / mean;
        square += z * z;
    }
    const double error = sqrt(square / (double)(row->n - 1) / (double)row->n);
    if (metric->kind == METRIC_PERPLEXITY) return exp(ratio) * error;
    return metric->kind == METRIC_BITS ? error / log(2) : error;
}

/* lm-evaluation-harness writes "N/A" for a standard error that it does not have. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_string("N/A");
}

/* ---- One document ---- */

typedef struct document {
    json_t *results, *configs, *versions, *shots, *samples, *higher, *intervals, *groups, *hashes;
    double seconds;
} document;

static document document_new(void)
{
    return (document){json_object(), json_object(), json_object(), json_object(), json_object(),
                      json_object(), json_object(), json_object(), json_object(), 0};
}

static void document_free(document *d)
{
    json_t *const parts[] = {d->results, d->configs,   d->versions, d->shots, d->samples,
                             d->higher,  d->intervals, d->groups,   d->hashes};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) json_decref(parts[i]);
}

static json_t *config_of(const report *rep, const report_row *row, const char *name)
{
    const result_cell *c = row->cell;
    char *command = again_text(again_eval, rep->task, c), *prompt = again_text(again_show, rep->task, c);
    const struct {
        const char *key, *value;
    } texts[] = {{"task", name},
                 {"tag", rep->task->name},
                 {"description", rep->task->summary},
                 {"output_type", rep->task->response ? "generate_until" : "loglikelihood_rolling"},
                 {"model", c->model},
                 {"cell", c->name},
                 {"settings", c->settings},
                 {"weights_sha256", c->weights},
                 {"config_sha256", c->config},
                 {"tokenizer_sha256", c->tokenizer},
                 {"data_sha256", c->data},
                 {"blas_core", c->blas_core},
                 {"command", command ? command : ""},
                 {"prompt_command", prompt ? prompt : ""}};
    json_t *config = json_object(), *metrics = json_array();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        json_object_set_new(config, texts[i].key, json_string(texts[i].value));
    free(command);
    free(prompt);
    json_object_set_new(config, "num_fewshot", json_integer(0));
    json_object_set_new(config, "length", json_integer((json_int_t)c->length));
    json_object_set_new(config, "depth", isfinite(c->depth) ? json_real(c->depth) : json_null());
    json_object_set_new(config, "parameters", json_integer((json_int_t)c->parameters));
    json_object_set_new(config, "state_bytes", json_integer((json_int_t)c->state_bytes));
    for (size_t m = 0; m < rep->task->metric_count; m++) {
        const task_metric *metric = &rep->task->metric[m];
        json_array_append_new(
            metrics, json_pack("{ss sb}", "metric", metric->name, "higher_is_better", metric->higher_is_better));
    }
    json_object_set_new(config, "metric_list", metrics);
    json_object_set_new(
        config, "metadata",
        json_pack("{si si}", "version", rep->task->version, "scorer_version", rep->task->scorer_version));
    return config;
}

/* The metrics of a row under `key`. Metrics without a value are left out: a table of numbers holds no null. */
static void add_metrics(document *d, const report *rep, const report_row *row, const char *key, json_t *result)
{
    json_t *higher = json_object(), *intervals = json_object();
    char name[96];
    for (size_t m = 0; m < rep->task->metric_count; m++) {
        const task_metric *metric = &rep->task->metric[m];
        const summary *s = &row->metric[m];
        if (!isfinite(s->value)) continue;
        snprintf(name, sizeof name, "%.64s,none", metric->name);
        json_object_set_new(result, name, json_real(s->value));
        snprintf(name, sizeof name, "%.64s_stderr,none", metric->name);
        json_object_set_new(result, name, number(lm_eval_stderr(metric, row)));
        json_object_set_new(higher, metric->name, json_boolean(metric->higher_is_better));
        if (isfinite(s->ci.lo))
            json_object_set_new(intervals, metric->name,
                                json_pack("{sf sf sf ss}", "level", REPORT_LEVEL, "lo", s->ci.lo, "hi", s->ci.hi,
                                          "kind", s->ci.kind));
    }
    json_object_set_new(d->higher, key, higher);
    json_object_set_new(d->intervals, key, intervals);
}

/* Writes the name that the row has in the document into key[size]: two cells never share one. */
static void name_row(const document *d, const report *rep, const report_row *row, const char *prefix, char *key,
                     size_t size)
{
    char name[LM_EVAL_NAME];
    lm_eval_task_name(rep->task, row->cell, name);
    snprintf(key, size, "%s%s", prefix, name);
    for (int more = 2; json_object_get(d->results, key); more++)
        snprintf(key, size, "%s%s_%d", prefix, name, more);
}

static void add_row(document *d, const report *rep, const report_row *row, const char *key, const char *hash)
{
    const json_int_t n = (json_int_t)row->n;
    json_t *result = json_pack("{ss ss sI}", "name", key, "alias", key, "sample_len", n);
    add_metrics(d, rep, row, key, result);
    json_object_set_new(d->results, key, result);
    json_object_set_new(d->versions, key, json_integer(rep->task->version));
    json_object_set_new(d->shots, key, json_integer(0));
    json_object_set_new(d->samples, key, json_pack("{sI sI}", "original", n, "effective", n));
    json_object_set_new(d->configs, key, config_of(rep, row, key));
    if (hash) json_object_set_new(d->hashes, key, json_string(hash));
    json_t *members = json_object_get(d->groups, rep->task->name);
    if (!members) {
        members = json_array();
        json_object_set_new(d->groups, rep->task->name, members);
    }
    json_array_append_new(members, json_string(key));
    for (int64_t i = 0; i < row->n; i++) d->seconds += row->cell->sample[i].seconds;
}

/* `config` is taken over. */
static int write_document(const document *d, json_t *config, json_t *identity, const char *path, pal_error *err)
{
    char seconds[32];
    snprintf(seconds, sizeof seconds, "%.6g", d->seconds);
    json_t *root =
        json_pack("{sO sO sO sO sO sO sO sO so ss sf ss ss sO}", "results", d->results, "group_subtasks",
                  d->groups, "configs", d->configs, "versions", d->versions, "n-shot", d->shots,
                  "higher_is_better", d->higher, "n-samples", d->samples, "intervals", d->intervals, "config",
                  config, "git_hash", pal_version(), "date", 0.0, "palimpsest_version", pal_version(),
                  "total_evaluation_time_seconds", seconds, "task_hashes", d->hashes);
    if (root && identity) json_object_update(root, identity);
    json_decref(identity);
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(root);
    if (!text) return pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    const int code = os_write_file(path, text, strlen(text), err);
    free(text);
    return code;
}

int lm_eval_summary(const evidence *e, const char *path, pal_error *err)
{
    document d = document_new();
    for (size_t t = 0; t < e->count; t++)
        for (size_t i = 0; i < e->task[t].rep.count; i++) {
            const report *rep = &e->task[t].rep;
            char prefix[REPORT_LABEL + 2], key[REPORT_LABEL + LM_EVAL_NAME + 16];
            snprintf(prefix, sizeof prefix, "%s/", rep->row[i].label);
            name_row(&d, rep, &rep->row[i], prefix, key, sizeof key);
            add_row(&d, rep, &rep->row[i], key, NULL);
        }
    const int code =
        write_document(&d, json_pack("{ss sn sn}", "model", "palimpsest", "model_args", "limit"), NULL, path, err);
    document_free(&d);
    return code;
}

/* ---- A folder for each model ---- */

/* One model: a label, and the weights behind it. */
typedef struct exported {
    const report_row *row;
    char folder[TEXT_ID];
} exported;

static int same_model(const report_row *a, const report_row *b)
{
    return strcmp(a->label, b->label) == 0 && strcmp(a->cell->weights, b->cell->weights) == 0;
}

/* Two weights of one label, in the journals of two tasks, get a folder each. */
static void name_folder(exported *all, size_t at)
{
    const report_row *row = all[at].row;
    char name[REPORT_LABEL + 16];
    snprintf(name, sizeof name, "%s", row->label);
    for (size_t i = 0; i < at; i++)
        if (strcmp(all[i].row->label, row->label) == 0)
            snprintf(name, sizeof name, "%s@%.8s", row->label, row->cell->weights);
    text_id(name, all[at].folder);
}

static json_t *config_of_model(const exported *model)
{
    const result_cell *c = model->row->cell;
    json_t *config =
        json_pack("{ss s{ss ss ss ss} sI ss ss sn ss sn sn}", "model", "palimpsest", "model_args", "model",
                  model->row->label, "weights_sha256", c->weights, "attention", c->facts.attention, "trained_on",
                  c->facts.trained_on, "model_num_parameters", (json_int_t)c->parameters, "model_dtype", "float32",
                  "model_sha", c->weights, "batch_size", "device", "cpu", "limit", "gen_kwargs");
    if (config) json_object_set_new(config, "bootstrap_iters", json_integer(0));
    return config;
}

static int add_cell(document *d, const report *rep, const report_row *row, const records *all, const char *dir,
                    const char *date, pal_error *err)
{
    char key[LM_EVAL_NAME + 16], hash[HASH_HEX], *path;
    name_row(d, rep, row, "", key, sizeof key);
    if (asprintf(&path, "%s/samples_%s_%s.jsonl", dir, key, date) < 0)
        return pal_fail(err, PAL_INTERNAL, "out of memory for %s", dir);
    const int code = lm_eval_samples(rep, row, all, path, hash, err);
    free(path);
    if (code == PAL_OK) add_row(d, rep, row, key, hash);
    return code;
}

static int export_model(const evidence *e, const exported *model, const records *all, const char *dir,
                        const char *date, pal_error *err)
{
    document d = document_new();
    char *folder = NULL, *path = NULL;
    int code = PAL_OK;
    if (asprintf(&folder, "%s/%s", dir, model->folder) < 0 ||
        asprintf(&path, "%s/results_%s.json", folder, date) < 0)
        code = pal_fail(err, PAL_INTERNAL, "out of memory for %s", dir);
    if (code == PAL_OK) code = os_make_dirs(folder, err);
    for (size_t t = 0; t < e->count; t++)
        for (size_t i = 0; i < e->task[t].rep.count && code == PAL_OK; i++)
            if (same_model(&e->task[t].rep.row[i], model->row))
                code = add_cell(&d, &e->task[t].rep, &e->task[t].rep.row[i], &all[t], folder, date, err);
    if (code == PAL_OK)
        code = write_document(&d, config_of_model(model),
                              json_pack("{ss ss ss}", "model_source", "palimpsest", "model_name",
                                        model->row->label, "model_name_sanitized", model->folder),
                              path, err);
    document_free(&d);
    free(path);
    free(folder);
    return code;
}

static int read_all(records *all, const evidence *e, pal_error *err)
{
    int code = PAL_OK;
    for (size_t t = 0; t < e->count; t++) all[t] = (records){0};
    for (size_t t = 0; t < e->count && code == PAL_OK; t++) code = records_read(&all[t], &e->task[t].held, err);
    return code;
}

static exported *list_models(const evidence *e, size_t *count)
{
    size_t rows = 1;
    for (size_t t = 0; t < e->count; t++) rows += e->task[t].rep.count;
    exported *model = calloc(rows, sizeof *model);
    *count = 0;
    for (size_t t = 0; model && t < e->count; t++)
        for (size_t i = 0; i < e->task[t].rep.count; i++) {
            const report_row *row = &e->task[t].rep.row[i];
            size_t at = 0;
            while (at < *count && !same_model(model[at].row, row)) at++;
            if (at < *count) continue;
            model[at].row = row;
            name_folder(model, at);
            ++*count;
        }
    return model;
}

int lm_eval_export(const evidence *e, const char *dir, const char *date, size_t *models, pal_error *err)
{
    records all[EVIDENCE_TASKS];
    if (!date[0] || date[strspn(date, "0123456789-.TZ:")])
        return pal_fail(err, PAL_USAGE, "date=%s: write it as %s", date, LM_EVAL_DATE);
    exported *model = list_models(e, models);
    if (!model) return pal_fail(err, PAL_INTERNAL, "out of memory for the export");
    int code = read_all(all, e, err);
    for (size_t i = 0; i < *models && code == PAL_OK; i++) code = export_model(e, &model[i], all, dir, date, err);
    for (size_t t = 0; t < e->count; t++) records_free(&all[t]);
    free(model);
    return code;
}

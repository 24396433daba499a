#include "harness/page/page.h"

#include "harness/base/os.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

double html_stderr(const task_metric *metric, const report_row *row)
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

typedef struct document {
    json_t *results, *configs, *versions, *samples, *higher, *intervals, *groups;
} document;

static json_t *config_of(const report *rep, const report_row *row)
{
    const result_cell *c = row->cell;
    char *command = NULL;
    size_t size = 0;
    FILE *line = open_memstream(&command, &size);
    json_t *config = json_object(), *metrics = json_array();
    if (line) html_command(line, rep->task, c);
    if (!line || fclose(line) != 0) {
        free(command);
        command = NULL;
    }
    const struct {
        const char *key, *value;
    } texts[] = {{"task", rep->task->name},
                 {"description", rep->task->summary},
                 {"model", c->model},
                 {"cell", c->name},
                 {"settings", c->settings},
                 {"weights_sha256", c->weights},
                 {"config_sha256", c->config},
                 {"tokenizer_sha256", c->tokenizer},
                 {"data_sha256", c->data},
                 {"blas_core", c->blas_core},
                 {"command", command ? command : ""}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        json_object_set_new(config, texts[i].key, json_string(texts[i].value));
    free(command);
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

static void add_row(document *d, const report *rep, const report_row *row)
{
    char key[REPORT_LABEL + 160], name[96];
    snprintf(key, sizeof key, "%s/%s/%s", rep->task->name, row->label, row->cell->name);
    json_t *result = json_object(), *higher = json_object(), *intervals = json_object();
    json_object_set_new(result, "alias", json_string(key));
    for (size_t m = 0; m < rep->task->metric_count; m++) {
        const task_metric *metric = &rep->task->metric[m];
        const summary *s = &row->metric[m];
        if (!isfinite(s->value)) continue;
        snprintf(name, sizeof name, "%.64s,none", metric->name);
        json_object_set_new(result, name, json_real(s->value));
        snprintf(name, sizeof name, "%.64s_stderr,none", metric->name);
        json_object_set_new(result, name, number(html_stderr(metric, row)));
        json_object_set_new(higher, metric->name, json_boolean(metric->higher_is_better));
        if (isfinite(s->ci.lo))
            json_object_set_new(intervals, metric->name,
                                json_pack("{sf sf sf ss}", "level", REPORT_LEVEL, "lo", s->ci.lo, "hi", s->ci.hi,
                                          "kind", s->ci.kind));
    }
    json_object_set_new(d->results, key, result);
    json_object_set_new(d->higher, key, higher);
    json_object_set_new(d->intervals, key, intervals);
    json_object_set_new(d->versions, key, json_integer(rep->task->version));
    json_object_set_new(d->samples, key,
                        json_pack("{sI sI}", "original", (json_int_t)row->n, "effective", (json_int_t)row->n));
    json_object_set_new(d->configs, key, config_of(rep, row));
    json_t *members = json_object_get(d->groups, rep->task->name);
    if (!members) {
        members = json_array();
        json_object_set_new(d->groups, rep->task->name, members);
    }
    json_array_append_new(members, json_string(key));
}

int html_json(const evidence *e, const char *path, pal_error *err)
{
    document d = {json_object(), json_object(), json_object(), json_object(),
                  json_object(), json_object(), json_object()};
    for (size_t t = 0; t < e->count; t++)
        for (size_t i = 0; i < e->task[t].rep.count; i++) add_row(&d, &e->task[t].rep, &e->task[t].rep.row[i]);
    json_t *root =
        json_pack("{so so so so so so so s{ss sn}}", "results", d.results, "group_subtasks", d.groups, "configs",
                  d.configs, "versions", d.versions, "n-samples", d.samples, "higher_is_better", d.higher,
                  "intervals", d.intervals, "config", "model", "palimpsest", "limit");
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(root);
    if (!text) return pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    const int code = os_write_file(path, text, strlen(text), err);
    free(text);
    return code;
}

/* `palimpsest compare`: pairs the cells of two journals, compares them sample by sample, and judges all at once.
 * The comparison of two cells itself is stats/pairs.c. */
#include "harness/gate/compare.h"

#include "harness/base/os.h"
#include "harness/base/text.h"
#include "harness/eval/facts.h"
#include "harness/eval/model_files.h"
#include "harness/journal/labels.h"
#include "harness/report/report.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- Which cells meet ---- */

static int same_place(const result_cell *a, const result_cell *b)
{
    return a->memory == b->memory && pair_same_samples(a, b);
}

/* Whether the cell is complete and one of the runs that the label names; "": any. */
static int wanted(const result_cell *cell, const char *label)
{
    return result_complete(cell) > 0 && (!label[0] || label_fits(label, cell));
}

/* Whether the labels pair a control with a model that keeps its memory. */
static int control_named(compare_models models)
{
    label_parts a, b;
    return models.a[0] && models.b[0] && label_read(models.a, &a) && label_read(models.b, &b) &&
           a.zeroed != b.zeroed;
}

static int meet(const result_cell *a, const result_cell *b, compare_models models)
{
    if (!wanted(a, models.a) || !wanted(b, models.b)) return 0;
    if (control_named(models)) return a->memory != b->memory && pair_same_samples(a, b);
    return same_place(a, b) && (models.b[0] || strcmp(a->model, b->model) == 0);
}

/* " KEY=MODEL@HASH" as it can be typed, in new memory; NULL: there is none. */
static char *choice(const char *key, const result_cell *cell)
{
    char word[LABEL_TEXT + 16], *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    snprintf(word, sizeof word, "%s=%s@%.8s", key, cell->model, cell->weights);
    text_shell(out, word);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}

static int fail_several(const results *r, const result_cell *a, const result_cell *b, const char *key,
                        pal_error *err)
{
    char *one = choice(key, a), *other = choice(key, b);
    const int code = pal_fail(err, PAL_USAGE, "%s: holds several weights of %s in cell %s; choose with %s or %s",
                              r->path, a->model, a->name, one ? one : key, other ? other : key);
    free(one);
    free(other);
    return code;
}

/* Another run of the same model in the same place, so that nobody knows which one is meant. */
static int check_single(const results *r, const result_cell *cell, const char *filter, const char *key,
                        pal_error *err)
{
    for (size_t i = 0; i < r->count; i++) {
        const result_cell *other = &r->cell[i];
        if (!wanted(other, filter) || !same_place(other, cell) || strcmp(other->model, cell->model) != 0) continue;
        if (strcmp(other->weights, cell->weights) != 0) return fail_several(r, cell, other, key, err);
        if (strcmp(other->config, cell->config) != 0)
            return pal_fail(err, PAL_USAGE, "%s: holds the same weights of %s with several configs in cell %s",
                            r->path, cell->model, cell->name);
    }
    return PAL_OK;
}

/* The cell of `r` that meets `a`, or NULL. */
static const result_cell *partner(const results *r, const result_cell *a, compare_models models)
{
    const result_cell *found = NULL;
    for (size_t i = 0; i < r->count; i++) {
        const result_cell *b = &r->cell[i];
        if (!meet(a, b, models)) continue;
        if (strcmp(b->blas_core, a->blas_core) == 0) return b;
        if (!found) found = b;
    }
    return found;
}

/* Whether an earlier cell differs from this one by the BLAS core alone. */
static int repeated(const results *r, size_t at, const char *filter)
{
    for (size_t i = 0; i < at; i++)
        if (wanted(&r->cell[i], filter) && same_place(&r->cell[i], &r->cell[at]) &&
            strcmp(r->cell[i].model, r->cell[at].model) == 0)
            return 1;
    return 0;
}

/* ---- One row ---- */

static int room_for_row(comparison *c, pal_error *err)
{
    if (c->count < c->capacity) return PAL_OK;
    const size_t wanted_rows = 2 * c->capacity + 16;
    compare_row *grown = realloc(c->row, wanted_rows * sizeof *grown);
    if (!grown) return pal_fail(err, PAL_INTERNAL, "out of memory for the comparison");
    c->row = grown;
    c->capacity = wanted_rows;
    return PAL_OK;
}

/* Whether both sides hold the same values for all samples that both hold, whatever the metric. */
static int same_values(const task_module *task, const result_cell *a, const result_cell *b)
{
    const int64_t held_a = result_complete(a), held_b = result_complete(b);
    if (held_a != held_b) return 0;
    for (int64_t i = 0; i < held_a; i++)
        for (size_t v = 0; v < task->value_count; v++) {
            const double x = a->sample[i].value[v], y = b->sample[i].value[v];
            if (x != y && !(isnan(x) && isnan(y))) return 0;
        }
    return 1;
}

static int add_pair(comparison *c, const task_module *task, const result_cell *a, const result_cell *b,
                    pal_error *err)
{
    const int same = same_values(task, a, b);
    for (size_t m = 0; m < task->metric_count; m++) {
        if (task->metric[m].detail) continue;
        PAL_TRY(room_for_row(c, err));
        compare_row *row = &c->row[c->count];
        *row = (compare_row){.task = task,
                             .metric = &task->metric[m],
                             .of_a = a,
                             .of_b = b,
                             .primary = m == report_main_metric(task),
                             .same = same};
        strcpy(row->cell, a->name);
        strcpy(row->model_a, a->model);
        strcpy(row->model_b, b->model);
        PAL_TRY(pair_compare(row->metric, b, a, 1 - c->alpha, &row->pair, err));
        row->a = row->pair.b;
        row->b = row->pair.a;
        row->margin = row->metric->kind == METRIC_SHARE ? c->points / 100 : c->margin * fabs(row->a);
        c->count += isfinite(row->a) || isfinite(row->b); /* else the cell does not have this metric */
    }
    return PAL_OK;
}

int compare_add(comparison *c, const results *a, const results *b, compare_models models, pal_error *err)
{
    for (size_t i = 0; i < a->count; i++) {
        const result_cell *cell = &a->cell[i];
        if (!wanted(cell, models.a)) continue;
        const result_cell *other = partner(b, cell, models);
        c->only_a += !other;
        if (!other) continue;
        PAL_TRY(check_single(a, cell, models.a, "model_a", err));
        PAL_TRY(check_single(b, other, models.b, "model_b", err));
        if (!repeated(a, i, models.a)) PAL_TRY(add_pair(c, a->task, cell, other, err));
    }
    for (size_t i = 0; i < b->count; i++) {
        int met = 0;
        for (size_t k = 0; k < a->count && !met; k++) met = meet(&a->cell[k], &b->cell[i], models);
        c->only_b += !met && wanted(&b->cell[i], models.b);
    }
    return PAL_OK;
}

/* ---- All rows ---- */

const char *const compare_verdict_name[] = {[COMPARE_UNSURE] = "cannot tell",
                                            [COMPARE_SAME] = "same",
                                            [COMPARE_NOT_WORSE] = "not worse",
                                            [COMPARE_BETTER] = "better",
                                            [COMPARE_WORSE] = "worse"};

/* Correct one family: the rows from `first` on of its task and metric. */
static int correct(comparison *c, size_t first, pal_error *err)
{
    const compare_row *head = &c->row[first];
    pair_of *list = calloc(c->count, sizeof *list);
    double *p = calloc(c->count, sizeof *p);
    size_t count = 0;
    int code = list && p ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the comparison");
    for (size_t i = first; code == PAL_OK && i < c->count; i++)
        if (c->row[i].task == head->task && c->row[i].metric == head->metric)
            list[count++] = (pair_of){head->metric, c->row[i].of_b, c->row[i].of_a};
    if (code == PAL_OK) code = pair_family(list, count, 0, p, err);
    for (size_t i = first, k = 0; code == PAL_OK && i < c->count; i++)
        if (c->row[i].task == head->task && c->row[i].metric == head->metric) c->row[i].corrected = p[k++];
    free(list);
    free(p);
    return code;
}

/* How many like samples would have the interval on one side of the margin, or of zero. */
static int64_t samples_needed(const compare_row *row, double harm, double most)
{
    const double room = row->margin > harm ? row->margin - harm : harm, half = most - harm;
    if (!isfinite(half)) return row->pair.n < STATS_LEAST_DOCUMENTS ? STATS_LEAST_DOCUMENTS : 0;
    if (!(room > 0)) return 0;
    return (int64_t)fmin(1e9, ceil((double)row->pair.n * fmax(1, half / room) * fmax(1, half / room)) + 1);
}

static void judge_row(comparison *c, compare_row *row)
{
    const int up = row->metric->higher_is_better;
    const double harm = up ? -row->pair.difference : row->pair.difference;
    const double most = up ? -row->pair.ci.lo : row->pair.ci.hi; /* how much worse B may be */
    const int shown = row->corrected <= c->alpha, inside = most <= row->margin;
    row->detectable = pair_detectable(row->metric, &row->pair, c->alpha, COMPARE_POWER);
    row->needed = 0;
    if (isfinite(row->a) && !isfinite(row->b))
        row->verdict = COMPARE_WORSE;
    else if (row->same)
        row->verdict = COMPARE_SAME;
    else if (shown && harm < 0)
        row->verdict = COMPARE_BETTER;
    else if (inside)
        row->verdict = COMPARE_NOT_WORSE;
    else if (shown)
        row->verdict = COMPARE_WORSE;
    else {
        row->verdict = COMPARE_UNSURE;
        row->needed = samples_needed(row, harm, most);
    }
}

int compare_judge(comparison *c, pal_error *err)
{
    c->worse = c->better = c->unsure = 0;
    c->needed = 0;
    for (size_t i = 0; i < c->count; i++) {
        size_t first = 0;
        while (c->row[first].task != c->row[i].task || c->row[first].metric != c->row[i].metric) first++;
        if (first == i) PAL_TRY(correct(c, i, err));
    }
    for (size_t i = 0; i < c->count; i++) {
        compare_row *row = &c->row[i];
        judge_row(c, row);
        c->worse += row->verdict == COMPARE_WORSE && (row->primary || !isfinite(row->b));
        if (!row->primary) continue;
        c->better += row->verdict == COMPARE_BETTER;
        c->unsure += row->verdict == COMPARE_UNSURE;
        if (row->needed > c->needed) c->needed = row->needed;
    }
    return PAL_OK;
}

void compare_free(comparison *c)
{
    free(c->row);
    *c = (comparison){0};
}

enum { PATH_TEXT = 2 * KV_TEXT_MAX };

/* ---- Where the journals are ---- */

/* The task of a journal's first record, into a char[64]. */
static int take_task(void *arg, const char *line, size_t size, int64_t number, pal_error *err)
{
    (void)err;
    if (number > 1) return PAL_OK;
    json_t *object = json_loadb(line, size, JSON_ALLOW_NUL, NULL);
    const char *task = json_string_value(json_object_get(object, "task"));
    snprintf(arg, 64, "%s", task ? task : "");
    json_decref(object);
    return PAL_OK;
}

/* One side of the comparison: a directory, or a journal of one task. */
typedef struct side {
    const char *path;
    int is_dir;
    char task[64]; /* of the one journal */
} side;

static int find_side(side *s, const char *key, const char *path, pal_error *err)
{
    struct stat info;
    *s = (side){.path = path};
    if (!path[0])
        return pal_fail(err, PAL_USAGE,
                        "%s is missing; type: palimpsest compare A B, each a journal or a directory", key);
    if (stat(path, &info) != 0)
        return pal_fail(err, PAL_USAGE, "%s: no such file or directory; %s is a journal or a directory of results",
                        path, key);
    s->is_dir = S_ISDIR(info.st_mode);
    if (s->is_dir) return PAL_OK;
    PAL_TRY(journal_read(path, take_task, s->task, err));
    if (!task_find(s->task)) return pal_fail(err, PAL_DATA, "%s:1: not a journal of a known task", path);
    return PAL_OK;
}

/* The path of the task's journal; 0: this side has none. */
static int side_journal(const side *s, const task_module *task, char out[PATH_TEXT])
{
    if (!s->is_dir) {
        snprintf(out, PATH_TEXT, "%s", s->path);
        return task_find(s->task) == task;
    }
    snprintf(out, PATH_TEXT, "%s/%s-journal.jsonl", s->path, task->name);
    return os_file_exists(out);
}

/* ---- The whole comparison ---- */

/* The journals of one task, which rows point into. */
typedef struct task_journals {
    results a, b;
} task_journals;

typedef struct all_journals {
    task_journals *task;
    size_t count;
} all_journals;

static int add_task(comparison *c, all_journals *held, const task_module *task, const char *path_a,
                    const char *path_b, compare_models models, int64_t *outdated, pal_error *err)
{
    task_journals *t = &held->task[held->count++];
    results_init(&t->a, task, path_a);
    results_init(&t->b, task, path_b);
    PAL_TRY(facts_read_journal(&t->a, WEIGHTS_DIR, err));
    PAL_TRY(facts_read_journal(&t->b, WEIGHTS_DIR, err));
    results_note(&t->a, stderr);
    results_note(&t->b, stderr);
    *outdated += t->a.outdated + t->b.outdated;
    return compare_add(c, &t->a, &t->b, models, err);
}

static int add_all(comparison *c, all_journals *held, const compare_options *o, pal_error *err)
{
    side a, b;
    PAL_TRY(find_side(&a, "a", o->a, err));
    PAL_TRY(find_side(&b, "b", o->b, err));
    const task_module *only = o->task[0] ? task_find(o->task) : NULL;
    if (o->task[0] && !only)
        return pal_fail(err, PAL_USAGE, "task=%s: no such task; see `palimpsest list`", o->task);
    int64_t outdated = 0;
    size_t tasks = 0;
    while (task_table[tasks]) tasks++;
    held->task = calloc(tasks + 1, sizeof *held->task);
    if (!held->task) return pal_fail(err, PAL_INTERNAL, "out of memory for the comparison");
    for (size_t i = 0; i < tasks; i++) {
        char path_a[PATH_TEXT], path_b[PATH_TEXT];
        const task_module *task = task_table[i];
        if (only && only != task) continue;
        if (!side_journal(&a, task, path_a) || !side_journal(&b, task, path_b)) continue;
        PAL_TRY(add_task(c, held, task, path_a, path_b, (compare_models){o->model_a, o->model_b}, &outdated, err));
    }
    if (held->count == 0)
        return pal_fail(err, PAL_USAGE, "nothing to compare: %s and %s hold no journal of the same task", o->a,
                        o->b);
    if (c->count == 0)
        return pal_fail(err, PAL_UNSURE,
                        "nothing to compare: no complete cell of the same name, texts, tokenizer and settings "
                        "(%zu only in A, %zu only in B, %lld records of other versions); model_a= and model_b= "
                        "pair models of different names",
                        c->only_a, c->only_b, (long long)outdated);
    return PAL_OK;
}

/* What the exit code says. */
static int conclude(const comparison *c, const compare_options *o, pal_error *err)
{
    char more[64] = "more samples";
    if (c->worse)
        return pal_fail(err, PAL_GATE, "%s is significantly worse than %s in %zu of %zu comparisons", o->b, o->a,
                        c->worse, c->count);
    if (!c->unsure) return PAL_OK;
    if (c->needed) snprintf(more, sizeof more, "about %lld samples a cell", (long long)c->needed);
    return pal_fail(
        err, PAL_UNSURE,
        "cannot tell whether %s is worse than %s by more than the margin in %zu comparisons; evaluate %s", o->b,
        o->a, c->unsure, more);
}

int compare_run(const compare_options *o, FILE *out, pal_error *err)
{
    comparison c = {.alpha = o->alpha, .margin = o->margin / 100, .points = o->points};
    all_journals held = {0};
    int code = add_all(&c, &held, o, err);
    if (code == PAL_OK) code = compare_judge(&c, err);
    if (code == PAL_OK) compare_print(&c, (listing_format)o->format, out);
    if (code == PAL_OK) code = conclude(&c, o, err);
    compare_free(&c);
    for (size_t i = 0; i < held.count; i++) {
        results_free(&held.task[i].a);
        results_free(&held.task[i].b);
    }
    free(held.task);
    return code;
}

/* ---- The command ---- */

#define AT(field) offsetof(compare_options, field)

static const kv_spec options_table[] = {
    {"a", KV_TEXT, AT(a), "", 0, 0, NULL, "what to compare with; the first word without a key"},
    {"b", KV_TEXT, AT(b), "", 0, 0, NULL, "what may be worse; the second word without a key"},
    {"task", KV_TEXT, AT(task), "", 0, 0, NULL, "only this task; else every one that both hold"},
    {"model_a", KV_TEXT, AT(model_a), "", 0, 0, NULL,
     "only this model of A, by any label that a table prints: NAME, NAME@HASH, \"NAME, memory zeroed\""},
    {"model_b", KV_TEXT, AT(model_b), "", 0, 0, NULL, "the model of B that it meets, likewise; else the same"},
    {"format", KV_CHOICE, AT(format), "text", 0, 0, LISTING_FORMATS, "form of the table"},
    {"margin", KV_REAL, AT(margin), "0.5", 0, 100, NULL, "how much worse a loss may be, in percent of A's"},
    {"points", KV_REAL, AT(points), "5", 0, 100, NULL, "how much worse a share may be, in points"},
    {"alpha", KV_REAL, AT(alpha), "0.05", 1e-6, 0.5, NULL, "level of the tests; the intervals are at 1 - alpha"},
};

static const char *const places[] = {"a", "b", NULL};

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    (void)rest;
    return compare_run(options, stdout, err);
}

const pal_command compare_command = {
    .name = "compare",
    .summary = "compare two journals sample by sample; exit code 1 if the second is worse",
    .note =
        "`compare A B` reads two journals, or all those of two directories of results, and pairs their samples.\n"
        "Exit code 0: B is nowhere worse by more than the margin; 1: it is worse; 5: nobody can tell with these\n"
        "samples, and the message says how many would do. Each task's main metric decides.\n",
    .examples = "compare before after\n"
                "compare results/reference results task=passkey\n"
                "compare . . model_a=passkey-local model_b=passkey-infini-delta\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(compare_options),
    .words = places,
    .run = run,
};

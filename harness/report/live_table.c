/* The table that an evaluation fills while it runs. On a terminal it shows as many columns as fit, the most
 * telling first; elsewhere, and for programs, all of them. */
#include "harness/report/live_table.h"

#include "harness/cli/progress.h"
#include "harness/report/report.h"
#include "models/engine/gemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Before the metrics and behind them. Programs also get what a cell's facts say. */
enum { MODEL, PLACE, DEPTH, SAMPLES, HEAD };
enum { SECONDS, COMPUTED, SPEED, NOT_FINITE, TAIL };
enum { FACTS = 7, COLUMNS = HEAD + 3 * TASK_METRICS + TAIL + FACTS, NAME_TEXT = 80, VALUE_WIDTH = 20 };

typedef struct live_table {
    const eval_request *request;
    FILE *out, *log;
    listing rows;
    listing_column column[COLUMNS];
    char name[TASK_METRICS][3][NAME_TEXT]; /* of the metrics' columns */
    int shown[TASK_METRICS], tail[TAIL];   /* columns that fit */
    size_t hidden;                         /* that do not */
    int64_t not_finite, samples;           /* of the rows */
    int shared;                            /* some row has no speed, for its samples shared work */
} live_table;

static int for_people(const live_table *t)
{
    return t->request->options.format == LISTING_TEXT || t->request->options.format == LISTING_MARKDOWN;
}

/* Where lines go that are no rows: of tables for programs and of Markdown, standard output holds the table alone.
 */
static FILE *notes_to(const live_table *t)
{
    return t->request->options.format == LISTING_TEXT ? t->out : t->log;
}

/* Columns of the terminal; 0: no terminal, and room for everything. */
static int terminal_width(FILE *out)
{
    struct winsize size;
    if (!isatty(fileno(out))) return 0;
    return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* ---- Columns ---- */

static int longest_model(const eval_request *r)
{
    size_t most = strlen("model");
    const size_t control = r->options.memory == MEMORY_KEPT ? 0 : strlen(LABEL_ZEROED);
    for (size_t i = 0; i < r->model_count; i++) {
        const size_t size = strlen(r->model[i].file.name) + control;
        if (size > most) most = size;
    }
    return most < 60 ? (int)most : 60;
}

static int longest_place(const eval_request *r)
{
    size_t most = 6;
    for (size_t i = 0; i < r->cell_count; i++) {
        const task_cell *cell = &r->cell[i];
        char size[24];
        size_t place = strlen(cell->name);
        if (cell->length)
            place = r->task->forms ? strlen(kv_format_size(cell->length, size)) + 1 + strlen(cell->variant) : 0;
        if (place > most) most = place;
    }
    return (int)most;
}

static int metric_width(const task_metric *m)
{
    const int name = (int)strlen(m->name);
    return name > VALUE_WIDTH ? name : VALUE_WIDTH;
}

/* Choose what is shown: a first metric always, then the costs, then the other metrics, while there is room. */
static void fit(live_table *t, int width)
{
    static const int tail_width[TAIL] = {[SECONDS] = 8, [COMPUTED] = 8, [SPEED] = 8, [NOT_FINITE] = 10};
    const task_module *task = t->request->task;
    int left = width - longest_model(t->request) - longest_place(t->request) - 2 - 7 - 6, first = 1;
    for (size_t m = 0; m < task->metric_count; m++) {
        const int need = metric_width(&task->metric[m]) + 2;
        if (task->metric[m].detail) continue;
        t->shown[m] = width == 0 || first;
        if (first) left -= need;
        if (first)
            for (int k = 0; k < NOT_FINITE; k++) {
                t->tail[k] = width == 0 || left >= tail_width[k] + 2;
                if (t->tail[k]) left -= tail_width[k] + 2;
                t->hidden += !t->tail[k];
            }
        if (!first && width != 0 && left >= need) {
            t->shown[m] = 1;
            left -= need;
        }
        t->hidden += !t->shown[m];
        first = 0;
    }
}

static size_t put_column(live_table *t, size_t at, const char *name, const char *title, int width)
{
    t->column[at] = (listing_column){name, title, width};
    return at + 1;
}

static size_t columns_for_people(live_table *t)
{
    const eval_request *r = t->request;
    size_t at = 0;
    at = put_column(t, at, "model", NULL, -longest_model(r));
    at = put_column(t, at, "length", r->cell[0].length ? "length" : "texts", -longest_place(r));
    at = put_column(t, at, "depth", NULL, 5);
    at = put_column(t, at, "n", NULL, 4);
    for (size_t m = 0; m < r->task->metric_count; m++)
        if (t->shown[m]) at = put_column(t, at, r->task->metric[m].name, NULL, -metric_width(&r->task->metric[m]));
    if (t->tail[SECONDS]) at = put_column(t, at, "seconds", NULL, 8);
    if (t->tail[COMPUTED]) at = put_column(t, at, "computed", NULL, 8);
    if (t->tail[SPEED]) at = put_column(t, at, "tokens/s", NULL, 8);
    return at;
}

static size_t columns_for_programs(live_table *t)
{
    const eval_request *r = t->request;
    static const char *const suffix[3] = {"", "_lo", "_hi"};
    static const char *const facts[FACTS] = {"cell",       "variant", "memory", "attention",
                                             "trained_on", "kind",    "weights"};
    size_t at = 0;
    at = put_column(t, at, "model", NULL, 0);
    at = put_column(t, at, "length", NULL, 0);
    at = put_column(t, at, "depth", NULL, 0);
    at = put_column(t, at, "n", NULL, 0);
    for (size_t m = 0; m < r->task->metric_count; m++)
        for (int k = 0; k < 3 && !r->task->metric[m].detail; k++) {
            snprintf(t->name[m][k], NAME_TEXT, "%.60s%s", r->task->metric[m].name, suffix[k]);
            at = put_column(t, at, t->name[m][k], NULL, 0);
        }
    at = put_column(t, at, "seconds", NULL, 0);
    at = put_column(t, at, "tokens_computed", NULL, 0);
    at = put_column(t, at, "tokens_per_s_unshared", NULL, 0);
    at = put_column(t, at, "not_finite", NULL, 0);
    for (int k = 0; k < FACTS; k++) at = put_column(t, at, facts[k], NULL, 0);
    return at;
}

/* ---- Rows ---- */

static char *format_seconds(double seconds, char out[24])
{
    snprintf(out, 24, seconds < 99.95 ? "%.1f" : "%.0f", seconds);
    return out;
}

static void put_head(live_table *t, const result_cell *cell, int64_t n)
{
    char name[LABEL_TEXT], size[24], depth[32] = "-", count[24];
    if (!isnan(cell->depth)) snprintf(depth, sizeof depth, "%g%%", cell->depth);
    snprintf(count, sizeof count, "%lld", (long long)n);
    listing_text(&t->rows, for_people(t) ? label_name(cell, name) : cell->model);
    if (cell->length && for_people(t) && t->request->task->forms) {
        char place[64];
        snprintf(place, sizeof place, "%s %s", kv_format_size(cell->length, size), cell->variant);
        listing_text(&t->rows, place);
    } else if (cell->length)
        listing_number(&t->rows, (double)cell->length, kv_format_size(cell->length, size));
    else if (for_people(t))
        listing_text(&t->rows, cell->name);
    else
        listing_number(&t->rows, NAN, NULL);
    listing_number(&t->rows, cell->depth, depth);
    listing_number(&t->rows, (double)n, count);
}

static void put_metrics(live_table *t, const result_cell *cell, int64_t n)
{
    const task_module *task = t->request->task;
    char text[64];
    for (size_t m = 0; m < task->metric_count; m++) {
        if (task->metric[m].detail || (for_people(t) && !t->shown[m])) continue;
        const summary s = report_summary(task, cell, m, n);
        if (for_people(t)) {
            listing_text(&t->rows, report_format(&task->metric[m], &s, text));
            continue;
        }
        listing_number(&t->rows, s.value, NULL);
        listing_number(&t->rows, s.ci.lo, NULL);
        listing_number(&t->rows, s.ci.hi, NULL);
    }
}

static void put_facts(live_table *t, const result_cell *cell)
{
    listing_text(&t->rows, cell->name);
    listing_text(&t->rows, cell->variant);
    listing_text(&t->rows, cell->memory == RESULT_ZEROED ? "zeroed" : "kept");
    listing_text(&t->rows, cell->facts.attention);
    listing_text(&t->rows, cell->facts.trained_on);
    listing_text(&t->rows, cell->kind == RESULT_REFERENCE ? "reference" : "model");
    listing_text(&t->rows, cell->weights);
}

/* Samples that a metric says nothing of, such as texts without a token of ROUGE. */
static void say_missing(const live_table *t, const result_cell *cell, int64_t n)
{
    const task_module *task = t->request->task;
    for (size_t m = 0; m < task->metric_count; m++) {
        if (task->metric[m].kind != METRIC_MISSING) continue;
        const summary s = report_summary(task, cell, m, n);
        if (s.value > 0)
            fprintf(notes_to(t), "  %.0f of the %lld samples of this cell are left out of its means: %s\n",
                    s.value, (long long)n, task->metric[m].name);
    }
}

static void on_cell(void *arg, const result_cell *cell, int64_t n)
{
    live_table *t = arg;
    const cell_cost cost = report_cost(cell, n);
    const int all = !for_people(t);
    char seconds[24], computed[24], speed[24];
    put_head(t, cell, n);
    put_metrics(t, cell, n);
    if (all || t->tail[SECONDS]) listing_number(&t->rows, cost.seconds, format_seconds(cost.seconds, seconds));
    if (all || t->tail[COMPUTED])
        listing_number(&t->rows, cost.computed,
                       isfinite(cost.computed) ? human_count(cost.computed, NULL, computed) : "-");
    if (all || t->tail[SPEED])
        listing_number(&t->rows, cost.speed, isfinite(cost.speed) ? human_count(cost.speed, NULL, speed) : "-");
    const int64_t bad = result_not_finite(cell, n);
    if (all) listing_number(&t->rows, (double)bad, NULL);
    if (all) put_facts(t, cell);
    if (bad && for_people(t))
        fprintf(notes_to(t), "  %lld of the %lld samples of this cell are not finite: it has no score\n",
                (long long)bad, (long long)n);
    if (for_people(t)) say_missing(t, cell, n);
    t->not_finite += bad;
    t->samples += n;
    t->shared |= !isfinite(cost.speed);
}

/* ---- What is no row ---- */

static void on_note(void *arg, const char *text)
{
    const live_table *t = arg;
    fprintf(notes_to(t), "%s\n", text);
}

static void on_skipped(void *arg, const eval_model *model, const task_cell *cell, const char *why)
{
    const live_table *t = arg;
    char length[24];
    fprintf(notes_to(t), "%s %s skipped: %s\n", model->file.name,
            cell->length ? kv_format_size(cell->length, length) : cell->name, why);
}

static void on_begin(void *arg, const eval_request *r, size_t pending)
{
    live_table *t = arg;
    fprintf(notes_to(t), "%s: models %zu, cells of each %zu, samples to do %zu, threads %d, BLAS core %s\n",
            r->task->name, r->model_count, r->cell_count, pending, r->threads, gemm_core());
    fit(t, t->request->options.format == LISTING_TEXT ? terminal_width(t->out) : 0);
    const size_t columns = for_people(t) ? columns_for_people(t) : columns_for_programs(t);
    listing_begin(&t->rows, t->out, (listing_format)r->options.format, t->column, columns);
    fflush(t->out);
}

static void put_explanation(const live_table *t)
{
    FILE *out = notes_to(t);
    fputs("seconds: for the whole cell; computed: tokens that the model really read\n", out);
    fputs(t->shared ? "tokens/s: of input, where no work was shared; share=0 shares none\n"
                    : "tokens/s: of input; no work was shared\n",
          out);
    if (t->hidden)
        fprintf(out, "%zu columns do not fit this terminal: a wider one, or format=csv, shows all.\n", t->hidden);
}

int live_table_run(eval_request *r, eval_share *share, FILE *out, FILE *log, pal_error *err)
{
    live_table *t = calloc(1, sizeof *t);
    if (!t) return pal_fail(err, PAL_INTERNAL, "out of memory for the table");
    *t = (live_table){.request = r, .out = out, .log = log};
    const eval_watch watch = {on_begin, on_cell, on_skipped, on_note, t};
    results held;
    char path[2 * KV_TEXT_MAX];
    eval_journal_path(&r->options, r->task, path, sizeof path);
    results_init(&held, r->task, share ? share->journal : path);
    int code = eval_run(r, &watch, log, share, &held, err);
    if (code == PAL_OK && for_people(t) && t->samples) put_explanation(t);
    if (code == PAL_OK && !share) code = report_write(&held, r->options.results, notes_to(t), err);
    if (code == PAL_OK && t->not_finite)
        code = pal_fail(err, PAL_GATE,
                        "%lld of %lld samples are not finite (a logit, a state or a loss is no number); their "
                        "cells have no score",
                        (long long)t->not_finite, (long long)t->samples);
    results_free(&held);
    free(t);
    return code;
}

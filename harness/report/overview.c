/* The tables of one task: a metric by model, length and depth; documents by model; the runs behind them. */
#include "harness/report/overview.h"

#include "harness/report/again.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTHS_MAX = 128 };

/* "bits_per_byte" as a heading: "bits per byte". */
static void plain_name(const char *name, char out[64])
{
    snprintf(out, 64, "%s", name);
    for (char *c = out; *c; c++)
        if (*c == '_') *c = ' ';
}

/* A row's values in one column. */
static void put_value(table *t, size_t column, const report *rep, const report_row *row, size_t metric, int64_t n)
{
    table_cell *c = table_at(t, column);
    if (!c) return;
    *c = table_cell_of(&rep->task->metric[metric], &row->metric[metric], n);
    if (rep->task->metric[metric].samples == METRIC_GAPS && !isfinite(row->metric[metric].value))
        table_text(t, column, "-");
}

/* ---- Cells of one length ---- */

static int same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* All depths, sorted; NaN (no depth) comes last. */
static size_t list_depths(const report *rep, double depth[DEPTHS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < rep->count; i++) {
        const double value = rep->row[i].cell->depth;
        size_t at = 0;
        if (rep->row[i].cell->extent != RESULT_LENGTH) continue;
        while (at < count && (depth[at] < value || (isnan(value) && !isnan(depth[at])))) at++;
        if ((at < count && same(depth[at], value)) || count == DEPTHS_MAX) continue;
        memmove(depth + at + 1, depth + at, (count - at) * sizeof *depth);
        depth[at] = value;
        count++;
    }
    return count;
}

static void depth_name(double depth, char out[32])
{
    if (isnan(depth))
        snprintf(out, 32, "mean");
    else if (depth == 0 || depth == 50 || depth == 100)
        snprintf(out, 32, "%s (%g %%)", depth == 0 ? "start" : depth == 50 ? "middle" : "end", depth);
    else
        snprintf(out, 32, "%g %%", depth);
}

/* Whether two rows stand in one line of the grid. */
static int same_line(const report *rep, const report_row *a, const report_row *b)
{
    return a->cell->length == b->cell->length && strcmp(a->label, b->label) == 0 &&
           (!rep->task->forms || strcmp(a->cell->variant, b->cell->variant) == 0);
}

static void put_paper_line(table *t, const report *rep, const report_row *row, size_t metric, const double *depth,
                           size_t depths)
{
    const task_metric *m = &rep->task->metric[metric];
    char length[24];
    int begun = 0;
    for (size_t d = 0; d < depths; d++) {
        task_cell place = result_place(row->cell, row->n);
        const char *name = "";
        place.depth = depth[d];
        const double value = task_paper(rep->task, &place, m->name, &row->cell->facts, &name);
        if (!isfinite(value)) continue;
        if (!begun++) {
            table_row(t, 0);
            table_text(t, 0, "paper: %s", name);
            table_text(t, 1, "%s", kv_format_size(row->cell->length, length));
        }
        table_paper(t, 2 + d, (m->kind == METRIC_SHARE ? 100 : 1) * value);
    }
}

static void add_grid(table_set *set, const report *rep, size_t metric)
{
    const task_metric *m = &rep->task->metric[metric];
    double depth[DEPTHS_MAX];
    const size_t depths = list_depths(rep, depth);
    char title[120], text[32];
    snprintf(title, sizeof title, "%.64s (%s%s is better)", m->name, m->kind == METRIC_SHARE ? "%, " : "",
             m->higher_is_better ? "higher" : "lower");
    table *t = table_add(set, "table", m->name, title, 2);
    table_column(t, "model");
    table_column(t, "length");
    for (size_t d = 0; d < depths; d++) {
        depth_name(depth[d], text);
        table_column(t, text);
    }
    table_column(t, "state");
    for (size_t i = 0; i < rep->count; i++) {
        const report_row *row = &rep->row[i];
        if (row->cell->extent != RESULT_LENGTH || (i > 0 && same_line(rep, row, row - 1))) continue;
        table_row(t, 0);
        table_text(t, 0, "%s", row->label);
        kv_format_size(row->cell->length, text);
        if (rep->task->forms)
            table_text(t, 1, "%s %s", text, row->cell->variant);
        else
            table_text(t, 1, "%s", text);
        /* Rows of a line stand together. A variant of a cell has its line's label, but another setting. */
        for (const report_row *at = row; at < rep->row + rep->count && same_line(rep, at, row); at++)
            for (size_t d = 0; d < depths; d++)
                if (same(at->cell->depth, depth[d])) put_value(t, 2 + d, rep, at, metric, at->n);
        table_bytes(t, 2 + depths, (double)row->cell->state_bytes);
        put_paper_line(t, rep, row, metric, depth, depths);
    }
}

/* ---- Documents ---- */

static int same_documents(const report_row *a, const report_row *b)
{
    return strcmp(a->cell->name, b->cell->name) == 0 && strcmp(a->cell->data, b->cell->data) == 0;
}

/* The comparison of a row in the main metric, with the first baseline of its texts. */
static const report_comparison *find_comparison(const report *rep, const report_comparison *list, size_t count,
                                                const report_row *row)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].row == row && list[i].metric == report_main_metric(rep->task)) return &list[i];
    return NULL;
}

/* What the samples are: "9 documents of 4 works, 1000 bytes; texts 0123456789ab, tokenizer 0123456789ab.", or
 * pieces of documents where a variant of the task cuts them. */
static void note_documents(table *t, const report *rep, const report_row *row)
{
    const task_module *task = rep->task;
    const size_t works = result_clusters(row->cell, row->n);
    if (!t) return;
    FILE *out = fmemopen(t->note, sizeof t->note, "w");
    if (!out) {
        t->failed = 1;
        return;
    }
    const char *const whole = row->cell->variant[0] ? "document" : "work";
    fprintf(out, row->cell->variant[0] ? "%lld pieces" : "%lld documents", (long long)row->n);
    if (works < (size_t)row->n) fprintf(out, " of %zu %s%s", works, whole, works == 1 ? "" : "s");
    for (size_t m = 0; m < task->metric_count; m++) {
        double sum = 0;
        if (task->metric[m].detail || task->metric[m].over < 0) continue;
        for (int64_t i = 0; i < row->n; i++) sum += row->cell->sample[i].value[task->metric[m].over];
        if (isfinite(sum)) fprintf(out, ", %.0f %s", sum, task->value[task->metric[m].over]);
    }
    fprintf(out, "; texts %.12s, tokenizer %.12s.", row->cell->data, row->cell->tokenizer);
    fclose(out);
}

/* Columns after the metrics. */
enum { DIFFERENCE, DETECTABLE, P, STATE, HELD, RATIO, LAST_COLUMNS };

static void put_comparison(table *t, size_t column, const report_comparison *c, int bits)
{
    table_cell *difference = table_at(t, column + DIFFERENCE), *detectable = table_at(t, column + DETECTABLE);
    const double unit = bits ? 1 : 100;
    if (!c || !difference || !isfinite(c->paired.difference)) return;
    difference->value = unit * c->paired.difference;
    difference->lo = unit * c->paired.ci.lo;
    difference->hi = unit * c->paired.ci.hi;
    difference->digits = detectable->digits = bits ? 4 : 1;
    difference->sign = 1;
    difference->bold = c->p_family < 1 - REPORT_LEVEL;
    detectable->value = unit * c->detectable;
    if (isfinite(c->p_family)) table_text(t, column + P, c->p_family < 0.001 ? "%.1e" : "%.3f", c->p_family);
}

static void put_memory(table *t, size_t column, const report *rep, const report_row *row)
{
    const uint64_t largest = report_memorizing_state(rep, row->cell), state = row->cell->state_bytes;
    uint64_t held = 0;
    for (int64_t i = 0; i < row->n; i++)
        if (row->cell->sample[i].held > held) held = row->cell->sample[i].held;
    table_bytes(t, column + STATE, (double)state);
    table_bytes(t, column + HELD, (double)held);
    if (largest && state && row->cell->kind == RESULT_MODEL)
        table_text(t, column + RATIO, "1/%.*f", largest < 10 * state, (double)largest / (double)state);
}

static void put_paper_row(table *t, const report *rep, const report_row *row)
{
    const task_module *task = rep->task;
    const task_cell place = result_place(row->cell, row->n);
    const char *name = NULL;
    double value[TASK_METRICS];
    int any = 0;
    for (size_t m = 0; m < task->metric_count; m++) {
        value[m] = task_paper(task, &place, task->metric[m].name, &row->cell->facts, &name);
        any |= isfinite(value[m]) && report_shows(rep, m);
    }
    if (!any) return;
    table_row(t, 0);
    table_text(t, 0, "paper: %s", name);
    for (size_t m = 0, column = 2; m < task->metric_count; m++)
        if (report_shows(rep, m))
            table_paper(t, column++, value[m] * (task->metric[m].kind == METRIC_SHARE ? 100 : 1));
}

static void add_documents(table_set *set, const report *rep, const report_row *first,
                          const report_comparison *list, size_t count)
{
    const task_module *task = rep->task;
    const int bits = task->metric[report_main_metric(task)].kind == METRIC_BITS;
    const char *const last[LAST_COLUMNS] = {[DIFFERENCE] = bits ? "difference, bits" : "difference, points",
                                            [DETECTABLE] = "detectable",
                                            [P] = "p",
                                            [STATE] = "state",
                                            [HELD] = "held",
                                            [RATIO] = "of Memorizing's"};
    char text[64];
    size_t columns = 2;
    table *t = table_add(set, "table", "documents", first->cell->name, 1);
    table_column(t, "model");
    table_column(t, "parameters");
    for (size_t m = 0; m < task->metric_count; m++) {
        if (!report_shows(rep, m)) continue;
        plain_name(task->metric[m].name, text);
        table_column(t, text);
        columns++;
    }
    for (int c = 0; c < LAST_COLUMNS; c++) table_column(t, last[c]);
    note_documents(t, rep, first);
    for (const report_row *row = first; row < rep->row + rep->count; row++) {
        if (!same_documents(row, first)) continue;
        const int reference = row->cell->kind == RESULT_REFERENCE;
        table_row(t, 0);
        table_text(t, 0, "%s%s", row->label, reference ? " (reference)" : "");
        if (!reference) table_text(t, 1, "%llu", (unsigned long long)row->cell->parameters);
        for (size_t m = 0, column = 2; m < task->metric_count; m++)
            if (report_shows(rep, m)) put_value(t, column++, rep, row, m, 0);
        put_comparison(t, columns, find_comparison(rep, list, count, row), bits);
        put_memory(t, columns, rep, row);
        put_paper_row(t, rep, row);
    }
}

static int add_all_documents(table_set *set, const report *rep, pal_error *err)
{
    report_comparison *list;
    size_t count;
    PAL_TRY(report_compare(rep, &list, &count, err));
    for (size_t i = 0; i < rep->count; i++) {
        size_t earlier = 0;
        while (!same_documents(&rep->row[earlier], &rep->row[i])) earlier++;
        if (rep->row[i].cell->extent == RESULT_DOCUMENTS && earlier == i)
            add_documents(set, rep, &rep->row[i], list, count);
    }
    free(list);
    return PAL_OK;
}

/* ---- Runs ---- */

static void add_runs(table_set *set, const report *rep)
{
    static const char *const columns[] = {"model",        "attention",        "trained on", "parameters",
                                          "state, bytes", "weights, SHA-256", "settings",   "BLAS core"};
    table *t = table_add(set, "table", "runs", "Runs", 1);
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) table_column(t, columns[c]);
    for (size_t i = 0; i < rep->count; i++) {
        const result_cell *c = rep->row[i].cell;
        if (i > 0 && strcmp(rep->row[i - 1].label, rep->row[i].label) == 0) continue;
        table_row(t, 0);
        table_text(t, 0, "%s", rep->row[i].label);
        table_text(t, 1, "%s", c->kind == RESULT_REFERENCE ? "none: a reference" : c->facts.attention);
        if (c->kind == RESULT_REFERENCE) continue;
        table_text(t, 2, "%s", c->facts.trained_on);
        table_text(t, 3, "%llu", (unsigned long long)c->parameters);
        table_text(t, 4, "%llu", (unsigned long long)c->state_bytes);
        table_text(t, 5, "%s", c->weights);
        table_text(t, 6, "%s", c->settings);
        table_text(t, 7, "%s", c->blas_core);
    }
}

/* ---- All ---- */

int overview_build(table_set *out, const report *rep, pal_error *err)
{
    int lengths = 0;
    *out = (table_set){0};
    for (size_t i = 0; i < rep->count; i++) lengths |= rep->row[i].cell->extent == RESULT_LENGTH;
    for (size_t m = 0; m < rep->task->metric_count; m++)
        if (lengths && !rep->task->metric[m].detail) add_grid(out, rep, m);
    int code = add_all_documents(out, rep, err);
    if (code == PAL_OK) add_runs(out, rep);
    if (code == PAL_OK) code = table_set_check(out, err);
    if (code != PAL_OK) table_set_free(out);
    return code;
}

/* Commands that ask for all cells, each once. */
static void put_commands(FILE *out, const report *rep)
{
    fputs("Commands that ask for these cells:\n\n", out);
    for (size_t i = 0; i < rep->count; i++) {
        size_t earlier = 0;
        while (strcmp(rep->row[earlier].cell->request, rep->row[i].cell->request) != 0) earlier++;
        if (earlier < i) continue;
        fputs("    ", out);
        again_request(out, rep->task, rep->row[i].cell);
        fputc('\n', out);
    }
}

static const char about_documents[] =
    "Each document is read from an empty state. Difference: in bits per byte, else in the first metric, from "
    "Transformer-XL of as many parameters and the same training seed on the same documents; of a model whose "
    "memory was zeroed: from itself with memory. In brackets its interval: the inverted sign-flip test, documents "
    "of "
    "one work together; none below 6. Detectable: what a true difference must be for so many documents to show "
    "it, "
    "before any correction. p: of no difference, corrected for all that is compared with that baseline (min-P); "
    "bold: below %.2g. State: by the formula of the module; held: what a stream really keeps, buffered tokens "
    "included. A compressor's state is how far back it can refer.\n\n";

int report_markdown(const report *rep, const char *path, pal_error *err)
{
    char *text = NULL;
    size_t size = 0;
    table_set set;
    int documents = 0;
    PAL_TRY(overview_build(&set, rep, err));
    FILE *out = open_memstream(&text, &size);
    if (!out) {
        table_set_free(&set);
        return pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    }
    fprintf(
        out,
        "# %s\n\n%s. Task version %d, scorer version %d.\n\nIn brackets the %.0f %% intervals: exact binomial "
        "for metrics that are hit or miss, beta-binomial for digits and facts, else the inverted sign-flip test, "
        "which needs 6 samples. Rows marked paper are the paper's own numbers, from much larger models. Lengths "
        "are in tokens, 1K = 1024.\n\n",
        rep->task->name, rep->task->summary, rep->task->version, rep->task->scorer_version, 100 * REPORT_LEVEL);
    for (size_t i = 0; i < rep->count; i++) documents |= rep->row[i].cell->extent == RESULT_DOCUMENTS;
    if (documents) fprintf(out, about_documents, 1 - REPORT_LEVEL);
    table_markdown(out, &set, 0);
    put_commands(out, rep);
    table_set_free(&set);
    return text_finish(out, &text, &size, path, err);
}

#include "harness/report/report.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PLACES_MAX = 128 }; /* distinct depths and lengths of one table */

/* A sorted set of numbers; NaN (no depth) comes last and once. */
typedef struct places {
    double value[PLACES_MAX];
    int count;
} places;

static int same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static void add_place(places *p, double value)
{
    int at = 0;
    while (at < p->count && (p->value[at] < value || (isnan(value) && !isnan(p->value[at])))) at++;
    if ((at < p->count && same(p->value[at], value)) || p->count == PLACES_MAX) return;
    memmove(p->value + at + 1, p->value + at, (size_t)(p->count - at) * sizeof *p->value);
    p->value[at] = value;
    p->count++;
}

static void put_depth(FILE *out, double depth)
{
    if (isnan(depth))
        fputs(" mean |", out);
    else if (depth == 0 || depth == 50 || depth == 100)
        fprintf(out, " %s (%g %%) |", depth == 0 ? "start" : depth == 50 ? "middle" : "end", depth);
    else
        fprintf(out, " %g %% |", depth);
}

static const report_row *find_row(const report *rep, const char *label, double length, double depth)
{
    for (size_t i = 0; i < rep->count; i++)
        if (strcmp(rep->row[i].label, label) == 0 && (double)rep->row[i].cell->length == length &&
            same(rep->row[i].cell->depth, depth))
            return &rep->row[i];
    return NULL;
}

static void put_ours(FILE *out, const report *rep, const report_row *first, const places *depths, size_t metric)
{
    char text[64];
    fprintf(out, "| %s | ", kv_format_size(first->cell->length, text));
    text_markdown(out, first->label);
    fputs(" |", out);
    for (int d = 0; d < depths->count; d++) {
        const report_row *row = find_row(rep, first->label, (double)first->cell->length, depths->value[d]);
        if (!row) {
            fputs(" |", out);
            continue;
        }
        const summary s = row->metric[metric];
        fprintf(out, " %s n=%lld |", report_format(&rep->task->metric[metric], &s, text), (long long)row->n);
    }
    fputc(' ', out);
    text_bytes(out, (double)first->cell->state_bytes);
    fputs(" |\n", out);
}

static void put_paper(FILE *out, const report *rep, const report_row *first, const places *depths, size_t metric)
{
    const task_metric *m = &rep->task->metric[metric];
    double value[PLACES_MAX];
    const char *name = NULL;
    for (int d = 0; d < depths->count; d++) {
        task_cell place = result_place(first->cell, first->n);
        place.depth = depths->value[d];
        const char *row = "";
        value[d] = rep->task->paper ? rep->task->paper(&place, m->name, &first->cell->facts, &row) : NAN;
        if (isfinite(value[d])) name = row;
    }
    if (!name) return;
    char text[24];
    fprintf(out, "| %s | *paper: %s* |", kv_format_size(first->cell->length, text), name);
    for (int d = 0; d < depths->count; d++) {
        if (isfinite(value[d]))
            fprintf(out, " *%.4g* |", (m->kind == METRIC_SHARE ? 100 : 1) * value[d]);
        else
            fputs(" |", out);
    }
    fputs(" |\n", out);
}

static void put_metric(FILE *out, const report *rep, const places *lengths, const places *depths, size_t metric)
{
    const task_metric *m = &rep->task->metric[metric];
    fprintf(out, "\n## %s (%s)\n\n| length | model |", m->name,
            m->kind == METRIC_SHARE ? (m->higher_is_better ? "%, higher is better" : "%, lower is better")
                                    : (m->higher_is_better ? "higher is better" : "lower is better"));
    for (int d = 0; d < depths->count; d++) put_depth(out, depths->value[d]);
    fputs(" state |\n|---|---|", out);
    for (int d = 0; d < depths->count; d++) fputs("---|", out);
    fputs("---|\n", out);
    for (int l = 0; l < lengths->count; l++) {
        for (size_t i = 0; i < rep->count; i++) {
            const report_row *row = &rep->row[i];
            if ((double)row->cell->length != lengths->value[l]) continue;
            /* Once for each run at this length: rows of one label stand together. */
            if (i > 0 && row[-1].cell->length == row->cell->length && strcmp(row[-1].label, row->label) == 0)
                continue;
            put_ours(out, rep, row, depths, metric);
            put_paper(out, rep, row, depths, metric);
        }
    }
}

static void put_runs(FILE *out, const report *rep)
{
    fputs("\n## Runs\n\n| model | parameters | state, bytes | weights, SHA-256 | settings | BLAS core |\n"
          "|---|---|---|---|---|---|\n",
          out);
    for (size_t i = 0; i < rep->count; i++) {
        const result_cell *c = rep->row[i].cell;
        if (i > 0 && strcmp(rep->row[i - 1].label, rep->row[i].label) == 0) continue;
        fputs("| ", out);
        text_markdown(out, rep->row[i].label);
        if (c->kind == RESULT_REFERENCE)
            fputs(" | | | reference | | |\n", out);
        else
            fprintf(out, " | %llu | %llu | `%s` | %s | %s |\n", (unsigned long long)c->parameters,
                    (unsigned long long)c->state_bytes, c->weights, c->settings, c->blas_core);
    }
    fputs("\nCommands that ask for these cells:\n\n", out);
    for (size_t i = 0; i < rep->count; i++) {
        size_t earlier = 0;
        while (strcmp(rep->row[earlier].cell->request, rep->row[i].cell->request) != 0) earlier++;
        if (earlier < i) continue;
        fprintf(out, "    make eval TASK=%s ", rep->task->name);
        int in_key = 1; /* make's variables are in upper case */
        for (const char *c = rep->row[i].cell->request; *c; c++) {
            fputc(in_key ? toupper((unsigned char)*c) : *c, out);
            in_key = *c == ' ' || (in_key && *c != '=');
        }
        fputc('\n', out);
    }
}

/* Tables of the cells whose samples have one length. */
static void put_grids(FILE *out, const report *rep)
{
    places lengths = {.count = 0}, depths = {.count = 0};
    for (size_t i = 0; i < rep->count; i++) {
        if (rep->row[i].cell->length == 0) continue;
        add_place(&lengths, (double)rep->row[i].cell->length);
        add_place(&depths, rep->row[i].cell->depth);
    }
    for (size_t m = 0; lengths.count && m < rep->task->metric_count; m++)
        if (!rep->task->metric[m].detail) put_metric(out, rep, &lengths, &depths, m);
}

int report_markdown(const report *rep, const char *path, pal_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) return pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    fprintf(
        out,
        "# %s\n\n%s. Task version %d, scorer version %d.\n\n"
        "In brackets the %.0f %% intervals: exact binomial for metrics that are hit or miss, and for shares that "
        "are "
        "the same\nin all samples; else a bootstrap over whole samples. Rows marked *paper* are the paper's own "
        "numbers, from much larger\nmodels. Lengths are in tokens, 1K = 1024.\n",
        rep->task->name, rep->task->summary, rep->task->version, rep->task->scorer_version, 100 * REPORT_LEVEL);
    put_grids(out, rep);
    const int code = report_documents(out, rep, err);
    put_runs(out, rep);
    const int written = text_finish(out, &text, &size, path, err);
    return code != PAL_OK ? code : written;
}

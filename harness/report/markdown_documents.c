#include "harness/report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* "bits_per_byte" as a heading: "bits per byte". */
static void put_name(FILE *out, const char *name)
{
    for (; *name; name++) fputc(*name == '_' ? ' ' : *name, out);
}

static int same_cell(const report_row *a, const report_row *b)
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

static void put_head(FILE *out, const report *rep, const report_row *row)
{
    const task_module *task = rep->task;
    fputs("\n## ", out);
    text_markdown(out, row->cell->name);
    const size_t works = result_clusters(row->cell, row->n);
    fprintf(out, "\n\n%lld documents", (long long)row->n);
    if (works < (size_t)row->n) fprintf(out, " of %zu work%s", works, works == 1 ? "" : "s");
    for (size_t m = 0; m < task->metric_count; m++) {
        double sum = 0;
        if (task->metric[m].detail || task->metric[m].over < 0) continue;
        for (int64_t i = 0; i < row->n; i++) sum += row->cell->sample[i].value[task->metric[m].over];
        fprintf(out, ", %.0f %s", sum, task->value[task->metric[m].over]);
    }
    fprintf(out, "; texts `%.12s`, tokenizer `%.12s`.\n\n| model | parameters |", row->cell->data,
            row->cell->tokenizer);
    for (size_t m = 0; m < task->metric_count; m++) {
        if (task->metric[m].detail) continue;
        fputc(' ', out);
        put_name(out, task->metric[m].name);
        fputs(" |", out);
    }
    fprintf(out, " difference, %s | detectable | p | state | held | of Memorizing's | tokens/s |\n|---|---|",
            task->metric[report_main_metric(task)].kind == METRIC_BITS ? "bits" : "points");
    for (size_t m = 0; m < task->metric_count; m++)
        if (!task->metric[m].detail) fputs("---|", out);
    fputs("---|---|---|---|---|---|---|\n", out);
}

static void put_comparison(FILE *out, const report_comparison *c, int bits)
{
    if (!c || !isfinite(c->paired.difference)) {
        fputs(" | | |", out);
        return;
    }
    /* Bold: significant after Holm's correction. */
    const char *mark = c->p_holm < 1 - REPORT_LEVEL ? "**" : "";
    const double unit = bits ? 1 : 100;
    const int digits = bits ? 4 : 1;
    fprintf(out, " %s%+.*f%s", mark, digits, unit * c->paired.difference, mark);
    if (isfinite(c->paired.ci.lo))
        fprintf(out, " [%+.*f, %+.*f]", digits, unit * c->paired.ci.lo, digits, unit * c->paired.ci.hi);
    if (isfinite(c->detectable))
        fprintf(out, " | %.*f", digits, unit * c->detectable);
    else
        fputs(" |", out);
    if (isfinite(c->p_holm))
        fprintf(out, c->p_holm < 0.001 ? " | %.1e |" : " | %.3f |", c->p_holm);
    else
        fputs(" | |", out);
}

static void put_cost(FILE *out, const report *rep, const report_row *row)
{
    double seconds = 0, read = 0;
    uint64_t held = 0;
    for (int64_t i = 0; i < row->n; i++) {
        const result_sample *s = &row->cell->sample[i];
        seconds += s->seconds;
        read += s->read;
        if (s->held > held) held = s->held;
    }
    const uint64_t largest = report_memorizing_state(rep, row->cell), state = row->cell->state_bytes;
    fputc(' ', out);
    text_bytes(out, (double)state);
    fputs(" | ", out);
    text_bytes(out, (double)held);
    if (largest && state && row->cell->kind == RESULT_MODEL)
        fprintf(out, " | 1/%.*f |", largest < 10 * state, (double)largest / (double)state);
    else
        fputs(" | |", out);
    fprintf(out, " %.0f |\n", read / seconds);
}

static void put_row(FILE *out, const report *rep, const report_row *row, const report_comparison *c)
{
    char text[64];
    fputs("| ", out);
    text_markdown(out, row->label);
    if (row->cell->kind == RESULT_REFERENCE)
        fputs(" (reference) | |", out);
    else
        fprintf(out, " | %llu |", (unsigned long long)row->cell->parameters);
    for (size_t m = 0; m < rep->task->metric_count; m++)
        if (!rep->task->metric[m].detail)
            fprintf(out, " %s |", report_format(&rep->task->metric[m], &row->metric[m], text));
    put_comparison(out, c, rep->task->metric[report_main_metric(rep->task)].kind == METRIC_BITS);
    put_cost(out, rep, row);
}

static void put_paper(FILE *out, const report *rep, const report_row *row)
{
    const task_module *task = rep->task;
    const task_cell place = result_place(row->cell, row->n);
    const char *name = NULL;
    double value[TASK_METRICS];
    for (size_t m = 0; m < task->metric_count; m++) {
        value[m] = task->paper ? task->paper(&place, task->metric[m].name, &row->cell->facts, &name) : NAN;
    }
    if (!name) return;
    fprintf(out, "| *paper: %s* | |", name);
    for (size_t m = 0; m < task->metric_count; m++) {
        if (task->metric[m].detail) continue;
        if (isfinite(value[m]))
            fprintf(out, " *%.4g* |", value[m] * (task->metric[m].kind == METRIC_SHARE ? 100 : 1));
        else
            fputs(" |", out);
    }
    fputs(" | | | | | | |\n", out);
}

static void put_explanation(FILE *out)
{
    fprintf(
        out,
        "\nEach document is read from an empty state. Difference: in bits per byte, else in the first metric, "
        "from "
        "Transformer-XL of as many\nparameters and the same training seed on the same documents (of a model whose "
        "memory was zeroed: from "
        "itself with memory), with its %.0f %% interval from\nresampled documents, those of one work together; "
        "detectable: what a true difference must be for so many to show it with\nprobability %.2g at %.2g, before "
        "any correction; p: of no difference, corrected for the models compared (Holm); bold: p < %.2g.\nState: "
        "by "
        "the formula of the paper's column; held: what a stream really keeps, buffered tokens included. A "
        "compressor's state\nis how far back it can refer.\n",
        100 * REPORT_LEVEL, REPORT_POWER, 1 - REPORT_LEVEL, 1 - REPORT_LEVEL);
}

int report_documents(FILE *out, const report *rep, pal_error *err)
{
    report_comparison *list;
    size_t count;
    int explained = 0;
    PAL_TRY(report_compare(rep, &list, &count, err));
    for (size_t i = 0; i < rep->count; i++) {
        size_t earlier = 0;
        while (!same_cell(&rep->row[earlier], &rep->row[i])) earlier++;
        if (rep->row[i].cell->extent != RESULT_DOCUMENTS || earlier < i) continue;
        if (!explained++) put_explanation(out);
        put_head(out, rep, &rep->row[i]);
        for (size_t k = i; k < rep->count; k++) {
            if (!same_cell(&rep->row[i], &rep->row[k])) continue;
            put_row(out, rep, &rep->row[k], find_comparison(rep, list, count, &rep->row[k]));
            put_paper(out, rep, &rep->row[k]);
        }
    }
    free(list);
    return PAL_OK;
}

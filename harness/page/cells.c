/* Runs and cells: what each number was made with, and the command that makes it again. */
#include "harness/page/page.h"

#include "harness/base/text.h"
#include "harness/page/samples.h"
#include "harness/report/again.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- What a number was made with ---- */

/* Sums and maxima over the samples of one or more rows. */
typedef struct cost {
    double samples, tokens;
    int64_t threads, batch;
} cost;

static void add_cost(cost *c, const report_row *row)
{
    for (int64_t k = 0; k < row->n; k++) {
        const result_sample *s = &row->cell->sample[k];
        c->samples++;
        c->tokens += (double)s->tokens;
        if (s->threads > c->threads) c->threads = s->threads;
        if (s->batch > c->batch) c->batch = s->batch;
    }
}

/* "SkylakeX, 2 threads, 10 side by side". What a run cost differs from run to run: TASK-cost.csv has it. */
static void put_machine(FILE *out, const result_cell *cell, const cost *c)
{
    text_html(out, cell->kind == RESULT_REFERENCE ? "no model" : cell->blas_core);
    fprintf(out, ", %lld thread%s", (long long)c->threads, c->threads == 1 ? "" : "s");
    if (c->batch > 1) fprintf(out, ", %lld side by side", (long long)c->batch);
}

/* A digest's first characters, linked to the weights' config where that is part of the page. */
static void put_digest(FILE *out, const char *name, const char *digest, const html_shipped *shipped)
{
    if (!digest[0]) return;
    fprintf(out, "<div class=\"digest\">%s ", name);
    const int there = shipped && html_shipped_has(shipped, digest);
    if (there) fprintf(out, "<a href=\"#weights-%.16s\">", digest);
    fprintf(out, "<code>%.12s</code>", digest);
    if (there) fputs("</a>", out);
    fputs("</div>", out);
}

/* ---- Runs ---- */

static void put_run(FILE *out, const report *rep, size_t first, const html_shipped *shipped)
{
    const report_row *row = &rep->row[first];
    const result_cell *c = row->cell;
    cost sum = {0};
    for (size_t i = first; i < rep->count && strcmp(rep->row[i].label, row->label) == 0; i++)
        add_cost(&sum, &rep->row[i]);
    fputs("<tr><th scope=\"row\">", out);
    text_html(out, row->label);
    fprintf(out, "</th><td class=\"digest\">%s %d.%d</td>", rep->task->name, rep->task->version,
            rep->task->scorer_version);
    html_count(out, (double)c->parameters);
    fputs("<td class=\"n\">", out);
    text_bytes(out, (double)c->state_bytes);
    fputs("</td>", out);
    html_count(out, sum.samples);
    html_count(out, sum.tokens);
    fputs("<td class=\"made\"><code>", out);
    text_html(out, c->settings);
    fputs("</code><br/>", out);
    put_machine(out, c, &sum);
    fputs("</td><td>", out);
    put_digest(out, "weights", c->kind == RESULT_REFERENCE ? "" : c->weights, shipped);
    put_digest(out, "config", c->config, NULL);
    put_digest(out, "tokenizer", c->tokenizer, NULL);
    fputs("</td></tr>\n", out);
}

void html_runs(FILE *out, const evidence *e, const html_shipped *shipped)
{
    size_t rows = 0;
    for (size_t t = 0; t < e->count; t++) rows += e->task[t].rep.count;
    if (rows == 0) return;
    fputs("<div class=\"wide\"><table class=\"data\" aria-labelledby=\"runs\">\n<thead><tr><th "
          "scope=\"col\">run</th>"
          "<th scope=\"col\">task</th><th scope=\"col\" class=\"n\">parameters</th>"
          "<th scope=\"col\" class=\"n\">state</th><th scope=\"col\" class=\"n\">samples</th>"
          "<th scope=\"col\" class=\"n\">tokens</th>"
          "<th scope=\"col\">settings, machine</th><th scope=\"col\">SHA-256</th></tr>"
          "</thead>\n<tbody>\n",
          out);
    for (size_t t = 0; t < e->count; t++) {
        const report *rep = &e->task[t].rep;
        for (size_t i = 0; i < rep->count; i++)
            if (i == 0 || strcmp(rep->row[i - 1].label, rep->row[i].label) != 0) put_run(out, rep, i, shipped);
    }
    fputs("</tbody>\n</table></div>\n", out);
}

/* ---- Cells ---- */

static void put_command(FILE *out, const task_module *task, const result_cell *cell, const cost *c)
{
    char *text = again_text(again_eval, task, cell);
    fputs("<td class=\"command\"><code>", out);
    text_html(out, text ? text : "");
    fputs("</code> <small>", out);
    put_machine(out, cell, c);
    fputs("</small></td>", out);
    free(text);
}

static void put_row(FILE *out, const report *rep, const report_row *row)
{
    char text[64];
    cost sum = {0};
    add_cost(&sum, row);
    fprintf(out, "<tr id=\"cell-%s-%zu\"><th scope=\"row\">", rep->task->name, (size_t)(row - rep->row));
    text_html(out, row->label);
    fputs("</th><td>", out);
    text_html(out, row->cell->name);
    if (row->cell->extent == RESULT_LENGTH)
        fprintf(out, " <small>%s</small>", kv_format_size(row->cell->length, text));
    put_digest(out, "texts", row->cell->data, NULL);
    fputs("</td>", out);
    fprintf(out,
            "<td class=\"n\"><button type=\"button\" class=\"samples\" data-task=\"%s\" data-cell=\"%zu\" "
            "aria-expanded=\"false\" title=\"Show the samples\">%lld</button>",
            rep->task->name, (size_t)(row - rep->row), (long long)row->n);
    const int64_t bad = result_not_finite(row->cell, row->n);
    if (bad) fprintf(out, " <small>%lld not finite</small>", (long long)bad);
    fputs("</td>", out);
    for (size_t m = 0; m < rep->task->metric_count; m++)
        if (!rep->task->metric[m].detail)
            html_value(out, report_format(&rep->task->metric[m], &row->metric[m], text));
    put_command(out, rep->task, row->cell, &sum);
    fputs("</tr>\n", out);
}

static int put_samples(FILE *out, const evidence_task *task, pal_error *err)
{
    records all;
    PAL_TRY(records_read(&all, &task->held, err));
    const int code = html_samples(out, &task->rep, &all, err);
    records_free(&all);
    return code;
}

int html_cells(FILE *out, const evidence *e, pal_error *err)
{
    int code = PAL_OK;
    for (size_t t = 0; t < e->count && code == PAL_OK; t++) {
        const report *rep = &e->task[t].rep;
        if (rep->count == 0) continue;
        fprintf(out, "<details id=\"cells-%s\"><summary id=\"cells-of-%s\">%s: %zu cells</summary>\n<p>",
                rep->task->name, rep->task->name, rep->task->name, rep->count);
        text_html(out, rep->task->summary);
        fprintf(out,
                ".</p>\n<div class=\"wide\"><table class=\"data\" aria-labelledby=\"cells-of-%s\">\n<thead><tr>"
                "<th scope=\"col\">run</th><th scope=\"col\">cell</th><th scope=\"col\" class=\"n\">n</th>",
                rep->task->name);
        for (size_t m = 0; m < rep->task->metric_count; m++)
            if (!rep->task->metric[m].detail)
                fprintf(out, "<th scope=\"col\" class=\"n\">%s</th>", rep->task->metric[m].name);
        fputs("<th scope=\"col\">made again by, machine</th></tr></thead>\n<tbody>\n", out);
        for (size_t i = 0; i < rep->count; i++) put_row(out, rep, &rep->row[i]);
        fputs("</tbody>\n</table></div>\n</details>\n", out);
        code = put_samples(out, &e->task[t], err);
    }
    return code;
}

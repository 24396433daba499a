#include "harness/html.h"

#include "harness/references.h"
#include "harness/weights.h"
#include "models/checkpoint.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void html_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc((unsigned char)*text < ' ' && !strchr("\n\t", *text) ? '?' : *text, out);
        }
    }
}

/* "<td>text</td>" */
static void put_field(FILE *out, const char *text)
{
    fputs("<td>", out);
    html_text(out, text);
    fputs("</td>", out);
}

static void put_count(FILE *out, double value)
{
    fprintf(out, "<td class=\"n\">%.0f</td>", value);
}

/* ---- Tables ---- */

static void put_cell(FILE *out, const table_cell *c, int label)
{
    char value[TABLE_TEXT], range[64], paper[64];
    table_value_text(c, value);
    table_interval_text(c, range);
    table_paper_text(c, paper);
    fputs(label ? "<th scope=\"row\">" : "<td class=\"n\">", out);
    if (c->bold) fputs("<b>", out);
    html_text(out, value);
    if (c->bold) fputs("</b>", out);
    if (range[0]) fprintf(out, " <small>%s</small>", range);
    if (c->n) fprintf(out, " <small>n=%lld</small>", (long long)c->n);
    if (paper[0]) fprintf(out, " <i title=\"the paper's own number\">%s†</i>", paper);
    fputs(label ? "</th>" : "</td>", out);
}

void html_table(FILE *out, const table *t)
{
    if (t->rows == 0) return;
    fprintf(out, "<h3 id=\"%s\">", t->id);
    html_text(out, t->title);
    fputs("</h3>\n<div class=\"wide\"><table>\n<thead><tr>", out);
    for (size_t c = 0; c < t->columns; c++) {
        fputs("<th scope=\"col\">", out);
        html_text(out, t->column[c]);
        fputs("</th>", out);
    }
    fputs("</tr></thead>\n<tbody>\n", out);
    for (size_t r = 0; r < t->rows; r++) {
        fputs(t->rule[r] && r ? "<tr class=\"rule\">" : "<tr>", out);
        for (size_t c = 0; c < t->columns; c++) put_cell(out, &t->cell[r * t->columns + c], c < t->labels);
        fputs("</tr>\n", out);
    }
    fputs("</tbody>\n</table></div>\n<p class=\"note\">", out);
    html_text(out, t->note);
    fputs(" †: the paper's own number.</p>\n", out);
}

void html_audit(FILE *out, const audit *a)
{
    static const char *const class_of[] = {"yes", "no", "open"};
    if (a->count == 0) return;
    fputs("<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">claim</th><th scope=\"col\">verdict</th>"
          "<th scope=\"col\">source</th><th scope=\"col\">rule and evidence</th>"
          "<th scope=\"col\">how ours differs</th></tr></thead>\n<tbody>\n",
          out);
    for (size_t i = 0; i < a->count; i++) {
        const audit_claim *c = &a->claim[i];
        const audit_finding *f = &a->finding[i];
        fprintf(out, "<tr id=\"claim-%s\"><th scope=\"row\">", c->id);
        html_text(out, c->claim);
        fprintf(out, "</th><td><span class=\"%s\">%s</span></td>", class_of[f->verdict],
                audit_verdict_name[f->verdict]);
        put_field(out, c->source);
        fprintf(out, "<td><details><summary>%s%s", audit_rule_name(c), c->metric[0] ? " of " : "");
        html_text(out, c->metric);
        fprintf(out, ": %s</summary><pre>", f->summary);
        html_text(out, f->evidence);
        fputs("</pre></details></td>", out);
        put_field(out, c->differs);
        fputs("</tr>\n", out);
    }
    fputs("</tbody>\n</table></div>\n", out);
}

/* ---- Runs and cells ---- */

void html_command(FILE *out, const task_module *task, const result_cell *cell)
{
    fprintf(out, "make eval TASK=%s", task->name);
    if (references_made(cell))
        fputs(" COMPRESSORS=1", out); /* they come with any model */
    else
        fprintf(out, " MODEL=%s", cell->model);
    int in_key = 1;
    fputc(' ', out);
    for (const char *c = cell->request; *c; c++) { /* make's variables are in upper case */
        fputc(in_key ? toupper((unsigned char)*c) : *c, out);
        in_key = *c == ' ' || (in_key && *c != '=');
    }
}

static void put_command(FILE *out, const task_module *task, const result_cell *cell)
{
    char *text = NULL;
    size_t size = 0;
    FILE *line = open_memstream(&text, &size);
    if (!line) return;
    html_command(line, task, cell);
    fputs("<td><code>", out);
    if (fclose(line) == 0) html_text(out, text);
    fputs("</code></td>", out);
    free(text);
}

static void put_run(FILE *out, const report *rep, size_t first)
{
    const report_row *row = &rep->row[first];
    const result_cell *c = row->cell;
    double samples = 0, tokens = 0, seconds = 0;
    for (size_t i = first; i < rep->count && strcmp(rep->row[i].label, row->label) == 0; i++) {
        samples += (double)rep->row[i].n;
        for (int64_t k = 0; k < rep->row[i].n; k++) {
            tokens += (double)rep->row[i].cell->sample[k].tokens;
            seconds += rep->row[i].cell->sample[k].seconds;
        }
    }
    fprintf(out, "<tr><td>%s %d.%d</td><th scope=\"row\">", rep->task->name, rep->task->version,
            rep->task->scorer_version);
    html_text(out, row->label);
    fputs("</th>", out);
    put_count(out, (double)c->parameters);
    put_count(out, (double)c->state_bytes);
    put_count(out, samples);
    put_count(out, tokens);
    put_count(out, seconds);
    put_field(out, c->blas_core);
    put_field(out, c->settings);
    fprintf(out, "<td><code>%.16s</code></td><td><code>%.16s</code></td><td><code>%.16s</code></td></tr>\n",
            c->weights, c->config, c->tokenizer);
}

void html_runs(FILE *out, const evidence *e)
{
    size_t rows = 0;
    for (size_t t = 0; t < e->count; t++) rows += e->task[t].rep.count;
    if (rows == 0) return;
    static const char *const heads[] = {"task, version", "run",     "parameters", "state, bytes",
                                        "samples",       "tokens",  "seconds",    "BLAS core",
                                        "settings",      "weights", "config",     "tokenizer"};
    fputs("<div class=\"wide\"><table>\n<thead><tr>", out);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) fprintf(out, "<th scope=\"col\">%s</th>", heads[i]);
    fputs("</tr></thead>\n<tbody>\n", out);
    for (size_t t = 0; t < e->count; t++) {
        const report *rep = &e->task[t].rep;
        for (size_t i = 0; i < rep->count; i++)
            if (i == 0 || strcmp(rep->row[i - 1].label, rep->row[i].label) != 0) put_run(out, rep, i);
    }
    fputs("</tbody>\n</table></div>\n", out);
}

static void put_row(FILE *out, const report *rep, const report_row *row)
{
    char text[64];
    fputs("<tr><th scope=\"row\">", out);
    html_text(out, row->label);
    fputs("</th>", out);
    put_field(out, row->cell->name);
    put_count(out, (double)row->n);
    for (size_t m = 0; m < rep->task->metric_count; m++)
        if (!rep->task->metric[m].detail)
            fprintf(out, "<td class=\"n\">%s</td>", report_format(&rep->task->metric[m], &row->metric[m], text));
    put_command(out, rep->task, row->cell);
    fputs("</tr>\n", out);
}

void html_cells(FILE *out, const evidence *e)
{
    for (size_t t = 0; t < e->count; t++) {
        const report *rep = &e->task[t].rep;
        if (rep->count == 0) continue;
        fprintf(out, "<details><summary>%s: %zu cells</summary>\n<p>", rep->task->name, rep->count);
        html_text(out, rep->task->summary);
        fputs(
            ".</p>\n<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">run</th><th scope=\"col\">cell</th>"
            "<th scope=\"col\">n</th>",
            out);
        for (size_t m = 0; m < rep->task->metric_count; m++)
            if (!rep->task->metric[m].detail) fprintf(out, "<th scope=\"col\">%s</th>", rep->task->metric[m].name);
        fputs("<th scope=\"col\">made again by</th></tr></thead>\n<tbody>\n", out);
        for (size_t i = 0; i < rep->count; i++) put_row(out, rep, &rep->row[i]);
        fputs("</tbody>\n</table></div>\n</details>\n", out);
    }
}

/* ---- Configs ---- */

static int put_config(FILE *out, const weights_file *file, pal_error *err)
{
    st_file content;
    PAL_TRY(st_read(file->path, &content, err));
    fputs("<details><summary>", out);
    html_text(out, file->name);
    fprintf(out, " <code>%.16s</code></summary>\n<pre>", content.digest);
    html_text(out, content.config ? content.config : "no config: weights of another project\n");
    for (size_t i = 0; i < content.metadata.count; i++) {
        html_text(out, content.metadata.pair[i].key);
        fputs(" = ", out);
        html_text(out, content.metadata.pair[i].value);
        fputc('\n', out);
    }
    fputs("</pre></details>\n", out);
    st_free(&content);
    return PAL_OK;
}

int html_configs(FILE *out, const char *weights, pal_error *err)
{
    weights_file *file = NULL;
    size_t count = 0;
    pal_error none;
    if (weights_resolve("all", weights, &file, &count, &none) != PAL_OK) {
        fputs("<p>There are no weights here.</p>\n", out);
        return PAL_OK;
    }
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < count; i++) code = put_config(out, &file[i], err);
    free(file);
    return code;
}

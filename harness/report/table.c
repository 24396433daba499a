/* A table as cells, and its three forms: Markdown, LaTeX and CSV. */
#include "harness/report/table.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const table_cell empty = {.value = NAN, .lo = NAN, .hi = NAN, .p = NAN, .paper = NAN};

/* ---- Filling ---- */

table *table_add(table_set *set, const char *file, const char *id, const char *title, size_t labels)
{
    table *grown = set->failed ? NULL : realloc(set->table, (set->count + 1) * sizeof *grown);
    if (!grown) {
        set->failed = 1;
        return NULL;
    }
    set->table = grown;
    table *t = &grown[set->count++];
    *t = (table){.labels = labels};
    snprintf(t->file, sizeof t->file, "%s", file);
    snprintf(t->id, sizeof t->id, "%s", id);
    snprintf(t->title, sizeof t->title, "%s", title);
    return t;
}

void table_column(table *t, const char *name)
{
    if (!t || t->failed) return;
    void *grown = realloc(t->column, (t->columns + 1) * sizeof *t->column);
    if (!grown) {
        t->failed = 1;
        return;
    }
    t->column = grown;
    snprintf(t->column[t->columns++], TABLE_TEXT, "%s", name);
}

void table_row(table *t, int rule)
{
    if (!t || t->failed) return;
    if (t->rows == t->capacity) {
        const size_t wanted = 2 * t->capacity + 8;
        table_cell *cells = realloc(t->cell, wanted * t->columns * sizeof *cells);
        if (cells) t->cell = cells;
        int *rules = realloc(t->rule, wanted * sizeof *rules);
        if (rules) t->rule = rules;
        t->failed = !cells || !rules;
        if (t->failed) return;
        t->capacity = wanted;
    }
    for (size_t c = 0; c < t->columns; c++) t->cell[t->rows * t->columns + c] = empty;
    t->rule[t->rows++] = rule;
}

table_cell *table_at(table *t, size_t column)
{
    return !t || t->failed ? NULL : &t->cell[(t->rows - 1) * t->columns + column];
}

void table_text(table *t, size_t column, const char *format, ...)
{
    table_cell *c = table_at(t, column);
    va_list arguments;
    va_start(arguments, format);
    if (c) vsnprintf(c->text, sizeof c->text, format, arguments);
    va_end(arguments);
}

table_cell table_cell_of(const task_metric *metric, const summary *s, int64_t n)
{
    static const int digits_of[] = {
        [METRIC_SHARE] = 1, [METRIC_RATIO] = 3, [METRIC_PERPLEXITY] = 2, [METRIC_BITS] = 3, [METRIC_MISSING] = 0};
    const double unit = metric->kind == METRIC_SHARE ? 100 : 1;
    table_cell c = empty;
    if (!isfinite(s->value) && s->not_finite)
        snprintf(c.text, sizeof c.text, "%lld of %lld not finite", (long long)s->not_finite, (long long)n);
    if (!isfinite(s->value)) return c;
    c.value = unit * s->value;
    c.lo = unit * s->ci.lo;
    c.hi = unit * s->ci.hi;
    c.digits = digits_of[metric->kind];
    c.n = n;
    return c;
}

void table_bytes(table *t, size_t column, double bytes)
{
    table_cell *c = table_at(t, column);
    if (!c) return;
    c->value = bytes;
    FILE *out = fmemopen(c->text, sizeof c->text, "w");
    if (!out) {
        t->failed = 1;
        return;
    }
    text_bytes(out, bytes);
    fclose(out);
}

void table_paper(table *t, size_t column, double value)
{
    table_cell *c = table_at(t, column);
    if (c) c->paper = value;
}

int table_set_check(const table_set *set, pal_error *err)
{
    int failed = set->failed;
    for (size_t i = 0; i < set->count; i++) failed |= set->table[i].failed;
    return failed ? pal_fail(err, PAL_INTERNAL, "out of memory for the tables") : PAL_OK;
}

void table_set_free(table_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        free(set->table[i].column);
        free(set->table[i].cell);
        free(set->table[i].rule);
    }
    free(set->table);
    *set = (table_set){0};
}

/* ---- Parts of a cell ---- */

/* A word perplexity may have more digits than anybody reads. */
static void put_number(const table_cell *c, double value, char *out, size_t size)
{
    static const char *const format[2][2] = {{"%.*e", "%.*f"}, {"%+.*e", "%+.*f"}};
    snprintf(out, size, format[c->sign != 0][fabs(value) < 1e5], c->digits, value);
}

void table_value_text(const table_cell *c, char out[TABLE_TEXT])
{
    out[0] = '\0';
    if (c->text[0])
        snprintf(out, TABLE_TEXT, "%s", c->text);
    else if (isfinite(c->value))
        put_number(c, c->value, out, 64);
}

void table_interval_text(const table_cell *c, char out[64])
{
    char lo[24], hi[24];
    out[0] = '\0';
    if (!isfinite(c->value) || !isfinite(c->lo)) return;
    put_number(c, c->lo, lo, sizeof lo);
    put_number(c, c->hi, hi, sizeof hi);
    snprintf(out, 64, "[%s, %s]", lo, hi);
}

void table_paper_text(const table_cell *c, char out[64])
{
    out[0] = '\0';
    if (isfinite(c->paper))
        snprintf(out, 64, c->paper < 1e5 ? "%.6g" : "%.6gM", c->paper < 1e5 ? c->paper : c->paper / 1e6);
}

static int same_file(const table_set *set, size_t i, size_t first)
{
    return strcmp(set->table[i].file, set->table[first].file) == 0;
}

static int has_paper(const table *t)
{
    for (size_t i = 0; i < t->rows * t->columns; i++)
        if (isfinite(t->cell[i].paper)) return 1;
    return 0;
}

/* ---- Markdown ---- */

static void markdown_cell(FILE *out, const table_cell *c)
{
    char value[TABLE_TEXT], range[64], paper[64];
    table_value_text(c, value);
    table_interval_text(c, range);
    table_paper_text(c, paper);
    const char *mark = c->bold ? "**" : "";
    if (value[0]) {
        fprintf(out, " %s", mark);
        text_markdown(out, value);
        fputs(mark, out);
    }
    if (range[0]) fprintf(out, " %s", range);
    if (c->n) fprintf(out, " n=%lld", (long long)c->n);
    if (paper[0]) fprintf(out, value[0] ? " (*%s*†)" : " *%s*†", paper);
    fputs(" |", out);
}

static void markdown_table(FILE *out, const table *t)
{
    fputs("## ", out);
    text_markdown(out, t->title);
    fputs("\n\n|", out);
    for (size_t c = 0; c < t->columns; c++) {
        fputc(' ', out);
        text_markdown(out, t->column[c]);
        fputs(" |", out);
    }
    fputs("\n|", out);
    for (size_t c = 0; c < t->columns; c++) fputs("---|", out);
    for (size_t r = 0; r < t->rows; r++) {
        fputs("\n|", out);
        for (size_t c = 0; c < t->columns; c++) markdown_cell(out, &t->cell[r * t->columns + c]);
    }
    fputs("\n\n", out);
    text_markdown(out, t->note);
    if (has_paper(t)) fprintf(out, "%s†: the paper's own number.", t->note[0] ? " " : "");
    if (t->note[0] || has_paper(t)) fputs("\n\n", out);
}

void table_markdown(FILE *out, const table_set *set, size_t first)
{
    for (size_t i = first; i < set->count; i++)
        if (same_file(set, i, first)) markdown_table(out, &set->table[i]);
}

/* ---- LaTeX ---- */

static void latex_cell(FILE *out, const table_cell *c)
{
    char value[TABLE_TEXT], range[64], paper[64];
    table_value_text(c, value);
    table_interval_text(c, range);
    table_paper_text(c, paper);
    if (c->bold) fputs("\\textbf{", out);
    text_latex(out, value);
    if (c->bold) fputc('}', out);
    if (range[0]) fprintf(out, " {\\scriptsize %s}", range);
    if (c->n) fprintf(out, " {\\scriptsize $n$=%lld}", (long long)c->n);
    if (paper[0]) fprintf(out, value[0] ? " (\\textit{%s}$^\\dagger$)" : "\\textit{%s}$^\\dagger$", paper);
}

static void latex_table(FILE *out, const table *t)
{
    fputs("\\begin{table*}[t]\n\\centering\n\\caption{", out);
    text_latex(out, t->title);
    fputs(". ", out);
    text_latex(out, t->note);
    if (has_paper(t)) fputs(" $^\\dagger$: the paper's own number.", out);
    fprintf(out, "}\n\\label{tab:%s}\n\\resizebox{\\textwidth}{!}{%%\n\\begin{tabular}{", t->id);
    for (size_t c = 0; c < t->columns; c++) fputc(c < t->labels ? 'l' : 'r', out);
    fputs("}\n\\toprule\n", out);
    for (size_t c = 0; c < t->columns; c++) {
        if (c) fputs(" & ", out);
        text_latex(out, t->column[c]);
    }
    fputs(" \\\\\n\\midrule\n", out);
    for (size_t r = 0; r < t->rows; r++) {
        if (t->rule[r] && r) fputs("\\midrule\n", out);
        for (size_t c = 0; c < t->columns; c++) {
            if (c) fputs(" & ", out);
            latex_cell(out, &t->cell[r * t->columns + c]);
        }
        fputs(" \\\\\n", out);
    }
    fputs("\\bottomrule\n\\end{tabular}}\n\\end{table*}\n", out);
}

void table_latex(FILE *out, const table_set *set, size_t first)
{
    fputs("% \\usepackage{booktabs,graphicx}\n", out);
    for (size_t i = first; i < set->count; i++)
        if (same_file(set, i, first)) latex_table(out, &set->table[i]);
}

/* ---- CSV ---- */

static void csv_row(FILE *out, const table *t, size_t r)
{
    char label[4 * TABLE_TEXT] = "";
    size_t used = 0;
    for (size_t c = 0; c < t->labels && used < sizeof label; c++) {
        const char *part = t->cell[r * t->columns + c].text;
        if (part[0]) used += (size_t)snprintf(label + used, sizeof label - used, "%s%s", used ? "; " : "", part);
    }
    for (size_t c = t->labels; c < t->columns; c++) {
        const table_cell *cell = &t->cell[r * t->columns + c];
        if (!isfinite(cell->value) && !isfinite(cell->paper) && !cell->text[0]) continue;
        fprintf(out, "%s,", t->id);
        text_csv(out, label);
        fputc(',', out);
        text_csv(out, t->column[c]);
        const double numbers[] = {cell->value, cell->lo, cell->hi, cell->p, cell->paper};
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
            fputc(',', out);
            text_number(out, numbers[k]);
            if (k == 2) {
                fputc(',', out);
                if (cell->n) fprintf(out, "%lld", (long long)cell->n);
            }
        }
        fprintf(out, ",%d,", cell->bold);
        text_csv(out, cell->text);
        fputc('\n', out);
    }
}

void table_csv(FILE *out, const table_set *set, size_t first)
{
    fputs("table,row,column,value,lo,hi,n,p_family,paper_value,best,text\n", out);
    for (size_t i = first; i < set->count; i++)
        for (size_t r = 0; same_file(set, i, first) && r < set->table[i].rows; r++)
            csv_row(out, &set->table[i], r);
}

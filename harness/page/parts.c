/* Parts of the page: fields of tables, tables, claims, and the configs of the weights.
 * Every text from outside goes through text_html. */
#include "harness/page/page.h"

#include "harness/base/text.h"
#include "harness/eval/model_files.h"
#include "models/files/checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void html_count(FILE *out, double value)
{
    char digits[32];
    const int size = snprintf(digits, sizeof digits, "%.0f", value);
    fputs("<td class=\"n\">", out);
    for (int i = 0; i < size && i < (int)sizeof digits - 1; i++)
        fprintf(out, i && (size - i) % 3 == 0 ? ",%c" : "%c", digits[i]);
    fputs("</td>", out);
}

void html_value(FILE *out, const char *text)
{
    const size_t value = strcspn(text, " ");
    fprintf(out, "<td class=\"n\">%.*s", (int)value, strcmp(text, "-") == 0 ? "" : text);
    if (text[value]) fprintf(out, " <small>%s</small>", text + value + 1);
    fputs("</td>", out);
}

/* ---- Tables ---- */

/* Characters of a row's name from which on it may be broken into lines. */
enum { LONG_LABEL = 36 };

/* Whether any cell of a column holds a number. */
static int numeric(const table *t, size_t column)
{
    for (size_t r = 0; column >= t->labels && r < t->rows; r++) {
        const table_cell *c = &t->cell[r * t->columns + column];
        if (isfinite(c->value) || isfinite(c->paper)) return 1;
    }
    return 0;
}

/* The number of samples behind every cell of a column that has any; 0: they differ. */
static int64_t common_n(const table *t, size_t column)
{
    int64_t n = 0;
    for (size_t r = 0; r < t->rows; r++) {
        const int64_t mine = t->cell[r * t->columns + column].n;
        if (mine && n && mine != n) return 0;
        if (mine) n = mine;
    }
    return n;
}

/* n: of its samples, or 0 where the column's head says it. */
static void put_cell(FILE *out, const table_cell *c, int label, int number, int64_t n)
{
    char value[TABLE_TEXT], range[64], paper[64];
    table_value_text(c, value);
    table_interval_text(c, range);
    table_paper_text(c, paper);
    if (label)
        fputs(strlen(value) > LONG_LABEL ? "<th scope=\"row\" class=\"long\">" : "<th scope=\"row\">", out);
    else
        fputs(number ? "<td class=\"n\">" : "<td>", out);
    if (c->bold) fputs("<b>", out);
    text_html(out, value);
    if (c->bold) fputs("</b>", out);
    if (paper[0]) fprintf(out, "%s<i title=\"the paper's own number\">%s†</i>", value[0] ? " " : "", paper);
    if (range[0] || n) fputs(" <small>", out);
    fputs(range, out);
    if (n) fprintf(out, "%sn=%lld", range[0] ? " " : "", (long long)n);
    if (range[0] || n) fputs("</small>", out);
    fputs(label ? "</th>" : "</td>", out);
}

void html_table(FILE *out, const table *t)
{
    if (t->rows == 0) return;
    fprintf(out, "<h3 id=\"%s\">", t->id);
    text_html(out, t->title);
    fprintf(out, "</h3>\n<div class=\"wide\"><table class=\"data\" aria-labelledby=\"%s\">\n<thead><tr>", t->id);
    for (size_t c = 0; c < t->columns; c++) {
        fputs(numeric(t, c) ? "<th scope=\"col\" class=\"n\">" : "<th scope=\"col\">", out);
        text_html(out, t->column[c]);
        if (common_n(t, c)) fprintf(out, " <small>n=%lld</small>", (long long)common_n(t, c));
        fputs("</th>", out);
    }
    fputs("</tr></thead>\n<tbody>\n", out);
    for (size_t r = 0; r < t->rows; r++) {
        fputs(t->rule[r] && r ? "<tr class=\"rule\">" : "<tr>", out);
        for (size_t c = 0; c < t->columns; c++) {
            const table_cell *cell = &t->cell[r * t->columns + c];
            put_cell(out, cell, c < t->labels, numeric(t, c), common_n(t, c) ? 0 : cell->n);
        }
        fputs("</tr>\n", out);
    }
    fputs("</tbody>\n</table></div>\n<p class=\"note\">", out);
    text_html(out, t->note);
    fputs(" †: the paper's own number.</p>\n", out);
}

/* ---- Claims ---- */

void html_audit(FILE *out, const audit *a)
{
    static const char *const class_of[AUDIT_VERDICTS] = {[AUDIT_REPRODUCED] = "yes",
                                                         [AUDIT_NOT_REPRODUCED] = "no",
                                                         [AUDIT_NOT_COMPARABLE] = "open",
                                                         [AUDIT_NOT_RUN] = "open"};
    for (size_t i = 0; i < a->count; i++) {
        const audit_claim *c = &a->claim[i];
        const audit_finding *f = &a->finding[i];
        fprintf(out, "<div class=\"claim\" id=\"claim-%s\"><p><b>", c->id);
        text_html(out, c->claim);
        fprintf(out, "</b> <span class=\"%s\">%s</span></p>\n<p class=\"note\">Source: ", class_of[f->verdict],
                audit_verdict_name[f->verdict]);
        text_html(out, c->source);
        fputs(". How ours differs: ", out);
        text_html(out, c->differs);
        fputs("</p>\n<details class=\"note\"><summary>Evidence: ", out);
        text_html(out, f->summary);
        fprintf(out, "</summary><pre>rule: %s%s", audit_rule_name(c), c->metric[0] ? " of " : "");
        text_html(out, c->metric);
        fputc('\n', out);
        text_html(out, f->evidence);
        fputs("</pre></details></div>\n", out);
    }
}

/* ---- Configs ---- */

int html_shipped_has(const html_shipped *s, const char *digest)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->digest[i], digest) == 0) return 1;
    return 0;
}

void html_shipped_free(html_shipped *s)
{
    free(s->digest);
    *s = (html_shipped){0};
}

static int put_config(FILE *out, const weights_file *file, html_shipped *shipped, pal_error *err)
{
    st_file content;
    PAL_TRY(st_read(file->path, &content, err));
    fputs("<details", out);
    if (!html_shipped_has(shipped, content.digest)) { /* copies of one file share the first one's place */
        fprintf(out, " id=\"weights-%.16s\"", content.digest);
        memcpy(shipped->digest[shipped->count++], content.digest, HASH_HEX);
    }
    fputs("><summary>", out);
    text_html(out, file->name);
    fprintf(out, " <code>%.16s</code></summary>\n<pre>", content.digest);
    text_html(out, content.config ? content.config : "no config: weights of another project\n");
    for (size_t i = 0; i < content.metadata.count; i++) {
        text_html(out, content.metadata.pair[i].key);
        fputs(" = ", out);
        text_html(out, content.metadata.pair[i].value);
        fputc('\n', out);
    }
    fputs("</pre></details>\n", out);
    st_free(&content);
    return PAL_OK;
}

int html_configs(FILE *out, const char *weights, html_shipped *shipped, pal_error *err)
{
    weights_file *file = NULL;
    size_t count = 0;
    pal_error none;
    *shipped = (html_shipped){0};
    if (weights_resolve("all", weights, &file, &count, &none) != PAL_OK) {
        fputs("<p>There are no weights here.</p>\n", out);
        return PAL_OK;
    }
    shipped->digest = malloc(count * sizeof *shipped->digest);
    int code = shipped->digest ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the configs");
    for (size_t i = 0; code == PAL_OK && i < count; i++) code = put_config(out, &file[i], shipped, err);
    free(file);
    if (code != PAL_OK) html_shipped_free(shipped);
    return code;
}

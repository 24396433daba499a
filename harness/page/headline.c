/* Chooses the main models and columns of a task by facts and counts alone, and writes them as a table. */
#include "harness/page/headline.h"

#include "harness/base/text.h"
#include "harness/page/page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTHS = 64, COLUMNS_SEEN = 64 };

/* ---- Which models ---- */

/* A model's own run, not a variant of it: nothing was changed in its memory or its input. */
static int is_plain(const report_row *row)
{
    char name[REPORT_LABEL];
    return row->cell->kind == RESULT_MODEL && row->cell->memory == RESULT_KEPT && !row->cell->variant[0] &&
           strcmp(row->label, label_name(row->cell, name)) == 0;
}

static int same_label(const report_row *a, const report_row *b)
{
    return strcmp(a->label, b->label) == 0;
}

typedef struct candidate {
    const report_row *row;
    size_t cells;
} candidate;

static int by_cells(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->cells != y->cells) return x->cells < y->cells ? 1 : -1;
    return (x->row > y->row) - (x->row < y->row);
}

/* trained: only models whose training ended with this task. Returns how many there are. */
static size_t list_candidates(const report *rep, int trained, candidate *list)
{
    size_t count = 0;
    for (size_t i = 0; i < rep->count; i++) {
        const report_row *row = &rep->row[i];
        if (!is_plain(row) || (trained && strcmp(row->cell->facts.trained_on, rep->task->name) != 0)) continue;
        size_t at = 0;
        while (at < count && !same_label(list[at].row, row)) at++;
        if (at == count) list[count++] = (candidate){row, 0};
        list[at].cells++;
    }
    qsort(list, count, sizeof *list, by_cells);
    return count;
}

static void choose_rows(headline *h)
{
    candidate *list = malloc((h->rep->count + 1) * sizeof *list);
    if (!list) return; /* no table then: the others say the same */
    size_t count = list_candidates(h->rep, 1, list);
    if (count < 2) count = list_candidates(h->rep, 0, list);
    for (size_t i = 0; i < count && h->rows < HEADLINE_ROWS; i++)
        if (result_same_size(list[i].row->cell, list[0].row->cell)) h->row[h->rows++] = list[i].row;
    free(list);
}

static int is_chosen(const headline *h, const report_row *row)
{
    if (!is_plain(row)) return 0;
    for (size_t r = 0; r < h->rows; r++)
        if (same_label(h->row[r], row)) return 1;
    return 0;
}

/* ---- Which columns ---- */

/* A length, or the name of a set of documents. */
typedef struct place {
    int64_t length;
    const char *name; /* "" for lengths */
    size_t models;
} place;

static place place_of(const result_cell *cell)
{
    const int documents = cell->extent == RESULT_DOCUMENTS;
    return (place){.length = documents ? 0 : cell->length, .name = documents ? cell->name : ""};
}

static int same_place(const place *a, const place *b)
{
    return a->length == b->length && strcmp(a->name, b->name) == 0;
}

static int by_use(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->models != y->models) return x->models < y->models ? 1 : -1;
    return (x->length < y->length) - (x->length > y->length);
}

/* Numbers inside of names count as numbers: "len=16K" before "len=256K". */
static int in_order(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->length != y->length) return x->length < y->length ? -1 : 1;
    return strverscmp(x->name, y->name);
}

static int has_any(const headline *h, const report_row *model, const place *column)
{
    for (size_t i = 0; i < h->rep->count; i++) {
        const place here = place_of(h->rep->row[i].cell);
        if (same_label(&h->rep->row[i], model) && is_plain(&h->rep->row[i]) && same_place(&here, column)) return 1;
    }
    return 0;
}

static size_t models_at(const headline *h, const place *at)
{
    size_t models = 0;
    for (size_t r = 0; r < h->rows; r++) models += (size_t)has_any(h, h->row[r], at);
    return models;
}

/* The places that most models have; one that clearly fewer have is left to the tables. */
static size_t choose_places(const headline *h, place list[COLUMNS_SEEN])
{
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < h->rep->count; i++) {
        const place here = place_of(h->rep->row[i].cell);
        size_t at = 0;
        if (!is_chosen(h, &h->rep->row[i])) continue;
        while (at < count && !same_place(&list[at], &here)) at++;
        if (at == count && count < COLUMNS_SEEN) list[count++] = here;
    }
    for (size_t c = 0; c < count; c++) list[c].models = models_at(h, &list[c]);
    if (count) qsort(list, count, sizeof *list, by_use);
    while (kept < count && kept < HEADLINE_COLUMNS && 4 * list[kept].models >= 3 * list[0].models) kept++;
    if (kept) qsort(list, kept, sizeof *list, in_order);
    return kept;
}

/* ---- Values ---- */

/* The cell of a model in a column at a depth (NaN: documents), or NULL. */
static const report_row *find_cell(const headline *h, const report_row *model, const place *column, double depth)
{
    for (size_t i = 0; i < h->rep->count; i++) {
        const report_row *row = &h->rep->row[i];
        const place here = place_of(row->cell);
        if (is_plain(row) && same_label(row, model) && same_place(&here, column) &&
            (row->cell->depth == depth || (isnan(depth) && isnan(row->cell->depth))))
            return row;
    }
    return NULL;
}

/* Whether every model that was evaluated in a column was so at this depth. */
static int all_have(const headline *h, const place *column, double depth)
{
    for (size_t c = 0; c < h->columns; c++)
        for (size_t r = 0; r < h->rows; r++)
            if (has_any(h, h->row[r], &column[c]) && !find_cell(h, h->row[r], &column[c], depth)) return 0;
    return 1;
}

/* The depths that means are over: the same ones for all models and columns, so that the means compare. */
static void choose_depths(headline *h, const place *column)
{
    for (size_t i = 0; i < h->rep->count; i++) {
        const double depth = h->rep->row[i].cell->depth;
        size_t at = 0;
        if (!is_chosen(h, &h->rep->row[i]) || !isfinite(depth) || h->depths == DEPTHS) continue;
        while (at < h->depths && h->depth[at] != depth) at++;
        if (at == h->depths && all_have(h, column, depth)) h->depth[h->depths++] = depth;
    }
}

static double mean_of(headline *h, const report_row *model, const place *column)
{
    const size_t metric = (size_t)(h->metric - h->rep->task->metric), count = h->depths ? h->depths : 1;
    double sum = 0;
    for (size_t d = 0; d < count; d++) {
        const report_row *row = find_cell(h, model, column, h->depths ? h->depth[d] : NAN);
        if (!row) return NAN;
        sum += row->metric[metric].value;
        if (!h->least || row->n < h->least) h->least = row->n;
        if (row->n > h->most) h->most = row->n;
    }
    return sum / (double)count;
}

/* Whether value a is worse than b; a missing one is the worst. */
static int is_worse(const headline *h, double a, double b)
{
    if (isnan(a) || isnan(b)) return isnan(a) && !isnan(b);
    return h->metric->higher_is_better ? a < b : a > b;
}

/* Insertion by the main column; equal rows keep the report's order. */
static void sort_rows(headline *h)
{
    for (size_t i = 1; i < h->rows; i++)
        for (size_t k = i; k > 0; k--) {
            double *above = &h->value[(k - 1) * h->columns], *below = &h->value[k * h->columns];
            if (!is_worse(h, above[h->main], below[h->main])) break;
            const report_row *row = h->row[k];
            h->row[k] = h->row[k - 1];
            h->row[k - 1] = row;
            for (size_t c = 0; c < h->columns; c++) {
                const double value = above[c];
                above[c] = below[c];
                below[c] = value;
            }
        }
}

/* Rows without any value say nothing. */
static void drop_empty_rows(headline *h)
{
    size_t kept = 0;
    for (size_t r = 0; r < h->rows; r++) {
        size_t values = 0;
        for (size_t c = 0; c < h->columns; c++) values += !isnan(h->value[r * h->columns + c]);
        if (!values) continue;
        memmove(&h->value[kept * h->columns], &h->value[r * h->columns], h->columns * sizeof *h->value);
        h->row[kept++] = h->row[r];
    }
    h->rows = kept;
}

/* The longest input; of documents those that most models read. */
static size_t main_column(const headline *h, const place *column)
{
    size_t best = 0;
    for (size_t c = 1; c < h->columns; c++)
        if (column[c].length > column[best].length || column[c].models > column[best].models) best = c;
    return column[best].length ? h->columns - 1 : best;
}

headline headline_of(const report *rep)
{
    headline h = {.rep = rep};
    place column[COLUMNS_SEEN];
    if (rep->count == 0) return h;
    h.metric = &rep->task->metric[report_main_metric(rep->task)];
    choose_rows(&h);
    h.columns = choose_places(&h, column);
    choose_depths(&h, column);
    for (size_t c = 0; c < h.columns; c++) {
        if (column[c].length)
            kv_format_size(column[c].length, h.column[c]);
        else
            snprintf(h.column[c], sizeof h.column[c], "%s", column[c].name);
        for (size_t r = 0; r < h.rows; r++) h.value[r * h.columns + c] = mean_of(&h, h.row[r], &column[c]);
    }
    drop_empty_rows(&h);
    if (h.columns) h.main = main_column(&h, column);
    sort_rows(&h);
    return h;
}

/* ---- Writing ---- */

/* "token accuracy", "bits per byte": a metric's name in words. */
static void put_words(FILE *out, const char *name)
{
    char words[96];
    snprintf(words, sizeof words, "%s", name);
    for (char *c = words; *c; c++)
        if (*c == '_') *c = ' ';
    text_html(out, words);
}

static void put_value(FILE *out, const headline *h, double value)
{
    char text[64];
    const summary plain = {value, {NAN, NAN, "none"}, 0};
    if (isnan(value))
        fputs("<td class=\"n\"></td>", out);
    else if (h->metric->kind == METRIC_SHARE)
        fprintf(out, "<td class=\"n h%d\">%s</td>", (int)lround(10 * fmin(fmax(value, 0), 1)),
                report_format(h->metric, &plain, text));
    else
        fprintf(out, "<td class=\"n\">%s</td>", report_format(h->metric, &plain, text));
}

/* The best and the worst of the main column. */
static void put_sentence(FILE *out, const headline *h)
{
    size_t rows = h->rows;
    char best[64], worst[64];
    while (rows > 0 && isnan(h->value[(rows - 1) * h->columns + h->main])) rows--;
    if (rows < 2) return;
    const summary first = {h->value[h->main], {NAN, NAN, "none"}, 0};
    const summary last = {h->value[(rows - 1) * h->columns + h->main], {NAN, NAN, "none"}, 0};
    fputs("<p><b>", out);
    text_html(out, h->row[0]->label);
    fprintf(out, "</b> is first at ");
    text_html(out, h->column[h->main]);
    const char *unit = h->metric->kind == METRIC_SHARE ? " %" : "";
    fprintf(out, " with %s%s, ", report_format(h->metric, &first, best), unit);
    text_html(out, h->row[rows - 1]->label);
    fprintf(out, " last with %s%s.</p>\n", report_format(h->metric, &last, worst), unit);
}

static void put_note(FILE *out, const headline *h)
{
    fputs("<p class=\"note\">", out);
    if (h->depths) fputs("Means over the depths ", out);
    for (size_t d = 0; d < h->depths; d++)
        fprintf(out, "%s%.6g", d == 0 ? "" : d + 1 == h->depths ? " and " : ", ", h->depth[d]);
    if (h->depths) fputs(" %. ", out);
    fprintf(out, h->least == h->most ? "n = %lld" : "n = %lld to %lld", (long long)h->least, (long long)h->most);
    fputs(" a cell. Intervals, tests and all other models: <a href=\"#tables\">tables</a>.</p>\n", out);
}

/* A column's name, which may be broken behind '/' and ':'. */
static void put_head(FILE *out, const char *name)
{
    fputs("<th scope=\"col\" class=\"n\">", out);
    while (*name) {
        char part[64];
        const size_t size = strcspn(name, "/:");
        const size_t whole = size + (name[size] != '\0');
        snprintf(part, sizeof part, "%.*s", (int)whole, name);
        text_html(out, part);
        if (name[size]) fputs("<wbr/>", out);
        name += whole;
    }
    fputs("</th>", out);
}

void html_headline(FILE *out, const headline *h)
{
    const char *task = h->rep->task->name;
    if (h->rows == 0) return;
    fprintf(out, "<h3 id=\"headline-%s\">%c%s: ", task, task[0] - 'a' + 'A', task + 1);
    put_words(out, h->metric->name);
    fputs(h->metric->kind == METRIC_SHARE ? ", %" : "", out);
    fputs("</h3>\n", out);
    put_sentence(out, h);
    fprintf(out,
            "<div class=\"wide\"><table class=\"data\" aria-labelledby=\"headline-%s\">\n<thead><tr>"
            "<th scope=\"col\">model</th>",
            task);
    for (size_t c = 0; c < h->columns; c++) put_head(out, h->column[c]);
    fputs("</tr></thead>\n<tbody>\n", out);
    for (size_t r = 0; r < h->rows; r++) {
        fputs("<tr><th scope=\"row\">", out);
        text_html(out, h->row[r]->label);
        fputs("</th>", out);
        for (size_t c = 0; c < h->columns; c++) put_value(out, h, h->value[r * h->columns + c]);
        fputs("</tr>\n", out);
    }
    fputs("</tbody>\n</table></div>\n", out);
    put_note(out, h);
}

/* The comparison as a table: for people with aligned columns, for programs with one number a field. */
#include "harness/gate/compare.h"

#include <math.h>
#include <string.h>

enum { CELL_TEXT = 64 };

/* ---- Values as they are shown ---- */

/* A ratio in the metric's unit. */
static double shown(const task_metric *m, double value)
{
    switch (m->kind) {
    case METRIC_SHARE:
        return 100 * value;
    case METRIC_PERPLEXITY:
        return exp(value);
    default:
        return value;
    }
}

/* A difference of ratios: a factor for perplexity, else in the metric's unit. */
static char *format_change(const task_metric *m, double change, char out[CELL_TEXT])
{
    if (!isfinite(change))
        snprintf(out, CELL_TEXT, "-");
    else if (m->kind == METRIC_PERPLEXITY)
        snprintf(out, CELL_TEXT, "x%.4f", exp(change));
    else
        snprintf(out, CELL_TEXT, m->kind == METRIC_SHARE ? "%+.1f" : "%+.4f", shown(m, change));
    return out;
}

static char *format_value(const task_metric *m, double value, char out[CELL_TEXT])
{
    if (!isfinite(value))
        snprintf(out, CELL_TEXT, "-");
    else
        snprintf(out, CELL_TEXT, m->kind == METRIC_SHARE ? "%.1f" : "%.4f", shown(m, value));
    return out;
}

static char *format_difference(const compare_row *row, char out[4 * CELL_TEXT])
{
    char middle[CELL_TEXT], lo[CELL_TEXT], hi[CELL_TEXT];
    format_change(row->metric, row->pair.difference, middle);
    if (isfinite(row->pair.ci.lo))
        snprintf(out, 4 * CELL_TEXT, "%s [%s, %s]", middle, format_change(row->metric, row->pair.ci.lo, lo),
                 format_change(row->metric, row->pair.ci.hi, hi));
    else
        snprintf(out, 4 * CELL_TEXT, "%s", middle);
    return out;
}

static char *format_p(double p, char out[CELL_TEXT])
{
    snprintf(out, CELL_TEXT, isnan(p) ? "-" : p < 0.0001 ? "%.1e" : "%.4f", p);
    return out;
}

/* ---- The table ---- */

enum { COLUMNS = 11 };

static const char *const heads[COLUMNS] = {"model", "cell", "metric",   "n",          "A",      "B",
                                           "B - A", "p",    "family p", "detectable", "verdict"};

typedef struct line {
    char column[COLUMNS][2 * KV_TEXT_MAX + 8];
} line;

static void fill_line(const compare_row *row, line *out)
{
    char text[4 * CELL_TEXT];
    const int same = strcmp(row->model_a, row->model_b) == 0;
    const double worse = row->metric->higher_is_better ? -row->detectable : row->detectable;
    const size_t size = sizeof out->column[0];
    snprintf(out->column[0], size, same ? "%s" : "%s > %s", row->model_a, row->model_b);
    snprintf(out->column[1], size, "%s", row->cell);
    snprintf(out->column[2], size, "%s", row->metric->name);
    snprintf(out->column[3], size, "%lld", (long long)row->pair.n);
    snprintf(out->column[4], size, "%s", format_value(row->metric, row->a, text));
    snprintf(out->column[5], size, "%s", format_value(row->metric, row->b, text));
    snprintf(out->column[6], size, "%s", format_difference(row, text));
    snprintf(out->column[7], size, "%s", format_p(row->pair.p, text));
    snprintf(out->column[8], size, "%s", format_p(row->corrected, text));
    snprintf(out->column[9], size, "%s", format_change(row->metric, worse, text));
    snprintf(out->column[10], size, "%s", compare_verdict_name[row->verdict]);
}

static void print_line(const line *l, const int width[COLUMNS], FILE *out)
{
    for (int k = 0; k < COLUMNS; k++) {
        const int right = k >= 3 && k <= 9;
        if (k + 1 == COLUMNS)
            fprintf(out, "%s\n", l->column[k]);
        else
            fprintf(out, right ? "%*s  " : "%-*s  ", width[k], l->column[k]);
    }
}

static void print_text(const comparison *c, FILE *out)
{
    int width[COLUMNS];
    line l;
    for (int k = 0; k < COLUMNS; k++) width[k] = (int)strlen(heads[k]);
    for (size_t i = 0; i < c->count; i++) {
        fill_line(&c->row[i], &l);
        for (int k = 0; k < COLUMNS; k++)
            if (width[k] < (int)strlen(l.column[k])) width[k] = (int)strlen(l.column[k]);
    }
    for (int k = 0; k < COLUMNS; k++) snprintf(l.column[k], sizeof l.column[k], "%s", heads[k]);
    print_line(&l, width, out);
    for (size_t i = 0; i < c->count; i++) {
        fill_line(&c->row[i], &l);
        print_line(&l, width, out);
    }
}

/* ---- For programs ---- */

static const listing_column columns[] = {
    {"task", NULL, 0},   {"model_a", NULL, 0},  {"model_b", NULL, 0},    {"cell", NULL, 0},
    {"metric", NULL, 0}, {"n", NULL, 0},        {"a", NULL, 0},          {"b", NULL, 0},
    {"change", NULL, 0}, {"lo", NULL, 0},       {"hi", NULL, 0},         {"test", NULL, 0},
    {"p", NULL, 0},      {"family_p", NULL, 0}, {"detectable", NULL, 0}, {"verdict", NULL, 0},
};

/* A change as format_change shows it: a factor for a perplexity, else a difference. */
static double change(const task_metric *m, double value)
{
    return m->kind == METRIC_PERPLEXITY ? exp(value) : shown(m, value);
}

static void put_change(listing *l, const task_metric *m, double value)
{
    char text[CELL_TEXT];
    listing_number(l, isfinite(value) ? change(m, value) : NAN, format_change(m, value, text));
}

static void put_value(listing *l, const task_metric *m, double value)
{
    char text[CELL_TEXT];
    listing_number(l, isfinite(value) ? shown(m, value) : NAN, format_value(m, value, text));
}

static void print_listing(const comparison *c, listing_format format, FILE *out)
{
    listing l;
    char text[CELL_TEXT];
    listing_begin(&l, out, format, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < c->count; i++) {
        const compare_row *row = &c->row[i];
        const task_metric *m = row->metric;
        listing_text(&l, row->task->name);
        listing_text(&l, row->model_a);
        listing_text(&l, row->model_b);
        listing_text(&l, row->cell);
        listing_text(&l, m->name);
        listing_number(&l, (double)row->pair.n, NULL);
        put_value(&l, m, row->a);
        put_value(&l, m, row->b);
        put_change(&l, m, row->pair.difference);
        put_change(&l, m, row->pair.ci.lo);
        put_change(&l, m, row->pair.ci.hi);
        listing_text(&l, row->pair.test);
        listing_number(&l, row->pair.p, format_p(row->pair.p, text));
        listing_number(&l, row->corrected, format_p(row->corrected, text));
        put_change(&l, m, m->higher_is_better ? -row->detectable : row->detectable);
        listing_text(&l, compare_verdict_name[row->verdict]);
    }
}

/* ---- What the table means ---- */

static void print_notes(const comparison *c, FILE *out)
{
    size_t bare = 0;
    for (size_t i = 0; i < c->count; i++) bare += !c->row[i].same && !isfinite(c->row[i].pair.ci.lo);
    fprintf(
        out,
        "\nShares in percent, their differences in points; a perplexity's difference is the factor B / A, its\n"
        "interval that of the factor. Intervals at %g %% are inversions of the sign-flip test, chapters of one "
        "book\n"
        "together; below %d samples there is none. p: McNemar's exact test for hits, else sign flips. family p: "
        "over\n"
        "all rows of the metric (min-P). detectable: the smallest loss that these samples show with probability\n"
        "%g at %g %%, alone. Margin: %g %% of a loss, %g points of a share.\n",
        100 * (1 - c->alpha), STATS_LEAST_DOCUMENTS, COMPARE_POWER, 100 * c->alpha, 100 * c->margin, c->points);
    fprintf(out, "%zu comparisons; of the main metrics %zu worse, %zu better, %zu that cannot be told.\n",
            c->count, c->worse, c->better, c->unsure);
    if (bare) fprintf(out, "%zu rows have no interval: too few samples, or none that differ.\n", bare);
    if (c->only_a || c->only_b)
        fprintf(out, "Cells without a partner: %zu only in A, %zu only in B.\n", c->only_a, c->only_b);
}

void compare_print(const comparison *c, listing_format format, FILE *out)
{
    if (format == LISTING_TEXT)
        print_text(c, out);
    else
        print_listing(c, format, out);
    if (format == LISTING_TEXT || format == LISTING_MARKDOWN) print_notes(c, out);
}

/* RULER's table: the mean of its tasks by length, and the effective length, up to which the mean stays above a
 * line that all models are held to. */
#include "harness/report/tables.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTHS_MAX = 32 };

/* What Llama-2-7B reaches at 4K (Hsieh et al. 2024, table 3), in percent. */
#define EFFECTIVE_LINE 85.6

/* A row of one of the task's own forms, not of a control or a variant. */
static int is_plain(const report_row *row)
{
    return row->cell->memory == RESULT_KEPT && row->cell->variant[0] && !strchr(row->cell->variant, ',');
}

static size_t list_lengths(const report *rep, int64_t length[LENGTHS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < rep->count; i++) {
        const int64_t value = rep->row[i].cell->length;
        size_t at = 0;
        while (at < count && length[at] < value) at++;
        if (!is_plain(&rep->row[i]) || (at < count && length[at] == value) || count == LENGTHS_MAX) continue;
        memmove(length + at + 1, length + at, (count - at) * sizeof *length);
        length[at] = value;
        count++;
    }
    return count;
}

/* The mean over the forms of a model at a length, in percent; NaN without any. */
static double mean_of(const report *rep, const char *label, int64_t length, int *forms)
{
    double sum = 0;
    *forms = 0;
    for (size_t i = 0; i < rep->count; i++) {
        const report_row *row = &rep->row[i];
        if (!is_plain(row) || row->cell->length != length || strcmp(row->label, label) != 0) continue;
        sum += 100 * row->metric[0].value;
        ++*forms;
    }
    return *forms ? sum / *forms : NAN;
}

static void put_number(table *t, size_t column, double value)
{
    table_cell *c = table_at(t, column);
    c->value = value;
    c->digits = 1;
}

static void put_model(table *t, const report *rep, const char *label, const int64_t *length, size_t lengths)
{
    int most = 0, forms;
    int64_t effective = 0;
    char text[24];
    for (size_t i = 0; i < lengths; i++) {
        mean_of(rep, label, length[i], &forms);
        if (forms > most) most = forms;
    }
    table_row(t, 0);
    table_text(t, 0, "%s", label);
    for (size_t i = 0; i < lengths; i++) {
        const double mean = mean_of(rep, label, length[i], &forms);
        /* Means over other tasks cannot stand beside each other. */
        if (forms < most) continue;
        put_number(t, 1 + i, mean);
        if (mean >= EFFECTIVE_LINE) effective = length[i];
    }
    table_text(t, 1 + lengths, "%d", most);
    table_text(t, 2 + lengths, "%s", effective ? kv_format_size(effective, text) : "none");
}

static int ruler_part(table_set *set, const evidence *e, const char *weights, pal_error *err)
{
    const report *rep = evidence_report(e, "ruler");
    int64_t length[LENGTHS_MAX];
    (void)weights, (void)err;
    const size_t lengths = rep ? list_lengths(rep, length) : 0;
    if (lengths == 0) return PAL_OK;
    table *t = table_add(set, "ruler", "ruler", "RULER: mean of the tasks by length, and effective length", 1);
    table_column(t, "model");
    for (size_t i = 0; i < lengths; i++) {
        char text[24];
        table_column(t, kv_format_size(length[i], text));
    }
    table_column(t, "tasks");
    table_column(t, "effective");
    for (size_t i = 0; i < rep->count; i++) {
        size_t first = 0;
        if (!is_plain(&rep->row[i])) continue;
        while (!is_plain(&rep->row[first]) || strcmp(rep->row[first].label, rep->row[i].label) != 0) first++;
        if (first == i) put_model(t, rep, rep->row[i].label, length, lengths);
    }
    if (t)
        snprintf(
            t->note, sizeof t->note,
            "String match in percent, the mean over as many tasks as the column says, of RULER's 13: those of "
            "question answering are not among them. Effective: the longest length whose mean is at least %.1f.",
            EFFECTIVE_LINE);
    return PAL_OK;
}

/* ---- MQAR ---- */

enum { PLACES_MAX = 32 };

static int same_place(const report_row *a, const report_row *b)
{
    return a->cell->length == b->cell->length && strcmp(a->cell->variant, b->cell->variant) == 0;
}

/* Rows that stand for the columns: one for each number of pairs at each length, by pairs and then by length. */
static size_t list_places(const report *rep, const report_row *place[PLACES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < rep->count; i++) {
        const report_row *row = &rep->row[i];
        size_t at = 0, known = 0;
        for (size_t k = 0; k < count; k++) known += (size_t)same_place(place[k], row);
        if (!is_plain(row) || known || count == PLACES_MAX) continue;
        for (; at < count; at++) {
            const int order = strverscmp(place[at]->cell->variant, row->cell->variant);
            if (order > 0 || (order == 0 && place[at]->cell->length > row->cell->length)) break;
        }
        memmove(place + at + 1, place + at, (count - at) * sizeof(*place));
        place[at] = row;
        count++;
    }
    return count;
}

static int mqar_part(table_set *set, const evidence *e, const char *weights, pal_error *err)
{
    const report *rep = evidence_report(e, "mqar");
    const report_row *place[PLACES_MAX];
    (void)weights, (void)err;
    const size_t places = rep ? list_places(rep, place) : 0;
    if (places == 0) return PAL_OK;
    table *t = table_add(set, "mqar", "mqar", "Multi-query associative recall: accuracy by pairs, and state", 1);
    table_column(t, "model");
    table_column(t, "state");
    for (size_t k = 0; k < places; k++) {
        char name[64], length[24];
        snprintf(name, sizeof name, "%s at %s", place[k]->cell->variant,
                 kv_format_size(place[k]->cell->length, length));
        table_column(t, name);
    }
    for (size_t i = 0; i < rep->count; i++) {
        const report_row *row = &rep->row[i];
        size_t first = 0;
        if (!is_plain(row)) continue;
        while (!is_plain(&rep->row[first]) || strcmp(rep->row[first].label, row->label) != 0) first++;
        if (first == i) {
            table_row(t, 0);
            table_text(t, 0, "%s", row->label);
            table_bytes(t, 1, (double)row->cell->state_bytes);
        }
        /* Rows of a label stand together. */
        for (size_t k = 0; k < places; k++)
            if (same_place(place[k], row))
                *table_at(t, 2 + k) = table_cell_of(&rep->task->metric[0], &row->metric[0], row->n);
    }
    if (t)
        snprintf(
            t->note, sizeof t->note,
            "Share of the asked keys whose value is the first choice, in percent, with its 95 %% beta-binomial "
            "interval. State: bytes of one sequence, by the formula of the module.");
    return PAL_OK;
}

const table_part ruler_tables = {ruler_part}, mqar_tables = {mqar_part};

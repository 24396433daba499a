/* What the rules of an audit judge by: the cells of a claim, the rows of a model, and the quantities in them. */
#include "harness/gate/judgement.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void judgement_note(judgement *j, outcome what, const char *format, ...)
{
    static const char *const word[] = {"holds", "fails", "open", "missing"};
    va_list arguments;
    va_start(arguments, format);
    fprintf(j->out, "%s: ", word[what]);
    vfprintf(j->out, format, arguments);
    fputc('\n', j->out);
    va_end(arguments);
    j->count[what]++;
}

void judgement_seeds(judgement *j, size_t seeds, int64_t n, size_t family)
{
    if (!j->n || n < j->n) j->n = n;
    if (seeds && (!j->seeds || seeds < j->seeds)) j->seeds = seeds;
    if (family > j->family) j->family = family;
}

/* ---- Lists ---- */

/* The next item of a list, without the blanks around it; 0 at the end. */
int judgement_item(const char **at, char separator, char out[KV_TEXT_MAX])
{
    const char ends[] = {separator, '\0'};
    while (**at == ' ' || **at == separator) ++*at;
    size_t size = strcspn(*at, ends);
    const char *from = *at;
    *at += size;
    while (size && from[size - 1] == ' ') size--;
    snprintf(out, KV_TEXT_MAX, "%.*s", (int)size, from);
    return size > 0;
}

/* The cells of a claim; *out is malloc'ed. */
int judgement_places(const audit_claim *c, place **out, size_t *count, pal_error *err)
{
    *count = 0;
    *out = calloc(KV_LIST_MAX * KV_LIST_MAX, sizeof **out);
    if (!*out) return pal_fail(err, PAL_INTERNAL, "out of memory for a claim");
    if (c->lengths.value[0] > 0) {
        for (int64_t l = 0; l < c->lengths.count; l++)
            for (int64_t d = 0; d < c->depths.count; d++) {
                place *p = &(*out)[(*count)++];
                snprintf(p->name, sizeof p->name, "len=%.0f,depth=%g", c->lengths.value[l], c->depths.value[d]);
                p->x = log2(c->lengths.value[l]);
            }
        return PAL_OK;
    }
    for (const char *at = c->cells; judgement_item(&at, ';', (*out)[*count].name); ++*count)
        (*out)[*count].x = (double)*count;
    return PAL_OK;
}

/* ---- Cells ---- */

/* The model's row of a cell, with its memory; NULL with a note when there is none, or more than one that differ in
 * more than the BLAS core. */
const report_row *judgement_row(judgement *j, const char *model, const char *cell)
{
    const report_row *found = NULL;
    for (size_t i = 0; j->rep && i < j->rep->count; i++) {
        const report_row *row = &j->rep->row[i];
        const result_cell *c = row->cell;
        if (!label_fits(model, c) || strcmp(c->name, cell) != 0 || c->memory == RESULT_ZEROED) continue;
        if (j->claim->settings[0] && strcmp(c->settings, j->claim->settings) != 0) continue;
        if (found && (strcmp(found->cell->weights, c->weights) != 0 ||
                      strcmp(found->cell->config, c->config) != 0 || !pair_same_samples(found->cell, c))) {
            judgement_note(j, MISSING, "%s has several runs of %s; name one as NAME@SHA or by settings", cell,
                           model);
            return NULL;
        }
        if (!found || row->n > found->n) found = row;
    }
    if (!found) judgement_note(j, MISSING, "no complete cell %s of %s", cell, model);
    return found;
}

int judgement_enough(judgement *j, const char *model, const char *cell, int64_t n)
{
    if (n >= j->claim->least) return 1;
    judgement_note(j, OPEN, "%s, %s: n = %lld, fewer than %lld", model, cell, (long long)n,
                   (long long)j->claim->least);
    return 0;
}

/* ---- Quantities ---- */

int judgement_quantity(const judgement *j)
{
    static const char *const own[] = {"state_bytes", "held_bytes", "seconds_per_token"};
    for (int i = 0; i < 3; i++)
        if (strcmp(j->claim->metric, own[i]) == 0) return -1 - i;
    for (size_t m = 0; j->rep && m < j->rep->task->metric_count; m++)
        if (strcmp(j->claim->metric, j->rep->task->metric[m].name) == 0) return (int)m;
    return NO_QUANTITY;
}

/* A cost of one sample: num over den. */
void judgement_cost(int which, const report_row *row, int64_t i, double *num, double *den)
{
    const result_sample *s = &row->cell->sample[i];
    *den = 1;
    if (which == STATE_BYTES) {
        *num = (double)row->cell->state_bytes;
    } else if (which == HELD_BYTES) {
        *num = (double)s->held;
    } else {
        *num = s->seconds;
        *den = isfinite(s->read) ? s->read : (double)s->tokens;
    }
}

/* Samples that ran side by side shared one clock: a batch is measured once. Samples of a batch stand together. */
static int64_t batch_columns(const report_row *row, double *num, double *den)
{
    int64_t batches = 0, members = 0;
    for (int64_t i = 0; i < row->n; i++) {
        double own_num, own_den;
        const result_sample *s = row->cell->sample + i;
        judgement_cost(SECONDS_PER_TOKEN, row, i, &own_num, &own_den);
        if (i > 0 && members < s->batch && s->batch == s[-1].batch && s->threads == s[-1].threads) {
            num[batches - 1] += own_num;
            den[batches - 1] += own_den;
            members++;
            continue;
        }
        num[batches] = own_num;
        den[batches++] = own_den;
        members = 1;
    }
    return batches;
}

/* A quantity of a cell: for each cluster of samples, each batch where it is time, each sample where it is another
 * cost. Returns how many. */
int64_t judgement_columns(const judgement *j, int which, const report_row *row, double *num, double *den)
{
    if (which == SECONDS_PER_TOKEN) return batch_columns(row, num, den);
    if (which < 0) {
        for (int64_t i = 0; i < row->n; i++) judgement_cost(which, row, i, &num[i], &den[i]);
        return row->n;
    }
    const task_metric *m = &j->rep->task->metric[which];
    const size_t rows = result_columns(m, row->cell, row->n, num, den);
    for (size_t i = 0; i < rows; i++) num[i] /= m->kind == METRIC_BITS ? log(2) : 1;
    return (int64_t)rows;
}

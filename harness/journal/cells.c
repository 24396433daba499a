/* Cells and their samples: finding them, what is complete, and the columns that statistics are made of. */
#include "harness/journal/cells.h"

#include "harness/base/array.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void results_init(results *r, const task_module *task, const char *path)
{
    *r = (results){.task = task, .path = path};
}

void results_free(results *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->cell[i].asked);
        free(r->cell[i].sample);
    }
    free(r->cell);
    *r = (results){0};
}

void results_note(const results *r, FILE *out)
{
    if (r->tail.whole)
        fprintf(out, "%s: the last record is damaged and left out%s%s; `eval` computes it again\n", r->path,
                r->tail.what[0] ? ": " : "", r->tail.what);
    else if (r->tail.bytes)
        fprintf(out, "%s: the last %zu bytes are a record that a crash left unfinished; left out\n", r->path,
                r->tail.bytes);
    if (r->outdated)
        fprintf(out, "%s: %lld records are of other versions of task %s and left out; this program reads %d.%d\n",
                r->path, (long long)r->outdated, r->task->name, r->task->version, r->task->scorer_version);
}

void result_cell_identify(const task_module *task, result_cell *cell)
{
    char text[2 * KV_TEXT_MAX + RESULT_TEXT + 4 * HASH_HEX + 256], digest[HASH_HEX];
    const int size = snprintf(text, sizeof text, "%s\n%d\n%d\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n", task->name,
                              task->version, task->scorer_version, cell->weights, cell->config, cell->tokenizer,
                              cell->data, cell->blas_core, cell->settings, cell->name);
    hash_hex(text, (size_t)size, digest);
    memcpy(cell->key, digest, RESULT_KEY - 1);
    cell->key[RESULT_KEY - 1] = '\0';
}

int result_described(const result_cell *cell)
{
    return cell->kind == RESULT_REFERENCE || cell->facts.attention[0];
}

task_cell result_place(const result_cell *cell, int64_t n)
{
    task_cell place = {.length = cell->length, .depth = cell->depth, .samples = n};
    memcpy(place.name, cell->name, sizeof place.name);
    memcpy(place.data, cell->data, sizeof place.data);
    memcpy(place.variant, cell->variant, sizeof place.variant);
    return place;
}

int result_same_size(const result_cell *a, const result_cell *b)
{
    return fabs((double)a->parameters - (double)b->parameters) <= 0.02 * (double)b->parameters;
}

result_cell *results_find(const results *r, const char *key)
{
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->cell[i].key, key) == 0) return &r->cell[i];
    return NULL;
}

/* Where a sample stands, or would be put. */
static size_t place_of(const result_cell *cell, int64_t index)
{
    size_t from = 0, to = cell->count;
    if (to && cell->sample[to - 1].index < index) return to; /* as most come */
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        if (cell->sample[middle].index < index)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

int result_done(const result_cell *cell, int64_t index)
{
    const size_t at = place_of(cell, index);
    return at < cell->count && cell->sample[at].index == index;
}

const result_sample *result_sample_at(const result_cell *cell, int64_t index)
{
    return result_done(cell, index) ? &cell->sample[place_of(cell, index)] : NULL;
}

int result_put(result_cell *cell, const result_sample *sample, pal_error *err)
{
    const size_t at = place_of(cell, sample->index);
    if (at < cell->count && cell->sample[at].index == sample->index) return PAL_OK;
    PAL_TRY(array_room(&cell->sample, &cell->capacity, cell->count + 1, sizeof *sample, "the results", err));
    memmove(&cell->sample[at + 1], &cell->sample[at], (cell->count - at) * sizeof *sample);
    cell->sample[at] = *sample;
    cell->count++;
    return PAL_OK;
}

int result_asked(const result_cell *cell, int64_t samples)
{
    for (size_t i = 0; i < cell->asked_count; i++)
        if (cell->asked[i] == samples) return 1;
    return 0;
}

int64_t result_complete(const result_cell *cell)
{
    int64_t done = 0, best = 0;
    while ((size_t)done < cell->count && cell->sample[done].index == done) done++;
    for (size_t i = 0; i < cell->asked_count; i++)
        if (cell->asked[i] <= done && cell->asked[i] > best) best = cell->asked[i];
    return best;
}

int64_t result_not_finite(const result_cell *cell, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += cell->sample[i].not_finite;
    return count;
}

/* ---- Clusters ---- */

typedef struct member {
    uint64_t cluster;
    int64_t index;
} member;

static int by_cluster(const void *a, const void *b)
{
    const member *x = a, *y = b;
    if (x->cluster != y->cluster) return x->cluster < y->cluster ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* first[i]: the first sample of the cluster of sample i. NULL where every sample stands for itself, or without
 * memory (*failed). */
static int64_t *find_first(const result_cell *cell, int64_t n, int *failed)
{
    int any = 0;
    *failed = 0;
    for (int64_t i = 0; i < n && !any; i++) any = cell->sample[i].cluster != 0;
    if (!any) return NULL;
    member *list = malloc((size_t)n * sizeof *list);
    int64_t *first = malloc((size_t)n * sizeof *first);
    *failed = !list || !first;
    if (!*failed) {
        for (int64_t i = 0; i < n; i++) list[i] = (member){cell->sample[i].cluster, i};
        qsort(list, (size_t)n, sizeof *list, by_cluster);
        for (int64_t i = 0; i < n; i++) {
            const int joins = i > 0 && list[i].cluster && list[i].cluster == list[i - 1].cluster;
            first[list[i].index] = joins ? first[list[i - 1].index] : list[i].index;
        }
    }
    free(list);
    if (!*failed) return first;
    free(first);
    return NULL;
}

size_t result_clusters(const result_cell *cell, int64_t n)
{
    size_t count = 0;
    int failed;
    int64_t *first = find_first(cell, n, &failed);
    for (int64_t i = 0; i < n; i++) count += !first || first[i] == i;
    free(first);
    return failed ? 0 : count;
}

size_t result_columns(const task_metric *metric, const result_cell *cell, int64_t n, double *num, double *den)
{
    size_t rows = 0;
    int failed;
    int64_t *first = find_first(cell, n, &failed);
    for (int64_t i = 0; i < n && !failed; i++) {
        const double *value = cell->sample[i].value;
        num[i] = value[metric->value];
        den[i] = metric->over < 0 ? 1 : value[metric->over];
        const int gap = isnan(num[i]) && !cell->sample[i].not_finite;
        if (metric->kind == METRIC_MISSING) num[i] = gap;
        if (metric->samples == METRIC_GAPS && gap) num[i] = den[i] = 0;
        if (!first || first[i] == i) continue;
        num[first[i]] += num[i];
        den[first[i]] += den[i];
    }
    for (int64_t i = 0; i < n && !failed; i++) {
        if (first && first[i] != i) continue;
        num[rows] = num[i];
        den[rows++] = den[i];
    }
    free(first);
    return rows;
}

/* Reads the records of samples out of a journal and finds them by cell and index. */
#include "harness/page/records.h"

#include "harness/base/array.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int add(records *all, sample_record new, pal_error *err)
{
    PAL_TRY(array_room(&all->record, &all->capacity, all->count + 1, sizeof new, "the records of samples", err));
    all->record[all->count++] = new;
    json_incref(new.object);
    return PAL_OK;
}

/* A line that results_visit did not take, such as one of another version, has no cell here. */
static int visit(void *arg, const char *line, size_t size, int64_t number, pal_error *err)
{
    records *all = arg;
    json_t *object = json_loadb(line, size, JSON_ALLOW_NUL, NULL);
    const char *kind = json_string_value(json_object_get(object, "kind"));
    const char *key = json_string_value(json_object_get(object, "cell_key"));
    json_t *content = json_object_get(object, "record");
    int code = PAL_OK;
    if (kind && strcmp(kind, "sample") == 0 && key && json_is_object(content)) {
        const result_cell *cell = results_find(all->of, key);
        const int64_t index = json_integer_value(json_object_get(object, "index"));
        if (cell)
            code = add(all, (sample_record){(size_t)(cell - all->of->cell), index, (size_t)number, content}, err);
    }
    json_decref(object);
    return code;
}

static int by_place(const void *a, const void *b)
{
    const sample_record *x = a, *y = b;
    if (x->cell != y->cell) return x->cell < y->cell ? -1 : 1;
    if (x->index != y->index) return x->index < y->index ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

int records_read(records *out, const results *r, pal_error *err)
{
    *out = (records){.of = r};
    const int code = journal_read(r->path, visit, out, err);
    if (code != PAL_OK) {
        records_free(out);
        return code;
    }
    if (out->count) qsort(out->record, out->count, sizeof *out->record, by_place);
    return PAL_OK;
}

void records_free(records *all)
{
    for (size_t i = 0; i < all->count; i++) json_decref(all->record[i].object);
    free(all->record);
    *all = (records){0};
}

const json_t *records_find(const records *all, const result_cell *cell, int64_t index)
{
    const sample_record wanted = {.cell = (size_t)(cell - all->of->cell), .index = index};
    size_t low = 0, high = all->count; /* the first that does not stand before it */
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (by_place(&all->record[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const sample_record *found = low < all->count ? &all->record[low] : NULL;
    return found && found->cell == wanted.cell && found->index == index ? found->object : NULL;
}

double record_metric(const task_metric *metric, const result_sample *sample)
{
    const double over = metric->over < 0 ? 1 : sample->value[metric->over];
    const double ratio = sample->value[metric->value] / over;
    if (!isfinite(ratio)) return NAN;
    if (metric->kind == METRIC_PERPLEXITY) return exp(ratio);
    return metric->kind == METRIC_BITS ? ratio / log(2) : ratio;
}

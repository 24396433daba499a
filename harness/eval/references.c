/* Journals the rows of a task that take no model, by the task's own table of references.
 * What is journaled already is not made again. */
#include "harness/eval/references.h"

#include "harness/base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct references {
    eval_request *r;
    results *held;
    journal *journal;
    task_rows *rows;
    references_complete *complete;
    void *arg;
} references;

static int describe(const references *f, const task_row *row, const task_cell *cell, result_cell *out,
                    pal_error *err)
{
    *out = (result_cell){.kind = RESULT_REFERENCE,
                         .extent = RESULT_DOCUMENTS,
                         .length = cell->length,
                         .depth = cell->depth,
                         .state_bytes = row->state_bytes};
    snprintf(out->model, sizeof out->model, "%s", row->name);
    hash_hex(row->made_of, strlen(row->made_of), out->weights);
    snprintf(out->tokenizer, sizeof out->tokenizer, "%s", tokenizer_digest(f->r->tokenizer));
    memcpy(out->data, cell->data, sizeof out->data);
    memcpy(out->name, cell->name, sizeof out->name);
    memcpy(out->variant, cell->variant, sizeof out->variant);
    snprintf(out->blas_core, sizeof out->blas_core, REFERENCES_CORE);
    PAL_TRY(eval_cell_settings(f->r, cell, 0, out->settings, sizeof out->settings, err));
    PAL_TRY(eval_request_words(f->r, 0, out->request, sizeof out->request, err));
    result_cell_identify(f->r->task, out);
    return PAL_OK;
}

/* One row of one sample, unless it is journaled. */
static int score(const references *f, const task_row *row, const result_cell *cell, size_t place,
                 const batch_item *item, pal_error *err)
{
    if (result_done(results_find(f->held, cell->key), item->index)) return PAL_OK;
    const double began = os_now();
    batch_result *made = calloc(1, sizeof *made);
    if (!made) return pal_fail(err, PAL_INTERNAL, "out of memory for a sample of %s", row->name);
    int code = f->r->task->references->score(f->rows, place, item->index, made->value, made->record,
                                             sizeof made->record, err);
    result_sample sample = {.seconds = os_now() - began,
                            .tokens = (int64_t)item->tokens,
                            .read = (double)item->tokens,
                            .threads = 1,
                            .batch = 1,
                            .held = row->state_bytes};
    memcpy(sample.value, made->value, sizeof sample.value);
    if (code == PAL_OK)
        code = results_add(f->held, f->journal, cell->key, item->index, &sample, made->record, err);
    free(made);
    return code;
}

static int run_rows(const references *f, size_t index, const task_row *row, size_t count, result_cell *cell,
                    pal_error *err)
{
    const batch_item *item;
    const int64_t n = f->r->cell[index].samples;
    PAL_TRY(eval_request_samples(f->r, index, &item, err));
    for (size_t k = 0; k < count; k++) {
        PAL_TRY(describe(f, &row[k], &f->r->cell[index], &cell[k], err));
        const result_cell *known = results_find(f->held, cell[k].key);
        if (!known || !result_asked(known, n)) PAL_TRY(results_announce(f->held, f->journal, &cell[k], n, err));
    }
    for (int64_t i = 0; i < n; i++)
        for (size_t k = 0; k < count; k++) PAL_TRY(score(f, &row[k], &cell[k], k, &item[i], err));
    for (size_t k = 0; f->complete && k < count; k++) f->complete(f->arg, results_find(f->held, cell[k].key), n);
    return PAL_OK;
}

static int run_cell(const references *f, size_t index, pal_error *err)
{
    const task_row *row;
    size_t count;
    PAL_TRY(f->r->task->references->list(f->rows, &f->r->cell[index], &row, &count, err));
    result_cell *cell = calloc(count + 1, sizeof *cell);
    if (!cell) return pal_fail(err, PAL_INTERNAL, "out of memory for rows without a model");
    const int code = run_rows(f, index, row, count, cell, err);
    free(cell);
    return code;
}

int references_run(eval_request *r, results *held, journal *j, references_complete *complete, void *arg,
                   pal_error *err)
{
    references f = {r, held, j, NULL, complete, arg};
    if (!r->task->references) return PAL_OK;
    int code = r->task->references->open(r->run, &f.rows, err);
    for (size_t i = 0; code == PAL_OK && i < r->cell_count; i++) code = run_cell(&f, i, err);
    if (f.rows) r->task->references->close(f.rows);
    return code;
}

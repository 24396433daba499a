/* Journals the rows of a task that take no model, by the task's own table of references.
 * What is journaled already is not made again. */
#include "harness/eval/references.h"

#include "harness/base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct references {
    eval_request *r;
    task_rows *rows;
};

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

int references_open(references **out, eval_request *r, pal_error *err)
{
    *out = NULL;
    if (!r->task->references) return PAL_OK;
    references *f = calloc(1, sizeof *f);
    if (!f) return pal_fail(err, PAL_INTERNAL, "out of memory for rows without a model");
    f->r = r;
    *out = f;
    return r->task->references->open(r->run, &f->rows, err);
}

void references_close(references *f)
{
    if (!f) return;
    if (f->rows) f->r->task->references->close(f->rows);
    free(f);
}

int references_describe(references *f, size_t index, result_cell **cell, size_t *count, pal_error *err)
{
    const task_row *row;
    *cell = NULL;
    *count = 0;
    if (!f) return PAL_OK;
    PAL_TRY(f->r->task->references->list(f->rows, &f->r->cell[index], &row, count, err));
    *cell = calloc(*count + 1, sizeof **cell);
    if (!*cell) return pal_fail(err, PAL_INTERNAL, "out of memory for rows without a model");
    for (size_t k = 0; k < *count; k++) PAL_TRY(describe(f, &row[k], &f->r->cell[index], &(*cell)[k], err));
    return PAL_OK;
}

/* One row of one sample. */
static int score(const references *f, const result_cell *cell, size_t place, const batch_item *item, results *held,
                 journal *j, pal_error *err)
{
    const double began = os_now();
    batch_result *made = calloc(1, sizeof *made);
    if (!made) return pal_fail(err, PAL_INTERNAL, "out of memory for a sample of %s", cell->model);
    int code = f->r->task->references->score(f->rows, place, item->index, made->value, made->record,
                                             sizeof made->record, err);
    result_sample sample = {.seconds = os_now() - began,
                            .tokens = (int64_t)item->tokens,
                            .read = (double)item->tokens,
                            .threads = 1,
                            .batch = 1,
                            .held = cell->state_bytes};
    memcpy(sample.value, made->value, sizeof sample.value);
    if (code == PAL_OK) code = results_add(held, j, cell->key, item->index, &sample, made->record, err);
    free(made);
    return code;
}

static int score_rows(const references *f, size_t index, const result_cell *cell, size_t count, results *held,
                      journal *j, references_known *known, void *known_arg, pal_error *err)
{
    const batch_item *item;
    const int64_t n = f->r->cell[index].samples;
    PAL_TRY(eval_request_samples(f->r, index, &item, err));
    for (size_t k = 0; k < count; k++) {
        const result_cell *there = results_find(held, cell[k].key);
        if (!there || !result_asked(there, n)) PAL_TRY(results_announce(held, j, &cell[k], n, err));
    }
    for (int64_t i = 0; i < n; i++)
        for (size_t k = 0; k < count; k++) {
            if (result_done(results_find(held, cell[k].key), i)) continue;
            if (known && known(known_arg, cell[k].key, i)) continue;
            PAL_TRY(score(f, &cell[k], k, &item[i], held, j, err));
        }
    return PAL_OK;
}

int references_score(references *f, size_t index, results *held, journal *j, references_known *known,
                     void *known_arg, pal_error *err)
{
    result_cell *cell;
    size_t count;
    int code = references_describe(f, index, &cell, &count, err);
    if (code == PAL_OK && f) code = score_rows(f, index, cell, count, held, j, known, known_arg, err);
    free(cell);
    return code;
}

static int run_cell(references *f, size_t index, results *held, journal *j, references_complete *complete,
                    void *arg, pal_error *err)
{
    result_cell *cell;
    size_t count;
    int code = references_describe(f, index, &cell, &count, err);
    if (code == PAL_OK) code = score_rows(f, index, cell, count, held, j, NULL, NULL, err);
    for (size_t k = 0; code == PAL_OK && complete && k < count; k++)
        complete(arg, results_find(held, cell[k].key), f->r->cell[index].samples);
    free(cell);
    return code;
}

int references_run(eval_request *r, results *held, journal *j, references_complete *complete, void *arg,
                   pal_error *err)
{
    references *f;
    int code = references_open(&f, r, err);
    for (size_t i = 0; code == PAL_OK && f && i < r->cell_count; i++)
        code = run_cell(f, i, held, j, complete, arg, err);
    references_close(f);
    return code;
}

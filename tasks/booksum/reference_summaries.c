#include "tasks/booksum/reference_summaries.h"

#include "harness/base/os.h"
#include "tasks/booksum/booksum.h"
#include "tasks/booksum/extracts.h"
#include "tasks/rouge/rouge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRAINING = 64 };

typedef enum kind { LEAD, RANDOM, ORACLE, COPY_FIRST, COPY_MEAN, KINDS } kind;

typedef struct rows {
    eval_request *r;
    results *held;
    journal *journal;
    booksum_string *training;
    size_t training_count, mean; /* training[mean] is most like the others */
    size_t words;                /* of extracts */
    size_t overall;              /* the value that oracles are compared by */
} rows;

/* ---- Summaries of the training split ---- */

static int read_training(rows *w, rouge_scorer *scorer, rouge_text *text, pal_error *err)
{
    for (size_t i = 0; i < w->training_count; i++)
        PAL_TRY(rouge_text_read(scorer, w->training[i].text, w->training[i].size, &text[i], err));
    double best = -1;
    for (size_t i = 0; i < w->training_count; i++) {
        double sum = 0;
        for (size_t k = 0; k < w->training_count; k++) {
            rouge_result result = {.overall = 0};
            if (k != i) PAL_TRY(rouge_compare(scorer, &text[k], &text[i], &result, err));
            sum += result.overall;
        }
        if (sum <= best) continue;
        best = sum;
        w->mean = i;
    }
    return PAL_OK;
}

static int find_mean(rows *w, pal_error *err)
{
    rouge_scorer *scorer = NULL;
    rouge_text *text = calloc(w->training_count + 1, sizeof *text);
    int code = text ? rouge_scorer_create(1, &scorer, err) : pal_fail(err, PAL_INTERNAL, "out of memory for rows");
    if (code == PAL_OK) code = read_training(w, scorer, text, err);
    for (size_t i = 0; text && i < w->training_count; i++) rouge_text_free(&text[i]);
    free(text);
    rouge_scorer_destroy(scorer);
    return code;
}

/* The mean over the summaries of a cell. */
static int count_own_words(const rows *w, const task_cell *cell, size_t *words, pal_error *err)
{
    size_t sum = 0;
    for (int64_t i = 0; i < cell->samples; i++) {
        task_sample *s;
        const booksum_string *list;
        PAL_TRY(w->r->task->open(w->r->run, cell, i, &s, err));
        booksum_references(s, &list);
        sum += extract_count_words(list[0].text, list[0].size);
        w->r->task->close(s);
    }
    *words = (sum + (size_t)cell->samples / 2) / (size_t)cell->samples;
    return PAL_OK;
}

static int count_words(rows *w, const task_cell *cell, pal_error *err)
{
    size_t sum = 0;
    if (w->training_count == 0) return count_own_words(w, cell, &w->words, err);
    for (size_t i = 0; i < w->training_count; i++)
        sum += extract_count_words(w->training[i].text, w->training[i].size);
    w->words = (sum + w->training_count / 2) / w->training_count;
    return PAL_OK;
}

/* ---- One row of one book ---- */

/* The text that a model reads of the book. */
static int read_text(const rows *w, const batch_item *item, task_sample *s, booksum_string *out, pal_error *err)
{
    const size_t count = (size_t)w->r->task->forget_at(s);
    int32_t *tokens = malloc(count * sizeof *tokens);
    if (!tokens) return pal_fail(err, PAL_INTERNAL, "out of memory for a book of %zu tokens", count);
    int code = PAL_OK;
    for (size_t at = 0, got = 1; code == PAL_OK && at < count; at += got) {
        code = w->r->task->read(s, tokens + at, count - at, &got, err);
        if (code == PAL_OK && got == 0)
            code = pal_fail(err, PAL_INTERNAL, "sample %lld of %s ends before its text", (long long)item->index,
                            item->cell->name);
    }
    if (code == PAL_OK) {
        out->size = tokenizer_decode(w->r->tokenizer, tokens + 1, count - 1, NULL, 0);
        out->text = malloc(out->size + 1);
        if (out->text)
            tokenizer_decode(w->r->tokenizer, tokens + 1, count - 1, out->text, out->size + 1);
        else
            code = pal_fail(err, PAL_INTERNAL, "out of memory for a book of %zu bytes", out->size);
    }
    free(tokens);
    return code;
}

static int score(const rows *w, const task_sample *s, const booksum_string *text, batch_result *result,
                 pal_error *err)
{
    int32_t *tokens = malloc((text->size + 1) * sizeof *tokens);
    if (!tokens) return pal_fail(err, PAL_INTERNAL, "out of memory for a summary of %zu bytes", text->size);
    const size_t count = tokenizer_encode(w->r->tokenizer, text->text, text->size, tokens);
    const task_output output = {.generated = tokens, .generated_count = count};
    w->r->task->score(s, &output, result->value, result->record, sizeof result->record);
    free(tokens);
    return PAL_OK;
}

/* The best over the references. */
static int score_oracle(const rows *w, const task_sample *s, const booksum_string *book, batch_result *result,
                        pal_error *err)
{
    const booksum_string *list;
    const size_t count = booksum_references(s, &list);
    for (size_t i = 0; i < count; i++) {
        booksum_string text;
        batch_result tried = {.seconds = 0};
        PAL_TRY(extract_oracle(book->text, book->size, &list[i], &text, err));
        const int code = score(w, s, &text, &tried, err);
        free(text.text);
        PAL_TRY(code);
        if (i == 0 || tried.value[w->overall] > result->value[w->overall]) *result = tried;
    }
    return PAL_OK;
}

static int score_row(const rows *w, kind k, const batch_item *item, const task_sample *s,
                     const booksum_string *book, batch_result *result, pal_error *err)
{
    if (k == ORACLE) return score_oracle(w, s, book, result, err);
    if (k == COPY_FIRST) return score(w, s, &w->training[0], result, err);
    if (k == COPY_MEAN) return score(w, s, &w->training[w->mean], result, err);
    booksum_string text;
    rng draws = rng_make(1, "summaries/random", (uint64_t)item->index, 0);
    PAL_TRY(k == LEAD ? extract_lead(book->text, book->size, w->words, &text, err)
                      : extract_random(book->text, book->size, w->words, &draws, &text, err));
    const int code = score(w, s, &text, result, err);
    free(text.text);
    return code;
}

/* ---- Cells ---- */

static int describe(const rows *w, kind k, const task_cell *cell, result_cell *out, pal_error *err)
{
    static const char *const name[KINDS] = {"lead", "random", "oracle", "copy-first", "copy-mean"};
    char text[KV_TEXT_MAX + HASH_HEX + 32];
    *out = (result_cell){
        .kind = RESULT_REFERENCE, .extent = RESULT_DOCUMENTS, .length = cell->length, .depth = cell->depth};
    if (k == LEAD || k == RANDOM)
        snprintf(out->model, sizeof out->model, "%s-%zu", name[k], w->words);
    else
        snprintf(out->model, sizeof out->model, "%s", name[k]);
    char copied[HASH_HEX] = "";
    if (k == COPY_FIRST || k == COPY_MEAN) {
        const booksum_string *copy = &w->training[k == COPY_MEAN ? w->mean : 0];
        hash_hex(copy->text, copy->size, copied);
    }
    const int size = snprintf(text, sizeof text, "summary %s %s\n", out->model, copied);
    hash_hex(text, (size_t)size, out->weights);
    snprintf(out->tokenizer, sizeof out->tokenizer, "%s", tokenizer_digest(w->r->tokenizer));
    memcpy(out->data, cell->data, sizeof out->data);
    memcpy(out->name, cell->name, sizeof out->name);
    snprintf(out->blas_core, sizeof out->blas_core, REFERENCES_CORE);
    PAL_TRY(eval_cell_settings(w->r, cell, 0, out->settings, sizeof out->settings, err));
    PAL_TRY(eval_request_words(w->r, 0, out->request, sizeof out->request, err));
    result_cell_identify(w->r->task, out);
    return PAL_OK;
}

/* The rows of one book that are not journaled yet. */
static int run_book(const rows *w, const result_cell *row, size_t count, const kind *kinds, const batch_item *item,
                    pal_error *err)
{
    task_sample *s = NULL;
    booksum_string book = {0};
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < count; i++) {
        if (result_done(results_find(w->held, row[i].key), item->index)) continue;
        const double began = os_now();
        batch_result result = {.seconds = 0};
        if (!s) {
            code = w->r->task->open(w->r->run, item->cell, item->index, &s, err);
            if (code == PAL_OK) code = read_text(w, item, s, &book, err);
        }
        if (code == PAL_OK) code = score_row(w, kinds[i], item, s, &book, &result, err);
        if (code != PAL_OK) break;
        result_sample sample = {.seconds = os_now() - began,
                                .tokens = (int64_t)item->tokens,
                                .read = (double)item->tokens,
                                .threads = 1,
                                .batch = 1};
        memcpy(sample.value, result.value, sizeof sample.value);
        code = results_add(w->held, w->journal, row[i].key, item->index, &sample, result.record, err);
    }
    if (s) w->r->task->close(s);
    free(book.text);
    return code;
}

static int run_cell(rows *w, size_t index, void (*complete)(void *arg, const result_cell *cell, int64_t n),
                    void *arg, pal_error *err)
{
    const task_cell *cell = &w->r->cell[index];
    const batch_item *item;
    result_cell row[KINDS];
    kind kinds[KINDS];
    size_t count = 0;
    PAL_TRY(eval_request_samples(w->r, index, &item, err));
    PAL_TRY(count_words(w, cell, err));
    for (kind k = LEAD; k < KINDS; k++) {
        if ((k == COPY_FIRST || k == COPY_MEAN) && w->training_count == 0) continue;
        kinds[count] = k;
        PAL_TRY(describe(w, k, cell, &row[count], err));
        const result_cell *known = results_find(w->held, row[count].key);
        if (!known || !result_asked(known, cell->samples))
            PAL_TRY(results_announce(w->held, w->journal, &row[count], cell->samples, err));
        count++;
    }
    for (int64_t i = 0; i < cell->samples; i++) PAL_TRY(run_book(w, row, count, kinds, &item[i], err));
    for (size_t i = 0; complete && i < count; i++) complete(arg, results_find(w->held, row[i].key), cell->samples);
    return PAL_OK;
}

int summaries_run(eval_request *r, results *held, journal *j, references_complete *complete, void *arg,
                  pal_error *err)
{
    rows w = {.r = r, .held = held, .journal = j};
    while (strcmp(r->task->value[w.overall], "overall") != 0) w.overall++;
    int code = booksum_training_summaries(r->run, TRAINING, &w.training, &w.training_count, err);
    if (code == PAL_OK) code = find_mean(&w, err);
    for (size_t i = 0; code == PAL_OK && i < r->cell_count; i++) code = run_cell(&w, i, complete, arg, err);
    for (size_t i = 0; w.training && i < w.training_count; i++) free(w.training[i].text);
    free(w.training);
    return code;
}

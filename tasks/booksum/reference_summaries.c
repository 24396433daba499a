/* Makes extracts and copies, and scores them as continuations. A book is opened once for all rows of it. */
#include "tasks/booksum/reference_summaries.h"

#include "tasks/booksum/extracts.h"
#include "tasks/booksum/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRAINING = 64, ORACLE_SUMMARIES = 16 };

typedef enum kind { LEAD, RANDOM, ORACLE, COPY_FIRST, COPY_MEAN, KINDS } kind;

typedef struct rows {
    const booksum_run *run;
    const task_cell *cell;
    booksum_string *training;
    size_t training_count, mean; /* training[mean] is most like the others */
    size_t words;                /* of extracts */
    task_row row[KINDS];
    size_t count;
    int64_t index; /* of the book that is open; -1: none */
    task_sample *sample;
    booksum_string text; /* what a model reads of it */
} rows;

/* ---- Summaries of the training split ---- */

static int training_stories(const booksum_run *run, booksum_string *list, size_t *count, pal_error *err)
{
    for (; *count < TRAINING; ++*count) {
        const story_key key = {(uint64_t)run->request.seed, STORY_TRAIN, *count, 0};
        int value[STORY_SLOTS];
        char text[STORY_SUMMARY];
        story_facts(&key, value);
        list[*count].size = story_summary(value, text);
        list[*count].text = strdup(text);
        if (!list[*count].text) return pal_fail(err, PAL_INTERNAL, "booksum: out of memory for the summaries");
    }
    return PAL_OK;
}

static int training_books(const booksum_file *f, booksum_string *list, size_t *count, pal_error *err)
{
    for (size_t i = 0; i < booksum_file_count(f) && *count < TRAINING; i++) {
        booksum_book book;
        PAL_TRY(booksum_file_read(f, i, &book, err));
        list[(*count)++] = book.summary[0];
        book.summary[0].text = NULL;
        booksum_book_free(&book);
    }
    return PAL_OK;
}

/* The first summaries of the training split that goes with the run's texts; none where it is not beside them. */
static int load_training(rows *w, pal_error *err)
{
    char path[BOOKSUM_PATH];
    int whole;
    pal_error absent;
    booksum_file *file = NULL;
    w->training = calloc(TRAINING, sizeof *w->training);
    if (!w->training) return pal_fail(err, PAL_INTERNAL, "booksum: out of memory for the summaries");
    if (!w->run->file) return training_stories(w->run, w->training, &w->training_count, err);
    if (booksum_find(w->run->request.data, "train", path, &whole, &absent) != PAL_OK || whole) return PAL_OK;
    int code = booksum_file_open(&file, path, err);
    if (code == PAL_OK) code = training_books(file, w->training, &w->training_count, err);
    booksum_file_close(file);
    return code;
}

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

/* ---- How long extracts are ---- */

/* The mean over the summaries of the cell. */
static int count_own_words(rows *w, pal_error *err)
{
    size_t sum = 0;
    for (int64_t i = 0; i < w->cell->samples; i++) {
        task_sample *s;
        PAL_TRY(booksum_open((const task_run *)w->run, w->cell, i, &s, err));
        const booksum_string *first = &((const booksum_sample *)s)->book.summary[0];
        sum += extract_count_words(first->text, first->size);
        booksum_close(s);
    }
    w->words = (sum + (size_t)w->cell->samples / 2) / (size_t)w->cell->samples;
    return PAL_OK;
}

static int count_words(rows *w, pal_error *err)
{
    size_t sum = 0;
    if (w->training_count == 0) return count_own_words(w, err);
    for (size_t i = 0; i < w->training_count; i++)
        sum += extract_count_words(w->training[i].text, w->training[i].size);
    w->words = (sum + w->training_count / 2) / w->training_count;
    return PAL_OK;
}

/* ---- One book ---- */

static void drop_book(rows *w)
{
    if (w->sample) booksum_close(w->sample);
    free(w->text.text);
    w->sample = NULL;
    w->text = (booksum_string){0};
    w->index = -1;
}

/* The text that a model reads of the book, out of its tokens. */
static int decode_text(rows *w, const int32_t *tokens, size_t count, pal_error *err)
{
    w->text.size = tokenizer_decode(w->run->tokenizer, tokens, count, NULL, 0);
    w->text.text = malloc(w->text.size + 1);
    if (!w->text.text) return pal_fail(err, PAL_INTERNAL, "out of memory for a book of %zu bytes", w->text.size);
    tokenizer_decode(w->run->tokenizer, tokens, count, w->text.text, w->text.size + 1);
    return PAL_OK;
}

static int open_book(rows *w, int64_t index, pal_error *err)
{
    drop_book(w);
    PAL_TRY(booksum_open((const task_run *)w->run, w->cell, index, &w->sample, err));
    sample_shape shape = {0};
    booksum_shape(w->sample, &shape);
    const size_t count = (size_t)shape.forget; /* the begin token and the book */
    int32_t *tokens = malloc(count * sizeof *tokens);
    if (!tokens) return pal_fail(err, PAL_INTERNAL, "out of memory for a book of %zu tokens", count);
    size_t got = 0;
    int code = booksum_read(w->sample, tokens, count, &got, err);
    if (code == PAL_OK) code = decode_text(w, tokens + 1, got - 1, err);
    free(tokens);
    if (code == PAL_OK) w->index = index;
    return code;
}

static int score(const rows *w, const booksum_string *text, double *value, char *record, size_t record_size,
                 pal_error *err)
{
    int32_t *tokens = malloc((tokenizer_room(w->run->tokenizer, text->size) + 1) * sizeof *tokens);
    if (!tokens) return pal_fail(err, PAL_INTERNAL, "out of memory for a summary of %zu bytes", text->size);
    const size_t count = tokenizer_encode(w->run->tokenizer, text->text, text->size, tokens);
    const task_output output = {.generated = tokens, .generated_count = count};
    booksum_score(w->sample, &output, value, record, record_size);
    free(tokens);
    return PAL_OK;
}

/* The best over the true summaries. */
static int score_oracle(const rows *w, double *value, char *record, size_t record_size, pal_error *err)
{
    const booksum_book *book = &((const booksum_sample *)w->sample)->book;
    const size_t tries = book->summaries < ORACLE_SUMMARIES ? book->summaries : ORACLE_SUMMARIES;
    char *line = malloc(record_size);
    int code = line ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for a summary");
    for (size_t i = 0; code == PAL_OK && i < tries; i++) {
        booksum_string text = {0};
        double tried[BOOKSUM_VALUES];
        code = extract_oracle(w->text.text, w->text.size, &book->summary[i], &text, err);
        if (code == PAL_OK) code = score(w, &text, tried, line, record_size, err);
        free(text.text);
        if (code != PAL_OK || (i > 0 && !(tried[BOOKSUM_OVERALL] > value[BOOKSUM_OVERALL]))) continue;
        memcpy(value, tried, sizeof tried);
        snprintf(record, record_size, "%s", line);
    }
    free(line);
    return code;
}

/* ---- The rows of a run ---- */

static int rows_open(const task_run *run, task_rows **out, pal_error *err)
{
    rows *w = calloc(1, sizeof *w);
    if (!w) return pal_fail(err, PAL_INTERNAL, "booksum: out of memory for the rows");
    w->run = (const booksum_run *)run;
    w->index = -1;
    *out = (task_rows *)w;
    PAL_TRY(load_training(w, err));
    return find_mean(w, err);
}

static void rows_close(task_rows *handle)
{
    rows *w = (rows *)handle;
    drop_book(w);
    for (size_t i = 0; w->training && i < w->training_count; i++) free(w->training[i].text);
    free(w->training);
    free(w);
}

static void name_row(const rows *w, kind k, task_row *row)
{
    static const char *const name[KINDS] = {"lead", "random", "oracle", "copy-first", "copy-mean"};
    char copied[HASH_HEX] = "";
    if (k == COPY_FIRST || k == COPY_MEAN) {
        const booksum_string *copy = &w->training[k == COPY_MEAN ? w->mean : 0];
        hash_hex(copy->text, copy->size, copied);
    }
    *row = (task_row){.state_bytes = 0};
    if (k == LEAD || k == RANDOM)
        snprintf(row->name, sizeof row->name, "%s-%zu", name[k], w->words);
    else
        snprintf(row->name, sizeof row->name, "%s", name[k]);
    snprintf(row->made_of, sizeof row->made_of, "summary %s %s\n", row->name, copied);
}

/* Without a training split there is nothing to copy: its rows are the last ones. */
static int rows_list(task_rows *handle, const task_cell *cell, const task_row **list, size_t *count,
                     pal_error *err)
{
    rows *w = (rows *)handle;
    drop_book(w);
    w->cell = cell;
    PAL_TRY(count_words(w, err));
    w->count = w->training_count ? KINDS : COPY_FIRST;
    for (size_t k = 0; k < w->count; k++) name_row(w, (kind)k, &w->row[k]);
    *list = w->row;
    *count = w->count;
    return PAL_OK;
}

static int rows_score(task_rows *handle, size_t row, int64_t index, double *value, char *record,
                      size_t record_size, pal_error *err)
{
    rows *w = (rows *)handle;
    const kind k = (kind)row;
    if (w->index != index) PAL_TRY(open_book(w, index, err));
    if (k == ORACLE) return score_oracle(w, value, record, record_size, err);
    if (k == COPY_FIRST) return score(w, &w->training[0], value, record, record_size, err);
    if (k == COPY_MEAN) return score(w, &w->training[w->mean], value, record, record_size, err);
    booksum_string text;
    rng draws = rng_make(1, "summaries/random", (uint64_t)index, 0);
    PAL_TRY(k == LEAD ? extract_lead(w->text.text, w->text.size, w->words, &text, err)
                      : extract_random(w->text.text, w->text.size, w->words, &draws, &text, err));
    const int code = score(w, &text, value, record, record_size, err);
    free(text.text);
    return code;
}

const task_references booksum_references = {
    .open = rows_open, .list = rows_list, .score = rows_score, .close = rows_close};

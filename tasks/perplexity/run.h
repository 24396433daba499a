/* What the files of the perplexity task's evaluation share: a request that was opened, its samples and values. */
#ifndef PAL_PERPLEXITY_RUN_H
#define PAL_PERPLEXITY_RUN_H

#include "datasets/tokenizer/token_reader.h"
#include "tasks/perplexity/perplexity.h"

/* What is scored of a document. */
typedef struct perplexity_counts {
    uint64_t tokens, words, bytes;
} perplexity_counts;

/* The texts of a cell. */
typedef struct perplexity_text {
    corpus *corpus;
    perplexity_counts *document;
    text_scan *scan; /* of all of it */
} perplexity_text;

typedef struct perplexity_run {
    const tokenizer *tokenizer;
    uint64_t max_tokens;
    perplexity_text *text; /* one a cell */
    task_cell *cell;
    size_t count;
} perplexity_run;

typedef struct perplexity_sample {
    const perplexity_run *run;
    token_reader *reader;
    const char *name;
    perplexity_counts counts;
    uint64_t at; /* tokens handed out, the begin token included */
} perplexity_sample;

enum { PERPLEXITY_TOKEN = 4096 /* bytes of the longest token that is supported */ };

/* Values of a sample; the loss by position goes on behind them. */
enum {
    PERPLEXITY_NLL,
    PERPLEXITY_TOKENS,
    PERPLEXITY_WORDS,
    PERPLEXITY_BYTES,
    PERPLEXITY_RANGE_NLL,
    PERPLEXITY_RANGE_TOKENS = PERPLEXITY_RANGE_NLL + PERPLEXITY_RANGES,
    PERPLEXITY_VALUES = PERPLEXITY_RANGE_TOKENS + PERPLEXITY_RANGES
};

int perplexity_open(const task_run *run, const task_cell *cell, int64_t index, task_sample **out, pal_error *err);
void perplexity_shape(const task_sample *s, sample_shape *out);
int perplexity_read(task_sample *s, int32_t *tokens, size_t max, size_t *got, pal_error *err);
void perplexity_score(const task_sample *s, const task_output *out, double *value, char *record,
                      size_t record_size);
void perplexity_close(task_sample *s);

#endif

/* What the files of the BookSum task's evaluation share. */
#ifndef PAL_BOOKSUM_RUN_H
#define PAL_BOOKSUM_RUN_H

#include "tasks/booksum/booksum.h"
#include "tasks/booksum/text.h"
#include "tasks/rouge/rouge.h"

enum { DECODING_GREEDY, DECODING_SAMPLE };

typedef struct booksum_request {
    char data[KV_TEXT_MAX], split[KV_TEXT_MAX];
    int64_t samples;
    kv_list length;
    int64_t policy, decoding, max_tokens, seed; /* policy: rouge_policy */
    double temperature, top_p;
} booksum_request;

/* The books of a cell: those that are long enough. */
typedef struct booksum_choice {
    uint64_t input; /* tokens read of each; 0: all */
    size_t *book;   /* their places in the file; NULL: story i is sample i */
} booksum_choice;

typedef struct booksum_run {
    booksum_request request;
    const tokenizer *tokenizer;
    booksum_file *file; /* NULL: generated stories */
    story_split split;  /* of stories */
    booksum_tokens separator;
    size_t *book_tokens; /* of each book of the file */
    text_scan scan;      /* of the file's texts and summaries */
    size_t max_tokens;   /* of a continuation */
    task_cell *cell;
    booksum_choice *choice; /* of each cell */
    size_t cell_count;
} booksum_run;

/* ---- sample.c ---- */

typedef struct booksum_sample {
    const booksum_run *run;
    char id[32]; /* of a story */
    size_t place;
    uint64_t input, at; /* tokens of the book that are read; tokens handed out */
    booksum_book book;  /* of a story the summary alone */
    booksum_tokens text, summary;
    story story;
} booksum_sample;

int booksum_open(const task_run *run, const task_cell *cell, int64_t index, task_sample **out, pal_error *err);
void booksum_shape(const task_sample *s, sample_shape *out);
int booksum_read(task_sample *s, int32_t *tokens, size_t max, size_t *got, pal_error *err);
void booksum_close(task_sample *s);

/* ---- score.c ---- */

enum {
    BOOKSUM_ROUGE, /* ROUGE_METRICS values, in the order of rouge.h */
    BOOKSUM_OVERALL = BOOKSUM_ROUGE + ROUGE_METRICS,
    BOOKSUM_NLL,
    BOOKSUM_TOKENS,
    BOOKSUM_RIGHT,
    BOOKSUM_FACTS,
    BOOKSUM_GENERATED,
    BOOKSUM_VALUES
};
extern const char *const booksum_value[BOOKSUM_VALUES];

void booksum_score(const task_sample *s, const task_output *out, double *value, char *record, size_t record_size);

#endif

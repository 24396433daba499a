/* A request of the jsonl task as it was opened, and its samples: shared by the files of the task. */
#ifndef PAL_JSONL_RUN_H
#define PAL_JSONL_RUN_H

#include "datasets/corpus/prompt_file.h"
#include "datasets/corpus/text_scan.h"
#include "tasks/answer/answer.h"
#include "tasks/rouge/rouge.h"

typedef enum jsonl_scorer { SCORER_CONTAINS, SCORER_EXACT, SCORER_NUMBER, SCORER_ROUGE } jsonl_scorer;
#define JSONL_SCORERS "contains|exact|first-number|rouge" /* in the order of the enum */
typedef enum jsonl_control { CONTROL_NONE, CONTROL_SWAPPED } jsonl_control;

typedef struct jsonl_request {
    char data[KV_TEXT_MAX];
    int64_t samples, scorer, control, max_tokens; /* jsonl_scorer, jsonl_control */
} jsonl_request;

typedef struct jsonl_run {
    jsonl_request request;
    const tokenizer *tokenizer;
    prompt_file *file;
    text_scan scan;    /* of prompts and answers */
    size_t shared;     /* tokens that all prompts begin with */
    size_t max_tokens; /* of a continuation */
    task_cell cell;
} jsonl_run;

typedef struct jsonl_sample {
    const jsonl_run *run;
    size_t index;
    prompt_line line;       /* with the answers of another where they are swapped */
    const char *answers_of; /* id of the line whose answers are accepted */
    answer_tokens prompt, answer;
    size_t at; /* tokens handed out */
} jsonl_sample;

enum {
    JSONL_RIGHT,
    JSONL_ASKED,
    JSONL_ROUGE, /* ROUGE_METRICS values, in the order of rouge.h */
    JSONL_NLL = JSONL_ROUGE + ROUGE_METRICS,
    JSONL_TOKENS,
    JSONL_TOKENS_RIGHT,
    JSONL_VALUES
};
extern const char *const jsonl_value[JSONL_VALUES];

int jsonl_open(const task_run *run, const task_cell *cell, int64_t index, task_sample **out, pal_error *err);
void jsonl_shape(const task_sample *s, sample_shape *out);
int jsonl_read(task_sample *s, int32_t *tokens, size_t max, size_t *got, pal_error *err);
void jsonl_score(const task_sample *s, const task_output *out, double *value, char *record, size_t record_size);
void jsonl_close(task_sample *s);

#endif

/* A request of the babilong task as it was opened, and its samples: shared by the files of the task. */
#ifndef PAL_BABILONG_RUN_H
#define PAL_BABILONG_RUN_H

#include "tasks/babilong/world.h"
#include "tasks/haystack/haystack.h"
#include "tasks/haystack/prose.h"

typedef enum babilong_control { CONTROL_NONE, CONTROL_ABSENT, CONTROL_SWAPPED } babilong_control;

typedef struct babilong_request {
    char tasks[KV_TEXT_MAX], prose[KV_TEXT_MAX], prose_split[KV_TEXT_MAX];
    kv_list length;
    int64_t samples, seed, control, repeat; /* babilong_control */
    double from, to;
} babilong_request;

typedef struct babilong_run {
    babilong_request request;
    const tokenizer *tokenizer;
    corpus *prose; /* NULL: no cell has room for it */
    text_scan *scan;
    size_t document; /* where the prose starts */
    char data[HASH_HEX];
    int *task; /* of each cell, from 0 */
    task_cell *cell;
    size_t count;
} babilong_run;

typedef struct babilong_sample {
    const babilong_run *run;
    int task;
    babi_story story;
    const char *answer; /* the label that is scored */
    haystack hay;
    prose *prose;
} babilong_sample;

int babilong_open(const task_run *run, const task_cell *cell, int64_t index, task_sample **out, pal_error *err);
void babilong_shape(const task_sample *s, sample_shape *out);
int babilong_read(task_sample *s, int32_t *tokens, size_t max, size_t *got, pal_error *err);
void babilong_score(const task_sample *s, const task_output *out, double *value, char *record, size_t record_size);
void babilong_close(task_sample *s);

enum { BABILONG_ONLY, BABILONG_FIRST, BABILONG_NLL, BABILONG_TOKENS, BABILONG_TOKENS_RIGHT, BABILONG_VALUES };
extern const task_train babilong_training;

#endif

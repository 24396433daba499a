/* A request of the mqar task as it was opened, and its samples: shared by the files of the task. */
#ifndef PAL_MQAR_RUN_H
#define PAL_MQAR_RUN_H

#include "tasks/mqar/pairs.h"
#include "tasks/task.h"

typedef enum mqar_control { CONTROL_NONE, CONTROL_ABSENT, CONTROL_SWAPPED } mqar_control;

typedef struct mqar_request {
    kv_list pairs, length;
    int64_t samples, seed, vocab, updates, control; /* mqar_control */
} mqar_request;

typedef struct mqar_run {
    mqar_request request;
    int64_t vocab;
    mqar_form *form; /* of each cell */
    task_cell *cell;
    size_t count;
} mqar_run;

typedef struct mqar_sample {
    const mqar_run *run;
    mqar_sequence sequence;
    rng noise;    /* one draw for every position */
    int64_t at;   /* tokens handed out */
    int64_t next; /* query that comes next */
} mqar_sample;

enum { MQAR_RIGHT, MQAR_ASKED, MQAR_ALL, MQAR_VALUES };

int mqar_open(const task_run *run, const task_cell *cell, int64_t index, task_sample **out, pal_error *err);
void mqar_shape(const task_sample *s, sample_shape *out);
int mqar_read(task_sample *s, int32_t *tokens, size_t max, size_t *got, pal_error *err);
void mqar_score(const task_sample *s, const task_output *out, double *value, char *record, size_t record_size);
void mqar_close(task_sample *s);

/* The token at `at`, given the draw that is made for every position; *next: the query that comes next. */
int32_t mqar_token(const mqar_sequence *s, int64_t at, uint32_t noise, int64_t *next);

extern const task_train mqar_training;

#endif

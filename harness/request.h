/* An evaluation as it was asked for: the harness's own keys, and the task's. `eval` and `plan` share it. */
#ifndef PAL_REQUEST_H
#define PAL_REQUEST_H

#include "harness/weights.h"
#include "models/checkpoint.h"
#include "tasks/task.h"

typedef struct eval_options {
    char task[KV_TEXT_MAX], model[KV_TEXT_MAX], weights[KV_TEXT_MAX], results[KV_TEXT_MAX];
    int64_t batch, threads, plots;
} eval_options;

const kv_spec *eval_options_table(size_t *count);

typedef struct eval_model {
    weights_file file;
    decoder *decoder;
    checkpoint_info info;
    char config[HASH_HEX]; /* SHA-256 of the model's config text */
} eval_model;

typedef struct eval_request {
    eval_options options;
    const task_module *task;
    void *task_request; /* the task's own struct */
    task_cell *cell;
    size_t cell_count;
    eval_model *model;
    size_t model_count;
    int threads;
} eval_request;

/* Read the words of a command line. PAL_USAGE: a key nobody knows, a bad value, an unknown task. With `load`, also
 * plan the cells and load every model, so that what is wrong with any of them shows before work begins. */
int eval_request_read(eval_request *r, int argc, char *const *argv, int load, pal_error *err);
void eval_request_free(eval_request *r);

/* The task's part as words: all keys, or only those that shape a sample. Keys that hold lists (which cells) and
 * "n" (how many samples) do not: sample i of a cell is the same in every request that holds the cell. */
int eval_request_words(const eval_request *r, int shaping_only, char *out, size_t size, pal_error *err);

/* How many tokens one sample of a cell puts through a model, and how many of them are scored. */
int eval_request_measure(const eval_request *r, const task_cell *cell, uint64_t *tokens, uint64_t *scored,
                         pal_error *err);
/* The longest stream a model can hold is shorter than `tokens`: fill why[size] and return 1. */
int eval_model_too_short(const eval_model *model, uint64_t tokens, char *why, size_t size);

#endif

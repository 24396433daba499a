/* The training loop: one recipe (config) in, weights, a log and a resumable checkpoint out. */
#ifndef PAL_TRAIN_H
#define PAL_TRAIN_H

#include "harness/base/keyval.h"
#include "models/config/config.h"
#include "models/training/optimiser.h"
#include "tasks/task.h"

#include <stdio.h>

enum { TRAINS_ALL, TRAINS_NEW };
enum { LEAD_SEQUENCE, LEAD_SEGMENT };
enum { RECOMPUTE_AUTO, RECOMPUTE_NO, RECOMPUTE_YES };

typedef struct train_config {
    char task[KV_TEXT_MAX];
    char out[KV_TEXT_MAX];         /* final weights */
    char log[KV_TEXT_MAX];         /* of losses */
    int64_t log_format;            /* a train_log_format */
    int64_t val_every, val_tokens; /* steps between validations, 0: none; tokens of one */
    char val_split[KV_TEXT_MAX];
    char tokenizer[KV_TEXT_MAX];
    char init[KV_TEXT_MAX]; /* weights to start from; "" = drawn from the seed */
    int64_t init_new;       /* 1: tensors that they lack are drawn from the seed */
    int64_t grad_parts;     /* a power of two */
    int64_t trains;         /* TRAINS_* */
    int64_t seed, threads, warmup, checkpoint_every, log_every, recompute, dtype;
    kv_list train_len, train_steps; /* the curriculum: so many steps at each length */
    kv_list batch_tokens;           /* one for all lengths, or one each */
    kv_list write_penalty;          /* likewise */
    int64_t write_penalty_of;
    double lr, lr_floor;
    int64_t lead_len, lead_before, lead_count;
    kv_list lead_times; /* likewise */
    optimiser_config optimiser;
} train_config;

const kv_spec *train_config_table(size_t *count);
/* A setting's value in a phase of the curriculum: one value for all, or one each. */
double train_in_phase(const kv_list *list, int64_t phase);
/* Sequences side by side in the steps of a phase. */
int64_t train_lanes(const train_config *c, int64_t phase);
int train_config_check(const train_config *c, const model_config *model, pal_error *err);
/* Whether the weights depend on the key; `init` is identified by its digest instead. */
int train_config_shapes(const char *key);

/* Run (or resume) the recipe in `pairs`: model, task and training keys together. An unknown key is PAL_USAGE. The
 * same recipe gives the same bits with any number of threads, and when killed and run again. Progress goes to
 * `out`. */
int train_run(const kv_pairs *pairs, FILE *out, pal_error *err);

#endif

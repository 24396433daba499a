/* The training loop: one recipe (config) in, weights, a log and a resumable checkpoint out. */
#ifndef PAL_TRAIN_H
#define PAL_TRAIN_H

#include "harness/base/keyval.h"
#include "models/optimiser.h"
#include "tasks/task.h"

#include <stdio.h>

typedef struct train_config {
    char task[KV_TEXT_MAX];
    char out[KV_TEXT_MAX];  /* final weights */
    char log[KV_TEXT_MAX];  /* loss CSV */
    char init[KV_TEXT_MAX]; /* weights to start from; "" = drawn from the seed */
    int64_t seed, threads, warmup, checkpoint_every, log_every, recompute, dtype;
    kv_list train_len, train_steps; /* the curriculum: so many steps at each length */
    kv_list batch_tokens;           /* one for all lengths, or one each */
    kv_list write_penalty;          /* likewise */
    double lr, lr_floor;
    optimiser_config optimiser;
} train_config;

const kv_spec *train_config_table(size_t *count);

/* Run (or resume) the recipe in `pairs`: model, task and training keys together. An unknown key is PAL_USAGE. The
 * same recipe gives the same bits with any number of threads, and when killed and run again. Progress goes to
 * `out`. */
int train_run(const kv_pairs *pairs, FILE *out, pal_error *err);

#endif

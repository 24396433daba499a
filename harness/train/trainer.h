/* What the files of a training run share: the run itself and the step at work.
 * recipe.c reads settings and compares files with them, step.c computes, train.c leads. */
#ifndef PAL_TRAINER_H
#define PAL_TRAINER_H

#include "harness/base/lock.h"
#include "harness/ranks/ranks.h"
#include "harness/train/lanes.h"
#include "harness/train/lead.h"
#include "harness/train/log.h"
#include "harness/train/train.h"
#include "harness/train/validate.h"
#include "models/files/checkpoint.h"
#include "models/training/window.h"

/* Everything one run holds. */
typedef struct trainer {
    train_config cfg;
    model_config model_cfg;
    const task_module *task;
    void *task_cfg;
    tokenizer *tokenizer;
    task_source *source;
    decoder *model;
    optimiser optimiser;
    pool *pool;
    real *grad; /* [grad_blocks] blocks of decoder_grad_reals */
    size_t grad_stride, grad_blocks;
    ranks ranks;
    optimiser_peers peers; /* of several ranks */
    pal_error peers_error;
    kv_pairs metadata;
    char checkpoint[KV_TEXT_MAX + 16];
    file_lock lock;                  /* on the weights that are being made */
    int64_t total_steps, saved_step; /* saved_step: of the checkpoint on disk, 0 without one */
    double total_tokens;
    train_log log;
    validator validator;
    double last_validation; /* NaN: none yet */
    int replaces;           /* the attention is another than that of the weights that it starts from */
} trainer;

/* ---- recipe.c ---- */

/* Settings, tokenizer and source, checked against each other; the metadata of what is made. */
int trainer_read(trainer *t, const kv_pairs *pairs, pal_error *err);
int trainer_describe(trainer *t, pal_error *err);
/* PAL_USAGE: the file at `path` was made with other settings; names the first. */
int trainer_same_recipe(const trainer *t, const char *path, const checkpoint_info *info, pal_error *err);
/* Whether the recipe's weights are there already; weights of another recipe are not overwritten. */
int trainer_already_made(const trainer *t, int *made, pal_error *err);

/* ---- step.c ---- */

/* One phase's batch: so many lanes of so many tokens. */
typedef struct batch {
    int64_t length;
    attn_penalty write_penalty;
    int32_t *tokens, *targets;
    float *weight;
    double *nll;
    train_lanes_state lanes;
    int *fresh, *own_fresh;             /* [lanes]; own: of this rank's lanes alone */
    size_t parts, own_first, own_parts; /* of the lanes; those that this rank computes */
    double *part_loss, *part_weight;    /* [parts] */
    train_lead lead;
    window *window;
} batch;

int batch_create(const trainer *t, int64_t phase, batch *b, pal_error *err);
void batch_destroy(batch *b);
/* Read a sequence for every lane, go one step, add its losses to the row. */
int batch_step(trainer *t, batch *b, int64_t step, train_row *row, pal_error *err);

/* ---- gradients.c ---- */

/* Blocks of gradients that a rank needs for the tree. */
size_t gradients_blocks(int64_t parts, int ranks_count);
/* The gradient and the loss of a step, over all lanes, into t->grad and *loss; the same on every rank. Tokens are
 * those of all lanes; nll holds those of all lanes on rank 0. */
int gradients_step(trainer *t, batch *b, double *loss, pal_error *err);

#endif

/* Loss on sequences that are not trained on, measured now and then while training: the same sequences each time.
 * The weights do not depend on it. */
#ifndef PAL_VALIDATE_H
#define PAL_VALIDATE_H

#include "harness/cli/progress.h"
#include "harness/train/train.h"
#include "models/decoder/decoder.h"
#include "models/decoder/pass.h"

typedef struct validator {
    const decoder *model; /* NULL: nothing is measured */
    const task_module *task;
    void *task_cfg;
    task_source *source;
    char *start; /* the source's place before its first sequence */
    pass *pass;
    size_t lanes, length, steps; /* of a measurement */
    void *states;                /* [lanes] blocks */
    void **state;
    int32_t *tokens, *targets; /* [lanes, length] */
    float *weight;
    int32_t *segment_tokens, *segment_targets; /* [lanes, N] */
    size_t *valid;
    double *nll;
    int *fresh;
} validator;

/* Does nothing with val_every=0. The sequences are those of the task's training, of split val_split and drawn by
 * another seed, as long as those of the last phase; at least val_tokens tokens of them. PAL_USAGE, PAL_DATA: there
 * is no such split. `task_cfg` are the task's settings. */
int validator_open(validator *v, const train_config *cfg, const task_module *task, const void *task_cfg,
                   const tokenizer *t, const decoder *model, pool *threads, pal_error *err);
void validator_close(validator *v);
/* Mean loss over them in nats, weighted as in training; NaN when nothing is scored. The progress line says
 * meanwhile what is going on. */
int validator_measure(validator *v, progress *bar, double *loss, pal_error *err);

#endif

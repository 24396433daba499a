/* What lanes read before their sequences: filler without loss, taken as if it had been read many times over. A
 * memory that was trained beside it knows longer streams than fit in a step. */
#ifndef PAL_TRAIN_LEAD_H
#define PAL_TRAIN_LEAD_H

#include "harness/train/train.h"
#include "models/decoder/decoder.h"
#include "models/decoder/pass.h"

typedef struct train_lead {
    const train_config *cfg;
    const decoder *model;
    double times; /* the most readings */
    pass *pass;
    size_t lanes;
    int32_t *tokens, *segment; /* [lanes, lead_len], [lanes, N] */
    size_t *valid;             /* [lanes] */
} train_lead;

/* PAL_USAGE: the task has no filler to read, or lead_len is not whole segments. Does nothing with lead_len=0. */
int train_lead_open(train_lead *l, const train_config *cfg, int64_t phase, const task_module *task,
                    const decoder *model, pool *threads, size_t lanes, pal_error *err);
void train_lead_close(train_lead *l);
/* Let the lanes that are fresh read; state[lanes] are their states. */
void train_lead_read(train_lead *l, const task_module *task, task_source *source, int64_t step, const int *fresh,
                     void *const *state);

#endif

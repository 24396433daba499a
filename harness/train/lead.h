/* What lanes read before their sequences: filler without loss, taken as if it had been read many times over. A
 * memory that was trained beside it knows longer streams than fit in a step. Or what every segment of a sequence
 * stands behind: its local attention is then that of a longer segment. */
#ifndef PAL_TRAIN_LEAD_H
#define PAL_TRAIN_LEAD_H

#include "harness/train/train.h"
#include "models/decoder/decoder.h"
#include "models/decoder/pass.h"

typedef struct train_lead {
    const train_config *cfg;
    const decoder *model;
    int64_t phase;
    double times; /* the most readings */
    pass *pass;
    size_t lanes, segments;
    int32_t *tokens, *segment; /* [lanes, lead_len], [lanes, N] */
    size_t *valid;             /* [lanes] */
    /* Of lead_before=segment alone: */
    char *block; /* [count + 1] states, the last one empty */
    size_t count;
    int has_read;
    void **before; /* [lanes, segments]: what each segment of this step stands behind */
} train_lead;

/* For sequences of `segments` segments. PAL_USAGE: the task has no filler to read, or lead_len is not whole
 * segments. Does nothing with lead_len=0. */
int train_lead_open(train_lead *l, const train_config *cfg, int64_t phase, size_t segments,
                    const task_module *task, const decoder *model, pool *threads, size_t lanes, pal_error *err);
void train_lead_close(train_lead *l);
/* Let the lanes that are fresh read; state[lanes] are their states. Of lead_before=segment: choose l->before. */
void train_lead_read(train_lead *l, const task_module *task, task_source *source, int64_t step, const int *fresh,
                     void *const *state);

#endif

/* The regression gate: losses of the shipped text models on a fixed slice of text, and those of a tiny model that
 * is trained anew, held against a committed baseline. */
#ifndef PAL_REGRESS_H
#define PAL_REGRESS_H

#include "harness/base/keyval.h"
#include "harness/cli/command.h"

#include <stdio.h>

/* The name that the model trained here has in the baseline. */
#define REGRESS_TRAINED "retrained"

typedef struct regress_options {
    char baseline[KV_TEXT_MAX];
    char model[KV_TEXT_MAX], weights[KV_TEXT_MAX];  /* as in an eval; "all": those trained on perplexity */
    char data[KV_TEXT_MAX];                         /* the slice: a corpus with a test split */
    char recipe[KV_TEXT_MAX], recipes[KV_TEXT_MAX]; /* of the tiny model */
    int64_t update, threads;
} regress_options;

/* PAL_GATE: rows moved, or are missing on a side; exactly these were printed on `out`. PAL_OK: one line for each
 * row was. With `update`, write the baseline instead. With a list of models, the rows of others are left alone.
 * Progress goes to `log`. */
int regress_run(const regress_options *o, FILE *out, FILE *log, pal_error *err);

extern const pal_command regress_command;

#endif

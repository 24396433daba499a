/* The values of one sample, journaled and computed again: do they agree, and if not, why. */
#ifndef PAL_VERIFY_VALUES_H
#define PAL_VERIFY_VALUES_H

#include "harness/eval/request.h"

#include <stdio.h>

typedef enum value_verdict { VALUES_SAME, VALUES_NEAR, VALUES_DIFFERENT } value_verdict;

typedef struct value_agreement {
    value_verdict verdict;
    size_t different; /* values of other bits */
    size_t choices;   /* of these, shares of discrete choices */
    double largest;   /* relative difference of a loss */
} value_agreement;

/* Same bits, or on another BLAS core near ones: losses within 1e-4 (relative, and in nats), counts equal. Where
 * all losses are near, a choice may have gone the other way at a tie; those are counted. */
value_agreement values_agree(const task_module *task, const double *then, const double *now, int other_core);
/* A line for each value of other bits. */
void values_print(const task_module *task, const double *then, const double *now, FILE *out);

/* A sample that differs. */
typedef struct values_cause {
    const eval_request *request; /* of one model */
    const task_cell *cell;
    int64_t index;
    const char *blas_core; /* the journal's */
    size_t most;           /* tokens to follow */
    pool *one, *many;
    FILE *out;
} values_cause;

/* Follow the sample with one thread and with many, layer by layer, and print whether and where they part. */
int values_find_cause(const values_cause *c, pal_error *err);

#endif

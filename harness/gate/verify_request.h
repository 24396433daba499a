/* The request of a sample that a journal holds. */
#ifndef PAL_VERIFY_REQUEST_H
#define PAL_VERIFY_REQUEST_H

#include "harness/eval/request.h"

typedef struct verify_source {
    const task_module *task;
    const result_cell *cell;
    int64_t index;         /* of the sample */
    const char *weights;   /* path */
    const char *tokenizer; /* as in an eval; "": the one that the model was trained with */
} verify_source;

/* Open the request from the words that the journal has of the cell. *absent is set where the words are good, but
 * what they name cannot be opened here, such as a corpus. */
int verify_open(const verify_source *from, eval_request *r, int *absent, pal_error *err);
/* The task's cell, if texts, tokenizer and settings are still the journal's. PAL_DATA: one is not. */
int verify_check(const eval_request *r, const verify_source *from, const task_cell **found, pal_error *err);

#endif

/* The evaluation runner: models x cells x samples, from a request to a journal. */
#ifndef PAL_EVAL_H
#define PAL_EVAL_H

#include "harness/request.h"
#include "harness/results.h"

#include <stdio.h>

/* Lanes that fit: the largest number up to `wanted` whose bytes (batch.h) do not exceed the memory available. 0:
 * not even one does. */
size_t eval_lanes_that_fit(const decoder *d, size_t workers, size_t wanted, uint64_t scored);
/* FLOPs of a sample of which the last `scored` tokens are scored and the others only read. */
double eval_sample_flops(const decoder *d, uint64_t tokens, uint64_t scored);
/* PAL_USAGE: one lane of this model needs more memory than there is. */
int eval_no_room(const eval_model *m, const eval_request *r, uint64_t scored, pal_error *err);

/* Run what the request asks for and the journal does not hold yet, appending each sample as it is done. Every cell
 * is printed on `out` when it is complete; progress goes to `log`. Models whose stream is too short for a length
 * are left out there, and that is printed. Then write CSVs, table and plots (report.h). */
int eval_run(const eval_request *r, FILE *out, FILE *log, pal_error *err);

/* <results>/<task>-journal.jsonl */
void eval_journal_path(const eval_options *options, const task_module *task, char *out, size_t size);

#endif

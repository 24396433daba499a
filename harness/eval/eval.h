/* The evaluation runner: models x cells x samples, from a request to a journal. */
#ifndef PAL_EVAL_H
#define PAL_EVAL_H

#include "harness/eval/request.h"
#include "harness/journal/cells.h"

#include <stdio.h>

/* Run what the request asks for and the journal does not hold yet, appending each sample as it is done. Every cell
 * is printed on `out` when it is complete; progress goes to `log`. Models whose stream is too short for a length
 * are left out there, and that is printed. Then write CSVs, table and plots (report.h). */
int eval_run(eval_request *r, FILE *out, FILE *log, pal_error *err);

/* <results>/<task>-journal.jsonl */
void eval_journal_path(const eval_options *options, const task_module *task, char *out, size_t size);

#endif

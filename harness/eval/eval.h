/* The evaluation runner: models x cells x samples, from a request to a journal. */
#ifndef PAL_EVAL_H
#define PAL_EVAL_H

#include "harness/eval/eval_share.h"
#include "harness/eval/request.h"
#include "harness/journal/cells.h"

#include <stdio.h>

/* What happens while it runs, for whoever shows it. */
typedef struct eval_watch {
    /* Before the first sample; `pending` are to be computed. */
    void (*begin)(void *arg, const eval_request *r, size_t pending);
    /* A cell is complete with n samples. The cells of one model at one length come in the request's order. */
    void (*cell)(void *arg, const result_cell *cell, int64_t n);
    /* A model cannot take a cell and its neighbours of one length. */
    void (*skipped)(void *arg, const eval_model *model, const task_cell *cell, const char *why);
    /* A line for people. */
    void (*note)(void *arg, const char *text);
    void *arg;
} eval_watch;

/* Run what the request asks for and the journal does not hold yet, appending each sample as it is done; progress
 * goes to `log`. `share`: NULL, or the part of it that is this process's own. `held`, which the caller has given
 * the journal's path (eval_journal_path): all that the journal holds then. PAL_USAGE: no model can take any of the
 * cells. */
int eval_run(eval_request *r, const eval_watch *watch, FILE *log, eval_share *share, results *held,
             pal_error *err);

/* <results>/<task>-journal.jsonl */
void eval_journal_path(const eval_options *options, const task_module *task, char *out, size_t size);

#endif

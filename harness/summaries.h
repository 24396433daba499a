/* What summaries score that take no model, so that a model's score means something: the first words of a book,
 * some of its sentences, the best of them, and the summary of another book. */
#ifndef PAL_SUMMARIES_H
#define PAL_SUMMARIES_H

#include "harness/journal.h"
#include "harness/request.h"
#include "harness/results.h"

/* Whether the task's samples are books with summaries. */
int summaries_apply(const task_module *task);

/* Journal these rows on the request's cells, as far as the journal does not hold them, like models of no
 * parameters and no state: lead-N       the first N words of what a model reads; N: the mean length of the
 * training split's summaries, or of the cell's own where the training split is not there random-N     random
 * sentences, together at least N words oracle       the sentences that a greedy choice by ROUGE-2 makes, knowing
 * the true summary; of several summaries, for the one that gives the highest overall score copy-first   the
 * training split's first summary copy-mean    of its first 64 the one that is most like the others, by the overall
 * score `complete` (may be NULL) is called for each row of a cell with all its n samples. */
int summaries_run(eval_request *r, results *held, journal *j,
                  void (*complete)(void *arg, const result_cell *cell, int64_t n), void *arg, pal_error *err);

#endif

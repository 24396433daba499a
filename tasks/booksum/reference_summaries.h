/* What summaries score that take no model: the first words of a book, some of its sentences, the best of them, and
 * the summary of another book. */
#ifndef PAL_SUMMARIES_H
#define PAL_SUMMARIES_H

#include "harness/eval/references.h"

/* The rows, models of no parameters and no state:
 *
 *   lead-N      the first N words of what a model reads; N: the mean length of the training split's summaries, or
 *               of the cell's own where the training split is not there
 *   random-N    random sentences, together at least N words
 *   oracle      the sentences that a greedy choice by ROUGE-2 makes, knowing the true summary; of several
 *               summaries, for the one that gives the highest overall score
 *   copy-first  the training split's first summary
 *   copy-mean   of its first 64 the one that is most like the others, by the overall score */
int summaries_run(eval_request *r, results *held, journal *j, references_complete *complete, void *arg,
                  pal_error *err);

#endif

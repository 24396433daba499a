/* What summaries score that take no model: the first words of a book, some of its sentences, the best of them, and
 * the summary of another book. */
#ifndef PAL_SUMMARIES_H
#define PAL_SUMMARIES_H

#include "tasks/task.h"

/* The rows of a cell, models of no parameters and no state:
 *
 *   lead-N      the first N words of what a model reads; N: the mean length of the training split's summaries, or
 *               of the cell's own where the training split is not there
 *   random-N    random sentences, together at least N words
 *   oracle      the sentences that a greedy choice by ROUGE-2 makes, knowing the true summary; of several
 *               summaries, for the one of the first 16 that gives the highest overall score
 *   copy-first  the training split's first summary
 *   copy-mean   of its first 64 the one that is most like the others, by the overall score */
extern const task_references booksum_references;

#endif

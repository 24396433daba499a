/* Rows that take no model, so that a model's score means something: what compressors make of the same texts, what
 * lead words or random sentences score as summaries. They are journaled like models. */
#ifndef PAL_REFERENCES_H
#define PAL_REFERENCES_H

#include "harness/eval/request.h"
#include "harness/journal/cells.h"
#include "harness/journal/journal.h"

/* Called for each cell of a row with all its n samples. */
typedef void references_complete(void *arg, const result_cell *cell, int64_t n);

/* Journal the rows of the request's task on its cells, as far as the journal does not hold them. A task without
 * any has none. `complete` may be NULL. */
int references_run(eval_request *r, results *held, journal *j, references_complete *complete, void *arg,
                   pal_error *err);

#endif

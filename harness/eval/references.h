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

/* ---- The same cell by cell, where several processes share them ---- */

typedef struct references references;

/* *out: NULL where the task has no such rows, and the functions below then do nothing. */
int references_open(references **out, eval_request *r, pal_error *err);
void references_close(references *f);
/* The rows of a cell of the request, described: (*cell)[*count], malloc'ed. */
int references_describe(references *f, size_t index, result_cell **cell, size_t *count, pal_error *err);
/* Whether a sample of a row is done elsewhere. */
typedef int references_known(void *arg, const char *key, int64_t sample);
/* Journal the rows of one cell of the request; `known` may be NULL. */
int references_score(references *f, size_t index, results *held, journal *j, references_known *known,
                     void *known_arg, pal_error *err);

#endif

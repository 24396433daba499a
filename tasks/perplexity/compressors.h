/* General compressors as models of text: their sizes give perplexities a floor to stand on. Each document is
 * compressed alone, its loss spread evenly over its tokens, so that the task's own scores and the journal serve it
 * like a model's. */
#ifndef PAL_COMPRESSORS_H
#define PAL_COMPRESSORS_H

#include "harness/eval/references.h"

/* Journal "xz -9e", "bzip2 -9" and "gzip -9" on the request's cells of whole documents, as far as the journal does
 * not hold them; programs that are not installed are left out. */
int compressors_run(eval_request *r, results *held, journal *j, references_complete *complete, void *arg,
                    pal_error *err);

#endif

/* Labels of tables where model= wants names: "m, memory zeroed" and "m@0136db" mean what they mean in a table. */
#ifndef PAL_MODEL_LABELS_H
#define PAL_MODEL_LABELS_H

#include "harness/eval/request.h"

/* Replace the labels in o->model by names and paths that weights_resolve_for knows, and set o->memory where they
 * name the control. A hash is the start of that of the weights, or of a run in the journal of o->results.
 * PAL_USAGE: nothing has that hash, or some labels name the control and others do not. */
int model_labels(eval_options *o, const task_module *task, pal_error *err);

#endif

/* What a plan says of several machines: how long they take together, and from how many on more do not help. */
#ifndef PAL_NODES_H
#define PAL_NODES_H

#include "harness/eval/plan.h"

typedef struct nodes_options {
    kv_list nodes;
    double network; /* Gbit/s */
} nodes_options;
enum { NODES_OPTIONS = 2 };
extern const kv_spec nodes_rows[NODES_OPTIONS];

/* Nothing for one machine; a line for several; a table for a list. `seconds`: what this machine takes alone. */
int nodes_put(eval_request *r, const nodes_options *o, double seconds, speed_book *speeds, pal_error *err);

#endif

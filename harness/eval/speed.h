/* How fast this machine runs models: measured once, and kept in a file of the user's cache
 * ($XDG_CACHE_HOME/palimpsest/speed, else ~/.cache/palimpsest/speed) under the processor, the BLAS core, the
 * number of threads and the program's version. No result depends on it; only plans do. */
#ifndef PAL_SPEED_H
#define PAL_SPEED_H

#include "harness/eval/request.h"

#include <stdio.h>

typedef struct speed_book speed_book;

/* What is missing is measured when it is asked for; the first time a line on `log` says so (NULL: nobody is told).
 * A cache that cannot be read or written is done without. Call gemm_setup before. */
int speed_open(speed_book **out, pool *threads, FILE *log, pal_error *err);
/* Keep what was measured, and free. */
void speed_close(speed_book *b);
/* Whether anything had to be measured. */
int speed_measured(const speed_book *b);

/* FLOPs per second that a model of this shape reaches with so many lanes when it reads, or reads and scores. Of a
 * model that takes long for a segment only one layer is measured, in one lane. */
int speed_flops(speed_book *b, const eval_model *m, size_t lanes, int scored, double *flops_per_second,
                pal_error *err);
/* FLOPs per second that the model reaches where it looks back further than SPEED_NEAR segments, in texts as this
 * sample's: how many keys a search must look at hangs on the text. As fast as reading where it cannot be told. */
enum { SPEED_NEAR = 4 };
int speed_far(speed_book *b, const eval_request *r, const eval_model *m, const batch_item *item,
              double *flops_per_second, pal_error *err);
/* Seconds that the task takes for a token of the texts of this sample, whoever reads it then. */
int speed_text(speed_book *b, const eval_request *r, const batch_item *item, double *seconds_each, pal_error *err);

/* Whether the model's stream comes back to a state that it had when it reads such samples (models/stream/cycle.h;
 * not looked for where that takes long):
 * tokens it reads before it does, else 0; and the seconds of a token that is passed over from there on. */
typedef struct speed_cycle {
    double tokens, seconds_each;
} speed_cycle;
int speed_round(speed_book *b, const eval_request *r, const eval_model *m, const batch_item *item,
                speed_cycle *out, pal_error *err);

#endif

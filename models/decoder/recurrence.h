/* What a whole stack carries from one segment to the next, above the attention modules' own states: memory tokens
 * that pass through all layers, for instance (Bulatov et al. 2022). Like an attention module it is one const
 * struct of functions; a config has one or none. No key chooses one yet: who builds a config sets
 * model_config.recurrence. */
#ifndef PAL_RECURRENCE_H
#define PAL_RECURRENCE_H

#include "models/attention/attention.h"

enum { RECURRENCE_MAX_PARAMS = 4 };

/* One call on one segment of every lane; R = lanes * N rows. */
typedef struct recurrence_call {
    const model_config *cfg;
    size_t lanes;
    pool *pool;
    const real *const *param; /* in the order of params() */
    real *const *grad;        /* same order; accumulated into (backward only) */
    real *const *state;       /* per lane (forward only) */
    real *const *dstate;      /* per lane, state_reals each (backward only) */
    const uint64_t *seen;     /* per lane: tokens read before this segment */
    const size_t *valid;      /* per lane: tokens of this segment that are real */
    real *saved;              /* saved_reals reals: written by forward, read by backward */
} recurrence_call;

typedef struct recurrence {
    const char *name;
    /* Fill spec[RECURRENCE_MAX_PARAMS]; returns how many. NULL: none. Names stand alone, without a layer. */
    size_t (*params)(const model_config *cfg, param_spec *spec);
    size_t (*state_reals)(const model_config *cfg);               /* of a lane; all of it carries gradients */
    size_t (*saved_reals)(const model_config *cfg, size_t lanes); /* NULL: none */
    void (*state_reset)(const model_config *cfg, real *state);    /* NULL: all zero */
    /* The state enters x[R, d_model], the embeddings, before the first block reads them. */
    void (*enter)(const recurrence_call *c, real *x);
    /* From x[R, d_model], what the last block left, to the state after the segment. */
    void (*leave)(const recurrence_call *c, const real *x);
    /* Backward of leave: dx += through the state after the segment, whose gradient dstate holds; dstate becomes
     * what reaches the state of before by leave alone. */
    void (*leave_backward)(const recurrence_call *c, const real *x, real *dx);
    /* Backward of enter: dx in place, from what enter returned to what it was given; dstate is added to. */
    void (*enter_backward)(const recurrence_call *c, real *dx);
} recurrence;

#endif

/* What a whole stack carries from one segment to the next, above the attention modules' own states: memory tokens
 * that pass through all layers, for instance (Bulatov et al. 2022). Like an attention module it is one const
 * struct of functions; a config has one or none, which its attention module names (attn_module.above).
 *
 * A recurrence may have rows of its own beside the tokens of a segment. A lane then has n = N + rows(cfg) of them:
 * some before its tokens, some right behind the real ones, then what is padding. Attention sees them as it sees
 * tokens. */
#ifndef PAL_ATTENTION_RECURRENCE_H
#define PAL_ATTENTION_RECURRENCE_H

#include "models/attention/attention.h"

enum { RECURRENCE_MAX_PARAMS = 8 };

/* One call on one segment of every lane; R = lanes * n rows, n = N + rows(cfg). */
typedef struct recurrence_call {
    const model_config *cfg;
    size_t lanes, n;
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
    /* Most rows of its own in a lane; how many of them stand before the tokens, and how many right behind them,
     * after `seen` tokens. NULL: none. */
    size_t (*rows)(const model_config *cfg);
    void (*place)(const model_config *cfg, uint64_t seen, size_t *before, size_t *behind);
    /* leave and leave_backward take what the final norm makes of x, not what the last block left. */
    int is_normed;
    /* The state enters x[R, d_model], the embeddings, before the first block reads them. */
    void (*enter)(const recurrence_call *c, real *x);
    /* From x[R, d_model], what the last block left, to the state after the segment. */
    void (*leave)(const recurrence_call *c, const real *x);
    /* Backward of leave: dx += through the state after the segment, whose gradient dstate holds; dstate becomes
     * what reaches the state of before by leave alone. */
    void (*leave_backward)(const recurrence_call *c, const real *x, real *dx);
    /* Backward of enter: dx in place, from what enter returned to what it was given; dstate is added to. */
    void (*enter_backward)(const recurrence_call *c, real *dx);
    /* The same around every block: enter changes what block `layer` reads, leave looks at what it left. NULL: no.
     */
    void (*layer_enter)(const recurrence_call *c, size_t layer, real *x);
    void (*layer_leave)(const recurrence_call *c, size_t layer, const real *x);
    void (*layer_leave_backward)(const recurrence_call *c, size_t layer, real *dx);
    void (*layer_enter_backward)(const recurrence_call *c, size_t layer, real *dx);
} recurrence;

#endif

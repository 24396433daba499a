/* A pass's inside, shared by forward.c (memory, forward) and backward.c alone: what a segment leaves, and loops
 * over blocks of rows. */
#ifndef PAL_PASS_PARTS_H
#define PAL_PASS_PARTS_H

#include "models/decoder/feed_forward.h"
#include "models/decoder/layout.h"
#include "models/decoder/pass.h"
#include "models/engine/gemm.h"
#include "models/engine/kernels.h"
#include "models/engine/norm.h"

#include <math.h>

enum { ROW_BLOCK = 32 };

/* What a layer leaves for backward; R = lanes * N rows. */
typedef struct layer_saved {
    real *input;         /* [R, d_model] */
    real *mean1, *rstd1; /* [R] */
    real *normed1;       /* [R, d_model] what the attention reads */
    real *attention;     /* the module's own */
    real *extra;         /* of the projections (attn_extra) */
    real *middle;        /* [R, d_model] after the attention's residual */
    real *mean2, *rstd2; /* [R] */
    real *normed2;       /* [R, d_model] */
    feed_saved feed;     /* without slots active is up */
} layer_saved;

typedef struct slot {
    layer_saved *layer;
    real *output;       /* [R, d_model] of the last block */
    real *mean, *rstd;  /* [R] */
    real *normed;       /* [R, d_model] what the output weights read */
    uint64_t *seen;     /* [lanes] before the segment */
    size_t *valid;      /* [lanes] */
    real *above;        /* the recurrence's own */
    size_t *rows_valid; /* [lanes] of the rows that layers read: tokens and the recurrence's */
    real *picked;       /* [lanes * N, d_model] normed rows of tokens; NULL: there are no others */
    int scored;         /* whether it was read to the end; else up to the last layer with a state */
} slot;

struct pass {
    const decoder *d;
    pool *pool, *head;        /* head: makes logits and losses */
    const real *panels;       /* of the matrices, where decoder_weights has them; NULL: none */
    size_t lanes, slots, all; /* all = R, rows that layers read */
    size_t tokens;            /* lanes * N */
    size_t end;               /* layers that a segment which is only read goes through */
    arena memory;
    slot *slot;
    real *logits;               /* [R, vocab] */
    real *dx, *dfeed, *dnormed; /* backward: [R, d_model], work of feed_backward, [R, d_model] */
    real *few;                  /* [R, d_model] of the scored rows alone, where the output weights do not learn */
    size_t *few_row;            /* [R] like the arrays below: which rows they are */
    int32_t *few_targets;
    float *few_weight;
    double *few_nll;
    real *dgain; /* partial sums of the norms' gradients (norm.h) */
    real *scratch, *work, *extra_work;
    size_t scratch_stride;
    real *dpicked;          /* backward: of slot.picked */
    real **state, **dstate; /* [lanes] of the layer at work */
};

/* A loop over blocks of rows: the arguments of whichever row function runs. */
typedef struct row_job {
    const pass *p;
    const int32_t *tokens;
    real *y, *sum;
    const real *x, *add;
    size_t cols;
    void (*row)(const struct row_job *, size_t row, size_t block);
} row_job;

void pass_run_rows(const pass *p, row_job *job);
/* y[R, d_model] = the embeddings of tokens[R]. */
void pass_embed(const pass *p, const int32_t *tokens, real *y);

typedef struct loss_job {
    pass *p;
    const int32_t *targets;
    const float *weight; /* NULL: no gradient */
    double *nll;
    int32_t *argmax;
    size_t count;        /* rows */
    size_t tile, strips; /* of pass_score: task i has tiles i, i + strips, ... */
} loss_job;

void pass_run_loss(pass *p, loss_job *job);

/* The pointers of an attn_call. */
typedef struct call_params {
    const real *param[ATTN_MAX_PARAMS], *panels[ATTN_MAX_PARAMS];
    const weight_source *source[ATTN_MAX_PARAMS];
    real *grad[ATTN_MAX_PARAMS];
    row_norm norm;
} call_params;

/* A norm, and a layer's feed-forward, with their tensors. grad NULL: forward. */
row_norm pass_norm(const pass *p, norm_index index, real *grad);
feed_layer pass_feed(const pass *p, const layer_index *at, real *grad);

/* What the recurrence is told, with the lanes' states or their gradients and pointers kept in `of`. */
recurrence_call pass_above(pass *p, const slot *s, call_params *of, void *const *state, real *const *dstate,
                           real *grad);

/* What an attention module is told of a layer, through pointers kept in `of`. grad NULL: forward. */
attn_call pass_call(pass *p, const slot *s, size_t layer, call_params *of, real *grad);

/* A tensor; NULL where there is none, or none in memory. */
static inline const real *weight_of(const pass *p, size_t index)
{
    return index == NO_TENSOR ? NULL : decoder_tensor(p->d, index);
}

/* A tensor's place in a block of gradients; NULL without either, or where it does not learn. */
static inline real *grad_of(const pass *p, size_t index, real *grad)
{
    if (index == NO_TENSOR || !grad || p->d->param[index].grad == PARAM_FROZEN) return NULL;
    return grad + p->d->param[index].grad;
}

static inline matrix matrix_of(const pass *p, size_t index)
{
    if (index == NO_TENSOR) return (matrix){0};
    if (p->d->source && p->d->source[index].read) return (matrix){.source = &p->d->source[index]};
    return (matrix){.w = weight_of(p, index), .panels = p->panels ? p->panels + p->d->param[index].panels : NULL};
}

static inline rows rows_of(const pass *p)
{
    return (rows){p->lanes, (size_t)p->d->inner.segment};
}

/* Of tokens alone. */
static inline rows token_rows_of(const pass *p)
{
    return (rows){p->lanes, (size_t)p->d->cfg.segment};
}

/* Rows of tokens [lanes, N] to their places among all rows [lanes, n], where the others become 0; and back. */
void pass_spread(const pass *p, const slot *s, const real *from, real *to);
void pass_pick(const pass *p, const slot *s, const real *from, real *to);

static inline double embedding_scale(const model_config *cfg)
{
    return cfg->embed_scale == EMBED_SCALE_SQRT_D_MODEL ? sqrt((double)cfg->d_model) : 1.0;
}

static inline const real *head_input(const pass *p, const slot *s)
{
    if (s->picked) return s->picked;
    return p->d->cfg.final_norm ? s->normed : s->output;
}

#endif

/* The attention interface: a module is one const struct of functions in one file, listed in one table (table.c).
 *
 * A module maps x[lanes, N, d_model] and the streaming state after segment s-1 to y[lanes, N, d_model] and the
 * state after segment s. The same forward serves training and inference: it always leaves what backward needs in
 * `saved`, and inference reuses one such area for all layers. State gradients are explicit arguments, so
 * back-propagation through time is one loop (window.c) for every module.
 *
 * Shapes: N = cfg->segment, R = lanes * N rows, H = n_heads, D = n_heads * d_head; of keys and values H_kv and
 * D_kv (attn_shape, common.h). */
#ifndef PAL_ATTENTION_H
#define PAL_ATTENTION_H

#include "models/config/config.h"
#include "models/engine/norm.h"
#include "models/engine/pool.h"
#include "models/engine/real.h"
#include "models/engine/weight_source.h"

enum { ATTN_MAX_PARAMS = 12, ATTN_MAX_PARTS = 4 };

/* A part of a layer's state, for who wants to look at it: `groups` runs of `count` reals, `stride` apart. */
typedef struct state_part {
    const char *name; /* as in the paper */
    size_t first, groups, count, stride;
} state_part;

/* Log-uniform: the logarithm of a uniform number in (0, value), for decay rates. Time step: the inverse softplus
 * of a number in 0.001..value, spread evenly over its logarithm (both as in Mamba 2). Identity:
 * squares on top of each other, 1 on the diagonal of each. */
typedef enum attn_init { INIT_NORMAL, INIT_CONSTANT, INIT_LOG_UNIFORM, INIT_TIME_STEP, INIT_IDENTITY } attn_init;

enum {
    PARAM_NO_DECAY = 1, /* exempt from weight decay */
    PARAM_GATE = 2,     /* learning rate times gate_lr_scale; exempt from decay */
    PARAM_SHARED = 4,   /* one tensor for all layers, named without the layer prefix */
    PARAM_RARE = 8,     /* not every token is multiplied by it: the module's flops count it */
    PARAM_FACTOR = 16   /* of a gate: its numbers are factors themselves, and no logits of them */
};

typedef struct param_spec {
    const char *name;  /* within the layer: "qkv_net.weight" */
    size_t rows, cols; /* a vector has rows = 1; saved as [cols] */
    attn_init init;
    double value; /* standard deviation of INIT_NORMAL (0: the model's init_std), the constant, or the bound */
    unsigned flags;
} param_spec;

/* A regulariser of gates that let tokens write to a memory. */
typedef struct attn_penalty {
    double weight;
    int on_logit; /* 0: the loss grows with a gate's opening; 1: with its logit, as steeply as the opening does
                     half way, so that a gate which is wide open is moved too, and one that is just shut */
    double share; /* one over the step's lanes, segments and layers: the weight of a module's own loss in a call */
} attn_penalty;

/* What the projections of a layer may have beside their matrices; NULL where the config has it not. */
typedef struct attn_extra {
    const real *qkv_bias, *o_bias;                 /* [q, k and v], [d_model] */
    const real *q_gain, *k_gain;                   /* [d_head] of the norm of each head's q and k */
    real *dqkv_bias, *do_bias, *dq_gain, *dk_gain; /* accumulated into (backward only) */
    real *saved, *work;                            /* attn_extra_saved and attn_extra_work reals (common.h) */
} attn_extra;

/* One call of a layer on one segment of every lane. */
typedef struct attn_call {
    const model_config *cfg;
    size_t layer, lanes;
    pool *pool;
    const real *const *param;           /* in the order of params() */
    const real *const *panels;          /* same order: a matrix's, or NULL; NULL: there are none (gemm.h) */
    const weight_source *const *source; /* same order: of a matrix whose param is NULL; NULL: there are none */
    real *const *grad;                  /* same order; accumulated into (backward only); NULL: it does not learn */
    attn_extra extra;
    const real *residual;  /* [R, d_model]: x is norm(residual); NULL like norm: x is not normed */
    const row_norm *norm;  /* a module that caches rows of residual applies it to them again */
    real *const *state;    /* per lane: this layer's state, updated in place (forward only) */
    real *const *dstate;   /* per lane: d loss / d state s on entry, s-1 on return (backward only) */
    const uint64_t *seen;  /* per lane: tokens read before this segment */
    const size_t *valid;   /* per lane: tokens of this segment that are real, 0..N; the rest is padding that must
                              reach neither the state nor earlier positions */
    const real *table;     /* constants from table_fill */
    real *saved;           /* sizes.saved reals: written by forward, read by backward */
    real *scratch;         /* sizes.scratch reals for each worker */
    size_t scratch_stride; /* reals between the workers' scratch */
    real *work;            /* sizes.work reals shared by all tasks of the call; lost between calls */
    int need_output;       /* 0: y will not be read, only the state must advance */
    /* Of a step alone; `kept` is NULL elsewhere. */
    real *kept;           /* sizes.kept reals of the layer, from step to step */
    size_t first, count;  /* rows of the segment, of every lane: first to first + count - 1 */
    attn_penalty penalty; /* a module's own regulariser, its weight per token of this call (backward only) */
} attn_call;

/* Rows of each lane that a step reads at most. */
enum { ATTN_STEP_ROWS = 64 };

/* What a layer needs for `lanes` lanes, reals, and how far back it sees, tokens. */
typedef struct attn_sizes {
    size_t state;        /* streaming state of a lane: the paper's memory formula */
    size_t state_grad;   /* gradient of a lane's state, laid out as the first so many reals of the state */
    size_t saved;        /* left by forward for backward */
    size_t scratch;      /* of each worker */
    size_t work;         /* shared by the tasks of a call, such as gradients of q, k and v */
    size_t table;        /* constants, the same for every layer */
    size_t kept;         /* of steps: what the layer makes of the state, and its rows of the segment so far */
    size_t step;         /* in place of `saved`, of ATTN_STEP_ROWS rows of each lane */
    size_t step_scratch; /* in place of `scratch` */
    int64_t reach;      /* newest tokens that the state depends on, to the bit; ATTN_ENDLESS: all that were read */
    int64_t first;      /* first tokens of the stream that it holds for good beside them */
    int64_t settles;    /* tokens after which the output depends on the state and no more on `seen`; 0: never */
    int64_t max_tokens; /* longest stream that the state can hold; 0: any */
} attn_sizes;

enum { ATTN_ENDLESS = -1 };

typedef struct attn_module {
    const char *name;
    const char *summary;
    /* What all layers keep beyond the segment, as table 1 of the Infini-attention paper counts it: the formula in
     * its letters, and the numbers (not bytes) for a config. NULL: nothing, or all that was read. */
    const char *memory_formula;
    double (*memory_entries)(const model_config *cfg);
    const struct recurrence *above; /* what the stack carries besides (attention/recurrence.h); NULL: nothing */
    const kv_spec *options;         /* rows whose offset is OPTION(i): the module's own config keys */
    size_t option_count;
    /* PAL_USAGE when the config does not fit the module; NULL: every config does. */
    int (*check)(const model_config *cfg, pal_error *err);
    /* Fill spec[ATTN_MAX_PARAMS]; returns how many. */
    size_t (*params)(const model_config *cfg, size_t layer, param_spec *spec);
    /* Fill *out, which is all zero before: what is left so does not exist. NULL: nothing does. */
    void (*sizes)(const model_config *cfg, size_t layer, size_t lanes, attn_sizes *out);
    /* Fill attn_sizes.table reals; NULL without a table. */
    void (*table_fill)(const model_config *cfg, real *table);
    /* Changes with the meaning of the state's numbers: blocks of another version are refused. */
    unsigned state_version;
    /* The state before the first token. `written`: tokens the state has taken since it was last reset, so that a
     * large one need not be cleared where it is clean; UINT64_MAX: it holds anything. NULL: all zero. */
    void (*state_reset)(const model_config *cfg, size_t layer, real *state, uint64_t written);
    /* Fill part[ATTN_MAX_PARTS]; returns how many. NULL: the state is one. */
    size_t (*state_parts)(const model_config *cfg, size_t layer, state_part *part);
    /* Turn the state into that of a stream that was read `times` times over, for training against memories fuller
     * than a step's sequences can make them; NULL: it stays as it is. */
    void (*state_repeat)(const model_config *cfg, size_t layer, real *state, double times);
    /* Turn the state of a stream that has read `seen` tokens into one like that of a stream of `age`, by repeating
     * what it holds, so that an old stream's speed can be measured; NULL: it stays as it is. */
    void (*state_age)(const model_config *cfg, size_t layer, real *state, uint64_t seen, uint64_t age);
    void (*forward)(const attn_call *c, const real *x, real *y);
    /* Rows of a segment that is not yet full, for writing token by token: x[lanes * count, d_model] -> y, the rows
     * `first` to `first + count` - 1 of each lane, after the rows before them. The state is that of before the
     * segment and stays so; the call with first = 0 puts what is needed of it into `kept`. A row's bits hang
     * neither on the rows beside it nor on BLAS. NULL: whoever writes reads whole segments. */
    void (*step)(const attn_call *c, const real *x, real *y);
    /* x and dy [R, d_model] -> dx (written, not accumulated), c->grad, c->dstate. */
    void (*backward)(const attn_call *c, const real *x, const real *dy, real *dx);
    /* Multiply-adds * 2 of one token beyond the projections counted from param shapes, counting only the causal
     * half of attention; `context` tokens have been read. */
    double (*flops)(const model_config *cfg, size_t layer, double context);
} attn_module;

/* All modules, NULL-terminated. */
extern const attn_module *const attn_table[];
/* The row of `name`, whatever its case, or NULL. */
const attn_module *attn_find(const char *name);
/* What the config's module needs in one layer. */
attn_sizes attn_sizes_of(const model_config *cfg, size_t layer, size_t lanes);

#endif

/* AdamW (Loshchilov & Hutter 2019) and Adafactor (Shazeer & Stern 2018), with global-norm clipping. */
#ifndef PAL_OPTIMISER_H
#define PAL_OPTIMISER_H

#include "models/decoder/decoder.h"

typedef enum optimiser_kind { OPTIMISER_ADAMW, OPTIMISER_ADAFACTOR } optimiser_kind;

typedef struct optimiser_config {
    int64_t kind;         /* optimiser_kind */
    double beta1, beta2;  /* adamw */
    double eps;           /* adamw: added to sqrt(v) */
    double weight_decay;  /* decoupled; PARAM_NO_DECAY and PARAM_GATE tensors are exempt */
    double clip;          /* global gradient norm; 0: none */
    double gate_lr_scale; /* PARAM_GATE tensors learn this many times faster */
} optimiser_config;

/* Processes that each update a piece of the weights and keep the moments of that piece alone. */
typedef struct optimiser_peers {
    int part, parts;
    /* data: of all parts, that of part k from at[k] to at[k + 1], bytes; fill in those of the others. 0: it
     * failed. */
    int (*gather)(void *arg, void *data, const size_t *at);
    void *arg;
    size_t *at; /* [parts + 1]: work space */
} optimiser_peers;

typedef struct optimiser {
    optimiser_config cfg;
    int64_t step; /* updates done */
    arena memory;
    real *first;  /* adamw: m, laid out as the gradients; adafactor: NULL */
    real *second; /* adamw: v, laid out as the gradients; adafactor: row then column statistics per tensor */
    size_t first_reals, second_reals;
    struct optimiser_block *block; /* the tensors in fixed pieces */
    size_t blocks;
    double *partial;              /* a sum of squares per piece */
    const optimiser_peers *peers; /* NULL: all pieces are ours */
    size_t own_begin;             /* reals before the first moment that is kept */
} optimiser;

int optimiser_create(optimiser *o, const optimiser_config *cfg, const decoder *d, pal_error *err);
void optimiser_destroy(optimiser *o);
/* Keep of the state the part of `peers` alone; adamw only, adafactor keeps all and updates all. The steps have the
 * same bits. `peers` must outlive the optimiser. */
int optimiser_split(optimiser *o, const decoder *d, const optimiser_peers *peers, pal_error *err);
/* The whole state again, out of all parts: *out is to be destroyed. Every part calls it at the same time. */
int optimiser_join(const optimiser *o, const decoder *d, optimiser *out, pal_error *err);
/* One update from grad (decoder_grad_reals). Tensors that do not learn stay. Returns the gradient norm before
 * clipping. If it is not finite, nothing is changed and the step is not counted. NaN too when the peers' gather
 * failed. */
double optimiser_step(optimiser *o, decoder *d, pool *p, const real *grad, double lr);

/* Linear warm-up, reaching `peak` at step warmup - 1, then a half cosine to `floor` at step `total`. step counts
 * from 0. */
double schedule_lr(int64_t step, int64_t warmup, int64_t total, double peak, double floor);

#endif

/* One segment through the stack and back. Activations live in slots; a training slot keeps every layer's, the
 * inference slot lets all layers share one set. */
#include "models/decoder_layout.h"
#include "models/engine/gemm.h"
#include "models/engine/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_BLOCK = 32 };

/* What a layer leaves for backward; R = lanes * N rows. */
typedef struct layer_saved {
    real *input;           /* [R, d_model] */
    real *mean1, *rstd1;   /* [R] */
    real *normed1;         /* [R, d_model] what the attention reads */
    real *attention;       /* the module's own */
    real *middle;          /* [R, d_model] after the attention's residual */
    real *mean2, *rstd2;   /* [R] */
    real *normed2;         /* [R, d_model] */
    real *hidden, *active; /* [R, d_ff] before and after the activation */
} layer_saved;

typedef struct slot {
    layer_saved *layer;
    real *output;      /* [R, d_model] of the last block */
    real *mean, *rstd; /* [R] */
    real *normed;      /* [R, d_model] what the output weights read */
    uint64_t *seen;    /* [lanes] before the segment */
    size_t *valid;     /* [lanes] */
} slot;

struct pass {
    const decoder *d;
    pool *pool;
    size_t lanes, slots, all; /* all = R */
    arena memory;
    slot *slot;
    real *logits;                 /* [R, vocab] */
    real *dx, *dhidden, *dnormed; /* backward: [R, d_model], [R, d_ff], [R, d_model] */
    real *dgain;                  /* [row blocks, 2, d_model] partial sums of the norms' gradients */
    real *scratch, *work;
    size_t scratch_stride;
    real **state, **dstate; /* [lanes] of the layer at work */
};

static size_t max_over_layers(const decoder *d, size_t (*of)(const model_config *, size_t))
{
    size_t most = 0;
    for (size_t l = 0; l < (size_t)d->cfg.n_layers; l++) {
        const size_t here = of(&d->cfg, l);
        if (here > most) most = here;
    }
    return most;
}

static void carve_layer(pass *p, layer_saved *s, size_t attention)
{
    arena *a = &p->memory;
    const size_t width = p->all * (size_t)p->d->cfg.d_model, ff = p->all * (size_t)p->d->cfg.d_ff;
    s->mean1 = arena_reals(a, p->all);
    s->rstd1 = arena_reals(a, p->all);
    s->normed1 = arena_reals(a, width);
    s->attention = arena_reals(a, attention);
    s->middle = arena_reals(a, width);
    s->mean2 = arena_reals(a, p->all);
    s->rstd2 = arena_reals(a, p->all);
    s->normed2 = arena_reals(a, width);
    s->hidden = arena_reals(a, ff);
    s->active = arena_reals(a, ff);
}

/* Run twice: to measure, then to carve. */
static void carve(pass *p, size_t workers)
{
    const decoder *d = p->d;
    const model_config *cfg = &d->cfg;
    const attn_module *attn = cfg->attention;
    arena *a = &p->memory;
    const size_t layers = (size_t)cfg->n_layers, width = p->all * (size_t)cfg->d_model;
    const int training = p->slots > 0;
    const size_t slots = training ? p->slots : 1;
    size_t attention = 0, work = 0;
    for (size_t l = 0; l < layers; l++) {
        const size_t here = attn->saved_reals(cfg, l, p->lanes), shared = attn->work_reals(cfg, l, p->lanes);
        attention = here > attention ? here : attention;
        work = shared > work ? shared : work;
    }
    slot *slot_array = arena_bytes(a, slots * sizeof *p->slot);
    for (size_t i = 0; i < slots; i++) {
        slot local = {0}, *s = slot_array ? &slot_array[i] : &local;
        s->seen = arena_bytes(a, p->lanes * sizeof *s->seen);
        s->valid = arena_bytes(a, p->lanes * sizeof *s->valid);
        layer_saved *array = arena_bytes(a, layers * sizeof *s->layer);
        real *input = NULL;
        for (size_t l = 0; l < layers; l++) {
            layer_saved here = {0};
            if (training || l == 0) {
                input = arena_reals(a, width);
                carve_layer(p, &here, training ? attn->saved_reals(cfg, l, p->lanes) : attention);
                here.input = input;
            } else if (array) {
                here = array[0];
            }
            if (array) array[l] = here;
        }
        s->layer = array;
        s->output = training ? arena_reals(a, width) : input;
        s->mean = arena_reals(a, p->all);
        s->rstd = arena_reals(a, p->all);
        s->normed = arena_reals(a, width);
    }
    p->slot = slot_array;
    p->logits = arena_reals(a, p->all * (size_t)cfg->vocab);
    p->scratch_stride = (max_over_layers(d, attn->scratch_reals) + 15) / 16 * 16;
    p->scratch = arena_reals(a, p->scratch_stride * workers);
    p->state = arena_bytes(a, p->lanes * sizeof *p->state);
    p->dstate = arena_bytes(a, p->lanes * sizeof *p->dstate);
    if (training) {
        p->work = arena_reals(a, work);
        p->dx = arena_reals(a, width);
        p->dhidden = arena_reals(a, p->all * (size_t)cfg->d_ff);
        p->dnormed = arena_reals(a, width);
        p->dgain = arena_reals(a, (p->all + ROW_BLOCK - 1) / ROW_BLOCK * 2 * (size_t)cfg->d_model);
    }
}

size_t pass_bytes(const decoder *d, size_t workers, size_t lanes, size_t slots)
{
    pass p = {.d = d, .lanes = lanes, .slots = slots, .all = lanes * (size_t)d->cfg.segment};
    carve(&p, workers);
    return p.memory.used;
}

int pass_create(pass **out, const decoder *d, pool *threads, size_t lanes, size_t slots, pal_error *err)
{
    pass *p = calloc(1, sizeof *p);
    if (!p) return pal_fail(err, PAL_INTERNAL, "out of memory for the activations");
    *p = (pass){.d = d, .pool = threads, .lanes = lanes, .slots = slots, .all = lanes * (size_t)d->cfg.segment};
    const size_t workers = (size_t)pool_threads(threads);
    carve(p, workers);
    const int code = arena_allocate(&p->memory, "the activations", err);
    if (code != PAL_OK) {
        free(p);
        return code;
    }
    carve(p, workers);
    *out = p;
    return PAL_OK;
}

void pass_destroy(pass *p)
{
    if (!p) return;
    arena_free(&p->memory);
    free(p);
}

size_t pass_lanes(const pass *p)
{
    return p->lanes;
}

/* ---- row loops ---- */

static const real *weight_of(const pass *p, size_t index)
{
    return p->d->weight + p->d->param[index].offset;
}

static rows rows_of(const pass *p)
{
    return (rows){p->lanes, (size_t)p->d->cfg.segment};
}

/* A loop over blocks of rows: the arguments of whichever row function runs. */
typedef struct row_job {
    const pass *p;
    const int32_t *tokens;
    real *y, *sum, *mean, *rstd, *dgain;
    const real *x, *add, *dy, *gain, *bias;
    size_t cols;
    void (*row)(const struct row_job *, size_t row, size_t block);
} row_job;

static void run_block(void *arg, int task, int worker)
{
    (void)worker;
    const row_job *j = arg;
    const size_t begin = (size_t)task * ROW_BLOCK;
    for (size_t i = begin; i < begin + ROW_BLOCK && i < j->p->all; i++) j->row(j, i, (size_t)task);
}

static void run_rows(const pass *p, row_job *job)
{
    pool_run(p->pool, (int)((p->all + ROW_BLOCK - 1) / ROW_BLOCK), run_block, job);
}

static double embedding_scale(const model_config *cfg)
{
    return cfg->embed_scale ? sqrt((double)cfg->d_model) : 1.0;
}

static void embed_row(const row_job *j, size_t i, size_t block)
{
    (void)block;
    const real scale = (real)embedding_scale(&j->p->d->cfg);
    const real *from = j->x + (size_t)j->tokens[i] * j->cols;
    for (size_t c = 0; c < j->cols; c++) j->y[i * j->cols + c] = scale * from[c];
}

/* sum += add (when there is something to add), then y = norm(sum). */
static void add_norm_row(const row_job *j, size_t i, size_t block)
{
    (void)block;
    const kernels *k = kernels_get();
    if (j->add) k->axpy(j->sum + i * j->cols, 1, j->add + i * j->cols, j->cols);
    k->norm(j->y + i * j->cols, j->sum + i * j->cols, j->gain, j->bias, j->cols, (real)j->p->d->cfg.norm_eps,
            &j->mean[i], &j->rstd[i]);
}

static void add_row(const row_job *j, size_t i, size_t block)
{
    (void)block;
    kernels_get()->axpy(j->sum + i * j->cols, 1, j->add + i * j->cols, j->cols);
}

static void activate_row(const row_job *j, size_t i, size_t block)
{
    (void)block;
    const kernels *k = kernels_get();
    (j->p->d->cfg.activation ? k->relu : k->gelu)(j->y + i * j->cols, j->x + i * j->cols, j->cols);
}

static void activate_backward_row(const row_job *j, size_t i, size_t block)
{
    (void)block;
    const kernels *k = kernels_get();
    real *dx = j->y + i * j->cols;
    (j->p->d->cfg.activation ? k->relu_backward : k->gelu_backward)(dx, dx, j->x + i * j->cols, j->cols);
}

static void norm_backward_row(const row_job *j, size_t i, size_t block)
{
    real *partial = j->dgain + block * 2 * j->cols;
    kernels_get()->norm_backward(j->y + i * j->cols, partial, partial + j->cols, j->dy + i * j->cols,
                                 j->x + i * j->cols, j->gain, j->cols, j->mean[i], j->rstd[i]);
}

static void norm_rows(const pass *p, size_t norm, real *y, real *sum, const real *add, real *mean, real *rstd)
{
    row_job job = {.p = p, .y = y, .sum = sum, .add = add, .mean = mean, .rstd = rstd};
    job.cols = (size_t)p->d->cfg.d_model;
    job.gain = weight_of(p, norm);
    job.bias = weight_of(p, norm + 1);
    job.row = add_norm_row;
    run_rows(p, &job);
}

/* dx += d(norm) and the gradients of gain and bias, whose partial sums are added in the order of the blocks. */
static void norm_rows_backward(const pass *p, size_t norm, real *dx, const real *dy, const real *x, real *mean,
                               real *rstd, real *grad)
{
    const size_t cols = (size_t)p->d->cfg.d_model, blocks = (p->all + ROW_BLOCK - 1) / ROW_BLOCK;
    memset(p->dgain, 0, blocks * 2 * cols * sizeof *p->dgain);
    row_job job = {.p = p, .y = dx, .dy = dy, .x = x, .mean = mean, .rstd = rstd, .dgain = p->dgain, .cols = cols};
    job.gain = weight_of(p, norm);
    job.row = norm_backward_row;
    run_rows(p, &job);
    const kernels *k = kernels_get();
    for (size_t b = 0; b < blocks; b++) {
        k->axpy(grad + p->d->param[norm].offset, 1, p->dgain + b * 2 * cols, cols);
        k->axpy(grad + p->d->param[norm + 1].offset, 1, p->dgain + b * 2 * cols + cols, cols);
    }
}

/* ---- the stack ---- */

static attn_call call_of(pass *p, const slot *s, size_t layer, const real **param, real **grad_of, real *grad)
{
    const decoder *d = p->d;
    const layer_index *at = &d->layer[layer];
    for (size_t i = 0; i < at->attn_count; i++) {
        param[i] = weight_of(p, at->attn[i]);
        grad_of[i] = grad ? grad + d->param[at->attn[i]].offset : NULL;
    }
    return (attn_call){.cfg = &d->cfg,
                       .layer = layer,
                       .lanes = p->lanes,
                       .pool = p->pool,
                       .param = param,
                       .grad = grad_of,
                       .state = p->state,
                       .dstate = p->dstate,
                       .seen = s->seen,
                       .valid = s->valid,
                       .table = d->table,
                       .saved = s->layer[layer].attention,
                       .scratch = p->scratch,
                       .scratch_stride = p->scratch_stride,
                       .work = p->work};
}

static void forward_feed(pass *p, const layer_index *at, layer_saved *s, real *next)
{
    const size_t width = (size_t)p->d->cfg.d_model, ff = (size_t)p->d->cfg.d_ff;
    linear_forward(p->pool, rows_of(p), width, ff, s->normed2, width, weight_of(p, at->ff1),
                   weight_of(p, at->ff1 + 1), s->hidden, ff);
    row_job job = {.p = p, .y = s->active, .x = s->hidden, .cols = ff, .row = activate_row};
    run_rows(p, &job);
    linear_forward(p->pool, rows_of(p), ff, width, s->active, ff, weight_of(p, at->ff2), weight_of(p, at->ff2 + 1),
                   next, width);
}

void pass_forward(pass *p, size_t index, const int32_t *tokens, const size_t *valid, void *const *state,
                  int need_output)
{
    const decoder *d = p->d;
    const size_t layers = (size_t)d->cfg.n_layers, width = (size_t)d->cfg.d_model;
    slot *s = &p->slot[index];
    for (size_t lane = 0; lane < p->lanes; lane++) {
        s->seen[lane] = ((state_header *)state[lane])->seen;
        s->valid[lane] = valid[lane];
    }
    row_job embed = {.p = p,
                     .tokens = tokens,
                     .x = weight_of(p, d->embedding),
                     .y = s->layer[0].input,
                     .cols = width,
                     .row = embed_row};
    run_rows(p, &embed);
    for (size_t l = 0; l < layers; l++) {
        const layer_index *at = &d->layer[l];
        layer_saved *ls = &s->layer[l];
        const int last = l + 1 == layers, output = need_output || !last;
        const real *param[ATTN_MAX_PARAMS];
        real *grad[ATTN_MAX_PARAMS];
        for (size_t lane = 0; lane < p->lanes; lane++)
            p->state[lane] = (real *)((char *)state[lane] + at->state_offset);
        attn_call call = call_of(p, s, l, param, grad, NULL);
        call.need_output = output;
        norm_rows(p, at->norm1, ls->normed1, ls->input, NULL, ls->mean1, ls->rstd1);
        d->cfg.attention->forward(&call, ls->normed1, ls->middle);
        if (!output) break;
        norm_rows(p, at->norm2, ls->normed2, ls->middle, ls->input, ls->mean2, ls->rstd2);
        real *next = last ? s->output : s->layer[l + 1].input;
        forward_feed(p, at, ls, next);
        row_job residual = {.p = p, .sum = next, .add = ls->middle, .cols = width, .row = add_row};
        run_rows(p, &residual);
    }
    for (size_t lane = 0; lane < p->lanes; lane++) ((state_header *)state[lane])->seen += valid[lane];
    if (need_output && d->cfg.final_norm)
        norm_rows(p, d->final_norm, s->normed, s->output, NULL, s->mean, s->rstd);
}

const real *pass_residual(const pass *p, size_t index, size_t layer)
{
    const slot *s = &p->slot[index];
    return layer < (size_t)p->d->cfg.n_layers ? s->layer[layer].input : s->output;
}

static const real *head_input(const pass *p, const slot *s)
{
    return p->d->cfg.final_norm ? s->normed : s->output;
}

real *pass_logits(pass *p, size_t index)
{
    const size_t width = (size_t)p->d->cfg.d_model, vocab = (size_t)p->d->cfg.vocab;
    linear_forward(p->pool, rows_of(p), width, vocab, head_input(p, &p->slot[index]), width,
                   weight_of(p, p->d->output), p->d->cfg.output_bias ? weight_of(p, p->d->output_bias) : NULL,
                   p->logits, vocab);
    return p->logits;
}

typedef struct loss_job {
    pass *p;
    const int32_t *targets;
    const float *weight; /* NULL: no gradient */
    double *nll;
    int32_t *argmax;
} loss_job;

static void loss_block(void *arg, int task, int worker)
{
    (void)worker;
    const loss_job *j = arg;
    const size_t vocab = (size_t)j->p->d->cfg.vocab, begin = (size_t)task * ROW_BLOCK;
    const kernels *k = kernels_get();
    for (size_t i = begin; i < begin + ROW_BLOCK && i < j->p->all; i++) {
        real *row = j->p->logits + i * vocab;
        const real weight = j->weight ? (real)j->weight[i] : 0;
        if (j->argmax) {
            size_t best = 0;
            for (size_t c = 1; c < vocab; c++)
                if (row[c] > row[best]) best = c;
            j->argmax[i] = (int32_t)best;
        }
        const real wanted = row[j->targets[i]];
        const real lse = k->softmax(row, 0, vocab, vocab, 1);
        if (j->nll) j->nll[i] = (double)lse - (double)wanted;
        if (j->weight) {
            k->scale(row, weight, vocab);
            row[j->targets[i]] -= weight;
        }
    }
}

static void run_loss(pass *p, loss_job *job)
{
    pool_run(p->pool, (int)((p->all + ROW_BLOCK - 1) / ROW_BLOCK), loss_block, job);
}

void pass_score(pass *p, const int32_t *targets, double *nll, int32_t *argmax)
{
    loss_job job = {.p = p, .targets = targets, .nll = nll, .argmax = argmax};
    run_loss(p, &job);
}

/* ---- backward ---- */

static void backward_feed(pass *p, const layer_index *at, const layer_saved *s, real *grad)
{
    const decoder *d = p->d;
    const size_t width = (size_t)d->cfg.d_model, ff = (size_t)d->cfg.d_ff;
    const rows r = rows_of(p);
    linear_backward_weight(p->pool, r, ff, width, s->active, ff, p->dx, width, grad + d->param[at->ff2].offset,
                           grad + d->param[at->ff2 + 1].offset);
    linear_backward_input(p->pool, r, ff, width, p->dx, width, weight_of(p, at->ff2), p->dhidden, ff, 0);
    row_job job = {.p = p, .y = p->dhidden, .x = s->hidden, .cols = ff, .row = activate_backward_row};
    run_rows(p, &job);
    linear_backward_weight(p->pool, r, width, ff, s->normed2, width, p->dhidden, ff,
                           grad + d->param[at->ff1].offset, grad + d->param[at->ff1 + 1].offset);
    linear_backward_input(p->pool, r, width, ff, p->dhidden, ff, weight_of(p, at->ff1), p->dnormed, width, 0);
    norm_rows_backward(p, at->norm2, p->dx, p->dnormed, s->middle, s->mean2, s->rstd2, grad);
}

typedef struct embed_job {
    const pass *p;
    const int32_t *tokens;
    real *grad;
    size_t block;
} embed_job;

/* Columns are disjoint between tasks and rows are added in order. */
static void embed_backward_columns(void *arg, int task, int worker)
{
    (void)worker;
    const embed_job *j = arg;
    const size_t width = (size_t)j->p->d->cfg.d_model, begin = (size_t)task * j->block;
    const size_t count = begin + j->block < width ? j->block : width - begin;
    const real scale = (real)embedding_scale(&j->p->d->cfg);
    const kernels *k = kernels_get();
    for (size_t i = 0; i < j->p->all; i++)
        k->axpy(j->grad + (size_t)j->tokens[i] * width + begin, scale, j->p->dx + i * width + begin, count);
}

static void backward_head(pass *p, slot *s, const int32_t *targets, const float *weight, double *nll, real *grad)
{
    const decoder *d = p->d;
    const size_t width = (size_t)d->cfg.d_model, vocab = (size_t)d->cfg.vocab;
    const rows r = rows_of(p);
    pass_logits(p, (size_t)(s - p->slot));
    loss_job job = {.p = p, .targets = targets, .weight = weight, .nll = nll};
    run_loss(p, &job);
    linear_backward_weight(p->pool, r, width, vocab, head_input(p, s), width, p->logits, vocab,
                           grad + d->param[d->output].offset,
                           d->cfg.output_bias ? grad + d->param[d->output_bias].offset : NULL);
    if (!d->cfg.final_norm) {
        linear_backward_input(p->pool, r, width, vocab, p->logits, vocab, weight_of(p, d->output), p->dx, width,
                              0);
        return;
    }
    linear_backward_input(p->pool, r, width, vocab, p->logits, vocab, weight_of(p, d->output), p->dnormed, width,
                          0);
    memset(p->dx, 0, p->all * width * sizeof *p->dx);
    norm_rows_backward(p, d->final_norm, p->dx, p->dnormed, s->output, s->mean, s->rstd, grad);
}

void pass_backward(pass *p, size_t index, const int32_t *tokens, const int32_t *targets, const float *weight,
                   double *nll, real *const *dstate, real *grad, attn_penalty penalty)
{
    const decoder *d = p->d;
    slot *s = &p->slot[index];
    backward_head(p, s, targets, weight, nll, grad);
    for (size_t l = (size_t)d->cfg.n_layers; l-- > 0;) {
        const layer_index *at = &d->layer[l];
        const layer_saved *ls = &s->layer[l];
        backward_feed(p, at, ls, grad);
        const real *param[ATTN_MAX_PARAMS];
        real *grad_of[ATTN_MAX_PARAMS];
        for (size_t lane = 0; lane < p->lanes; lane++) p->dstate[lane] = dstate[lane] + at->dstate_offset;
        attn_call call = call_of(p, s, l, param, grad_of, grad);
        call.penalty = penalty;
        d->cfg.attention->backward(&call, ls->normed1, p->dx, p->dnormed);
        norm_rows_backward(p, at->norm1, p->dx, p->dnormed, ls->input, ls->mean1, ls->rstd1, grad);
    }
    embed_job job = {.p = p, .tokens = tokens, .grad = grad + d->param[d->embedding].offset, .block = 64};
    pool_run(p->pool, (int)(((size_t)d->cfg.d_model + job.block - 1) / job.block), embed_backward_columns, &job);
}

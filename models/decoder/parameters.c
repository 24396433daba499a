/* The tensors of a decoder: names, shapes and places in one block of weights; initial values; sizes of the state;
 * FLOPs; and which token wins where logits tie. */
#include "models/decoder/config_keys.h"
#include "models/decoder/decoder.h"
#include "models/decoder/state.h"

#include "harness/base/hash.h"
#include "harness/base/rng.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/attention/common.h"
#include "models/decoder/feed_forward.h"
#include "models/decoder/layout.h"
#include "models/engine/gemm.h"
#include "models/engine/kernels.h"
#include "models/engine/norm.h"

/* Tensors of a layer beside its attention module's. */
enum { LAYER_MAX_PARAMS = 16 };

/* ---- parameters ---- */

static size_t add_param(decoder *d, const char *name, size_t count_rows, size_t cols, attn_init init, double value,
                        unsigned flags)
{
    decoder_param *p = &d->param[d->param_count];
    snprintf(p->name, sizeof p->name, "%s", name);
    p->rows = count_rows;
    p->cols = cols;
    p->init = init;
    p->value = value;
    p->flags = flags;
    p->offset = p->panels = p->grad = d->weight_reals;
    d->grad_reals = d->weight_reals += decoder_padded(count_rows * cols);
    return d->param_count++;
}

static void add_attention(decoder *d, size_t layer)
{
    layer_index *at = &d->layer[layer];
    param_spec spec[ATTN_MAX_PARAMS];
    at->attn_count = d->cfg.attention->params(&d->cfg, layer, spec);
    for (size_t i = 0; i < at->attn_count; i++) {
        const param_spec *s = &spec[i];
        if ((s->flags & PARAM_SHARED) && layer > 0) {
            at->attn[i] = d->layer[0].attn[i];
            continue;
        }
        char name[96];
        if (s->flags & PARAM_SHARED)
            snprintf(name, sizeof name, "%s", s->name);
        else
            snprintf(name, sizeof name, "layers.%zu.dec_attn.%s", layer, s->name);
        at->attn[i] = add_param(d, name, s->rows, s->cols, s->init, s->value, s->flags);
    }
}

/* What the config gives the attention's projections beside their matrices. */
static size_t add_extra(decoder *d, size_t layer, int there, const char *name, size_t count, double value)
{
    char full[96];
    if (!there) return NO_TENSOR;
    snprintf(full, sizeof full, "layers.%zu.dec_attn.%s", layer, name);
    return add_param(d, full, 1, count, INIT_CONSTANT, value, PARAM_NO_DECAY);
}

static void add_extras(decoder *d, size_t layer)
{
    const model_config *cfg = &d->cfg;
    const attn_shape s = attn_shape_of(cfg);
    const int normed = cfg->qk_norm != QK_NORM_NONE;
    layer_index *at = &d->layer[layer];
    at->qkv_bias = add_extra(d, layer, cfg->attn_bias != ATTN_BIAS_NONE, "qkv_net.bias", s.row, 0);
    at->o_bias = add_extra(d, layer, cfg->attn_bias == ATTN_BIAS_ALL, "o_net.bias", (size_t)cfg->d_model, 0);
    at->q_gain = add_extra(d, layer, normed, "q_norm.weight", s.d_head, 1);
    at->k_gain = add_extra(d, layer, normed, "k_norm.weight", s.d_head, 1);
}

/* A layer's norm; without a layer (layer < 0) the name stands alone. */
static norm_index add_norm(decoder *d, int64_t layer, const char *name)
{
    const size_t width = (size_t)d->cfg.d_model;
    const int has_bias = norm_ops[d->cfg.norm].has_bias;
    char full[96];
    const int used = layer < 0 ? 0 : snprintf(full, sizeof full, "layers.%lld.", (long long)layer);
    snprintf(full + used, sizeof full - (size_t)used, "%s.weight", name);
    const size_t gain = add_param(d, full, 1, width, INIT_CONSTANT, 1, PARAM_NO_DECAY);
    snprintf(full + used, sizeof full - (size_t)used, "%s.bias", name);
    return (norm_index){gain,
                        has_bias ? add_param(d, full, 1, width, INIT_CONSTANT, 0, PARAM_NO_DECAY) : NO_TENSOR};
}

static linear_index add_linear(decoder *d, size_t layer, const char *name, size_t out, size_t in, int has_bias)
{
    char full[96];
    snprintf(full, sizeof full, "layers.%zu.%s.weight", layer, name);
    const size_t weight = add_param(d, full, out, in, INIT_NORMAL, 0, 0);
    snprintf(full, sizeof full, "layers.%zu.%s.bias", layer, name);
    return (linear_index){weight,
                          has_bias ? add_param(d, full, 1, out, INIT_CONSTANT, 0, PARAM_NO_DECAY) : NO_TENSOR};
}

static void add_layer(decoder *d, size_t layer)
{
    const model_config *cfg = &d->cfg;
    const size_t width = (size_t)cfg->d_model, inner = (size_t)cfg->d_ff;
    const int bias = cfg->ff_bias != 0, gated = cfg->feed_forward == FEED_GATED;
    layer_index *at = &d->layer[layer];
    add_attention(d, layer);
    add_extras(d, layer);
    at->norm1 = add_norm(d, (int64_t)layer, "dec_attn.layer_norm");
    at->up = add_linear(d, layer, "pos_ff.CoreNet.0", inner, width, bias);
    at->gate =
        gated ? add_linear(d, layer, "pos_ff.gate", inner, width, bias) : (linear_index){NO_TENSOR, NO_TENSOR};
    at->down = add_linear(d, layer, "pos_ff.CoreNet.3", width, inner, bias);
    at->norm2 = add_norm(d, (int64_t)layer, "pos_ff.layer_norm");
}

static void add_recurrence(decoder *d)
{
    param_spec spec[RECURRENCE_MAX_PARAMS];
    const recurrence *above = d->cfg.recurrence;
    d->recurrence_count = above && above->params ? above->params(&d->cfg, spec) : 0;
    for (size_t i = 0; i < d->recurrence_count; i++)
        d->recurrence[i] =
            add_param(d, spec[i].name, spec[i].rows, spec[i].cols, spec[i].init, spec[i].value, spec[i].flags);
}

static void lay_out(decoder *d)
{
    const model_config *cfg = &d->cfg;
    const size_t width = (size_t)cfg->d_model, vocab = (size_t)cfg->vocab;
    d->embedding = add_param(d, "word_emb.emb_layers.0.weight", vocab, width, INIT_NORMAL, 0, 0);
    for (size_t l = 0; l < (size_t)cfg->n_layers; l++) add_layer(d, l);
    if (cfg->final_norm) d->final_norm = add_norm(d, -1, "final_norm");
    d->output =
        cfg->tied ? d->embedding : add_param(d, "crit.out_layers.0.weight", vocab, width, INIT_NORMAL, 0, 0);
    if (cfg->output_bias)
        d->output_bias = add_param(d, "crit.out_layers.0.bias", 1, vocab, INIT_CONSTANT, 0, PARAM_NO_DECAY);
    add_recurrence(d);
    d->panel_reals = d->weight_reals;
}

/* Room behind what a lane's state and its gradient already hold. */
static void add_state(decoder *d, size_t state, size_t gradient)
{
    d->memory_bytes += state * sizeof(real);
    d->state_bytes += decoder_padded(state) * sizeof(real);
    d->dstate_reals += decoder_padded(gradient);
}

int decoder_describe(decoder **out, const model_config *cfg, pal_error *err)
{
    decoder *d = calloc(1, sizeof *d);
    if (!d) return pal_fail(err, PAL_INTERNAL, "out of memory for the decoder");
    d->cfg = d->inner = *cfg;
    if (cfg->recurrence && cfg->recurrence->rows) d->inner.segment += (int64_t)cfg->recurrence->rows(cfg);
    const size_t layers = (size_t)cfg->n_layers;
    d->layer = calloc(layers, sizeof *d->layer);
    d->param = calloc(layers * (ATTN_MAX_PARAMS + LAYER_MAX_PARAMS) + 8, sizeof *d->param);
    if (!d->layer || !d->param) {
        decoder_destroy(d);
        return pal_fail(err, PAL_INTERNAL, "out of memory for %zu layers", layers);
    }
    lay_out(d);
    char *text = model_config_text(cfg);
    d->shape_hash = hash_fnv(HASH_FNV_BEGIN, text ? text : "", text ? strlen(text) : 0);
    free(text);
    const unsigned char version = (unsigned char)cfg->attention->state_version;
    if (version > 0) d->shape_hash = hash_fnv(d->shape_hash, &version, 1);
    if (cfg->recurrence)
        d->shape_hash = hash_fnv(d->shape_hash, cfg->recurrence->name, strlen(cfg->recurrence->name));

    d->state_bytes = (sizeof(state_header) + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    for (size_t l = 0; l < layers; l++) {
        d->layer[l].state_offset = d->state_bytes;
        d->layer[l].dstate_offset = d->dstate_reals;
        const attn_sizes sizes = attn_sizes_of(&d->inner, l, 1);
        add_state(d, sizes.state, sizes.state_grad);
        if (sizes.state > 0 || cfg->recurrence) d->stateful = l + 1;
        if (sizes.state_grad > 0 || cfg->recurrence) d->graded = l + 1;
    }
    if (cfg->recurrence) {
        const size_t reals = cfg->recurrence->state_reals(cfg);
        d->recurrence_state = d->state_bytes;
        d->recurrence_dstate = d->dstate_reals;
        add_state(d, reals, reals);
    }
    *out = d;
    return PAL_OK;
}

int decoder_allocate(decoder *d, pal_error *err)
{
    const attn_module *attention = d->cfg.attention;
    const size_t table = attn_sizes_of(&d->inner, 0, 1).table;
    arena_reals(&d->memory, d->weight_reals);
    arena_reals(&d->memory, table);
    PAL_TRY(arena_allocate(&d->memory, "the weights", err));
    d->weight = arena_reals(&d->memory, d->weight_reals);
    d->table = arena_reals(&d->memory, table);
    if (attention->table_fill) attention->table_fill(&d->inner, d->table);
    return PAL_OK;
}

int decoder_create(decoder **out, const model_config *cfg, pal_error *err)
{
    decoder *d;
    PAL_TRY(decoder_describe(&d, cfg, err));
    const int code = decoder_allocate(d, err);
    if (code == PAL_OK)
        *out = d;
    else
        decoder_destroy(d);
    return code;
}

void decoder_destroy(decoder *d)
{
    if (!d || d->borrowers > 0) {
        if (d) d->orphaned = 1; /* the last borrower destroys it */
        return;
    }
    arena_free(&d->memory);
    if (d->release) d->release(d->owner);
    if (d->lender && --d->lender->borrowers == 0 && d->lender->orphaned) decoder_destroy(d->lender);
    free(d->lent);
    free(d->source);
    free(d->layer);
    free(d->param);
    free(d);
}

static const double least_step = 1e-3; /* of INIT_TIME_STEP */

void decoder_init_param(decoder *d, size_t index, uint64_t seed)
{
    const decoder_param *p = &d->param[index];
    if (p->offset == PARAM_ELSEWHERE) return;
    real *w = d->weight + p->offset;
    const size_t count = decoder_param_elements(p);
    if (p->init == INIT_CONSTANT) {
        for (size_t j = 0; j < count; j++) w[j] = (real)p->value;
        return;
    }
    if (p->init == INIT_IDENTITY) {
        for (size_t j = 0; j < count; j++) w[j] = j / p->cols % p->cols == j % p->cols;
        return;
    }
    char domain[128];
    snprintf(domain, sizeof domain, "init/%s", p->name);
    rng r = rng_make(seed, domain, 0, 0);
    const double std = p->value > 0 ? p->value : d->cfg.init_std;
    for (size_t j = 0; j < count; j++) {
        if (p->init == INIT_NORMAL) {
            w[j] = (real)(std * rng_normal(&r));
        } else if (p->init == INIT_LOG_UNIFORM) {
            w[j] = (real)log(p->value * (1 - rng_uniform(&r))); /* never of 0 */
        } else {
            const double step = exp(log(least_step) + rng_uniform(&r) * (log(p->value) - log(least_step)));
            w[j] = (real)(step + log(-expm1(-step)));
        }
    }
}

void decoder_init(decoder *d, uint64_t seed)
{
    for (size_t i = 0; i < d->param_count; i++) decoder_init_param(d, i, seed);
}

const model_config *decoder_config(const decoder *d)
{
    return &d->cfg;
}

size_t decoder_param_count(const decoder *d)
{
    return d->param_count;
}

const decoder_param *decoder_param_at(const decoder *d, size_t index)
{
    return &d->param[index];
}

size_t decoder_param_elements(const decoder_param *p)
{
    return p->rows * p->cols;
}

size_t decoder_panel_reals(const decoder *d)
{
    return d->panel_reals;
}

size_t decoder_weight_reals(const decoder *d)
{
    return d->weight_reals;
}

real *decoder_weights(decoder *d)
{
    return d->weight;
}

void decoder_pack(const decoder *d, real *panels)
{
    for (size_t i = 0; i < d->param_count; i++) {
        const decoder_param *p = &d->param[i];
        const real *w = decoder_tensor(d, i);
        if (w && matrix_uses_panels(p->cols, p->rows)) matrix_pack(p->cols, p->rows, w, panels + p->panels);
    }
}

int decoder_uses_panels(const decoder *d)
{
    for (size_t i = 0; i < d->param_count; i++)
        if (d->param[i].rows > 1 && decoder_tensor(d, i) && matrix_uses_panels(d->param[i].cols, d->param[i].rows))
            return 1;
    return 0;
}

void decoder_core(const decoder *d, char *text, size_t size)
{
    int wide = 0;
    for (size_t i = 0; i < d->param_count; i++) wide |= gemm_is_wide(d->param[i].cols, d->param[i].rows);
    snprintf(text, size, "%s%s%s%s", gemm_core(), wide ? "+" : "", wide ? gemm_wide_name() : "",
             d->rounded ? ", bf16 weights" : "");
}

size_t decoder_parameters(const decoder *d)
{
    size_t total = 0;
    for (size_t i = 0; i < d->param_count; i++) total += decoder_param_elements(&d->param[i]);
    return total;
}

/* SOURCE_STEP output weights of a token from `from` on, or what is left; in `room` where they must be read. */
static size_t piece_length(const decoder *d, size_t from)
{
    const size_t left = (size_t)d->cfg.d_model - from;
    return left < SOURCE_STEP ? left : SOURCE_STEP;
}

static const real *output_piece(const decoder *d, size_t token, size_t from, real *room)
{
    const decoder_param *p = &d->param[d->output];
    const real *w = decoder_tensor(d, d->output);
    if (w) return w + token * p->cols + from;
    d->source[d->output].read(d->source[d->output].arg, token, 1, from, piece_length(d, from), room);
    return room;
}

static int same_weights(const decoder *d, size_t a, size_t b)
{
    real room[2][SOURCE_STEP];
    for (size_t from = 0; from < (size_t)d->cfg.d_model; from += SOURCE_STEP)
        if (memcmp(output_piece(d, a, from, room[0]), output_piece(d, b, from, room[1]),
                   piece_length(d, from) * sizeof(real)) != 0)
            return 0;
    return 1;
}

static double output_square(const decoder *d, size_t token)
{
    real room[SOURCE_STEP];
    double total = 0;
    for (size_t from = 0; from < (size_t)d->cfg.d_model; from += SOURCE_STEP) {
        const real *w = output_piece(d, token, from, room);
        total += (double)kernels_get()->dot(w, w, piece_length(d, from));
    }
    return total;
}

static int same_output(const decoder *d, size_t a, size_t b)
{
    const real *bias = d->cfg.output_bias ? decoder_tensor(d, d->output_bias) : NULL;
    return (!bias || bias[a] == bias[b]) && same_weights(d, a, b);
}

/* How far two computed logits of equal weights may lie apart: see knn.c on the bound. */
static double logit_margin(const decoder *d, const real *x, size_t token, double logit)
{
    const size_t width = (size_t)d->cfg.d_model;
    const double epsilon = sizeof(real) == sizeof(double) ? DBL_EPSILON : (double)FLT_EPSILON;
    const double product = (double)kernels_get()->dot(x, x, width) * output_square(d, token);
    const double bias = d->cfg.output_bias ? fabs((double)decoder_tensor(d, d->output_bias)[token]) : 0;
    return 1.1 * epsilon * ((double)(width + 3) * (sqrt(product) + bias) + 2 * fabs(logit)) + FLT_MIN;
}

int32_t decoder_choice(const decoder *d, const real *logits, const real *x)
{
    const kernels *k = kernels_get();
    const size_t winner = k->argmax(logits, (size_t)d->cfg.vocab);
    const double most = (double)logits[winner];
    const real bar = x ? (real)(most - logit_margin(d, x, winner, most)) : -INFINITY;
    for (size_t i = 0; (i += k->first_above(logits + i, bar, winner - i)) < winner; i++)
        if (same_output(d, i, winner)) return (int32_t)i;
    return (int32_t)winner;
}

double decoder_layer_flops(const decoder *d, size_t layer, double context)
{
    const double d_model = (double)d->cfg.d_model;
    if (layer == (size_t)d->cfg.n_layers) return 2 * (double)d->cfg.vocab * d_model;
    const double feed = 2 * (double)feed_matrices((feed_kind)d->cfg.feed_forward) * d_model * (double)d->cfg.d_ff;
    double total = feed + d->cfg.attention->flops(&d->inner, layer, context);
    for (size_t i = 0; i < d->layer[layer].attn_count; i++) {
        const decoder_param *p = &d->param[d->layer[layer].attn[i]];
        if (p->rows > 1 && !(p->flags & (PARAM_SHARED | PARAM_RARE)))
            total += 2 * (double)decoder_param_elements(p);
    }
    return total * (double)d->inner.segment / (double)d->cfg.segment; /* rows of the recurrence are read too */
}

double decoder_flops(const decoder *d, double context, int scored)
{
    const size_t layers = (size_t)d->cfg.n_layers;
    const size_t whole = scored ? layers + 1 : d->stateful > 0 ? d->stateful - 1 : 0;
    double total = 0;
    for (size_t l = 0; l < whole; l++) total += decoder_layer_flops(d, l, context);
    if (scored || d->stateful == 0) return total;
    return total + 4 * (double)attn_shape_of(&d->cfg).kv * (double)d->cfg.d_model; /* k and v */
}

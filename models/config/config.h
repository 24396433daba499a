/* A model's configuration: everything that shapes parameters and numerics. */
#ifndef PAL_CONFIG_H
#define PAL_CONFIG_H

#include "harness/base/keyval.h"

#include <math.h>

enum { MODEL_OPTIONS = 20 };

/* Token embeddings are multiplied by 1 or by sqrt(d_model). */
typedef enum embed_scale_kind { EMBED_SCALE_NONE, EMBED_SCALE_SQRT_D_MODEL } embed_scale_kind;
/* Which of a layer's projections have a bias: none, that to q, k and v, or the output's too. */
typedef enum attn_bias_kind { ATTN_BIAS_NONE, ATTN_BIAS_QKV, ATTN_BIAS_ALL } attn_bias_kind;
/* Whether q and k are normed, each head by itself, before positions and memories see them. */
typedef enum qk_norm_kind { QK_NORM_NONE, QK_NORM_RMS } qk_norm_kind;
/* Scores are divided by sqrt(d_head), or by sqrt(d_model) as Infini-attention's equation 6 prints. */
typedef enum attn_scale_kind { ATTN_SCALE_HEAD, ATTN_SCALE_MODEL } attn_scale_kind;

struct attn_module;
struct recurrence;

typedef struct model_config {
    char attention_name[KV_TEXT_MAX];
    const struct attn_module *attention;
    const struct recurrence *recurrence; /* recurrence.h; NULL: none */
    int64_t vocab, d_model, n_layers, n_heads, d_head, d_ff, segment;
    int64_t activation;    /* activation_kind */
    int64_t embed_scale;   /* embed_scale_kind */
    int64_t final_norm;    /* yes or no */
    int64_t tied;          /* yes or no: output weights are the embedding's */
    int64_t output_bias;   /* yes or no */
    int64_t attn_scale;    /* attn_scale_kind */
    int64_t norm;          /* norm_kind */
    int64_t feed_forward;  /* feed_kind */
    int64_t ff_bias;       /* yes or no: of the feed-forward's matrices */
    int64_t n_kv_heads;    /* key and value heads; 0: n_heads. attn_shape_of (attention/common.h) resolves it */
    int64_t attn_bias;     /* attn_bias_kind */
    int64_t qk_norm;       /* qk_norm_kind */
    int64_t rope_layout;   /* rope_layout */
    int64_t rope_scaling;  /* rope_scaling */
    int64_t rope_original; /* tokens that the unscaled frequencies were trained on */
    int64_t rope_truncate; /* yes or no: yarn's borders between pairs are whole */
    int64_t rope_angles;   /* rope_angles */
    double rope_factor, rope_low, rope_high, rope_fast, rope_slow, rope_attention;
    double init_std, norm_eps;
    /* The attention module's own keys, in the order of its table. */
    union model_option {
        int64_t i;
        double r;
    } option[MODEL_OPTIONS];
} model_config;

/* The offset of a module's option row. */
#define OPTION(index) (offsetof(model_config, option) + (index) * sizeof(union model_option))

/* 1/sqrt(d_head) or 1/sqrt(d_model). */
static inline double model_attention_scale(const model_config *cfg)
{
    return 1.0 / sqrt((double)(cfg->attn_scale == ATTN_SCALE_MODEL ? cfg->d_model : cfg->d_head));
}

#endif

/* The keys of a model: their table, reading them with the attention module's own, and the text that hashes cover.
 * A key added later stays out of the text at its default, so that old models keep their hashes. */
#include "models/decoder/config_keys.h"

#include "models/attention/attention.h"
#include "models/decoder/feed_forward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIELD(name) offsetof(model_config, name)

/* The upper bounds only keep products of sizes far from overflow. */
static const kv_spec shared_rows[] = {
    {"attention", KV_TEXT, FIELD(attention_name), "", 0, 0, NULL, "attention module (required)"},
    {"vocab", KV_INT, FIELD(vocab), "256", 2, 1 << 24, NULL, "tokens in the vocabulary"},
    {"d_model", KV_INT, FIELD(d_model), "128", 1, 65536, NULL, "width of the residual stream"},
    {"n_layers", KV_INT, FIELD(n_layers), "2", 1, 1024, NULL, "blocks of attention and feed-forward"},
    {"n_heads", KV_INT, FIELD(n_heads), "4", 1, 1024, NULL, "attention heads of a layer"},
    {"d_head", KV_INT, FIELD(d_head), "32", 2, 4096, NULL, "width of a head (even)"},
    {"d_ff", KV_INT, FIELD(d_ff), "512", 1, 1 << 20, NULL, "width of the feed-forward layer"},
    {"segment", KV_SIZE, FIELD(segment), "128", 16, 1 << 20, NULL, "tokens of a segment (a multiple of 16)"},
    {"activation", KV_CHOICE, FIELD(activation), "gelu", 0, 0, ACTIVATION_NAMES,
     "feed-forward activation; gelu is the tanh form"},
    {"embed_scale", KV_CHOICE, FIELD(embed_scale), "none", 0, 0, "none|sqrt_d_model",
     "factor on token embeddings (Transformer-XL uses sqrt_d_model)"},
    {"final_norm", KV_CHOICE, FIELD(final_norm), "1", 0, 0, "0|1", "a norm before the output weights"},
    {"tied", KV_CHOICE, FIELD(tied), "1", 0, 0, "0|1", "output weights are the embedding's"},
    {"output_bias", KV_CHOICE, FIELD(output_bias), "0", 0, 0, "0|1", "a bias on the logits"},
    {"attn_scale", KV_CHOICE, FIELD(attn_scale), "head", 0, 0, "head|model",
     "scores are divided by sqrt(d_head), or by sqrt(d_model) as Infini-attention's equation 6 prints"},
    {"init_std", KV_REAL, FIELD(init_std), "0.02", 0, 10, NULL, "standard deviation of initial weights"},
    {"norm_eps", KV_REAL, FIELD(norm_eps), "1e-5", 1e-12, 0.1, NULL,
     "norm: added to the variance, or to the mean square, under the root"},
    {"norm", KV_CHOICE, FIELD(norm), "layer", 0, 0, NORM_NAMES, "layer: with mean and bias; rms: neither"},
    {"feed_forward", KV_CHOICE, FIELD(feed_forward), "plain", 0, 0, FEED_NAMES,
     "plain: W2 act(W1 x); gated: W2 (act(Wg x) * W1 x), which with silu is SwiGLU"},
    {"n_kv_heads", KV_INT, FIELD(n_kv_heads), "0", 0, 1024, NULL,
     "key and value heads, each shared by n_heads / n_kv_heads query heads; 0: n_heads"},
    {"attn_bias", KV_CHOICE, FIELD(attn_bias), "none", 0, 0, "none|qkv|all",
     "biases of the attention's projections: none, of that to q, k and v, or of the output's too"},
    {"qk_norm", KV_CHOICE, FIELD(qk_norm), "none", 0, 0, "none|rms", "rms: each head's q and k are RMS-normed"},
    {"rope_layout", KV_CHOICE, FIELD(rope_layout), "half", 0, 0, "half|interleaved",
     "pairs that rotary positions turn: half = (i, i + d_head / 2); interleaved = (2i, 2i + 1)"},
    {"rope_scaling", KV_CHOICE, FIELD(rope_scaling), "none", 0, 0, "none|linear|llama3|yarn",
     "of rotary frequencies: linear = all divided by rope_factor; llama3, yarn = the slow ones alone"},
    {"rope_factor", KV_REAL, FIELD(rope_factor), "1", 1, 1e6, NULL,
     "what scaled rotary frequencies are divided by"},
    {"rope_low", KV_REAL, FIELD(rope_low), "1", 1e-3, 1e3, NULL,
     "llama3: waves longer than rope_original / rope_low are slow"},
    {"rope_high", KV_REAL, FIELD(rope_high), "4", 1e-3, 1e3, NULL,
     "llama3: waves shorter than rope_original / rope_high stay; more than rope_low"},
    {"rope_original", KV_SIZE, FIELD(rope_original), "8K", 1, 1 << 30, NULL,
     "llama3, yarn: tokens that the model was first trained on"},
    {"rope_fast", KV_REAL, FIELD(rope_fast), "32", 1e-3, 1e6, NULL,
     "yarn: pairs that turn more often in rope_original tokens keep their frequency"},
    {"rope_slow", KV_REAL, FIELD(rope_slow), "1", 1e-3, 1e6, NULL,
     "yarn: pairs that turn less often are divided by rope_factor; less than rope_fast"},
    {"rope_attention", KV_REAL, FIELD(rope_attention), "0", 0, 1e3, NULL,
     "yarn: rotated q and k are multiplied by it; 0: 0.1 ln(rope_factor) + 1"},
    {"rope_truncate", KV_CHOICE, FIELD(rope_truncate), "1", 0, 0, "0|1", "yarn: whole pairs as borders"},
    {"rope_angles", KV_CHOICE, FIELD(rope_angles), "exact", 0, 0, "exact|single",
     "single: frequencies and angles are rounded to 32 bits, as the programs do that most models were made with"},
    {"ff_bias", KV_CHOICE, FIELD(ff_bias), "1", 0, 0, "0|1", "biases of the feed-forward's matrices"},
};

enum { SHARED_ROWS = sizeof shared_rows / sizeof shared_rows[0] };

const kv_spec *model_config_table(size_t *count)
{
    *count = SHARED_ROWS;
    return shared_rows;
}

int model_config_knows(const struct attn_module *attention, const char *key)
{
    if (kv_find(shared_rows, SHARED_ROWS, key)) return 1;
    return attention && kv_find(attention->options, attention->option_count, key) != NULL;
}

static int find_attention(model_config *cfg, const kv_pairs *pairs, pal_error *err)
{
    PAL_TRY(kv_apply(shared_rows, 1, cfg, pairs, err));
    cfg->attention = attn_find(cfg->attention_name);
    if (cfg->attention) {
        memset(cfg->attention_name, 0, sizeof cfg->attention_name);
        memcpy(cfg->attention_name, cfg->attention->name, strlen(cfg->attention->name)); /* one spelling */
        return PAL_OK;
    }
    char names[400] = "";
    size_t used = 0;
    for (const attn_module *const *row = attn_table; *row && used < sizeof names; row++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", (*row)->name);
    return pal_fail(err, PAL_USAGE, "attention=%s: %s; choose one of %s", cfg->attention_name,
                    cfg->attention_name[0] ? "unknown" : "not given", names);
}

int model_config_read(model_config *cfg, const kv_pairs *pairs, pal_error *err)
{
    memset(cfg, 0, sizeof *cfg);
    PAL_TRY(kv_defaults(shared_rows, SHARED_ROWS, cfg, err));
    PAL_TRY(find_attention(cfg, pairs, err));
    PAL_TRY(kv_apply(shared_rows + 1, SHARED_ROWS - 1, cfg, pairs, err));
    const attn_module *module = cfg->attention;
    cfg->recurrence = module->above;
    if (module->option_count > MODEL_OPTIONS)
        return pal_fail(err, PAL_INTERNAL, "attention %s has more than %d options", module->name, MODEL_OPTIONS);
    PAL_TRY(kv_defaults(module->options, module->option_count, cfg, err));
    PAL_TRY(kv_apply(module->options, module->option_count, cfg, pairs, err));
    if (cfg->segment % 16 != 0)
        return pal_fail(err, PAL_USAGE, "segment=%lld: not a multiple of 16; use %lld", (long long)cfg->segment,
                        (long long)(cfg->segment / 16 + 1) * 16);
    if (cfg->d_head % 2 != 0)
        return pal_fail(err, PAL_USAGE, "d_head=%lld: odd; positions rotate pairs of dimensions, use %lld",
                        (long long)cfg->d_head, (long long)cfg->d_head + 1);
    if (cfg->n_kv_heads > 0 && cfg->n_heads % cfg->n_kv_heads != 0)
        return pal_fail(err, PAL_USAGE, "n_kv_heads=%lld does not divide n_heads=%lld", (long long)cfg->n_kv_heads,
                        (long long)cfg->n_heads);
    if (cfg->rope_high <= cfg->rope_low)
        return pal_fail(err, PAL_USAGE, "rope_high=%g is not more than rope_low=%g", cfg->rope_high,
                        cfg->rope_low);
    if (cfg->rope_slow >= cfg->rope_fast)
        return pal_fail(err, PAL_USAGE, "rope_slow=%g is not less than rope_fast=%g", cfg->rope_slow,
                        cfg->rope_fast);
    return module->check ? module->check(cfg, err) : PAL_OK;
}

/* Keys that are younger than models which have been trained. Left out of the text where they have their default,
 * they change no hash of a model without them. */
static const char *const young_keys[] = {
    "knn_mix",      "memory_empty",  "norm",          "feed_forward", "ff_bias",        "n_kv_heads",
    "attn_bias",    "qk_norm",       "rope_layout",   "rope_scaling", "rope_factor",    "rope_low",
    "rope_high",    "rope_original", "rope_fast",     "rope_slow",    "rope_attention", "rope_truncate",
    "rope_angles",  "memory_layers", "memory_mix",    "memory_map",   "local_sinks",    "write_from",
    "write_offset", "read_gate",     "read_gate_init"};

int model_key_is_young(const char *key)
{
    for (size_t i = 0; i < sizeof young_keys / sizeof young_keys[0]; i++)
        if (strcmp(key, young_keys[i]) == 0) return 1;
    return 0;
}

/* Append the rows as lines at `at`, which has room; returns the new end. */
static char *put_rows(char *at, const kv_spec *table, size_t count, const model_config *cfg)
{
    for (size_t i = 0; i < count; i++) {
        char value[KV_OUT_MAX];
        kv_get(&table[i], cfg, value, sizeof value);
        if (model_key_is_young(table[i].key) && strcmp(value, table[i].fallback) == 0) continue;
        at += sprintf(at, "%s = %s\n", table[i].key, value);
    }
    return at;
}

char *model_config_text(const model_config *cfg)
{
    const size_t keys = SHARED_ROWS + cfg->attention->option_count;
    const size_t row_max = sizeof((kv_pair *)0)->key + KV_OUT_MAX + sizeof " = \n";
    char *text = malloc(keys * row_max + 1);
    if (!text) return NULL;
    char *end = put_rows(text, shared_rows, SHARED_ROWS, cfg);
    put_rows(end, cfg->attention->options, cfg->attention->option_count, cfg);
    return text;
}

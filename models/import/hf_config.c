/* config.json of a HuggingFace folder: a family's keys, in the spellings of all versions of `transformers`.
 * What would change the numbers and cannot be followed is refused by its key, never passed over. */
#include "models/import/foreign.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

/* What is read: one object of the file, whose keys are named in messages. */
typedef struct reading {
    const char *path;
    const json_t *root;
    pal_error *err;
} reading;

/* A key that is null counts as missing. */
static const json_t *value_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static int wrong(const reading *r, const char *key, const char *what)
{
    return pal_fail(r->err, PAL_DATA, "%s: \"%s\" %s", r->path, key, what);
}

/* A missing key leaves *out; `must`: it may not be missing. */
static int read_whole(const reading *r, const char *key, int must, int64_t *out)
{
    const json_t *value = value_of(r->root, key);
    if (!value) return must ? wrong(r, key, "is missing; fetch the model's config.json again") : PAL_OK;
    if (!json_is_integer(value)) return wrong(r, key, "is no whole number");
    *out = json_integer_value(value);
    return PAL_OK;
}

static int read_real(const reading *r, const json_t *object, const char *key, int must, double *out)
{
    const json_t *value = value_of(object, key);
    if (!value) return must ? wrong(r, key, "is missing; fetch the model's config.json again") : PAL_OK;
    if (!json_is_number(value)) return wrong(r, key, "is no number");
    *out = json_number_value(value);
    return PAL_OK;
}

static int read_flag(const reading *r, const json_t *object, const char *key, int *out)
{
    const json_t *value = value_of(object, key);
    if (!value) return PAL_OK;
    if (!json_is_boolean(value)) return wrong(r, key, "is neither true nor false");
    *out = json_is_true(value);
    return PAL_OK;
}

/* ---- Rotary positions ---- */

static int read_original(const reading *r, const json_t *rope, int64_t *out)
{
    static const char key[] = "original_max_position_embeddings";
    const json_t *value = value_of(r->root, key);
    if (!value) value = value_of(rope, key);
    if (!value) return PAL_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > 1 << 30)
        return wrong(r, key, "is no number of tokens");
    *out = json_integer_value(value);
    return PAL_OK;
}

static int read_llama3(const reading *r, const json_t *rope, foreign_shape *s)
{
    s->scaling = "llama3";
    PAL_TRY(read_real(r, rope, "low_freq_factor", 1, &s->rope_low));
    PAL_TRY(read_real(r, rope, "high_freq_factor", 1, &s->rope_high));
    s->rope_original = s->context;
    return read_original(r, rope, &s->rope_original);
}

static double yarn_length(double factor, double scale)
{
    return factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1;
}

static int read_yarn(const reading *r, const json_t *rope, foreign_shape *s)
{
    double over = 0, under = 0;
    s->scaling = "yarn";
    s->rope_original = s->context;
    PAL_TRY(read_original(r, rope, &s->rope_original));
    if (s->rope_factor == 0) s->rope_factor = (double)s->context / (double)s->rope_original;
    PAL_TRY(read_real(r, rope, "beta_fast", 0, &s->rope_fast));
    PAL_TRY(read_real(r, rope, "beta_slow", 0, &s->rope_slow));
    PAL_TRY(read_flag(r, rope, "truncate", &s->rope_truncate));
    PAL_TRY(read_real(r, rope, "attention_factor", 0, &s->rope_attention));
    PAL_TRY(read_real(r, rope, "mscale", 0, &over));
    PAL_TRY(read_real(r, rope, "mscale_all_dim", 0, &under));
    if (s->rope_attention == 0 && over != 0 && under != 0)
        s->rope_attention = yarn_length(s->rope_factor, over) / yarn_length(s->rope_factor, under);
    return PAL_OK;
}

static int read_scaling(const reading *r, const json_t *rope, foreign_shape *s)
{
    const json_t *type = value_of(rope, "rope_type");
    if (!type) type = value_of(rope, "type");
    const char *name = type ? json_string_value(type) : "default";
    double part = 1;
    PAL_TRY(read_real(r, rope, "partial_rotary_factor", 0, &part));
    if (part != 1) return wrong(r, "partial_rotary_factor", "is not 1: heads that rotate in part cannot be read");
    if (!name) return wrong(r, "rope_type", "is no text");
    if (strcmp(name, "default") == 0) return PAL_OK;
    const int is_yarn = strcmp(name, "yarn") == 0;
    if (is_yarn) s->rope_factor = 0; /* not given: the ratio of the contexts */
    PAL_TRY(read_real(r, rope, "factor", !is_yarn, &s->rope_factor));
    if (is_yarn) return read_yarn(r, rope, s);
    if (strcmp(name, "linear") == 0) {
        s->scaling = "linear";
        return PAL_OK;
    }
    if (strcmp(name, "llama3") == 0) return read_llama3(r, rope, s);
    return pal_fail(r->err, PAL_DATA,
                    "%s: rotary scaling \"%.40s\" cannot be read; default, linear, llama3 and yarn can", r->path,
                    name);
}

/* rope_theta and rope_scaling of older files, rope_parameters of newer ones. */
static int read_rope(const reading *r, foreign_shape *s)
{
    static const char older[] = "rope_scaling", newer[] = "rope_parameters";
    const char *key = value_of(r->root, newer) ? newer : older;
    const json_t *rope = value_of(r->root, key);
    double part = 1;
    PAL_TRY(read_real(r, r->root, "rope_theta", 0, &s->rope_base));
    PAL_TRY(read_real(r, r->root, "partial_rotary_factor", 0, &part));
    if (part != 1) return wrong(r, "partial_rotary_factor", "is not 1: heads that rotate in part cannot be read");
    if (!rope) return PAL_OK;
    if (!json_is_object(rope)) return wrong(r, key, "is no object");
    const char *inner;
    json_t *value;
    json_object_foreach((json_t *)rope, inner, value)
    {
        if (json_is_object(value)) return wrong(r, key, "differs between layers, which cannot be read");
    }
    PAL_TRY(read_real(r, rope, "rope_theta", 0, &s->rope_base));
    return read_scaling(r, rope, s);
}

/* ---- The rest ---- */

/* Their names of activations, and ours. */
static const char *const activations[][2] = {
    {"silu", "silu"}, {"swish", "silu"}, {"gelu_pytorch_tanh", "gelu"}, {"gelu_new", "gelu"}, {"relu", "relu"}};

static int read_activation(const reading *r, foreign_shape *s)
{
    const json_t *value = value_of(r->root, "hidden_act");
    const char *name = value ? json_string_value(value) : "silu";
    for (size_t i = 0; name && i < sizeof activations / sizeof activations[0]; i++)
        if (strcmp(activations[i][0], name) == 0) {
            s->activation = activations[i][1];
            return PAL_OK;
        }
    return wrong(r, "hidden_act", "is an activation that is not here; silu, gelu_pytorch_tanh and relu are");
}

static int read_biases(const reading *r, foreign_shape *s)
{
    int attention = 0, mlp = 0;
    PAL_TRY(read_flag(r, r->root, "attention_bias", &attention));
    PAL_TRY(read_flag(r, r->root, "mlp_bias", &mlp));
    if (attention && s->family->bias == BIAS_BY_KEY) s->attn_bias = ATTN_BIAS_ALL;
    s->ff_bias = mlp && s->family->mlp_bias;
    return PAL_OK;
}

static int read_window(const reading *r, foreign_shape *s)
{
    int used = s->family->window == WINDOW_BY_SIZE;
    if (s->family->window == WINDOW_NEVER) return PAL_OK;
    if (s->family->window == WINDOW_BY_FLAG) PAL_TRY(read_flag(r, r->root, "use_sliding_window", &used));
    /* Without the key a window of this size is meant; null means none. */
    if (s->family->window == WINDOW_BY_SIZE && !json_object_get(r->root, "sliding_window")) s->window = 4096;
    PAL_TRY(read_whole(r, "sliding_window", 0, &s->window));
    if (!used) s->window = 0;
    if (s->window > 0 && s->family->window == WINDOW_BY_FLAG)
        return wrong(r, "use_sliding_window", "is true: a window in some layers alone cannot be read");
    const json_t *layers = value_of(r->root, "layer_types"), *kind;
    size_t i;
    json_array_foreach((json_t *)layers, i, kind)
    {
        const char *name = json_string_value(kind);
        const int is_full = name && strcmp(name, "full_attention") == 0;
        if (is_full == (s->window > 0)) return wrong(r, "layer_types", "mixes attentions, which cannot be read");
    }
    return PAL_OK;
}

static int read_sizes(const reading *r, foreign_shape *s)
{
    PAL_TRY(read_whole(r, "vocab_size", 1, &s->vocab));
    PAL_TRY(read_whole(r, "hidden_size", 1, &s->width));
    PAL_TRY(read_whole(r, "num_hidden_layers", 1, &s->layers));
    PAL_TRY(read_whole(r, "num_attention_heads", 1, &s->heads));
    PAL_TRY(read_whole(r, "intermediate_size", 1, &s->inner));
    PAL_TRY(read_whole(r, "max_position_embeddings", 0, &s->context));
    s->kv_heads = s->heads;
    PAL_TRY(read_whole(r, "num_key_value_heads", 0, &s->kv_heads));
    if (s->heads > 0) s->head = s->width / s->heads;
    PAL_TRY(read_whole(r, "head_dim", 0, &s->head));
    return read_real(r, r->root, "rms_norm_eps", 0, &s->eps);
}

static int find_family(const reading *r, foreign_shape *s)
{
    char names[200];
    const char *type = json_string_value(json_object_get(r->root, "model_type"));
    if (!type)
        return pal_fail(r->err, PAL_DATA, "%s: \"model_type\" is missing; this can be read: %s", r->path,
                        family_names(names, sizeof names));
    const family *kind = family_of_type(type);
    if (!kind)
        return pal_fail(r->err, PAL_DATA, "%s: models of type \"%.60s\" cannot be read; these can: %s", r->path,
                        type, family_names(names, sizeof names));
    foreign_shape_begin(s, kind);
    return PAL_OK;
}

static int read_all(const reading *r, foreign_shape *s)
{
    if (!json_is_object(r->root))
        return pal_fail(r->err, PAL_DATA, "%s: is no JSON object; fetch the model again", r->path);
    PAL_TRY(find_family(r, s));
    if (value_of(r->root, "quantization_config"))
        return wrong(r, "quantization_config", "is there: fetch the model unquantised, or as GGUF");
    PAL_TRY(read_sizes(r, s));
    PAL_TRY(read_activation(r, s));
    PAL_TRY(read_biases(r, s));
    PAL_TRY(read_window(r, s));
    PAL_TRY(read_rope(r, s));
    s->tied = -1; /* the tensors say, unless the key does */
    PAL_TRY(read_flag(r, r->root, "tie_word_embeddings", &s->tied));
    return foreign_shape_check(s, r->path, r->err);
}

int huggingface_shape(foreign_shape *shape, const char *text, size_t size, const char *path, pal_error *err)
{
    json_error_t cause;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &cause);
    if (!root)
        return pal_fail(err, PAL_DATA, "%s:%d: no JSON (%s); fetch the model again", path, cause.line, cause.text);
    const reading r = {path, root, err};
    const int code = read_all(&r, shape);
    json_decref(root);
    return code;
}

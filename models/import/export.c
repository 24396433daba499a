/* A decoder as a folder that `transformers` opens: config.json, and model.safetensors with its names.
 * Each key of ours goes to the key of a family, or is refused by its name. */
#include "models/import/export.h"

#include "harness/base/os.h"
#include "models/attention/common.h"
#include "models/decoder/config_keys.h"
#include "models/decoder/feed_forward.h"
#include "models/import/family.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PARTS = 3, PATH_TEXT = KV_TEXT_MAX + 32, ROOM = 1 << 16, NAME_TEXT = 128 };

/* ---- The family ---- */

static int is_attention(const model_config *cfg, const char *name)
{
    return strcmp(cfg->attention->name, name) == 0;
}

static int64_t option(const model_config *cfg, const char *key)
{
    const kv_spec *spec = kv_find(cfg->attention->options, cfg->attention->option_count, key);
    return spec ? *(const int64_t *)((const char *)cfg + spec->offset) : 0;
}

static double real_option(const model_config *cfg, const char *key)
{
    const kv_spec *spec = kv_find(cfg->attention->options, cfg->attention->option_count, key);
    return spec ? *(const double *)((const char *)cfg + spec->offset) : 0;
}

static int refuse(const model_config *cfg, const char *key, pal_error *err)
{
    size_t count;
    const kv_spec *table = model_config_table(&count), *spec = kv_find(table, count, key);
    char value[KV_OUT_MAX], names[200];
    if (!spec) spec = kv_find(cfg->attention->options, cfg->attention->option_count, key);
    kv_get(spec, cfg, value, sizeof value);
    return pal_fail(err, PAL_USAGE, "%s=%.100s has no counterpart in the families of transformers: %s%s", key,
                    value, family_names(names, sizeof names),
                    strcmp(key, "attention") == 0 ? "; attention=full exports the rest" : "");
}

int export_family(const model_config *cfg, const char **model_type, pal_error *err)
{
    const int window = is_attention(cfg, "window");
    if (!window && !is_attention(cfg, "full")) return refuse(cfg, "attention", err);
    if (window && option(cfg, "sinks") > 0) return refuse(cfg, "sinks", err);
    if (window && option(cfg, "window_slides") != 0) return refuse(cfg, "window_slides", err);
    if (cfg->norm != NORM_RMS) return refuse(cfg, "norm", err);
    if (cfg->feed_forward != FEED_GATED) return refuse(cfg, "feed_forward", err);
    if (cfg->embed_scale != EMBED_SCALE_NONE) return refuse(cfg, "embed_scale", err);
    if (!cfg->final_norm) return refuse(cfg, "final_norm", err);
    if (cfg->output_bias) return refuse(cfg, "output_bias", err);
    if (cfg->attn_scale != ATTN_SCALE_HEAD && cfg->d_head != cfg->d_model) return refuse(cfg, "attn_scale", err);
    if (cfg->rope_layout != ROPE_HALF) return refuse(cfg, "rope_layout", err);
    *model_type = window                            ? "mistral"
                  : cfg->qk_norm == QK_NORM_RMS     ? "qwen3"
                  : cfg->attn_bias == ATTN_BIAS_QKV ? "qwen2"
                                                    : "llama";
    const family *row = family_of_type(*model_type);
    /* A family has only some of the biases and norms. */
    const attn_bias_kind bias = (attn_bias_kind)cfg->attn_bias;
    if ((row->bias == BIAS_NONE && bias != ATTN_BIAS_NONE) || (row->bias == BIAS_BY_KEY && bias == ATTN_BIAS_QKV))
        return refuse(cfg, "attn_bias", err);
    if ((qk_norm_kind)cfg->qk_norm != row->qk_norm) return refuse(cfg, "qk_norm", err);
    if (cfg->ff_bias && !row->mlp_bias) return refuse(cfg, "ff_bias", err);
    return PAL_OK;
}

/* ---- config.json ---- */

static const char *class_of(const char *model_type)
{
    return strcmp(model_type, "mistral") == 0 ? "MistralForCausalLM"
           : strcmp(model_type, "qwen2") == 0 ? "Qwen2ForCausalLM"
           : strcmp(model_type, "qwen3") == 0 ? "Qwen3ForCausalLM"
                                              : "LlamaForCausalLM";
}

static json_t *rope_of(const model_config *cfg)
{
    const rope_scaling kind = (rope_scaling)cfg->rope_scaling;
    json_t *rope = json_object();
    json_object_set_new(rope, "rope_theta", json_real(real_option(cfg, "rope_base")));
    if (kind == ROPE_UNSCALED) {
        json_object_set_new(rope, "rope_type", json_string("default"));
        return rope;
    }
    json_object_set_new(rope, "factor", json_real(cfg->rope_factor));
    if (kind == ROPE_LINEAR) json_object_set_new(rope, "rope_type", json_string("linear"));
    if (kind == ROPE_LINEAR) return rope;
    json_object_set_new(rope, "original_max_position_embeddings", json_integer(cfg->rope_original));
    if (kind == ROPE_LLAMA3) {
        json_object_set_new(rope, "rope_type", json_string("llama3"));
        json_object_set_new(rope, "low_freq_factor", json_real(cfg->rope_low));
        json_object_set_new(rope, "high_freq_factor", json_real(cfg->rope_high));
        return rope;
    }
    json_object_set_new(rope, "rope_type", json_string("yarn"));
    json_object_set_new(rope, "beta_fast", json_real(cfg->rope_fast));
    json_object_set_new(rope, "beta_slow", json_real(cfg->rope_slow));
    json_object_set_new(rope, "truncate", json_boolean(cfg->rope_truncate));
    if (cfg->rope_attention > 0) json_object_set_new(rope, "attention_factor", json_real(cfg->rope_attention));
    return rope;
}

static json_t *id_or_null(int64_t id)
{
    return id < 0 ? json_null() : json_integer((json_int_t)id);
}

static json_t *config_of(const model_config *cfg, const char *model_type, const export_options *o)
{
    static const char *const acts[] = {
        [ACTIVATION_GELU] = "gelu_pytorch_tanh", [ACTIVATION_RELU] = "relu", [ACTIVATION_SILU] = "silu"};
    const int64_t window = is_attention(cfg, "window") ? option(cfg, "window") : 0;
    const attn_shape s = attn_shape_of(cfg);
    json_t *c =
        json_pack("{s:[s], s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:f, s:b, s:b, s:b, s:s}", "architectures",
                  class_of(model_type), "model_type", model_type, "vocab_size", (json_int_t)cfg->vocab,
                  "hidden_size", (json_int_t)cfg->d_model, "intermediate_size", (json_int_t)cfg->d_ff,
                  "num_hidden_layers", (json_int_t)cfg->n_layers, "num_attention_heads", (json_int_t)cfg->n_heads,
                  "num_key_value_heads", (json_int_t)s.kv_heads, "head_dim", (json_int_t)cfg->d_head, "hidden_act",
                  acts[cfg->activation], "rms_norm_eps", cfg->norm_eps, "tie_word_embeddings", cfg->tied != 0,
                  "attention_bias", cfg->attn_bias == ATTN_BIAS_ALL, "mlp_bias", cfg->ff_bias != 0, "torch_dtype",
                  o->dtype == ST_BF16 ? "bfloat16" : "float32");
    const int64_t context = window ? family_of_type(model_type)->context : option(cfg, "context");
    json_object_set_new(c, "max_position_embeddings", json_integer((json_int_t)context));
    json_object_set_new(c, "rope_parameters", rope_of(cfg));
    json_object_set_new(c, "rope_theta", json_real(real_option(cfg, "rope_base"))); /* for older versions */
    json_object_set_new(c, "rope_scaling", cfg->rope_scaling == ROPE_UNSCALED ? json_null() : rope_of(cfg));
    if (window) json_object_set_new(c, "sliding_window", json_integer((json_int_t)window));
    if (strncmp(model_type, "qwen", 4) == 0) json_object_set_new(c, "use_sliding_window", json_false());
    json_object_set_new(c, "bos_token_id", id_or_null(o->begin));
    json_object_set_new(c, "eos_token_id", id_or_null(o->end));
    return c;
}

static int write_config(const model_config *cfg, const char *model_type, const char *dir, const export_options *o,
                        pal_error *err)
{
    char path[PATH_TEXT];
    json_t *config = config_of(cfg, model_type, o);
    char *text = config ? json_dumps(config, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
    snprintf(path, sizeof path, "%s/config.json", dir);
    const int code = text ? os_write_file(path, text, strlen(text), err)
                          : pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    free(text);
    json_decref(config);
    return code;
}

/* ---- model.safetensors ---- */

typedef struct writer {
    const decoder *d;
    real *weight;
    st_dtype dtype;
    json_t *header;
    size_t offset; /* of the next tensor's data */
    FILE *out;     /* NULL while the header is made */
    const char *path;
} writer;

static int write_numbers(writer *w, const real *x, size_t count, pal_error *err)
{
    char room[ROOM];
    const size_t width = st_dtype_bytes(w->dtype), most = sizeof room / width;
    for (size_t at = 0; at < count; at += most) {
        const size_t now = count - at < most ? count - at : most;
        st_put_values(w->dtype, x + at, now, room);
        if (fwrite(room, width, now, w->out) != now)
            return pal_fail(err, PAL_INTERNAL, "%s: cannot be written; is the disk full?", w->path);
    }
    return PAL_OK;
}

static int put_tensor(writer *w, const char *name, const real *x, size_t height, size_t cols, int vector,
                      pal_error *err)
{
    const size_t bytes = height * cols * st_dtype_bytes(w->dtype);
    if (w->out) return write_numbers(w, x, height * cols, err);
    json_t *shape = vector ? json_pack("[I]", (json_int_t)(height * cols))
                           : json_pack("[I, I]", (json_int_t)height, (json_int_t)cols);
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", st_dtype_name(w->dtype), "shape", shape,
                              "data_offsets", (json_int_t)w->offset, (json_int_t)(w->offset + bytes));
    w->offset += bytes;
    return json_object_set_new(w->header, name, entry) == 0 ? PAL_OK
                                                            : pal_fail(err, PAL_INTERNAL, "out of memory");
}

/* A parameter, cut into the tensors that it is made of there: q, k and v. */
static int put_param(writer *w, const decoder_param *p, pal_error *err)
{
    char name[PARTS][NAME_TEXT];
    const attn_shape s = attn_shape_of(decoder_config(w->d));
    const size_t parts = foreign_names(NAMES_HUGGINGFACE, p->name, name, PARTS);
    const int vector = p->rows == 1;
    const size_t cols = vector ? 1 : p->cols, of_part[PARTS] = {s.q, s.kv, s.kv};
    const real *x = w->weight + p->offset;
    if (parts == 0) return pal_fail(err, PAL_USAGE, "the tensor %s has no counterpart in transformers", p->name);
    for (size_t i = 0; i < parts; i++) {
        const size_t height = parts == PARTS ? of_part[i] : vector ? p->cols : p->rows;
        PAL_TRY(put_tensor(w, name[i], x, height, cols, vector, err));
        x += height * cols;
    }
    return PAL_OK;
}

static int put_params(writer *w, pal_error *err)
{
    for (size_t i = 0; i < decoder_param_count(w->d); i++) PAL_TRY(put_param(w, decoder_param_at(w->d, i), err));
    return PAL_OK;
}

static int write_header(writer *w, pal_error *err)
{
    enum { ALIGN = 8 };
    char *text = json_dumps(w->header, JSON_COMPACT);
    if (!text) return pal_fail(err, PAL_INTERNAL, "out of memory for a header");
    const size_t size = strlen(text), padded = (size + ALIGN - 1) / ALIGN * ALIGN;
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)(padded >> (8 * i));
    int failed = fwrite(length, 1, sizeof length, w->out) != sizeof length;
    failed |= fwrite(text, 1, size, w->out) != size;
    for (size_t i = size; i < padded; i++) failed |= fputc(' ', w->out) == EOF;
    free(text);
    return failed ? pal_fail(err, PAL_INTERNAL, "%s: cannot be written; is the disk full?", w->path) : PAL_OK;
}

/* Written beside, then named: a kill leaves no half a model behind. */
static int write_tensors(writer *w, const char *path, pal_error *err)
{
    char made[PATH_TEXT + 8];
    snprintf(made, sizeof made, "%s.tmp", path);
    w->path = made;
    PAL_TRY(put_params(w, err));
    w->out = fopen(made, "w");
    if (!w->out) return pal_fail(err, PAL_INTERNAL, "%s: cannot be written: %s", made, strerror(errno));
    int code = write_header(w, err);
    if (code == PAL_OK) code = put_params(w, err);
    if (fclose(w->out) != 0 && code == PAL_OK)
        code = pal_fail(err, PAL_INTERNAL, "%s: cannot be written; is the disk full?", made);
    if (code == PAL_OK && rename(made, path) != 0)
        code = pal_fail(err, PAL_INTERNAL, "%s: cannot be named %s", made, path);
    if (code != PAL_OK) unlink(made);
    return code;
}

int export_huggingface(decoder *d, const char *dir, const export_options *o, pal_error *err)
{
    char path[PATH_TEXT];
    const char *model_type;
    PAL_TRY(export_family(decoder_config(d), &model_type, err));
    if (snprintf(path, sizeof path, "%s/model.safetensors", dir) >= (int)sizeof path)
        return pal_fail(err, PAL_USAGE, "out=%.80s...: too long", dir);
    if (os_file_exists(path)) return pal_fail(err, PAL_USAGE, "%s is there already; name another folder", path);
    PAL_TRY(os_make_dirs(dir, err));
    writer w = {.d = d, .weight = decoder_weights(d), .dtype = o->dtype, .header = json_object()};
    if (!w.header) return pal_fail(err, PAL_INTERNAL, "out of memory for a header");
    json_object_set_new(w.header, "__metadata__", json_pack("{s:s}", "format", "pt"));
    int code = write_tensors(&w, path, err);
    json_decref(w.header);
    return code == PAL_OK ? write_config(decoder_config(d), model_type, dir, o, err) : code;
}

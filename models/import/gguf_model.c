/* GGUF files of Llama's family: metadata to a shape, tensors as they lie in the file.
 * Keys: ggml's docs/gguf.md and llama.cpp's list of them. */
#include "models/import/foreign.h"

#include "models/attention/positions.h"
#include "models/files/gguf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A file with the prefix of its keys. */
typedef struct reading {
    const gguf_file *file;
    const char *path, *prefix;
    pal_error *err;
} reading;

static const gguf_value *value_of(const reading *r, const char *key)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", r->prefix, key);
    return gguf_find(r->file, full);
}

static int wrong(const reading *r, const char *key, const char *what)
{
    return pal_fail(r->err, PAL_DATA, "%s: \"%s.%s\" %s", r->path, r->prefix, key, what);
}

/* A missing key leaves *out; `must`: it may not be missing. */
static int read_whole(const reading *r, const char *key, int must, int64_t *out)
{
    const gguf_value *v = value_of(r, key);
    if (!v) return must ? wrong(r, key, "is missing; fetch the file again") : PAL_OK;
    if (v->kind == GGUF_ARRAY) return wrong(r, key, "differs between layers, which cannot be read");
    if (v->kind == GGUF_UINT && v->uint <= INT64_MAX)
        *out = (int64_t)v->uint;
    else if (v->kind == GGUF_INT)
        *out = v->integer;
    else
        return wrong(r, key, "is no whole number");
    return PAL_OK;
}

static int read_real(const reading *r, const char *key, double *out)
{
    const gguf_value *v = value_of(r, key);
    if (!v) return PAL_OK;
    if (v->kind != GGUF_REAL) return wrong(r, key, "is no number with a fraction");
    *out = v->real;
    return PAL_OK;
}

static int is_text(const gguf_value *v, const char *text)
{
    return v && v->kind == GGUF_TEXT && v->text.size == strlen(text) &&
           memcmp(v->text.data, text, v->text.size) == 0;
}

/* ---- Rotary positions ---- */

/* Llama 3's scaling is stored as the divisor of each pair's frequency. The known rule must give the same. */
static int read_divisors(const reading *r, const gguf_tensor *t, foreign_shape *s)
{
    enum { PAIRS = 2048 };
    float divisor[PAIRS];
    const size_t pairs = (size_t)s->head / 2;
    if (t->values != pairs || pairs > PAIRS || t->format->type != BLOCK_F32)
        return pal_fail(r->err, PAL_DATA, "%s: the tensor \"%s\" should hold %zu numbers of F32", r->path, t->name,
                        pairs);
    block_expand(t->format, t->data, pairs, divisor);
    s->rope_factor = 1;
    for (size_t i = 0; i < pairs; i++)
        if ((double)divisor[i] > s->rope_factor) s->rope_factor = (double)divisor[i];
    s->scaling = "llama3";
    s->rope_low = 1;
    s->rope_high = 4;
    s->rope_original = 8192;
    for (size_t i = 0; i < pairs; i++) {
        const double wave = 2 * acos(-1) * pow(s->rope_base, 2 * (double)i / (double)s->head);
        const double ours =
            rope_llama3_divisor(s->rope_factor, s->rope_low, s->rope_high, (double)s->rope_original, wave);
        if (!(fabs((double)divisor[i] / ours - 1) < 1e-4))
            return pal_fail(r->err, PAL_DATA,
                            "%s: \"%s\" divides frequency %zu by %g, Llama 3's rule by %g: another scaling, which "
                            "cannot be read",
                            r->path, t->name, i, (double)divisor[i], ours);
    }
    return PAL_OK;
}

/* llama.cpp multiplies what the factor gives by attn_factor. */
static int read_yarn(const reading *r, foreign_shape *s)
{
    double multiplier = 1;
    s->scaling = "yarn";
    s->rope_original = s->context;
    PAL_TRY(read_whole(r, "rope.scaling.original_context_length", 0, &s->rope_original));
    PAL_TRY(read_real(r, "rope.scaling.attn_factor", &multiplier));
    PAL_TRY(read_real(r, "rope.scaling.yarn_beta_fast", &s->rope_fast));
    PAL_TRY(read_real(r, "rope.scaling.yarn_beta_slow", &s->rope_slow));
    if (value_of(r, "rope.scaling.yarn_log_multiplier"))
        return wrong(r, "rope.scaling.yarn_log_multiplier", "is a scaling of another kind, which cannot be read");
    if (multiplier != 1) s->rope_attention = multiplier * (0.1 * log(s->rope_factor) + 1);
    return PAL_OK;
}

static int read_rope(const reading *r, foreign_shape *s)
{
    int64_t turned = s->head;
    PAL_TRY(read_whole(r, "rope.dimension_count", 0, &turned));
    if (turned != s->head)
        return wrong(r, "rope.dimension_count",
                     "is not the head's width: heads that rotate in part cannot be read");
    PAL_TRY(read_real(r, "rope.freq_base", &s->rope_base));
    const gguf_tensor *divisors = gguf_find_tensor(r->file, "rope_freqs.weight");
    if (divisors) return read_divisors(r, divisors, s);
    const gguf_value *type = value_of(r, "rope.scaling.type");
    if (!type || is_text(type, "none")) {
        double linear = 1; /* of older files */
        PAL_TRY(read_real(r, "rope.scale_linear", &linear));
        s->rope_factor = linear;
        if (linear != 1) s->scaling = "linear";
        return PAL_OK;
    }
    PAL_TRY(read_real(r, "rope.scaling.factor", &s->rope_factor));
    if (is_text(type, "linear")) {
        s->scaling = "linear";
        return PAL_OK;
    }
    if (is_text(type, "yarn")) return read_yarn(r, s);
    return wrong(r, "rope.scaling.type", "is a scaling that cannot be read; none, linear and yarn can");
}

/* ---- The rest ---- */

static int read_shape(const reading *r, foreign_shape *s)
{
    int64_t values = 0;
    PAL_TRY(read_whole(r, "embedding_length", 1, &s->width));
    PAL_TRY(read_whole(r, "block_count", 1, &s->layers));
    PAL_TRY(read_whole(r, "attention.head_count", 1, &s->heads));
    PAL_TRY(read_whole(r, "feed_forward_length", 1, &s->inner));
    PAL_TRY(read_whole(r, "context_length", 0, &s->context));
    s->kv_heads = s->heads;
    PAL_TRY(read_whole(r, "attention.head_count_kv", 0, &s->kv_heads));
    if (s->heads > 0) s->head = s->width / s->heads;
    PAL_TRY(read_whole(r, "attention.key_length", 0, &s->head));
    values = s->head;
    PAL_TRY(read_whole(r, "attention.value_length", 0, &values));
    if (values != s->head) return wrong(r, "attention.value_length", "is not that of keys, which cannot be read");
    PAL_TRY(read_real(r, "attention.layer_norm_rms_epsilon", &s->eps));
    PAL_TRY(read_whole(r, "attention.sliding_window", 0, &s->window));
    int64_t experts = 0;
    PAL_TRY(read_whole(r, "expert_count", 0, &experts));
    if (experts > 0) return wrong(r, "expert_count", "is not 0: a mixture of experts, which cannot be read");
    /* The vocabulary is what the embedding holds. */
    const gguf_tensor *embedding = gguf_find_tensor(r->file, "token_embd.weight");
    if (!embedding || embedding->dims != 2)
        return pal_fail(r->err, PAL_DATA, "%s: the tensor \"token_embd.weight\" is missing; fetch the file again",
                        r->path);
    s->vocab = embedding->dim[1] <= INT64_MAX ? (int64_t)embedding->dim[1] : 0;
    s->tied = gguf_find_tensor(r->file, "output.weight") == NULL;
    s->attn_bias = !gguf_find_tensor(r->file, "blk.0.attn_q.bias")        ? ATTN_BIAS_NONE
                   : !gguf_find_tensor(r->file, "blk.0.attn_output.bias") ? ATTN_BIAS_QKV
                                                                          : ATTN_BIAS_ALL;
    s->ff_bias = gguf_find_tensor(r->file, "blk.0.ffn_up.bias") != NULL;
    PAL_TRY(foreign_shape_check(s, r->path, r->err));
    PAL_TRY(read_rope(r, s));
    return foreign_shape_check(s, r->path, r->err);
}

static int add_tensors(foreign *f, const gguf_file *file, const char *path, pal_error *err)
{
    for (size_t i = 0; i < file->tensors; i++) {
        const gguf_tensor *t = &file->tensor[i];
        if (t->dims < 1 || t->dims > 2)
            return pal_fail(err, PAL_DATA, "%s: tensor \"%s\" has %d dimensions; matrices and vectors can be read",
                            path, t->name, t->dims);
        const size_t cols = t->dims == 2 ? (size_t)t->dim[0] : 1, rows = (size_t)t->dim[t->dims == 2];
        PAL_TRY(foreign_add(f, t->name, t->format, t->data, rows, cols, path, err));
    }
    return foreign_sort(f, err);
}

static int read_model(foreign *f, const gguf_file *file, const char *path, pal_error *err)
{
    char names[200], name[40] = "";
    const gguf_value *value = gguf_find(file, "general.architecture");
    if (!value || value->kind != GGUF_TEXT)
        return pal_fail(err, PAL_DATA, "%s: \"general.architecture\" is missing; fetch the file again", path);
    const size_t length = value->text.size < sizeof name ? value->text.size : sizeof name - 1;
    for (size_t i = 0; i < length; i++) {
        const char c = value->text.data[i];
        name[i] = c >= ' ' && c <= '~' ? c : '?';
    }
    const family *kind = family_of_gguf(name);
    if (!kind)
        return pal_fail(err, PAL_DATA, "%s: models of architecture \"%s\" cannot be read; these can: %s", path,
                        name, family_names(names, sizeof names));
    foreign_shape_begin(&f->shape, kind);
    f->side_by_side = kind->gguf_side_by_side;
    const reading r = {file, path, kind->gguf, err};
    PAL_TRY(read_shape(&r, &f->shape));
    PAL_TRY(add_tensors(f, file, path, err));
    if (gguf_find(file, "tokenizer.ggml.tokens") && strlen(path) < sizeof f->tokenizer)
        memcpy(f->tokenizer, path, strlen(path) + 1);
    return PAL_OK;
}

int gguf_model_open(foreign *f, const char *path, pal_error *err)
{
    const void *data;
    size_t size;
    gguf_file file;
    f->kind = "GGUF";
    f->style = NAMES_GGUF;
    PAL_TRY(foreign_map_file(f, path, &data, &size, err));
    PAL_TRY(gguf_parse(&file, data, size, path, err));
    const int code = read_model(f, &file, path, err);
    gguf_close(&file);
    return code;
}

/* A foreign model's shape: its defaults, what can be wrong with it, and the same in keys of our own. */
#include "models/import/foreign.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SEGMENT = 512 };

void foreign_shape_begin(foreign_shape *shape, const family *kind)
{
    *shape = (foreign_shape){.family = kind,
                             .context = kind->context,
                             .eps = kind->eps,
                             .activation = "silu",
                             .attn_bias = kind->bias == BIAS_QKV ? ATTN_BIAS_QKV : ATTN_BIAS_NONE,
                             .rope_base = 10000,
                             .scaling = "none",
                             .rope_factor = 1,
                             .rope_low = 1,
                             .rope_high = 4,
                             .rope_fast = 32,
                             .rope_slow = 1,
                             .rope_truncate = 1};
}

/* Beyond these a product of two could not be counted any more; no model comes near. */
static const struct {
    const char *what;
    size_t offset;
    int64_t least, most;
} bounds[] = {
    {"vocabulary", offsetof(foreign_shape, vocab), 2, 1 << 24},
    {"width", offsetof(foreign_shape, width), 1, 65536},
    {"number of layers", offsetof(foreign_shape, layers), 1, 1024},
    {"number of heads", offsetof(foreign_shape, heads), 1, 1024},
    {"number of key heads", offsetof(foreign_shape, kv_heads), 1, 1024},
    {"width of a head", offsetof(foreign_shape, head), 2, 4096},
    {"feed-forward width", offsetof(foreign_shape, inner), 1, 1 << 20},
    {"context", offsetof(foreign_shape, context), 1, 1 << 30},
    {"sliding window", offsetof(foreign_shape, window), 0, 1 << 30},
};

int foreign_shape_check(const foreign_shape *shape, const char *path, pal_error *err)
{
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        const int64_t value = *(const int64_t *)((const char *)shape + bounds[i].offset);
        if (value < bounds[i].least || value > bounds[i].most)
            return pal_fail(err, PAL_DATA, "%s: a %s of %lld; from %lld to %lld can be read", path, bounds[i].what,
                            (long long)value, (long long)bounds[i].least, (long long)bounds[i].most);
    }
    if (shape->heads % shape->kv_heads != 0)
        return pal_fail(err, PAL_DATA, "%s: %lld key heads do not divide %lld heads; fetch the model again", path,
                        (long long)shape->kv_heads, (long long)shape->heads);
    if (!(shape->eps > 0) || !(shape->rope_base >= 2) || !isfinite(shape->rope_base))
        return pal_fail(err, PAL_DATA, "%s: norm epsilon %g, rotary base %g; fetch the model again", path,
                        shape->eps, shape->rope_base);
    return PAL_OK;
}

/* Pairs that are being written; after a failure nothing more is. */
typedef struct writer {
    kv_pairs *out;
    const char *where;
    pal_error *err;
    int code;
} writer;

__attribute__((format(printf, 3, 4))) static void put(writer *w, const char *key, const char *format, ...)
{
    char value[64];
    if (w->code != PAL_OK) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    w->code = kv_pairs_add(w->out, key, value, w->where, w->err);
}

static void put_whole(writer *w, const char *key, int64_t value)
{
    put(w, key, "%lld", (long long)value);
}

/* 17 digits bring every double back. */
static void put_real(writer *w, const char *key, double value)
{
    put(w, key, "%.17g", value);
}

static void put_attention(writer *w, const foreign_shape *s)
{
    static const char *const biases[] = {
        [ATTN_BIAS_NONE] = "none", [ATTN_BIAS_QKV] = "qkv", [ATTN_BIAS_ALL] = "all"};
    put(w, "attention", s->window > 0 ? "window" : "full");
    if (s->window > 0) {
        put_whole(w, "window", s->window);
        put_whole(w, "sinks", 0);
    } else
        put_whole(w, "context", s->context);
    put_whole(w, "n_heads", s->heads);
    put_whole(w, "n_kv_heads", s->kv_heads);
    put_whole(w, "d_head", s->head);
    put(w, "attn_bias", "%s", biases[s->attn_bias]);
    put(w, "qk_norm", "%s", s->family->qk_norm == QK_NORM_RMS ? "rms" : "none");
}

/* Keys of other scalings stay at their defaults, so that they are no part of the config's hash. */
static void put_rope(writer *w, const foreign_shape *s)
{
    put_real(w, "rope_base", s->rope_base);
    put(w, "rope_angles", "single");
    put(w, "rope_scaling", "%s", s->scaling);
    if (strcmp(s->scaling, "none") != 0) put_real(w, "rope_factor", s->rope_factor);
    if (strcmp(s->scaling, "llama3") == 0) {
        put_real(w, "rope_low", s->rope_low);
        put_real(w, "rope_high", s->rope_high);
        put_whole(w, "rope_original", s->rope_original);
    }
    if (strcmp(s->scaling, "yarn") == 0) {
        put_real(w, "rope_fast", s->rope_fast);
        put_real(w, "rope_slow", s->rope_slow);
        put_real(w, "rope_attention", s->rope_attention);
        put_whole(w, "rope_truncate", s->rope_truncate != 0);
        put_whole(w, "rope_original", s->rope_original);
    }
}

int foreign_keys(const foreign_shape *s, const char *where, kv_pairs *out, pal_error *err)
{
    writer w = {out, where, err, PAL_OK};
    put_attention(&w, s);
    put_rope(&w, s);
    put_whole(&w, "vocab", s->vocab);
    put_whole(&w, "d_model", s->width);
    put_whole(&w, "n_layers", s->layers);
    put_whole(&w, "d_ff", s->inner);
    put_whole(&w, "segment", SEGMENT);
    put(&w, "activation", "%s", s->activation);
    put(&w, "tied", "%d", s->tied != 0);
    put_real(&w, "norm_eps", s->eps);
    put(&w, "norm", "rms");
    put(&w, "feed_forward", "gated");
    put(&w, "ff_bias", "%d", s->ff_bias != 0);
    return w.code;
}

/* Transformer-XL's inside (transformer_xl.c), for compressive.c, whose cache is read the same way. Options and
 * parameters of both begin alike. */
#ifndef PAL_ATTENTION_TRANSFORMER_XL_H
#define PAL_ATTENTION_TRANSFORMER_XL_H

#include "models/attention/attention.h"

enum xl_option { XL_MEM_LEN, XL_CLAMP_LEN, XL_SAME_LENGTH, XL_UNTIE_R, XL_OPTIONS };
enum xl_param { XL_QKV, XL_R, XL_O, XL_U, XL_V, XL_PARAMS };

#define XL_MEM_LEN_OPTION                                                                                         \
    {                                                                                                             \
        "mem_len", KV_INT, OPTION(XL_MEM_LEN), "-1", -1, 1 << 30, NULL,                                           \
            "tokens before the segment that each layer sees through its cache; -1: one segment"                   \
    }
#define XL_CLAMP_LEN_OPTION                                                                                       \
    {                                                                                                             \
        "clamp_len", KV_INT, OPTION(XL_CLAMP_LEN), "-1", -1, 1 << 30, NULL,                                       \
            "distances beyond this share its position encoding; -1 or 0: none do"                                 \
    }
#define XL_UNTIE_R_OPTION                                                                                         \
    {                                                                                                             \
        "untie_r", KV_CHOICE, OPTION(XL_UNTIE_R), "0", 0, 0, "0|1",                                               \
            "1: r_w_bias and r_r_bias of each layer's own instead of shared ones"                                 \
    }

/* Rows of the cache that are hidden states of tokens; all rows, with those in front of them. */
size_t xl_mem_len(const model_config *cfg);
size_t xl_cached(const model_config *cfg);
int xl_check(const model_config *cfg, pal_error *err);
size_t xl_params(const model_config *cfg, size_t layer, param_spec *spec);
void xl_sizes(const model_config *cfg, size_t layer, size_t lanes, attn_sizes *out);
void xl_table_fill(const model_config *cfg, real *table);
/* y from x and the cache, of which the newest `seen` rows of a lane exist; the state stays. */
void xl_read(const attn_call *c, const real *x, real *y);
void xl_step(const attn_call *c, const real *x, real *y);
void xl_backward(const attn_call *c, const real *x, const real *dy, real *dx);
double xl_flops(const model_config *cfg, size_t layer, double context);

#endif

/* The functions of local (local.c), for modules that have its attention and something above it. Their first option
 * is rope_base. */
#ifndef PAL_ATTENTION_LOCAL_H
#define PAL_ATTENTION_LOCAL_H

#include "models/attention/attention.h"

#define LOCAL_ROPE_OPTION                                                                                         \
    {                                                                                                             \
        "rope_base", KV_REAL, OPTION(0), "10000", 2, 1e9, NULL, "base of the rotary positions (rotate-half)"      \
    }

size_t local_params(const model_config *cfg, size_t layer, param_spec *spec);
void local_sizes(const model_config *cfg, size_t layer, size_t lanes, attn_sizes *out);
void local_table_fill(const model_config *cfg, real *table);
void local_forward(const attn_call *c, const real *x, real *y);
void local_backward(const attn_call *c, const real *x, const real *dy, real *dx);
double local_flops(const model_config *cfg, size_t layer, double context);

#endif

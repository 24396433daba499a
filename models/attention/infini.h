/* Infini-attention's inside, shared by infini.c (options, sizes, state) and infini_layer.c (arithmetic) alone:
 * what a config says, and where a call's numbers lie. */
#ifndef PAL_ATTENTION_INFINI_H
#define PAL_ATTENTION_INFINI_H

#include "models/attention/infini_memory.h"
#include "models/attention/sinks.h"

/* Options; those from INFINI_WRITE_INIT on are infini-gated's alone, so that the others' tables end before them.
 */
enum infini_option {
    INFINI_FEATURE,
    INFINI_EPS,
    INFINI_Z_INIT,
    INFINI_Z_RULE,
    INFINI_FIRST_SEGMENT,
    INFINI_GATE_INIT,
    INFINI_ROPE_BASE,
    INFINI_XL_LEN,
    INFINI_KEY,
    INFINI_MEMORY_FROM,
    INFINI_MEMORY_EMPTY,
    INFINI_MEMORY_LAYERS,
    INFINI_MIX,
    INFINI_MAP,
    INFINI_SINKS,
    INFINI_WRITE_INIT,
    INFINI_WRITE_FROM,
    INFINI_WRITE_OFFSET,
    INFINI_READ_GATE,
    INFINI_READ_INIT,
    INFINI_OPTIONS
};

/* What the choices of the options mean. */
enum infini_feature { INFINI_ELU1, INFINI_RELU };
enum infini_z_rule { INFINI_Z_SUM, INFINI_Z_GAMMA };
enum infini_first_segment { INFINI_FIRST_LOCAL, INFINI_FIRST_GATED };
enum infini_key { INFINI_KEY_OWN, INFINI_KEY_PREVIOUS };
enum infini_mix { INFINI_MIX_GATE, INFINI_MIX_ADD };
enum infini_map { INFINI_MAP_NONE, INFINI_MAP_HEAD };
enum infini_empty { INFINI_EMPTY_FIRST, INFINI_EMPTY_UNWRITTEN };
enum infini_read { INFINI_READ_ALWAYS, INFINI_READ_TOKEN };

/* Behind the last of these that the module has: the maps of q and k, from infini_map_param on, then the read
 * gate's weight and bias, from infini_read_param on. */
enum infini_param { INFINI_QKV, INFINI_O, INFINI_BETA, INFINI_WRITE_W, INFINI_WRITE_B };

static inline int64_t infini_choice(const model_config *cfg, enum infini_option option)
{
    return cfg->option[option].i;
}

int infini_is_delta(const model_config *cfg);
int infini_is_gated(const model_config *cfg);
int infini_is_mapped(const model_config *cfg);
size_t infini_map_param(const model_config *cfg);
int infini_gates_reads(const model_config *cfg);
size_t infini_read_param(const model_config *cfg);
/* In layer 0 a write gate sees the token alone, and not the context that tells a needle from a haystack. */
int infini_has_memory(const model_config *cfg, size_t layer);
sinks_view infini_local(const model_config *cfg); /* what the local attention sees */
memory_rule infini_rule(const model_config *cfg);
size_t infini_head_state(const model_config *cfg); /* of one key head */

/* What forward leaves for backward; shapes as in attention.h. */
typedef struct infini_saved {
    kvcache_saved local; /* qkv; local.o is A_dot */
    sinks_saved sinks;   /* with the same local */
    real *feature;       /* [R, D + D_kv] phi(q), phi(k) */
    real *read;          /* [R, D] A_mem */
    real *read_den;      /* [R, H] */
    real *mixed;         /* [R, D] A */
    real *state;         /* [lanes, H_kv, head_state] as it was before the segment */
    real *gamma;         /* [R, H_kv] share of phi(k) that enters z */
    real *old;           /* delta: [R, D_kv] what the memory held for k */
    real *old_den;       /* delta: [R, H_kv] its denominators */
    real *write;         /* gated: [R, H_kv] w */
    real *sigmoid;       /* gated: [R, H_kv] */
    real *mapped;        /* mapped: [R, D + D_kv] q and k as phi sees them */
    real *open;          /* reads gated: [R, H] r */
} infini_saved;

/* Backward's shared memory. */
typedef struct infini_work {
    kvcache_work local;
    sinks_work sinks; /* with the same local */
    real *dfeature;   /* [R, D + D_kv] */
    real *dvalue;     /* [R, D_kv] */
    real *dmixed;     /* [R, D] */
    real *dbeta;      /* [lanes, H] */
    real *dwrite;     /* gated: [R, H_kv] */
    real *dopen;      /* reads gated: [R, H], of r's logit */
} infini_work;

/* Of a step's rows: the local attention, and what is read beside it. */
typedef struct infini_rows {
    kvcache_saved local;
    sinks_saved sinks; /* with the same local */
    real *feature;     /* [lanes * count, D] phi(q) */
    real *read;        /* [lanes * count, D] A_mem */
    real *open;        /* reads gated: [lanes * count, H] r */
} infini_rows;

/* Carve from `base` (NULL: only measure); return the reals used. */
size_t infini_step_layout(const model_config *cfg, size_t lanes, real *base, infini_rows *out);
size_t infini_saved_layout(const model_config *cfg, size_t lanes, real *base, infini_saved *out);
size_t infini_work_layout(const model_config *cfg, size_t lanes, real *base, infini_work *out);

void infini_forward(const attn_call *c, const real *x, real *y);
void infini_step(const attn_call *c, const real *x, real *y);
void infini_backward(const attn_call *c, const real *x, const real *dy, real *dx);

#endif

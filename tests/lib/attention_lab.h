/* One attention layer without a decoder around it: guarded buffers, random parameters and inputs, calls by
 * segment. Shared by the attention suites. */
#ifndef PAL_TEST_ATTENTION_LAB_H
#define PAL_TEST_ATTENTION_LAB_H

#include "tests/lib/numeric.h"

#include "models/attention/attention.h"
#include "models/decoder/config_keys.h"
#include "tests/lib/use_blas.h"

#include <stdio.h>
#include <string.h>

/* What is being tested, for messages. */
static char label[512];

#define CHECK(condition, ...)                                                                                     \
    do {                                                                                                          \
        if (!(condition)) {                                                                                       \
            print_error("%s: ", label);                                                                           \
            print_error(__VA_ARGS__);                                                                             \
            print_error("\n");                                                                                    \
            fail_msg("%s", #condition);                                                                           \
        }                                                                                                         \
    } while (0)

/* ---- guarded buffers ---- */

enum { GUARD = 16 };
static const real guard_value = (real)-7.25;

static inline real *guarded(size_t count)
{
    const size_t bytes = ((count + 2 * GUARD) * sizeof(real) + 63) / 64 * 64;
    real *block = aligned_alloc(64, bytes);
    assert_non_null(block);
    memset(block, 0, bytes);
    for (size_t i = 0; i < GUARD; i++) block[i] = block[GUARD + count + i] = guard_value;
    return block + GUARD;
}

static inline void check_guards(const real *data, size_t count, const char *what)
{
    for (size_t i = 0; i < GUARD; i++) {
        CHECK(data[i - GUARD] == guard_value, "%s was written before its first real", what);
        CHECK(data[count + i] == guard_value, "%s was written beyond its %zu reals", what, count);
    }
}

static inline void release(real *data, size_t count, const char *what)
{
    check_guards(data, count, what);
    free(data - GUARD);
}

/* NaN everywhere: what is read before it is written shows in the result. */
static inline void poison(real *data, size_t count)
{
    memset(data, 0xff, count * sizeof(real));
}

/* ---- configurations ---- */

static const char base_settings[] = "vocab = 16\nd_model = 20\nn_layers = 2\nn_heads = 2\nd_head = 6\nd_ff = 16\n"
                                    "segment = 16\n";

/* `settings`: lines that override base_settings. */
static inline model_config lab_config(const char *module, const char *settings)
{
    pal_error err = {0};
    kv_pairs pairs = {0};
    model_config cfg = {0};
    snprintf(label, sizeof label, "%s %s", module, settings);
    for (char *c = label; *c; c++)
        if (*c == '\n') *c = ' ';
    int code = kv_pairs_add(&pairs, "attention", module, "test", &err);
    if (code == PAL_OK) code = kv_pairs_parse(&pairs, base_settings, "base", &err);
    if (code == PAL_OK) code = kv_pairs_parse(&pairs, settings, "settings", &err);
    if (code == PAL_OK) code = model_config_read(&cfg, &pairs, &err);
    CHECK(code == PAL_OK, "%s", err.text);
    kv_pairs_free(&pairs);
    return cfg;
}

/* ---- the layer ---- */

typedef struct lab {
    model_config cfg;
    const attn_module *module;
    size_t layer, lanes, slots, n, d_model, rows; /* rows = lanes * n */
    pool *pool;
    param_spec spec[ATTN_MAX_PARAMS];
    size_t params, param_count[ATTN_MAX_PARAMS];
    real *param[ATTN_MAX_PARAMS], *grad[ATTN_MAX_PARAMS];
    real **state, **dstate; /* [lanes] */
    size_t state_reals, dstate_reals, table_reals, saved_reals, scratch_reals, work_reals;
    real *table, *scratch, *work;
    real **saved;                  /* [slots] */
    uint64_t *seen, **seen_before; /* [lanes] now; [slots][lanes] at the slot's forward */
    size_t **valid;                /* [slots][lanes] */
    attn_penalty penalty;          /* none unless a test asks for it */
} lab;

static inline void lab_reset(lab *l)
{
    for (size_t lane = 0; lane < l->lanes; lane++) {
        poison(l->state[lane], l->state_reals);
        if (l->module->state_reset)
            l->module->state_reset(&l->cfg, l->layer, l->state[lane], UINT64_MAX);
        else
            memset(l->state[lane], 0, l->state_reals * sizeof(real));
        l->seen[lane] = 0;
    }
}

/* Parameters depend on their name, shape and layer alone, so that labs of one shape share them. */
static inline void lab_open(lab *l, const model_config *cfg, size_t layer, size_t lanes, int threads, size_t slots)
{
    pal_error err;
    use_blas();
    *l = (lab){.cfg = *cfg, .module = cfg->attention, .layer = layer, .lanes = lanes, .slots = slots};
    const attn_module *m = l->module;
    l->n = (size_t)cfg->segment;
    l->d_model = (size_t)cfg->d_model;
    l->rows = lanes * l->n;
    assert_int_equal(pool_create(&l->pool, threads, &err), PAL_OK);
    l->params = m->params(&l->cfg, layer, l->spec);
    CHECK(l->params <= ATTN_MAX_PARAMS, "too many parameters");
    for (size_t i = 0; i < l->params; i++) {
        const param_spec *s = &l->spec[i];
        const double std = s->rows > 1 ? 1 / sqrt((double)s->cols) : 0.3;
        const double centre = s->init == INIT_CONSTANT ? s->value : 0;
        l->param_count[i] = s->rows * s->cols;
        l->param[i] = guarded(l->param_count[i]);
        l->grad[i] = guarded(l->param_count[i]);
        rng r = rng_make(11, s->name, layer, 0);
        for (size_t j = 0; j < l->param_count[i]; j++) l->param[i][j] = (real)(centre + std * rng_normal(&r));
    }
    const attn_sizes sizes = attn_sizes_of(&l->cfg, layer, lanes);
    l->state_reals = sizes.state;
    l->dstate_reals = sizes.state_grad;
    l->saved_reals = sizes.saved;
    l->scratch_reals = (sizes.scratch + 15) / 16 * 16;
    l->work_reals = sizes.work;
    l->table_reals = sizes.table;
    l->state = calloc(lanes, sizeof *l->state);
    l->dstate = calloc(lanes, sizeof *l->dstate);
    l->seen = calloc(lanes, sizeof *l->seen);
    for (size_t lane = 0; lane < lanes; lane++) {
        l->state[lane] = guarded(l->state_reals);
        l->dstate[lane] = guarded(l->dstate_reals);
    }
    l->saved = calloc(slots, sizeof *l->saved);
    l->seen_before = calloc(slots, sizeof *l->seen_before);
    l->valid = calloc(slots, sizeof *l->valid);
    for (size_t s = 0; s < slots; s++) {
        l->saved[s] = guarded(l->saved_reals);
        l->seen_before[s] = calloc(lanes, sizeof **l->seen_before);
        l->valid[s] = calloc(lanes, sizeof **l->valid);
    }
    l->table = guarded(l->table_reals);
    poison(l->table, l->table_reals);
    if (m->table_fill) m->table_fill(&l->cfg, l->table);
    l->scratch = guarded(l->scratch_reals * (size_t)threads);
    l->work = guarded(l->work_reals);
    lab_reset(l);
}

static inline void lab_close(lab *l)
{
    for (size_t i = 0; i < l->params; i++) {
        release(l->param[i], l->param_count[i], l->spec[i].name);
        release(l->grad[i], l->param_count[i], "a gradient");
    }
    for (size_t lane = 0; lane < l->lanes; lane++) {
        release(l->state[lane], l->state_reals, "the state");
        release(l->dstate[lane], l->dstate_reals, "the state's gradient");
    }
    for (size_t s = 0; s < l->slots; s++) {
        release(l->saved[s], l->saved_reals, "saved");
        free(l->seen_before[s]);
        free(l->valid[s]);
    }
    release(l->table, l->table_reals, "the table");
    release(l->scratch, l->scratch_reals * (size_t)pool_threads(l->pool), "scratch");
    release(l->work, l->work_reals, "work");
    free(l->state);
    free(l->dstate);
    free(l->seen);
    free(l->saved);
    free(l->seen_before);
    free(l->valid);
    pool_destroy(l->pool);
}

static inline attn_call lab_call(lab *l, size_t slot)
{
    return (attn_call){.cfg = &l->cfg,
                       .layer = l->layer,
                       .lanes = l->lanes,
                       .pool = l->pool,
                       .param = (const real *const *)l->param,
                       .grad = l->grad,
                       .state = l->state,
                       .dstate = l->dstate,
                       .seen = l->seen_before[slot],
                       .valid = l->valid[slot],
                       .table = l->table,
                       .saved = l->saved[slot],
                       .scratch = l->scratch,
                       .scratch_stride = l->scratch_reals,
                       .need_output = 1,
                       .penalty = l->penalty};
}

/* valid: [lanes] or NULL for whole segments; y: [rows, d_model] or NULL to advance the state alone. */
static inline void lab_forward(lab *l, size_t slot, const real *x, const size_t *valid, real *y)
{
    const int64_t limit = attn_sizes_of(&l->cfg, l->layer, l->lanes).max_tokens;
    poison(l->saved[slot], l->saved_reals);
    poison(l->scratch, l->scratch_reals * (size_t)pool_threads(l->pool));
    if (y) poison(y, l->rows * l->d_model);
    for (size_t lane = 0; lane < l->lanes; lane++) {
        l->seen_before[slot][lane] = l->seen[lane];
        l->valid[slot][lane] = valid ? valid[lane] : l->n;
        l->seen[lane] += l->valid[slot][lane];
        CHECK(limit == 0 || l->seen[lane] <= (uint64_t)limit, "the test feeds more than max_tokens");
    }
    attn_call call = lab_call(l, slot); /* inference has no work memory, as in the decoder */
    call.need_output = y != NULL;
    l->module->forward(&call, x, y);
}

static inline void lab_backward(lab *l, size_t slot, const real *x, const real *dy, real *dx)
{
    poison(l->work, l->work_reals);
    poison(l->scratch, l->scratch_reals * (size_t)pool_threads(l->pool));
    poison(dx, l->rows * l->d_model);
    attn_call call = lab_call(l, slot);
    call.work = l->work;
    call.state = NULL;
    l->module->backward(&call, x, dy, dx);
}

/* The inputs of `lanes` lanes and `segments` segments of a shape: [segments, lanes, n, d_model]. A lane's values
 * depend on its number and the position alone. */
static inline real *lab_inputs(const lab *l, size_t segments, uint64_t seed)
{
    real *x = guarded(segments * l->rows * l->d_model);
    for (size_t s = 0; s < segments; s++)
        for (size_t lane = 0; lane < l->lanes; lane++) {
            rng r = rng_make(seed, "test/lab", s, (uint32_t)lane);
            real *to = x + (s * l->lanes + lane) * l->n * l->d_model;
            for (size_t i = 0; i < l->n * l->d_model; i++) to[i] = (real)rng_normal(&r);
        }
    return x;
}

static inline size_t lab_segment_reals(const lab *l)
{
    return l->rows * l->d_model;
}

static inline int same_bits(const real *a, const real *b, size_t count)
{
    return memcmp(a, b, count * sizeof *a) == 0;
}

static inline int all_finite(const real *a, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite((double)a[i])) return 0;
    return 1;
}

/* The index of a parameter. */
static inline size_t lab_param(const lab *l, const char *name)
{
    for (size_t i = 0; i < l->params; i++)
        if (strcmp(l->spec[i].name, name) == 0) return i;
    CHECK(0, "there is no parameter %s", name);
    return 0;
}

#endif

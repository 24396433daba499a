/* The properties that every attention module must have, run for every row of attn_table, every layer, and several
 * configurations of each. A new row is covered without a word here. */
#include "models/attention/recurrence.h"
#include "tests/lib/attention_rows.h"

#include <stdlib.h>

enum { SEGMENTS = 3 };

/* ---- causality ---- */

static void run_all(lab *l, size_t segments, const real *x, real *y)
{
    lab_reset(l);
    for (size_t s = 0; s < segments; s++)
        lab_forward(l, 0, x + s * lab_segment_reals(l), NULL, y + s * lab_segment_reals(l));
}

/* Changing the input of token t leaves every output before t as it was, and changes the one at t. */
static void causality(const model_config *cfg, size_t layer)
{
    lab l;
    lab_open(&l, cfg, layer, 1, 1, 1);
    const size_t all = SEGMENTS * l.n, m = l.d_model;
    const size_t places[] = {0, 3, l.n - 1, l.n, l.n + 7, 2 * l.n, all - 1};
    real *x = lab_inputs(&l, SEGMENTS, 1), *changed = guarded(all * m);
    real *before = guarded(all * m), *after = guarded(all * m);
    run_all(&l, SEGMENTS, x, before);
    CHECK(all_finite(before, all * m), "an output is not finite");
    for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
        const size_t t = places[p];
        memcpy(changed, x, all * m * sizeof(real));
        for (size_t i = 0; i < m; i++) changed[t * m + i] += (real)1.5;
        run_all(&l, SEGMENTS, changed, after);
        for (size_t i = 0; i < t; i++)
            CHECK(same_bits(before + i * m, after + i * m, m), "token %zu sees token %zu", i, t);
        CHECK(!same_bits(before + t * m, after + t * m, m), "the output at %zu ignores its own token", t);
    }
    release(x, all * m, "x");
    release(changed, all * m, "x");
    release(before, all * m, "y");
    release(after, all * m, "y");
    lab_close(&l);
}

static void test_causality(void **unused)
{
    (void)unused;
    for_every_row(causality);
}

/* ---- lanes and threads ---- */

/* Three lanes, each with a history of its own length, against each lane alone; one thread against two. */
static void lanes_alone(const model_config *cfg, size_t layer)
{
    enum { LANES = 3 };
    lab together, alone;
    lab_open(&together, cfg, layer, LANES, 2, 1);
    lab_open(&alone, cfg, layer, 1, 1, 1);
    const size_t one = lab_segment_reals(&alone), all = lab_segment_reals(&together);
    real *x = lab_inputs(&together, SEGMENTS + 1, 2), *y = guarded(all), *y1 = guarded(one);
    real *want = guarded(2 * all);
    /* lane i reads i segments first, then two more */
    for (size_t lane = 0; lane < LANES; lane++) {
        lab_reset(&alone);
        for (size_t s = 0; s < lane + 2; s++) {
            if (s == lane) {
                memcpy(together.state[lane], alone.state[0], alone.state_reals * sizeof(real));
                together.seen[lane] = alone.seen[0];
            }
            lab_forward(&alone, 0, x + s * all + lane * one, NULL, y1);
            if (s >= lane) memcpy(want + ((s - lane) * LANES + lane) * one, y1, one * sizeof(real));
        }
    }
    for (size_t s = 0; s < 2; s++) {
        real *in = guarded(all);
        for (size_t lane = 0; lane < LANES; lane++)
            memcpy(in + lane * one, x + (lane + s) * all + lane * one, one * sizeof(real));
        lab_forward(&together, 0, in, NULL, y);
        CHECK(same_bits(y, want + s * all, all), "a lane's bits depend on the lanes beside it");
        release(in, all, "x");
    }
    CHECK(same_bits(together.state[LANES - 1], alone.state[0], alone.state_reals), "the states differ");
    release(x, (SEGMENTS + 1) * all, "x");
    release(y, all, "y");
    release(y1, one, "y");
    release(want, 2 * all, "y");
    lab_close(&together);
    lab_close(&alone);
}

static void test_lanes(void **unused)
{
    (void)unused;
    for_every_row(lanes_alone);
}

/* ---- gradients ---- */

/* A window of segments after `history` constant ones. loss = sum(dy * y) + sum(dend * state at the end), the
 * latter over the part of the state that carries gradients. The rest of the state is, on purpose, not
 * differentiated: at each border it is set to what the unperturbed run had there, so that finite differences stop
 * where the module's gradient stops. */
typedef struct trial {
    lab l;
    size_t segments;
    real *x, *y, *dy, *dx; /* [segments] */
    real *frozen, *start;  /* [segments, lanes, state]; [lanes, dstate]: differentiable part of the first */
    real *dend;            /* [lanes, dstate] */
    uint64_t *seen;        /* [lanes] before the window */
    int recorded;
} trial;

static double trial_loss(trial *t)
{
    lab *l = &t->l;
    const size_t part = lab_segment_reals(l);
    double loss = 0;
    for (size_t lane = 0; lane < l->lanes; lane++) {
        memcpy(l->state[lane], t->start + lane * l->dstate_reals, l->dstate_reals * sizeof(real));
        l->seen[lane] = t->seen[lane];
    }
    for (size_t s = 0; s < t->segments; s++) {
        for (size_t lane = 0; lane < l->lanes; lane++) {
            real *border = t->frozen + (s * l->lanes + lane) * l->state_reals;
            if (!t->recorded)
                memcpy(border, l->state[lane], l->state_reals * sizeof(real));
            else
                memcpy(l->state[lane] + l->dstate_reals, border + l->dstate_reals,
                       (l->state_reals - l->dstate_reals) * sizeof(real));
        }
        lab_forward(l, s, t->x + s * part, NULL, t->y);
        for (size_t i = 0; i < part; i++) loss += (double)t->dy[s * part + i] * (double)t->y[i];
    }
    for (size_t lane = 0; lane < l->lanes; lane++)
        for (size_t i = 0; i < l->dstate_reals; i++)
            loss += (double)t->dend[lane * l->dstate_reals + i] * (double)l->state[lane][i];
    return loss;
}

static void trial_backward(trial *t)
{
    lab *l = &t->l;
    const size_t part = lab_segment_reals(l);
    for (size_t lane = 0; lane < l->lanes; lane++)
        memcpy(l->dstate[lane], t->dend + lane * l->dstate_reals, l->dstate_reals * sizeof(real));
    for (size_t s = t->segments; s-- > 0;) lab_backward(l, s, t->x + s * part, t->dy + s * part, t->dx + s * part);
}

static void trial_open(trial *t, const model_config *cfg, size_t layer, size_t lanes, int threads, size_t segments,
                       size_t history)
{
    *t = (trial){.segments = segments};
    lab *l = &t->l;
    lab_open(l, cfg, layer, lanes, threads, segments);
    const size_t part = lab_segment_reals(l);
    t->x = lab_inputs(l, segments, 3);
    t->dy = lab_inputs(l, segments, 4);
    t->dx = guarded(segments * part);
    t->y = guarded(part);
    t->frozen = guarded(segments * lanes * l->state_reals);
    t->start = guarded(lanes * l->dstate_reals);
    t->dend = guarded(lanes * l->dstate_reals);
    t->seen = calloc(lanes, sizeof *t->seen);
    real *past = lab_inputs(l, history + 1, 5);
    for (size_t s = 0; s < history; s++) lab_forward(l, 0, past + s * part, NULL, NULL);
    release(past, (history + 1) * part, "x");
    rng r = rng_make(6, "test/dend", 0, 0);
    for (size_t i = 0; i < lanes * l->dstate_reals; i++) t->dend[i] = (real)rng_normal(&r);
    for (size_t lane = 0; lane < lanes; lane++) {
        memcpy(t->start + lane * l->dstate_reals, l->state[lane], l->dstate_reals * sizeof(real));
        t->seen[lane] = l->seen[lane];
    }
    trial_loss(t);
    t->recorded = 1;
    trial_backward(t);
}

static void trial_close(trial *t)
{
    lab *l = &t->l;
    const size_t part = lab_segment_reals(l);
    release(t->x, t->segments * part, "x");
    release(t->dy, t->segments * part, "dy");
    release(t->dx, t->segments * part, "dx");
    release(t->y, part, "y");
    release(t->frozen, t->segments * l->lanes * l->state_reals, "a state");
    release(t->start, l->lanes * l->dstate_reals, "a state");
    release(t->dend, l->lanes * l->dstate_reals, "a state gradient");
    free(t->seen);
    lab_close(l);
}

/* A tensor that the loss depends on, and its gradient. */
typedef struct tensor {
    const char *name;
    real *value;
    const real *grad;
    size_t count;
} tensor;

enum { MAX_TENSORS = ATTN_MAX_PARAMS + 2 };

#ifdef PAL_DOUBLE
static const double gradient_limit = 1e-6, least_step = 4e-6, element_step = 4e-7;
#else
static const double gradient_limit = 5e-3, least_step = 2e-2, element_step = 6e-3;
#endif

/* Central difference of the loss along direction / norm. */
static double difference(trial *t, const tensor *list, size_t count, const double *direction, double step)
{
    double loss[2];
    size_t all = 0;
    for (size_t k = 0; k < count; k++) all += list[k].count;
    real *keep = guarded(all);
    for (int side = 0; side < 2; side++) {
        for (size_t k = 0, at = 0; k < count; k++)
            for (size_t i = 0; i < list[k].count; i++, at++) {
                if (side == 0) keep[at] = list[k].value[i];
                list[k].value[i] = (real)((double)keep[at] + (side ? -step : step) * direction[at]);
            }
        loss[side] = trial_loss(t);
    }
    for (size_t k = 0, at = 0; k < count; k++)
        for (size_t i = 0; i < list[k].count; i++, at++) list[k].value[i] = keep[at];
    release(keep, all, "keep");
    return (loss[0] - loss[1]) / (2 * step);
}

/* Central difference along a random unit direction through `count` tensors, against the gradient. The error is
 * taken relative to the derivative, or to the typical size of derivatives along random directions. A step may
 * cross a kink or a jump; then smaller ones are tried. */
static void compare_direction(trial *t, const tensor *list, size_t count, uint64_t seed)
{
    size_t all = 0;
    double norm = 0, grad_norm = 0, wanted = 0;
    for (size_t k = 0; k < count; k++) all += list[k].count;
    double *direction = zero_doubles(all);
    rng r = rng_make(seed, "test/direction", all, 0);
    for (size_t k = 0, at = 0; k < count; k++) {
        double square = 0; /* large values take large steps */
        for (size_t i = 0; i < list[k].count; i++) square += (double)list[k].value[i] * (double)list[k].value[i];
        const double scale = fmax(1, sqrt(square / (double)list[k].count));
        for (size_t i = 0; i < list[k].count; i++, at++) {
            direction[at] = scale * rng_normal(&r);
            norm += direction[at] * direction[at];
        }
    }
    norm = sqrt(norm);
    for (size_t k = 0, at = 0; k < count; k++)
        for (size_t i = 0; i < list[k].count; i++, at++) {
            direction[at] /= norm;
            wanted += direction[at] * (double)list[k].grad[i];
            grad_norm += (double)list[k].grad[i] * (double)list[k].grad[i];
        }
    const double first = fmax(element_step * norm, least_step);
    const double typical = sqrt(grad_norm / (double)all), most = fmax(fabs(wanted), typical);
    const double size = most > 0 ? most : 1; /* a tensor that only a module's own loss moves */
    double measured = 0, error = INFINITY;
    for (double step = first; error > gradient_limit && step > first / 100; step /= 3) {
        const double now = difference(t, list, count, direction, step);
        if (fabs(now - wanted) / size >= error) continue;
        error = fabs(now - wanted) / size;
        measured = now;
    }
    CHECK(error <= gradient_limit, "d loss / d %s: finite difference %.9g, gradient %.9g, relative error %.2g",
          count > 1 ? "everything" : list[0].name, measured, wanted, error);
    free(direction);
}

static int64_t option(const model_config *cfg, const char *key, int64_t otherwise)
{
    const kv_spec *spec = kv_find(cfg->attention->options, cfg->attention->option_count, key);
    return spec ? *(const int64_t *)((const char *)cfg + spec->offset) : otherwise;
}

/* Finite differences do not apply: gamma is a constant by design (as in ARMT's code), which cannot be frozen from
 * outside; and single-precision steps are so long that the choice of the k nearest changes. */
static int no_differences(const model_config *cfg)
{
    const int chooses = option(cfg, "knn_k", 0) < option(cfg, "knn_entries", 0);
    return option(cfg, "memory_z_rule", 0) == 1 || (chooses && sizeof(real) < sizeof(double));
}

static void gradients(const model_config *cfg, size_t layer)
{
    if (no_differences(cfg)) return;
    for (size_t history = 0; history <= 2; history += 2) {
        trial t;
        tensor list[MAX_TENSORS];
        size_t count = 0;
        trial_open(&t, cfg, layer, 2, 1, SEGMENTS, history);
        lab *l = &t.l;
        for (size_t i = 0; i < l->params; i++)
            list[count++] = (tensor){l->spec[i].name, l->param[i], l->grad[i], l->param_count[i]};
        list[count++] = (tensor){"x", t.x, t.dx, SEGMENTS * lab_segment_reals(l)};
        real *dstart = guarded(l->lanes * l->dstate_reals);
        for (size_t lane = 0; lane < l->lanes; lane++)
            memcpy(dstart + lane * l->dstate_reals, l->dstate[lane], l->dstate_reals * sizeof(real));
        if (l->dstate_reals > 0)
            list[count++] = (tensor){"the first state", t.start, dstart, l->lanes * l->dstate_reals};
        for (size_t k = 0; k < count; k++) {
            CHECK(all_finite(list[k].grad, list[k].count), "the gradient of %s is not finite", list[k].name);
            for (uint64_t seed = 0; seed < 2; seed++) compare_direction(&t, &list[k], 1, seed);
        }
        for (uint64_t seed = 0; seed < 3; seed++) compare_direction(&t, list, count, seed);
        release(dstart, l->lanes * l->dstate_reals, "dstart");
        trial_close(&t);
    }
}

static void test_gradients(void **unused)
{
    (void)unused;
    for_every_row(gradients);
}

/* Backward with one and two threads: same bits. A second backward adds the same gradient again. */
static void gradient_bits(const model_config *cfg, size_t layer)
{
    trial a, b;
    trial_open(&a, cfg, layer, 3, 1, 2, 1);
    trial_open(&b, cfg, layer, 3, 2, 2, 1);
    CHECK(same_bits(a.dx, b.dx, 2 * lab_segment_reals(&a.l)), "dx depends on the number of threads");
    for (size_t i = 0; i < a.l.params; i++)
        CHECK(same_bits(a.l.grad[i], b.l.grad[i], a.l.param_count[i]), "the gradient of %s depends on the threads",
              a.l.spec[i].name);
    for (size_t lane = 0; lane < 3; lane++)
        CHECK(same_bits(a.l.dstate[lane], b.l.dstate[lane], a.l.dstate_reals), "dstate depends on the threads");
    trial_backward(&a);
    for (size_t i = 0; i < a.l.params; i++) {
        double most = 0;
        for (size_t j = 0; j < a.l.param_count[i]; j++)
            most = fabs((double)b.l.grad[i][j]) > most ? fabs((double)b.l.grad[i][j]) : most;
        for (size_t j = 0; j < a.l.param_count[i]; j++)
            CHECK(fabs((double)a.l.grad[i][j] - 2 * (double)b.l.grad[i][j]) <= 10 * tolerance * most,
                  "the gradient of %s is not accumulated", a.l.spec[i].name);
    }
    trial_close(&a);
    trial_close(&b);
}

static void test_gradient_bits(void **unused)
{
    (void)unused;
    for_every_row(gradient_bits);
}

/* ---- state ---- */

/* Every real that sizes.state counts is used: after enough tokens none is as it was at the start. The guards of
 * the lab show that none beyond is. */
static void state_is_used(const model_config *cfg, size_t layer)
{
    lab l;
    lab_open(&l, cfg, layer, 1, 1, 1);
    real *x = lab_inputs(&l, 1, 7), *start = guarded(l.state_reals);
    memcpy(start, l.state[0], l.state_reals * sizeof(real));
    CHECK(all_finite(start, l.state_reals), "the reset state is not finite");
    const int64_t limit = attn_sizes_of(&l.cfg, l.layer, l.lanes).max_tokens;
    const size_t most = limit ? (size_t)limit : 70000;
    size_t same = l.state_reals;
    for (size_t look = 64; same > 0 && l.seen[0] < most;) {
        const size_t left = most - l.seen[0], valid[1] = {left < l.n ? left : l.n};
        x[l.seen[0] % lab_segment_reals(&l)] += 1;
        lab_forward(&l, 0, x, valid, NULL);
        if (l.seen[0] < look && l.seen[0] < most) continue;
        look *= 2;
        same = 0;
        for (size_t i = 0; i < l.state_reals; i++) same += l.state[0][i] == start[i];
    }
    CHECK(same == 0, "%zu of %zu reals of the state were never used", same, l.state_reals);
    CHECK(l.dstate_reals <= l.state_reals, "more gradients than state");
    double flops = 0;
    for (double context = 0; context < 1e6; context = 2 * context + 1) {
        const double now = l.module->flops(&l.cfg, layer, context);
        CHECK(now >= flops && isfinite(now), "flops at %g tokens: %g after %g", context, now, flops);
        flops = now;
    }
    release(x, lab_segment_reals(&l), "x");
    release(start, l.state_reals, "a state");
    lab_close(&l);
}

static void test_state_is_used(void **unused)
{
    (void)unused;
    for_every_row(state_is_used);
}

/* A state copied at a segment border and continued elsewhere gives the same bits. */
static void save_and_restore(const model_config *cfg, size_t layer)
{
    lab a, b;
    lab_open(&a, cfg, layer, 2, 1, 1);
    lab_open(&b, cfg, layer, 2, 1, 1);
    const size_t part = lab_segment_reals(&a);
    real *x = lab_inputs(&a, 4, 8), *ya = guarded(part), *yb = guarded(part);
    for (size_t s = 0; s < 4; s++) {
        if (s == 2)
            for (size_t lane = 0; lane < 2; lane++) {
                memcpy(b.state[lane], a.state[lane], a.state_reals * sizeof(real));
                b.seen[lane] = a.seen[lane];
            }
        lab_forward(&a, 0, x + s * part, NULL, ya);
        if (s < 2) continue;
        lab_forward(&b, 0, x + s * part, NULL, yb);
        CHECK(same_bits(ya, yb, part), "the outputs of a restored state differ");
    }
    for (size_t lane = 0; lane < 2; lane++)
        CHECK(same_bits(a.state[lane], b.state[lane], a.state_reals), "restored and continued states differ");
    release(x, 4 * part, "x");
    release(ya, part, "y");
    release(yb, part, "y");
    lab_close(&a);
    lab_close(&b);
}

static void test_save_and_restore(void **unused)
{
    (void)unused;
    for_every_row(save_and_restore);
}

/* A short segment: what is in the padding reaches neither the valid outputs nor the state, and the outputs are
 * those of the whole segment. A stream goes on after it. */
static void padding(const model_config *cfg, size_t layer)
{
    enum { LANES = 4 };
    lab a, b;
    lab_open(&a, cfg, layer, LANES, 1, 1);
    lab_open(&b, cfg, layer, LANES, 1, 1);
    const size_t part = lab_segment_reals(&a), lane_part = a.n * a.d_model;
    const size_t valid[LANES] = {5, 0, a.n, 1};
    real *x = lab_inputs(&a, 4, 9), *other = guarded(part), *ya = guarded(part), *yb = guarded(part);
    real *whole = guarded(part), *state = guarded(a.state_reals + 1);
    lab_forward(&a, 0, x, NULL, ya);
    lab_forward(&b, 0, x, NULL, yb);
    memcpy(other, x + part, part * sizeof(real));
    for (size_t lane = 0; lane < LANES; lane++)
        for (size_t i = valid[lane] * a.d_model; i < lane_part; i++) other[lane * lane_part + i] = (real)-3.5;
    memcpy(state, a.state[1], a.state_reals * sizeof(real));
    lab_forward(&a, 0, x + part, valid, ya);
    lab_forward(&b, 0, other, valid, yb);
    CHECK(same_bits(state, a.state[1], a.state_reals), "a lane without tokens changed its state");
    for (size_t lane = 0; lane < LANES; lane++) {
        CHECK(same_bits(ya + lane * lane_part, yb + lane * lane_part, valid[lane] * a.d_model),
              "padding reaches the outputs");
        CHECK(same_bits(a.state[lane], b.state[lane], a.state_reals), "padding reaches the state");
    }
    for (size_t s = 2; s < 4; s++) { /* the streams go on from the middle of a segment */
        lab_forward(&a, 0, x + s * part, NULL, ya);
        lab_forward(&b, 0, x + s * part, NULL, yb);
        CHECK(all_finite(ya, part) && same_bits(ya, yb, part), "the streams differ after a short segment");
    }
    lab_reset(&b);
    lab_reset(&a);
    lab_forward(&a, 0, x, NULL, ya);
    lab_forward(&a, 0, x + part, NULL, whole);
    lab_forward(&b, 0, x, NULL, yb);
    lab_forward(&b, 0, other, valid, yb);
    for (size_t lane = 0; lane < LANES; lane++)
        CHECK(same_bits(whole + lane * lane_part, yb + lane * lane_part, valid[lane] * a.d_model),
              "the outputs of a short segment are not those of the whole one");
    release(x, 4 * part, "x");
    release(other, part, "x");
    release(ya, part, "y");
    release(yb, part, "y");
    release(whole, part, "y");
    release(state, a.state_reals + 1, "a state");
    lab_close(&a);
    lab_close(&b);
}

static void test_padding(void **unused)
{
    (void)unused;
    for_every_row(padding);
}

/* Advancing without outputs leaves the same state. */
static void without_output(const model_config *cfg, size_t layer)
{
    lab a, b;
    lab_open(&a, cfg, layer, 2, 1, 1);
    lab_open(&b, cfg, layer, 2, 1, 1);
    const size_t part = lab_segment_reals(&a), last[2] = {a.n, 3};
    real *x = lab_inputs(&a, SEGMENTS, 10), *y = guarded(part);
    for (size_t s = 0; s < SEGMENTS; s++) {
        const size_t *valid = s + 1 == SEGMENTS ? last : NULL;
        lab_forward(&a, 0, x + s * part, valid, y);
        lab_forward(&b, 0, x + s * part, valid, NULL);
        for (size_t lane = 0; lane < 2; lane++)
            CHECK(same_bits(a.state[lane], b.state[lane], a.state_reals),
                  "the state depends on whether outputs are needed");
    }
    release(x, SEGMENTS * part, "x");
    release(y, part, "y");
    lab_close(&a);
    lab_close(&b);
}

static void test_without_output(void **unused)
{
    (void)unused;
    for_every_row(without_output);
}

/* ---- state sizes ---- */

static size_t state_of_stack(const char *module, const char *settings)
{
    const model_config cfg = lab_config(module, settings);
    size_t reals = 0;
    for (size_t layer = 0; layer < (size_t)cfg.n_layers; layer++) reals += attn_sizes_of(&cfg, layer, 1).state;
    return reals + (cfg.recurrence ? cfg.recurrence->state_reals(&cfg) : 0);
}

/* The model of the paper's Table 2: 12 layers, 8 heads of 128, segments of 2048 (arXiv 2404.07143). */
#define PAPER "d_model = 1024\nn_layers = 12\nn_heads = 8\nd_head = 128\nd_ff = 4096\nsegment = 2048\n"

static void test_state_formulas(void **unused)
{
    (void)unused;
    const size_t layers = 12, heads = 8, d = 128, n = 2048, d_model = 1024;
    const char *infini[] = {"infini-linear", "infini-delta", "infini-gated"};
    for (size_t i = 0; i < 3; i++) /* Table 1: d_k (d_v + 1) H l */
        assert_int_equal(state_of_stack(infini[i], PAPER), d * (d + 1) * heads * layers);
    /* Table 1 counts keys and values, (d_k + d_v) H N l; Transformer-XL caches the hidden states they are computed
     * from: half as many where d_model = H d_k. */
    assert_int_equal(state_of_stack("transformer-xl", PAPER), d_model * n * layers);
    assert_int_equal(2 * state_of_stack("transformer-xl", PAPER), (d + d) * heads * n * layers);
    /* (d_k + d_v) H N S for the N S tokens in memory, and Transformer-XL's caches of keys and values */
    assert_int_equal(state_of_stack("memorizing", PAPER "knn_entries = 65000\n"), (d + d) * heads * 65000);
    assert_int_equal(state_of_stack("memorizing", PAPER "knn_entries = 65000\nxl_len = 2048\n"),
                     (d + d) * heads * 65000 + (d + d) * heads * n * layers); /* the table's 183M */
    assert_int_equal(state_of_stack("local", PAPER), 0);
    assert_int_equal(state_of_stack("window", PAPER "window = 1021\nsinks = 4\n"),
                     (d + d) * heads * 1024 * layers);
    assert_int_equal(state_of_stack("full", PAPER "context = 32K\n"), (d + d) * heads * 32768 * layers);
    /* d_model (c + N) l, also in Table 1 */
    assert_int_equal(state_of_stack("compressive", PAPER "compressed_len = 512\n"), d_model * (512 + n) * layers);
    /* Table 1 counts memory tokens in every layer, d_model p l 2; between segments they are once. */
    assert_int_equal(state_of_stack("rmt", PAPER "memory_tokens = 100\n"), 100 * d_model);
    assert_int_equal(state_of_stack("autocompressor", PAPER "memory_tokens = 50\naccumulate = 7\n"),
                     7 * 50 * d_model);
    assert_int_equal(state_of_stack("armt", PAPER), 6 * 64 * (d_model + 1) * layers);
    /* a square for each head, and the rows that the convolution has still to see */
    assert_int_equal(state_of_stack("deltanet", PAPER), (d * d + 3 * (d + d + d)) * heads * layers);
    assert_int_equal(state_of_stack("gated-deltanet", PAPER "expand_v = 2\nconv_width = 2\n"),
                     (2 * d * d + (d + d + 2 * d)) * heads * layers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_causality),      cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_gradients),      cmocka_unit_test(test_gradient_bits),
        cmocka_unit_test(test_state_is_used),  cmocka_unit_test(test_save_and_restore),
        cmocka_unit_test(test_padding),        cmocka_unit_test(test_without_output),
        cmocka_unit_test(test_state_formulas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

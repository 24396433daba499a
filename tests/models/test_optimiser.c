/* Optimisers against naive double oracles, over a real decoder's tensors: matrices, vectors and gates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/rng.h"
#include "models/decoder/config_keys.h"
#include "models/engine/kernels.h"
#include "models/training/optimiser.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef PAL_DOUBLE
static const double tolerance = 1e-12;
#else
static const double tolerance = 2e-6;
#endif

enum { ADAMW, ADAFACTOR, STEPS = 5 };

typedef struct bench {
    decoder *d;
    pool *pool;
    optimiser o;
    real *grad;
    double *w, *m, *v; /* the oracle's, laid out as the weights; Adafactor: m holds row, v column statistics */
    size_t reals;
} bench;

static void open_bench(bench *b, const optimiser_config *cfg, int threads)
{
    pal_error err;
    kv_pairs pairs = {0};
    model_config model;
    /* The embedding is larger than one block of work. */
    const char *text = "attention = infini-linear\nvocab = 700\nd_model = 24\nn_layers = 1\nn_heads = 3\n"
                       "d_head = 8\nd_ff = 40\nsegment = 16\ninit_std = 0.3\n";
    assert_int_equal(kv_pairs_parse(&pairs, text, "test", &err), PAL_OK);
    if (model_config_read(&model, &pairs, &err) != PAL_OK) fail_msg("%s", err.text);
    kv_pairs_free(&pairs);
    assert_int_equal(decoder_create(&b->d, &model, &err), PAL_OK);
    decoder_init(b->d, 1);
    assert_int_equal(pool_create(&b->pool, threads, &err), PAL_OK);
    assert_int_equal(optimiser_create(&b->o, cfg, b->d, &err), PAL_OK);
    b->reals = decoder_weight_reals(b->d);
    b->grad = calloc(b->reals, sizeof *b->grad);
    b->w = calloc(b->reals, sizeof *b->w);
    b->m = calloc(b->reals, sizeof *b->m);
    b->v = calloc(b->reals, sizeof *b->v);
    for (size_t i = 0; i < b->reals; i++) b->w[i] = (double)decoder_weights(b->d)[i];
}

static void close_bench(bench *b)
{
    optimiser_destroy(&b->o);
    pool_destroy(b->pool);
    decoder_destroy(b->d);
    free(b->grad);
    free(b->w);
    free(b->m);
    free(b->v);
}

/* A new random gradient; its size jumps from step to step. */
static void draw_gradient(bench *b, int step)
{
    static const double size[STEPS] = {0.1, 2, 0.05, 1, 0.3};
    memset(b->grad, 0, b->reals * sizeof *b->grad);
    for (size_t k = 0; k < decoder_param_count(b->d); k++) {
        const decoder_param *p = decoder_param_at(b->d, k);
        rng r = rng_make(5, p->name, (uint64_t)step, 0);
        for (size_t i = 0; i < decoder_param_elements(p); i++)
            b->grad[p->offset + i] = (real)(size[step % STEPS] * rng_normal(&r));
    }
}

static double oracle_norm(const bench *b)
{
    double sum = 0;
    for (size_t i = 0; i < b->reals; i++) sum += (double)b->grad[i] * (double)b->grad[i];
    return sqrt(sum);
}

static double oracle_scale(const bench *b)
{
    const double norm = oracle_norm(b), clip = b->o.cfg.clip;
    return clip > 0 && norm > clip ? clip / norm : 1;
}

static double oracle_lr(const bench *b, const decoder_param *p, double lr)
{
    return p->flags & PARAM_GATE ? lr * b->o.cfg.gate_lr_scale : lr;
}

static double oracle_decay(const bench *b, const decoder_param *p, double lr)
{
    return p->flags & (PARAM_GATE | PARAM_NO_DECAY) ? 0 : lr * b->o.cfg.weight_decay;
}

/* Loshchilov & Hutter 2019, algorithm 2, with bias-corrected moments written out. */
static void oracle_adamw(bench *b, int t, double lr)
{
    const optimiser_config *c = &b->o.cfg;
    const double scale = oracle_scale(b);
    for (size_t k = 0; k < decoder_param_count(b->d); k++) {
        const decoder_param *p = decoder_param_at(b->d, k);
        for (size_t i = p->offset; i < p->offset + decoder_param_elements(p); i++) {
            const double g = (double)b->grad[i] * scale;
            b->m[i] = c->beta1 * b->m[i] + (1 - c->beta1) * g;
            b->v[i] = c->beta2 * b->v[i] + (1 - c->beta2) * g * g;
            const double m = b->m[i] / (1 - pow(c->beta1, t)), v = b->v[i] / (1 - pow(c->beta2, t));
            b->w[i] = b->w[i] * (1 - oracle_decay(b, p, lr)) - oracle_lr(b, p, lr) * m / (sqrt(v) + c->eps);
        }
    }
}

/* Shazeer & Stern 2018, algorithms 4 and 5, with sums as printed. Returns how many tensors had their update
 * clipped.
 */
static int oracle_adafactor(bench *b, int t, double lr)
{
    const double scale = oracle_scale(b), beta2 = 1 - pow(t, -0.8), eps1 = 1e-30;
    int clipped = 0;
    for (size_t k = 0; k < decoder_param_count(b->d); k++) {
        const decoder_param *p = decoder_param_at(b->d, k);
        const size_t n = p->rows, m = p->cols, at = p->offset;
        double *row = b->m + at, *col = b->v + at; /* row has n <= n * m elements */
        double *u = malloc(n * m * sizeof *u);
        for (size_t i = 0; i < n * m; i++) u[i] = (double)b->grad[at + i] * scale;
        if (n > 1) {
            for (size_t i = 0; i < n; i++) {
                double sum = 0;
                for (size_t j = 0; j < m; j++) sum += u[i * m + j] * u[i * m + j] + eps1;
                row[i] = beta2 * row[i] + (1 - beta2) * sum;
            }
            for (size_t j = 0; j < m; j++) {
                double sum = 0;
                for (size_t i = 0; i < n; i++) sum += u[i * m + j] * u[i * m + j] + eps1;
                col[j] = beta2 * col[j] + (1 - beta2) * sum;
            }
            double total = 0;
            for (size_t i = 0; i < n; i++) total += row[i];
            for (size_t i = 0; i < n * m; i++) u[i] /= sqrt(row[i / m] * col[i % m] / total);
        } else {
            for (size_t i = 0; i < m; i++) {
                col[i] = beta2 * col[i] + (1 - beta2) * (u[i] * u[i] + eps1);
                u[i] /= sqrt(col[i]);
            }
        }
        double squares = 0;
        for (size_t i = 0; i < n * m; i++) squares += u[i] * u[i];
        const double rms = sqrt(squares / (double)(n * m)), divisor = rms > 1 ? rms : 1;
        clipped += rms > 1.01;
        for (size_t i = 0; i < n * m; i++)
            b->w[at + i] = b->w[at + i] * (1 - oracle_decay(b, p, lr)) - oracle_lr(b, p, lr) * u[i] / divisor;
        free(u);
    }
    return clipped;
}

static void assert_weights_agree(const bench *b)
{
    for (size_t i = 0; i < b->reals; i++) {
        const double w = (double)decoder_weights(b->d)[i];
        if (!(fabs(w - b->w[i]) <= tolerance * (1 + fabs(b->w[i]))))
            fail_msg("weight %zu is %.9g, the oracle's %.9g", i, w, b->w[i]);
    }
}

/* ---- Against the oracles. ---- */

static const optimiser_config plain = {
    .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .clip = 0, .gate_lr_scale = 20};

static void run_against_oracle(int kind, double clip)
{
    bench b;
    optimiser_config cfg = plain;
    cfg.kind = kind;
    cfg.clip = clip;
    open_bench(&b, &cfg, 1);
    int clipped_norms = 0, clipped_updates = 0;
    for (int step = 0; step < STEPS; step++) {
        const double lr = 0.01 * (step + 1);
        draw_gradient(&b, step);
        clipped_norms += oracle_scale(&b) < 1;
        if (kind == ADAMW)
            oracle_adamw(&b, step + 1, lr);
        else
            clipped_updates += oracle_adafactor(&b, step + 1, lr);
        const double norm = optimiser_step(&b.o, b.d, b.pool, b.grad, lr);
        assert_true(fabs(norm - oracle_norm(&b)) <= 1e-12 * norm);
        assert_int_equal(b.o.step, step + 1);
        assert_weights_agree(&b);
    }
    if (clip > 0) assert_true(clipped_norms > 0 && clipped_norms < STEPS);
    if (kind == ADAFACTOR && clip == 0) assert_true(clipped_updates > 0);
    close_bench(&b);
}

static void test_adamw(void **state)
{
    (void)state;
    run_against_oracle(ADAMW, 0);
}

static void test_adamw_clipped(void **state)
{
    (void)state;
    run_against_oracle(ADAMW, 40);
}

static void test_adafactor(void **state)
{
    (void)state;
    run_against_oracle(ADAFACTOR, 0);
}

static void test_adafactor_clipped(void **state)
{
    (void)state;
    run_against_oracle(ADAFACTOR, 40);
}

/* ---- Properties. ---- */

/* Without a gradient only the decay acts, and not on exempt tensors. */
static void test_decay_exemptions(void **state)
{
    (void)state;
    for (int kind = ADAMW; kind <= ADAFACTOR; kind++) {
        bench b;
        optimiser_config cfg = plain;
        cfg.kind = kind;
        open_bench(&b, &cfg, 1);
        for (size_t i = 0; i < b.reals; i++) decoder_weights(b.d)[i] = 1;
        assert_true(optimiser_step(&b.o, b.d, b.pool, b.grad, 0.5) == 0);
        int decayed = 0, no_decay = 0, gates = 0;
        for (size_t k = 0; k < decoder_param_count(b.d); k++) {
            const decoder_param *p = decoder_param_at(b.d, k);
            const int exempt = (p->flags & (PARAM_NO_DECAY | PARAM_GATE)) != 0;
            for (size_t i = 0; i < decoder_param_elements(p); i++) {
                const double w = (double)decoder_weights(b.d)[p->offset + i];
                assert_true(exempt ? w == 1 : fabs(w - 0.95) < 1e-6);
            }
            decayed += !exempt;
            no_decay += (p->flags & PARAM_NO_DECAY) != 0;
            gates += (p->flags & PARAM_GATE) != 0;
        }
        assert_true(decayed > 0 && no_decay > 0 && gates > 0);
        close_bench(&b);
    }
}

/* AdamW's first update is lr times the gradient's sign, for gates gate_lr_scale times that. */
static void test_gates_learn_faster(void **state)
{
    (void)state;
    bench b;
    optimiser_config cfg = plain;
    cfg.weight_decay = 0;
    open_bench(&b, &cfg, 1);
    draw_gradient(&b, 0);
    optimiser_step(&b.o, b.d, b.pool, b.grad, 1e-3);
    for (size_t k = 0; k < decoder_param_count(b.d); k++) {
        const decoder_param *p = decoder_param_at(b.d, k);
        const double expected = p->flags & PARAM_GATE ? 20e-3 : 1e-3;
        const double moved = fabs((double)decoder_weights(b.d)[p->offset] - b.w[p->offset]);
        assert_true(fabs(moved - expected) < 1e-6);
    }
    close_bench(&b);
}

static void test_padding_stays_zero(void **state)
{
    (void)state;
    for (int kind = ADAMW; kind <= ADAFACTOR; kind++) {
        bench b;
        optimiser_config cfg = plain;
        cfg.kind = kind;
        open_bench(&b, &cfg, 1);
        for (int step = 0; step < 2; step++) {
            draw_gradient(&b, step);
            optimiser_step(&b.o, b.d, b.pool, b.grad, 0.1);
        }
        size_t padding = 0, end = 0;
        for (size_t k = 0; k <= decoder_param_count(b.d); k++) {
            const decoder_param *p = k < decoder_param_count(b.d) ? decoder_param_at(b.d, k) : NULL;
            for (; end < (p ? p->offset : b.reals); end++, padding++) assert_true(decoder_weights(b.d)[end] == 0);
            if (p) end = p->offset + decoder_param_elements(p);
        }
        assert_true(padding > 0);
        close_bench(&b);
    }
}

static void test_non_finite_gradient_changes_nothing(void **state)
{
    (void)state;
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int kind = ADAMW; kind <= ADAFACTOR; kind++) {
        bench b;
        optimiser_config cfg = plain;
        cfg.kind = kind;
        cfg.clip = 1;
        open_bench(&b, &cfg, 1);
        draw_gradient(&b, 0);
        optimiser_step(&b.o, b.d, b.pool, b.grad, 0.1);
        const size_t weights = b.reals * sizeof(real), moments = b.o.memory.capacity;
        char *before = malloc(weights), *memory = malloc(moments);
        memcpy(before, decoder_weights(b.d), weights);
        memcpy(memory, b.o.second, b.o.second_reals * sizeof(real));
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            draw_gradient(&b, 1);
            const decoder_param *last = decoder_param_at(b.d, decoder_param_count(b.d) - 1);
            b.grad[last->offset + decoder_param_elements(last) - 1] = (real)bad[i];
            assert_false(isfinite(optimiser_step(&b.o, b.d, b.pool, b.grad, 0.1)));
            assert_int_equal(b.o.step, 1);
            assert_memory_equal(before, decoder_weights(b.d), weights);
            assert_memory_equal(memory, b.o.second, b.o.second_reals * sizeof(real));
        }
        draw_gradient(&b, 1);
        assert_true(isfinite(optimiser_step(&b.o, b.d, b.pool, b.grad, 0.1)));
        assert_int_equal(b.o.step, 2);
        free(before);
        free(memory);
        close_bench(&b);
    }
}

static void test_same_bits_with_any_threads(void **state)
{
    (void)state;
    for (int kind = ADAMW; kind <= ADAFACTOR; kind++) {
        bench one, three;
        optimiser_config cfg = plain;
        cfg.kind = kind;
        cfg.clip = 40;
        open_bench(&one, &cfg, 1);
        open_bench(&three, &cfg, 3);
        for (int step = 0; step < STEPS; step++) {
            draw_gradient(&one, step);
            draw_gradient(&three, step);
            const double a = optimiser_step(&one.o, one.d, one.pool, one.grad, 0.1);
            const double b = optimiser_step(&three.o, three.d, three.pool, three.grad, 0.1);
            assert_memory_equal(&a, &b, sizeof a);
            assert_memory_equal(decoder_weights(one.d), decoder_weights(three.d), one.reals * sizeof(real));
        }
        close_bench(&one);
        close_bench(&three);
    }
}

/* ---- Parts: two of them in two threads, which hand each other what they have. ---- */

typedef struct two_parts {
    void *data[2];
    pthread_barrier_t meet;
} two_parts;

typedef struct one_part {
    two_parts *both;
    bench b;
    optimiser_peers peers;
    size_t at[3];
    double norm[STEPS];
    optimiser joined;
} one_part;

static int swap_parts(void *arg, void *data, const size_t *at)
{
    one_part *p = arg;
    const int other = 1 - p->peers.part;
    p->both->data[p->peers.part] = data;
    pthread_barrier_wait(&p->both->meet);
    memcpy((char *)data + at[other], (char *)p->both->data[other] + at[other], at[other + 1] - at[other]);
    pthread_barrier_wait(&p->both->meet);
    return 1;
}

static void *run_one_part(void *arg)
{
    one_part *p = arg;
    pal_error err;
    for (int step = 0; step < STEPS; step++) {
        draw_gradient(&p->b, step);
        p->norm[step] = optimiser_step(&p->b.o, p->b.d, p->b.pool, p->b.grad, 0.1);
    }
    return optimiser_join(&p->b.o, p->b.d, &p->joined, &err) == PAL_OK ? p : NULL;
}

static void test_parts(void **state)
{
    (void)state;
    for (int kind = ADAMW; kind <= ADAFACTOR; kind++) {
        bench whole;
        two_parts both;
        one_part part[2];
        pthread_t thread[2];
        pal_error err;
        optimiser_config cfg = plain;
        cfg.kind = kind;
        cfg.clip = 40;
        open_bench(&whole, &cfg, 1);
        pthread_barrier_init(&both.meet, NULL, 2);
        for (int i = 0; i < 2; i++) {
            part[i] = (one_part){.both = &both};
            open_bench(&part[i].b, &cfg, 1);
            part[i].peers = (optimiser_peers){i, 2, swap_parts, &part[i], part[i].at};
            assert_int_equal(optimiser_split(&part[i].b.o, part[i].b.d, &part[i].peers, &err), PAL_OK);
            if (kind == ADAMW) assert_in_range(part[i].b.o.first_reals, 1, whole.reals - 1);
        }
        if (kind == ADAMW) assert_int_equal(part[0].b.o.first_reals + part[1].b.o.first_reals, whole.reals);
        for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&thread[i], NULL, run_one_part, &part[i]), 0);
        for (int i = 0; i < 2; i++) {
            void *done;
            pthread_join(thread[i], &done);
            assert_non_null(done);
        }
        for (int step = 0; step < STEPS; step++) {
            draw_gradient(&whole, step);
            const double norm = optimiser_step(&whole.o, whole.d, whole.pool, whole.grad, 0.1);
            assert_memory_equal(&norm, &part[0].norm[step], sizeof norm);
            assert_memory_equal(&norm, &part[1].norm[step], sizeof norm);
        }
        for (int i = 0; i < 2; i++) {
            const optimiser *o = &part[i].joined;
            assert_memory_equal(decoder_weights(whole.d), decoder_weights(part[i].b.d),
                                whole.reals * sizeof(real));
            assert_int_equal(o->step, STEPS);
            assert_int_equal(o->second_reals, whole.o.second_reals);
            if (kind == ADAMW) assert_memory_equal(o->first, whole.o.first, whole.o.first_reals * sizeof(real));
            assert_memory_equal(o->second, whole.o.second, whole.o.second_reals * sizeof(real));
            optimiser_destroy(&part[i].joined);
            close_bench(&part[i].b);
        }
        pthread_barrier_destroy(&both.meet);
        close_bench(&whole);
    }
}

/* The point of Adafactor: moments of rows + cols numbers a matrix. */
static void test_sizes_of_moments(void **state)
{
    (void)state;
    bench b;
    optimiser_config cfg = plain;
    open_bench(&b, &cfg, 1);
    assert_int_equal(b.o.first_reals, b.reals);
    assert_int_equal(b.o.second_reals, b.reals);
    close_bench(&b);
    cfg.kind = ADAFACTOR;
    open_bench(&b, &cfg, 1);
    assert_int_equal(b.o.first_reals, 0);
    assert_null(b.o.first);
    size_t expected = 0;
    for (size_t k = 0; k < decoder_param_count(b.d); k++) {
        const decoder_param *p = decoder_param_at(b.d, k);
        expected += p->rows > 1 ? p->rows + p->cols : p->cols;
    }
    assert_int_equal(b.o.second_reals, expected);
    close_bench(&b);
}

/* ---- Schedule. ---- */

static void test_schedule(void **state)
{
    (void)state;
    const struct {
        int64_t step;
        double lr;
    } known[] = {{0, 0.2},   {4, 1},     {9, 2}, {10, 2}, {60, 1.1}, {35, 0.2 + 1.8 * 0.5 * (1 + sqrt(0.5))},
                 {110, 0.2}, {1000, 0.2}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_true(fabs(schedule_lr(known[i].step, 10, 110, 2, 0.2) - known[i].lr) < 1e-12);
    for (int64_t step = 10; step < 110; step++)
        assert_true(schedule_lr(step + 1, 10, 110, 2, 0.2) < schedule_lr(step, 10, 110, 2, 0.2));
    assert_true(schedule_lr(0, 0, 100, 2, 0) == 2);
    assert_true(schedule_lr(0, 0, 0, 2, 0.5) == 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adamw),
        cmocka_unit_test(test_adamw_clipped),
        cmocka_unit_test(test_adafactor),
        cmocka_unit_test(test_adafactor_clipped),
        cmocka_unit_test(test_decay_exemptions),
        cmocka_unit_test(test_gates_learn_faster),
        cmocka_unit_test(test_padding_stays_zero),
        cmocka_unit_test(test_non_finite_gradient_changes_nothing),
        cmocka_unit_test(test_same_bits_with_any_threads),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_sizes_of_moments),
        cmocka_unit_test(test_schedule),
    };
    return cmocka_run_group_tests_name("optimiser", tests, NULL, NULL);
}

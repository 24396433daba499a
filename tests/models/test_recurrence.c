/* A recurrence above the attention: a test double that carries what the last block left of the last token.
 * Gradients through three segments, the same bits for any number of threads and cuts, an empty state after a
 * reset. */
#include "models/decoder/state.h"
#include "tests/lib/decoder_lab.h"

#include "models/attention/recurrence.h"

/* The state becomes half of itself plus the last real row, and enters every row, scaled by a learned vector. */
static size_t double_params(const model_config *cfg, param_spec *spec)
{
    spec[0] = (param_spec){"carried.scale", 1, (size_t)cfg->d_model, INIT_CONSTANT, 0.7, PARAM_NO_DECAY};
    return 1;
}

static size_t double_state(const model_config *cfg)
{
    return (size_t)cfg->d_model;
}

static size_t double_saved(const model_config *cfg, size_t lanes)
{
    return lanes * (size_t)cfg->d_model;
}

static void double_enter(const recurrence_call *c, real *x)
{
    const size_t n = (size_t)c->cfg->segment, m = (size_t)c->cfg->d_model;
    for (size_t lane = 0; lane < c->lanes; lane++) {
        memcpy(c->saved + lane * m, c->state[lane], m * sizeof(real));
        for (size_t t = 0; t < n; t++)
            for (size_t i = 0; i < m; i++) x[(lane * n + t) * m + i] += c->param[0][i] * c->state[lane][i];
    }
}

static void double_leave(const recurrence_call *c, const real *x)
{
    const size_t n = (size_t)c->cfg->segment, m = (size_t)c->cfg->d_model;
    for (size_t lane = 0; lane < c->lanes; lane++)
        for (size_t i = 0; c->valid[lane] > 0 && i < m; i++)
            c->state[lane][i] = (real)0.5 * c->state[lane][i] + x[(lane * n + c->valid[lane] - 1) * m + i];
}

static void double_leave_backward(const recurrence_call *c, const real *x, real *dx)
{
    (void)x;
    const size_t n = (size_t)c->cfg->segment, m = (size_t)c->cfg->d_model;
    for (size_t lane = 0; lane < c->lanes; lane++)
        for (size_t i = 0; c->valid[lane] > 0 && i < m; i++) {
            dx[(lane * n + c->valid[lane] - 1) * m + i] += c->dstate[lane][i];
            c->dstate[lane][i] *= (real)0.5;
        }
}

static void double_enter_backward(const recurrence_call *c, real *dx)
{
    const size_t n = (size_t)c->cfg->segment, m = (size_t)c->cfg->d_model;
    for (size_t lane = 0; lane < c->lanes; lane++)
        for (size_t t = 0; t < n; t++)
            for (size_t i = 0; i < m; i++) {
                const real d = dx[(lane * n + t) * m + i];
                c->grad[0][i] += d * c->saved[lane * m + i];
                c->dstate[lane][i] += d * c->param[0][i];
            }
}

static const recurrence test_double = {
    .name = "test-double",
    .params = double_params,
    .state_reals = double_state,
    .saved_reals = double_saved,
    .enter = double_enter,
    .leave = double_leave,
    .leave_backward = double_leave_backward,
    .enter_backward = double_enter_backward,
};

static model_config carried_config(const char *attention, const char *settings)
{
    model_config cfg = small_config_with(attention, settings);
    cfg.recurrence = &test_double;
    return cfg;
}

static void gradients(void **unused)
{
    (void)unused;
    static const char *const modules[] = {"local", "infini-delta"};
    for (size_t i = 0; i < 2; i++) {
        const model_config cfg = carried_config(modules[i], "final_norm = 1\n");
        for (int recompute = 0; recompute <= 1; recompute++) {
            bench b;
            open_bench(&b, &cfg, 2, recompute);
            check_gradients(&b);
            close_bench(&b);
        }
    }
}

static void collect(void *arg, size_t lane, uint64_t position, double nll, int32_t argmax)
{
    (void)lane, (void)argmax;
    ((double *)arg)[position] = nll;
}

/* The losses of a stream fed in pieces by some threads, the first half of it unscored. */
static void read_text(const decoder *d, int threads, size_t piece, uint64_t from, double *nll)
{
    enum { LENGTH = 3 * N + 5 };
    pal_error err;
    pool *workers;
    stream *s;
    int32_t tokens[LENGTH];
    for (size_t i = 0; i < LENGTH; i++) tokens[i] = (int32_t)(i * i * 7 % VOCAB);
    assert_int_equal(pool_create(&workers, threads, &err), PAL_OK);
    assert_int_equal(stream_create(&s, d, workers, 1, &err), PAL_OK);
    for (size_t at = 0; at < LENGTH; at += piece)
        stream_feed(s, tokens + at, LENGTH, LENGTH - at < piece ? LENGTH - at : piece, from, collect, nll);
    stream_flush(s, from, collect, nll);
    stream_destroy(s);
    pool_destroy(workers);
}

static void streams_carry_it(void **unused)
{
    (void)unused;
    enum { LENGTH = 3 * N + 5 };
    const model_config cfg = carried_config("infini-linear", ""), plain = small_config("infini-linear");
    pal_error err;
    decoder *d, *without;
    double want[LENGTH] = {0}, got[LENGTH] = {0}, none[LENGTH] = {0};
    use_blas();
    assert_int_equal(decoder_create(&d, &cfg, &err), PAL_OK);
    assert_int_equal(decoder_create(&without, &plain, &err), PAL_OK);
    decoder_init(d, 5);
    decoder_init(without, 5);
    read_text(d, 1, LENGTH, 1, want);
    read_text(without, 1, LENGTH, 1, none);
    for (size_t i = 1; i < LENGTH; i++) /* it shows from the second segment on, and only there */
        assert_true(i <= N ? want[i] == none[i] : want[i] != none[i]);
    for (int threads = 1; threads <= 3; threads++) {
        read_text(d, threads, 11, 1, got);
        assert_memory_equal(got + 1, want + 1, (LENGTH - 1) * sizeof *got);
        read_text(d, threads, 13, 2 * N + 1, got); /* what is not scored is carried all the same */
        assert_memory_equal(got + 1, want + 1, (LENGTH - 1) * sizeof *got);
    }
    assert_true(decoder_reach(d) == UINT64_MAX);
    assert_int_equal(decoder_memory_bytes(d), decoder_memory_bytes(without) + 24 * sizeof(real));
    void *state = calloc(1, decoder_state_bytes(d));
    decoder_state_reset(d, state);
    assert_int_equal(decoder_state_check(without, state, &err), PAL_DATA);
    free(state);
    decoder_destroy(d);
    decoder_destroy(without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients),
        cmocka_unit_test(streams_carry_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

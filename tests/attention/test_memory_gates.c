/* Infini-gated's gates: what is written through them, what writing costs, and what is read. */
#include "models/attention/infini.h"
#include "tests/lib/attention_oracle.h"

/* A write gate shut by its bias leaves the memory untouched to the bit; one wide open is the paper's update. */
static void write_gate(void **unused)
{
    (void)unused;
    enum { SEGMENTS = 3 };
    const model_config cfg = lab_config("infini-gated", ""), linear_cfg = lab_config("infini-linear", "");
    lab gated, linear;
    lab_open(&gated, &cfg, 0, 1, 1, 1);
    lab_open(&linear, &linear_cfg, 0, 1, 1, 1);
    const size_t part = lab_segment_reals(&gated);
    real *bias = gated.param[lab_param(&gated, "write_gate.bias")];
    real *x = lab_inputs(&gated, SEGMENTS, 28), *empty = guarded(gated.state_reals);
    memcpy(empty, gated.state[0], gated.state_reals * sizeof *empty);
    for (size_t h = 0; h < (size_t)cfg.n_heads; h++) bias[h] = -1000;
    real *shut = stream(&gated, x, SEGMENTS);
    CHECK(same_bits(empty, gated.state[0], gated.state_reals), "a shut write gate writes");
    for (size_t h = 0; h < (size_t)cfg.n_heads; h++) bias[h] = 1000;
    real *open = stream(&gated, x, SEGMENTS), *paper = stream(&linear, x, SEGMENTS);
    CHECK(same_bits(open, paper, SEGMENTS * part), "an open write gate is not the linear update");
    release(x, SEGMENTS * part, "x");
    release(empty, gated.state_reals, "a state");
    release(shut, SEGMENTS * part, "y");
    release(open, SEGMENTS * part, "y");
    release(paper, SEGMENTS * part, "y");
    lab_close(&gated);
    lab_close(&linear);
}

/* The state after `segments` of the same text, all gates of which have this bias. */
static real *written(const char *settings, double bias, size_t segments, size_t *reals)
{
    const model_config cfg = lab_config("infini-gated", settings);
    lab l;
    lab_open(&l, &cfg, 0, 1, 1, 1);
    const size_t which = lab_param(&l, "write_gate.bias"), weight = lab_param(&l, "write_gate.weight");
    memset(l.param[weight], 0, l.param_count[weight] * sizeof(real));
    for (size_t h = 0; h < (size_t)cfg.n_heads; h++) l.param[which][h] = (real)bias;
    real *x = lab_inputs(&l, segments, 28), *y = stream(&l, x, segments), *state = guarded(l.state_reals);
    memcpy(state, l.state[0], l.state_reals * sizeof *state);
    *reals = l.state_reals;
    release(x, segments * lab_segment_reals(&l), "x");
    release(y, segments * lab_segment_reals(&l), "y");
    lab_close(&l);
    return state;
}

static void expect_written(const char *a, double bias_a, size_t segments_a, const char *b, double bias_b,
                           size_t segments_b, int same)
{
    size_t reals, other;
    real *x = written(a, bias_a, segments_a, &reals), *y = written(b, bias_b, segments_b, &other);
    assert_int_equal(reals, other);
    CHECK(same_bits(x, y, reals) == same, "%s and %s", a, b);
    release(x, reals, "a state");
    release(y, other, "a state");
}

/* Segments write from a token on; an offset is taken from the bias. */
static void where_gates_write(void **unused)
{
    (void)unused;
    expect_written("write_from = 1000\n", 1, 3, "", -1000, 3, 1);
    expect_written("write_from = 15\n", 1, 3, "", 1, 1, 0);
    expect_written("write_from = 15\n", 1, 2, "", 1, 2, 0);
    expect_written("write_from = 0\n", 1, 3, "", 1, 3, 1);
    expect_written("write_offset = 0.5\n", 1.5, 3, "", 1, 3, 1);
    expect_written("write_offset = 3\n", 0.5, 3, "", -1000, 3, 1);
    expect_written("write_offset = 2\n", 0.5, 3, "", -1000, 3, 0);
}

/* d penalty / d bias of a head whose gates all stand at `bias`. */
static double penalty_slope(int on_logit, double bias)
{
    const model_config cfg = lab_config("infini-gated", "");
    lab l;
    lab_open(&l, &cfg, 0, 1, 1, 1);
    const size_t part = lab_segment_reals(&l), which = lab_param(&l, "write_gate.bias");
    const size_t weight = lab_param(&l, "write_gate.weight");
    memset(l.param[weight], 0, l.param_count[weight] * sizeof(real));
    for (size_t h = 0; h < (size_t)cfg.n_heads; h++) l.param[which][h] = (real)bias;
    real *x = lab_inputs(&l, 1, 29), *y = guarded(part), *dy = guarded(part), *dx = guarded(part);
    l.penalty = (attn_penalty){.weight = (double)cfg.n_heads / (double)l.n, .on_logit = on_logit};
    lab_forward(&l, 0, x, NULL, y);
    lab_backward(&l, 0, x, dy, dx);
    const double slope = (double)l.grad[which][0];
    release(x, part, "x");
    release(y, part, "y");
    release(dy, part, "dy");
    release(dx, part, "dx");
    lab_close(&l);
    return slope;
}

/* The penalty of openings is the slope of 1.2 sigmoid - 0.1; that of logits is as steep half way and stays so in
 * a gate that is wide open; neither moves one that is shut. */
static void write_penalties(void **unused)
{
    (void)unused;
    for (int on_logit = 0; on_logit < 2; on_logit++) {
        CHECK(fabs(penalty_slope(on_logit, 0) - 0.3) < tolerance, "half way");
        CHECK(penalty_slope(on_logit, -40) == 0, "shut");
    }
    CHECK(fabs(penalty_slope(0, 2) - 1.2 * exp(-2) / pow(1 + exp(-2), 2)) < tolerance, "nearly open");
    CHECK(fabs(penalty_slope(0, 40)) < tolerance, "wide open");
    CHECK(fabs(penalty_slope(1, 40) - 0.3) < tolerance, "wide open, of the logit");
    CHECK(penalty_slope(0, -3) == 0, "just shut");
    CHECK(fabs(penalty_slope(1, -3) - 0.3) < tolerance, "just shut, of the logit");
}

/* y of three segments of the same text; gates wide open write, and read with `beta`, through a read gate of the
 * bias `read` where the module has one. */
static real *read_through(const char *module, const char *settings, double beta, double read, size_t *reals)
{
    const model_config cfg = lab_config(module, settings);
    lab l;
    lab_open(&l, &cfg, 0, 1, 1, 1);
    for (size_t h = 0; h < (size_t)cfg.n_heads; h++) {
        l.param[lab_param(&l, "gate")][h] = (real)beta;
        l.param[lab_param(&l, "write_gate.bias")][h] = 1000;
        if (infini_gates_reads(&cfg)) l.param[lab_param(&l, "read_gate.bias")][h] = (real)read;
    }
    if (infini_gates_reads(&cfg)) {
        const size_t weight = lab_param(&l, "read_gate.weight");
        memset(l.param[weight], 0, l.param_count[weight] * sizeof(real));
    }
    real *x = lab_inputs(&l, 3, 28), *y = stream(&l, x, 3);
    *reals = 3 * lab_segment_reals(&l);
    release(x, *reals, "x");
    lab_close(&l);
    return y;
}

static void expect_read(const char *mix, double read, double beta, int same)
{
    char gated[128];
    size_t reals, other;
    snprintf(gated, sizeof gated, "%sread_gate = token\n", mix);
    real *x = read_through("infini-gated", gated, 0.75, read, &reals);
    real *y = read_through("infini-gated", mix, beta, 0, &other);
    assert_int_equal(reals, other);
    CHECK(same_bits(x, y, reals) == same, "%s, a read gate of bias %g", mix, read);
    release(x, reals, "y");
    release(y, reals, "y");
}

/* A read gate that is shut shows no memory, one wide open all of it, and one half open half of what is added. */
static void read_gate(void **unused)
{
    (void)unused;
    const char *adds = "memory_mix = add\n";
    expect_read(adds, -1000, 0, 1);
    expect_read(adds, 1000, 0.75, 1);
    expect_read(adds, 0, 0.375, 1);
    expect_read(adds, 0, 0.75, 0);
    expect_read("memory_mix = gate\n", -1000, -1000, 1);
    expect_read("memory_mix = gate\n", 1000, 0.75, 1);
    expect_read("memory_mix = gate\n", 0, 0.75, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_gate),
        cmocka_unit_test(write_penalties),
        cmocka_unit_test(where_gates_write),
        cmocka_unit_test(read_gate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

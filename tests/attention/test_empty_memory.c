/* What the output is while an Infini-attention memory is empty: in a stream's first segment, with z_init, and
 * behind a write gate that stays shut. */
#include "models/decoder/config_keys.h"
#include "tests/lib/attention_oracle.h"

enum { SEGMENTS = 4 };

/* A stream through one layer whose memory and local attention weigh the same. Write gates are shut in the first
 * `shut` segments and wide open after them. */
static real *outputs(const char *module, const char *settings, const real *x, size_t shut)
{
    const model_config cfg = lab_config(module, settings);
    lab l;
    lab_open(&l, &cfg, 0, 1, 1, 1);
    const size_t part = lab_segment_reals(&l), heads = (size_t)cfg.n_heads;
    const int gated = strcmp(module, "infini-gated") == 0, infini = strncmp(module, "infini", 6) == 0;
    real *y = guarded(SEGMENTS * part);
    for (size_t s = 0; s < SEGMENTS; s++) {
        for (size_t h = 0; h < heads; h++) {
            if (infini) l.param[lab_param(&l, "gate")][h] = 0;
            if (gated) l.param[lab_param(&l, "write_gate.bias")][h] = s < shut ? -1000 : 1000;
        }
        lab_forward(&l, 0, x + s * part, NULL, y + s * part);
    }
    lab_close(&l);
    return y;
}

static real *some_input(size_t *part)
{
    const model_config cfg = lab_config("local", "");
    lab l;
    lab_open(&l, &cfg, 0, 1, 1, 1);
    real *x = lab_inputs(&l, SEGMENTS, 51);
    *part = lab_segment_reals(&l);
    lab_close(&l);
    return x;
}

/* In the first `whole` segments y is the local attention; in those after it, up to `half`, half of it; and then
 * the memory shows. */
static void expect_stages(const char *module, const char *settings, size_t shut, size_t whole, size_t half)
{
    size_t part;
    real *x = some_input(&part), *local = outputs("local", "", x, 0), *y = outputs(module, settings, x, shut);
    for (size_t s = 0; s < SEGMENTS; s++) {
        double off = 0;
        const double share = s < whole ? 1 : 0.5;
        for (size_t i = s * part; i < (s + 1) * part; i++)
            off = fmax(off, fabs((double)y[i] - share * (double)local[i]));
        CHECK((off <= oracle_limit()) == (s < half), "segment %zu is %g off %g of the local attention", s, off,
              share);
        CHECK(s >= whole || same_bits(y + s * part, local + s * part, part), "segment %zu is not local", s);
    }
    release(x, SEGMENTS * part, "x");
    release(y, SEGMENTS * part, "y");
    release(local, SEGMENTS * part, "y");
}

static void first_segment(void **unused)
{
    (void)unused;
    expect_stages("infini-linear", "", 0, 1, 1);
    expect_stages("infini-delta", "", 0, 1, 1);
    expect_stages("infini-linear", "first_segment = gated\n", 0, 0, 1);
}

/* A z that starts above 0 makes a read possible, and changes nothing about an empty memory. */
static void z_init_is_not_a_memory(void **unused)
{
    (void)unused;
    expect_stages("infini-linear", "memory_z_init = 1\n", 0, 1, 1);
    expect_stages("infini-delta", "memory_z_init = 0.5\nmemory_z_rule = gamma\n", 0, 1, 1);
    expect_stages("infini-linear", "memory_z_init = 1\nfirst_segment = gated\n", 0, 0, 1);
    expect_stages("infini-gated", "memory_z_init = 1\nmemory_empty = unwritten\n", 2, 3, 3);
}

/* Nothing is written in two segments: the third still finds an empty memory. */
static void shut_gates(void **unused)
{
    (void)unused;
    expect_stages("infini-gated", "memory_empty = first\n", 2, 1, 3);
    expect_stages("infini-gated", "memory_empty = unwritten\n", 2, 3, 3);
    expect_stages("infini-gated", "memory_empty = unwritten\nmemory_key = previous\n", 2, 3, 3);
    expect_stages("infini-gated", "memory_empty = unwritten\nfirst_segment = gated\n", 2, 0, 3);
    expect_stages("infini-gated", "memory_empty = unwritten\n", SEGMENTS, SEGMENTS, SEGMENTS);
}

/* A model that does not use the younger key keeps its text, and with it its hash. */
static void default_is_silent(void **unused)
{
    (void)unused;
    const model_config old = lab_config("infini-gated", "memory_empty = first\n");
    const model_config new = lab_config("infini-gated", "memory_empty = unwritten\n");
    char *without = model_config_text(&old), *with = model_config_text(&new);
    assert_null(strstr(without, "memory_empty"));
    assert_non_null(strstr(with, "memory_empty = unwritten\n"));
    free(without);
    free(with);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_segment),
        cmocka_unit_test(z_init_is_not_a_memory),
        cmocka_unit_test(shut_gates),
        cmocka_unit_test(default_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

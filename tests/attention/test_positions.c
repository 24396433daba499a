/* Positions: layouts of rotary pairs against each other, scaled frequencies against the formulas that models were
 * published with, relative encodings against theirs. */
#include "models/attention/positions.h"
#include "tests/lib/attention_oracle.h"

/* x of the half layout, its numbers in the order of the interleaved one. */
static void interleave(real *y, const real *x, size_t d)
{
    for (size_t i = 0; i < d / 2; i++) {
        y[2 * i] = x[i];
        y[2 * i + 1] = x[i + d / 2];
    }
}

static void layouts_are_permutations(void **unused)
{
    (void)unused;
    const model_config half = lab_config("local", "d_head = 10\n");
    const model_config pairs = lab_config("local", "d_head = 10\nrope_layout = interleaved\n");
    enum { D = 10, POSITIONS = 50 };
    real *x = random_reals(D, 1), *y = random_reals(D, 2), turned[D], mixed[D], want[D];
    real *table = guarded(rope_table_reals(&half, POSITIONS));
    rope_table_fill(&half, 500, POSITIONS, table);
    for (size_t p = 0; p < POSITIONS; p++) {
        rope_row(&half, table, p, turned, x);
        interleave(want, turned, D);
        interleave(mixed, x, D);
        rope_row(&pairs, table, p, mixed, mixed); /* in place */
        for (size_t i = 0; i < D; i++) expect_close((double)mixed[i], (double)want[i], 1, 1e-6, "a rotation", i);
        /* <rot(x), y> = <x, rot back(y)> */
        real back[D] = {0};
        double forward = 0, backward = 0;
        rope_row(&pairs, table, p, turned, x);
        rope_row_backward(&pairs, table, p, back, y);
        for (size_t i = 0; i < D; i++) {
            forward += (double)turned[i] * (double)y[i];
            backward += (double)x[i] * (double)back[i];
        }
        expect_close(forward, backward, 1, 1e-5, "a rotation back", p);
    }
    free(x);
    free(y);
    release(table, rope_table_reals(&half, POSITIONS), "the table");
}

/* Attention does not see the layout where weights are permuted alike: scores are sums over pairs. */
static void layouts_agree(void **unused)
{
    (void)unused;
    enum { SEGMENTS = 3 };
    const model_config half = lab_config("infini-delta", "xl_len = 9\n");
    const model_config pairs = lab_config("infini-delta", "xl_len = 9\nrope_layout = interleaved\n");
    lab a, b;
    lab_open(&a, &half, 0, 1, 1, 1);
    lab_open(&b, &pairs, 0, 1, 1, 1);
    const size_t d = (size_t)half.d_head, m = a.d_model, part = lab_segment_reals(&a);
    const real *from = a.param[lab_param(&a, "qkv_net.weight")];
    real *to = b.param[lab_param(&b, "qkv_net.weight")];
    for (size_t h = 0; h < 2 * (size_t)half.n_heads; h++) /* q and k */
        for (size_t i = 0; i < d; i++) {
            const size_t at = i < d / 2 ? 2 * i : 2 * (i - d / 2) + 1;
            memcpy(to + (h * d + at) * m, from + (h * d + i) * m, m * sizeof *to);
        }
    real *x = lab_inputs(&a, SEGMENTS, 71), *want = stream(&a, x, SEGMENTS), *got = stream(&b, x, SEGMENTS);
    for (size_t i = 0; i < SEGMENTS * part; i++)
        CHECK(fabs((double)got[i] - (double)want[i]) <= oracle_limit(), "output %zu is %.9g, expected %.9g", i,
              (double)got[i], (double)want[i]);
    release(x, SEGMENTS * part, "x");
    release(want, SEGMENTS * part, "y");
    release(got, SEGMENTS * part, "y");
    lab_close(&a);
    lab_close(&b);
}

static void scaled_frequencies(void **unused)
{
    (void)unused;
    const model_config plain = lab_config("local", "d_head = 64\n");
    const model_config linear = lab_config("local", "d_head = 64\nrope_scaling = linear\nrope_factor = 8\n");
    const model_config llama = lab_config("local", "d_head = 64\nrope_scaling = llama3\nrope_factor = 32\n");
    size_t kept = 0, slowed = 0;
    double before = 1e9;
    for (size_t i = 0; i < 32; i++) {
        const double f = rope_frequency(&plain, 5e5, i), scaled = rope_frequency(&llama, 5e5, i);
        const double wavelength = 2 * acos(-1) / f;
        expect_close(f, pow(5e5, -(double)i / 32), 0, 1e-12, "a frequency", i);
        expect_close(rope_frequency(&linear, 5e5, i), f / 8, 0, 1e-12, "a linear one", i);
        /* Llama 3.2's own: low 1, high 4, 8192 tokens. */
        double want = f / 32;
        if (wavelength < 8192.0 / 4) {
            want = f;
            kept++;
        } else if (wavelength <= 8192) {
            const double smooth = (8192 / wavelength - 1) / 3;
            want = (1 - smooth) * f / 32 + smooth * f;
        } else {
            slowed++;
        }
        expect_close(scaled, want, 0, 1e-12, "a scaled one", i);
        assert_true(scaled < before);
        before = scaled;
    }
    assert_true(kept > 5 && slowed > 5 && kept + slowed < 32);
}

/* Angles far from the start, on either side of it: those of the table where both have them. */
static void far_positions(void **unused)
{
    (void)unused;
    enum { D = 8, POSITIONS = 40, FIRST = 11 };
    const model_config cfg = lab_config("local", "d_head = 8\nrope_scaling = linear\nrope_factor = 3\n");
    real all[POSITIONS * D], part[(POSITIONS - FIRST) * D];
    rope_table_fill(&cfg, 700, POSITIONS, all);
    rope_table_from(&cfg, 700, FIRST, POSITIONS - FIRST, part);
    assert_memory_equal(part, all + FIRST * D, sizeof part);
    static const int64_t far[] = {-3, -1000003, 1000003};
    for (size_t f = 0; f < sizeof far / sizeof *far; f++) {
        rope_table_from(&cfg, 700, far[f], 2, part);
        for (size_t i = 0; i < D / 2; i++) {
            const double angle = (double)(far[f] + 1) * pow(700, -2 * (double)i / D) / 3;
            expect_close((double)part[D + i], cos(angle), 1, 1e-6, "a cosine", i);
            expect_close((double)part[D + D / 2 + i], sin(angle), 1, 1e-6, "a sine", i);
        }
    }
}

static void relative_encodings(void **unused)
{
    (void)unused;
    enum { WIDTH = 6, DISTANCES = 9, CLAMP = 5 };
    real table[DISTANCES * WIDTH];
    relative_table_fill(WIDTH, DISTANCES, CLAMP, table);
    for (size_t at = 0; at < DISTANCES; at++)
        for (size_t i = 0; i < WIDTH / 2; i++) {
            const double angle = fmin((double)at, CLAMP) * pow(10000, -2 * (double)i / WIDTH);
            expect_close((double)table[at * WIDTH + i], sin(angle), 1, 1e-6, "a sine", i);
            expect_close((double)table[at * WIDTH + WIDTH / 2 + i], cos(angle), 1, 1e-6, "a cosine", i);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts_are_permutations), cmocka_unit_test(layouts_agree),
        cmocka_unit_test(scaled_frequencies),       cmocka_unit_test(far_positions),
        cmocka_unit_test(relative_encodings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

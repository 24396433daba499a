/* Sliding windows with sinks: a double-precision oracle that lists each token's keys and their places, and what
 * must and must not be seen. */
#include "tests/lib/attention_oracle.h"

/* What token t sees: [first, t], and the sinks before it. */
typedef struct view {
    size_t first, sinks, place; /* place: of t in its cache of sinks and window */
} view;

static int64_t option_of(const model_config *cfg, const char *key)
{
    const kv_spec *spec = kv_find(cfg->attention->options, cfg->attention->option_count, key);
    return *(const int64_t *)((const char *)cfg + spec->offset);
}

static size_t or_zero(size_t a, size_t b)
{
    return a > b ? a - b : 0;
}

static view view_of(const lab *l, size_t t)
{
    const size_t window = (size_t)option_of(&l->cfg, "window"), sinks = (size_t)option_of(&l->cfg, "sinks");
    const int by_segment = option_of(&l->cfg, "window_slides") == 1;
    view v = {.first = by_segment ? or_zero(t / l->n * l->n, window) : or_zero(t + 1, window)};
    v.sinks = sinks < v.first ? sinks : v.first;
    v.place = v.sinks + t - v.first;
    return v;
}

/* One head and token: every key is rotated anew for the query that sees it, as StreamingLLM does. */
static void see(const lab *l, double *out, const double *qkv, size_t width, size_t d, size_t t)
{
    const view v = view_of(l, t);
    const int by_place = option_of(&l->cfg, "window_positions") == 1;
    double rotated_q[64], rotated_k[64], total = 0, most = -1e300;
    double *score = zero_doubles(t + 1);
    rotate(rotated_q, qkv + t * 3 * width, d, by_place ? v.place : t, 10000);
    for (size_t j = 0; j <= t; j++) {
        if (j >= v.sinks && j < v.first) continue;
        const size_t place = j < v.sinks ? j : v.sinks + j - v.first;
        rotate(rotated_k, qkv + j * 3 * width + width, d, by_place ? place : j, 10000);
        score[j] = dot(rotated_q, rotated_k, d) / sqrt((double)d);
        most = fmax(most, score[j]);
    }
    for (int pass = 0; pass < 2; pass++)
        for (size_t j = 0; j <= t; j++) {
            if (j >= v.sinks && j < v.first) continue;
            const double p = exp(score[j] - most);
            if (pass == 0) total += p;
            for (size_t i = 0; pass == 1 && i < d; i++) out[i] += p / total * qkv[j * 3 * width + 2 * width + i];
        }
    free(score);
}

static void window_oracle(const lab *l, size_t tokens, const double *qkv, double *o)
{
    const size_t heads = (size_t)l->cfg.n_heads, d = (size_t)l->cfg.d_head, width = heads * d;
    for (size_t h = 0; h < heads; h++)
        for (size_t t = 0; t < tokens; t++) see(l, o + t * width + h * d, qkv + h * d, width, d, t);
}

static void equations(void **unused)
{
    (void)unused;
    static const char *const shapes[] = {
        "window = 9\nsinks = 4\n",    "window = 1\nsinks = 0\n",  "window = 30\nsinks = 0\n",
        "window = 5\nsinks = 40\n",   "window = 3\nsinks = 16\n", "segment = 80\nwindow = 70\nsinks = 3\n",
        "window = 1000\nsinks = 7\n",
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int choice = 0; choice < 4; choice++) {
            char settings[200];
            snprintf(settings, sizeof settings, "%swindow_positions = %s\nwindow_slides = %s\n", shapes[i],
                     choice % 2 ? "absolute" : "cache", choice / 2 ? "segment" : "token");
            agrees_with(window_oracle, "window", settings, 0, 12);
        }
}

/* The bits of `module` with its settings are those of a window. */
static void same_as(const char *settings, const char *module, const char *theirs, double limit)
{
    enum { SEGMENTS = 4 };
    const model_config other_cfg = lab_config(module, theirs), cfg = lab_config("window", settings);
    lab l, other;
    lab_open(&l, &cfg, 0, 1, 1, 1);
    lab_open(&other, &other_cfg, 0, 1, 1, 1);
    const size_t all = SEGMENTS * lab_segment_reals(&l);
    real *x = lab_inputs(&l, SEGMENTS, 71), *y = stream(&l, x, SEGMENTS), *want = stream(&other, x, SEGMENTS);
    for (size_t i = 0; i < all; i++)
        CHECK(fabs((double)y[i] - (double)want[i]) <= limit, "output %zu is %.9g, of %s %.9g", i, (double)y[i],
              module, (double)want[i]);
    release(x, all, "x");
    release(y, all, "y");
    release(want, all, "y");
    lab_close(&l);
    lab_close(&other);
}

static void other_modules(void **unused)
{
    (void)unused;
    same_as("window = 64\nwindow_slides = segment\nsinks = 0\n", "full", "context = 64\n", oracle_limit());
    same_as("window = 7\nsinks = 3\nwindow_slides = segment\n", "infini-linear",
            "xl_len = 7\nlocal_sinks = 3\nmemory_from = 1\n", 0);
    same_as("window = 64\nsinks = 5\n", "full", "context = 64\n", oracle_limit());
    /* all that lies outside the window is a sink */
    same_as("window = 3\nsinks = 61\nwindow_positions = absolute\n", "full", "context = 64\n", oracle_limit());
    same_as("window = 1\nsinks = 63\nwindow_positions = absolute\nwindow_slides = segment\n", "full",
            "context = 64\n", oracle_limit());
}

/* Token `changed` reaches token t when it is a sink or in t's window, and else not a bit of it. */
static void sight(const char *settings, size_t changed)
{
    enum { SEGMENTS = 6 };
    const model_config cfg = lab_config("window", settings);
    lab l;
    lab_open(&l, &cfg, 0, 1, 1, 1);
    const size_t all = SEGMENTS * lab_segment_reals(&l), m = l.d_model;
    real *x = lab_inputs(&l, SEGMENTS, 72), *before = stream(&l, x, SEGMENTS);
    for (size_t i = 0; i < m; i++) x[changed * m + i] += 1;
    real *after = stream(&l, x, SEGMENTS);
    for (size_t t = 0; t < SEGMENTS * l.n; t++) {
        const view v = view_of(&l, t);
        const int same = same_bits(before + t * m, after + t * m, m);
        const int sees = changed <= t && (changed < v.sinks || changed >= v.first);
        CHECK(same == !sees, "token %zu %s token %zu", t, same ? "does not see" : "sees", changed);
    }
    release(x, all, "x");
    release(before, all, "y");
    release(after, all, "y");
    lab_close(&l);
}

static void sight_is_bounded(void **unused)
{
    (void)unused;
    static const size_t places[] = {0, 2, 3, 18, 37};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        sight("window = 10\nsinks = 3\n", places[i]);
        sight("window = 10\nsinks = 3\nwindow_positions = absolute\n", places[i]);
        sight("window = 20\nsinks = 0\n", places[i]);
        sight("window = 10\nsinks = 3\nwindow_slides = segment\n", places[i]);
        sight("window = 10\nsinks = 19\nwindow_positions = absolute\nwindow_slides = segment\n", places[i]);
    }
}

/* The state is that of window and sinks whatever was read, and of key heads alone. */
static void state_is_bounded(void **unused)
{
    (void)unused;
    const model_config cfg = lab_config("window", "n_heads = 4\nn_kv_heads = 2\nwindow = 10\nsinks = 3\n");
    const attn_sizes sizes = attn_sizes_of(&cfg, 0, 1);
    assert_int_equal(sizes.state, 2 * (9 + 3) * 2 * 6);
    assert_int_equal(sizes.max_tokens, 0);
    assert_int_equal(sizes.reach, 9);
    assert_int_equal(sizes.first, 3);
    const model_config plain = lab_config("window", "window = 10\nsinks = 0\n");
    assert_int_equal(attn_sizes_of(&plain, 0, 1).reach, 9);
    assert_int_equal(attn_sizes_of(&plain, 0, 1).first, 0);
    const model_config slides = lab_config("window", "window = 10\nsinks = 0\nwindow_slides = segment\n");
    assert_int_equal(attn_sizes_of(&slides, 0, 1).reach, 10);
}

/* From `settles` tokens on the outputs go by the state, whatever was counted. */
static void settles(const char *settings)
{
    const model_config cfg = lab_config("window", settings);
    lab l;
    lab_open(&l, &cfg, 0, 1, 1, 1);
    const int64_t tokens = attn_sizes_of(&cfg, 0, 1).settles;
    const size_t part = lab_segment_reals(&l), segments = ((size_t)tokens + l.n - 1) / l.n;
    CHECK(tokens > 0, "never settles");
    real *x = lab_inputs(&l, segments, 73), *y = stream(&l, x, segments), *first = guarded(part);
    real *state = guarded(l.state_reals);
    memcpy(state, l.state[0], l.state_reals * sizeof *state);
    lab_forward(&l, 0, x, NULL, first);
    memcpy(l.state[0], state, l.state_reals * sizeof *state);
    l.seen[0] += 12345;
    lab_forward(&l, 0, x, NULL, y);
    CHECK(same_bits(first, y, part), "a settled stream goes by what was read");
    release(x, segments * part, "x");
    release(y, segments * part, "y");
    release(first, part, "y");
    release(state, l.state_reals, "a state");
    lab_close(&l);
}

static void settled_streams(void **unused)
{
    (void)unused;
    settles("window = 10\nsinks = 3\n");
    settles("window = 30\nsinks = 6\nwindow_slides = segment\n");
    settles("window = 30\nsinks = 0\nwindow_positions = absolute\n");
    settles("window = 1\nsinks = 0\n");
    /* A sink that stays where it is gets ever farther away. */
    const model_config far = lab_config("window", "window = 10\nsinks = 3\nwindow_positions = absolute\n");
    assert_int_equal(attn_sizes_of(&far, 0, 1).settles, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equations),        cmocka_unit_test(other_modules),   cmocka_unit_test(sight_is_bounded),
        cmocka_unit_test(state_is_bounded), cmocka_unit_test(settled_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

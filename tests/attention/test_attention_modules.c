/* What the attention modules must compute: double-precision oracles of their equations and known answers.
 * Memorizing has a suite of its own. */
#include "models/attention/infini.h"
#include "tests/lib/attention_oracle.h"

/* ---- local and full ---- */

static void windows(const lab *l, size_t tokens, const double *qkv, double *o, int whole)
{
    const size_t h_count = (size_t)l->cfg.n_heads, d = (size_t)l->cfg.d_head, width = h_count * d;
    for (size_t h = 0; h < h_count; h++)
        for (size_t t = 0; t < tokens; t++)
            attend(o + t * width + h * d, qkv + h * d, qkv + width + h * d, qkv + 2 * width + h * d, 3 * width, d,
                   whole ? 0 : t / l->n * l->n, t, 1 / sqrt((double)d), 1);
}

static void local_oracle(const lab *l, size_t tokens, const double *qkv, double *o)
{
    windows(l, tokens, qkv, o, 0);
}

static void full_oracle(const lab *l, size_t tokens, const double *qkv, double *o)
{
    windows(l, tokens, qkv, o, 1);
}

static void local_and_full(void **unused)
{
    (void)unused;
    agrees_with(local_oracle, "local", "", 0, 3);
    agrees_with(local_oracle, "local", "segment = 80\n", 0, 2);
    agrees_with(full_oracle, "full", "context = 64\n", 0, 4);
    agrees_with(full_oracle, "full", "context = 500\nsegment = 80\n", 0, 3);
    agrees_with(local_oracle, "memorizing", "", 0, 3); /* outside the memory layer */
}

/* ---- Transformer-XL ---- */

/* With a cache as long as the text, cutting it into segments changes nothing. */
static void cut_equals_whole(const char *module, const char *in_pieces, const char *in_one)
{
    enum { SEGMENTS = 4 };
    lab pieces, whole;
    model_config cfg = lab_config(module, in_one);
    lab_open(&whole, &cfg, 0, 1, 1, 1);
    cfg = lab_config(module, in_pieces);
    lab_open(&pieces, &cfg, 0, 1, 1, 1);
    const size_t all = SEGMENTS * lab_segment_reals(&pieces);
    CHECK(all == lab_segment_reals(&whole), "the test's sizes differ");
    real *x = lab_inputs(&pieces, SEGMENTS, 22), *y = stream(&pieces, x, SEGMENTS), *y1 = stream(&whole, x, 1);
    double *want = widened(y1, all);
    expect_rows(y, want, all);
    free(want);
    release(x, all, "x");
    release(y, all, "y");
    release(y1, all, "y");
    lab_close(&pieces);
    lab_close(&whole);
}

static void long_memory_is_full_attention(void **unused)
{
    (void)unused;
    cut_equals_whole("transformer-xl", "mem_len = 64\n", "segment = 64\nmem_len = 0\n");
    cut_equals_whole("transformer-xl", "mem_len = 48\nclamp_len = 9\n",
                     "segment = 64\nmem_len = 0\nclamp_len = 9\n");
    cut_equals_whole("transformer-xl", "mem_len = 100\nsame_length = 1\n",
                     "segment = 64\nmem_len = 100\nsame_length = 1\n");
    cut_equals_whole("full", "context = 64\n", "segment = 64\ncontext = 64\n");
}

/* same_length: the output is a function of the newest mem_len tokens alone. */
static void same_length_sees_mem_len(void **unused)
{
    (void)unused;
    enum { SEGMENTS = 4, SPAN = 10 };
    const model_config cfg = lab_config("transformer-xl", "mem_len = 10\nsame_length = 1\n");
    lab l;
    lab_open(&l, &cfg, 0, 1, 1, 1);
    const size_t all = SEGMENTS * lab_segment_reals(&l), changed = 37;
    real *x = lab_inputs(&l, SEGMENTS, 23), *before = stream(&l, x, SEGMENTS);
    x[changed * l.d_model] += 1;
    real *after = stream(&l, x, SEGMENTS);
    for (size_t t = 0; t < SEGMENTS * l.n; t++) {
        const int same = same_bits(before + t * l.d_model, after + t * l.d_model, l.d_model);
        const int sees = t >= changed && t < changed + SPAN;
        CHECK(same == !sees, "token %zu %s token %zu", t, same ? "does not see" : "sees", changed);
    }
    release(x, all, "x");
    release(before, all, "y");
    release(after, all, "y");
    lab_close(&l);
}

static void transformer_xl_refuses(void **unused)
{
    (void)unused;
    pal_error err;
    model_config cfg = lab_config("transformer-xl", "");
    cfg.d_model = 21;
    assert_int_equal(cfg.attention->check(&cfg, &err), PAL_USAGE);
    cfg = lab_config("transformer-xl", "mem_len = 4\nsame_length = 1\n");
    cfg.option[0].i = 0;
    assert_int_equal(cfg.attention->check(&cfg, &err), PAL_USAGE);
}

/* ---- gates ---- */

/* A closed gate leaves the local attention, whatever the memory holds. */
static void closed_gate(const char *module, size_t layer, int same_as_local)
{
    enum { SEGMENTS = 3 };
    const model_config cfg = lab_config(module, "");
    const model_config plain_cfg = lab_config("local", "");
    lab l, plain;
    lab_open(&l, &cfg, layer, 1, 1, 1);
    lab_open(&plain, &plain_cfg, layer, 1, 1, 1);
    for (size_t h = 0; h < (size_t)cfg.n_heads; h++) l.param[lab_param(&l, "gate")][h] = -1000;
    const size_t part = lab_segment_reals(&l);
    real *x = lab_inputs(&l, SEGMENTS, 24), *y = stream(&l, x, SEGMENTS), *alone = guarded(part);
    real *want = stream(&plain, x, SEGMENTS);
    for (size_t s = 0; s < SEGMENTS; s++) {
        lab_reset(&l); /* as if nothing came before */
        lab_forward(&l, 0, x + s * part, NULL, alone);
        CHECK(same_bits(alone, y + s * part, part), "%s: memory shows through a closed gate", module);
    }
    CHECK(!same_as_local || same_bits(y, want, SEGMENTS * part), "%s: a closed gate is not local attention",
          module);
    release(x, SEGMENTS * part, "x");
    release(y, SEGMENTS * part, "y");
    release(want, SEGMENTS * part, "y");
    release(alone, part, "y");
    lab_close(&l);
    lab_close(&plain);
}

static void closed_gates(void **unused)
{
    (void)unused;
    closed_gate("memorizing", 1, 0); /* its local attention has unit q and k */
    closed_gate("infini-linear", 0, 1);
    closed_gate("infini-delta", 0, 1);
    closed_gate("infini-gated", 0, 1);
}

/* ---- Infini-attention ---- */

static double elu1(double x)
{
    return x < 0 ? exp(x) : x + 1;
}

/* qkv with q and k behind their maps, where the module has some: what the memory sees. */
static double *memory_sees(const lab *l, size_t tokens, const double *qkv)
{
    const size_t heads = (size_t)l->cfg.n_heads, d = (size_t)l->cfg.d_head, width = heads * d;
    double *seen = zero_doubles(tokens * 3 * width);
    memcpy(seen, qkv, tokens * 3 * width * sizeof *seen);
    if (!infini_is_mapped(&l->cfg)) return seen;
    for (size_t part = 0; part < 2; part++) {
        const real *map = l->param[lab_param(l, part ? "memory_k.weight" : "memory_q.weight")];
        for (size_t t = 0; t < tokens; t++)
            for (size_t at = 0; at < width; at++) {
                double sum = 0;
                for (size_t i = 0; i < d; i++)
                    sum += (double)map[at * d + i] * qkv[(t * 3 + part) * width + at / d * d + i];
                seen[(t * 3 + part) * width + at] = sum;
            }
    }
    return seen;
}

/* A token's attention from `first` on and to the sinks before it, which lie right before `first`. */
static void attend_sinks(double *out, const double *q, size_t width, size_t d, size_t first, size_t sinks,
                         size_t t, double weight)
{
    const double *k = q + width, *v = q + 2 * width;
    double total = 0, most = -1e300, rotated_q[64], rotated_k[64];
    double *score = zero_doubles(t + 1);
    if (sinks > first) sinks = first;
    rotate(rotated_q, q + t * 3 * width, d, sinks + t - first, 10000);
    for (size_t j = 0; j <= t; j++) {
        if (j >= sinks && j < first) continue;
        rotate(rotated_k, k + j * 3 * width, d, j < sinks ? j : sinks + j - first, 10000);
        score[j] = dot(rotated_q, rotated_k, d) / sqrt((double)d);
        most = fmax(most, score[j]);
    }
    for (int pass = 0; pass < 2; pass++)
        for (size_t j = 0; j <= t; j++) {
            if (j >= sinks && j < first) continue;
            if (pass == 0) total += exp(score[j] - most);
            for (size_t i = 0; pass == 1 && i < d; i++)
                out[i] += weight * exp(score[j] - most) / total * v[j * 3 * width + i];
        }
    free(score);
}

/* Equations 6 to 10, token by token; the local attention sees `xl` tokens before the segment and the config's
 * sinks, and the memory binds v_t to the key of token t - shift. */
static void infini_oracle(const lab *l, size_t tokens, const double *qkv, double *o, int delta, size_t xl,
                          size_t shift)
{
    const size_t h_count = (size_t)l->cfg.n_heads, d = (size_t)l->cfg.d_head, width = h_count * d, n = l->n;
    const double eps = 1e-6;
    const int adds = infini_choice(&l->cfg, INFINI_MIX) == INFINI_MIX_ADD;
    const size_t sinks = (size_t)l->cfg.option[INFINI_SINKS].i;
    double *seen = memory_sees(l, tokens, qkv);
    for (size_t h = 0; h < h_count; h++) {
        const double beta = (double)l->param[lab_param(l, "gate")][h], gate = adds ? beta : sigmoid(beta);
        double *memory = zero_doubles(d * d), *z = zero_doubles(d), *next = zero_doubles(d * d);
        for (size_t start = 0; start < tokens; start += n) {
            memcpy(next, memory, d * d * sizeof *next);
            for (size_t t = start; t < start + n; t++) {
                const double *q = seen + t * 3 * width + h * d, *v = q + 2 * width;
                const double *k = t < shift ? NULL : q + width - shift * 3 * width;
                double *out = o + t * width + h * d, q_z = eps, k_z = eps;
                attend_sinks(out, qkv + h * d, width, d, start < xl ? 0 : start - xl, sinks, t,
                             start && !adds ? 1 - gate : 1);
                for (size_t i = 0; i < d; i++) {
                    q_z += elu1(q[i]) * z[i];
                    k_z += k ? elu1(k[i]) * z[i] : 0;
                }
                for (size_t j = 0; j < d; j++) {
                    double read = 0, known = 0;
                    for (size_t i = 0; i < d; i++) {
                        read += elu1(q[i]) * memory[i * d + j];
                        known += k ? elu1(k[i]) * memory[i * d + j] : 0;
                    }
                    out[j] += start ? gate * read / q_z : 0;
                    for (size_t i = 0; k && i < d; i++)
                        next[i * d + j] += elu1(k[i]) * (v[j] - (delta ? known / k_z : 0));
                }
            }
            memcpy(memory, next, d * d * sizeof *next);
            for (size_t t = start > shift ? start : shift; t < start + n; t++)
                for (size_t i = 0; i < d; i++) z[i] += elu1(seen[(t - shift) * 3 * width + width + h * d + i]);
        }
        free(memory);
        free(next);
        free(z);
    }
    free(seen);
}

static void linear_oracle(const lab *l, size_t tokens, const double *qkv, double *o)
{
    infini_oracle(l, tokens, qkv, o, 0, 0, 0);
}

static void delta_oracle(const lab *l, size_t tokens, const double *qkv, double *o)
{
    infini_oracle(l, tokens, qkv, o, 1, 0, 0);
}

static void cached_oracle(const lab *l, size_t tokens, const double *qkv, double *o)
{
    infini_oracle(l, tokens, qkv, o, 0, 21, 0);
}

static void previous_linear_oracle(const lab *l, size_t tokens, const double *qkv, double *o)
{
    infini_oracle(l, tokens, qkv, o, 0, 5, 1);
}

static void previous_delta_oracle(const lab *l, size_t tokens, const double *qkv, double *o)
{
    infini_oracle(l, tokens, qkv, o, 1, 0, 1);
}

static void infini_equations(void **unused)
{
    (void)unused;
    agrees_with(linear_oracle, "infini-linear", "", 0, 4);
    agrees_with(delta_oracle, "infini-delta", "", 0, 4);
    agrees_with(linear_oracle, "infini-linear", "segment = 80\n", 0, 3);
    agrees_with(delta_oracle, "infini-delta", "segment = 80\n", 0, 3);
    agrees_with(cached_oracle, "infini-linear", "xl_len = 21\n", 0, 4);
    agrees_with(previous_linear_oracle, "infini-linear", "xl_len = 5\nmemory_key = previous\n", 0, 4);
    agrees_with(previous_delta_oracle, "infini-delta", "memory_key = previous\n", 0, 4);
    agrees_with(linear_oracle, "infini-linear", "local_sinks = 3\n", 0, 4);
    agrees_with(delta_oracle, "infini-delta", "local_sinks = 20\nsegment = 80\n", 0, 3);
    agrees_with(cached_oracle, "infini-linear", "xl_len = 21\nlocal_sinks = 19\n", 0, 5);
    agrees_with(linear_oracle, "infini-linear", "memory_mix = add\n", 0, 4);
    agrees_with(linear_oracle, "infini-linear", "memory_map = head\n", 0, 4);
    agrees_with(previous_delta_oracle, "infini-delta",
                "memory_key = previous\nmemory_mix = add\nmemory_map = head\nmemory_layers = 1\n", 1, 4);
}

/* Where memory_layers leaves a layer out, it is local attention, with no tensor and no state of a memory. */
static void layers_without_memory(void **unused)
{
    (void)unused;
    const model_config cfg = lab_config("infini-gated", "memory_layers = 1\nmemory_map = head\n");
    const model_config plain_cfg = lab_config("local", "");
    lab l, plain;
    lab_open(&l, &cfg, 0, 1, 1, 1);
    lab_open(&plain, &plain_cfg, 0, 1, 1, 1);
    assert_int_equal(l.params, 2);
    assert_int_equal(l.state_reals, 0);
    assert_true(attn_sizes_of(&cfg, 1, 1).state > 0);
    real *x = lab_inputs(&l, 3, 24), *y = stream(&l, x, 3), *want = stream(&plain, x, 3);
    CHECK(same_bits(y, want, 3 * lab_segment_reals(&l)), "a layer without a memory is not local attention");
    release(x, 3 * lab_segment_reals(&l), "x");
    release(y, 3 * lab_segment_reals(&l), "y");
    release(want, 3 * lab_segment_reals(&l), "y");
    lab_close(&l);
    lab_close(&plain);
}

/* A memory that is added changes no bit while its factor is 0. */
static void added_memory_starts_at_nothing(void **unused)
{
    (void)unused;
    const model_config cfg = lab_config("infini-gated", "memory_mix = add\nmemory_map = head\n");
    const model_config plain_cfg = lab_config("local", "");
    lab l, plain;
    lab_open(&l, &cfg, 0, 1, 1, 1);
    lab_open(&plain, &plain_cfg, 0, 1, 1, 1);
    for (size_t h = 0; h < (size_t)cfg.n_heads; h++) l.param[lab_param(&l, "gate")][h] = 0;
    real *x = lab_inputs(&l, 3, 24), *y = stream(&l, x, 3), *want = stream(&plain, x, 3);
    CHECK(same_bits(y, want, 3 * lab_segment_reals(&l)), "a factor of 0 shows the memory");
    release(x, 3 * lab_segment_reals(&l), "x");
    release(y, 3 * lab_segment_reals(&l), "y");
    release(want, 3 * lab_segment_reals(&l), "y");
    lab_close(&l);
    lab_close(&plain);
}

/* Write one key with the values 1, 1, 5, 5, a segment each, and read after each write. */
static void rewrite(const char *module, const char *settings, const double expected[4])
{
    char all[256];
    snprintf(all, sizeof all, "%sd_model = 8\nn_heads = 1\nd_head = 8\n", settings);
    const model_config cfg = lab_config(module, all);
    static const real value[5] = {1, 1, 5, 5, 0};
    const size_t one = 1, d = 8;
    lab l;
    lab_open(&l, &cfg, 0, 1, 1, 1);
    for (size_t i = 0; i < l.params; i++) memset(l.param[i], 0, l.param_count[i] * sizeof(real));
    real *qkv = l.param[lab_param(&l, "qkv_net.weight")], *o = l.param[lab_param(&l, "o_net.weight")];
    for (size_t i = 0; i < d; i++) {
        qkv[i * d] = qkv[(d + i) * d] = i % 2 ? (real)0.5 : (real)-0.25; /* q = k, from x[0] */
        o[i * d + i] = 1;
    }
    qkv[2 * d * d + 1] = 1; /* v[0] = x[1] */
    l.param[lab_param(&l, "gate")][0] = 1000;
    if (strcmp(module, "infini-gated") == 0) l.param[lab_param(&l, "write_gate.bias")][0] = 1000;
    real *x = guarded(lab_segment_reals(&l)), *y = guarded(lab_segment_reals(&l));
    for (size_t s = 0; s < 5; s++) {
        x[0] = 1;
        x[1] = value[s];
        lab_forward(&l, 0, x, &one, y);
        if (s == 0) continue; /* an empty memory is not read */
        CHECK(fabs((double)y[0] - expected[s - 1]) < 1e-4, "read %zu is %g, expected %g", s, (double)y[0],
              expected[s - 1]);
    }
    release(x, lab_segment_reals(&l), "x");
    release(y, lab_segment_reals(&l), "y");
    lab_close(&l);
}

static void rewriting_a_key(void **unused)
{
    (void)unused;
    const double linear[4] = {1, 1, 7.0 / 3, 3}, delta[4] = {1, 0.5, 11.0 / 6, 13.0 / 6}, gamma[4] = {1, 1, 5, 5};
    rewrite("infini-linear", "", linear);
    rewrite("infini-delta", "", delta);
    rewrite("infini-gated", "", linear);
    /* With a z that does not count a known key again, delta replaces the value (papers: ARMT's gamma). */
    rewrite("infini-delta", "memory_z_rule = gamma\n", gamma);
}

/* The memory is linear in V: reads of the sum of two streams' values are the sums of the reads. */
static void linear_in_values(const char *module)
{
    enum { SEGMENTS = 4 };
    const model_config cfg = lab_config(module, "");
    lab l;
    lab_open(&l, &cfg, 0, 1, 1, 1);
    for (size_t h = 0; h < (size_t)cfg.n_heads; h++) l.param[lab_param(&l, "gate")][h] = 1000;
    const size_t width = (size_t)(cfg.n_heads * cfg.d_head) * l.d_model, all = SEGMENTS * lab_segment_reals(&l);
    real *values = l.param[lab_param(&l, "qkv_net.weight")] + 2 * width;
    real *x = lab_inputs(&l, SEGMENTS, 25), *first = random_reals(width, 26), *second = random_reals(width, 27);
    memcpy(values, first, width * sizeof *values);
    real *y1 = stream(&l, x, SEGMENTS);
    memcpy(values, second, width * sizeof *values);
    real *y2 = stream(&l, x, SEGMENTS);
    for (size_t i = 0; i < width; i++) values[i] = first[i] + second[i];
    real *sum = stream(&l, x, SEGMENTS);
    double *want = zero_doubles(all);
    for (size_t i = 0; i < all; i++) want[i] = (double)y1[i] + (double)y2[i];
    for (size_t i = 0; i < all; i++)
        CHECK(fabs((double)sum[i] - want[i]) < 1e-4 * fmax(1, fabs(want[i])), "%g is not %g", (double)sum[i],
              want[i]);
    free(want);
    free(first);
    free(second);
    release(x, all, "x");
    release(y1, all, "y");
    release(y2, all, "y");
    release(sum, all, "y");
    lab_close(&l);
}

static void memory_is_linear_in_values(void **unused)
{
    (void)unused;
    linear_in_values("infini-linear");
    linear_in_values("infini-delta");
    linear_in_values("infini-gated");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_and_full),
        cmocka_unit_test(long_memory_is_full_attention),
        cmocka_unit_test(same_length_sees_mem_len),
        cmocka_unit_test(transformer_xl_refuses),
        cmocka_unit_test(closed_gates),
        cmocka_unit_test(infini_equations),
        cmocka_unit_test(layers_without_memory),
        cmocka_unit_test(added_memory_starts_at_nothing),
        cmocka_unit_test(rewriting_a_key),
        cmocka_unit_test(memory_is_linear_in_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

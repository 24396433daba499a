/* What each attention module must compute: double-precision oracles of its equations and known answers. */
#include "tests/attention_lab.h"

#include "models/attention/knn.h"

#include <stdlib.h>

/* ---- helpers ---- */

static double oracle_limit(void)
{
    return sizeof(real) == sizeof(double) ? 1e-11 : 2e-5;
}

static void expect_rows(const real *got, const double *want, size_t count)
{
    for (size_t i = 0; i < count; i++)
        CHECK(fabs((double)got[i] - want[i]) <= oracle_limit() * fmax(1, fabs(want[i])),
              "output %zu is %.9g, expected %.9g", i, (double)got[i], want[i]);
}

/* y[count, out] = x[count, in] w[out, in]^T in double */
static double *product(const double *x, size_t count, size_t in, const real *w, size_t out)
{
    double *y = zero_doubles(count * out);
    for (size_t i = 0; i < count; i++)
        for (size_t o = 0; o < out; o++)
            for (size_t k = 0; k < in; k++) y[i * out + o] += x[i * in + k] * (double)w[o * in + k];
    return y;
}

static double *widened(const real *x, size_t count)
{
    double *y = zero_doubles(count);
    for (size_t i = 0; i < count; i++) y[i] = (double)x[i];
    return y;
}

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* q or k of one head rotated to a position (Su et al. 2021). */
static void rotate(double *y, const double *x, size_t d, size_t position, double base)
{
    for (size_t i = 0; i < d / 2; i++) {
        const double angle = (double)position * pow(base, -2 * (double)i / (double)d);
        y[i] = x[i] * cos(angle) - x[i + d / 2] * sin(angle);
        y[i + d / 2] = x[i + d / 2] * cos(angle) + x[i] * sin(angle);
    }
}

/* out += weight * softmax attention of token t over tokens [first, t], rotated. q, k, v: [tokens, ld] of a head.
 */
static void attend(double *out, const double *q, const double *k, const double *v, size_t ld, size_t d,
                   size_t first, size_t t, double scale, double weight)
{
    double total = 0, most = -1e300, rotated_q[64], rotated_k[64];
    double *score = zero_doubles(t + 1);
    rotate(rotated_q, q + t * ld, d, t, 10000);
    for (size_t j = first; j <= t; j++) {
        rotate(rotated_k, k + j * ld, d, j, 10000);
        score[j] = scale * dot(rotated_q, rotated_k, d);
        most = fmax(most, score[j]);
    }
    for (size_t j = first; j <= t; j++) total += score[j] = exp(score[j] - most);
    for (size_t j = first; j <= t; j++)
        for (size_t i = 0; i < d; i++) out[i] += weight * score[j] / total * v[j * ld + i];
    free(score);
}

/* A stream of `segments` segments through a lab with one lane: y of all of them. */
static real *stream(lab *l, const real *x, size_t segments)
{
    const size_t part = lab_segment_reals(l);
    real *y = guarded(segments * part);
    lab_reset(l);
    for (size_t s = 0; s < segments; s++) lab_forward(l, 0, x + s * part, NULL, y + s * part);
    return y;
}

/* An oracle fills o[tokens, D] from qkv[tokens, 3D]. */
typedef void oracle(const lab *l, size_t tokens, const double *qkv, double *o);

static void agrees_with(oracle *compute, const char *module, const char *settings, size_t layer, size_t segments)
{
    const model_config cfg = lab_config(module, settings);
    lab l;
    lab_open(&l, &cfg, layer, 1, 1, 1);
    const size_t part = lab_segment_reals(&l), tokens = segments * l.n, d = (size_t)(cfg.n_heads * cfg.d_head);
    real *x = lab_inputs(&l, segments, 21), *y = stream(&l, x, segments);
    double *wide = widened(x, segments * part);
    double *qkv = product(wide, tokens, l.d_model, l.param[lab_param(&l, "qkv_net.weight")], 3 * d);
    double *o = zero_doubles(tokens * d);
    compute(&l, tokens, qkv, o);
    double *want = product(o, tokens, d, l.param[lab_param(&l, "o_net.weight")], l.d_model);
    expect_rows(y, want, tokens * l.d_model);
    free(wide);
    free(qkv);
    free(o);
    free(want);
    release(x, segments * part, "x");
    release(y, segments * part, "y");
    lab_close(&l);
}

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

/* ---- memorizing ---- */

typedef struct scored {
    double score;
    size_t token;
} scored;

static int best_first(const void *a, const void *b)
{
    const scored *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->token < y->token ? -1 : 1;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static int64_t option(const lab *l, const char *key)
{
    const kv_spec *spec = kv_find(l->module->options, l->module->option_count, key);
    CHECK(spec != NULL, "there is no option %s", key);
    return *(const int64_t *)((const char *)&l->cfg + spec->offset);
}

/* Memory reads of token t over tokens [oldest, newest): the k best of unit q and k, scaled by the temperature. */
static void recall(double *out, const double *q, const double *k, const double *v, size_t ld, size_t d, size_t t,
                   size_t oldest, size_t newest, size_t neighbours, double weight)
{
    scored *list = calloc(newest - oldest + 1, sizeof *list);
    size_t count = 0;
    double total = 0;
    for (size_t j = oldest; j < newest; j++) list[count++] = (scored){dot(q + t * ld, k + j * ld, d), j};
    qsort(list, count, sizeof *list, best_first);
    if (count > neighbours) count = neighbours;
    for (size_t r = 0; r < count; r++) total += exp(list[r].score);
    for (size_t r = 0; r < count; r++)
        for (size_t i = 0; i < d; i++) out[i] += weight * exp(list[r].score) / total * v[list[r].token * ld + i];
    free(list);
}

static void memorizing_oracle(const lab *l, size_t tokens, const double *qkv, double *o)
{
    const size_t h_count = (size_t)l->cfg.n_heads, d = (size_t)l->cfg.d_head, width = h_count * d, n = l->n;
    const size_t entries = (size_t)option(l, "knn_entries"), neighbours = (size_t)option(l, "knn_k");
    const size_t xl = (size_t)option(l, "xl_len");
    for (size_t h = 0; h < h_count; h++) {
        const double gate = sigmoid((double)l->param[lab_param(l, "gate")][h]);
        const double scale = exp((double)l->param[lab_param(l, "log_qk_scale")][h]);
        double *unit = zero_doubles(tokens * 3 * d); /* q, k, v of the head */
        for (size_t t = 0; t < tokens; t++) {
            const double *q = qkv + t * 3 * width + h * d, *k = q + width, *v = k + width;
            for (size_t i = 0; i < d; i++) {
                unit[t * 3 * d + i] = scale * q[i] / sqrt(dot(q, q, d));
                unit[t * 3 * d + d + i] = k[i] / sqrt(dot(k, k, d));
                unit[t * 3 * d + 2 * d + i] = v[i];
            }
        }
        for (size_t t = 0; t < tokens; t++) {
            const size_t start = t / n * n, cached = start < xl ? start : xl;
            const int mixes = start > 0 || option(l, "first_segment") == 1;
            double *out = o + t * width + h * d;
            attend(out, unit, unit + d, unit + 2 * d, 3 * d, d, start - cached, t, 1, mixes ? 1 - gate : 1);
            recall(out, unit, unit + d, unit + 2 * d, 3 * d, d, t, start > entries ? start - entries : 0, start,
                   neighbours, gate);
        }
        free(unit);
    }
}

static void memorizing_equations(void **unused)
{
    (void)unused;
    agrees_with(memorizing_oracle, "memorizing", "knn_k = 3\n", 1, 4);
    agrees_with(memorizing_oracle, "memorizing", "knn_k = 3\nknn_entries = 21\n", 1, 5); /* the ring wraps */
    agrees_with(memorizing_oracle, "memorizing", "knn_k = 2\nknn_entries = 7\n", 1, 4);
    agrees_with(memorizing_oracle, "memorizing", "knn_k = 64\nknn_entries = 64\nfirst_segment = gated\n", 1, 4);
    agrees_with(memorizing_oracle, "memorizing", "knn_k = 3\nknn_entries = 40\nxl_len = 20\n", 1, 4);
    agrees_with(memorizing_oracle, "memorizing", "knn_k = 5\nsegment = 144\n", 1, 3);
    agrees_with(memorizing_oracle, "memorizing", "knn_k = 5\nknn_layer = 0\n", 0, 3);
}

/* Equal keys: the oldest entries win, also when the ring has wrapped. */
static void oldest_of_equals(void **unused)
{
    (void)unused;
    enum { ENTRIES = 24, SEGMENTS = 4, K = 3 };
    const model_config cfg = lab_config("memorizing", "knn_entries = 24\nknn_k = 3\n");
    lab l;
    lab_open(&l, &cfg, 1, 1, 1, 1);
    const size_t m = l.d_model, d = (size_t)(cfg.n_heads * cfg.d_head), part = lab_segment_reals(&l);
    real *w = l.param[lab_param(&l, "qkv_net.weight")];
    for (size_t i = 0; i < 3 * d; i++) /* q and k see the first half of x, v the second */
        for (size_t j = 0; j < m; j++)
            if ((i < 2 * d) != (j < m / 2)) w[i * m + j] = 0;
    for (size_t h = 0; h < (size_t)cfg.n_heads; h++) l.param[lab_param(&l, "gate")][h] = 1000;
    real *x = lab_inputs(&l, SEGMENTS, 29);
    for (size_t t = 0; t < SEGMENTS * l.n; t++)
        for (size_t j = 0; j < m / 2; j++) x[t * m + j] = x[j];
    real *y = stream(&l, x, SEGMENTS);
    for (size_t t = 2 * l.n; t < SEGMENTS * l.n; t += l.n) {
        double *value = zero_doubles(m);
        for (size_t r = 0; r < K; r++)
            for (size_t j = 0; j < m; j++) value[j] += (double)x[(t - ENTRIES + r) * m + j] / K;
        double *v = product(value, 1, m, w + 2 * d * m, d);
        double *want = product(v, 1, d, l.param[lab_param(&l, "o_net.weight")], m);
        expect_rows(y + t * m, want, m);
        free(value);
        free(v);
        free(want);
    }
    release(x, SEGMENTS * part, "x");
    release(y, SEGMENTS * part, "y");
    lab_close(&l);
}

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

/* ---- the search ---- */

/* Small whole numbers: products are exact, and ties abound. */
static void search_agrees(size_t queries, size_t keys, size_t d, size_t k, size_t cut)
{
    real *q = random_reals(queries * d, 31), *key = random_reals(keys * d, 32);
    for (size_t i = 0; i < queries * d; i++) q[i] = (real)rint((double)q[i]);
    for (size_t i = 0; i < keys * d; i++) key[i] = (real)rint((double)key[i]);
    knn_list list = {.queries = queries, .k = k};
    list.score = malloc(queries * k * sizeof *list.score);
    list.index = malloc(queries * k * sizeof *list.index);
    real *scratch = guarded(knn_scratch());
    knn_search(&list, q, d, d, key, cut, 0, scratch);
    knn_search(&list, q, d, d, key + cut * d, keys - cut, (uint32_t)cut, scratch);
    const size_t found = keys < k ? keys : k;
    assert_int_equal(list.found, found);
    scored *all = malloc(keys * sizeof *all);
    for (size_t i = 0; i < queries; i++) {
        for (size_t j = 0; j < keys; j++) {
            double sum = 0;
            for (size_t c = 0; c < d; c++) sum += (double)q[i * d + c] * (double)key[j * d + c];
            all[j] = (scored){sum, j};
        }
        qsort(all, keys, sizeof *all, best_first);
        for (size_t r = 0; r < found; r++) {
            assert_int_equal(list.index[i * k + r], all[r].token);
            assert_true((double)list.score[i * k + r] == all[r].score);
        }
    }
    free(all);
    free(q);
    free(key);
    free(list.score);
    free(list.index);
    release(scratch, knn_scratch(), "scratch");
}

static void search_equals_brute_force(void **unused)
{
    (void)unused;
    gemm_setup();
    search_agrees(1, 1, 4, 1, 0);
    search_agrees(7, 5, 3, 8, 2);
    search_agrees(16, 100, 6, 32, 0);
    search_agrees(16, 100, 2, 32, 37);
    search_agrees(KNN_QUERIES, 64, 4, 64, 1);
    search_agrees(KNN_QUERIES, 3 * KNN_KEYS + 13, 5, 32, KNN_KEYS + 70);
    search_agrees(3, 2 * KNN_KEYS, 1, 32, 0);
}

/* ---- Infini-attention ---- */

static double elu1(double x)
{
    return x < 0 ? exp(x) : x + 1;
}

/* Equations 6 to 10, token by token. */
static void infini_oracle(const lab *l, size_t tokens, const double *qkv, double *o, int delta)
{
    const size_t h_count = (size_t)l->cfg.n_heads, d = (size_t)l->cfg.d_head, width = h_count * d, n = l->n;
    const double eps = 1e-6;
    for (size_t h = 0; h < h_count; h++) {
        const double gate = sigmoid((double)l->param[lab_param(l, "gate")][h]);
        double *memory = zero_doubles(d * d), *z = zero_doubles(d), *next = zero_doubles(d * d);
        for (size_t start = 0; start < tokens; start += n) {
            memcpy(next, memory, d * d * sizeof *next);
            for (size_t t = start; t < start + n; t++) {
                const double *q = qkv + t * 3 * width + h * d, *k = q + width, *v = k + width;
                double *out = o + t * width + h * d, q_z = eps, k_z = eps;
                attend(out, qkv + h * d, qkv + width + h * d, qkv + 2 * width + h * d, 3 * width, d, start, t,
                       1 / sqrt((double)d), start ? 1 - gate : 1);
                for (size_t i = 0; i < d; i++) {
                    q_z += elu1(q[i]) * z[i];
                    k_z += elu1(k[i]) * z[i];
                }
                for (size_t j = 0; j < d; j++) {
                    double read = 0, known = 0;
                    for (size_t i = 0; i < d; i++) {
                        read += elu1(q[i]) * memory[i * d + j];
                        known += elu1(k[i]) * memory[i * d + j];
                    }
                    out[j] += start ? gate * read / q_z : 0;
                    for (size_t i = 0; i < d; i++)
                        next[i * d + j] += elu1(k[i]) * (v[j] - (delta ? known / k_z : 0));
                }
            }
            memcpy(memory, next, d * d * sizeof *next);
            for (size_t t = start; t < start + n; t++)
                for (size_t i = 0; i < d; i++) z[i] += elu1(qkv[t * 3 * width + width + h * d + i]);
        }
        free(memory);
        free(next);
        free(z);
    }
}

static void linear_oracle(const lab *l, size_t tokens, const double *qkv, double *o)
{
    infini_oracle(l, tokens, qkv, o, 0);
}

static void delta_oracle(const lab *l, size_t tokens, const double *qkv, double *o)
{
    infini_oracle(l, tokens, qkv, o, 1);
}

static void infini_equations(void **unused)
{
    (void)unused;
    agrees_with(linear_oracle, "infini-linear", "", 0, 4);
    agrees_with(delta_oracle, "infini-delta", "", 0, 4);
    agrees_with(linear_oracle, "infini-linear", "segment = 80\n", 0, 3);
    agrees_with(delta_oracle, "infini-delta", "segment = 80\n", 0, 3);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_and_full),
        cmocka_unit_test(long_memory_is_full_attention),
        cmocka_unit_test(same_length_sees_mem_len),
        cmocka_unit_test(transformer_xl_refuses),
        cmocka_unit_test(memorizing_equations),
        cmocka_unit_test(oldest_of_equals),
        cmocka_unit_test(closed_gates),
        cmocka_unit_test(search_equals_brute_force),
        cmocka_unit_test(infini_equations),
        cmocka_unit_test(rewriting_a_key),
        cmocka_unit_test(memory_is_linear_in_values),
        cmocka_unit_test(write_gate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Memorizing Transformer against a double-precision oracle, and its search against brute force. */
#include "tests/lib/attention_oracle.h"

#include "models/attention/knn.h"

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

/* knn_mix = softmax: one softmax over rotated local keys and the best of those that lie before them, unrotated. */
static void joint_oracle(const lab *l, size_t tokens, const double *qkv, double *o)
{
    const size_t h_count = (size_t)l->cfg.n_heads, d = (size_t)l->cfg.d_head, width = h_count * d, n = l->n;
    const size_t entries = (size_t)option(l, "knn_entries"), neighbours = (size_t)option(l, "knn_k");
    const size_t xl = (size_t)option(l, "xl_len");
    scored *list = calloc(tokens + 1, sizeof *list);
    double *score = zero_doubles(tokens), rotated_q[64], rotated_k[64];
    for (size_t h = 0; h < h_count; h++)
        for (size_t t = 0; t < tokens; t++) {
            const double *q = qkv + t * 3 * width + h * d;
            const size_t start = t / n * n, first = start > xl ? start - xl : 0;
            const size_t oldest = start > entries ? start - entries : 0;
            size_t count = 0;
            double total = 0;
            for (size_t j = 0; j <= t; j++) score[j] = 0;
            for (size_t j = oldest; j < first; j++)
                list[count++] = (scored){dot(q, qkv + j * 3 * width + width + h * d, d) / sqrt((double)d), j};
            qsort(list, count, sizeof *list, best_first);
            for (size_t r = 0; r < count && r < neighbours; r++)
                total += score[list[r].token] = exp(list[r].score);
            rotate(rotated_q, q, d, t, 10000);
            for (size_t j = first; j <= t; j++) {
                rotate(rotated_k, qkv + j * 3 * width + width + h * d, d, j, 10000);
                total += score[j] = exp(dot(rotated_q, rotated_k, d) / sqrt((double)d));
            }
            for (size_t j = 0; j <= t; j++)
                for (size_t i = 0; i < d; i++)
                    o[t * width + h * d + i] += score[j] / total * qkv[j * 3 * width + 2 * width + h * d + i];
        }
    free(score);
    free(list);
}

static void joint_equations(void **unused)
{
    (void)unused;
    agrees_with(joint_oracle, "memorizing", "knn_mix = softmax\nknn_k = 3\n", 1, 4);
    agrees_with(joint_oracle, "memorizing", "knn_mix = softmax\nknn_k = 3\nknn_entries = 21\nxl_len = 5\n", 1, 5);
    agrees_with(joint_oracle, "memorizing", "knn_mix = softmax\nknn_k = 7\nknn_entries = 9\nxl_len = 20\n", 1, 5);
    agrees_with(joint_oracle, "memorizing", "knn_mix = softmax\nknn_k = 64\nknn_entries = 64\nxl_len = 16\n", 1,
                4);
    agrees_with(joint_oracle, "memorizing", "knn_mix = softmax\nknn_k = 5\nsegment = 144\n", 1, 3);
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

/* x in quarters of at most 2, w in eighths of at most 1/2: their products and sums are exact in any order, so that
 * equal inputs have equal q and k under every BLAS. */
static real coarse(real x, double step, double most)
{
    return (real)(fmax(-most, fmin(most, rint((double)x / step) * step)));
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
            w[i * m + j] = (i < 2 * d) != (j < m / 2) ? 0 : coarse(w[i * m + j], 0.125, 0.5);
    for (size_t h = 0; h < (size_t)cfg.n_heads; h++) l.param[lab_param(&l, "gate")][h] = 1000;
    real *x = lab_inputs(&l, SEGMENTS, 29);
    for (size_t t = 0; t < SEGMENTS * l.n; t++)
        for (size_t j = 0; j < m / 2; j++) x[t * m + j] = coarse(x[j], 0.25, 2);
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
    real *scratch = guarded(knn_scratch(d));
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
    release(scratch, knn_scratch(d), "scratch");
}

static void search_equals_brute_force(void **unused)
{
    (void)unused;
    use_blas();
    search_agrees(1, 1, 4, 1, 0);
    search_agrees(7, 5, 3, 8, 2);
    search_agrees(16, 100, 6, 32, 0);
    search_agrees(16, 100, 2, 32, 37);
    search_agrees(KNN_QUERIES, 64, 4, 64, 1);
    search_agrees(KNN_QUERIES, 3 * KNN_KEYS + 13, 5, 32, KNN_KEYS + 70);
    search_agrees(3, 2 * KNN_KEYS, 1, 32, 0);
}

/* The chain of operations that a score is made by. */
static real chain(const real *q, const real *k, size_t d)
{
    real total = 0;
    for (size_t i = 0; i < d; i++)
        total = sizeof(real) == sizeof(double) ? (real)fma((double)q[i], (double)k[i], (double)total)
                                               : (real)fmaf((float)q[i], (float)k[i], (float)total);
    return total;
}

/* Keys drawn from `kinds` vectors or, between them, the same but for the last bit of one element: equal ones lie
 * at all places of all tiles, and others are as near to them as can be. */
static real *repeated_keys(size_t keys, size_t d, size_t kinds)
{
    real *kind = random_reals(kinds * d, 41), *key = random_reals(keys * d, 42);
    for (size_t i = 0; i < keys; i++) {
        const size_t from = (i * 7 + i / 13) % kinds;
        memcpy(key + i * d, kind + from * d, d * sizeof *key);
        if (i % 3 == 2) key[i * d + i % d] *= 1 + (real)(sizeof(real) == sizeof(double) ? 0x1p-52 : 0x1p-23);
    }
    free(kind);
    return key;
}

static void equals_are_equal(size_t queries, size_t keys, size_t d, size_t k, size_t kinds)
{
    real *q = random_reals(queries * d, 43), *key = repeated_keys(keys, d, kinds);
    knn_list list = {.queries = queries, .k = k};
    list.score = malloc(queries * k * sizeof *list.score);
    list.index = malloc(queries * k * sizeof *list.index);
    real *scratch = guarded(knn_scratch(d));
    knn_search(&list, q, d, d, key, keys, 0, scratch);
    scored *all = malloc(keys * sizeof *all);
    for (size_t i = 0; i < queries; i++) {
        for (size_t j = 0; j < keys; j++) all[j] = (scored){(double)chain(q + i * d, key + j * d, d), j};
        qsort(all, keys, sizeof *all, best_first);
        for (size_t r = 0; r < list.found; r++) {
            if (list.index[i * k + r] != all[r].token || (double)list.score[i * k + r] != all[r].score)
                fail_msg("%zu x %zu x %zu: neighbour %zu of query %zu is %u (%.9g), expected %zu (%.9g)", queries,
                         keys, d, r, i, list.index[i * k + r], (double)list.score[i * k + r], all[r].token,
                         all[r].score);
        }
    }
    free(all);
    free(q);
    free(key);
    free(list.score);
    free(list.index);
    release(scratch, knn_scratch(d), "scratch");
}

/* Whatever BLAS rules the others out: which of equal keys are returned hangs on their order alone. */
static void equal_keys_tie(void **unused)
{
    (void)unused;
    use_blas();
    equals_are_equal(16, 36, 20, 5, 2);
    equals_are_equal(1, 700, 32, 32, 3);
    equals_are_equal(7, 613, 13, 32, 9);
    equals_are_equal(61, 1000, 64, 17, 40);
    equals_are_equal(KNN_QUERIES, 2 * KNN_KEYS + 77, 32, 32, 23);
    equals_are_equal(KNN_QUERIES, KNN_KEYS + 1, 16, 3, 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memorizing_equations), cmocka_unit_test(joint_equations),
        cmocka_unit_test(oldest_of_equals),     cmocka_unit_test(search_equals_brute_force),
        cmocka_unit_test(equal_keys_tie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

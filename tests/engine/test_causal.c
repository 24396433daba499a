/* The causal attention kernel against a plain double oracle. */
#include <string.h>

#include "models/engine/causal.h"
#include "tests/lib/numeric.h"
#include "tests/lib/use_blas.h"

enum { TENSORS = 5 }; /* q, k, v, q_rel, rel */

/* A problem whose head is a slice of wider rows, as in a module. */
typedef struct problem {
    causal_args a;
    size_t keys, ld, count[TENSORS];
    real *tensor[TENSORS];
    real *d_o;
} problem;

static void bind(problem *p)
{
    causal_args *a = &p->a;
    a->q = p->tensor[0];
    a->k = p->tensor[1];
    a->v = p->tensor[2];
    if (a->rel) {
        a->q_rel = p->tensor[3];
        a->rel = p->tensor[4];
    }
    a->ldq = a->ldk = a->ldv = a->ldq_rel = a->ldrel = p->ld;
}

static problem problem_make(size_t queries, size_t offset, size_t key_begin, size_t span, size_t d_head,
                            int with_rel)
{
    problem p = {.a = {.queries = queries,
                       .offset = offset,
                       .key_begin = key_begin,
                       .span = span,
                       .d_head = d_head,
                       .scale = (real)(1 / sqrt((double)d_head))},
                 .keys = offset + queries,
                 .ld = d_head + 8};
    const size_t length[TENSORS] = {queries, p.keys, p.keys, queries, p.keys};
    for (uint64_t t = 0; t < TENSORS; t++) {
        p.count[t] = length[t] * p.ld;
        p.tensor[t] = random_reals(p.count[t], 100 + t);
    }
    p.d_o = random_reals(queries * p.ld, 110);
    if (with_rel) p.a.rel = p.tensor[4];
    bind(&p);
    return p;
}

static void problem_free(problem *p)
{
    for (size_t t = 0; t < TENSORS; t++) free(p->tensor[t]);
    free(p->d_o);
}

/* Scaled scores of row i in s[keys]; the visible keys are [*first, i + offset]. */
static void naive_scores(const causal_args *a, size_t i, double *s, size_t *first)
{
    const size_t last = i + a->offset;
    *first = a->key_begin;
    if (a->span && last + 1 > a->span && last + 1 - a->span > *first) *first = last + 1 - a->span;
    for (size_t j = *first; j <= last; j++) {
        double sum = 0;
        for (size_t c = 0; c < a->d_head; c++) {
            sum += (double)a->q[i * a->ldq + c] * a->k[j * a->ldk + c];
            if (a->rel) sum += (double)a->q_rel[i * a->ldq_rel + c] * a->rel[(last - j) * a->ldrel + c];
        }
        s[j] = sum * a->scale;
    }
}

/* Probabilities in place of scores; returns the log-sum-exp. */
static double naive_softmax(double *s, size_t first, size_t last)
{
    double sum = 0;
    for (size_t j = first; j <= last; j++) sum += exp(s[j]);
    for (size_t j = first; j <= last; j++) s[j] = exp(s[j]) / sum;
    return log(sum);
}

static void naive_forward(const causal_args *a, double *o, double *lse)
{
    double *s = zero_doubles(a->offset + a->queries);
    for (size_t i = 0; i < a->queries; i++) {
        size_t first;
        naive_scores(a, i, s, &first);
        lse[i] = naive_softmax(s, first, i + a->offset);
        for (size_t c = 0; c < a->d_head; c++) {
            double sum = 0;
            for (size_t j = first; j <= i + a->offset; j++) sum += s[j] * a->v[j * a->ldv + c];
            o[i * a->d_head + c] = sum;
        }
    }
    free(s);
}

/* Gradients of sum(d_o * o) in grad[t], shaped as the tensors (leading dimension ld). */
static void naive_backward(const problem *p, double *grad[TENSORS])
{
    const causal_args *a = &p->a;
    const size_t ld = p->ld;
    double *s = zero_doubles(p->keys), *dp = zero_doubles(p->keys);
    for (size_t i = 0; i < a->queries; i++) {
        const size_t last = i + a->offset;
        size_t first;
        naive_scores(a, i, s, &first);
        naive_softmax(s, first, last);
        double mean = 0;
        for (size_t j = first; j <= last; j++) {
            dp[j] = 0;
            for (size_t c = 0; c < a->d_head; c++) {
                dp[j] += (double)p->d_o[i * ld + c] * a->v[j * ld + c];
                grad[2][j * ld + c] += s[j] * p->d_o[i * ld + c];
            }
            mean += s[j] * dp[j];
        }
        for (size_t j = first; j <= last; j++) {
            const double ds = s[j] * (dp[j] - mean) * a->scale;
            for (size_t c = 0; c < a->d_head; c++) {
                grad[0][i * ld + c] += ds * a->k[j * ld + c];
                grad[1][j * ld + c] += ds * a->q[i * ld + c];
                if (!a->rel) continue;
                grad[3][i * ld + c] += ds * a->rel[(last - j) * ld + c];
                grad[4][(last - j) * ld + c] += ds * a->q_rel[i * ld + c];
            }
        }
    }
    free(s);
    free(dp);
}

static void check_causal(problem p)
{
    const causal_args *a = &p.a;
    const size_t d = a->d_head, q = a->queries, stride = 3;
    real *o = random_reals(q * p.ld, 120), *lse = random_reals(q * stride, 121);
    const size_t scratch_reals = causal_scratch(p.keys, p.a.d_head);
    real *scratch = random_reals(scratch_reals, 122);
    for (size_t i = 0; i < scratch_reals; i++) scratch[i] = (real)NAN;
    double *want_o = zero_doubles(q * d), *want_lse = zero_doubles(q);

    causal_forward(a, o, p.ld, lse, stride, scratch);
    naive_forward(a, want_o, want_lse);
    for (size_t i = 0; i < q; i++) {
        expect_close(lse[i * stride], want_lse[i], 1, tolerance, "causal lse", i);
        for (size_t c = 0; c < d; c++)
            expect_close(o[i * p.ld + c], want_o[i * d + c], 1, tolerance, "causal o", i * d + c);
    }
    expect_padding(o, q, d, p.ld, 120);

    real *grad[TENSORS];
    double *want[TENSORS];
    for (uint64_t t = 0; t < TENSORS; t++) {
        grad[t] = random_reals(p.count[t], 130 + t);
        want[t] = zero_doubles(p.count[t]);
        for (size_t i = 0; i < p.count[t]; i++) want[t][i] = grad[t][i];
    }
    for (size_t i = 0; i < scratch_reals; i++) scratch[i] = (real)NAN;
    causal_backward(a,
                    &(causal_grads){.o = o,
                                    .d_o = p.d_o,
                                    .ldo = p.ld,
                                    .ldd_o = p.ld,
                                    .lse = lse,
                                    .lse_stride = stride,
                                    .dq = grad[0],
                                    .dk = grad[1],
                                    .dv = grad[2],
                                    .dq_rel = a->rel ? grad[3] : NULL,
                                    .drel = a->rel ? grad[4] : NULL,
                                    .lddq = p.ld,
                                    .lddk = p.ld,
                                    .lddv = p.ld,
                                    .lddq_rel = p.ld,
                                    .lddrel = p.ld},
                    scratch);
    naive_backward(&p, want);
    static const char *const name[TENSORS] = {"dq", "dk", "dv", "dq_rel", "drel"};
    for (size_t t = 0; t < TENSORS; t++) {
        /* Sums over many rows (dk, dv, drel) are compared with their own typical size. */
        double square = 0;
        for (size_t i = 0; i < p.count[t]; i++) square += want[t][i] * want[t][i];
        const double magnitude = 2 * sqrt(square / (double)p.count[t]);
        for (size_t i = 0; i < p.count[t]; i++)
            expect_close(grad[t][i], want[t][i], magnitude, tolerance, name[t], i);
        free(grad[t]);
        free(want[t]);
    }
    free(o);
    free(lse);
    free(scratch);
    free(want_o);
    free(want_lse);
    problem_free(&p);
}

static void test_causal(void **state)
{
    (void)state;
    use_blas();
    static const size_t queries[] = {1, 16, 64, 100, 128}, offsets[] = {0, 48, 100};
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++)
        for (size_t j = 0; j < sizeof offsets / sizeof offsets[0]; j++)
            for (int with_rel = 0; with_rel < 2; with_rel++)
                check_causal(problem_make(queries[i], offsets[j], 0, 0, 16, with_rel));
}

static void test_causal_limits(void **state)
{
    (void)state;
    use_blas();
    for (int with_rel = 0; with_rel < 2; with_rel++) {
        check_causal(problem_make(100, 48, 20, 0, 16, with_rel));   /* part of the cache is empty */
        check_causal(problem_make(100, 48, 48, 0, 16, with_rel));   /* all of it */
        check_causal(problem_make(128, 100, 0, 101, 16, with_rel)); /* Transformer-XL's same_length */
        check_causal(problem_make(128, 100, 60, 90, 24, with_rel));
        check_causal(problem_make(130, 0, 0, 1, 16, with_rel));   /* only itself */
        check_causal(problem_make(128, 10, 0, 33, 40, with_rel)); /* blocks that start beyond key 0 */
        check_causal(problem_make(64, 0, 0, 500, 16, with_rel));  /* a limit beyond all keys */
    }
}

/* What lies outside the visible keys may hold anything: the gradients there stay untouched, too. */
static void test_causal_ignores_hidden_keys(void **state)
{
    (void)state;
    use_blas();
    problem p = problem_make(70, 48, 20, 0, 16, 0);
    real *o = random_reals(70 * p.ld, 1), *again = random_reals(70 * p.ld, 1), lse[70];
    real *scratch = random_reals(causal_scratch(p.keys, p.a.d_head), 2);
    causal_forward(&p.a, o, p.ld, lse, 1, scratch);
    for (size_t i = 0; i < 20 * p.ld; i++) p.tensor[1][i] = p.tensor[2][i] = (real)NAN;
    causal_forward(&p.a, again, p.ld, lse, 1, scratch);
    assert_memory_equal(o, again, 70 * p.ld * sizeof *o);
    /* A later key and value change no earlier row. */
    for (size_t i = 0; i < 16; i++) p.tensor[1][(48 + 30) * p.ld + i] = p.tensor[2][(48 + 30) * p.ld + i] = 9;
    causal_forward(&p.a, again, p.ld, lse, 1, scratch);
    assert_memory_equal(o, again, 30 * p.ld * sizeof *o);
    assert_memory_not_equal(o, again, 31 * p.ld * sizeof *o);
    free(o);
    free(again);
    free(scratch);
    problem_free(&p);
}

/* The oracle's own gradient against central differences of the oracle's forward, along random directions. */
static void test_causal_oracle_by_differences(void **state)
{
    (void)state;
    problem p = problem_make(20, 9, 3, 15, 8, 1);
    const size_t n = 20 * 8;
    double *grad[TENSORS], *o = zero_doubles(n), *lse = zero_doubles(20);
    for (size_t t = 0; t < TENSORS; t++) grad[t] = zero_doubles(p.count[t]);
    naive_backward(&p, grad);
#ifdef PAL_DOUBLE
    const double step = 1e-5, limit = 1e-7;
#else
    const double step = 1e-2, limit = 1e-2; /* the inputs are floats */
#endif
    for (size_t t = 0; t < TENSORS; t++) {
        real *original = p.tensor[t], *direction = random_reals(p.count[t], 200 + t);
        double loss[2] = {0}, want = 0;
        for (size_t i = 0; i < p.count[t]; i++) want += grad[t][i] * direction[i];
        for (int side = 0; side < 2; side++) {
            p.tensor[t] = copy_reals(original, p.count[t]);
            for (size_t i = 0; i < p.count[t]; i++) p.tensor[t][i] += (real)((side ? step : -step) * direction[i]);
            bind(&p);
            naive_forward(&p.a, o, lse);
            for (size_t i = 0; i < 20; i++)
                for (size_t c = 0; c < 8; c++) loss[side] += o[i * 8 + c] * p.d_o[i * p.ld + c];
            free(p.tensor[t]);
        }
        expect_close((loss[1] - loss[0]) / (2 * step), want, 1, limit, "directional derivative", t);
        p.tensor[t] = original;
        bind(&p);
        free(direction);
    }
    for (size_t t = 0; t < TENSORS; t++) free(grad[t]);
    free(o);
    free(lse);
    problem_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_causal),
        cmocka_unit_test(test_causal_limits),
        cmocka_unit_test(test_causal_ignores_hidden_keys),
        cmocka_unit_test(test_causal_oracle_by_differences),
    };
    return cmocka_run_group_tests_name("causal", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/rng.h"
#include "tasks/rouge/lcs.h"

#include <stdlib.h>
#include <string.h>

static pal_error err;

/* ---- The plain table ---- */

/* t[i * (m + 1) + j]: length for the first i tokens of a and j of b. */
static uint16_t *table_of(const uint32_t *a, size_t n, const uint32_t *b, size_t m)
{
    uint16_t *t = calloc((n + 1) * (m + 1), sizeof *t);
    assert_non_null(t);
    for (size_t i = 1; i <= n; i++)
        for (size_t j = 1; j <= m; j++) {
            const uint16_t up = t[(i - 1) * (m + 1) + j], left = t[i * (m + 1) + j - 1];
            t[i * (m + 1) + j] = a[i - 1] == b[j - 1] ? t[(i - 1) * (m + 1) + j - 1] + 1 : up > left ? up : left;
        }
    return t;
}

/* The rules of lcs_union, step by step. */
static void mark_plain(const uint32_t *ref, size_t n, const uint32_t *hyp, size_t m, uint64_t *chosen)
{
    uint16_t *t = table_of(ref, n, hyp, m);
    for (size_t i = n, j = m; i > 0 && j > 0;) {
        if (ref[i - 1] == hyp[j - 1]) {
            i--, j--;
            chosen[i / 64] |= UINT64_C(1) << i % 64;
        } else if (t[i * (m + 1) + j - 1] > t[(i - 1) * (m + 1) + j]) {
            j--;
        } else {
            i--;
        }
    }
    free(t);
}

/* ---- Random texts ---- */

static uint32_t *text_of(rng *r, size_t count, uint32_t kinds)
{
    uint32_t *text = malloc((count + 1) * sizeof *text);
    assert_non_null(text);
    for (size_t i = 0; i < count; i++) {
        /* The lower of two draws: some tokens are common and some rare. */
        const uint32_t x = rng_below(r, kinds), y = rng_below(r, kinds);
        text[i] = x < y ? x : y;
    }
    return text;
}

static lcs *create(void)
{
    lcs *l;
    assert_int_equal(lcs_create(&l, &err), PAL_OK);
    return l;
}

static void check_length(lcs *l, const uint32_t *a, size_t n, const uint32_t *b, size_t m)
{
    uint16_t *t = table_of(a, n, b, m);
    size_t length;
    assert_int_equal(lcs_length(l, a, n, b, m, &length, &err), PAL_OK);
    assert_int_equal(length, t[n * (m + 1) + m]);
    assert_int_equal(lcs_length(l, b, m, a, n, &length, &err), PAL_OK);
    assert_int_equal(length, t[n * (m + 1) + m]);
    free(t);
}

static void test_length(void **state)
{
    (void)state;
    static const size_t edges[] = {0, 1, 2, 63, 64, 65, 127, 128, 129, 191, 192, 193};
    enum { EDGES = sizeof edges / sizeof *edges };
    lcs *l = create();
    rng r = rng_make(1, "lcs length", 0, 0);
    for (size_t i = 0; i < EDGES; i++)
        for (size_t j = 0; j < EDGES; j++) {
            const uint32_t kinds = (uint32_t[]){1, 2, 5, 30, 300}[(i + j) % 5];
            uint32_t *a = text_of(&r, edges[i], kinds), *b = text_of(&r, edges[j], kinds);
            check_length(l, a, edges[i], b, edges[j]);
            free(a);
            free(b);
        }
    for (int i = 0; i < 200; i++) {
        const size_t n = rng_below(&r, 400), m = rng_below(&r, 400);
        const uint32_t kinds = 1 + rng_below(&r, i % 2 ? 6 : 200);
        uint32_t *a = text_of(&r, n, kinds), *b = text_of(&r, m, kinds);
        check_length(l, a, n, b, m);
        free(a);
        free(b);
    }
    lcs_destroy(l);
}

/* A carry that runs through words of ones, and stops, and starts again. */
static void test_length_carries(void **state)
{
    (void)state;
    enum { N = 640 };
    lcs *l = create();
    uint32_t a[N], b[N];
    for (uint32_t i = 0; i < N; i++) {
        a[i] = i;
        b[i] = N - 1 - i;
    }
    check_length(l, a, N, b, N);
    check_length(l, a, N, a, N);
    for (uint32_t i = 0; i < N; i++) {
        a[i] = i % 7 == 0 ? 1000 : i;
        b[i] = (i * 37 + 11) % N;
    }
    check_length(l, a, N, b, N);
    memset(a, 0, sizeof a);
    check_length(l, a, N, a, N - 1);
    lcs_destroy(l);
}

/* hyp in sentences of random lengths, empty ones too. */
static void check_union(lcs *l, rng *r, size_t n, size_t m, uint32_t kinds, size_t longest)
{
    uint32_t *ref = text_of(r, n, kinds), *hyp = text_of(r, m, kinds);
    size_t *end = malloc((2 * m + 2) * sizeof *end), sentences = 0;
    for (size_t at = 0; at < m; sentences++) {
        const size_t length = rng_below(r, longest + 1);
        at = at + length < m ? at + length : m;
        end[sentences] = at;
        if (sentences + 2 == 2 * m) longest = m;
    }
    uint64_t *got = calloc(n / 64 + 1, sizeof *got), *expected = calloc(n / 64 + 1, sizeof *expected);
    for (size_t k = 0; k < sentences; k++) {
        const size_t begin = k ? end[k - 1] : 0;
        mark_plain(ref, n, hyp + begin, end[k] - begin, expected);
    }
    assert_int_equal(lcs_union(l, ref, n, hyp, end, sentences, got, &err), PAL_OK);
    if (n > 0) assert_memory_equal(got, expected, (n + 63) / 64 * sizeof *got);
    free(ref);
    free(hyp);
    free(end);
    free(got);
    free(expected);
}

static void test_union(void **state)
{
    (void)state;
    lcs *l = create();
    rng r = rng_make(2, "lcs union", 0, 0);
    static const size_t edges[] = {0, 1, 2, 63, 64, 65, 127, 128, 129, 300};
    enum { EDGES = sizeof edges / sizeof *edges };
    for (size_t i = 0; i < EDGES; i++)
        for (size_t j = 0; j < EDGES; j++)
            check_union(l, &r, edges[i], edges[j], (uint32_t[]){2, 3, 9}[(i + j) % 3], i % 2 ? 300 : 20);
    for (int i = 0; i < 300; i++)
        check_union(l, &r, rng_below(&r, 200), rng_below(&r, 200), 1 + rng_below(&r, 12), 1 + rng_below(&r, 200));
    lcs_destroy(l);
}

/* Beyond 4096 tokens the shorter text becomes the columns, and vectors are computed again on the way back. */
static void test_union_long(void **state)
{
    (void)state;
    lcs *l = create();
    rng r = rng_make(3, "lcs union", 0, 0);
    check_union(l, &r, 4200, 300, 5, 300);
    check_union(l, &r, 4200, 300, 40, 90);
    check_union(l, &r, 200, 4300, 5, 4300);
    check_union(l, &r, 60, 9000, 5, 9000);
    check_union(l, &r, 4200, 4300, 9, 100000);
    lcs_destroy(l);
}

/* So long that three levels are needed. What is chosen must be a common subsequence of the greatest length. */
static void test_union_levels(void **state)
{
    (void)state;
    enum { N = 25000, M = 24000 };
    lcs *l = create();
    rng r = rng_make(4, "lcs union", 0, 0);
    for (int swap = 0; swap < 2; swap++) {
        const size_t n = swap ? M : N, m = swap ? N : M;
        uint32_t *ref = text_of(&r, n, 500), *hyp = text_of(&r, m, 500);
        uint64_t *chosen = calloc(n / 64 + 1, sizeof *chosen);
        size_t length, count = 0, j = 0;
        assert_int_equal(lcs_length(l, ref, n, hyp, m, &length, &err), PAL_OK);
        assert_int_equal(lcs_union(l, ref, n, hyp, &m, 1, chosen, &err), PAL_OK);
        for (size_t i = 0; i < n; i++) {
            if (!(chosen[i / 64] >> i % 64 & 1)) continue;
            count++;
            while (j < m && hyp[j] != ref[i]) j++;
            assert_true(j++ < m);
        }
        assert_int_equal(count, length);
        free(ref);
        free(hyp);
        free(chosen);
    }
    lcs_destroy(l);
}

/* So many bytes for each token of the shorter text, for lengths and for the choice of an LCS; a whole table of
 * bits would be above 500 MB in the last case. */
static void test_memory(void **state)
{
    (void)state;
    for (size_t n = 8192; n <= 32768; n *= 2) {
        rng r = rng_make(5, "lcs memory", n, 0);
        lcs *l = create();
        uint32_t *ref = text_of(&r, 4 * n, 5000), *hyp = text_of(&r, n, 5000);
        uint64_t *chosen = calloc(4 * n / 64 + 1, sizeof *chosen);
        size_t length;
        assert_int_equal(lcs_length(l, ref, 4 * n, hyp, n, &length, &err), PAL_OK);
        assert_true(lcs_bytes(l) <= 80 * n);
        assert_int_equal(lcs_union(l, ref, 4 * n, hyp, &n, 1, chosen, &err), PAL_OK);
        assert_true(lcs_bytes(l) <= 160 * n);
        free(ref);
        free(hyp);
        free(chosen);
        lcs_destroy(l);
    }
}

/* What one call leaves behind must not show in the next. */
static void test_used_again(void **state)
{
    (void)state;
    lcs *l = create();
    const uint32_t a[] = {7, 1, 2, 3}, b[] = {3, 7, 2}, far[] = {4000000};
    size_t length;
    assert_int_equal(lcs_length(l, a, 4, b, 3, &length, &err), PAL_OK);
    assert_int_equal(length, 2);
    assert_int_equal(lcs_length(l, far, 1, far, 1, &length, &err), PAL_OK);
    assert_int_equal(length, 1);
    assert_int_equal(lcs_length(l, far, 1, a, 4, &length, &err), PAL_OK);
    assert_int_equal(length, 0);
    assert_int_equal(lcs_length(l, a, 4, far, 0, &length, &err), PAL_OK);
    assert_int_equal(length, 0);
    assert_int_equal(lcs_length(l, b, 3, a, 4, &length, &err), PAL_OK);
    assert_int_equal(length, 2);
    lcs_destroy(l);
    lcs_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length),     cmocka_unit_test(test_length_carries), cmocka_unit_test(test_union),
        cmocka_unit_test(test_union_long), cmocka_unit_test(test_union_levels),   cmocka_unit_test(test_memory),
        cmocka_unit_test(test_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

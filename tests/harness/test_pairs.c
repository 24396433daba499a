/* The one paired comparison: which samples meet, its numbers, and that report and gate show the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/gate/compare.h"
#include "harness/report/report.h"
#include "tests/lib/journal_lab.h"

static const double low[] = {2.1, 2.4, 1.9, 2.2, 2.6, 2.3, 2.0, 2.5},
                    high[] = {2.3, 2.5, 2.2, 2.2, 2.9, 2.4, 2.4, 2.6};

static void test_same_samples(void **state)
{
    (void)state;
    result_cell a = {.name = "x", .data = "d", .tokenizer = "t", .settings = "seed=1 jitter=2"}, b = a;
    static const struct {
        const char *settings;
        int same;
    } cases[] = {{"seed=1 jitter=2", 1},
                 {"seed=1 jitter=2 memory=zeroed", 1},
                 {"memory=zeroed seed=1 jitter=2", 1},
                 {"seed=1 jitter=20", 0},
                 {"seed=1", 0},
                 {"seed=1 jitter=2 keys=4", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        strcpy(b.settings, cases[i].settings);
        assert_int_equal(pair_same_samples(&a, &b), cases[i].same);
        assert_int_equal(pair_same_samples(&b, &a), cases[i].same);
    }
    b = a;
    strcpy(b.data, "e");
    assert_false(pair_same_samples(&a, &b));
}

/* Report, gate and the function itself: one difference, one interval, one p. */
static void test_everywhere(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("perplexity"));
    lab_perplexity(j, "text-infini-delta", "sea/test", "split=test", 64, low, 8);
    lab_perplexity(j, "text-transformer-xl", "sea/test", "split=test", 640, high, 8);
    const result_cell *ours = &j->held.cell[0], *theirs = &j->held.cell[1];
    report rep;
    report_comparison *list;
    size_t count;
    comparison c = {.alpha = 1 - REPORT_LEVEL};
    const compare_models models = {"text-transformer-xl", "text-infini-delta"};
    assert_int_equal(report_create(&rep, &j->held, &err), PAL_OK);
    assert_int_equal(report_compare(&rep, &list, &count, &err), PAL_OK);
    assert_int_equal(compare_add(&c, &j->held, &j->held, models, &err), PAL_OK);
    assert_int_equal(count, 3);
    assert_int_equal(c.count, 3);
    for (size_t i = 0; i < count; i++) {
        pair got, mirror;
        const task_metric *m = &j->task->metric[list[i].metric];
        assert_int_equal(pair_compare(m, ours, theirs, REPORT_LEVEL, &got, &err), PAL_OK);
        assert_int_equal(pair_compare(m, theirs, ours, REPORT_LEVEL, &mirror, &err), PAL_OK);
        assert_string_equal(got.ci.kind, "sign-flip");
        assert_true(got.ci.lo < got.difference && got.difference < got.ci.hi && got.ci.hi < 0);
        assert_true(got.a < got.b && got.n == 8 && got.clusters == 8);
        assert_string_equal(got.test, "sign-flip");
        const pair *shown[] = {&list[i].paired, &c.row[i].pair};
        for (int k = 0; k < 2; k++)
            assert_true(shown[k]->difference == got.difference && shown[k]->ci.lo == got.ci.lo &&
                        shown[k]->ci.hi == got.ci.hi && shown[k]->p == got.p);
        assert_true(mirror.difference == -got.difference && mirror.ci.lo == -got.ci.hi && mirror.p == got.p);
    }
    free(list);
    compare_free(&c);
    report_free(&rep);
    lab_close(j);
}

static void test_hits(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("passkey"));
    lab_passkey(j, "a", 1024, 0, "seed=1", 18, 20);
    lab_passkey(j, "b", 1024, 0, "seed=1", 17, 20);
    const task_metric *exact = &j->task->metric[1];
    assert_string_equal(exact->name, "exact_match");
    pair got;
    assert_int_equal(pair_compare(exact, &j->held.cell[0], &j->held.cell[1], 0.95, &got, &err), PAL_OK);
    assert_string_equal(got.test, "mcnemar");
    assert_int_equal(got.only_a, 1);
    assert_int_equal(got.only_b, 0);
    assert_true(got.p == stats_mcnemar(1, 0));
    assert_true(pair_detectable(exact, &got, 0.05, 0.8) == stats_detectable_loss(20, 1.0 / 20, 0.05, 0.8));
    lab_close(j);
}

/* Sign flips of five documents have no p below 1/16: no effect can be shown at 0.05. */
static void test_few(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("perplexity"));
    lab_perplexity(j, "few", "hill/test", "split=test", 64, low, 5);
    lab_perplexity(j, "more", "hill/test", "split=test", 64, high, 8);
    const result_cell *few = results_find(&j->held, j->held.cell[j->held.count - 2].key),
                      *more = &j->held.cell[j->held.count - 1];
    const task_metric *m = &j->task->metric[0];
    pair got;
    assert_int_equal(pair_compare(m, few, more, 0.95, &got, &err), PAL_OK);
    assert_int_equal(got.n, 5);
    assert_true(isnan(pair_detectable(m, &got, 0.05, 0.8)));
    assert_true(pair_detectable(m, &got, 0.1, 0.8) > 0);
    more->sample[2].value[m->value] = NAN;
    assert_int_equal(pair_compare(m, few, more, 0.95, &got, &err), PAL_OK);
    assert_true(isnan(got.difference) && isnan(got.p) && isnan(got.b) && isfinite(got.a));
    assert_true(isnan(pair_detectable(m, &got, 0.1, 0.8)));
    lab_close(j);
}

/* Other texts and another tokenizer are other samples, and a family over two cells flips them apart. */
static void test_family(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("perplexity"));
    lab_perplexity(j, "a", "sea/test", "split=test", 64, low, 8);
    lab_perplexity(j, "b", "sea/test", "split=test", 64, high, 8);
    lab_perplexity(j, "a", "hill/test", "split=test", 64, low, 8);
    lab_perplexity(j, "b", "hill/test", "split=test", 64, high, 8);
    const task_metric *m = &j->task->metric[0];
    const result_cell *c = j->held.cell + j->held.count - 4;
    const pair_of list[] = {{m, &c[0], &c[1]}, {m, &c[2], &c[3]}, {m, &c[0], &c[1]}};
    pair own;
    double p[3];
    assert_int_equal(pair_compare(m, &c[0], &c[1], 0.95, &own, &err), PAL_OK);
    assert_int_equal(pair_family(list, 1, 0, p, &err), PAL_OK);
    assert_true(p[0] == own.p);
    assert_int_equal(pair_family(list, 3, 0, p, &err), PAL_OK);
    for (int i = 0; i < 3; i++) assert_true(fabs(p[i] - (1 - (1 - own.p) * (1 - own.p))) < 1e-12);
    /* Against the difference that they have, nothing is left to find; against more than that, something is. */
    assert_int_equal(pair_family(list, 1, own.ci.lo + 1e-9, p, &err), PAL_OK);
    assert_true(p[0] > 0.05);
    assert_int_equal(pair_family(list, 1, own.ci.lo - 1e-6, p, &err), PAL_OK);
    assert_true(p[0] <= 0.05);
    result_cell other = c[1];
    strcpy(other.data, "other texts");
    assert_false(pair_same_samples(&c[0], &other));
    other = c[1];
    strcpy(other.tokenizer, "other tokens");
    assert_false(pair_same_samples(&c[0], &other));
    lab_close(j);
}

/* The interval over two seeds is wider than that of either, and about their mean. */
static void test_seeds(void **state)
{
    (void)state;
    static const double other[] = {2.2, 2.45, 1.95, 2.3, 2.6, 2.4, 2.2, 2.5};
    lab_journal *j = lab_open(task_find("perplexity"));
    lab_perplexity(j, "a1", "cape/test", "split=test", 64, low, 8);
    lab_perplexity(j, "a2", "cape/test", "split=test", 64, other, 8);
    lab_perplexity(j, "b1", "cape/test", "split=test", 64, high, 8);
    lab_perplexity(j, "b2", "cape/test", "split=test", 64, high, 8);
    const task_metric *m = &j->task->metric[0];
    const result_cell *c = j->held.cell + j->held.count - 4, *a[] = {&c[0], &c[1]}, *b[] = {&c[2], &c[3]};
    pair one, two, both;
    assert_int_equal(pair_compare(m, a[0], b[0], 0.95, &one, &err), PAL_OK);
    assert_int_equal(pair_compare(m, a[1], b[1], 0.95, &two, &err), PAL_OK);
    assert_int_equal(pair_over_seeds(m, a, b, 2, 0.95, &both, &err), PAL_OK);
    assert_true(fabs(both.difference - (one.difference + two.difference) / 2) < 1e-12);
    assert_true(both.ci.hi - both.ci.lo > one.ci.hi - one.ci.lo &&
                both.ci.hi - both.ci.lo > two.ci.hi - two.ci.lo);
    assert_true(both.n == 8 && isnan(both.p));
    assert_string_equal(both.ci.kind, "seeds and documents");
    lab_close(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_samples), cmocka_unit_test(test_everywhere), cmocka_unit_test(test_hits),
        cmocka_unit_test(test_few),          cmocka_unit_test(test_family),     cmocka_unit_test(test_seeds),
    };
    return cmocka_run_group_tests(tests, lab_make_dir, lab_remove_dir);
}

/* Paired comparison of journals: which cells meet, what is computed of them, and the verdicts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/gate/compare.h"
#include "tests/lib/compare_lab.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#define assert_near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

static pal_error err;

/* ---- A made-up task and its journals, held in memory ---- */

enum { HIT, NLL, TOKENS, VALUES };
static const char *const values[] = {"hit", "nll", "tokens"};
static const task_metric metrics[] = {
    {"accuracy", METRIC_SHARE, HIT, -1, 1, 1, 0, 0},
    {"perplexity", METRIC_PERPLEXITY, NLL, TOKENS, 0, 0, 0, 0},
    {"tokens", METRIC_RATIO, TOKENS, -1, 1, 0, 1, 0},
};
enum { ACCURACY, PERPLEXITY, ROWS };

static const task_module toy = {.name = "toy",
                                .version = 1,
                                .scorer_version = 1,
                                .value = values,
                                .value_count = VALUES,
                                .metric = metrics,
                                .metric_count = 3};

enum { MOST = 40 };

typedef struct side {
    results r;
    result_cell cell[8];
    result_sample sample[8][MOST];
    int64_t asked[8];
} side;

/* A cell with n samples: hits of the first `hits`; 100 tokens each with a loss of `nll` give or take what the
 * index alone decides. */
static result_cell *put(side *s, result_cell cell, int64_t n, int64_t hits, double nll)
{
    const size_t at = s->r.count++;
    s->r.task = &toy;
    s->r.path = "made-up.jsonl";
    s->r.cell = s->cell;
    for (int64_t i = 0; i < n; i++)
        s->sample[at][i] = (result_sample){
            .index = i, .value = {i < hits, 100 * nll + (double)(i * 7 % 5) - (i % 2 ? nll : 0), 100}};
    cell.sample = s->sample[at];
    cell.count = cell.capacity = (size_t)n;
    s->asked[at] = n;
    cell.asked = &s->asked[at];
    cell.asked_count = 1;
    s->cell[at] = cell;
    return &s->cell[at];
}

static void check_add(comparison *c, const side *a, const side *b, const char *model_a, const char *model_b)
{
    *c = (comparison){.alpha = 0.05, .margin = 0.005, .points = 5};
    if (compare_add(c, &a->r, &b->r, (compare_models){model_a, model_b}, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(compare_judge(c, &err), PAL_OK);
}

/* ---- Which cells meet ---- */

static void test_places(void **state)
{
    (void)state;
    static side a, b;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    comparison c;
    put(&a, lab_run_cell("m", "w1", "x"), 10, 9, 2);
    put(&b, lab_run_cell("m", "w2", "x"), 8, 8, 2);
    check_add(&c, &a, &b, "", "");
    assert_int_equal(c.count, ROWS); /* not the detail */
    assert_true(c.only_a == 0 && c.only_b == 0);
    assert_int_equal(c.row[0].pair.n, 8);
    assert_true(c.row[ACCURACY].metric == &metrics[0] && c.row[PERPLEXITY].metric == &metrics[1]);
    compare_free(&c);

    char *const fields[] = {b.cell[0].name, b.cell[0].data, b.cell[0].tokenizer, b.cell[0].settings,
                            b.cell[0].model};
    for (size_t i = 0; i < 5; i++) {
        fields[i][0] ^= 1;
        check_add(&c, &a, &b, "", "");
        assert_true(c.count == 0 && c.only_a == 1 && c.only_b == 1);
        compare_free(&c);
        fields[i][0] ^= 1;
    }
    b.asked[0] = 9; /* asked for more than is done: not complete */
    check_add(&c, &a, &b, "", "");
    assert_true(c.count == 0 && c.only_a == 1 && c.only_b == 0);
    compare_free(&c);
}

static void test_models(void **state)
{
    (void)state;
    static side a, b;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    comparison c;
    put(&a, lab_run_cell("one", "aa11", "x"), 10, 9, 2);
    put(&a, lab_run_cell("two", "bb11", "x"), 10, 9, 2);
    put(&b, lab_run_cell("one", "cc11", "x"), 10, 9, 2);
    put(&b, lab_run_cell("one", "cd22", "x"), 10, 5, 2);

    /* Two weights of one name on a side: nobody knows which is meant, until it is said. */
    c = (comparison){.alpha = 0.05};
    assert_int_equal(compare_add(&c, &a.r, &b.r, (compare_models){"", ""}, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "model_b=one@cc11 or model_b=one@cd22"));
    compare_free(&c);
    c = (comparison){.alpha = 0.05};
    assert_int_equal(compare_add(&c, &b.r, &a.r, (compare_models){"", "two"}, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "model_a=one@"));
    compare_free(&c);

    check_add(&c, &a, &b, "one", "one@cd");
    assert_int_equal(c.count, ROWS);
    assert_near(c.row[ACCURACY].b, 0.5, 1e-15);
    assert_string_equal(c.row[0].model_a, "one");
    compare_free(&c);
    check_add(&c, &a, &b, "two@bb11", "one@cc");
    assert_int_equal(c.count, ROWS);
    assert_string_equal(c.row[0].model_a, "two");
    assert_string_equal(c.row[0].model_b, "one");
    compare_free(&c);
    check_add(&c, &a, &b, "two", "");
    assert_true(c.count == 0 && c.only_a == 1);
    compare_free(&c);
    /* The models of one journal. */
    check_add(&c, &a, &a, "one", "two");
    assert_true(c.count == ROWS && c.only_a == 0 && c.only_b == 0);
    compare_free(&c);
}

/* The same run on several cores is one run; the cores that agree are paired. */
static void test_cores(void **state)
{
    (void)state;
    static side a, b;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    comparison c;
    put(&a, lab_run_cell("m", "w1", "x"), 10, 9, 2);
    put(&a, lab_run_cell("m", "w1", "x"), 10, 9, 2);
    put(&b, lab_run_cell("m", "w2", "x"), 10, 3, 2);
    put(&b, lab_run_cell("m", "w2", "x"), 10, 8, 2);
    put(&b, lab_run_cell("m", "w2", "x"), 10, 2, 2);
    strcpy(a.cell[1].blas_core, "Other");
    strcpy(b.cell[0].blas_core, "Third");
    strcpy(b.cell[2].blas_core, "Fourth");
    check_add(&c, &a, &b, "", "");
    assert_int_equal(c.count, ROWS);
    assert_near(c.row[ACCURACY].b, 0.8, 1e-15);
    compare_free(&c);
}

/* ---- What is computed ---- */

static void test_values(void **state)
{
    (void)state;
    static side a, b;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    comparison c;
    put(&a, lab_run_cell("m", "w1", "x"), 40, 36, 2);
    put(&b, lab_run_cell("m", "w2", "x"), 40, 20, 2.5);
    put(&a, lab_run_cell("m", "w1", "y"), 40, 36, 2);
    put(&b, lab_run_cell("m", "w2", "y"), 40, 38, 1.5);
    check_add(&c, &a, &b, "", "");
    assert_int_equal(c.count, 2 * ROWS);
    /* Accuracy is the main metric: it is worse in one cell, and in the other two hits more do not tell. */
    assert_true(c.worse == 1 && c.better == 0 && c.unsure == 0);

    const compare_row *hit = &c.row[ACCURACY], *ppl = &c.row[PERPLEXITY];
    assert_near(hit->a, 0.9, 1e-15);
    assert_near(hit->pair.difference, -0.4, 1e-15);
    assert_string_equal(hit->pair.test, "mcnemar");
    assert_near(hit->pair.p, ldexp(2, -16), 1e-15); /* 16 lost, none gained */
    assert_true(hit->pair.only_a == 0 && hit->pair.ci.lo < -0.4 && hit->pair.ci.hi > -0.4 && hit->pair.ci.hi < 0);
    assert_int_equal(hit->verdict, COMPARE_WORSE);
    assert_true(hit->corrected >= hit->pair.p && hit->corrected < 0.001);
    assert_true(hit->detectable == stats_detectable_loss(40, 0, 0.05, COMPARE_POWER));
    assert_true(hit->primary && !ppl->primary && hit->margin == 0.05 && ppl->margin == 0.005 * ppl->a);

    double num[2][40], den[40];
    for (int i = 0; i < 40; i++) {
        num[0][i] = a.sample[0][i].value[NLL];
        num[1][i] = b.sample[0][i].value[NLL];
        den[i] = 100;
    }
    const paired expected = stats_paired_ratio(num[1], den, num[0], den, 40, 0.95);
    assert_true(ppl->pair.difference == expected.difference && ppl->pair.p == expected.p);
    assert_true(ppl->pair.ci.lo == expected.ci.lo && ppl->pair.ci.hi == expected.ci.hi && ppl->pair.ci.lo > 0);
    assert_string_equal(ppl->pair.test, "sign-flip");
    assert_int_equal(ppl->verdict, COMPARE_WORSE);
    assert_true(ppl->detectable == stats_detectable_difference(expected.deviation, 40, 0.05, COMPARE_POWER));

    /* In the second cell two are gained, too few to tell, and the lower perplexity is better. */
    assert_near(c.row[ROWS + ACCURACY].pair.p, 0.5, 1e-15);
    assert_near((double)c.row[ROWS + ACCURACY].pair.only_a / (double)c.row[ROWS + ACCURACY].pair.n, 0.05, 1e-15);
    assert_int_equal(c.row[ROWS + ACCURACY].verdict, COMPARE_NOT_WORSE); /* at most a point, of five allowed */
    assert_int_equal(c.row[ROWS + PERPLEXITY].verdict, COMPARE_BETTER);
    compare_free(&c);
}

/* The same values over fewer samples are not the same run: the samples that are gone may have been the bad ones.
 */
static void test_fewer_samples(void **state)
{
    (void)state;
    static side a, b;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    comparison c;
    put(&a, lab_run_cell("m", "w1", "x"), 40, 30, 2);
    put(&b, lab_run_cell("m", "w2", "x"), 30, 30, 2);
    put(&a, lab_run_cell("m", "w1", "y"), 40, 30, 2);
    put(&b, lab_run_cell("m", "w2", "y"), 40, 30, 2);
    check_add(&c, &a, &b, "", "");
    assert_int_equal(c.count, 2 * ROWS);
    assert_false(c.row[ACCURACY].same);
    assert_true(c.row[ROWS + ACCURACY].same);
    compare_free(&c);
}

/* The same loss in several cells is as plain as in one: the rows do not water each other down, as long as they are
 * about other documents no more than their number says. */
static void test_correction(void **state)
{
    (void)state;
    static side a, b;
    comparison c;
    for (int cells = 1; cells <= 2; cells++) {
        memset(&a, 0, sizeof a);
        memset(&b, 0, sizeof b);
        for (int k = 0; k < cells; k++) {
            char name[16];
            snprintf(name, sizeof name, "x%d", k);
            put(&a, lab_run_cell("m", "w1", name), 30, 20, 2);
            put(&b, lab_run_cell("m", "w2", name), 30, k ? 20 : 13, 2);
        }
        check_add(&c, &a, &b, "", "");
        assert_near(c.row[ACCURACY].pair.p, 2.0 / 128, 1e-15);
        /* The second cell is the same on both sides: it cannot have a smaller p under any flip. */
        assert_true(c.row[ACCURACY].corrected > 0.0156 && c.row[ACCURACY].corrected < 0.02);
        assert_int_equal(c.row[ACCURACY].verdict, COMPARE_WORSE);
        assert_int_equal(c.worse, 1);
        if (cells == 2) assert_int_equal(c.row[ROWS + ACCURACY].verdict, COMPARE_SAME);
        /* Equal perplexities are no evidence, and say nothing of what would be. */
        assert_true(c.row[PERPLEXITY].pair.p == 1 && isnan(c.row[PERPLEXITY].detectable));
        compare_free(&c);
    }
}

/* Ten samples have p = 1/512 at best, and the same documents in eight models no more than that. */
static void test_many_models(void **state)
{
    (void)state;
    static side a, b;
    comparison c;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    for (int k = 0; k < 8; k++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", k);
        put(&a, lab_run_cell(name, "w1", "x"), 10, 9, 2);
        put(&b, lab_run_cell(name, "w2", "x"), 10, 9, 3);
    }
    check_add(&c, &a, &b, "", "");
    for (size_t k = 0; k < c.count; k += ROWS) {
        assert_near(c.row[k + PERPLEXITY].pair.p, 1.0 / 512, 1e-15);
        assert_near(c.row[k + PERPLEXITY].corrected, 1.0 / 512, 1e-15);
        assert_int_equal(c.row[k + PERPLEXITY].verdict, COMPARE_WORSE);
    }
    assert_int_equal(c.worse, 0); /* perplexity is not the made-up task's main metric */
    compare_free(&c);
}

/* The margin decides between "not worse" and "cannot tell", and how many samples would do is said. */
static void test_margin(void **state)
{
    (void)state;
    static side a, b;
    comparison c;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    put(&a, lab_run_cell("m", "w1", "x"), 40, 30, 2);
    put(&b, lab_run_cell("m", "w2", "x"), 40, 29, 2);
    check_add(&c, &a, &b, "", "");
    compare_row *row = &c.row[ACCURACY];
    assert_true(row->pair.ci.lo < -0.05 && row->corrected == 1);
    assert_int_equal(row->verdict, COMPARE_UNSURE);
    const double harm = 1.0 / 40, most = -row->pair.ci.lo, room = 0.05 - harm;
    assert_int_equal(row->needed, (int64_t)ceil(40 * pow((most - harm) / room, 2)) + 1);
    assert_true(c.unsure == 1 && c.needed == row->needed && c.worse == 0);
    c.points = 100 * most + 0.1;
    row->margin = c.points / 100;
    assert_int_equal(compare_judge(&c, &err), PAL_OK);
    assert_int_equal(row->verdict, COMPARE_NOT_WORSE);
    compare_free(&c);
}

/* A loss that is not a number must not pass for "no significant change". */
static void test_missing_values(void **state)
{
    (void)state;
    static side a, b;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    comparison c;
    put(&a, lab_run_cell("m", "w1", "x"), 10, 9, 2);
    put(&b, lab_run_cell("m", "w2", "x"), 10, 9, 2);
    b.sample[0][3].value[NLL] = NAN;
    check_add(&c, &a, &b, "", "");
    assert_int_equal(c.count, ROWS);
    assert_int_equal(c.row[PERPLEXITY].verdict, COMPARE_WORSE);
    assert_true(isnan(c.row[PERPLEXITY].pair.p) && isnan(c.row[PERPLEXITY].corrected));
    assert_int_equal(c.worse, 1);
    assert_near(c.row[ACCURACY].corrected, 1, 1e-15);
    compare_free(&c);
    check_add(&c, &b, &a, "", "");
    assert_int_equal(c.worse, 0);
    compare_free(&c);
    check_add(&c, &b, &b, "", "");
    assert_int_equal(c.count, 1);
    compare_free(&c);
}

static void test_table(void **state)
{
    (void)state;
    static side a, b;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    comparison c;
    put(&a, lab_run_cell("m", "w1", "x"), 30, 20, 2);
    put(&b, lab_run_cell("new", "w2", "x"), 30, 13, 2);
    put(&b, lab_run_cell("new", "w2", "y"), 30, 13, 2);
    check_add(&c, &a, &b, "", "new");
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    compare_print(&c, LISTING_TEXT, out);
    fclose(out);
    assert_non_null(strstr(text, "m > new  x     accuracy    30    66.7    43.3  -23.3 [-"));
    assert_non_null(strstr(text, "  0.0156    0.0"));
    assert_non_null(strstr(text, "worse\n"));
    assert_non_null(strstr(text, "x1.0000"));
    assert_non_null(
        strstr(text, "2 comparisons; of the main metrics 1 worse, 0 better, 0 that cannot be told.\n"));
    assert_non_null(strstr(text, "1 rows have no interval"));
    assert_non_null(strstr(text, "0 only in A, 1 only in B.\n"));
    free(text);
    compare_free(&c);
}

/* ---- Forms ---- */

/* Not inlined: gcc would take the text for the stream's pointer to it. */
static __attribute__((noinline)) char *printed(const comparison *c, listing_format format)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    compare_print(c, format, out);
    fclose(out);
    return text;
}

static void test_forms(void **state)
{
    (void)state;
    static side a, b;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    comparison c;
    put(&a, lab_run_cell("m", "w1", "x"), 30, 20, 2);
    put(&b, lab_run_cell("n, \"new\"", "w2", "x"), 30, 13, 2.5);
    check_add(&c, &a, &b, "", "n, \"new\"");
    char *text = printed(&c, LISTING_CSV), *second = strchr(text, '\n') + 1;
    assert_non_null(
        strstr(text, "task,model_a,model_b,cell,metric,n,a,b,change,lo,hi,test,p,family_p,detectable,verdict\n"));
    static const char begin[] = "toy,m,\"n, \"\"new\"\"\",x,accuracy,30,66.66";
    assert_int_equal(strncmp(second, begin, strlen(begin)), 0);
    free(text);
    text = printed(&c, LISTING_JSONL);
    size_t rows = 0;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, rows++) {
        json_t *row = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(row);
        assert_string_equal(json_string_value(json_object_get(row, "model_b")), "n, \"new\"");
        const double change = json_number_value(json_object_get(row, "change"));
        const double expected =
            rows == ACCURACY ? 100 * c.row[0].pair.difference : exp(c.row[PERPLEXITY].pair.difference);
        assert_near(change, expected, 1e-6 * fabs(expected));
        json_decref(row);
    }
    assert_int_equal(rows, ROWS);
    free(text);
    text = printed(&c, LISTING_MARKDOWN);
    assert_int_equal(text[0], '|');
    assert_non_null(strstr(text, "family p: over"));
    free(text);
    compare_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),         cmocka_unit_test(test_models),
        cmocka_unit_test(test_cores),          cmocka_unit_test(test_values),
        cmocka_unit_test(test_fewer_samples),  cmocka_unit_test(test_correction),
        cmocka_unit_test(test_many_models),    cmocka_unit_test(test_margin),
        cmocka_unit_test(test_missing_values), cmocka_unit_test(test_table),
        cmocka_unit_test(test_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

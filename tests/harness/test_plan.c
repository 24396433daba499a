/* Plans: numbers of samples that a task leaves open, the order of models, and speeds that are measured once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/os.h"
#include "harness/eval/plan.h"
#include "harness/eval/progress.h"
#include "models/engine/gemm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char dir[] = "/tmp/palimpsest-plan-XXXXXX";
static pal_error err;
static pool *threads;

static int setup(void **state)
{
    (void)state;
    return !mkdtemp(dir) || setenv("XDG_CACHE_HOME", dir, 1) || gemm_setup(2, &err) ||
           pool_create(&threads, 2, &err);
}

static int teardown(void **state)
{
    char command[64];
    (void)state;
    pool_destroy(threads);
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

#define READ(r, ...)                                                                                              \
    assert_int_equal(eval_request_read(r, (int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)),                \
                                       (char *[]){__VA_ARGS__}, 1, &err),                                         \
                     PAL_OK)

static const plan_part *part_of(const plan *p, const char *model)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->part[i].model->file.name, model) == 0) return &p->part[i];
    fail_msg("no part of %s", model);
    return NULL;
}

/* A model that must read all of a long text takes fewer samples; one that need not takes all; a number is a
 * number. */
static void test_open_number(void **state)
{
    (void)state;
    eval_request r;
    plan p;
    READ(&r, "task=passkey", "len=1M", "depths=0,50,100", "model=passkey-infini-linear,passkey-local");
    assert_int_equal(plan_make(&p, &r, NULL, NULL, NULL, &err), PAL_OK);
    const plan_part *linear = part_of(&p, "passkey-infini-linear"), *local = part_of(&p, "passkey-local");
    assert_int_equal(linear->count, 3 * 2);
    assert_int_equal(local->count, 3 * 10);
    assert_int_equal(plan_samples(linear, 1), 2);
    assert_int_equal(plan_samples(local, 1), 10);
    assert_int_equal(linear->cell[0]->samples, 10);
    /* Cheap and telling first, whatever the order of names. */
    assert_ptr_equal(&p.part[p.order[0]], local);
    assert_true(local->whole < linear->whole);
    plan_free(&p);
    eval_request_free(&r);

    READ(&r, "task=passkey", "len=1M", "depths=0", "n=4", "model=passkey-infini-linear");
    assert_int_equal(plan_make(&p, &r, NULL, NULL, NULL, &err), PAL_OK);
    assert_int_equal(p.part[0].count, 4);
    plan_free(&p);
    eval_request_free(&r);

    READ(&r, "task=passkey", "len=4K", "depths=0", "model=passkey-infini-linear");
    assert_int_equal(plan_make(&p, &r, NULL, NULL, NULL, &err), PAL_OK);
    assert_int_equal(p.part[0].count, 10);
    plan_free(&p);
    eval_request_free(&r);
}

static speed_book *open_book(void)
{
    speed_book *b = NULL;
    assert_int_equal(speed_open(&b, threads, NULL, &err), PAL_OK);
    return b;
}

/* What was measured once is read the next time, to the digit; a damaged file is measured anew. */
static void test_speeds(void **state)
{
    (void)state;
    eval_request r;
    double first[3], again[3];
    const batch_item *item;
    char path[128];
    READ(&r, "task=passkey", "len=1K", "n=1", "depths=0", "model=text-300k-infini-linear");
    assert_int_equal(eval_request_samples(&r, 0, &item, &err), PAL_OK);
    for (int turn = 0; turn < 3; turn++) {
        speed_book *b = open_book();
        double *got = turn ? again : first;
        assert_int_equal(speed_flops(b, r.model[0].decoder, 2, 0, &got[0], &err), PAL_OK);
        assert_int_equal(speed_flops(b, r.model[0].decoder, 2, 1, &got[1], &err), PAL_OK);
        assert_int_equal(speed_text(b, &r, item, &got[2], &err), PAL_OK);
        assert_int_equal(speed_measured(b), turn != 1);
        speed_close(b);
        for (int k = 0; k < 3; k++) assert_true(got[k] > 0);
        if (turn == 1)
            for (int k = 0; k < 3; k++)
                assert_true(again[k] / first[k] > 1 - 1e-8 && again[k] / first[k] < 1 + 1e-8);
        snprintf(path, sizeof path, "%s/palimpsest/speed", dir);
        assert_true(os_file_exists(path));
        if (turn == 1) assert_int_equal(os_write_file(path, "palimpsest speeds 1\nnonsense\n", 28, &err), PAL_OK);
    }
    eval_request_free(&r);
}

/* A stream that comes round is found, and kept; one that is too short for it is not looked at. */
static void test_rounds(void **state)
{
    (void)state;
    eval_request r;
    const batch_item *item;
    speed_cycle cycle, again;
    READ(&r, "task=passkey", "len=256K", "n=1", "depths=100", "model=passkey-infini-next-overlap");
    assert_int_equal(eval_request_samples(&r, 0, &item, &err), PAL_OK);
    speed_book *b = open_book();
    assert_int_equal(speed_round(b, &r, &r.model[0], item, &cycle, &err), PAL_OK);
    assert_true(cycle.tokens > 0 && cycle.tokens < 256 * 1024 && cycle.seconds_each > 0);
    speed_close(b);
    b = open_book();
    assert_int_equal(speed_round(b, &r, &r.model[0], item, &again, &err), PAL_OK);
    assert_true(again.tokens == cycle.tokens && !speed_measured(b));
    batch_item brief = *item;
    brief.first = 1000;
    assert_int_equal(speed_round(b, &r, &r.model[0], &brief, &again, &err), PAL_OK);
    assert_true(again.tokens == 0 && !speed_measured(b));
    speed_close(b);
    eval_request_free(&r);
}

static void test_human_numbers(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *unit, *shown;
    } cases[] = {{0, NULL, "0"},
                 {812, NULL, "812"},
                 {999.4, NULL, "999"},
                 {999.6, NULL, "1.0K"},
                 {31457280, NULL, "31.5M"},
                 {9e11, "FLOP", "900 GFLOP"},
                 {1.5e12, "FLOP", "1.5 TFLOP"},
                 {51e6, "B", "51.0 MB"},
                 {120e6, "B", "120 MB"},
                 {7, "B", "7 B"}};
    char text[24];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(human_count(cases[i].value, cases[i].unit, text), cases[i].shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_number),
        cmocka_unit_test(test_speeds),
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_human_numbers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

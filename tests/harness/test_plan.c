/* Plans: numbers of samples that a task leaves open, the order of models, and speeds that are measured once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/os.h"
#include "harness/cli/progress.h"
#include "harness/eval/eval.h"
#include "harness/eval/plan.h"
#include "models/engine/gemm.h"

#include <math.h>
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

/* A stream for what samples share is planned for only where some may share. */
static void test_bytes(void **state)
{
    (void)state;
    static char *const words[][6] = {
        {"task=passkey", "len=4K", "depths=0,50", "n=2", "model=passkey-infini-linear", "batch=2"},
        {"task=passkey", "len=4K", "depths=0", "n=1", "model=passkey-infini-linear", "batch=2"},
        {"task=perplexity", "data=datasets/slice", "docs=2", "max_tokens=2K", "model=text-infini-delta",
         "batch=2"},
    };
    for (int i = 0; i < 3; i++) {
        eval_request r;
        plan p;
        assert_int_equal(eval_request_read(&r, 6, words[i], LOAD_ALL, &err), PAL_OK);
        assert_int_equal(plan_make(&p, &r, NULL, NULL, NULL, &err), PAL_OK);
        const plan_part *part = &p.part[0];
        assert_int_equal(plan_part_bytes(part, &r, 1),
                         batch_bytes(part->model->decoder, (size_t)r.threads, 1, part->scored, i == 0));
        plan_free(&p);
        eval_request_free(&r);
    }
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
        assert_int_equal(speed_flops(b, &r.model[0], 2, 0, &got[0], &err), PAL_OK);
        assert_int_equal(speed_flops(b, &r.model[0], 2, 1, &got[1], &err), PAL_OK);
        assert_int_equal(speed_text(b, &r, item, &got[2], &err), PAL_OK);
        assert_int_equal(speed_measured(b), turn != 1);
        speed_close(b);
        for (int k = 0; k < 3; k++) assert_true(got[k] > 0);
        if (turn == 1)
            for (int k = 0; k < 3; k++)
                assert_true(again[k] / first[k] > 1 - 1e-8 && again[k] / first[k] < 1 + 1e-8);
        snprintf(path, sizeof path, "%s/palimpsest/speed", dir);
        assert_true(os_file_exists(path));
        if (turn == 1) assert_int_equal(os_write_file(path, "palimpsest speeds 2\nnonsense\n", 28, &err), PAL_OK);
    }
    eval_request_free(&r);
}

static void check_one_speed(const eval_request *r)
{
    double read, scored;
    speed_book *b = open_book();
    assert_int_equal(speed_flops(b, &r->model[0], 2, 1, &scored, &err), PAL_OK);
    assert_int_equal(speed_flops(b, &r->model[0], 2, 0, &read, &err), PAL_OK);
    assert_true(scored > 0 && isfinite(scored) && read == scored); /* it is measured in one way */
    speed_close(b);
}

/* Models that take long for a segment: one keeps nothing of what it only reads, one keeps it in its last layer. */
static void test_speed_without_state(void **state)
{
    (void)state;
    eval_request r;
    READ(&r, "task=passkey", "len=16K", "n=1", "depths=0", "model=text-local", "attention=local", "segment=16K");
    check_one_speed(&r);
    eval_request_free(&r);
    READ(&r, "task=passkey", "len=16K", "n=1", "depths=0", "model=text-infini-delta",
         "attention=infini-delta:memory_layers=3", "segment=16K");
    check_one_speed(&r);
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

/* How fast a model looks back is measured on the text once; where there is little to look back on, it is as fast
 * as reading. */
static void test_far(void **state)
{
    (void)state;
    eval_request r;
    const batch_item *item;
    double far, again, near;
    /* All its layers look back for tokens that are only read; where the last one alone would, none does. */
    READ(&r, "task=passkey", "len=16K", "n=1", "depths=100", "model=passkey-local", "attention=full",
         "context=32K");
    assert_int_equal(eval_request_samples(&r, 0, &item, &err), PAL_OK);
    speed_book *b = open_book();
    assert_int_equal(speed_far(b, &r, &r.model[0], item, &far, &err), PAL_OK);
    speed_close(b);
    b = open_book();
    assert_int_equal(speed_far(b, &r, &r.model[0], item, &again, &err), PAL_OK);
    assert_true(far > 0 && again / far > 1 - 1e-8 && again / far < 1 + 1e-8 && !speed_measured(b));
    batch_item brief = *item;
    brief.tokens = 1000;
    assert_int_equal(speed_far(b, &r, &r.model[0], &brief, &again, &err), PAL_OK);
    assert_int_equal(speed_flops(b, &r.model[0], 1, 0, &near, &err), PAL_OK);
    assert_true(again == near);
    speed_close(b);
    eval_request_free(&r);

    /* Its last layer alone looks back, and of a token that is only read keeps the key and the value. */
    READ(&r, "task=passkey", "len=16K", "n=1", "depths=100", "model=passkey-memorizing");
    assert_int_equal(eval_request_samples(&r, 0, &item, &err), PAL_OK);
    b = open_book();
    assert_int_equal(speed_far(b, &r, &r.model[0], item, &far, &err), PAL_OK);
    assert_int_equal(speed_flops(b, &r.model[0], 1, 0, &near, &err), PAL_OK);
    assert_true(far == near);
    speed_close(b);
    eval_request_free(&r);
}

/* ---- The progress of a run ---- */

static double fake_time;
static double leap(void)
{
    return fake_time += 40;
}

static void on_begin(void *arg, const eval_request *r, size_t pending)
{
    (void)arg, (void)r;
    assert_true(pending > 0);
}

static void on_cell(void *arg, const result_cell *cell, int64_t n)
{
    (void)arg, (void)cell, (void)n;
}

static void on_skipped(void *arg, const eval_model *m, const task_cell *cell, const char *why)
{
    (void)arg, (void)m, (void)cell;
    fail_msg("skipped: %s", why);
}

static void on_note(void *arg, const char *text)
{
    (void)arg, (void)text;
}

/* Every line of a run whose clock leaps: shares that grow up to all of it, and times that are left. */
static void test_run_progress(void **state)
{
    (void)state;
    char results_dir[64], line[512];
    eval_request r;
    results held;
    snprintf(results_dir, sizeof results_dir, "results=%s/run", dir);
    READ(&r, "task=passkey", "len=128K", "n=2", "depths=0,50,100", "checkpoint=0", "references=0", results_dir,
         "model=passkey-infini-next-overlap,passkey-local,passkey-transformer-xl");
    os_table table = *os();
    table.now = leap;
    os_use(&table);
    FILE *log = tmpfile();
    const eval_watch watch = {.begin = on_begin, .cell = on_cell, .skipped = on_skipped, .note = on_note};
    char path[256];
    assert_int_equal(os_make_dirs(results_dir + strlen("results="), &err), PAL_OK);
    eval_journal_path(&r.options, r.task, path, sizeof path);
    results_init(&held, r.task, path);
    assert_int_equal(eval_run(&r, &watch, log, NULL, &held, &err), PAL_OK);
    os_use(NULL);
    results_free(&held);
    rewind(log);
    double before = 0;
    int lines = 0;
    while (fgets(line, sizeof line, log)) {
        double share;
        char left[32];
        if (sscanf(line, "%lf %% %31s", &share, left) != 2) continue;
        assert_true(share >= before && share <= 100);
        assert_true(left[0] != '-');
        before = share;
        lines++;
    }
    fclose(log);
    assert_true(lines > 10);
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
        cmocka_unit_test(test_open_number),  cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_speeds),       cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_far),          cmocka_unit_test(test_speed_without_state),
        cmocka_unit_test(test_run_progress), cmocka_unit_test(test_human_numbers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

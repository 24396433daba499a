/* Cells of a journal: memory in proportion to the file, clusters, samples that are not finite, records of other
 * versions, and labels that can be typed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/gate/compare.h"
#include "harness/report/report.h"
#include "harness/report/table.h"
#include "tests/lib/journal_lab.h"

static const result_cell *only_cell(lab_journal *j)
{
    return &j->held.cell[j->held.count - 1];
}

/* A sample of a far index takes the room of one sample. */
static void test_far_index(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("passkey"));
    const result_cell cell = lab_cell(j, "m", "len=1024,depth=0", 1024, 0, "seed=1", RESULT_INDEX_MAX);
    static const int64_t index[] = {RESULT_INDEX_MAX - 1, 5, 0, 7, 1, 1};
    const double right[TASK_VALUES] = {1, 1, 1};
    lab_announce(j, &cell, 2);
    for (size_t i = 0; i < sizeof index / sizeof *index; i++) lab_sample(j, &cell, index[i], right, 1);
    const result_cell *held = only_cell(j);
    assert_int_equal(held->count, 5);
    assert_true(held->capacity < 100);
    assert_true(result_done(held, RESULT_INDEX_MAX - 1) && result_done(held, 5) && !result_done(held, 6));
    assert_int_equal(result_sample_at(held, 7)->index, 7);
    assert_null(result_sample_at(held, 6));
    assert_int_equal(result_complete(held), 2);
    for (size_t i = 1; i < held->count; i++) assert_true(held->sample[i - 1].index < held->sample[i].index);
    lab_close(j);
    unlink(lab_path("passkey-journal.jsonl"));
}

/* Clusters join wherever their samples stand; 20,000 samples of one take no time. */
static void test_clusters(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    const task_metric metric = {"share", METRIC_SHARE, 0, -1, 1, 0, 0, 0};
    result_sample *sample = calloc(MANY, sizeof *sample);
    double *num = calloc(MANY, sizeof *num), *den = calloc(MANY, sizeof *den);
    assert_true(sample && num && den);
    for (int64_t i = 0; i < MANY; i++)
        sample[i] = (result_sample){.index = i, .cluster = i % 10 == 3 ? 0 : (uint64_t)(i % 3 + 1), .value = {1}};
    const result_cell cell = {.sample = sample, .count = MANY};
    assert_int_equal(result_clusters(&cell, 6), 4); /* of clusters 1 2 3 - 2 3 */
    assert_int_equal(result_columns(&metric, &cell, 6, num, den), 4);
    assert_true(num[0] == 1 && num[1] == 2 && num[2] == 2 && num[3] == 1 && den[1] == 2);
    assert_int_equal(result_clusters(&cell, MANY), 3 + MANY / 10);
    free(sample);
    free(num);
    free(den);
}

static void test_not_finite(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("passkey"));
    const result_cell cell = lab_cell(j, "m", "len=1024,depth=0", 1024, 0, "seed=1", 3);
    lab_announce(j, &cell, 3);
    for (int64_t i = 0; i < 3; i++) {
        result_sample sample = {.not_finite = i == 1, .seconds = -5, .tokens = 1024, .read = 1024};
        for (size_t v = 0; v < j->task->value_count; v++) sample.value[v] = i == 1 ? NAN : 1;
        assert_int_equal(results_add(&j->held, j->file, cell.key, i, &sample, "{}", &err), PAL_OK);
    }
    lab_close(j);

    results r;
    report rep;
    char text[64];
    results_init(&r, task_find("passkey"), lab_path("passkey-journal.jsonl"));
    assert_int_equal(journal_read(r.path, results_visit, &r, &err), PAL_OK);
    assert_int_equal(result_not_finite(&r.cell[0], 3), 1);
    assert_int_equal(result_not_finite(&r.cell[0], 1), 0);
    assert_true(r.cell[0].sample[0].seconds == 0); /* no clock makes negative time */
    assert_int_equal(report_create(&rep, &r, &err), PAL_OK);
    assert_int_equal(rep.row[0].not_finite, 1);
    assert_string_equal(report_format(&r.task->metric[0], &rep.row[0].metric[0], text), "1 not finite");
    assert_string_equal(table_cell_of(&r.task->metric[0], &rep.row[0].metric[0], 3).text, "1 of 3 not finite");
    report_free(&rep);
    results_free(&r);
    unlink(lab_path("passkey-journal.jsonl"));
}

/* Whatever the results lack is said. */
static void test_notes(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("passkey"));
    task_module older = *j->task;
    older.version--;
    results old;
    results_init(&old, &older, j->path);
    result_cell cell = lab_cell(j, "m", "len=1024,depth=0", 1024, 0, "seed=1", 1);
    lab_passkey(j, "m", 1024, 0, "seed=1", 1, 1);
    assert_int_equal(results_announce(&old, j->file, &cell, 1, &err), PAL_OK);
    results_free(&old);
    lab_close(j);
    FILE *file = fopen(lab_path("passkey-journal.jsonl"), "a");
    assert_non_null(file);
    fprintf(file, "{\"kind\":\"sample\",\"model\":\"m\",\"cell\":\"x\",\"index\":4,\"crc32\":\"00000000\"}\n");
    fclose(file);

    results r;
    char *text = NULL;
    size_t size = 0;
    results_init(&r, task_find("passkey"), lab_path("passkey-journal.jsonl"));
    assert_int_equal(journal_read_tail(r.path, results_visit, &r, &r.tail, &err), PAL_OK);
    FILE *out = open_memstream(&text, &size);
    results_note(&r, out);
    fclose(out);
    lab_check_has(text, "the last record is damaged and left out: sample 4 of cell x, model m;");
    lab_check_has(text, "1 records are of other versions of task passkey");
    assert_int_equal(r.outdated, 1);
    assert_int_equal(result_complete(&r.cell[0]), 1);
    results_free(&r);
    free(text);
    unlink(lab_path("passkey-journal.jsonl"));
}

/* ---- Labels ---- */

static void test_labels(void **state)
{
    (void)state;
    result_cell kept = {.model = "m@home", .weights = "abc123", .config = "c", .settings = "seed=1"},
                zeroed = kept;
    zeroed.memory = RESULT_ZEROED;
    strcpy(zeroed.settings, "seed=1 memory=zeroed");
    char text[LABEL_TEXT], digest[HASH_HEX], long_name[2 * LABEL_TEXT];
    label_parts parts;
    assert_string_equal(label_name(&kept, text), "m@home");
    assert_string_equal(label_name(&zeroed, text), "m@home, memory zeroed");
    assert_true(label_fits("m@home", &kept) && label_fits("m@home", &zeroed));
    assert_true(!label_fits("m@home, memory zeroed", &kept) && label_fits("m@home, memory zeroed", &zeroed));
    label_digest(&zeroed, digest);
    snprintf(text, sizeof text, "m@home, memory zeroed@%.6s", digest);
    assert_true(label_fits(text, &zeroed) && !label_fits(text, &kept));
    assert_true(label_fits("m@home@abc1", &kept) && !label_fits("m@home@abd", &kept));
    assert_false(label_fits("m", &kept));
    assert_true(label_read("a, memory zeroed@0f", &parts));
    assert_string_equal(parts.model, "a");
    assert_string_equal(parts.hash, "0f");
    assert_true(parts.zeroed);
    assert_true(label_read(", memory zeroed", &parts) && !parts.zeroed); /* nobody's */
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_false(label_read(long_name, &parts));
}

/* Every label of a report can be given to compare, and picks that run alone. */
static void test_round_trip(void **state)
{
    (void)state;
    const double nll[] = {2, 2.1, 2.2}, worse[] = {3, 3.1, 3.3};
    lab_journal *j = lab_open(task_find("perplexity"));
    lab_perplexity(j, "it's m", "sea/test", "split=test", 64, nll, 3);
    lab_perplexity(j, "it's m", "sea/test", "split=test memory=zeroed", 64, worse, 3);
    result_cell again = lab_cell(j, "it's m", "sea/test", 0, NAN, "split=test", 3);
    hash_hex("other", 5, again.weights);
    result_cell_identify(j->task, &again);
    lab_announce(j, &again, 3);
    for (int64_t i = 0; i < 3; i++)
        lab_sample(j, &again, i, (const double[TASK_VALUES]){240, 100, 50, 400, 240}, 0.01);
    report rep;
    assert_int_equal(report_create(&rep, &j->held, &err), PAL_OK);
    assert_int_equal(rep.count, 3);
    for (size_t a = 0; a < rep.count; a++) {
        size_t fits = 0;
        for (size_t i = 0; i < j->held.count; i++) fits += label_fits(rep.row[a].label, &j->held.cell[i]);
        assert_int_equal(fits, 1);
        comparison c = {.alpha = 0.05};
        const compare_models models = {rep.row[a].label, rep.row[(a + 1) % 3].label};
        if (compare_add(&c, &j->held, &j->held, models, &err) != PAL_OK) fail_msg("%s", err.text);
        assert_int_equal(c.count, 3);
        compare_free(&c);
    }
    report_free(&rep);
    lab_close(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_far_index), cmocka_unit_test(test_clusters), cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_notes),     cmocka_unit_test(test_labels),   cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, lab_make_dir, lab_remove_dir);
}

/* From records to tables, with a made-up task and made-up models. */
#include "tests/lib/report_lab.h"

#include <math.h>

static const char *const values[] = {"hit", "loss", "weight"};
static const task_metric metrics[] = {{"hit", METRIC_SHARE, 0, -1, 1, 1, 0, 0},
                                      {"loss", METRIC_RATIO, 1, -1, 0, 0, 0, 0},
                                      {"ppl", METRIC_PERPLEXITY, 1, 2, 0, 0, 1, 0}};

static double paper(const task_cell *cell, const char *metric, const model_facts *model, const char **row)
{
    if (strcmp(metric, "hit") != 0 || strcmp(model->attention, "infini-linear") != 0 || cell->length != 2048)
        return NAN;
    *row = "their best, \"tuned\"";
    return 0.97;
}

static const kv_spec toy_request[] = {{"len", KV_SIZES, 0, "1K", 0, 0, NULL, "lengths"},
                                      {"n", KV_INT, 0, "1", 0, 0, NULL, "samples"},
                                      {"seed", KV_INT, 0, "1", 0, 0, NULL, "seed"}};

static task_module toy = {.name = "toy",
                          .eval = &(const task_eval){.request_table = toy_request, .request_count = 3},
                          .version = 2,
                          .scorer_version = 3,
                          .summary = "a toy",
                          .value = values,
                          .value_count = 3,
                          .metric = metrics,
                          .metric_count = 3,
                          .tables = &(const task_tables){.paper = paper}};

static void add(results *r, journal *j, const result_cell *cell, int64_t index, double hit, double loss)
{
    const result_sample sample = {.value = {hit, loss, 1 + (double)index},
                                  .seconds = 0.5,
                                  .tokens = cell->length ? cell->length : 100,
                                  .read = cell->length ? (double)cell->length / 2 : 100,
                                  .threads = 2,
                                  .batch = 8,
                                  .held = 3000,
                                  .peak_rss = 1000000 + (uint64_t)index};
    assert_int_equal(results_add(r, j, cell->key, index, &sample, "{\"seen\":\"\\u0000\"}", &err), PAL_OK);
}

static void announce(results *r, journal *j, const result_cell *cell, int64_t asked)
{
    assert_int_equal(results_announce(r, j, cell, asked, &err), PAL_OK);
}

static journal *start(results *r)
{
    return start_task(r, &toy);
}

/* What makes samples differ changes the key; what does not, does not. */
static void test_key(void **state)
{
    (void)state;
    const result_cell a = make_cell(&toy, "m", "w", 1024, 0);
    result_cell b = a;
    strcpy(b.request, "another");
    strcpy(b.model, "renamed");
    result_cell_identify(&toy, &b);
    assert_string_equal(a.key, b.key);
    char *const fields[] = {b.weights, b.config, b.tokenizer, b.data, b.blas_core, b.settings, b.name};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char kept = fields[i][0];
        fields[i][0] ^= 1;
        result_cell_identify(&toy, &b);
        assert_string_not_equal(a.key, b.key);
        fields[i][0] = kept;
    }
    task_module other = toy;
    other.scorer_version++;
    result_cell_identify(&other, &b);
    assert_string_not_equal(a.key, b.key);
}

/* Of an interrupted request nothing is reported, but an earlier complete one stays. */
static void test_complete(void **state)
{
    (void)state;
    results r;
    journal *j = start(&r);
    const result_cell cell = make_cell(&toy, "m", "w", 1024, 0);
    announce(&r, j, &cell, 3);
    assert_int_equal(result_complete(results_find(&r, cell.key)), 0);
    add(&r, j, &cell, 0, 1, 1);
    add(&r, j, &cell, 2, 1, 1);
    assert_int_equal(result_complete(results_find(&r, cell.key)), 0);
    add(&r, j, &cell, 1, 1, 1);
    assert_int_equal(result_complete(results_find(&r, cell.key)), 3);
    announce(&r, j, &cell, 6);
    assert_true(result_asked(results_find(&r, cell.key), 6));
    assert_false(result_asked(results_find(&r, cell.key), 5));
    add(&r, j, &cell, 3, 1, 1);
    add(&r, j, &cell, 5, 1, 1);
    assert_int_equal(result_complete(results_find(&r, cell.key)), 3);
    announce(&r, j, &cell, 4); /* the shorter request is satisfied by what is there */
    assert_int_equal(result_complete(results_find(&r, cell.key)), 4);

    /* Reading the file gives the same as having written it. */
    results again;
    results_init(&again, &toy, path);
    assert_int_equal(journal_read(path, results_visit, &again, &err), PAL_OK);
    assert_int_equal(again.count, 1);
    assert_int_equal(result_complete(&again.cell[0]), 4);
    assert_true(result_done(&again.cell[0], 5));
    assert_false(result_done(&again.cell[0], 4));
    assert_true(again.cell[0].sample[3].seconds == 0.5);
    assert_string_equal(again.cell[0].settings, cell.settings);
    results_free(&again);
    results_free(&r);
    journal_close(j);
}

static void fill(results *r, journal *j)
{
    const result_cell cells[] = {
        make_cell(&toy, "transformer-xl", "w2", 2048, 50), make_cell(&toy, "infini-linear", "w1", 2048, 100),
        make_cell(&toy, "infini-linear", "w1", 2048, 0), make_cell(&toy, "infini-linear", "w1", 1024, 0)};
    for (size_t c = 0; c < 4; c++) {
        announce(r, j, &cells[c], 2);
        for (int64_t i = 0; i < 2; i++) add(r, j, &cells[c], 1 - i, c != 0, 0.5 + (double)c + (double)i);
    }
    const result_cell unfinished = make_cell(&toy, "infini-linear", "w1", 4096, 0);
    announce(r, j, &unfinished, 2);
    add(r, j, &unfinished, 0, 1, 1);
}

static void test_files(void **state)
{
    (void)state;
    results r;
    journal *j = start(&r);
    fill(&r, j);
    FILE *quiet = fopen("/dev/null", "w");
    assert_int_equal(report_write(&r, dir, quiet, &err), PAL_OK);
    fclose(quiet);

    char *cells = slurp("toy-cells.csv");
    static const char *const head =
        "task,task_version,scorer_version,model,weights_sha256,config_sha256,seed,settings,"
        "blas_core,length,depth,metric,n,value,lo,hi,interval,paper_value,paper_row,memory,parameters,state_bytes,"
        "data_sha256,tokenizer_sha256,cell,kind,attention,trained_on,train_seed,variant,not_finite\n";
    assert_memory_equal(cells, head, strlen(head));
    /* Sorted by model, length, depth; a paper value where there is one; quotes doubled; no unfinished cell. */
    static const char *const first = "toy,2,3,infini-linear,w1,c0,4,seed=4 jitter=0,Core,1024,0,hit,2,1,";
    assert_memory_equal(cells + strlen(head), first, strlen(first));
    assert_non_null(strstr(cells,
                           "Core,2048,0,hit,2,1,0.158113883,1,clopper-pearson,0.97,\"their best, \"\"tuned\"\"\","
                           "kept,1000,2048,d0,t0,\"len=2048,depth=0\",model,"));
    assert_true(strstr(cells, "2048,0,hit") < strstr(cells, "2048,100,hit"));
    assert_true(strstr(cells, "2048,100,loss") < strstr(cells, "transformer-xl"));
    assert_non_null(strstr(cells, "2048,50,hit,2,0,0,0.841886117,clopper-pearson,,,kept,"));
    assert_non_null(strstr(cells, "2048,50,loss,2,1,,,none,,,kept,"));
    assert_null(strstr(cells, "4096"));

    char *cost = slurp("toy-cost.csv");
    /* Both depths together: 4 samples of 2048 tokens in 2 seconds. Half were read, so there is no speed of input.
     */
    assert_non_null(strstr(cost, "toy,infini-linear,w1,1000,2048,2,8,4,2.000,,2048,1000001,8192,4096,3000,\n"));
    assert_non_null(strstr(cost, "toy,infini-linear,w1,1000,1024,2,8,2,1.000,,2048,1000001,2048,1024,3000,\n"));

    char *table = slurp("toy-table.md");
    assert_non_null(strstr(table, "| model | length | start (0 %) | middle (50 %) | end (100 %) | state |\n"));
    assert_non_null(
        strstr(table, "| infini-linear | 2K | 100.0 [15.8, 100.0] n=2 | | 100.0 [15.8, 100.0] n=2 | 2.0 KiB |\n"
                      "| paper: their best, \"tuned\" | 2K | *97*† | *97*† | *97*† | |\n"
                      "| transformer-xl | 2K | | 0.0 [0.0, 84.2] n=2 | | 2.0 KiB |\n"));
    assert_non_null(strstr(table, "    build/palimpsest eval task=toy len=1K,2K n=2 seed=4\n"));

    /* The journal read again gives the same bytes. */
    results again;
    results_init(&again, &toy, path);
    assert_int_equal(journal_read(path, results_visit, &again, &err), PAL_OK);
    quiet = fopen("/dev/null", "w");
    assert_int_equal(report_write(&again, dir, quiet, &err), PAL_OK);
    fclose(quiet);
    char *cells2 = slurp("toy-cells.csv"), *table2 = slurp("toy-table.md");
    assert_string_equal(cells, cells2);
    assert_string_equal(table, table2);

    /* A task need not know a paper. */
    task_module unpublished = toy;
    unpublished.tables = NULL;
    again.task = &unpublished;
    quiet = fopen("/dev/null", "w");
    assert_int_equal(report_write(&again, dir, quiet, &err), PAL_OK);
    fclose(quiet);
    char *table3 = slurp("toy-table.md");
    assert_non_null(strstr(table3, "| infini-linear | 2K |"));
    assert_null(strstr(table3, "| paper:"));
    free(table3);
    free(cells);
    free(cells2);
    free(cost);
    free(table);
    free(table2);
    results_free(&again);
    results_free(&r);
    journal_close(j);
}

/* Two runs of one model name never mix. */
static void test_labels(void **state)
{
    (void)state;
    results r;
    journal *j = start(&r);
    const result_cell cells[] = {make_cell(&toy, "a", "w1", 1024, 0), make_cell(&toy, "a", "w2", 1024, 0),
                                 make_cell(&toy, "b", "w3", 1024, 0)};
    for (size_t c = 0; c < 3; c++) {
        announce(&r, j, &cells[c], 1);
        add(&r, j, &cells[c], 0, 1, 1);
    }
    report rep;
    assert_int_equal(report_create(&rep, &r, &err), PAL_OK);
    assert_int_equal(rep.count, 3);
    assert_memory_equal(rep.row[0].label, "a@", 2);
    assert_int_equal(strlen(rep.row[0].label), 8);
    assert_memory_equal(rep.row[1].label, "a@", 2);
    assert_string_not_equal(rep.row[0].label, rep.row[1].label);
    assert_string_equal(rep.row[2].label, "b");
    report_free(&rep);
    results_free(&r);
    journal_close(j);
}

/* Of the runs of one model under several settings the largest keeps the plain name. */
static void test_variants(void **state)
{
    (void)state;
    results r;
    journal *j = start(&r);
    result_cell cells[] = {make_cell(&toy, "a", "w1", 1024, 0), make_cell(&toy, "a", "w1", 1024, 50),
                           make_cell(&toy, "a", "w1", 1024, 100)};
    strcpy(cells[0].settings, "seed=4 jitter=0 keys=4");
    strcpy(cells[0].name, "len=1024,depth=0,keys=4");
    result_cell_identify(&toy, &cells[0]);
    for (size_t c = 0; c < 3; c++) {
        announce(&r, j, &cells[c], 1);
        add(&r, j, &cells[c], 0, 1, 1);
    }
    report rep;
    assert_int_equal(report_create(&rep, &r, &err), PAL_OK);
    assert_int_equal(rep.count, 3);
    for (size_t i = 0; i < 3; i++) {
        if (strstr(rep.row[i].cell->name, "keys=4"))
            assert_memory_equal(rep.row[i].label, "a@", 2);
        else
            assert_string_equal(rep.row[i].label, "a");
    }
    report_free(&rep);
    results_free(&r);
    journal_close(j);
}

static void test_other_records(void **state)
{
    (void)state;
    results r;
    journal *j = start(&r);
    fill(&r, j);
    results_free(&r);
    journal_close(j);

    /* Another version of the scorer: nothing of it is used. */
    toy.scorer_version++;
    results_init(&r, &toy, path);
    assert_int_equal(journal_read(path, results_visit, &r, &err), PAL_OK);
    assert_int_equal(r.count, 0);
    assert_int_equal(r.outdated, 14);
    toy.scorer_version--;
    results_free(&r);

    /* Something else with a good CRC. */
    size_t cut;
    results_init(&r, &toy, path);
    assert_int_equal(journal_open(&j, path, results_visit, &r, &cut, &err), PAL_OK);
    assert_int_equal(journal_append(j, "{\"kind\":\"else\"}", &err), PAL_OK);
    journal_close(j);
    results_free(&r);
    results_init(&r, &toy, path);
    assert_int_equal(journal_read(path, results_visit, &r, &err), PAL_DATA);
    assert_non_null(strstr(err.text, ":15:"));
    results_free(&r);

    j = start(&r);
    const result_cell cell = make_cell(&toy, "m", "w", 1024, 0);
    announce(&r, j, &cell, 1);
    const result_sample sample = {.value = {1, 1}};
    assert_int_equal(results_add(&r, j, cell.key, 0, &sample, "no json", &err), PAL_INTERNAL);
    results_free(&r);
    journal_close(j);
}

static void test_summary(void **state)
{
    (void)state;
    result_sample samples[4] = {
        {.value = {1, 2, 1}}, {.value = {0, 2, 3}}, {.value = {1, 2, 1}}, {.value = {1, NAN, 1}}};
    const result_cell cell = {.sample = samples, .count = 4};
    char text[64];
    summary s = report_summary(&toy, &cell, 0, 4);
    assert_true(s.value == 0.75);
    assert_string_equal(report_format(&metrics[0], &s, text), "75.0 [19.4, 99.4]"); /* 3 of 4, Clopper-Pearson */
    s = report_summary(&toy, &cell, 1, 3);
    assert_string_equal(report_format(&metrics[1], &s, text), "2.000"); /* fewer than six: no interval */
    s = report_summary(&toy, &cell, 1, 4);
    assert_string_equal(report_format(&metrics[1], &s, text), "-");
    s = report_summary(&toy, &cell, 2, 3); /* a ratio of sums, not a mean of ratios */
    assert_true(fabs(s.value - exp(6.0 / 5)) < 1e-12);
    assert_string_equal(s.ci.kind, "none");
    s = report_summary(&toy, &cell, 2, 1);
    assert_true(isnan(s.ci.lo));
    assert_string_equal(report_format(&metrics[2], &s, text), "7.39");
    s.value = 1234567;
    assert_string_equal(report_format(&metrics[2], &s, text), "1.23e+06");
    assert_string_equal(report_setting("seed=1 jitter=2.5", "jitter", text, sizeof text), "2.5");
    assert_string_equal(report_setting("seed=1 jitter=2.5", "seed", text, sizeof text), "1");
    assert_string_equal(report_setting("seed=1 jitter=2.5", "eed", text, sizeof text), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key),     cmocka_unit_test(test_complete), cmocka_unit_test(test_files),
        cmocka_unit_test(test_labels),  cmocka_unit_test(test_variants), cmocka_unit_test(test_other_records),
        cmocka_unit_test(test_summary),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

/* From records to tables, with a made-up task and made-up models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/os.h"
#include "harness/cli/progress.h"
#include "harness/report/report.h"
#include "tests/lib/facts_lab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64], path[128];
static pal_error err;

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

static const task_eval no_keys = {.keys = {.count = "n"}};

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

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/palimpsest-report-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    snprintf(path, sizeof path, "%s/toy-journal.jsonl", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    static const char *const files[] = {"toy-journal.jsonl", "toy-cells.csv", "toy-cost.csv", "toy-paired.csv",
                                        "toy-table.md"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s/%s", dir, files[i]);
        unlink(name);
    }
    return rmdir(dir);
}

static result_cell make_cell(const char *model, const char *weights, int64_t length, double depth)
{
    result_cell cell = {.length = length, .depth = depth, .parameters = 1000, .state_bytes = 2048};
    snprintf(cell.model, sizeof cell.model, "%s", model);
    snprintf(cell.weights, sizeof cell.weights, "%s", weights);
    strcpy(cell.config, "c0");
    strcpy(cell.tokenizer, "t0");
    strcpy(cell.data, "d0");
    strcpy(cell.blas_core, "Core");
    strcpy(cell.settings, "seed=4 jitter=0");
    strcpy(cell.request, "len=1K,2K n=2 seed=4");
    snprintf(cell.name, sizeof cell.name, "len=%d,depth=%g", (int)length, depth);
    lab_describe(&cell);
    result_cell_identify(&toy, &cell);
    return cell;
}

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

static journal *start_task(results *r, const task_module *task)
{
    journal *j = NULL;
    size_t cut;
    unlink(path);
    results_init(r, task, path);
    assert_int_equal(journal_open(&j, path, results_visit, r, &cut, &err), PAL_OK);
    return j;
}

static journal *start(results *r)
{
    return start_task(r, &toy);
}

static __attribute__((noinline)) char *slurp(const char *name)
{
    char file[128], *data = NULL;
    size_t size;
    snprintf(file, sizeof file, "%s/%s", dir, name);
    assert_int_equal(os_read_file(file, &data, &size, &err), PAL_OK);
    return data;
}

/* What makes samples differ changes the key; what does not, does not. */
static void test_key(void **state)
{
    (void)state;
    const result_cell a = make_cell("m", "w", 1024, 0);
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
    const result_cell cell = make_cell("m", "w", 1024, 0);
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
        make_cell("transformer-xl", "w2", 2048, 50), make_cell("infini-linear", "w1", 2048, 100),
        make_cell("infini-linear", "w1", 2048, 0), make_cell("infini-linear", "w1", 1024, 0)};
    for (size_t c = 0; c < 4; c++) {
        announce(r, j, &cells[c], 2);
        for (int64_t i = 0; i < 2; i++) add(r, j, &cells[c], 1 - i, c != 0, 0.5 + (double)c + (double)i);
    }
    const result_cell unfinished = make_cell("infini-linear", "w1", 4096, 0);
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
    const result_cell cells[] = {make_cell("a", "w1", 1024, 0), make_cell("a", "w2", 1024, 0),
                                 make_cell("b", "w3", 1024, 0)};
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
    result_cell cells[] = {make_cell("a", "w1", 1024, 0), make_cell("a", "w1", 1024, 50),
                           make_cell("a", "w1", 1024, 100)};
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
    const result_cell cell = make_cell("m", "w", 1024, 0);
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

/* ---- Whole documents ---- */

static const char *const text_values[] = {"nll", "tokens", "bytes"};
static const task_metric text_metrics[] = {{"bits_per_byte", METRIC_BITS, 0, 2, 0, 0, 0, 0},
                                           {"token_ppl", METRIC_PERPLEXITY, 0, 1, 0, 0, 0, 0},
                                           {"token_ppl@0", METRIC_PERPLEXITY, 0, 1, 0, 0, 1, 0}};
static const task_module text_task = {.name = "toy",
                                      .eval = &no_keys,
                                      .version = 1,
                                      .scorer_version = 1,
                                      .summary = "texts",
                                      .value = text_values,
                                      .value_count = 3,
                                      .metric = text_metrics,
                                      .metric_count = 3};

static result_cell text_cell(const char *model, const char *weights, const char *settings, uint64_t state)
{
    result_cell cell = make_cell(model, weights, 0, NAN);
    cell.state_bytes = state;
    strcpy(cell.settings, settings);
    strcpy(cell.name, "sea/test");
    lab_describe(&cell);
    result_cell_identify(&text_task, &cell);
    return cell;
}

/* Six documents of 10 tokens and 40 bytes; the loss of document i is `loss + slope i` nats a token. */
static void add_texts(results *r, journal *j, const result_cell *cell, double loss, double slope)
{
    assert_int_equal(results_announce(r, j, cell, 6, &err), PAL_OK);
    for (int64_t i = 0; i < 6; i++) {
        const result_sample sample = {.value = {10 * (loss + slope * (double)i), 10, 40},
                                      .seconds = 0.25,
                                      .tokens = 11,
                                      .read = 11,
                                      .held = 5000};
        assert_int_equal(results_add(r, j, cell->key, i, &sample, "{}", &err), PAL_OK);
    }
}

static void test_documents(void **state)
{
    (void)state;
    results r;
    journal *j = start_task(&r, &text_task);
    const result_cell xl = text_cell("transformer-xl", "w0", "split=test", 4096),
                      ours = text_cell("infini-linear", "w1", "split=test", 1024),
                      control = text_cell("infini-linear", "w1", "split=test memory=zeroed", 1024),
                      big = text_cell("memorizing", "w2", "split=test", 102400);
    result_cell xz = text_cell("xz -9e", "w3", "split=test", 64 << 20);
    strcpy(xz.blas_core, "none");
    xz.parameters = 0;
    lab_describe(&xz);
    result_cell_identify(&text_task, &xz);
    /* Another seed of ours has another seed of the baseline. */
    const result_cell xl2 = text_cell("transformer-xl-seed2", "w5", "split=test", 4096),
                      ours2 = text_cell("infini-linear-seed2", "w6", "split=test", 1024);
    result_cell larger = text_cell("infini-delta-larger", "w4", "split=test", 1024);
    larger.parameters = 1021; /* 2.1 % more */
    add_texts(&r, j, &larger, 1, 0.1);
    add_texts(&r, j, &xl, 2, 0.1);
    add_texts(&r, j, &ours, 1.5, 0.1);  /* better by half a nat in every document */
    add_texts(&r, j, &control, 2, 0);   /* worse than itself, but not in the last documents */
    add_texts(&r, j, &big, 2.25, 0.05); /* worse in four, the same in one, better in none */
    add_texts(&r, j, &xz, 3, 0);
    add_texts(&r, j, &xl2, 2.5, 0.1);
    add_texts(&r, j, &ours2, 2.25, 0.2);
    FILE *quiet = fopen("/dev/null", "w");
    assert_int_equal(report_write(&r, dir, quiet, &err), PAL_OK);
    fclose(quiet);

    char *pairs = slurp("toy-paired.csv"), *cells = slurp("toy-cells.csv"), *table = slurp("toy-table.md");
    /* Exact: of the 2^6 signs two are as extreme, p = 2/64. The other model's differences have all signs at once
     * in flips of their own, so in the family of two it is twice that. */
    assert_non_null(strstr(pairs, "toy,sea/test,infini-linear,transformer-xl,log_token_ppl,nats,6,6,-0.5,"));
    assert_non_null(strstr(pairs, ",0.03125,0.03125,2,sign-flip,"));
    char difference[80];
    snprintf(difference, sizeof difference, "infini-linear,transformer-xl,bits_per_byte,bits,6,6,%.10g,",
             -0.5 / 4 / log(2));
    assert_non_null(strstr(pairs, difference));
    assert_non_null(strstr(pairs, "\"infini-linear, memory zeroed\",infini-linear,log_token_ppl,nats,6,6,0.25,"));
    assert_null(strstr(pairs, "memory zeroed\",transformer-xl")); /* controls are compared with themselves */
    assert_null(strstr(pairs, "xz"));
    assert_non_null(strstr(pairs, "infini-linear-seed2,transformer-xl-seed2,log_token_ppl,nats,6,6,0,"));
    assert_null(strstr(pairs, "infini-linear-seed2,transformer-xl,"));
    assert_null(strstr(pairs, "infini-linear,transformer-xl-seed2,"));
    /* What six such documents could show: of ours2, whose differences are 0.1 (i - 2.5) nats. */
    snprintf(difference, sizeof difference, ",sign-flip,%.10g\n",
             stats_detectable_difference(0.1 * sqrt(17.5 / 5), 6, 0.05, 0.8));
    assert_non_null(strstr(strstr(pairs, "infini-linear-seed2,transformer-xl-seed2,log_token_ppl"), difference));
    assert_null(strstr(pairs, "larger")); /* of another size than the baseline */

    assert_non_null(strstr(cells, ",zeroed,1000,1024,d0,t0,sea/test,model,"));
    assert_null(strstr(strstr(cells, "toy,1,1,xz -9e"), "token_ppl@0,6,2")); /* unknown by position */
    assert_non_null(strstr(table, "\n\n6 documents, 240 bytes, 60 tokens; texts d0, tokenizer t0.\n"));
    assert_non_null(strstr(table, "| infini-linear, memory zeroed | 1000 | "));
    assert_non_null(strstr(table, " | 1.0 KiB | 4.9 KiB | 1/100 |\n"));
    assert_non_null(strstr(table, "| xz -9e (reference) | |"));
    free(pairs);
    free(cells);
    free(table);
    results_free(&r);
    journal_close(j);
}

/* ---- Parts of one work ---- */

static const char *const part_values[] = {"score"};
static const task_metric part_metrics[] = {{"overall", METRIC_SHARE, 0, -1, 1, 0, 0, 0}};
static const task_module part_task = {.name = "toy",
                                      .eval = &no_keys,
                                      .version = 1,
                                      .scorer_version = 1,
                                      .summary = "parts",
                                      .cluster = "bid",
                                      .value = part_values,
                                      .value_count = 1,
                                      .metric = part_metrics,
                                      .metric_count = 1};

/* Chapters 0 2 4 5 are of one book, 1 and 3 of two others. */
static void add_parts(results *r, journal *j, const char *model, const double *score)
{
    static const char *const book[] = {"a", "b", "a", "c", "a", "a"};
    static const int order[] = {3, 5, 1, 0, 4, 2}; /* samples end as they please */
    result_cell cell = text_cell(model, model, "split=test", 1024);
    result_cell_identify(&part_task, &cell);
    assert_int_equal(results_announce(r, j, &cell, 6, &err), PAL_OK);
    for (int k = 0; k < 6; k++) {
        char record[32];
        const int i = order[k];
        const result_sample sample = {.value = {score[i]}, .seconds = 1, .tokens = 1, .read = 1};
        snprintf(record, sizeof record, "{\"bid\":\"%s\"}", book[i]);
        assert_int_equal(results_add(r, j, cell.key, i, &sample, record, &err), PAL_OK);
    }
}

static void test_clusters(void **state)
{
    (void)state;
    static const double ours[] = {0.5, 0.25, 0.75, 0.5, 0.25, 0.5}, theirs[] = {0.25, 0.125, 0.25, 0, 0.25, 0.25};
    results r;
    journal *j = start_task(&r, &part_task);
    add_parts(&r, j, "infini-linear", ours);
    add_parts(&r, j, "transformer-xl", theirs);

    double num[6], den[6];
    assert_int_equal(result_clusters(&r.cell[0], 6), 3);
    assert_int_equal(result_clusters(&r.cell[0], 2), 2);
    assert_int_equal(result_columns(&part_metrics[0], &r.cell[0], 6, num, den), 3);
    static const double sums[] = {2, 0.25, 0.5}, sizes[] = {4, 1, 1};
    for (int i = 0; i < 3; i++) {
        assert_true(num[i] == sums[i]);
        assert_true(den[i] == sizes[i]);
    }
    const summary s = report_summary(&part_task, &r.cell[0], 0, 6);
    assert_true(s.value == 2.75 / 6);
    assert_string_equal(s.ci.kind, "none"); /* six chapters, but three books */
    task_metric hits = part_metrics[0], counts = hits;
    hits.samples = METRIC_HITS;
    counts.samples = METRIC_COUNTS;
    counts.trials = 4;
    task_module counted = part_task;
    counted.metric = &counts;
    const double trials[] = {16, 4, 4}, right[] = {8, 1, 2};
    const interval by_book = stats_counts(right, trials, 3, REPORT_LEVEL);
    const summary c = report_summary(&counted, &r.cell[0], 0, 6);
    assert_true(c.ci.lo == by_book.lo && c.ci.hi == by_book.hi);
    /* Hits of chapters of one book are no independent samples: not Clopper-Pearson's interval. */
    counted.metric = &hits;
    assert_string_equal(report_summary(&counted, &r.cell[0], 0, 6).ci.kind, "beta-binomial");

    FILE *quiet = fopen("/dev/null", "w");
    assert_int_equal(report_write(&r, dir, quiet, &err), PAL_OK);
    fclose(quiet);
    char *pairs = slurp("toy-paired.csv"), *table = slurp("toy-table.md");
    /* 1.625 over 6 chapters; of the 2^3 signs of books two are as extreme. */
    assert_non_null(strstr(pairs, "toy,sea/test,infini-linear,transformer-xl,overall,share,6,3,0.2708333333,"));
    assert_non_null(strstr(pairs, ",0.25,0.25,1,sign-flip,"));
    assert_non_null(strstr(table, "\n\n6 documents of 3 works; "));
    assert_non_null(strstr(table, " difference, points | detectable | p | state |"));
    assert_non_null(strstr(table, " +27.1 |"));
    free(pairs);
    free(table);
    results_free(&r);
    journal_close(j);
}

static void test_times(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(progress_format_time(12.4, text), "12 s");
    assert_string_equal(progress_format_time(200, text), "3 min 20 s");
    assert_string_equal(progress_format_time(3900, text), "1 h 05 min");
}

/* Whatever was done, no more than all of it, in a time that is not negative. */
static void test_progress(void **state)
{
    (void)state;
    static const struct {
        double start, done, now;
        const char *name, *unit, *shown;
    } cases[] = {{0, 0, 100, NULL, NULL, "  0.0 %  ? left  note"},
                 {0, 0, 110, NULL, NULL, "  0.0 %  ? left  note"},
                 {0, 50, 110, NULL, NULL, " 25.0 %  30 s left  note"},
                 {50, 100, 110, "eval", "tokens", " 50.0 %  eval  5 tokens/s  20 s left  note"},
                 {0, 200, 110, NULL, NULL, "100.0 %  0 s left  note"},
                 {0, 500, 110, NULL, "tokens", "100.0 %  50 tokens/s  0 s left  note"},
                 {0, 50, 90, NULL, NULL, " 25.0 %  ? left  note"}};
    char text[256];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const progress p = {.name = cases[i].name,
                            .unit = cases[i].unit,
                            .began = 100,
                            .total = 200,
                            .start = cases[i].start,
                            .done = cases[i].done};
        progress_format(&p, cases[i].now, "note", text, sizeof text);
        assert_string_equal(text, cases[i].shown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key),     cmocka_unit_test(test_complete),  cmocka_unit_test(test_files),
        cmocka_unit_test(test_labels),  cmocka_unit_test(test_variants),  cmocka_unit_test(test_other_records),
        cmocka_unit_test(test_summary), cmocka_unit_test(test_documents), cmocka_unit_test(test_clusters),
        cmocka_unit_test(test_times),   cmocka_unit_test(test_progress),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

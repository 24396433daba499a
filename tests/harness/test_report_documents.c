/* From records to tables where samples are whole documents, and parts of one work. */
#include "tests/lib/report_lab.h"

#include <math.h>

static const task_eval no_keys = {.keys = {.count = "n"}};

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
    result_cell cell = make_cell(&text_task, model, weights, 0, NAN);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_clusters),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

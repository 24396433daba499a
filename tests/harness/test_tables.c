/* The paper's tables from made-up journals whose numbers are known, and the formulas of its table 1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/report/memory.h"
#include "harness/report/tables.h"
#include "models/decoder/config_keys.h"
#include "models/files/checkpoint.h"
#include "tasks/paper.h"

#include <math.h>

#include "tests/lib/journal_lab.h"

static const char no_weights[] = "/nonexistent";

/* ---- Table 1 ---- */

static void test_paper_sizes(void **state)
{
    (void)state;
    const memory_shape s = memory_paper_shape();
    const double xl = memory_entries(MEMORY_TRANSFORMER_XL, &s), knn = memory_entries(MEMORY_MEMORIZING, &s),
                 rmt = memory_entries(MEMORY_RMT, &s), infini = memory_entries(MEMORY_INFINI, &s);
    assert_true(infini == 1585152); /* 128 x 129 x 8 x 12 */
    assert_true(xl == 50331648);    /* 256 x 8 x 2048 x 12 */
    assert_true(knn == 65000.0 * 2048 + xl);
    assert_true(rmt == 2457600);
    assert_true(memory_rounded(xl) == 50e6);
    assert_true(memory_rounded(knn) == 183e6);
    assert_true(fabs(memory_rounded(rmt) - 2.5e6) < 1);
    assert_true(fabs(memory_rounded(infini) - 1.6e6) < 1);
    assert_int_equal(lrint(memory_rounded(knn) / memory_rounded(infini)), 114);
    assert_int_equal(lrint(memory_rounded(knn) / memory_rounded(rmt)), 73);
    assert_int_equal(lrint(10 * memory_rounded(knn) / memory_rounded(xl)), 37);
    /* Where the paper gives no size there is no number. */
    assert_true(isnan(memory_entries(MEMORY_COMPRESSIVE, &s)));
    assert_true(isnan(memory_entries(MEMORY_AUTOCOMPRESSORS, &s)));
}

static void save_model(const char *name, const char *overrides, uint64_t seed, char digest[HASH_HEX])
{
    kv_pairs pairs = {0};
    model_config cfg;
    decoder *d = NULL;
    char path[256];
    st_file back;
    assert_int_equal(kv_pairs_parse(&pairs,
                                    "vocab = 11\nd_model = 8\nn_layers = 2\nn_heads = 2\nd_head = 4\nd_ff = 12\n"
                                    "segment = 16\n",
                                    "test", &err),
                     PAL_OK);
    assert_int_equal(kv_pairs_parse(&pairs, overrides, "test", &err), PAL_OK);
    assert_int_equal(model_config_read(&cfg, &pairs, &err), PAL_OK);
    kv_pairs_free(&pairs);
    assert_int_equal(decoder_create(&d, &cfg, &err), PAL_OK);
    decoder_init(d, seed);
    snprintf(path, sizeof path, "%s/%s.safetensors", dir, name);
    assert_int_equal(checkpoint_save(path, d, NULL, ST_F32, NULL, &err), PAL_OK);
    decoder_destroy(d);
    assert_int_equal(st_read(path, &back, &err), PAL_OK);
    strcpy(digest, back.digest);
    st_free(&back);
}

static const table *find_table(const table_set *set, const char *id)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->table[i].id, id) == 0) return &set->table[i];
    return NULL;
}

/* The cell of the row whose labels begin with these (NULL: any) in the column of this name. */
static const table_cell *find_cell(const table *t, const char *a, const char *b, const char *c, const char *column)
{
    const char *const label[] = {a, b, c};
    assert_non_null(t);
    for (size_t r = 0; r < t->rows; r++) {
        size_t hit = 1;
        for (size_t i = 0; i < t->labels && i < 3; i++)
            hit &= !label[i] || strcmp(t->cell[r * t->columns + i].text, label[i]) == 0;
        if (!hit) continue;
        for (size_t k = 0; k < t->columns; k++)
            if (strcmp(t->column[k], column) == 0) return &t->cell[r * t->columns + k];
    }
    fail_msg("no row \"%s\", \"%s\", \"%s\" with a column \"%s\" in %s", a ? a : "*", b ? b : "*", c ? c : "*",
             column, t->id);
    return NULL;
}

static void build(table_set *set, evidence *e, const task_module *const *tasks, const char *weights)
{
    assert_int_equal(evidence_read(e, tasks, dir, &err), PAL_OK);
    if (tables_build(set, e, weights, &err) != PAL_OK) fail_msg("%s", err.text);
}

static void test_shipped_memory(void **state)
{
    (void)state;
    char digest[HASH_HEX], same[HASH_HEX], unused[HASH_HEX];
    save_model("text-infini-linear", "attention = infini-linear\n", 1, digest);
    save_model("passkey-infini-linear", "attention = infini-linear\n", 2, same);
    save_model("text-transformer-xl", "attention = transformer-xl\nmem_len = 8\n", 1, unused);
    save_model("text-memorizing-xl", "attention = memorizing\nknn_entries = 100\nxl_len = 8\nknn_k = 4\n", 1,
               unused);
    save_model("text-local", "attention = local\n", 1, unused);
    lab_journal *j = lab_open(task_find("passkey"));
    result_cell cell = lab_cell(j, "text-infini-linear", "len=1024,depth=0", 1024, 0, "seed=1", 2);
    strcpy(cell.weights, digest);
    result_cell_identify(j->task, &cell);
    lab_announce(j, &cell, 2);
    for (int64_t i = 0; i < 2; i++) lab_sample(j, &cell, i, (const double[TASK_VALUES]){1, 1, 1}, 1);
    lab_close(j);

    evidence e;
    table_set set;
    build(&set, &e, task_table, dir);
    const table *t = find_table(&set, "table1-shipped");
    /* One row for the two weights of one config. */
    const char infini[] = "passkey-infini-linear, text-infini-linear";
    assert_int_equal(t->rows, 4);
    assert_true(find_cell(t, infini, NULL, NULL, "entries")->value == 4 * 5 * 2 * 2);
    assert_true(find_cell(t, infini, NULL, NULL, "state, module")->value == 80 * (double)sizeof(real));
    assert_true(find_cell(t, infini, NULL, NULL, "held by a stream")->value == 4196);
    assert_true(find_cell(t, "text-local", NULL, NULL, "entries")->value == 0);
    assert_true(find_cell(t, "text-transformer-xl", NULL, NULL, "entries")->value == 8 * 2 * 8 * 2);
    assert_true(find_cell(t, "text-memorizing-xl", NULL, NULL, "entries")->value == 8 * 2 * 100 + 256);
    assert_true(find_cell(t, infini, NULL, NULL, "entries ratio")->value == 1856.0 / 80);
    assert_int_equal(find_cell(t, infini, NULL, NULL, "held by a stream")->n, 2);
    assert_int_equal(find_cell(t, "text-local", NULL, NULL, "held by a stream")->n, 0);
    table_set_free(&set);
    evidence_free(&e);
}

/* ---- Table 2 ---- */

/* Eight documents; each model's differences from ln 10 in thousandths of a nat. */
static void add_documents(lab_journal *j, const char *model, const char *settings, uint64_t state,
                          const int offset[8])
{
    double nll[8];
    for (int i = 0; i < 8; i++) nll[i] = log(10) + 1e-3 * offset[i];
    lab_perplexity(j, model, "novels/test", settings, state, nll, 8);
}

static void test_perplexity(void **state)
{
    (void)state;
    const char kept[] = "split=test", zeroed[] = "split=test memory=zeroed";
    lab_journal *j = lab_open(task_find("perplexity"));
    add_documents(j, "text-infini-linear", kept, 1000, (int[]){0, 0, 0, 0, 0, 0, 0, 0});
    add_documents(j, "text-transformer-xl", kept, 64000, (int[]){5, 6, 7, 8, 9, 10, 11, 12});
    add_documents(j, "text-memorizing-xl", kept, 114000, (int[]){20, 21, 22, 23, 24, 25, 26, 27});
    /* Neither a control nor the floor competes, however low it is. */
    add_documents(j, "text-infini-linear", zeroed, 1000, (int[]){-9, -9, -9, -9, -9, -9, -9, -9});
    lab_close(j);
    evidence e;
    table_set set;
    build(&set, &e, task_table, no_weights);
    const table *t = find_table(&set, "table2-token-ppl");
    const table_cell *c = find_cell(t, "text-infini-linear", NULL, NULL, "novels/test");
    assert_true(fabs(c->value - 10) < 1e-9);
    assert_int_equal(c->n, 8);
    assert_int_equal(c->bold, 1);
    /* All eight signs agree, with both rivals: 2 / 2^8, and no more for the two of them. */
    assert_true(fabs(c->p - 2.0 / 256) < 1e-12);
    assert_int_equal(find_cell(t, "text-transformer-xl", NULL, NULL, "novels/test")->bold, 0);
    assert_int_equal(find_cell(t, "text-infini-linear, memory zeroed", NULL, NULL, "novels/test")->bold, 0);
    assert_true(find_cell(t, "text-infini-linear", NULL, NULL, "memory ratio")->value == 114);
    assert_true(find_cell(t, "text-infini-linear", NULL, NULL, "memory ratio")->paper == 114);
    assert_true(find_cell(t, "text-infini-linear", NULL, NULL, "PG19 (paper)")->paper == 9.65);
    assert_true(find_cell(t, "text-transformer-xl", NULL, NULL, "Arxiv-math (paper)")->paper == 2.42);
    assert_true(find_cell(t, "RMT (the paper's alone)", NULL, NULL, "PG19 (paper)")->paper == 13.27);
    const table_cell *bits =
        find_cell(find_table(&set, "table2-bits-per-byte"), "text-infini-linear", NULL, NULL, "novels/test");
    assert_true(fabs(bits->value - log2(10) / 4) < 1e-9);
    assert_int_equal(bits->bold, 1);
    table_set_free(&set);
    evidence_free(&e);
}

/* A rival that wins on one document of eight, or that read other samples, leaves no best. */
static void test_no_best(void **state)
{
    (void)state;
    static const struct {
        int offset[8];
        const char *settings;
    } rival[] = {{{30, 30, 30, 30, 30, 30, 30, -200}, "split=test"}, {{5, 6, 7, 8, 9, 10, 11, 12}, "split=all"}};
    for (size_t i = 0; i < 2; i++) {
        lab_journal *j = lab_open(task_find("perplexity"));
        add_documents(j, "text-infini-linear", "split=test", 1000, (int[]){0, 0, 0, 0, 0, 0, 0, 0});
        add_documents(j, "text-local", rival[i].settings, 0, rival[i].offset);
        evidence e;
        table_set set;
        build(&set, &e, task_table, no_weights);
        const table *t = find_table(&set, "table2-token-ppl");
        assert_int_equal(find_cell(t, "text-infini-linear", NULL, NULL, "novels/test")->bold, 0);
        assert_int_equal(find_cell(t, "text-local", NULL, NULL, "novels/test")->bold, 0);
        table_set_free(&set);
        evidence_free(&e);
        unlink(j->path);
        lab_close(j);
    }
}

/* ---- Table 3 ---- */

static void test_passkey(void **state)
{
    (void)state;
    const char settings[] = "seed=1 jitter=2";
    const int64_t million = 1024 * 1024;
    lab_journal *j = lab_open(task_find("passkey"));
    lab_passkey(j, "text-infini-linear", 32 * 1024, 0, settings, 0, 20);
    lab_passkey(j, "passkey-infini-delta", million, 0, settings, 20, 20);
    lab_passkey(j, "passkey-local", million, 0, settings, 0, 20);
    lab_passkey(j, "passkey-infini-delta", million, 25, settings, 20, 20); /* of the heatmap alone */
    lab_passkey(j, "passkey-infini-delta", million, 0, "seed=1 jitter=2 memory=zeroed", 1, 20);
    result_cell absent = lab_cell(j, "passkey-infini-delta", "len=32768,depth=50,absent", 32768, 50, settings, 1);
    lab_announce(j, &absent, 1);
    lab_sample(j, &absent, 0, (const double[TASK_VALUES]){0.4}, 1);
    lab_close(j);
    evidence e;
    table_set set;
    build(&set, &e, task_table, no_weights);
    const table *t = find_table(&set, "table3-token-accuracy");
    const table_cell *best = find_cell(t, "fine-tuned", "passkey-infini-delta", "start", "1M");
    assert_true(best->value == 100 && best->paper == 100 && best->n == 20);
    double five[20];
    for (int i = 0; i < 20; i++) five[i] = 5;
    assert_true(fabs(best->lo - 100 * stats_counts(five, five, 20, 0.95).lo) < 1e-6);
    assert_int_equal(best->bold, 1);
    assert_int_equal(find_cell(t, "fine-tuned", "passkey-local", "start", "1M")->bold, 0);
    const table_cell *zero = find_cell(t, "zero-shot", "text-infini-linear", "start", "32K");
    assert_true(fabs(zero->value - 20) < 1e-9 && zero->paper == 14);
    assert_int_equal(zero->bold, 0); /* it has no rival */
    assert_int_equal(t->rows, 3);
    const table *exact = find_table(&set, "table3-exact-match");
    assert_true(find_cell(exact, "fine-tuned", "passkey-local", "start", "1M")->value == 0);
    assert_true(isnan(find_cell(exact, "fine-tuned", "passkey-infini-delta", "start", "1M")->paper));
    const table *controls = find_table(&set, "table3-controls-token-accuracy");
    assert_int_equal(controls->rows, 2);
    assert_true(find_cell(controls, "absent", NULL, "middle", "32K")->value == 40);
    assert_true(fabs(find_cell(controls, "memory zeroed", NULL, "start", "1M")->value - 24) < 1e-9);
    table_set_free(&set);
    evidence_free(&e);
}

/* ---- Table 4: a task that this version may not have yet ---- */

static const char *const rouge_values[] = {"rouge1", "rouge2", "rougeL", "overall"};
static const task_metric rouge_metrics[] = {{"rouge1", METRIC_SHARE, 0, -1, 1, 0, 0, 0},
                                            {"rouge2", METRIC_SHARE, 1, -1, 1, 0, 0, 0},
                                            {"rougeL", METRIC_SHARE, 2, -1, 1, 0, 0, 0},
                                            {"overall", METRIC_SHARE, 3, -1, 1, 0, 0, 0}};
static const task_module booksum = {.name = "booksum",
                                    .version = 1,
                                    .scorer_version = 1,
                                    .summary = "made-up summaries",
                                    .value = rouge_values,
                                    .value_count = 4,
                                    .metric = rouge_metrics,
                                    .metric_count = 4};

static void test_booksum(void **state)
{
    (void)state;
    const task_module *const tasks[] = {&booksum, NULL};
    lab_journal *j = lab_open(&booksum);
    const result_cell cell = lab_cell(j, "text-infini-delta", "booksum/test:whole", 0, NAN, "seed=1", 2),
                      story = lab_cell(j, "text-infini-delta", "stories/test:len=16K", 0, NAN, "seed=1", 1);
    lab_announce(j, &cell, 2);
    lab_sample(j, &cell, 0, (const double[TASK_VALUES]){0.3, 0.05, 0.1, 0.12}, 1);
    lab_sample(j, &cell, 1, (const double[TASK_VALUES]){0.5, 0.07, 0.2, 0.2}, 1);
    lab_announce(j, &story, 1);
    lab_sample(j, &story, 0, (const double[TASK_VALUES]){0.6}, 1);
    lab_close(j);
    evidence e;
    table_set set;
    build(&set, &e, tasks, no_weights);
    const table *t = find_table(&set, "table4-booksum-1");
    assert_true(fabs(find_cell(t, "text-infini-delta", NULL, NULL, "ROUGE-1")->value - 40) < 1e-9);
    assert_true(find_cell(t, "text-infini-delta", NULL, NULL, "ROUGE-1")->paper == 40.0);
    assert_true(fabs(find_cell(t, "text-infini-delta", NULL, NULL, "Overall")->value - 16) < 1e-9);
    assert_true(find_cell(t, "BART (the paper's alone)", NULL, NULL, "ROUGE-2")->paper == 7.6);
    /* The paper's scores are of other texts than these. */
    const table *stories = find_table(&set, "table4-booksum-2");
    assert_int_equal(stories->rows, 1);
    assert_true(isnan(find_cell(stories, "text-infini-delta", NULL, NULL, "ROUGE-1")->paper));
    /* Of ours that was not run, the paper's row stands alone. */
    find_cell(t, "Infini-Transformer (Linear) (the paper's alone)", NULL, NULL, "Overall");
    table_set_free(&set);
    evidence_free(&e);
}

/* ---- RULER ---- */

static void put_ruler(lab_journal *j, const char *model, const char *variant, int64_t length, double right)
{
    char name[64];
    snprintf(name, sizeof name, "len=%lld,%s", (long long)length, variant);
    result_cell cell = lab_cell(j, model, name, length, NAN, "seed=42", 1);
    snprintf(cell.variant, sizeof cell.variant, "%s", variant);
    lab_announce(j, &cell, 1);
    lab_sample(j, &cell, 0, (const double[TASK_VALUES]){right, 100, 0, 1, 1, 1}, 1);
}

static void test_ruler(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("ruler"));
    put_ruler(j, "good", "vt", 1024, 90);
    put_ruler(j, "good", "cwe", 1024, 84);
    put_ruler(j, "good", "vt", 4096, 86);
    put_ruler(j, "good", "cwe", 4096, 85.2);
    put_ruler(j, "good", "vt", 8192, 99); /* one task alone is no mean */
    put_ruler(j, "poor", "vt", 1024, 85);
    put_ruler(j, "poor", "cwe", 1024, 86);
    put_ruler(j, "poor", "vt,swapped", 4096, 100); /* a control is not one */
    lab_close(j);
    evidence e;
    table_set set;
    build(&set, &e, task_table, no_weights);
    const table *t = find_table(&set, "ruler");
    assert_int_equal(t->rows, 2);
    assert_true(fabs(find_cell(t, "good", NULL, NULL, "1K")->value - 87) < 1e-9);
    assert_true(fabs(find_cell(t, "good", NULL, NULL, "4K")->value - 85.6) < 1e-9);
    assert_true(isnan(find_cell(t, "good", NULL, NULL, "8K")->value));
    assert_string_equal(find_cell(t, "good", NULL, NULL, "effective")->text, "4K");
    assert_string_equal(find_cell(t, "good", NULL, NULL, "tasks")->text, "2");
    assert_true(fabs(find_cell(t, "poor", NULL, NULL, "1K")->value - 85.5) < 1e-9);
    assert_string_equal(find_cell(t, "poor", NULL, NULL, "effective")->text, "none");
    table_set_free(&set);
    evidence_free(&e);
}

/* ---- MQAR ---- */

static void put_mqar(lab_journal *j, const char *model, const char *variant, int64_t length, double right)
{
    char name[64];
    snprintf(name, sizeof name, "len=%lld,%s", (long long)length, variant);
    result_cell cell = lab_cell(j, model, name, length, NAN, "seed=1", 1);
    snprintf(cell.variant, sizeof cell.variant, "%s", variant);
    lab_announce(j, &cell, 1);
    lab_sample(j, &cell, 0, (const double[TASK_VALUES]){right, 10, right == 10}, 1);
}

static void test_mqar(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("mqar"));
    put_mqar(j, "wide", "pairs=16", 64, 9);
    put_mqar(j, "wide", "pairs=4", 64, 10);
    put_mqar(j, "wide", "pairs=4", 512, 8);
    put_mqar(j, "slim", "pairs=4", 64, 5);
    put_mqar(j, "slim", "pairs=4,swapped", 64, 1);
    lab_close(j);
    evidence e;
    table_set set;
    build(&set, &e, task_table, no_weights);
    const table *t = find_table(&set, "mqar");
    static const char *const column[] = {"model", "state", "pairs=4 at 64", "pairs=4 at 512", "pairs=16 at 64"};
    assert_int_equal(t->columns, 5);
    for (int i = 0; i < 5; i++) assert_string_equal(t->column[i], column[i]);
    assert_int_equal(t->rows, 2);
    assert_true(find_cell(t, "wide", NULL, NULL, "pairs=4 at 64")->value == 100);
    assert_true(find_cell(t, "wide", NULL, NULL, "pairs=4 at 512")->value == 80);
    assert_true(find_cell(t, "wide", NULL, NULL, "pairs=16 at 64")->value == 90);
    assert_true(find_cell(t, "slim", NULL, NULL, "pairs=4 at 64")->value == 50);
    assert_true(isnan(find_cell(t, "slim", NULL, NULL, "pairs=16 at 64")->value));
    table_set_free(&set);
    evidence_free(&e);
}

static void test_nothing_there(void **state)
{
    (void)state;
    evidence e;
    table_set set;
    build(&set, &e, task_table, no_weights);
    assert_int_equal(set.count, 1); /* the formulas need no journal */
    assert_null(find_table(&set, "table4-booksum-1"));
    table_set_free(&set);
    evidence_free(&e);
}

/* ---- Forms ---- */

static size_t count_plain(const char *from, const char *to, char c)
{
    size_t count = 0;
    for (const char *at = from; at < to; at++) count += *at == c && (at == from || at[-1] != '\\');
    return count;
}

static const char *line_end(const char *at)
{
    return at + strcspn(at, "\n");
}

/* A name that every form would trip over if it were not escaped. */
static const char awkward[] = "text-a|b_c & 50% {x} \"q\", <i>";

static void test_forms(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("perplexity"));
    add_documents(j, awkward, "split=test", 1000, (int[]){0, 1, 2, 3, 4, 5, 6, 7});
    add_documents(j, "text-local", "split=test", 0, (int[]){10, 11, 12, 13, 14, 15, 16, 17});
    lab_close(j);
    tables_options o;
    snprintf(o.results, sizeof o.results, "%s", dir);
    snprintf(o.out, sizeof o.out, "%s/tables", dir);
    snprintf(o.weights, sizeof o.weights, "%s", no_weights);
    FILE *quiet = fopen("/dev/null", "w");
    if (tables_run(&o, task_table, quiet, &err) != PAL_OK) fail_msg("%s", err.text);

    char *text = lab_slurp("tables/table2-perplexity.md");
    size_t columns = 0, lines = 0;
    for (const char *row = text; *row; row = line_end(row) + (*line_end(row) != '\0')) {
        if (*row == '#') columns = 0;
        if (*row != '|') continue;
        const size_t bars = count_plain(row, line_end(row), '|');
        if (columns) assert_int_equal(bars, columns);
        columns = bars;
        lines++;
    }
    assert_true(lines > 6);
    lab_check_has(text, "text-a\\|b\\_c \\& 50% {x} \"q\", \\<i\\>");
    lab_check_has(text, "| **10.04** [");
    lab_check_has(text, "] n=8 |");
    lab_check_has(text, "*13.27*†");
    free(text);

    text = lab_slurp("tables/table2-perplexity.tex");
    lab_check_has(text, "\\begin{tabular}{lrrrrrrr}");
    lab_check_has(text, "a\\textbar{}b\\_c \\& 50\\% \\{x\\}");
    lab_check_has(text, "\\textbf{10.04}");
    lab_check_has(text, "\\toprule");
    assert_int_equal(count_plain(text, text + strlen(text), '{'), count_plain(text, text + strlen(text), '}'));
    const char *at = strstr(text, "\\toprule\n");
    assert_non_null(at);
    for (at = line_end(at) + 1; strncmp(at, "\\bottomrule", 11) != 0; at = line_end(at) + 1)
        if (strncmp(at, "\\midrule", 8) != 0) assert_int_equal(count_plain(at, line_end(at), '&'), 7);
    free(text);

    text = lab_slurp("tables/table2-perplexity.csv");
    lab_check_has(text, "table2-token-ppl,\"text-a|b_c & 50% {x} \"\"q\"\", <i>\",novels/test,10.0");
    lab_check_has(text, ",8,0.0078125,,1,\n");
    free(text);

    /* The same journal gives the same bytes. */
    text = lab_slurp("tables/table2-perplexity.md");
    assert_int_equal(tables_run(&o, task_table, quiet, &err), PAL_OK);
    char *again = lab_slurp("tables/table2-perplexity.md");
    assert_string_equal(text, again);
    free(text);
    free(again);
    fclose(quiet);
}

static void test_paper_rows(void **state)
{
    (void)state;
    const model_facts linear = {.attention = "infini-linear", .trained_on = "perplexity"},
                      tuned = {.attention = "infini-linear", .trained_on = "passkey"},
                      delta = {.attention = "infini-delta", .trained_on = "passkey", .train_seed = 2},
                      gated = {.attention = "infini-gated", .trained_on = "passkey"},
                      nobody_knows = {.attention = "infini-linear"}, knn = {.attention = "memorizing"},
                      knn_xl = {.attention = "memorizing", .xl_len = 8};
    assert_true(paper_passkey(&linear, 1 << 20, 100) == 98);
    assert_true(paper_passkey(&tuned, 1 << 20, 50) == 94);
    assert_true(paper_passkey(&delta, 512 << 10, 0) == 100);
    assert_true(isnan(paper_passkey(&gated, 1 << 20, 0)));
    assert_true(isnan(paper_passkey(&linear, 64 << 10, 0)));
    assert_true(isnan(paper_passkey(&nobody_knows, 1 << 20, 0)));
    assert_null(paper_perplexity_find(&knn)); /* the paper's has the XL cache */
    assert_non_null(paper_perplexity_find(&knn_xl));
}

/* Table 4 has the lengths of the texts in the order of their size, Table 2 its models by size, with a best one
 * each. */
static void test_order_of_rows(void **state)
{
    (void)state;
    static const char *const lengths[] = {"stories/test:len=1M", "stories/test:len=256K", "stories/test:len=16K",
                                          "peps/test:len=512K", "stories/test:whole"};
    lab_journal *j = lab_open(task_find("booksum"));
    for (size_t i = 0; i < 5; i++) {
        const result_cell cell = lab_cell(j, "text-infini-delta", lengths[i], 0, NAN, "seed=1", 1);
        lab_announce(j, &cell, 1);
        const double value[TASK_VALUES] = {0.5, 0.5, 0.5, 0.5};
        lab_sample(j, &cell, 0, value, 1);
    }
    lab_close(j);
    evidence *e = malloc(sizeof *e);
    table_set set = {0};
    assert_int_equal(evidence_read(e, task_table, dir, &err), PAL_OK);
    assert_int_equal(booksum_tables.add(&set, e, "", &err), PAL_OK);
    static const char *const wanted[] = {
        "Table 4: summaries, peps/test:len=512K", "Table 4: summaries, stories/test:len=16K",
        "Table 4: summaries, stories/test:len=256K", "Table 4: summaries, stories/test:len=1M",
        "Table 4: summaries, stories/test:whole"};
    assert_int_equal(set.count, 5);
    for (size_t i = 0; i < 5; i++) assert_string_equal(set.table[i].title, wanted[i]);
    table_set_free(&set);
    evidence_free(e);

    static const double low[] = {1, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07}, mid[] = {2, 2, 2, 2.1, 2, 2, 2, 2},
                        high[] = {3, 3, 3.1, 3, 3, 3, 3, 3};
    static const struct {
        const char *model;
        uint64_t parameters;
        const double *nll;
    } models[] = {{"text-infini-linear", 4000, low},
                  {"text-local", 4100, mid},
                  {"text-infini-delta", 1000, mid},
                  {"text-transformer-xl", 1050, high},
                  {"text-infini-gated", 1101, low}};
    j = lab_open(task_find("perplexity"));
    for (size_t i = 0; i < 5; i++) {
        result_cell cell = lab_cell(j, models[i].model, "novels/test", 0, NAN, "split=test", 8);
        cell.parameters = models[i].parameters;
        lab_announce(j, &cell, 8);
        for (int64_t k = 0; k < 8; k++) {
            const double value[TASK_VALUES] = {100 * models[i].nll[k], 100, 50, 400, 100 * models[i].nll[k]};
            lab_sample(j, &cell, k, value, 1);
        }
    }
    lab_close(j);
    assert_int_equal(evidence_read(e, task_table, dir, &err), PAL_OK);
    assert_int_equal(perplexity_tables.add(&set, e, "", &err), PAL_OK);
    /* 1101 is more than a tenth above 1000, so it is a class of its own, without a rival. */
    static const char *const names[] = {"text-infini-delta", "text-transformer-xl", "text-infini-gated",
                                        "text-infini-linear", "text-local"};
    static const int bold[] = {1, 0, 0, 1, 0}, rule[] = {0, 0, 1, 1, 0};
    const table *t = &set.table[0];
    for (size_t k = 0; k < 5; k++) {
        assert_string_equal(t->cell[k * t->columns].text, names[k]);
        assert_int_equal(t->cell[k * t->columns + 5].bold, bold[k]);
        assert_int_equal(t->rule[k], rule[k]);
    }
    table_set_free(&set);
    evidence_free(e);
    free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paper_sizes),
        cmocka_unit_test(test_paper_rows),
        cmocka_unit_test_setup_teardown(test_shipped_memory, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_perplexity, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_no_best, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_passkey, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_booksum, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_ruler, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_mqar, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_order_of_rows, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_nothing_there, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_forms, lab_make_dir, lab_remove_dir),
    };
    return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}

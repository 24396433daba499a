/* The perplexity task: what it reads and counts, and what models with a known loss get. */
#include "tests/lib/corpus_fixture.h"
#include "tests/lib/shape_of.h"

#include "datasets/tokenizer/bpe_train.h"
#include "harness/eval/batch.h"
#include "models/attention/attention.h"
#include "models/decoder/config_keys.h"
#include "tasks/perplexity/perplexity.h"
#include "tests/lib/use_blas.h"

#include <jansson.h>
#include <math.h>

enum { DOCUMENTS = 5, SIZE_MAX_TEXT = 1400, BPE_VOCAB = 512 };

static const task_module *task;
static tokenizer *bytes, *bpe_tokens;
static const size_t sizes[DOCUMENTS] = {700, 150, 1, 1300, 333};
static char texts[DOCUMENTS][SIZE_MAX_TEXT];

/* `size` bytes of random words and spaces; valid UTF-8. */
static void make_text(uint64_t seed, size_t size, char *out)
{
    static const char *const piece[] = {"the", "sea", "é", "漢", ".", " ", "\n", "  ", "whale", "\t", "x1"};
    rng r = rng_make(seed, "text", 0, 0);
    size_t used = 0;
    while (used + 8 < size) {
        const char *p = piece[rng_below(&r, sizeof piece / sizeof *piece)];
        memcpy(out + used, p, strlen(p));
        used += strlen(p);
    }
    while (used < size) out[used++] = 'e';
}

static tokenizer *trained(void)
{
    bpe_words words = {0};
    bpe *b;
    tokenizer *t;
    static char text[100000];
    make_text(99, sizeof text, text);
    assert_int_equal(bpe_words_add(&words, text, sizeof text, BPE_SINGLE_DIGITS, &err), PAL_OK);
    if (bpe_train(&b, &words, BPE_VOCAB, NULL, NULL, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(bpe_tokenizer(&t, b, &err), PAL_OK);
    bpe_words_free(&words);
    return t;
}

static int setup(void **state)
{
    if (make_dir(state) != 0) return -1;
    use_blas();
    for (size_t i = 0; i < DOCUMENTS; i++) {
        char name[64];
        snprintf(name, sizeof name, "sea/test/d%zu.txt%s", i, i == 1 ? ".gz" : "");
        make_text(i, sizes[i], texts[i]);
        put(name, texts[i], sizes[i]);
    }
    put_text("lines.jsonl", "{\"id\":\"a \\\"q\\\" é\",\"text\":\"one two\"}\n{\"text\":\"x\"}\n");
    task = task_find("perplexity");
    bpe_tokens = trained();
    return tokenizer_create_bytes(&bytes, &err);
}

static int teardown(void **state)
{
    tokenizer_destroy(bytes);
    tokenizer_destroy(bpe_tokens);
    return remove_dir(state);
}

/* ---- Requests ---- */

/* Begin with the "key = value" lines of `format`, in which each %s stands for the path of the corpus "sea". */
static int begin(const char *format, const tokenizer *t, task_run **run)
{
    char words[1000];
    kv_pairs pairs = {0};
    char *request = calloc(1, task->eval->request_bytes);
    snprintf(words, sizeof words, format, at("sea"), at("sea"));
    assert_int_equal(kv_pairs_parse(&pairs, words, "test", &err), PAL_OK);
    int code = kv_defaults(task->eval->request_table, task->eval->request_count, request, &err);
    if (code == PAL_OK)
        code = kv_apply(task->eval->request_table, task->eval->request_count, request, &pairs, &err);
    if (code == PAL_OK) code = task->eval->begin(request, t, run, &err);
    kv_pairs_free(&pairs);
    free(request);
    return code;
}

static task_run *begun(const char *format, const tokenizer *t)
{
    task_run *run = NULL;
    if (begin(format, t, &run) != PAL_OK) fail_msg("%s", err.text);
    return run;
}

static void test_requests(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        int code;
        const char *named;
    } bad[] = {
        {"data = no-such\n#%s%s", PAL_USAGE, "neither no-such nor datasets/text/no-such is there"},
        {"data = %s,\n#%s", PAL_USAGE, "empty"},
        {"data = %s,%s\n", PAL_USAGE, "twice"},
        {"data = %s\nsplit = train\n#%s", PAL_DATA, "train"},
        {"docs = -1\n#%s%s", PAL_USAGE, "docs"},
        {"max_tokens = x\n#%s%s", PAL_USAGE, "max_tokens"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        task_run *run = NULL;
        assert_int_equal(begin(bad[i].words, bytes, &run), bad[i].code);
        assert_said(bad[i].named);
    }
}

static void test_cells(void **state)
{
    (void)state;
    const task_cell *cell;
    char digest[HASH_HEX];
    corpus *c = open_corpus("sea", "test");
    assert_int_equal(corpus_digest(c, digest, NULL, &err), PAL_OK);
    corpus_close(c);
    task_run *run = begun("data = %s/\n#%s", bytes);
    assert_int_equal(task->eval->cells(run, &cell), 1);
    assert_string_equal(cell->name, "sea/test");
    assert_string_equal(cell->data, digest);
    assert_int_equal(cell->length, 0);
    assert_int_equal(cell->samples, DOCUMENTS);
    assert_true(isnan(cell->depth));
    task->eval->end(run);
    run = begun("data = %s\ndocs = 2\nmax_tokens = 1K\n#%s", bytes);
    assert_int_equal(task->eval->cells(run, &cell), 1);
    assert_string_equal(cell->name, "sea/test:1K");
    assert_int_equal(cell->samples, 2);
    task->eval->end(run);
}

/* ---- Samples ---- */

/* White space by another way than the task's: strspn. */
static uint64_t words_of(const char *text, size_t size)
{
    char copy[SIZE_MAX_TEXT + 1];
    uint64_t words = 0;
    memcpy(copy, text, size);
    copy[size] = '\0';
    for (char *at = copy; *(at += strspn(at, " \t\n\v\f\r")); at += strcspn(at, " \t\n\v\f\r")) words++;
    return words;
}

static double value_of(const double *value, const char *name)
{
    for (size_t v = 0; v < task->value_count; v++)
        if (strcmp(task->value[v], name) == 0) return value[v];
    fail_msg("no value %s", name);
    return 0;
}

static void check_samples(const tokenizer *t, uint64_t most, const char *format)
{
    task_run *run = begun(format, t);
    const task_cell *cell;
    task->eval->cells(run, &cell);
    for (int64_t i = 0; i < cell->samples; i++) {
        task_sample *s;
        int32_t expected[SIZE_MAX_TEXT], tokens[SIZE_MAX_TEXT + 1];
        char text[4 * SIZE_MAX_TEXT];
        double value[TASK_VALUES], nll[SIZE_MAX_TEXT];
        char record[BATCH_RECORD];
        size_t count = tokenizer_encode(t, texts[i], sizes[i], expected);
        if (most && count > most) count = most;
        assert_int_equal(task->eval->open(run, cell, i, &s, &err), PAL_OK);
        assert_int_equal(shape_of(task, s).tokens, count + 1);
        assert_int_equal(shape_of(task, s).prompt, count + 1);
        assert_int_equal(shape_of(task, s).score_from, 1);
        size_t used = 0, got = 1;
        for (; got; used += got) {
            const size_t want = 1 + used % 97;
            assert_int_equal(task->eval->read(s, tokens + used, want, &got, &err), PAL_OK);
            assert_true(got <= want);
        }
        assert_int_equal(used, count + 1);
        assert_int_equal(tokens[0], tokenizer_begin(t));
        assert_memory_equal(tokens + 1, expected, count * sizeof *expected);

        for (size_t k = 0; k < count; k++) nll[k] = (double)k;
        task->eval->score(s, &(task_output){.first = 1, .count = count, .nll = nll}, value, record, sizeof record);
        const size_t size = tokenizer_decode(t, expected, count, text, sizeof text);
        assert_true(most || size == sizes[i]);
        assert_true(value_of(value, "tokens") == (double)count);
        assert_true(value_of(value, "bytes") == (double)size);
        assert_true(value_of(value, "words") == (double)words_of(text, size));
        assert_true(value_of(value, "nll") == (double)count * ((double)count - 1) / 2);
        double tokens_in_ranges = 0, nll_in_ranges = 0;
        for (size_t v = 0; v < task->value_count; v++) {
            if (strncmp(task->value[v], "tokens@", 7) == 0) tokens_in_ranges += value[v];
            if (strncmp(task->value[v], "nll@", 4) == 0) nll_in_ranges += value[v];
        }
        assert_true(tokens_in_ranges == (double)count);
        assert_true(nll_in_ranges == value_of(value, "nll"));
        assert_true(value_of(value, "tokens@0") == (double)(count < 256 ? count : 256));
        task->eval->close(s);
    }
    task->eval->end(run);
}

static void test_samples(void **state)
{
    (void)state;
    check_samples(bytes, 0, "data = %s\n#%s");
    check_samples(bpe_tokens, 0, "data = %s\n#%s");
    /* Cut inside characters and words. */
    check_samples(bytes, 101, "data = %s\nmax_tokens = 101\n#%s");
    check_samples(bpe_tokens, 64, "data = %s\nmax_tokens = 64\n#%s");
    check_samples(bytes, 1, "data = %s\nmax_tokens = 1\n#%s");
}

static void test_records(void **state)
{
    (void)state;
    char words[300];
    task_run *run;
    const task_cell *cell;
    snprintf(words, sizeof words, "data = %s\nsplit = all\n#%%s%%s", at("lines.jsonl"));
    run = begun(words, bytes);
    task->eval->cells(run, &cell);
    assert_int_equal(cell->samples, 2);
    for (int64_t i = 0; i < 2; i++) {
        task_sample *s;
        double value[TASK_VALUES], nll[7] = {0};
        char record[BATCH_RECORD];
        assert_int_equal(task->eval->open(run, cell, i, &s, &err), PAL_OK);
        assert_int_equal(shape_of(task, s).tokens, i ? 2 : 8);
        task->eval->score(s, &(task_output){.first = 1, .count = i ? 1 : 7, .nll = nll}, value, record,
                          sizeof record);
        json_t *object = json_loads(record, 0, NULL);
        const char *name = json_string_value(json_object_get(object, "document"));
        assert_non_null(name);
        if (i == 0) assert_string_equal(name, "a \"q\" é");
        assert_int_equal(json_integer_value(json_object_get(object, "words")), i ? 1 : 2);
        json_decref(object);
        task->eval->close(s);
    }
    task->eval->end(run);
}

static void test_ranges(void **state)
{
    (void)state;
    assert_int_equal(perplexity_range(0), 0);
    assert_int_equal(perplexity_range(255), 0);
    assert_int_equal(perplexity_range(256), 1);
    assert_int_equal(perplexity_range(511), 1);
    assert_int_equal(perplexity_range(512), 2);
    assert_int_equal(perplexity_range(512 * 1024 - 1), PERPLEXITY_RANGES - 2);
    assert_int_equal(perplexity_range(512 * 1024), PERPLEXITY_RANGES - 1);
    assert_int_equal(perplexity_range(UINT64_MAX), PERPLEXITY_RANGES - 1);
    /* A range's name is where it begins, and the metric divides what belongs together. */
    for (size_t m = 0; m < task->metric_count; m++) {
        int64_t from;
        const task_metric *metric = &task->metric[m];
        const char *at_sign = strchr(metric->name, '@');
        assert_int_equal(metric->detail, at_sign != NULL);
        if (!at_sign) continue;
        assert_int_equal(kv_parse_size("range", at_sign + 1, &from, &err), PAL_OK);
        const int range = perplexity_range((uint64_t)from);
        assert_true(from == 0 || perplexity_range((uint64_t)from - 1) == range - 1);
        assert_string_equal(strchr(task->value[metric->value], '@'), at_sign);
        assert_string_equal(strchr(task->value[metric->over], '@'), at_sign);
    }
}

static void test_paper(void **state)
{
    (void)state;
    const char *row = NULL;
    const model_facts linear = {.attention = "infini-linear"};
    const task_cell pg19 = {.name = "pg19/test"}, sea = {.name = "sea/test"};
    assert_true(task_paper(task, &pg19, "token_ppl", &linear, &row) == 9.65);
    assert_non_null(strstr(row, "Linear"));
    assert_true(isnan(task_paper(task, &pg19, "word_ppl", &linear, &row)));
    assert_true(isnan(task_paper(task, &sea, "token_ppl", &linear, &row)));
}

/* ---- Models ---- */

static decoder *make_model(const char *attention, int segment, const char *more)
{
    char text[400];
    snprintf(text, sizeof text,
             "attention = %s\nvocab = %d\nd_model = 32\nn_layers = 2\nn_heads = 2\nd_head = 16\nd_ff = 48\n"
             "segment = %d\ninit_std = 0.1\n%s",
             attention, BPE_VOCAB, segment, more);
    kv_pairs pairs = {0};
    model_config cfg;
    decoder *d = NULL;
    assert_int_equal(kv_pairs_parse(&pairs, text, "test", &err), PAL_OK);
    assert_int_equal(model_config_read(&cfg, &pairs, &err), PAL_OK);
    assert_int_equal(decoder_create(&d, &cfg, &err), PAL_OK);
    kv_pairs_free(&pairs);
    return d;
}

typedef struct sums {
    double value[DOCUMENTS][TASK_VALUES];
} sums;

static int keep(void *arg, const batch_item *item, const batch_result *result, pal_error *e)
{
    (void)e;
    sums *s = arg;
    memcpy(s->value[item->index], result->value, sizeof result->value);
    return PAL_OK;
}

static void evaluate(const decoder *d, const tokenizer *t, size_t lanes, int threads, sums *out)
{
    task_run *run = begun("data = %s\n#%s", t);
    const task_cell *cell;
    batch_item item[DOCUMENTS];
    batch_group group[DOCUMENTS];
    batch_runner *runner = NULL;
    batch_setup with = {.d = d, .task = task, .run = run, .done = keep, .arg = out};
    *out = (sums){0};
    assert_int_equal(pool_create(&with.threads, threads, &err), PAL_OK);
    task->eval->cells(run, &cell);
    for (int64_t i = 0; i < DOCUMENTS; i++) {
        item[i] = (batch_item){.cell = cell, .index = i};
        assert_int_equal(batch_measure(task, run, &item[i], &err), PAL_OK);
    }
    assert_int_equal(batch_open(&runner, &with, &err), PAL_OK);
    const size_t groups = batch_cut(d, item, DOCUMENTS, lanes, 1, 0, group);
    for (size_t g = 0; g < groups; g++)
        if (batch_run(runner, item, &group[g], &err) != PAL_OK) fail_msg("%s", err.text);
    batch_close(runner);
    pool_destroy(with.threads);
    task->eval->end(run);
}

static double loss_per_token(const sums *s, int64_t i)
{
    return value_of(s->value[i], "nll") / value_of(s->value[i], "tokens");
}

/* Every logit 0: the perplexity is the vocabulary's size, whatever the text. */
static void test_uniform_model(void **state)
{
    (void)state;
    decoder *d = make_model("infini-linear", 32, "");
    sums s;
    for (int k = 0; k < 2; k++) {
        evaluate(d, k ? bytes : bpe_tokens, 3, 1, &s);
        for (int64_t i = 0; i < DOCUMENTS; i++)
            assert_true(fabs(exp(loss_per_token(&s, i)) - BPE_VOCAB) < 1e-7 * BPE_VOCAB);
    }
    decoder_destroy(d);
}

/* A cache that holds the whole document is as good as a segment that does. */
static void test_long_cache(void **state)
{
    (void)state;
    decoder *cached = make_model("transformer-xl", 32, "mem_len = 2K\nclamp_len = 0\n"),
            *whole = make_model("transformer-xl", 1408, "mem_len = 32\n");
    sums a, b;
    decoder_init(cached, 3);
    assert_int_equal(decoder_weight_reals(cached), decoder_weight_reals(whole));
    memcpy(decoder_weights(whole), decoder_weights(cached), decoder_weight_reals(whole) * sizeof(real));
    evaluate(cached, bytes, 3, 1, &a);
    evaluate(whole, bytes, 3, 1, &b);
    for (int64_t i = 0; i < DOCUMENTS; i++)
        assert_true(fabs(loss_per_token(&a, i) - loss_per_token(&b, i)) < 1e-5);
    decoder_destroy(cached);
    decoder_destroy(whole);
}

/* Every module: the same bits with any number of threads and documents side by side. */
static void test_same_bits(void **state)
{
    (void)state;
    for (size_t m = 0; attn_table[m]; m++) {
        decoder *d = make_model(attn_table[m]->name, 32, "knn_entries = 4K\n");
        sums one, other;
        decoder_init(d, 9);
        evaluate(d, bpe_tokens, 1, 1, &one);
        evaluate(d, bpe_tokens, 3, 1, &other);
        assert_memory_equal(&one, &other, sizeof one);
        evaluate(d, bpe_tokens, 3, 2, &other);
        assert_memory_equal(&one, &other, sizeof one);
        decoder_destroy(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),      cmocka_unit_test(test_cells),      cmocka_unit_test(test_samples),
        cmocka_unit_test(test_records),       cmocka_unit_test(test_ranges),     cmocka_unit_test(test_paper),
        cmocka_unit_test(test_uniform_model), cmocka_unit_test(test_long_cache), cmocka_unit_test(test_same_bits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

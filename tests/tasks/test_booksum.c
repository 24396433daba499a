/* The BookSum task: what it asks for, reads and scores. */
#include "tests/lib/booksum_lab.h"
#include "tests/lib/shape_of.h"

#include "harness/eval/batch.h"
#include "tasks/rouge/rouge.h"

#include <jansson.h>
#include <math.h>

enum { TOKENS = 20000 };

/* Begin with the "key = value" lines of `format`, in which %s stands for a path below the fixture's folder. */
static int begin(const char *format, const char *name, const tokenizer *t, task_run **run)
{
    char words[1000];
    kv_pairs pairs = {0};
    char *request = calloc(1, task->eval->request_bytes);
    snprintf(words, sizeof words, format, at(name));
    assert_int_equal(kv_pairs_parse(&pairs, words, "test", &err), PAL_OK);
    int code = kv_defaults(task->eval->request_table, task->eval->request_count, request, &err);
    if (code == PAL_OK)
        code = kv_apply(task->eval->request_table, task->eval->request_count, request, &pairs, &err);
    if (code == PAL_OK) code = task->eval->begin(request, t, run, &err);
    kv_pairs_free(&pairs);
    free(request);
    return code;
}

static task_run *begun(const char *format, const char *name, const tokenizer *t)
{
    task_run *run = NULL;
    if (begin(format, name, t, &run) != PAL_OK) fail_msg("%s", err.text);
    return run;
}

static task_sample *open_sample(const task_run *run, size_t cell, int64_t index)
{
    const task_cell *cells;
    task_sample *s;
    assert_true(task->eval->cells(run, &cells) > cell);
    batch_item item = {.cell = &cells[cell], .index = index};
    if (batch_measure(task, run, &item, &err) != PAL_OK) fail_msg("%s", err.text);
    if (task->eval->open(run, &cells[cell], index, &s, &err) != PAL_OK) fail_msg("%s", err.text);
    return s;
}

/* ---- Requests ---- */

static void test_bad_requests(void **state)
{
    (void)state;
    static const struct {
        const char *words, *name;
        int code;
        const char *said;
    } bad[] = {
        {"data = %s", "none", PAL_USAGE, "none-test.jsonl"},
        {"data = %s", "bad", PAL_DATA, "bad-test.jsonl:1: "},
        {"data = %s\nsplit = validation", "fox", PAL_USAGE, "fox-validation.jsonl"},
        {"data = %s\nlen = 1K", "fox", PAL_DATA, "none of the 2 books has 1024 tokens, the longest has 75"},
        {"data = %s\nlen = 20,20", "fox", PAL_USAGE, "twice"},
        {"split = all #%s", "", PAL_USAGE, "validation"},
        {"len = 100 #%s", "", PAL_USAGE, "too short"},
        {"len = #%s", "", PAL_USAGE, "len"},
        {"temperature = 0 #%s", "", PAL_USAGE, "temperature"},
        {"top_p = 1.5 #%s", "", PAL_USAGE, "top_p"},
        {"policy = best #%s", "", PAL_USAGE, "policy"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        task_run *run = NULL;
        assert_int_equal(begin(bad[i].words, bad[i].name, kind[0], &run), bad[i].code);
        assert_said(bad[i].said);
    }
}

static void check_cell(const task_cell *cell, const char *name, int64_t samples)
{
    assert_string_equal(cell->name, name);
    assert_int_equal(cell->samples, samples);
    assert_int_equal(cell->length, 0);
    assert_true(isnan(cell->depth));
}

/* Names say how much of a book is read and how many books are too short for that. */
static void test_cells(void **state)
{
    (void)state;
    const task_cell *cell;
    task_run *run = begun("data = %s\nlen = 0, 10, 11, 75", "fox", kind[0]);
    assert_int_equal(task->eval->cells(run, &cell), 4);
    check_cell(&cell[0], "fox/test:whole", 2);
    check_cell(&cell[1], "fox/test:len=10", 2);
    check_cell(&cell[2], "fox/test:len=11,skipped=1", 1);
    check_cell(&cell[3], "fox/test:len=75,skipped=1", 1);
    assert_int_equal(strlen(cell->data), HASH_HEX - 1);
    task->eval->end(run);

    run = begun("data = %s\nlen = 10\nn = 1", "fox-test.jsonl.gz", kind[0]);
    task->eval->cells(run, &cell);
    check_cell(cell, "fox-test:len=10", 1);
    task->eval->end(run);

    run = begun("data = %s\nsplit = validation", "set", kind[0]);
    task->eval->cells(run, &cell);
    check_cell(cell, "set/validation:whole", 1);
    task->eval->end(run);

    run = begun("len = 0, 2K\nsplit = validation #%s", "", kind[0]);
    assert_int_equal(task->eval->cells(run, &cell), 2);
    check_cell(&cell[0], "stories/validation:len=16K", 20);
    check_cell(&cell[1], "stories/validation:len=2K", 20);
    assert_string_equal(cell->data, "");
    task->eval->end(run);
}

/* ---- What is read ---- */

static size_t read_all(task_sample *s, int32_t tokens[TOKENS], size_t piece)
{
    size_t used = 0;
    for (size_t got = 1; got > 0; used += got)
        assert_int_equal(task->eval->read(s, tokens + used, piece, &got, &err), PAL_OK);
    assert_int_equal(used, shape_of(task, s).tokens);
    return used;
}

/* begin, the first k tokens of the book, separator, summary, begin; the same however it is read. */
static void check_layout(const task_run *run, size_t cell, int64_t index, const tokenizer *t, const int32_t *text,
                         size_t input, const char *summary)
{
    static int32_t tokens[TOKENS], again[TOKENS], expected[TOKENS];
    task_sample *s = open_sample(run, cell, index);
    const size_t count = read_all(s, tokens, TOKENS);
    size_t used = 0;
    expected[used++] = tokenizer_begin(t);
    memcpy(expected + used, text, input * sizeof *text);
    used += input;
    assert_int_equal(shape_of(task, s).forget, used);
    used += tokenizer_encode(t, "\n\nSummary:\n", 11, expected + used);
    assert_int_equal(shape_of(task, s).prompt, used);
    assert_int_equal(shape_of(task, s).score_from, used);
    used += tokenizer_encode(t, summary, strlen(summary), expected + used);
    expected[used++] = tokenizer_begin(t);
    assert_int_equal(count, used);
    assert_memory_equal(tokens, expected, used * sizeof *tokens);
    task->eval->close(s);
    s = open_sample(run, cell, index);
    assert_int_equal(read_all(s, again, 3), count);
    assert_memory_equal(tokens, again, count * sizeof *tokens);
    task->eval->close(s);
}

static void test_layout(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        int32_t tokens[sizeof book];
        const size_t count = tokenizer_encode(kind[k], book, strlen(book), tokens);
        task_run *run = begun("data = %s\nlen = 0, 20", "fox", kind[k]);
        /* Where the stop token is the newline, the summary has none. */
        const char *summary = k ? "A fox escapes.\nA hound is late." : "A fox escapes. A hound is late.";
        check_layout(run, 0, 0, kind[k], tokens, count, summary);
        check_layout(run, 1, 0, kind[k], tokens, 20, summary);
        task->eval->end(run);
    }
}

/* A story of exactly so many tokens, of the split that was asked for, which ends with the summary of its facts. */
static void test_stories(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        task_run *run = begun("len = 3000\nn = 3\nseed = 4 #%s", "", kind[k]);
        for (uint64_t i = 0; i < 3; i++) {
            story s;
            char summary[STORY_SUMMARY];
            int32_t tokens[3000];
            succeed(story_begin(&s, kind[k], &(story_key){4, STORY_TEST, i, 0}, 3000, STORY_SPAN, &err));
            assert_int_equal(story_read(&s, tokens, 3000), 3000);
            story_summary(s.value, summary);
            check_layout(run, 0, (int64_t)i, kind[k], tokens, 3000, summary);
        }
        task->eval->end(run);
    }
}

static void test_decoding(void **state)
{
    (void)state;
    static const struct {
        const char *words, *name;
        size_t most;
        double temperature, top_p;
        uint64_t seed;
    } how[] = {
        {"data = %s", "fox", 1024, 0, 0.95, 1},
        {"data = %s\ndecoding = sample\nseed = 8", "fox", 1024, 0.5, 0.95, 8},
        {"decoding = sample\ntemperature = 0.7\ntop_p = 0.8\nmax_tokens = 9 #%s", "", 9, 0.7, 0.8, 1},
    };
    for (int k = 0; k < 2; k++) {
        task_decoding d;
        for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
            task_run *run = begun(how[i].words, how[i].name, kind[k]);
            task_sample *s = open_sample(run, 0, 0);
            d = shape_of(task, s).decoding;
            assert_int_equal(d.max_tokens, how[i].most);
            assert_true(d.temperature == how[i].temperature && d.top_p == how[i].top_p);
            assert_int_equal(d.seed, how[i].seed);
            assert_int_equal(d.stop, tokenizer_begin(kind[k]));
            task->eval->close(s);
            task->eval->end(run);
        }
        task_run *run = begun("n = 9 #%s", "", kind[k]);
        for (int64_t i = 0; i < 9; i++) {
            task_sample *s = open_sample(run, 0, i);
            d = shape_of(task, s).decoding;
            const uint64_t summary = shape_of(task, s).tokens - shape_of(task, s).prompt;
            assert_true(d.max_tokens > summary + summary / 2 && d.max_tokens < 3 * summary);
            task->eval->close(s);
        }
        task->eval->end(run);
    }
}

/* ---- Scores ---- */

typedef struct scored {
    double value[TASK_VALUES];
    char record[BATCH_RECORD];
} scored;

static double value_of(const scored *s, const char *name)
{
    size_t i = 0;
    while (strcmp(task->value[i], name) != 0) assert_true(++i < task->value_count);
    return s->value[i];
}

static scored score(const task_sample *s, const tokenizer *t, const char *generated, const double *nll,
                    size_t count)
{
    static int32_t tokens[TOKENS];
    const size_t made = tokenizer_encode(t, generated, strlen(generated), tokens);
    const task_output out = {.first = shape_of(task, s).score_from,
                             .count = count,
                             .nll = nll,
                             .generated = made ? tokens : NULL,
                             .generated_count = made};
    scored result;
    memset(&result, 0x55, sizeof result); /* nothing may be left as it is */
    task->eval->score(s, &out, result.value, result.record, sizeof result.record);
    assert_true(value_of(&result, "generated") == (double)made);
    return result;
}

/* The scores are those of rouge.h, under every policy. */
static void test_scores(void **state)
{
    (void)state;
    static const char *const policy[] = {"max", "mean", "first"};
    static const char *const generated[] = {"The foxes ran over hills.\nA hound was late", "A fox escapes", "",
                                            "?"};
    static const char *const refs[] = {"A fox escapes.\nA hound is late.", "The fox ran over a hill."};
    for (int p = 0; p < 3; p++) {
        char words[64];
        snprintf(words, sizeof words, "data = %%s\npolicy = %s", policy[p]);
        task_run *run = begun(words, "fox", kind[1]);
        task_sample *s = open_sample(run, 0, 0);
        for (size_t g = 0; g < sizeof generated / sizeof *generated; g++) {
            rouge_scorer *scorer;
            rouge_text ref[2], hyp;
            rouge_result expected;
            const scored got = score(s, kind[1], generated[g], NULL, 0);
            succeed(rouge_scorer_create(1, &scorer, &err));
            for (int i = 0; i < 2; i++) succeed(rouge_text_read(scorer, refs[i], strlen(refs[i]), &ref[i], &err));
            succeed(rouge_text_read(scorer, generated[g], strlen(generated[g]), &hyp, &err));
            succeed(rouge_compare_many(scorer, ref, 2, &hyp, (rouge_policy)p, &expected, &err));
            for (int m = 0; m < ROUGE_METRICS; m++)
                assert_true(value_of(&got, rouge_metric_name[m]) == expected.metric[m].f);
            assert_true(value_of(&got, "overall") == expected.overall);
            assert_true(value_of(&got, "facts") == 0 && value_of(&got, "nll") == 0 &&
                        value_of(&got, "tokens") == 0);
            for (int i = 0; i < 2; i++) rouge_text_free(&ref[i]);
            rouge_text_free(&hyp);
            rouge_scorer_destroy(scorer);
        }
        const double nll[] = {0.5, 0.25, 2};
        const scored got = score(s, kind[1], "x", nll, 3);
        assert_true(value_of(&got, "nll") == 2.75 && value_of(&got, "tokens") == 3);
        task->eval->close(s);
        task->eval->end(run);
    }
}

/* Facts count when they are told as in the summary, and only with the right value. */
static void test_facts(void **state)
{
    (void)state;
    task_run *run = begun("len = 1K\nn = 1 #%s", "", kind[1]);
    task_sample *s = open_sample(run, 0, 0);
    int value[STORY_SLOTS];
    char text[STORY_SUMMARY];
    story_facts(&(story_key){1, STORY_TEST, 0, 0}, value);
    story_summary(value, text);
    scored got = score(s, kind[1], text, NULL, 0);
    assert_true(value_of(&got, "facts_right") == STORY_SLOTS && value_of(&got, "facts") == STORY_SLOTS);
    assert_true(value_of(&got, "overall") == 1);
    for (int i = 0; i < STORY_SLOTS; i++) {
        value[i] = (value[i] + 1) % story_choices(i);
        story_summary(value, text);
        got = score(s, kind[1], text, NULL, 0);
        assert_true(value_of(&got, "facts_right") == STORY_SLOTS - 1 - i);
        assert_true(value_of(&got, "overall") < 1);
    }
    got = score(s, kind[1], "", NULL, 0);
    assert_true(value_of(&got, "facts_right") == 0 && value_of(&got, "overall") == 0);
    task->eval->close(s);
    task->eval->end(run);
}

/* The record names the book and holds what was written, as much of it as there is room for. */
static void test_record(void **state)
{
    (void)state;
    static const char *const unit[] = {"word ", "é漢", "\x01\"\\", "a\xff"};
    task_run *run = begun("data = %s", "fox", kind[0]);
    task_sample *s = open_sample(run, 0, 0);
    for (size_t u = 0; u < sizeof unit / sizeof *unit; u++) {
        for (size_t times = 1; times < 4000; times *= 9) {
            static char text[TOKENS];
            text[0] = '\0';
            for (size_t i = 0; i < times; i++) strcat(text, unit[u]);
            const scored got = score(s, kind[0], text, NULL, 0);
            json_t *object = json_loads(got.record, 0, NULL);
            assert_non_null(object);
            const char *kept = json_string_value(json_object_get(object, "generated"));
            assert_string_equal(json_string_value(json_object_get(object, "bid")), "fox");
            assert_int_equal(json_integer_value(json_object_get(object, "generated_tokens")), strlen(text));
            for (char *c = text; u == 3 && *c; c++)
                if (*c == '\xff') *c = '?';
            assert_memory_equal(kept, text, strlen(kept));
            if (times == 1) assert_string_equal(kept, text);
            if (strlen(kept) < strlen(text)) assert_true(strlen(got.record) > BATCH_RECORD - 100);
            json_decref(object);
        }
    }
    task->eval->close(s);
    task->eval->end(run);
}

/* Table 4, for BookSum alone. */
static void test_paper(void **state)
{
    (void)state;
    const char *row = "";
    const model_facts linear = {.attention = "infini-linear"}, delta = {.attention = "infini-delta"},
                      cache = {.attention = "transformer-xl"};
    task_cell cell = {.name = "booksum/test:len=500K"};
    assert_true(fabs(task_paper(task, &cell, "rouge1", &delta, &row) - 0.4) < 1e-9);
    assert_non_null(strstr(row, "Delta"));
    assert_true(fabs(task_paper(task, &cell, "overall", &linear, &row) - 0.18) < 1e-9);
    assert_true(isnan(task_paper(task, &cell, "facts", &linear, &row)));
    assert_true(isnan(task_paper(task, &cell, "rouge1", &cache, &row)));
    strcpy(cell.name, "stories/test:len=16K");
    assert_true(isnan(task_paper(task, &cell, "rouge1", &delta, &row)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_requests), cmocka_unit_test(test_cells),    cmocka_unit_test(test_layout),
        cmocka_unit_test(test_stories),      cmocka_unit_test(test_decoding), cmocka_unit_test(test_scores),
        cmocka_unit_test(test_facts),        cmocka_unit_test(test_record),   cmocka_unit_test(test_paper),
    };
    return cmocka_run_group_tests(tests, open_lab, close_lab);
}

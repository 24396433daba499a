/* ROUGE against tests/golden/rouge.jsonl and porter_stems.txt, made by tests/peer/rouge_reference.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/os.h"
#include "harness/base/rng.h"
#include "harness/command/commands.h"
#include "harness/command/rouge_pairs.h"
#include "tasks/rouge/porter_stemmer.h"
#include "tasks/rouge/rouge.h"

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN "tests/golden/rouge.jsonl"
#define STEMS "tests/golden/porter_stems.txt"
#define assert_near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

static pal_error err;
static char scratch[] = "/tmp/palimpsest-rouge-XXXXXX";
static char ref_path[64], hyp_path[64], out_path[64];

/* ---- Stemmer ---- */

static void test_stems(void **state)
{
    (void)state;
    FILE *file = fopen(STEMS, "r");
    assert_non_null(file);
    char word[128], expected[128], stem[128];
    int count = 0;
    for (; fscanf(file, "%127s %127s", word, expected) == 2; count++) {
        strcpy(stem, word);
        const size_t size = porter_stem(stem, strlen(word));
        assert_true(size <= strlen(word));
        stem[size] = 0;
        if (strcmp(stem, expected) != 0) fail_msg("%s: %s, expected %s", word, stem, expected);
    }
    fclose(file);
    assert_true(count > 2000);
}

/* Words of any length in linear time and without recursion. */
static void test_long_words(void **state)
{
    (void)state;
    enum { SIZE = 200000 };
    char *word = malloc(SIZE);
    assert_non_null(word);
    for (const char *c = "ys1a"; *c; c++) {
        memset(word, *c, SIZE);
        assert_true(porter_stem(word, SIZE) >= SIZE - 2);
        memset(word, *c, SIZE);
        memcpy(word + SIZE - 3, "ing", 3);
        assert_true(porter_stem(word, SIZE) >= SIZE - 4);
    }
    free(word);
}

/* ---- Tokens ---- */

static rouge_scorer *create(int use_stemmer)
{
    rouge_scorer *s;
    assert_int_equal(rouge_scorer_create(use_stemmer, &s, &err), PAL_OK);
    return s;
}

static rouge_text read_text(rouge_scorer *s, const char *text, size_t size)
{
    rouge_text t;
    assert_int_equal(rouge_text_read(s, text, size, &t, &err), PAL_OK);
    return t;
}

/* Both texts have the same tokens in the same sentences. */
static void check_same(const char *a, size_t a_size, const char *b, int use_stemmer)
{
    rouge_scorer *s = create(use_stemmer);
    rouge_text x = read_text(s, a, a_size), y = read_text(s, b, strlen(b));
    if (x.count != y.count || x.sentences != y.sentences ||
        (x.count && memcmp(x.token, y.token, x.count * sizeof *x.token) != 0) ||
        (x.sentences && memcmp(x.end, y.end, x.sentences * sizeof *x.end) != 0))
        fail_msg("%s: not the tokens of %s", a, b);
    rouge_text_free(&x);
    rouge_text_free(&y);
    rouge_scorer_destroy(s);
}

#define SAME(a, b) check_same(a, sizeof(a) - 1, b, 0)

static void test_tokens(void **state)
{
    (void)state;
    SAME("Well-Known, E-mail: don't!", "well known e mail don t");
    SAME("3,000.50 1st", "3 000 50 1st");
    SAME("caf\xC3\xA9s", "caf s");
    SAME("\xE2\x84\xAA"
         "elvin 5\xE2\x84\xAA",
         "kelvin 5k");
    SAME("\xC4\xB0stanbul a\xC4\xB0z \xC4\xB0", "i stanbul ai z i");
    SAME("\xEF\xBC\xA1 \xE2\x91\xA0 \xC2\xB2 \xE2\x84\xAB", "");
    SAME("a\0b", "a b");
    SAME("\n\n a b\n \n--\nc\r\nd\n\n", "a b\nc\nd");
    /* Not UTF-8, and characters cut short: separators. */
    SAME("a\xFFz \xE2\x84", "a z");
    SAME("\xE2\x84"
         "b\xC4",
         "b");
    SAME("\xC1\xA1", "");
    check_same("ran dying cats", 14, "ran die cat", 1);
    check_same("was gas", 7, "was gas", 1);
    check_same("", 0, "", 1);
}

/* ---- Scores ---- */

static void check_metrics(const rouge_result *r, const json_t *expected, const char *what)
{
    for (int m = 0; m < ROUGE_METRICS; m++) {
        const double got[] = {r->metric[m].precision, r->metric[m].recall, r->metric[m].f};
        for (size_t k = 0; k < 3; k++) {
            const double value =
                json_number_value(json_array_get(json_object_get(expected, rouge_metric_name[m]), k));
            if (!(fabs(got[k] - value) <= 1e-12))
                fail_msg("%s, %s: %.17g, expected %.17g", what, rouge_metric_name[m], got[k], value);
        }
    }
}

/* One scorer for all cases: what one leaves behind must not show in the next. */
static int check_case(rouge_scorer *s, const json_t *row, int use_stemmer)
{
    static const char *const policies[] = {"max", "mean", "first"};
    const json_t *list = json_object_get(row, "reference"), *hypothesis = json_object_get(row, "hypothesis");
    rouge_text refs[8], hyp = read_text(s, json_string_value(hypothesis), json_string_length(hypothesis));
    const size_t count = json_array_size(list);
    int checked = 0;
    assert_in_range(count, 1, 8);
    for (size_t i = 0; i < count; i++) {
        const json_t *ref = json_array_get(list, i);
        refs[i] = read_text(s, json_string_value(ref), json_string_length(ref));
    }
    for (rouge_policy p = ROUGE_MAX; p <= ROUGE_FIRST; p++) {
        char key[32], what[128];
        snprintf(key, sizeof key, "%s%s", policies[p], use_stemmer ? "+stemmer" : "");
        snprintf(what, sizeof what, "%s, %s", json_string_value(json_object_get(row, "name")), key);
        const json_t *expected = json_object_get(row, key);
        if (!expected) continue;
        rouge_result r;
        assert_int_equal(rouge_compare_many(s, refs, count, &hyp, p, &r, &err), PAL_OK);
        check_metrics(&r, expected, what);
        assert_near(pow(r.overall, 3), r.metric[ROUGE_1].f * r.metric[ROUGE_2].f * r.metric[ROUGE_L].f, 1e-12);
        checked++;
    }
    for (size_t i = 0; i < count; i++) rouge_text_free(&refs[i]);
    rouge_text_free(&hyp);
    return checked;
}

static void test_golden(void **state)
{
    (void)state;
    rouge_scorer *plain = create(0), *stemming = create(1);
    char *text;
    size_t size;
    int cases = 0;
    assert_int_equal(os_read_file(GOLDEN, &text, &size, &err), PAL_OK);
    for (char *line = text; *line;) {
        const size_t length = strcspn(line, "\n");
        json_t *row = json_loadb(line, length, JSON_ALLOW_NUL, NULL);
        assert_non_null(row);
        cases += check_case(plain, row, 0) + check_case(stemming, row, 1);
        json_decref(row);
        line += length + (line[length] == '\n');
        if (cases == 60) {
            rouge_scorer_forget(plain);
            assert_int_equal(rouge_scorer_words(plain), 0);
        }
    }
    assert_true(cases > 150);
    free(text);
    rouge_scorer_destroy(plain);
    rouge_scorer_destroy(stemming);
}

/* A text of words w0, w1, ... in lines. */
static char *random_text(rng *r, size_t words, uint32_t kinds)
{
    char *text = malloc(16 * words + 1), *at = text;
    assert_non_null(text);
    *at = 0;
    for (size_t i = 0; i < words; i++)
        at += sprintf(at, "w%u%c", rng_below(r, kinds), rng_below(r, 10) ? ' ' : '\n');
    return text;
}

static void test_properties(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 60; i++) {
        rng r = rng_make(1, "rouge", i, 0);
        char *a = random_text(&r, 2 + rng_below(&r, 150), 2 + i),
             *b = random_text(&r, 2 + rng_below(&r, 150), 2 + i);
        rouge_result same, forth, back;
        assert_int_equal(rouge_score(a, strlen(a), a, strlen(a), i % 2, &same, &err), PAL_OK);
        assert_int_equal(rouge_score(a, strlen(a), b, strlen(b), i % 2, &forth, &err), PAL_OK);
        assert_int_equal(rouge_score(b, strlen(b), a, strlen(a), i % 2, &back, &err), PAL_OK);
        assert_near(same.overall, 1, 1e-15);
        for (int m = 0; m < ROUGE_METRICS; m++) {
            const rouge_prf *x = &forth.metric[m], *y = &back.metric[m];
            assert_true(same.metric[m].precision == 1 && same.metric[m].recall == 1 && same.metric[m].f == 1);
            assert_true(x->f <= fmax(x->precision, x->recall) && x->f >= fmin(x->precision, x->recall));
            if (m == ROUGE_LSUM) continue; /* it is not symmetric: the sentences of ref are taken one by one */
            assert_true(x->precision == y->recall && x->recall == y->precision);
            assert_near(x->f, y->f, 1e-15);
        }
        /* Any LCS is a set of common tokens. */
        assert_true(forth.metric[ROUGE_LSUM].recall <= forth.metric[ROUGE_1].recall);
        assert_true(forth.metric[ROUGE_L].recall <= forth.metric[ROUGE_1].recall);
        free(a);
        free(b);
    }
}

static void test_no_reference(void **state)
{
    (void)state;
    rouge_scorer *s = create(0);
    rouge_text hyp = {0};
    rouge_result r;
    assert_int_equal(rouge_compare_many(s, NULL, 0, &hyp, ROUGE_MAX, &r, &err), PAL_USAGE);
    rouge_scorer_destroy(s);
}

/* ---- The command ---- */

static void write_file(const char *path, const char *text, size_t size)
{
    assert_int_equal(os_write_file(path, text, size, &err), PAL_OK);
}

/* Its status; standard output goes to out_path. */
static int run(const char *const *words)
{
    char *argv[16];
    int argc = 0;
    for (; words[argc]; argc++) argv[argc] = (char *)words[argc];
    fflush(stdout);
    const int kept = dup(STDOUT_FILENO), out = open(out_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    assert_true(kept >= 0 && out >= 0);
    dup2(out, STDOUT_FILENO);
    const int code = command_run(&rouge_command, argc, argv, &err);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    close(out);
    return code;
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static char *output(void)
{
    char *text;
    size_t size;
    assert_int_equal(os_read_file(out_path, &text, &size, &err), PAL_OK);
    return text;
}

static double number_at(const json_t *root, const char *a, const char *b, const char *c)
{
    const json_t *at = json_object_get(json_object_get(root, a), b);
    return json_number_value(c ? json_object_get(at, c) : at);
}

static void test_two_texts(void **state)
{
    (void)state;
    write_file(ref_path, "one two three\nfour\n", 19);
    write_file(hyp_path, "two one\nfour", 12);
    assert_int_equal(RUN("--ref", ref_path, "--hyp", hyp_path), PAL_OK);
    char *text = output();
    /* Hits: 3 of 4 and 3; no bigram; an LCS of 2; per line 1 + 1. */
    assert_non_null(strstr(text, "rouge1      100.00                  75.00                   85.71"));
    assert_non_null(strstr(text, "rougeLsum   66.67                   50.00                   57.14"));
    assert_non_null(strstr(text, "stemmer off"));
    assert_null(strstr(text, "interval"));
    free(text);

    char ref_word[80], hyp_word[80];
    snprintf(ref_word, sizeof ref_word, "ref=%s", ref_path);
    snprintf(hyp_word, sizeof hyp_word, "--hyp=%s", hyp_path);
    assert_int_equal(RUN(ref_word, hyp_word, "--json", "stemmer=1", "--policy", "mean"), PAL_OK);
    text = output();
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    assert_true(json_is_true(json_object_get(root, "stemmer")));
    assert_string_equal(json_string_value(json_object_get(root, "policy")), "mean");
    assert_near(number_at(root, "rouge1", "recall", "mean"), 0.75, 1e-15);
    assert_near(number_at(root, "rougeL", "fmeasure", "mean"), 4.0 / 7, 1e-15);
    assert_true(number_at(root, "rouge2", "fmeasure", "mean") == 0);
    json_decref(root);
    free(text);
}

/* A line for each pair, then their means; the same from one file as from two. */
static void test_json_lines(void **state)
{
    (void)state;
    static const char one[] = "{\"id\": \"x\", \"reference\": [\"a b\", \"a b c d\"], \"hypothesis\": \"a b c\"}\n"
                              "{\"reference\": \"\", \"prediction\": \"a\"}\n"
                              "{\"reference\": \"k\\u0000l\", \"prediction\": \"\\u212a l\"}";
    static const char refs[] = "{\"id\": \"x\", \"reference\": [\"a b\", \"a b c d\"]}\n\"\"\n[\"k l\"]\n";
    static const char hyps[] = "{\"hypothesis\": \"a b c\", \"id\": \"x\"}\n\"a\"\n{\"prediction\": \"k l\"}\n";
    write_file(ref_path, one, sizeof one - 1);
    assert_int_equal(RUN("--jsonl", "--each", "--json", "--ref", ref_path), PAL_OK);
    char *first = output();
    write_file(ref_path, refs, sizeof refs - 1);
    write_file(hyp_path, hyps, sizeof hyps - 1);
    assert_int_equal(RUN("--jsonl", "--each", "--json", "--ref", ref_path, "--hyp", hyp_path), PAL_OK);
    char *second = output();
    assert_string_equal(first, second);

    json_t *row[4];
    const char *at = first;
    for (int i = 0; i < 4; i++) {
        row[i] = json_loadb(at, strcspn(at, "\n"), 0, NULL);
        assert_non_null(row[i]);
        at += strcspn(at, "\n") + 1;
    }
    assert_int_equal(*at, 0);
    assert_string_equal(json_string_value(json_object_get(row[0], "id")), "x");
    assert_near(number_at(row[0], "rouge1", "fmeasure", NULL), 6.0 / 7, 1e-15);
    assert_near(number_at(row[0], "rouge1", "precision", NULL), 1, 1e-15);
    assert_int_equal(json_integer_value(json_object_get(row[3], "pairs")), 3);
    assert_int_equal(json_integer_value(json_object_get(row[3], "empty_references")), 1);
    assert_int_equal(json_integer_value(json_object_get(row[3], "empty_hypotheses")), 0);
    /* The pair without a token in its reference is none of the means. */
    assert_near(number_at(row[3], "rouge1", "precision", "mean"), 1, 1e-15);
    assert_true(number_at(row[3], "rouge1", "precision", "lo") < 0.2);
    assert_near(
        number_at(row[3], "overall", "mean", NULL),
        cbrt(number_at(row[3], "rouge1", "fmeasure", "mean") * number_at(row[3], "rouge2", "fmeasure", "mean") *
             number_at(row[3], "rougeL", "fmeasure", "mean")),
        1e-15);
    for (int i = 0; i < 4; i++) json_decref(row[i]);
    free(first);
    free(second);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *ref, *hyp, *jsonl, *message; /* message: with %r and %h for the paths at its start */
        int code;
    } cases[] = {
        {"\"a\"\n{\"reference\": \n", "\"a\"\n\"b\"\n", "jsonl=1", "%r:2: not JSON", PAL_DATA},
        {"\"a\"\n\n\"b\"\n", "\"a\"\n\"b\"\n\"c\"\n", "jsonl=1", "%r:2: an empty line", PAL_DATA},
        {"\"a\"\n", "{\"text\": \"b\"}\n", "jsonl=1", "%h:1: no \"hypothesis\"", PAL_DATA},
        {"{\"text\": \"b\"}\n", "\"a\"\n", "jsonl=1", "%r:1: no \"reference\"", PAL_DATA},
        {"[]\n", "\"a\"\n", "jsonl=1", "%r:1: an empty list", PAL_DATA},
        {"[\"a\", 3]\n", "\"a\"\n", "jsonl=1", "%r:1: the reference is not", PAL_DATA},
        {"\"a\"\n", "[\"a\"]\n", "jsonl=1", "%h:1: the hypothesis is not", PAL_DATA},
        {"\"a\"\n", "{\"hypothesis\": \"a\", \"prediction\": \"b\"}", "jsonl=1", "%h:1: both", PAL_DATA},
        {"\"a\"\n\"b\"\n", "\"a\"\n", "jsonl=1", "%r:2: no line to go with it: %h ends after line 1", PAL_DATA},
        {"\"a\"\n", "\"a\"\n\"b\"\n", "jsonl=1", "%h:2: no line to go with it: %r ends after line 1", PAL_DATA},
        {"{\"id\": 1, \"reference\": \"a\"}", "{\"id\": 2, \"hypothesis\": \"a\"}", "jsonl=1", "%h:1: its id",
         PAL_DATA},
        {"\"\xFF\"\n", "\"a\"\n", "jsonl=1", "%r: byte offset 1: not UTF-8", PAL_DATA},
        {"", "", "jsonl=1", "%r: no pairs", PAL_DATA},
        {"a\nb \xC3\xA9 \xED\xA0\x80", "a", "jsonl=0", "%r: byte offset 7: not UTF-8", PAL_DATA},
        {"a", "a\n\n\xC3", "jsonl=0", "%h: byte offset 3: not UTF-8", PAL_DATA},
        {"a", "a", "colour=1", "colour: rouge has no such key", PAL_USAGE},
        {"a", "a", "jsonl=2", "jsonl", PAL_USAGE},
        {"a", "a", "--policy", "--policy: its value is missing", PAL_USAGE},
        {"a", "a", "best", "\"best\" is not a setting", PAL_USAGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char message[256] = "";
        for (const char *c = cases[i].message; *c; c++) {
            const int path = c[0] == '%' && (c[1] == 'r' || c[1] == 'h');
            const size_t used = strlen(message);
            if (path)
                snprintf(message + used, sizeof message - used, "%s", *++c == 'r' ? ref_path : hyp_path);
            else
                snprintf(message + used, sizeof message - used, "%c", *c);
        }
        write_file(ref_path, cases[i].ref, strlen(cases[i].ref));
        write_file(hyp_path, cases[i].hyp, strlen(cases[i].hyp));
        const int code = RUN("--ref", ref_path, "--hyp", hyp_path, cases[i].jsonl);
        if (code != cases[i].code || strncmp(err.text, message, strlen(message)) != 0 || strchr(err.text, '\n'))
            fail_msg("status %d, \"%s\", expected %d, \"%s\"", code, err.text, cases[i].code, message);
    }
    assert_int_equal(RUN("--hyp", hyp_path), PAL_USAGE);
    assert_int_equal(RUN("--ref", ref_path), PAL_USAGE);
    assert_int_equal(RUN("--ref", "/nowhere", "--hyp", hyp_path), PAL_DATA);
    assert_int_equal(RUN("--ref", "/nowhere", "--jsonl"), PAL_DATA);
    assert_int_equal(RUN("--ref", "/tmp", "--jsonl"), PAL_DATA);
}

static int make_scratch(void **state)
{
    (void)state;
    if (!mkdtemp(scratch)) return -1;
    snprintf(ref_path, sizeof ref_path, "%s/ref", scratch);
    snprintf(hyp_path, sizeof hyp_path, "%s/hyp", scratch);
    snprintf(out_path, sizeof out_path, "%s/out", scratch);
    return 0;
}

static int remove_scratch(void **state)
{
    (void)state;
    unlink(ref_path);
    unlink(hyp_path);
    unlink(out_path);
    return rmdir(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stems),     cmocka_unit_test(test_long_words), cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_golden),    cmocka_unit_test(test_properties), cmocka_unit_test(test_no_reference),
        cmocka_unit_test(test_two_texts), cmocka_unit_test(test_json_lines), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}

/* The regression gate: what it measures, and which rows of a baseline it takes for moved or missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/os.h"
#include "harness/base/rng.h"
#include "harness/gate/baseline.h"
#include "harness/gate/regress.h"
#include "models/attention/attention.h"
#include "tests/lib/tiny_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static char dir[] = "/tmp/palimpsest-regress-test-XXXXXX";
static regress_options options;
static char *said; /* what the last run printed */
static pal_error err;

/* Rows of an evaluated model (two documents and their sum), losses logged by the recipe, rows in all. */
enum { EVALUATED = 3, LOGGED = 2, ROWS = 2 * EVALUATED + LOGGED + EVALUATED };

/* ---- A slice, two models of text and one of something else, a recipe ---- */

static const char *path_of(const char *name)
{
    static char path[4][128];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[0], "%s/%s", dir, name);
    return path[next];
}

static int put(const char *name, const char *text)
{
    return os_write_file(path_of(name), text, strlen(text), &err);
}

static int put_document(const char *name, uint64_t seed)
{
    char text[900];
    rng r = rng_make(seed, "letters", 0, 0);
    for (size_t i = 0; i + 1 < sizeof text; i++) text[i] = rng_below(&r, 6) ? (char)('a' + rng_below(&r, 8)) : ' ';
    text[sizeof text - 1] = '\0';
    return put(name, text);
}

static int save_model(const char *name, const char *attention, const char *task, uint64_t seed)
{
    char text[256];
    snprintf(text, sizeof text,
             "attention = %s\nd_model = 16\nn_layers = 1\nn_heads = 1\nd_head = 16\nd_ff = 16\nsegment = 16\n",
             attention);
    kv_pairs metadata = {0};
    int code = kv_pairs_add(&metadata, "task", task, "test", &err);
    if (code == PAL_OK) code = tiny_model_save(path_of(name), tiny_model(text, seed), &metadata, &err);
    kv_pairs_free(&metadata);
    return code;
}

#define RECIPE(lr)                                                                                                \
    "[tiny]\nattention = infini-linear\nd_model = 16\nn_layers = 1\nn_heads = 1\nd_head = 16\nd_ff = "            \
    "16\nsegment = 16\n"                                                                                          \
    "task = perplexity\nsplit = test\ntrain_len = 32\ntrain_steps = 4\nbatch_tokens = 64\nlog_every = 2\n"        \
    "warmup = 1\nlr = " lr "\n"

static int make_scratch(void **unused)
{
    (void)unused;
    if (!mkdtemp(dir)) return -1;
    snprintf(options.baseline, sizeof options.baseline, "%s/baseline.csv", dir);
    snprintf(options.weights, sizeof options.weights, "%s/w", dir);
    snprintf(options.data, sizeof options.data, "%s/slice", dir);
    strcpy(options.recipe, "tiny");
    snprintf(options.recipes, sizeof options.recipes, "%s/recipe.conf", dir);
    strcpy(options.model, "all");
    options.threads = 1;
    return os_make_dirs(path_of("w"), &err) || os_make_dirs(path_of("slice/test"), &err) ||
           put_document("slice/test/first.txt", 1) || put_document("slice/test/second.txt", 2) ||
           put("recipe.conf", RECIPE("1e-2")) || put("other.conf", RECIPE("2e-2")) ||
           save_model("w/text-one.safetensors", "infini-linear", "perplexity", 1) ||
           save_model("w/text-two.safetensors", "transformer-xl", "perplexity", 2) ||
           save_model("w/keys.safetensors", "local", "passkey", 3);
}

static int remove_scratch(void **unused)
{
    (void)unused;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    free(said);
    return system(command);
}

/* ---- Running it ---- */

static int run(const regress_options *o)
{
    free(said);
    size_t size;
    FILE *out = open_memstream(&said, &size), *log = fopen("/dev/null", "w");
    assert_true(out && log);
    const int code = regress_run(o, out, log, &err);
    fclose(out);
    fclose(log);
    return code;
}

static size_t lines(void)
{
    size_t count = 0;
    for (const char *c = said; *c; c++) count += *c == '\n';
    return count;
}

static void check_said(const char *words)
{
    if (!strstr(said, words)) fail_msg("expected '%s' in:\n%s", words, said);
}

static void check_error(const char *words)
{
    if (!strstr(err.text, words)) fail_msg("expected '%s' in '%s'", words, err.text);
}

/* A fresh baseline of what is here. */
static void update(void)
{
    regress_options o = options;
    o.update = 1;
    if (run(&o) != PAL_OK) fail_msg("%s", err.text);
}

static baseline read_rows(void)
{
    baseline b;
    if (baseline_read(&b, options.baseline, &err) != PAL_OK) fail_msg("%s", err.text);
    return b;
}

static void write_rows(baseline *b)
{
    assert_int_equal(baseline_write(b, options.baseline, &err), PAL_OK);
    baseline_free(b);
}

static baseline_row *row_of(baseline *b, const char *name, const char *metric)
{
    baseline_row *row = (baseline_row *)baseline_find(b, name, metric);
    if (!row) fail_msg("no row %s %s", name, metric);
    return row;
}

static char *slurp(void)
{
    char *text;
    size_t size;
    assert_int_equal(os_read_file(options.baseline, &text, &size, &err), PAL_OK);
    return text;
}

/* ---- Tests ---- */

static void test_round_trip(void **state)
{
    (void)state;
    remove(options.baseline);
    assert_int_equal(run(&options), PAL_DATA);
    check_error("update=1");
    update();
    char *first = slurp();

    assert_int_equal(run(&options), PAL_OK);
    assert_int_equal(lines(), ROWS);
    for (const char *line = said; *line; line = strchr(line, '\n') + 1) assert_memory_equal(line, "same ", 5);
    check_said("nll/first");
    check_said("loss@4");
    assert_null(strstr(said, "keys")); /* not a model of text */

    /* Neither threads nor a second run nor the way through memory change a byte. */
    regress_options o = options;
    o.update = 1;
    o.threads = 2;
    assert_int_equal(run(&o), PAL_OK);
    char *second = slurp();
    assert_string_equal(first, second);
    baseline b = read_rows();
    assert_int_equal(b.count, ROWS);
    write_rows(&b);
    char *third = slurp();
    assert_string_equal(first, third);
    free(first);
    free(second);
    free(third);
}

static void test_moved(void **state)
{
    (void)state;
    update();
    baseline b = read_rows();
    baseline_row *row = row_of(&b, "text-two", "nll/second");
    row->value = nextafter(row->value, 0);
    write_rows(&b);
    char *before = slurp();
    assert_int_equal(run(&options), PAL_GATE);
    check_error("regress-update");
    assert_int_equal(lines(), 1);
    check_said("MOVED");
    check_said("text-two");
    check_said("nll/second");
    check_said("difference");
    char *after = slurp(); /* the gate itself changes nothing */
    assert_string_equal(before, after);
    free(before);
    free(after);
    update();
    assert_int_equal(run(&options), PAL_OK);
}

static void test_missing(void **state)
{
    (void)state;
    update();
    baseline b = read_rows();
    *row_of(&b, "text-one", "bits_per_byte") = b.row[b.count - 1];
    b.count--;
    baseline_row extra = b.row[0];
    strcpy(extra.name, "text-zero");
    assert_int_equal(baseline_add(&b, &extra, &err), PAL_OK);
    write_rows(&b);
    assert_int_equal(run(&options), PAL_GATE);
    assert_int_equal(lines(), 2);
    check_said("GONE   text-zero");
    check_said("NEW    text-one");
    check_said("baseline missing");
    update(); /* of all models: what is no longer here goes */
    b = read_rows();
    assert_int_equal(b.count, ROWS);
    baseline_free(&b);
}

/* A list of models leaves the rows of others alone. */
static void test_list(void **state)
{
    (void)state;
    update();
    baseline b = read_rows();
    row_of(&b, "text-one", "nll/first")->value *= 2;
    row_of(&b, "text-two", "nll/first")->value *= 2;
    write_rows(&b);
    regress_options o = options;
    strcpy(o.model, "text-two");
    assert_int_equal(run(&o), PAL_GATE);
    assert_int_equal(lines(), 1);
    check_said("text-two");
    o.update = 1;
    assert_int_equal(run(&o), PAL_OK);
    o.update = 0;
    assert_int_equal(run(&o), PAL_OK);
    assert_int_equal(lines(), ROWS - EVALUATED);
    assert_int_equal(run(&options), PAL_GATE);
    assert_int_equal(lines(), 1);
    check_said("text-one");
}

/* A model with another attention has rows of its own, and is not the model itself. */
static void test_attention(void **state)
{
    (void)state;
    update();
    regress_options o = options;
    strcpy(o.model, "text-one,text-one+local:segment=32");
    o.update = 1;
    if (run(&o) != PAL_OK) fail_msg("%s", err.text);
    baseline b = read_rows();
    double own = NAN, other = NAN;
    for (size_t i = 0; i < b.count; i++) {
        if (strcmp(b.row[i].metric, "bits_per_byte") != 0) continue;
        if (strcmp(b.row[i].name, "text-one") == 0) own = b.row[i].value;
        if (strcmp(b.row[i].name, "text-one+local:segment=32") == 0) other = b.row[i].value;
    }
    assert_true(own > 0 && other > 0 && own != other);
    assert_int_equal(b.count, ROWS + EVALUATED);
    baseline_free(&b);
    o.update = 0;
    assert_int_equal(run(&o), PAL_OK);
}

static void test_other_weights(void **state)
{
    (void)state;
    update();
    assert_int_equal(save_model("w/text-one.safetensors", "infini-linear", "perplexity", 9), PAL_OK);
    assert_int_equal(run(&options), PAL_GATE);
    assert_int_equal(lines(), EVALUATED);
    check_said("other weights");
    assert_null(strstr(said, "text-two"));
    assert_int_equal(save_model("w/text-one.safetensors", "infini-linear", "perplexity", 1), PAL_OK);
}

/* Training is held against it too. */
static void test_other_recipe(void **state)
{
    (void)state;
    update();
    regress_options o = options;
    snprintf(o.recipes, sizeof o.recipes, "%s/other.conf", dir);
    assert_int_equal(run(&o), PAL_GATE);
    assert_int_equal(lines(), LOGGED + EVALUATED);
    check_said(REGRESS_TRAINED);
    assert_null(strstr(said, "text-"));
}

static void test_tolerance(void **state)
{
    (void)state;
    const baseline_row evaluated = {"m", "nll/a", 1000, "Here", "aa"}, trained = {"t", "nll/a", 1000, "Here", ""};
    static const struct {
        double evaluated, trained; /* relative differences */
        const char *core;
        baseline_verdict first, second;
    } cases[] = {
        {0, 0, "Here", BASELINE_SAME, BASELINE_SAME},
        {1e-15, 1e-15, "Here", BASELINE_MOVED, BASELINE_MOVED},
        {0, 0, "There", BASELINE_SAME, BASELINE_SAME},
        {0.9e-4, 0.9e-2, "There", BASELINE_SAME, BASELINE_SAME},
        {-0.9e-4, -0.9e-2, "There", BASELINE_SAME, BASELINE_SAME},
        {1.1e-4, 1.1e-2, "There", BASELINE_MOVED, BASELINE_MOVED},
        {-1.1e-4, -1.1e-2, "There", BASELINE_MOVED, BASELINE_MOVED},
        {NAN, NAN, "There", BASELINE_MOVED, BASELINE_MOVED},
        {INFINITY, INFINITY, "There", BASELINE_MOVED, BASELINE_MOVED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        baseline_row a = evaluated, b = trained;
        a.value *= 1 + cases[i].evaluated;
        b.value *= 1 + cases[i].trained;
        strcpy(a.blas_core, cases[i].core);
        strcpy(b.blas_core, cases[i].core);
        assert_int_equal(baseline_judge(&evaluated, &a), cases[i].first);
        assert_int_equal(baseline_judge(&trained, &b), cases[i].second);
    }
    baseline_row other = evaluated;
    strcpy(other.weights, "bb");
    assert_int_equal(baseline_judge(&evaluated, &other), BASELINE_MOVED);
    assert_int_equal(baseline_judge(&evaluated, NULL), BASELINE_GONE);
    assert_int_equal(baseline_judge(NULL, &evaluated), BASELINE_NEW);
}

static void test_bad_file(void **state)
{
    (void)state;
#define HEAD "name,metric,value,blas_core,weights\n"
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"", "not a baseline"},
        {"name,metric\n", "not a baseline"},
        {HEAD "m,nll,1,Core,aa\nm,nll\n", "row 3: 2 fields"},
        {HEAD "m,nll,1,Core,aa,bb\n", "row 2: 6 fields"},
        {HEAD "m,nll,one,Core,aa\n", "row 2: the value"},
        {HEAD "m,nll,,Core,aa\n", "row 2: the value"},
        {HEAD "m,nll,1,Core,aa\nm,nll,2,Core,aa\n", "row 3: m has two rows"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        baseline b;
        assert_int_equal(put("baseline.csv", bad[i].text), PAL_OK);
        assert_int_equal(baseline_read(&b, options.baseline, &err), PAL_DATA);
        check_error(bad[i].words);
    }
    baseline b = {0};
    const baseline_row comma = {"a,b", "nll", 1, "Core", ""};
    assert_int_equal(baseline_add(&b, &comma, &err), PAL_USAGE);
    remove(options.baseline);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_moved),
        cmocka_unit_test(test_missing),       cmocka_unit_test(test_list),
        cmocka_unit_test(test_other_weights), cmocka_unit_test(test_other_recipe),
        cmocka_unit_test(test_tolerance),     cmocka_unit_test(test_bad_file),
        cmocka_unit_test(test_attention),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}

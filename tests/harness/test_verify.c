/* Journals computed again: good ones, altered ones, and where two runs of a model part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/os.h"
#include "harness/base/rng.h"
#include "harness/gate/trace.h"
#include "harness/gate/verify.h"
#include "harness/gate/verify_values.h"
#include "harness/report/live_table.h"
#include "models/attention/attention.h"
#include "models/import/export.h"
#include "tests/lib/tiny_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/palimpsest-verify-XXXXXX";
static char *said; /* what the last run printed */
static pal_error err;

static const char *path_of(const char *name)
{
    static char path[4][128];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[0], "%s/%s", dir, name);
    return path[next];
}

/* ---- Models, texts, journals ---- */

enum { LAYERS = 2, SEGMENT = 16 };

static decoder *make_model(const char *attention, uint64_t seed)
{
    char text[256];
    snprintf(text, sizeof text,
             "attention = %s\nd_model = 16\nn_layers = %d\nn_heads = 1\nd_head = 16\nd_ff = 16\nsegment = %d\n"
             "init_std = 0.3\ntied = 0\n",
             attention, LAYERS, SEGMENT);
    return tiny_model(text, seed);
}

static int save_model(const char *name, const char *attention, uint64_t seed)
{
    return tiny_model_save(path_of(name), make_model(attention, seed), NULL, &err);
}

static int put_document(const char *name, uint64_t seed)
{
    char text[400];
    rng r = rng_make(seed, "letters", 0, 0);
    for (size_t i = 0; i < sizeof text; i++) text[i] = rng_below(&r, 6) ? (char)('a' + rng_below(&r, 8)) : ' ';
    return os_write_file(path_of(name), text, sizeof text, &err);
}

static int make_scratch(void **unused)
{
    (void)unused;
    return !mkdtemp(dir) || os_make_dirs(path_of("w"), &err) || os_make_dirs(path_of("my text/test"), &err) ||
           put_document("my text/test/a.txt", 1) || put_document("my text/test/b.txt", 2) ||
           put_document("my text/test/c.txt", 3) || save_model("w/one.safetensors", "infini-linear", 1) ||
           save_model("w/two.safetensors", "transformer-xl", 2);
}

static int remove_scratch(void **unused)
{
    (void)unused;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    free(said);
    return system(command);
}

/* An eval into results/ with these words, up to NULL. */
static void eval(const char *const *more)
{
    char into[160], weights[160], data[160];
    snprintf(into, sizeof into, "results=%s", path_of("results"));
    snprintf(weights, sizeof weights, "weights=%s", path_of("w"));
    snprintf(data, sizeof data, "data=%s", path_of("my text"));
    char *words[16] = {into, weights, "plots=0", "threads=2"};
    int count = 4;
    for (; *more; more++) words[count++] = strcmp(*more, "data") == 0 ? data : (char *)*more;
    eval_request r;
    FILE *quiet = fopen("/dev/null", "w");
    assert_non_null(quiet);
    int code = eval_request_read(&r, count, words, 1, &err);
    if (code == PAL_OK) {
        code = live_table_run(&r, NULL, quiet, quiet, &err);
        eval_request_free(&r);
    }
    fclose(quiet);
    if (code != PAL_OK) fail_msg("%s", err.text);
}

#define EVAL(...) eval((const char *const[]){__VA_ARGS__, NULL})

/* A journal of perplexities alone, anew. */
static void make_journal(void)
{
    char command[160];
    snprintf(command, sizeof command, "rm -rf '%s'", path_of("results"));
    assert_int_equal(system(command), 0);
    EVAL("task=perplexity", "data", "memory=both");
}

static verify_options defaults(void)
{
    verify_options o = {.k = 1000, .seed = 1, .threads = 2, .trace = 64};
    strcpy(o.results, path_of("results"));
    strcpy(o.weights, path_of("w"));
    return o;
}

static int run(const verify_options *o)
{
    free(said);
    size_t size;
    FILE *out = open_memstream(&said, &size);
    assert_non_null(out);
    const int code = verify_run(o, out, &err);
    fclose(out);
    return code;
}

static size_t count_said(const char *words)
{
    size_t count = 0;
    for (const char *at = said; (at = strstr(at, words)); at++) count++;
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

/* Copying a journal, one of whose values is another. */
typedef struct forger {
    journal *out;
    int64_t line; /* of the record to alter */
    const char *key;
} forger;

static int forge(void *arg, const char *line, size_t size, int64_t number, pal_error *e)
{
    const forger *f = arg;
    char *object = strndup(line, size);
    assert_non_null(object);
    strcpy(strstr(object, ",\"crc32\""), "}");
    if (number == f->line) {
        char *value = strstr(object, f->key);
        assert_non_null(value);
        value += strlen(f->key);
        *value = *value == '1' ? '2' : '1'; /* its first digit */
    }
    const int code = journal_append(f->out, object, e);
    free(object);
    return code;
}

static void alter_journal(int64_t line, const char *key)
{
    size_t cut;
    forger f = {.line = line, .key = key};
    const char *path = path_of("results/perplexity-journal.jsonl"), *forged = path_of("forged.jsonl");
    unlink(forged);
    assert_int_equal(journal_open(&f.out, forged, NULL, NULL, &cut, &err), PAL_OK);
    assert_int_equal(journal_read(path, forge, &f, &err), PAL_OK);
    journal_close(f.out);
    assert_int_equal(rename(forged, path), 0);
}

/* The first line of the journal that is a sample of this model. */
typedef struct finder {
    const char *model;
    int64_t line;
} finder;

static int find_line(void *arg, const char *line, size_t size, int64_t number, pal_error *e)
{
    (void)size, (void)e;
    finder *f = arg;
    if (!f->line && strstr(line, "\"kind\":\"sample\"") && strstr(line, f->model)) f->line = number;
    return PAL_OK;
}

static int64_t sample_line(const char *model)
{
    finder f = {.model = model};
    assert_int_equal(journal_read(path_of("results/perplexity-journal.jsonl"), find_line, &f, &err), PAL_OK);
    assert_true(f.line > 0);
    return f.line;
}

/* ---- Tests ---- */

static void test_good(void **state)
{
    (void)state;
    make_journal();
    verify_options o = defaults();
    if (run(&o) != PAL_OK) fail_msg("%s\n%s", err.text, said);
    assert_int_equal(count_said("\nsame "), 12); /* 2 models, memory kept and zeroed, 3 documents; no compressor */
    assert_int_equal(count_said("memory zeroed"), 6);
    o.threads = 1;
    assert_int_equal(run(&o), PAL_OK);

    /* Prompts that are continued, in cells that were asked for again with more samples. */
    EVAL("task=passkey", "len=700", "depths=0,100", "n=1");
    EVAL("task=passkey", "len=700", "depths=0,100", "n=2");
    strcpy(o.task, "passkey");
    if (run(&o) != PAL_OK) fail_msg("%s\n%s", err.text, said);
    assert_int_equal(count_said("\nsame "), 8);
    strcpy(o.task, "");
    assert_int_equal(run(&o), PAL_OK);
    assert_int_equal(count_said("\nsame "), 20);
}

static void test_drawn(void **state)
{
    (void)state;
    make_journal();
    verify_options o = defaults();
    o.k = 3;
    assert_int_equal(run(&o), PAL_OK);
    assert_int_equal(count_said("\nsame "), 3);
    char *first = strdup(said);
    assert_int_equal(run(&o), PAL_OK);
    assert_string_equal(first, said);
    int others = 0;
    for (o.seed = 2; o.seed < 6; o.seed++) {
        assert_int_equal(run(&o), PAL_OK);
        assert_int_equal(count_said("\nsame "), 3);
        others += strcmp(first, said) != 0;
    }
    assert_true(others > 0);
    free(first);
}

static void test_altered(void **state)
{
    (void)state;
    static const char *const keys[] = {"\"nll\":", "\"tokens@256\":"};
    for (size_t i = 0; i < 2; i++) {
        make_journal();
        alter_journal(sample_line("\"two\""), keys[i]);
        verify_options o = defaults();
        assert_int_equal(run(&o), PAL_GATE);
        check_error("1 of 12");
        assert_int_equal(count_said("\nsame "), 11);
        check_said("DIFFERENT perplexity  two");
        check_said("1 of 30 values");
        check_said(i == 0 ? "\n  nll: journal" : "\n  tokens@256: journal");
        check_said("1 and 2 threads agree in every layer over the first 64 tokens");
    }
}

/* What is not here is skipped and counted; where nothing is left, nobody can tell. */
static void test_missing(void **state)
{
    (void)state;
    make_journal();
    verify_options o = defaults();
    assert_int_equal(rename(path_of("w/two.safetensors"), path_of("w/elsewhere")), 0);
    assert_int_equal(run(&o), PAL_OK);
    assert_int_equal(count_said("\nsame "), 6);
    assert_int_equal(count_said("\nskipped "), 6);
    check_said("6 samples were skipped");
    check_said("weights=DIRECTORY");
    /* Other weights of that name are not those. */
    assert_int_equal(save_model("w/two.safetensors", "transformer-xl", 3), PAL_OK);
    assert_int_equal(run(&o), PAL_OK);
    assert_int_equal(count_said("\nskipped "), 6);
    /* Their own under another name are. */
    assert_int_equal(rename(path_of("w/elsewhere"), path_of("w/again.safetensors")), 0);
    assert_int_equal(run(&o), PAL_OK);
    assert_int_equal(count_said("\nsame "), 12);
    assert_int_equal(rename(path_of("w/again.safetensors"), path_of("w/two.safetensors")), 0);
    strcpy(o.weights, path_of("nowhere"));
    assert_int_equal(run(&o), PAL_UNSURE);
    check_error("all 12 samples were skipped");

    /* A corpus that is not here; one that is another is no longer the journal's. */
    o = defaults();
    assert_int_equal(rename(path_of("my text"), path_of("no text")), 0);
    assert_int_equal(run(&o), PAL_UNSURE);
    EVAL("task=passkey", "len=700", "depths=0", "n=1");
    assert_int_equal(run(&o), PAL_OK);
    assert_int_equal(count_said("\nsame "), 2);
    assert_int_equal(rename(path_of("no text"), path_of("my text")), 0);
    assert_int_equal(put_document("my text/test/b.txt", 7), PAL_OK);
    assert_int_equal(run(&o), PAL_DATA);
    check_error("texts are no longer the journal's");
    assert_int_equal(put_document("my text/test/b.txt", 2), PAL_OK);
    assert_int_equal(run(&o), PAL_OK);
}

/* The journal as if another BLAS core had made it. */
static int other_core(void *arg, const char *line, size_t size, int64_t number, pal_error *e)
{
    (void)number;
    const forger *f = arg;
    char *object = malloc(size + 64), *core;
    assert_non_null(object);
    strcpy(object, line);
    strcpy(strstr(object, ",\"crc32\""), "}");
    core = strstr(object, "\"blas_core\":\"");
    if (core && !strstr(core, "\"none\"")) {
        core += strlen("\"blas_core\":\"");
        char *rest = strdup(strchr(core, '"'));
        assert_non_null(rest);
        strcpy(stpcpy(core, "Elsewhere"), rest);
        free(rest);
    }
    const int code = journal_append(f->out, object, e);
    free(object);
    return code;
}

static void move_journal(void)
{
    size_t cut;
    forger f = {0};
    const char *path = path_of("results/perplexity-journal.jsonl"), *forged = path_of("forged.jsonl");
    unlink(forged);
    assert_int_equal(journal_open(&f.out, forged, NULL, NULL, &cut, &err), PAL_OK);
    assert_int_equal(journal_read(path, other_core, &f, &err), PAL_OK);
    journal_close(f.out);
    assert_int_equal(rename(forged, path), 0);
}

static void test_other_core(void **state)
{
    (void)state;
    make_journal();
    move_journal();
    verify_options o = defaults();
    assert_int_equal(run(&o), PAL_OK); /* as it happens, the same bits */
    assert_int_equal(count_said("\nsame "), 12);
    /* A first digit that differs is no matter of cores; nor is a count. */
    static const char *const keys[] = {"\"nll\":", "\"tokens@256\":"};
    for (size_t i = 0; i < 2; i++) {
        make_journal();
        move_journal();
        alter_journal(sample_line("\"two\""), keys[i]);
        assert_int_equal(run(&o), PAL_GATE);
        check_said("DIFFERENT perplexity  two");
    }
}

static void test_tolerance(void **state)
{
    (void)state;
    const task_module *task = task_find("passkey");
    double then[TASK_VALUES] = {0.4, 0, 0, 5.1254620175825832}, now[TASK_VALUES] = {0.4, 0, 0, 5.1254614353179928};
    assert_int_equal(values_agree(task, then, then, 1).verdict, VALUES_SAME);
    assert_int_equal(values_agree(task, then, now, 1).verdict, VALUES_NEAR);
    assert_int_equal(values_agree(task, then, now, 0).verdict, VALUES_DIFFERENT); /* on one core bits are bits */
    now[0] = 0.6; /* a digit went the other way at a tie */
    const value_agreement tie = values_agree(task, then, now, 1);
    assert_int_equal(tie.verdict, VALUES_NEAR);
    assert_int_equal(tie.choices, 1);
    now[3] = 5.13;
    assert_int_equal(values_agree(task, then, now, 1).verdict, VALUES_DIFFERENT);
    now[3] = NAN;
    assert_int_equal(values_agree(task, then, now, 1).verdict, VALUES_DIFFERENT);
    then[3] = NAN;
    now[0] = then[0];
    assert_int_equal(values_agree(task, then, now, 0).verdict, VALUES_SAME); /* one null for both */
}

static void test_nothing(void **state)
{
    (void)state;
    make_journal();
    verify_options o = defaults();
    strcpy(o.task, "passkey");
    assert_int_equal(run(&o), PAL_USAGE);
    check_error("no journal of task passkey");
    strcpy(o.task, "nonsense");
    assert_int_equal(run(&o), PAL_USAGE);
    o = defaults();
    strcpy(o.results, path_of("nowhere"));
    assert_int_equal(run(&o), PAL_USAGE);
    /* Only announced. */
    assert_int_equal(truncate(path_of("results/perplexity-journal.jsonl"), 0), 0);
    o = defaults();
    assert_int_equal(run(&o), PAL_USAGE);
    check_error("none is finished");
}

/* ---- Where runs part ---- */

enum { TOKENS = 4 * SEGMENT - 5, LATE = 200 };

typedef struct pair {
    decoder *d[2];
    pool *threads[2];
    int32_t tokens[TOKENS];
} pair;

/* Two models of the same weights, one with one thread and one with two; token LATE comes first in segment 2. */
static void open_pair(pair *p, const char *attention)
{
    for (int i = 0; i < 2; i++) {
        p->d[i] = make_model(attention, 5);
        assert_non_null(p->d[i]);
        assert_int_equal(pool_create(&p->threads[i], i + 1, &err), PAL_OK);
    }
    for (int i = 0; i < TOKENS; i++) p->tokens[i] = i * 7 % 100;
    p->tokens[2 * SEGMENT + 3] = LATE;
}

static void close_pair(pair *p)
{
    for (int i = 0; i < 2; i++) {
        decoder_destroy(p->d[i]);
        pool_destroy(p->threads[i]);
    }
}

static trace_difference trace(const pair *p)
{
    const trace_side side[2] = {{p->d[0], p->threads[0]}, {p->d[1], p->threads[1]}};
    trace_difference where;
    assert_int_equal(trace_compare(side, p->tokens, TOKENS, &where, &err), PAL_OK);
    return where;
}

/* Set one weight of the second model, NAN: to something near; returns what it was. */
static real nudge(pair *p, const char *name, size_t element, real value)
{
    for (size_t i = 0; i < decoder_param_count(p->d[1]); i++) {
        const decoder_param *param = decoder_param_at(p->d[1], i);
        if (strcmp(param->name, name) != 0) continue;
        real *at = decoder_weights(p->d[1]) + param->offset + element;
        const real was = *at;
        *at = isnan(value) ? was * (real)1.01 + (real)0.01 : value;
        return was;
    }
    fail_msg("no parameter %s", name);
    return 0;
}

static void test_trace(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t element, segment, stage;
    } cases[] = {
        {"word_emb.emb_layers.0.weight", LATE * 16 + 1, 2, 0},
        {"layers.0.pos_ff.CoreNet.3.bias", 3, 0, 1},
        {"layers.1.dec_attn.o_net.weight", 5, 0, LAYERS},
        {"final_norm.bias", 2, 0, LAYERS + 1},
    };
    static const char *const modules[] = {"infini-linear", "transformer-xl"};
    for (size_t m = 0; m < 2; m++) {
        pair p;
        open_pair(&p, modules[m]);
        assert_false(trace(&p).found);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const real was = nudge(&p, cases[i].name, cases[i].element, NAN);
            const trace_difference where = trace(&p);
            assert_true(where.found);
            assert_int_equal(where.segment, cases[i].segment);
            assert_int_equal(where.stage, cases[i].stage);
            assert_string_not_equal(where.hash[0], where.hash[1]);
            nudge(&p, cases[i].name, cases[i].element, was);
        }
        assert_false(trace(&p).found);
        close_pair(&p);
    }
}

/* The binary, on whatever products the processor is best at: a suite's own core may be chosen already. */
static int binary(const char *words)
{
    const char *program = getenv("PALIMPSEST") ? getenv("PALIMPSEST") : "build/palimpsest";
    char command[900];
    snprintf(command, sizeof command, "env -u OPENBLAS_CORETYPE '%s' %s >'%s' 2>&1", program, words,
             path_of("said"));
    const int status = system(command);
    size_t size;
    free(said);
    assert_int_equal(os_read_file(path_of("said"), &said, &size, &err), PAL_OK);
    return WEXITSTATUS(status);
}

/* Where wide weights have products of their own (AMX), a journal from here is not one of another core. */
static void test_wide_weights(void **state)
{
    (void)state;
    char words[700];
    assert_int_equal(os_make_dirs(path_of("wide"), &err), PAL_OK);
    assert_int_equal(tiny_model_save(path_of("wide/wide.safetensors"),
                                     tiny_model("attention = local\nd_model = 320\nn_layers = 1\nn_heads = 1\n"
                                                "d_head = 16\nd_ff = 320\nsegment = 16\n",
                                                4),
                                     NULL, &err),
                     PAL_OK);
    snprintf(words, sizeof words, "rm -rf '%s'", path_of("results"));
    assert_int_equal(system(words), 0);
    snprintf(words, sizeof words, "eval perplexity weights=%s 'data=%s' results=%s plots=0 references=0",
             path_of("wide"), path_of("my text"), path_of("results"));
    if (binary(words) != PAL_OK) fail_msg("%s", said);
    snprintf(words, sizeof words, "verify weights=%s results=%s", path_of("wide"), path_of("results"));
    if (binary(words) != PAL_OK) fail_msg("%s", said);
    alter_journal(sample_line("wide"), "\"nll\":");
    assert_int_equal(binary(words), PAL_GATE);
    check_said("the journal was made by another build");
}

/* A model of another program is found by its digest too: a folder among others, or the place that is named. */
static void test_foreign_weights(void **state)
{
    (void)state;
    static const char llama[] =
        "attention = full\ncontext = 1K\nvocab = 256\nd_model = 16\nn_layers = 2\nn_heads = 2\nd_head = 8\n"
        "d_ff = 24\nsegment = 64\nnorm = rms\nfeed_forward = gated\nactivation = silu\nff_bias = 0\n"
        "init_std = 0.2\n";
    const export_options bf16 = {.dtype = ST_BF16, .begin = -1, .end = -1}, f32 = {.begin = -1, .end = -1};
    char model[160], command[160];
    for (int i = 0; i < 2; i++) {
        decoder *d = tiny_model(llama, 5);
        if (export_huggingface(d, path_of(i ? "w/b" : "w/a"), i ? &f32 : &bf16, &err) != PAL_OK)
            fail_msg("%s", err.text);
        decoder_destroy(d);
    }
    snprintf(command, sizeof command, "rm -rf '%s'", path_of("results"));
    assert_int_equal(system(command), 0);
    snprintf(model, sizeof model, "model=%s,%s+local:segment=32", path_of("w/a"), path_of("w/b"));
    EVAL("task=perplexity", "data", model, "tokenizer=bytes", "hold=bf16", "references=0");
    verify_options o = defaults();
    strcpy(o.tokenizer, "bytes");
    if (run(&o) != PAL_OK) fail_msg("%s\n%s", err.text, said);
    assert_int_equal(count_said("\nsame "), 6);
    strcpy(o.weights, path_of("w/b"));
    if (run(&o) != PAL_OK) fail_msg("%s\n%s", err.text, said);
    assert_int_equal(count_said("\nsame "), 3);
    assert_int_equal(count_said("\nskipped "), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),         cmocka_unit_test(test_drawn),
        cmocka_unit_test(test_altered),      cmocka_unit_test(test_missing),
        cmocka_unit_test(test_other_core),   cmocka_unit_test(test_tolerance),
        cmocka_unit_test(test_nothing),      cmocka_unit_test(test_trace),
        cmocka_unit_test(test_wide_weights), cmocka_unit_test(test_foreign_weights),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}

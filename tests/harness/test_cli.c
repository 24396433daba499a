/* The binary itself: exit codes and messages, and evaluations from weights to CSV. PALIMPSEST names the binary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/program.h"

#include <glob.h>
#include <signal.h>

/* ---- Refusals ---- */

static void test_commands(void **state)
{
    (void)state;
    check_refusal(PAL_USAGE, run((const char *const[]){NULL}), "help");
    check_refusal(PAL_USAGE, RUN("frobnicate"), "help");
    check_refusal(PAL_USAGE, RUN("help", "frobnicate"), "help");
    check_success(RUN("help"));
    check_output_has("1K = 1024 tokens");
    check_refusal(PAL_USAGE, RUN("evla"), "did you mean eval?");
    check_success(RUN("list", weights_word));
    check_output_has("transformer-xl  ");
    check_success(RUN("list", "models", weights_word, "--format=csv"));
    check_output_has("name,attention,task,parameters,state_bytes,sha256\n");
    check_output_has("infini-linear,infini-linear,,");
    check_success(RUN("plan", weights_word, "len=1K", "n=2"));
    check_output_has("infini-linear");
    check_output_has("in all");
}

static void test_bad_values(void **state)
{
    (void)state;
    static const struct {
        const char *word, *named;
    } bad[] = {
        {"len=12Q", "len=12Q"},
        {"len=", "len="},
        {"len=10", "len=10"},
        {"n=-1", "n=-1"},
        {"n=ten", "n=ten"},
        {"model=nope", "list models"},
        {"model=no/such.safetensors", "no/such.safetensors"},
        {"task=nope", "passkey"},
        {"depths=101", "depths=101"},
        {"depths=5,5", "twice"},
        {"deptsh=5", "deptsh"},
        {"batch=0", "batch=0"},
        {"threads=99", "threads"},
        {"nonsense", "task=nonsense"},
        {"--frobnicate", "frobnicate"},
        {"-x", "two dashes"},
        {"results=", "results="},
        {"weights=/nowhere", "/nowhere"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_refusal(PAL_USAGE, RUN("eval", weights_word, results_word("none"), "len=1K", bad[i].word),
                      bad[i].named);
        check_refusal(PAL_USAGE, RUN("plan", weights_word, "len=1K", bad[i].word), bad[i].named);
    }
    assert_false(os_file_exists(path_of("none"))); /* refused before anything was made */
    check_refusal(PAL_INTERNAL, RUN("eval", weights_word, "results=/proc/none", "len=1K", "n=1"), "results=");
}

/* One flipped byte anywhere in the weights is noticed before any work. */
static void test_flipped_byte(void **state)
{
    (void)state;
    char *data;
    size_t size;
    assert_int_equal(os_read_file(path_of("w/infini-linear.safetensors"), &data, &size, &err), PAL_OK);
    char word[160];
    snprintf(word, sizeof word, "model=%s", path_of("flipped.safetensors"));
    for (size_t at = 0; at < size; at += size / 7) {
        data[at] ^= 0x10;
        assert_int_equal(os_write_file(path_of("flipped.safetensors"), data, size, &err), PAL_OK);
        data[at] ^= 0x10;
        check_refusal(PAL_DATA, RUN("eval", word, results_word("none"), "len=1K", "n=1"), "flipped.safetensors");
    }
    free(data);
    assert_false(os_file_exists(path_of("none")));
}

/* A model that cannot hold the stream: alone it is an error, beside others it is left out, and that is said. */
static void test_too_short(void **state)
{
    (void)state;
    char alone[160], beside[160];
    snprintf(alone, sizeof alone, "model=%s", path_of("full.safetensors"));
    snprintf(beside, sizeof beside, "model=infini-linear,%s", path_of("full.safetensors"));
    check_refusal(PAL_USAGE, RUN("eval", weights_word, alone, results_word("short"), "len=8K", "n=1"),
                  "4K tokens");
    check_success(
        RUN("eval", weights_word, beside, results_word("short"), "len=8K", "depths=0", "n=1", "plots=0"));
    check_output_has("skipped: full holds at most 4K tokens");
}

/* ---- Evaluations ---- */

#define CELLS "len=700,1K", "depths=0,50,100", "n=3", "plots=0"

static void check_same_file(const char *a, const char *b)
{
    char *x = slurp(path_of(a)), *y = slurp(path_of(b));
    assert_string_equal(x, y);
    free(x);
    free(y);
}

static void test_same_bytes(void **state)
{
    (void)state;
    check_success(RUN("eval", weights_word, results_word("a"), CELLS, "threads=1", "batch=1"));
    check_output_has("transformer-xl");
    check_success(RUN("eval", weights_word, results_word("b"), CELLS, "threads=2", "batch=1"));
    check_success(RUN("eval", weights_word, results_word("c"), CELLS, "threads=2", "batch=8"));
    check_success(RUN("eval", weights_word, results_word("d"), CELLS, "threads=1", "batch=4", "share=0"));
    /* In pieces and in another order; the same cells in the end. */
    check_success(RUN("eval", weights_word, results_word("e"), "model=transformer-xl", "len=1K", "depths=50,0",
                      "n=1", "plots=0"));
    check_success(RUN("eval", weights_word, results_word("e"), CELLS));
    static const char *const others[] = {"b", "c", "d", "e"};
    for (size_t i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s/passkey-cells.csv", others[i]);
        check_same_file("a/passkey-cells.csv", name);
    }
}

/* Asked again, it computes nothing: the journal stays as it is, and so does every file made from it. */
static void test_rerun(void **state)
{
    (void)state;
    static const char *const files[] = {"journal.jsonl", "cells.csv", "cost.csv", "table.md"};
    char *before[4];
    char name[64];
    check_success(RUN("eval", weights_word, results_word("again"), CELLS));
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "again/passkey-%s", files[i]);
        before[i] = slurp(path_of(name));
    }
    check_success(RUN("eval", weights_word, results_word("again"), CELLS));
    check_output_has("samples to do 0");
    unlink(path_of("again/passkey-table.md"));
    check_success(RUN("report", results_word("again"), "plots=0"));
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "again/passkey-%s", files[i]);
        char *after = slurp(path_of(name));
        assert_string_equal(before[i], after);
        free(after);
        free(before[i]);
    }
    /* Fewer samples of the same cells: still nothing to do. More: only what is new. */
    check_success(RUN("eval", weights_word, results_word("again"), CELLS, "n=2"));
    check_output_has("samples to do 0");
    check_success(RUN("eval", weights_word, results_word("again"), CELLS, "n=4", "model=infini-linear"));
    check_output_has("samples to do 6,");
    /* Another seed is another run. */
    check_success(RUN("eval", weights_word, results_word("again"), CELLS, "seed=2", "model=infini-linear"));
    check_output_has("samples to do 18,");
}

static int64_t journal_lines(const char *path)
{
    if (!os_file_exists(path)) return 0;
    char *text = slurp(path);
    int64_t lines = 0;
    for (const char *c = text; *c; c++) lines += *c == '\n';
    free(text);
    return lines;
}

/* kill -9 at random moments, then run again: the CSV of a run that was left alone. */
static void test_kill(void **state)
{
    (void)state;
    const char *const words[] = {
        "eval",      weights_word, results_word("killed"), "len=2K", "depths=0,100", "n=10", "plots=0", "batch=2",
        "threads=1", NULL};
    const char *const reference[] = {
        "eval", weights_word, results_word("whole"), "len=2K", "depths=0,100", "n=10", "plots=0", NULL};
    check_success(run(reference));
    const char *journal = "killed/passkey-journal.jsonl";
    rng draw = rng_make(5, "kill", 0, 0);
    int64_t lines = 0;
    int kills = 0;
    for (int round = 0; round < 6; round++) {
        const pid_t child = start(words);
        int status = 0, ended = 0;
        /* Once it has got a little further, kill it a random moment later. */
        for (int wait = 0; wait < 20000 && !ended && journal_lines(path_of(journal)) < lines + 4; wait++) {
            usleep(1000);
            ended = waitpid(child, &status, WNOHANG) == child;
        }
        if (!ended) {
            usleep(rng_below(&draw, 20000));
            kill(child, SIGKILL);
            assert_int_equal(waitpid(child, &status, 0), child);
        }
        kills += WIFSIGNALED(status);
        lines = journal_lines(path_of(journal));
    }
    assert_true(kills >= 2);
    check_success(run(words));
    check_same_file("whole/passkey-cells.csv", "killed/passkey-cells.csv");
}

/* ---- Whole documents ---- */

static const char *texts_word(void)
{
    static char word[96];
    snprintf(word, sizeof word, "data=%s/sea", scratch);
    return word;
}

static void test_bad_texts(void **state)
{
    (void)state;
    check_refusal(PAL_USAGE, RUN("eval", "task=perplexity", weights_word, results_word("none"), "data=no-such"),
                  "neither no-such nor");
    check_refusal(PAL_DATA,
                  RUN("eval", "task=perplexity", weights_word, results_word("none"), texts_word(), "split=train"),
                  "train");
    check_refusal(
        PAL_DATA,
        RUN("eval", "task=perplexity", weights_word, results_word("none"), texts_word(), "tokenizer=/no/such"),
        "/no/such");
    check_refusal(PAL_USAGE,
                  RUN("eval", "task=perplexity", weights_word, results_word("none"), texts_word(), "len=1K"),
                  "len");
    assert_false(os_file_exists(path_of("none")));
}

#define TEXTS "eval", "task=perplexity", weights_word, texts_word(), "plots=0", "memory=both"

static void test_texts(void **state)
{
    (void)state;
    check_success(RUN("plan", "task=perplexity", weights_word, texts_word(), "memory=both"));
    check_output_has(", memory zeroed");
    check_success(RUN(TEXTS, results_word("t1"), "threads=1", "batch=1"));
    check_output_has("infini-linear, memory zeroed");
    check_output_has("gzip -9");
    check_success(RUN(TEXTS, results_word("t2"), "threads=2", "batch=3", "share=0"));
    check_success(RUN(TEXTS, results_word("t3"), "docs=2", "checkpoint=0", "model=transformer-xl"));
    check_success(RUN(TEXTS, results_word("t3"), "checkpoint=0.001"));
    check_same_file("t1/perplexity-cells.csv", "t2/perplexity-cells.csv");
    check_same_file("t1/perplexity-cells.csv", "t3/perplexity-cells.csv");
    check_same_file("t1/perplexity-paired.csv", "t3/perplexity-paired.csv");
    check_success(RUN(TEXTS, results_word("t3")));
    check_output_has("samples to do 0");
    char *table = slurp(path_of("t1/perplexity-table.md"));
    assert_non_null(strstr(table, "## sea/test\n"));
    assert_non_null(strstr(table, "4 documents, 52200 bytes, 52200 tokens"));
    free(table);
    /* Other texts under the same name are another run. */
    check_success(RUN(TEXTS, results_word("t3"), "max_tokens=100", "references=0"));
    check_output_has("samples to do 16,");
}

/* Whether any sample has a checkpoint in the results. */
static int has_partial(const char *results)
{
    char pattern[160];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/.partial/*.state", path_of(results));
    const int there = glob(pattern, 0, NULL, &found) == 0;
    globfree(&found);
    return there;
}

/* kill -9 inside a long sample, many times over: it goes on where it was, and the bits are those of a run that was
 * left alone. A checkpoint that is no longer whole costs one line. */
static void test_kill_inside(void **state)
{
    (void)state;
    static const char *const which = "model=infini-linear";
    const char *const words[] = {
        "eval",      "task=perplexity", weights_word,       texts_word(),           "plots=0", which, "batch=2",
        "threads=1", "references=0",    "checkpoint=0.001", results_word("inside"), NULL};
    check_success(RUN("eval", "task=perplexity", weights_word, texts_word(), "plots=0", which, "references=0",
                      results_word("outside")));
    rng draw = rng_make(6, "kill", 0, 0);
    int inside = 0;
    for (int round = 0; round < 8; round++) {
        const pid_t child = start(words);
        int status = 0, ended = 0;
        for (int wait = 0; wait < 20000 && !ended && !has_partial("inside"); wait++) {
            usleep(500);
            ended = waitpid(child, &status, WNOHANG) == child;
        }
        if (ended) break;
        if (round % 2) usleep(rng_below(&draw, 30000)); /* at once is where a fast machine is inside for sure */
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        inside += has_partial("inside");
    }
    assert_true(inside >= 1);
    check_success(run(words));
    check_same_file("outside/perplexity-cells.csv", "inside/perplexity-cells.csv");
    assert_false(has_partial("inside"));
}

/* OpenBLAS takes a processor that it does not know for one of 2004; the command then starts over with the kernels
 * that the processor has. What the environment says is left alone. */
static void test_core(void **state)
{
    (void)state;
    const char *const words[] = {"eval",    weights_word, results_word("core"), "len=1K", "depths=0", "n=1",
                                 "plots=0", NULL};
    const char *was = getenv("OPENBLAS_CORETYPE");
    char *kept = was ? strdup(was) : NULL;
    assert_int_equal(setenv("OPENBLAS_CORETYPE", "Prescott", 1), 0);
    check_success(run(words));
    check_output_has("BLAS core Prescott");
    assert_int_equal(unsetenv("OPENBLAS_CORETYPE"), 0);
    check_success(run(words));
#ifdef __x86_64__
    char *text = slurp(out_path);
    if (__builtin_cpu_supports("avx2") && strstr(text, "BLAS core Prescott"))
        fail_msg("kernels of 2004 on a processor with AVX2:\n%s", text);
    free(text);
#endif
    if (kept) assert_int_equal(setenv("OPENBLAS_CORETYPE", kept, 1), 0);
    free(kept);
}

/* Two runs on one journal: the second is refused, the first is not disturbed. */
static void test_two_runs(void **state)
{
    (void)state;
    const char *const words[] = {"eval",     weights_word, results_word("two"), "len=8K",
                                 "depths=0", "n=20",       "plots=0",           NULL};
    const pid_t child = start(words);
    for (int wait = 0; wait < 20000 && journal_lines(path_of("two/passkey-journal.jsonl")) < 1; wait++)
        usleep(1000);
    check_refusal(PAL_USAGE, run(words), "in use by another run");
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_damaged_journal(void **state)
{
    (void)state;
    const char *journal = path_of("damaged/passkey-journal.jsonl");
    check_success(RUN("eval", weights_word, results_word("damaged"), "len=700", "n=1", "plots=0"));
    char *data;
    size_t size;
    assert_int_equal(os_read_file(journal, &data, &size, &err), PAL_OK);
    data[size / 2] ^= 1;
    assert_int_equal(os_write_file(journal, data, size, &err), PAL_OK);
    check_refusal(PAL_DATA, RUN("eval", weights_word, results_word("damaged"), "len=700", "n=1"),
                  "journal.jsonl:");
    data[size / 2] ^= 1;
    assert_int_equal(os_write_file(journal, data, size - 9, &err), PAL_OK); /* a torn tail is no reason to stop */
    check_success(RUN("eval", weights_word, results_word("damaged"), "len=700", "n=1", "plots=0"));
    check_output_has("samples to do 1,");
    free(data);
}

/* Norm and difference of a part of layer 0 in an imprint's CSV. */
static void imprint_of(const char *csv, const char *model, int length, const char *part, double out[2])
{
    for (const char *line = csv; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char name[40], of[40];
        int tokens, layer;
        if (sscanf(line, "%39[^,],%*[^,],%d,%*d,%*d,%d,%39[^,],%*d,%lf,%lf", name, &tokens, &layer, of, &out[0],
                   &out[1]) == 6 &&
            strcmp(name, model) == 0 && tokens == length && layer == 0 && strcmp(of, part) == 0)
            return;
    }
    fail_msg("no row of %s at %d for %s in:\n%s", model, length, part, csv);
}

/* In layer 0 the linear rule adds the same for a token wherever it stands: z grows with the text, and the needle's
 * part of M falls as M grows. Of what Transformer-XL's cache has lost nothing is left. */
static void test_imprint(void **state)
{
    (void)state;
    const char *const len = "len=1K,4K";
    check_success(RUN("imprint", weights_word, results_word("i1"), len, "n=2", "depths=0", "threads=1"));
    check_success(RUN("imprint", weights_word, results_word("i2"), len, "n=2", "depths=0", "threads=2"));
    check_same_file("i1/passkey-imprint.csv", "i2/passkey-imprint.csv");
    char *csv = slurp(path_of("i1/passkey-imprint.csv"));
    double z[2][2], m[2][2], cache[2];
    for (int i = 0; i < 2; i++) {
        imprint_of(csv, "infini-linear", i ? 4096 : 1024, "z", z[i]);
        imprint_of(csv, "infini-linear", i ? 4096 : 1024, "M", m[i]);
    }
    imprint_of(csv, "transformer-xl", 1024, "state", cache);
    assert_true(z[1][0] > 3.5 * z[0][0] && z[1][0] < 5.5 * z[0][0]);
    assert_true(m[0][1] > 0 && m[1][1] > 0);
    const double left = m[1][1] * m[1][0] / (m[0][1] * m[0][0]); /* the difference itself stays */
    assert_true(left > 0.7 && left < 1.4);
    assert_true(m[1][0] > 2 * m[0][0]);
    assert_true(cache[0] > 0 && cache[1] == 0);
    free(csv);
    check_refusal(PAL_USAGE, RUN("imprint", weights_word, results_word("i3"), "task=perplexity"), "no needle");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_flipped_byte),
        cmocka_unit_test(test_too_short),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_rerun),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_bad_texts),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_kill_inside),
        cmocka_unit_test(test_core),
        cmocka_unit_test(test_two_runs),
        cmocka_unit_test(test_damaged_journal),
        cmocka_unit_test(test_imprint),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}

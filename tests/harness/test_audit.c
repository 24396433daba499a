/* Verdicts of every rule on made-up journals, and the gate on committed verdicts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/gate/judgement.h"
#include "models/decoder/config_keys.h"
#include "models/files/checkpoint.h"

#include <math.h>
#include <sys/stat.h>

#include "tests/lib/journal_lab.h"

/* ---- Claims as text ---- */

static const char *write_text(const char *name, const char *text)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(os_write_file(path, text, strlen(text), &err), PAL_OK);
    return path;
}

#define HEAD "source = s\nclaim = c\ndiffers = d\n"

static audit_finding judge(const char *body, const char *weights)
{
    char text[2000];
    audit a;
    evidence e;
    snprintf(text, sizeof text, "[x]\n" HEAD "%s\n", body);
    if (audit_read(&a, write_text("claims.conf", text), &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(evidence_read(&e, task_table, dir, &err), PAL_OK);
    if (audit_judge(&a, &e, weights, &err) != PAL_OK) fail_msg("%s", err.text);
    audit_finding f = a.finding[0];
    a.finding[0].evidence = NULL; /* the caller's now */
    audit_free(&a);
    evidence_free(&e);
    return f;
}

static void check_verdict(const char *body, audit_verdict expected, const char *evidence_word)
{
    const audit_finding f = judge(body, dir);
    if (f.verdict != expected || !strstr(f.evidence, evidence_word))
        fail_msg("%s\nis %s (expected %s with \"%s\"):\n%s", body, audit_verdict_name[f.verdict],
                 audit_verdict_name[expected], evidence_word, f.evidence);
    free(f.evidence);
}

static void test_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
    } bad[] = {
        {"model = a\n", ":1: a line before"},
        {"# nothing\n", "no [claim]"},
        {"[one]\n" HEAD "rule = formula\nmodel = a\nagainst = b\n[one]\n", ":8: the section [one] is already at"},
        {"\n[one]\n" HEAD "rule = formula\nmodel = a\n", ":2: claim one lacks against"},
        {"[one]\n" HEAD "rule = best\n", ":5"},
        {"[one]\n" HEAD "colour = red\n", ":5: colour is no key"},
        {"[One]\n", ":1: \"One\" cannot name"},
        {"[one\n", ":1: a line before"},
        {"[one]\n" HEAD "rule = at_least\ntask = passkey\nmetric = m\nmodel = a\n", "lacks cells or lengths"},
    };
    audit a;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const int code = audit_read(&a, write_text("claims.conf", bad[i].text), &err);
        if (code == PAL_OK || !strstr(err.text, bad[i].word))
            fail_msg("%s\n-> %d %s (expected \"%s\")", bad[i].text, code, err.text, bad[i].word);
    }
    const char good[] =
        "# head\n[one]\n" HEAD "rule = at_least\ntask = passkey\nmetric = m\nmodel = a\n"
        "lengths = 32K, 1M\n\n[two-2]\n" HEAD "rule = formula\nmodel = a\nagainst = b\nvalue = 3\n";
    if (audit_read(&a, write_text("claims.conf", good), &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(a.count, 2);
    assert_string_equal(a.claim[1].id, "two-2");
    assert_true(a.claim[0].lengths.value[1] == 1048576 && a.claim[1].value == 3 && a.claim[0].value == 0);
    audit_free(&a);
}

/* A metric that the task does not have is a mistake in the file, not a missing cell. */
static void test_unknown_metric(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("passkey"));
    lab_passkey(j, "m", 32768, 0, "seed=1", 1, 1);
    lab_close(j);
    audit a;
    evidence e;
    assert_int_equal(audit_read(&a,
                                write_text("claims.conf", "[x]\n" HEAD "rule = at_most\ntask = passkey\n"
                                                          "metric = held_bytes\nmodel = m\nlengths = 32K\n"),
                                &err),
                     PAL_OK);
    assert_int_equal(evidence_read(&e, task_table, dir, &err), PAL_OK);
    assert_int_equal(audit_judge(&a, &e, dir, &err), PAL_DATA);
    lab_check_has(err.text, "no metric \"held_bytes\" for the rule at_most");
    audit_free(&a);
    evidence_free(&e);
}

/* ---- Rules ---- */

static void test_levels(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("passkey"));
    lab_passkey(j, "good", 32768, 0, "seed=1", 20, 20);
    lab_passkey(j, "good", 32768, 50, "seed=1", 20, 20);
    lab_passkey(j, "bad", 32768, 0, "seed=1", 0, 20);
    lab_passkey(j, "bad", 32768, 50, "seed=1", 20, 20);
    lab_passkey(j, "few", 32768, 0, "seed=1", 3, 3);
    lab_passkey(j, "two", 32768, 0, "seed=1", 20, 20);
    lab_passkey(j, "two", 32768, 0, "seed=2", 0, 20);
    lab_close(j);
#define LEVEL "task = passkey\nmetric = exact_match\nlengths = 32K\nrule = "
    /* 20 of 20 are at least 83.2 % by Clopper and Pearson. */
    check_verdict(LEVEL "at_least\nmodel = good\nvalue = 0.83", AUDIT_REPRODUCED, "[0.8316, 1], n = 20");
    check_verdict(LEVEL "at_least\nmodel = good\nvalue = 0.94\ntolerance = 0.11", AUDIT_REPRODUCED, "holds");
    check_verdict(LEVEL "at_least\nmodel = good\nvalue = 0.84", AUDIT_NOT_COMPARABLE, "open");
    check_verdict(LEVEL "at_most\nmodel = good\nvalue = 0.83", AUDIT_NOT_REPRODUCED, "fails");
    /* One cell that contradicts a claim decides, whatever the others say. */
    check_verdict(LEVEL "at_least\nmodel = bad, good\nvalue = 0.83", AUDIT_NOT_REPRODUCED, "fails: bad");
    check_verdict(LEVEL "at_most\nmodel = bad\ndepths = 0\nvalue = 0.17", AUDIT_REPRODUCED, "holds");
    check_verdict(LEVEL "at_least\nmodel = few\ndepths = 0\nvalue = 0", AUDIT_NOT_COMPARABLE,
                  "n = 3, fewer than 5");
    check_verdict(LEVEL "at_least\nmodel = few\ndepths = 0\nvalue = 0\nleast = 3", AUDIT_REPRODUCED, "holds");
    check_verdict(LEVEL "at_least\nmodel = good, none\nvalue = 0.83", AUDIT_NOT_COMPARABLE, "no complete cell");
    check_verdict(LEVEL "at_least\nmodel = two\ndepths = 0\nvalue = 0.83", AUDIT_NOT_COMPARABLE, "several runs");
    check_verdict(LEVEL "at_least\nmodel = two\ndepths = 0\nvalue = 0.83\nsettings = seed=1", AUDIT_REPRODUCED,
                  "holds");
    char digest[HASH_HEX], body[300];
    hash_hex("good", 4, digest);
    snprintf(body, sizeof body, LEVEL "at_least\nmodel = good@%.8s\nvalue = 0.83", digest);
    check_verdict(body, AUDIT_REPRODUCED, "holds: good@");
}

static void add_documents(lab_journal *j, const char *model, uint64_t state, const int offset[8])
{
    double nll[8];
    for (int i = 0; i < 8; i++) nll[i] = 2 + 1e-2 * offset[i];
    lab_perplexity(j, model, "novels/test", "split=test", state, nll, 8);
}

static void test_better(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("perplexity"));
    add_documents(j, "low", 1000, (int[]){0, 0, 0, 0, 0, 0, 0, 0});
    add_documents(j, "high", 114000, (int[]){1, 2, 3, 4, 5, 6, 7, 8});
    add_documents(j, "mixed", 113000, (int[]){-9, 9, -8, 8, -7, 7, -6, 6});
    add_documents(j, "same", 1000, (int[]){0, 0, 0, 0, 0, 0, 0, 0});
    add_documents(j, "near", 1000, (int[]){1, 2, 2, 1, 2, 3, 2, 3});
    /* Five documents that all agree: the interval is clear of zero, but one in 16 would look so by chance. */
    lab_perplexity(j, "low", "few/test", "split=test", 1, (double[]){2, 2, 2, 2, 2}, 5);
    lab_perplexity(j, "high", "few/test", "split=test", 1, (double[]){2.1, 2.2, 2.3, 2.4, 2.5}, 5);
    lab_close(j);
#define BETTER "rule = better\ntask = perplexity\nmetric = bits_per_byte\ncells = novels/test\n"
#define FEW "rule = better\ntask = perplexity\nmetric = bits_per_byte\ncells = few/test\n"
    check_verdict(BETTER "model = low\nagainst = high", AUDIT_REPRODUCED,
                  "n = 8, one seed, p = 0.0156 (sign-flip, family of 5)");
    check_verdict(BETTER "model = high\nagainst = low", AUDIT_NOT_REPRODUCED, "fails");
    check_verdict(BETTER "model = low\nagainst = mixed", AUDIT_NOT_COMPARABLE, "open");
    check_verdict(BETTER "model = low\nagainst = high, mixed", AUDIT_NOT_COMPARABLE, "open: low - mixed");
    check_verdict(FEW "model = low\nagainst = high", AUDIT_NOT_COMPARABLE,
                  "no interval, n = 5, one seed, p = 0.114");
    check_verdict(FEW "model = low\nagainst = high\nvalue = 0.01", AUDIT_NOT_COMPARABLE, "open");
    check_verdict(FEW "model = high\nagainst = low", AUDIT_NOT_COMPARABLE, "open"); /* the rule leans to no side */
    check_verdict(BETTER "model = low\nagainst = same", AUDIT_NOT_COMPARABLE, "open");
    check_verdict(BETTER "model = low\nagainst = same\ntolerance = 0.01", AUDIT_REPRODUCED,
                  "+0.0000 [+0.0000, +0.0000] equal");
    /* Bits without ln 2 would be 0.0108 to 0.0866 nats a byte: the tolerance is in bits. */
    check_verdict(BETTER "model = near\nagainst = low\ntolerance = 0.0145", AUDIT_REPRODUCED,
                  "near - low, novels/test: +0.0072 [");
    check_verdict(BETTER "model = near\nagainst = low\ntolerance = 0.003", AUDIT_NOT_REPRODUCED, "fails");
    check_verdict(BETTER "model = near\nagainst = low\ntolerance = 0.0072", AUDIT_NOT_COMPARABLE, "open");
    /* A rival that is no better than the floor is none. */
    check_verdict(BETTER "model = low\nagainst = high\nfloor = near", AUDIT_NOT_COMPARABLE,
                  "no better than the floor");
    check_verdict(BETTER "model = low\nagainst = near\nfloor = high", AUDIT_REPRODUCED, "holds");
    check_verdict(BETTER "model = low+same\nagainst = high+near", AUDIT_NOT_COMPARABLE, "interval over seeds");
    check_verdict(BETTER "model = high+near\nagainst = low+same", AUDIT_NOT_COMPARABLE, "open");
    check_verdict(BETTER "model = low+same\nagainst = high", AUDIT_NOT_COMPARABLE, "other numbers of seeds");
    check_verdict(BETTER "model = low\nagainst = high\nvalue = 0.1", AUDIT_NOT_REPRODUCED, "fails");
    check_verdict(BETTER "model = low\nagainst = none", AUDIT_NOT_COMPARABLE, "missing");
    check_verdict("rule = better\ntask = booksum\nmetric = overall\ncells = x\nmodel = a\nagainst = b",
                  AUDIT_NOT_COMPARABLE, "no complete cell of task booksum");
#define RATIO                                                                                                     \
    "rule = ratio\ntask = perplexity\nmetric = state_bytes\ncells = novels/test\nvalue = 114\nmodel = low\n"
    check_verdict(RATIO "against = high", AUDIT_REPRODUCED, "114000 / 1000 = 114");
    check_verdict(RATIO "against = mixed", AUDIT_NOT_REPRODUCED, "= 113");
    check_verdict(RATIO "against = mixed\ntolerance = 0.01", AUDIT_REPRODUCED, "= 113");
}

/* Alone each of two comparisons would be shown, p = 2/64; they are extreme in flips of their own. */
static void test_better_family(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("perplexity"));
    lab_perplexity(j, "low", "six/test", "split=test", 1, (double[]){2, 2, 2, 2, 2, 2}, 6);
    lab_perplexity(j, "high", "six/test", "split=test", 1, (double[]){2.1, 2.2, 2.3, 2.4, 2.5, 2.6}, 6);
    lab_perplexity(j, "mixed", "six/test", "split=test", 1, (double[]){3.1, 1.1, 3.5, 1.1, 3.9, 1.1}, 6);
    lab_close(j);
#define SIX "rule = better\ntask = perplexity\nmetric = bits_per_byte\ncells = six/test\n"
    check_verdict(SIX "model = low\nagainst = high", AUDIT_NOT_COMPARABLE, "p = 0.0625 (sign-flip, family of 2)");
    check_verdict(SIX "model = high\nagainst = low", AUDIT_NOT_COMPARABLE, "p = 0.0625 (sign-flip, family of 2)");
}

/* A model with another attention in its place has a '+' in its name, and is one run. */
static void test_better_instead(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("passkey"));
    lab_passkey(j, "a", 32768, 0, "seed=1", 20, 20);
    lab_passkey(j, "base+local:segment=2K", 32768, 0, "seed=1", 2, 20);
    lab_close(j);
#define INSTEAD "rule = better\ntask = passkey\nmetric = exact_match\nlengths = 32K\ndepths = 0\nmodel = a\n"
    check_verdict(INSTEAD "against = base+local:segment=2K", AUDIT_REPRODUCED, "holds: a - base+local:segment=2K");
    check_verdict(INSTEAD "against = base+full", AUDIT_NOT_COMPARABLE, "missing: no complete cell");
}

/* A claim that names its own journals is judged by them alone, and those behind it by the audit's again. */
static void test_own_journals(void **state)
{
    (void)state;
    char home[sizeof dir], own[sizeof dir], text[2000];
    snprintf(home, sizeof home, "%s", dir);
    snprintf(own, sizeof own, "%.50s/own", home);
    lab_journal *j = lab_open(task_find("passkey"));
    lab_passkey(j, "m", 32768, 0, "seed=1", 20, 20);
    lab_close(j);
    assert_int_equal(mkdir(own, 0777), 0);
    snprintf(dir, sizeof dir, "%s", own);
    j = lab_open(task_find("passkey"));
    lab_passkey(j, "m", 32768, 0, "seed=1", 0, 20);
    lab_close(j);
    snprintf(dir, sizeof dir, "%s", home);
#define HIGH                                                                                                      \
    HEAD "rule = at_least\ntask = passkey\nmetric = exact_match\nmodel = m\nlengths = 32K\ndepths = 0\n"          \
         "value = 0.8\n"
    snprintf(text, sizeof text,
             "[x]\n" HIGH "[y]\n" HIGH "results = %s\n[z]\n" HIGH "results = %s/none\n[w]\n" HIGH, own, own);
    audit a;
    evidence e;
    if (audit_read(&a, write_text("claims.conf", text), &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(evidence_read(&e, task_table, dir, &err), PAL_OK);
    assert_int_equal(audit_judge(&a, &e, dir, &err), PAL_OK);
    static const audit_verdict expected[] = {AUDIT_REPRODUCED, AUDIT_NOT_REPRODUCED, AUDIT_NOT_COMPARABLE,
                                             AUDIT_REPRODUCED};
    for (size_t i = 0; i < 4; i++) assert_int_equal(a.finding[i].verdict, expected[i]);
    audit_free(&a);
    evidence_free(&e);
}

/* Two models that are right on all samples may still differ on others: 20 cannot show that they do not. */
static void test_better_shares(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("passkey"));
    lab_passkey(j, "a", 32768, 0, "seed=1", 20, 20);
    lab_passkey(j, "b", 32768, 0, "seed=1", 20, 20);
    lab_passkey(j, "c", 32768, 0, "seed=1", 2, 20);
    lab_close(j);
#define SHARES "rule = better\ntask = passkey\nmetric = exact_match\nlengths = 32K\ndepths = 0\n"
    check_verdict(SHARES "model = a\nagainst = b\ntolerance = 0.1", AUDIT_NOT_COMPARABLE, "[-0.1684, +0.1684]");
    check_verdict(SHARES "model = a\nagainst = b\ntolerance = 0.2", AUDIT_REPRODUCED, "holds");
    check_verdict(SHARES "model = a\nagainst = c", AUDIT_REPRODUCED, "mcnemar");
    check_verdict(SHARES "model = c\nagainst = a", AUDIT_NOT_REPRODUCED, "fails");
}

static void test_trends(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("passkey"));
    for (int k = 0; k < 4; k++) {
        lab_passkey(j, "up", 32768 << k, 0, "seed=1", 5 + 10 * k, 40);
        lab_passkey(j, "level", 32768 << k, 0, "seed=1", 20, 40);
        lab_passkey(j, "down", 32768 << k, 0, "seed=1", 35 - 10 * k, 40);
    }
    lab_close(j);
#define TREND "task = passkey\nmetric = exact_match\nlengths = 32K, 64K, 128K, 256K\ndepths = 0\nmodel = "
    check_verdict(TREND "up\nrule = rises", AUDIT_REPRODUCED, "slope +0.25 [");
    check_verdict(TREND "up\nrule = falls", AUDIT_NOT_REPRODUCED, "fails");
    check_verdict(TREND "down\nrule = falls", AUDIT_REPRODUCED, "slope -0.25 [");
    check_verdict(TREND "level\nrule = rises", AUDIT_NOT_COMPARABLE, "open");
    check_verdict(TREND "level\nrule = flat\ntolerance = 0.1", AUDIT_REPRODUCED,
                  "slope +0 [-0.07108, +0.07108]"); /* 1.985 standard errors: 95 degrees of freedom */
    check_verdict(TREND "level\nrule = flat\ntolerance = 0.01", AUDIT_NOT_COMPARABLE, "open");
    check_verdict(TREND "up\nrule = flat\ntolerance = 0.1", AUDIT_NOT_REPRODUCED, "fails");
    check_verdict(TREND "up, gone\nrule = rises", AUDIT_NOT_COMPARABLE, "no complete cell");
    /* Bytes are the same at all lengths, and so are the seconds of a token. */
#define COST "task = passkey\nlengths = 32K, 64K, 128K\ndepths = 0\nmodel = up\nrule = flat\nmetric = "
    check_verdict(COST "held_bytes", AUDIT_REPRODUCED, "of the mean");
    check_verdict(COST "seconds_per_token\ntolerance = 0.01", AUDIT_REPRODUCED, "of the mean");
    check_verdict("task = passkey\nlengths = 32K\ndepths = 0\nmodel = up\nrule = flat\nmetric = held_bytes",
                  AUDIT_NOT_COMPARABLE, "two different lengths");
    /* Cells by name: their order counts. */
    check_verdict("task = passkey\ncells = len=65536,depth=0; len=32768,depth=0\nmodel = up\nrule = falls\n"
                  "metric = exact_match",
                  AUDIT_REPRODUCED, "per cell");
}

/* The slope against one computed by hand, and its interval against the spread that the samples have. */
static void test_slope(void **state)
{
    (void)state;
    double y[3][2] = {{1, 3}, {3, 5}, {8, 10}}, ones[] = {1, 1};
    const trend_point point[] = {{0, y[0], ones, 2}, {1, y[1], ones, 2}, {3, y[2], ones, 2}};
    double slope;
    interval ci;
    trend_slope(point, 3, 0.95, &slope, &ci);
    /* Means 2, 4, 9 at 0, 1, 3: covariance 11, variance 14/3. */
    assert_true(fabs(slope - 11 / (14.0 / 3)) < 1e-12);
    /* Variance 1 of each mean with one degree; weights -4/14, -1/14, 5/14: 42/196 in all, with 42^2 / 882 = 2. */
    const double half = stats_t_quantile(0.975, 2) * sqrt(42) / 14;
    assert_true(fabs(ci.hi - slope - half) < 1e-9 && fabs(slope - ci.lo - half) < 1e-9);
    double less;
    interval narrow;
    trend_slope(point, 3, 0.9, &less, &narrow);
    assert_true(less == slope && narrow.hi < ci.hi && narrow.lo > ci.lo);
}

/* Samples that ran as one batch have one clock: their times count once. */
static void test_batches(void **state)
{
    (void)state;
    result_sample sample[6] = {{.seconds = 2, .batch = 2, .tokens = 10, .read = 10},
                               {.seconds = 2.1, .batch = 2, .tokens = 10, .read = 8},
                               {.seconds = 2, .batch = 2, .tokens = 10, .read = 10},
                               {.seconds = 2, .batch = 2, .tokens = 10, .read = 10},
                               {.seconds = 3, .batch = 1, .tokens = 10, .read = NAN},
                               {.seconds = 3, .batch = 1, .tokens = 10, .read = 10}};
    const result_cell cell = {.sample = sample, .count = 6, .state_bytes = 70};
    const report_row row = {.cell = &cell, .n = 6};
    double num[6], den[6];
    assert_int_equal(judgement_columns(NULL, SECONDS_PER_TOKEN, &row, num, den), 4);
    assert_true(num[0] == 4.1 && den[0] == 18 && num[1] == 4 && den[1] == 20);
    assert_true(num[2] == 3 && den[2] == 10 && num[3] == 3 && den[3] == 10);
    sample[1].held = 90;
    assert_int_equal(judgement_columns(NULL, HELD_BYTES, &row, num, den), 6);
    assert_true(num[1] == 90 && num[0] == 0 && den[1] == 1);
    assert_int_equal(judgement_columns(NULL, STATE_BYTES, &row, num, den), 6);
    assert_true(num[0] == 70 && num[1] == 70);
}

static void test_formula(void **state)
{
    (void)state;
#define FORMULA "rule = formula\nmodel = infini\nagainst = memorizing\ntolerance = 0.005\n"
    check_verdict(FORMULA "value = 114", AUDIT_REPRODUCED,
                  "183451648 / 1585152 entries = 115.7, of the rounded 114.4");
    check_verdict(FORMULA "value = 200", AUDIT_NOT_REPRODUCED, "fails");
    check_verdict("rule = formula\nmodel = infini\nagainst = rwkv\nvalue = 1", AUDIT_NOT_COMPARABLE, "missing");
    check_verdict("rule = nothing", AUDIT_NOT_RUN, "not run");
}

/* A model of 2 layers and 2 heads with these gates. */
static void save_gates(const char *name, const double gate[4])
{
    kv_pairs pairs = {0};
    model_config cfg;
    decoder *d = NULL;
    char path[128];
    assert_int_equal(
        kv_pairs_parse(&pairs,
                       "attention = infini-linear\nvocab = 11\nd_model = 8\nn_layers = 2\nn_heads = 2\n"
                       "d_head = 4\nd_ff = 12\nsegment = 16\n",
                       "test", &err),
        PAL_OK);
    assert_int_equal(model_config_read(&cfg, &pairs, &err), PAL_OK);
    kv_pairs_free(&pairs);
    assert_int_equal(decoder_create(&d, &cfg, &err), PAL_OK);
    for (size_t i = 0, at = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        for (size_t h = 0; strstr(p->name, ".gate") && h < 2; h++)
            decoder_weights(d)[p->offset + h] = (real)log(gate[at + h] / (1 - gate[at + h]));
        at += strstr(p->name, ".gate") ? 2 : 0;
    }
    snprintf(path, sizeof path, "%s/%s.safetensors", dir, name);
    assert_int_equal(checkpoint_save(path, d, NULL, ST_F32, NULL, &err), PAL_OK);
    decoder_destroy(d);
}

static void test_gates(void **state)
{
    (void)state;
    save_gates("apart", (double[]){0.02, 0.5, 0.05, 0.97});
    save_gates("mixing", (double[]){0.5, 0.5, 0.45, 0.55});
    save_gates("one-layer", (double[]){0.02, 0.03, 0.5, 0.97});
    save_gates("no-memory", (double[]){0.02, 0.5, 0.05, 0.6});
    check_verdict(
        "rule = gates\nmodel = apart\nvalue = 0.1", AUDIT_REPRODUCED,
        "of 4 heads in 2 layers 2 read the segment (gate at most 0.1), 1 the memory (at least 0.9), 1 mix");
    check_verdict("rule = gates\nmodel = mixing\nvalue = 0.1", AUDIT_NOT_REPRODUCED, "4 mix");
    check_verdict("rule = gates\nmodel = one-layer\nvalue = 0.1", AUDIT_NOT_REPRODUCED, "1 layers have no head");
    check_verdict("rule = gates\nmodel = no-memory\nvalue = 0.1", AUDIT_NOT_REPRODUCED, "0 the memory");
    check_verdict("rule = gates\nmodel = gone\nvalue = 0.1", AUDIT_NOT_COMPARABLE, "no weights");
}

/* ---- The gate ---- */

static audit_options options(int update)
{
    audit_options o = {.update = update};
    snprintf(o.claims, sizeof o.claims, "%s/claims.conf", dir);
    snprintf(o.verdicts, sizeof o.verdicts, "%s/verdicts.csv", dir);
    snprintf(o.results, sizeof o.results, "%s", dir);
    snprintf(o.weights, sizeof o.weights, "%s", dir);
    return o;
}

/* What a run printed is in <dir>/out. */
static int run(int update)
{
    const audit_options o = options(update);
    char path[128];
    snprintf(path, sizeof path, "%s/out", dir);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    const int code = audit_run(&o, task_table, out, &err);
    fclose(out);
    return code;
}

static void check_output(const char *word)
{
    char *text = lab_slurp("out");
    lab_check_has(text, word);
    free(text);
}

#define FIRST "[first]\n" HEAD LEVEL "at_least\nmodel = m\ndepths = 0\nvalue = 0.5\n"
#define SECOND "[second]\n" HEAD FORMULA "value = 114\n"

static void test_committed(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("passkey"));
    lab_passkey(j, "m", 32768, 0, "seed=1", 20, 20);
    write_text("claims.conf", FIRST SECOND);
    assert_int_equal(run(0), PAL_DATA); /* nothing is committed yet */
    lab_check_has(err.text, "update=1");
    assert_int_equal(run(1), PAL_OK);
    char *text = lab_slurp("verdicts.csv");
    lab_check_has(text, "claim,verdict,summary\nfirst,reproduced,");
    free(text);
    assert_int_equal(run(0), PAL_OK);
    check_output("2 claims: 2 reproduced, 0 not reproduced, 0 not comparable, 0 not run\nall as in ");

    /* The results change, and with them the verdict. */
    unlink(j->path);
    lab_close(j);
    assert_int_equal(run(0), PAL_GATE);
    check_output("changed: first was reproduced, is not comparable\n");
    lab_check_has(err.text, "1 verdicts are not those of");
    j = lab_open(task_find("passkey"));
    lab_passkey(j, "m", 32768, 0, "seed=1", 0, 20);
    lab_close(j);
    assert_int_equal(run(0), PAL_GATE);
    check_output("changed: first was reproduced, is not reproduced\n");
    assert_int_equal(run(1), PAL_OK);
    assert_int_equal(run(0), PAL_OK);

    /* A claim more, a claim less, a damaged file. */
    write_text("claims.conf", FIRST SECOND "[third]\n" HEAD FORMULA "value = 1\n");
    assert_int_equal(run(0), PAL_GATE);
    check_output("changed: third is new and not reproduced\n");
    write_text("claims.conf", FIRST);
    assert_int_equal(run(0), PAL_GATE);
    check_output("changed: second was reproduced, and is no claim any more\n");
    write_text("verdicts.csv", "claim,verdict,summary\nfirst,perhaps,\n");
    assert_int_equal(run(0), PAL_DATA);
    lab_check_has(err.text, "verdicts.csv:2: ");
}

/* The file that ships names tasks, metrics and rules that exist. */
static void test_shipped_claims(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("passkey"));
    lab_passkey(j, "m", 32768, 0, "seed=1", 1, 1);
    lab_close(j);
    j = lab_open(task_find("perplexity"));
    add_documents(j, "m", 1, (int[8]){0});
    lab_close(j);
    audit a;
    evidence e;
    if (audit_read(&a, "results/expected/claims.conf", &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(evidence_read(&e, task_table, dir, &err), PAL_OK);
    if (audit_judge(&a, &e, dir, &err) != PAL_OK) fail_msg("%s", err.text);
    size_t reproduced = 0;
    for (size_t i = 0; i < a.count; i++)
        reproduced += a.finding[i].verdict == AUDIT_REPRODUCED && !a.claim[i].results[0];
    assert_int_equal(reproduced, 1); /* without results only the formulas hold */
    assert_true(a.count > 15);
    audit_free(&a);
    evidence_free(&e);
}

int main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, lab_make_dir, lab_remove_dir)
    const struct CMUnitTest tests[] = {
        IN_DIR(test_read),           IN_DIR(test_unknown_metric),  IN_DIR(test_levels),
        IN_DIR(test_better),         IN_DIR(test_better_family),   IN_DIR(test_better_shares),
        IN_DIR(test_trends),         cmocka_unit_test(test_slope), cmocka_unit_test(test_batches),
        IN_DIR(test_formula),        IN_DIR(test_gates),           IN_DIR(test_committed),
        IN_DIR(test_shipped_claims), IN_DIR(test_better_instead),  IN_DIR(test_own_journals),
    };
    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}

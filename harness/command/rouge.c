/* ROUGE of texts that anybody made: a table, or JSON. */
#include "harness/command/commands.h"

#include "harness/base/array.h"
#include "harness/command/rouge_pairs.h"
#include "harness/stats/stats.h"
#include "tasks/rouge/rouge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The vocabulary starts anew when it has grown beyond so many words. */
enum { MOST_WORDS = 1 << 20 };

static const double level = 0.95;

typedef struct rouge_options {
    char ref[KV_TEXT_MAX], hyp[KV_TEXT_MAX];
    int64_t jsonl, stemmer, policy, json, each;
} rouge_options;

#define AT(field) offsetof(rouge_options, field)
static const kv_spec options_table[] = {
    {"ref", KV_TEXT, AT(ref), "", 0, 0, NULL, "file of the reference"},
    {"hyp", KV_TEXT, AT(hyp), "", 0, 0, NULL,
     "file of the hypothesis; JSON lines may hold both in the first file"},
    {"jsonl", KV_INT, AT(jsonl), "0", 0, 1, NULL, "1: JSON lines, a pair each, instead of two texts"},
    {"stemmer", KV_INT, AT(stemmer), "0", 0, 1, NULL, "1: compare stems (Porter, as in rouge_score)"},
    {"policy", KV_CHOICE, AT(policy), "max", 0, 0, ROUGE_POLICIES, "what several references of a pair come to"},
    {"json", KV_INT, AT(json), "0", 0, 1, NULL, "1: a JSON object instead of a table"},
    {"each", KV_INT, AT(each), "0", 0, 1, NULL, "1: first a line for every pair"},
};

static int check_options(const rouge_options *o, pal_error *err)
{
    if (!*o->ref) return pal_fail(err, PAL_USAGE, "rouge needs --ref FILE, and --hyp FILE");
    if (!*o->hyp && !o->jsonl)
        return pal_fail(err, PAL_USAGE, "rouge needs --hyp FILE; only with --jsonl can one file hold both");
    return PAL_OK;
}

/* ---- Scoring ---- */

typedef struct scores {
    rouge_result *pair; /* [count] */
    size_t count, room;
    size_t empty_refs, empty_hyps; /* pairs where no reference, or the hypothesis, holds a token */
} scores;

static int read_string(rouge_scorer *s, const json_t *text, rouge_text *out, pal_error *err)
{
    return rouge_text_read(s, json_string_value(text), json_string_length(text), out, err);
}

static int score_pair(rouge_scorer *s, const rouge_options *o, const rouge_pair *pair, scores *all, pal_error *err)
{
    rouge_text hyp = {0}, *refs = calloc(pair->ref_count, sizeof *refs);
    if (!refs) return pal_fail(err, PAL_INTERNAL, "out of memory for %zu references", pair->ref_count);
    int code = read_string(s, pair->hyp, &hyp, err);
    for (size_t i = 0; code == PAL_OK && i < pair->ref_count; i++)
        code = read_string(s, pair->ref[i], &refs[i], err);
    if (code == PAL_OK)
        code = rouge_compare_many(s, refs, pair->ref_count, &hyp, (rouge_policy)o->policy, &all->pair[all->count],
                                  err);
    if (code == PAL_OK) all->empty_refs += (size_t)all->pair[all->count++].undefined;
    all->empty_hyps += hyp.count == 0;
    for (size_t i = 0; i < pair->ref_count; i++) rouge_text_free(&refs[i]);
    rouge_text_free(&hyp);
    free(refs);
    return code;
}

static json_t *prf_json(const rouge_prf *m)
{
    return json_pack("{s:f, s:f, s:f}", "precision", m->precision, "recall", m->recall, "fmeasure", m->f);
}

/* Write the object as a line and forget it. */
static int print_json(json_t *object, pal_error *err)
{
    const int bad = !object || json_dumpf(object, stdout, 0) != 0;
    json_decref(object);
    if (bad) return pal_fail(err, PAL_INTERNAL, "cannot write to standard output, or out of memory");
    putchar('\n');
    return PAL_OK;
}

static int print_each(const rouge_options *o, const rouge_pair *pair, const rouge_result *r, pal_error *err)
{
    if (o->json) {
        json_t *line = json_object();
        json_t *none = r->undefined ? json_null() : NULL;
        if (pair->id) json_object_set(line, "id", (json_t *)pair->id);
        json_object_set_new(line, "line", json_integer((json_int_t)pair->line));
        for (int m = 0; m < ROUGE_METRICS; m++)
            json_object_set_new(line, rouge_metric_name[m], none ? none : prf_json(&r->metric[m]));
        json_object_set_new(line, "overall", none ? none : json_real(r->overall));
        return print_json(line, err);
    }
    char *id = pair->id ? json_dumps(pair->id, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    printf("%zu\t%s", pair->line, id ? id : "");
    free(id);
    for (int m = 0; m < ROUGE_METRICS && r->undefined; m++) printf("\t-\t-\t-");
    if (r->undefined) puts("\t-");
    if (r->undefined) return PAL_OK;
    for (int m = 0; m < ROUGE_METRICS; m++)
        printf("\t%.4f\t%.4f\t%.4f", 100 * r->metric[m].precision, 100 * r->metric[m].recall,
               100 * r->metric[m].f);
    printf("\t%.4f\n", 100 * r->overall);
    return PAL_OK;
}

static void print_each_header(void)
{
    printf("line\tid");
    for (int m = 0; m < ROUGE_METRICS; m++)
        printf("\t%s P\t%s R\t%s F", rouge_metric_name[m], rouge_metric_name[m], rouge_metric_name[m]);
    printf("\toverall\n");
}

static int score_all(rouge_scorer *s, const rouge_options *o, rouge_pairs *pairs, scores *all, pal_error *err)
{
    if (o->each && !o->json) print_each_header();
    for (;;) {
        rouge_pair pair;
        int more;
        PAL_TRY(rouge_pairs_next(pairs, &pair, &more, err));
        if (!more) break;
        PAL_TRY(array_room(&all->pair, &all->room, all->count + 1, sizeof *all->pair, "the pairs", err));
        PAL_TRY(score_pair(s, o, &pair, all, err));
        if (o->each) PAL_TRY(print_each(o, &pair, &all->pair[all->count - 1], err));
        if (rouge_scorer_words(s) > MOST_WORDS) rouge_scorer_forget(s);
    }
    if (all->count == 0) return pal_fail(err, PAL_DATA, "%s: no pairs in the file", o->ref);
    return PAL_OK;
}

/* ---- Means over pairs: those with a token in a reference ---- */

typedef struct mean {
    double value;
    interval ci;
} mean;

typedef struct summary {
    mean metric[ROUGE_METRICS][3]; /* precision, recall, F */
    mean overall;
} summary;

static mean mean_of(const double *values, size_t count)
{
    mean m = {count ? stats_mean(values, count) : NAN, {NAN, NAN, "none"}};
    m.ci = stats_ratio(values, NULL, count, level);
    if (m.ci.lo < 0) m.ci.lo = 0;
    if (m.ci.hi > 1) m.ci.hi = 1;
    return m;
}

/* Overall is the geometric mean of three means, as in published tables. Its interval is that of its linear part in
 * each pair, overall (1 + sum over the three of (F / mean F - 1) / 3), whose mean is overall. */
static void summarise_overall(const scores *all, summary *out, double *values)
{
    static const rouge_metric part[] = {ROUGE_1, ROUGE_2, ROUGE_L};
    double f[3];
    for (int k = 0; k < 3; k++) f[k] = out->metric[part[k]][2].value;
    const double overall = rouge_overall(f[0], f[1], f[2]);
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        double sum = 0;
        if (all->pair[i].undefined) continue;
        if (overall > 0)
            for (int k = 0; k < 3; k++) sum += all->pair[i].metric[part[k]].f / f[k] - 1;
        values[count++] = overall * (1 + sum / 3);
    }
    out->overall = mean_of(values, count);
    out->overall.value = overall;
}

static int summarise(const scores *all, summary *out, pal_error *err)
{
    double *values = malloc(all->count * sizeof *values);
    if (!values) return pal_fail(err, PAL_INTERNAL, "out of memory for %zu pairs", all->count);
    for (int m = 0; m < ROUGE_METRICS; m++)
        for (int k = 0; k < 3; k++) {
            size_t count = 0;
            for (size_t i = 0; i < all->count; i++) {
                const rouge_prf *x = &all->pair[i].metric[m];
                if (!all->pair[i].undefined) values[count++] = k == 0 ? x->precision : k == 1 ? x->recall : x->f;
            }
            out->metric[m][k] = mean_of(values, count);
        }
    summarise_overall(all, out, values);
    free(values);
    return PAL_OK;
}

/* ---- Output ---- */

static const char *policy_name(const rouge_options *o)
{
    return (const char *[]){"max", "mean", "first"}[o->policy];
}

static void print_mean(const mean *m)
{
    char text[64];
    if (isnan(m->value))
        snprintf(text, sizeof text, "-");
    else if (isnan(m->ci.lo))
        snprintf(text, sizeof text, "%.2f", 100 * m->value);
    else
        snprintf(text, sizeof text, "%.2f [%.2f, %.2f]", 100 * m->value, 100 * m->ci.lo, 100 * m->ci.hi);
    printf("  %-22s", text);
}

static void print_table(const rouge_options *o, const scores *all, const summary *s)
{
    printf("%sROUGE of %zu pair%s, percent: rouge_score's tokens, stemmer %s, Lsum by lines, references: %s\n",
           o->each ? "\n" : "", all->count, all->count == 1 ? "" : "s", o->stemmer ? "on" : "off", policy_name(o));
    if (all->count >= STATS_LEAST_DOCUMENTS)
        printf("means over pairs [95 %% interval: inverted sign-flip test]\n");
    if (all->empty_refs)
        printf("pairs without a token in the reference (undefined, left out): %zu\n", all->empty_refs);
    if (all->empty_hyps) printf("pairs without a token in the hypothesis (score 0): %zu\n", all->empty_hyps);
    printf("\n%-10s  %-22s  %-22s  %s\n", "", "precision", "recall", "F");
    for (int m = 0; m < ROUGE_METRICS; m++) {
        printf("%-10s", rouge_metric_name[m]);
        for (int k = 0; k < 3; k++) print_mean(&s->metric[m][k]);
        putchar('\n');
    }
    printf("%-10s  %-22s  %-22s", "overall", "", "");
    print_mean(&s->overall);
    printf("\noverall: geometric mean of the F of rouge1, rouge2 and rougeL\n");
}

static json_t *mean_json(const mean *m)
{
    if (isnan(m->value)) return json_pack("{s:n}", "mean");
    if (isnan(m->ci.lo)) return json_pack("{s:f}", "mean", m->value);
    return json_pack("{s:f, s:f, s:f, s:s}", "mean", m->value, "lo", m->ci.lo, "hi", m->ci.hi, "interval",
                     m->ci.kind);
}

static int print_summary_json(const rouge_options *o, const scores *all, const summary *s, pal_error *err)
{
    static const char *const part[] = {"precision", "recall", "fmeasure"};
    json_t *out =
        json_pack("{s:I, s:b, s:s, s:s, s:f, s:I, s:I}", "pairs", (json_int_t)all->count, "stemmer",
                  (int)o->stemmer, "lsum", "lines", "policy", policy_name(o), "level", level, "empty_references",
                  (json_int_t)all->empty_refs, "empty_hypotheses", (json_int_t)all->empty_hyps);
    for (int m = 0; m < ROUGE_METRICS; m++) {
        json_t *metric = json_object();
        for (int k = 0; k < 3; k++) json_object_set_new(metric, part[k], mean_json(&s->metric[m][k]));
        json_object_set_new(out, rouge_metric_name[m], metric);
    }
    json_object_set_new(out, "overall", mean_json(&s->overall));
    return print_json(out, err);
}

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    (void)rest;
    const rouge_options *o = options;
    rouge_scorer *s = NULL;
    rouge_pairs *pairs = NULL;
    scores all = {0};
    summary sum = {0};
    PAL_TRY(check_options(o, err));
    int code = rouge_scorer_create((int)o->stemmer, &s, err);
    if (code == PAL_OK) code = rouge_pairs_open(&pairs, o->ref, o->hyp, (int)o->jsonl, err);
    if (code == PAL_OK) code = score_all(s, o, pairs, &all, err);
    if (code == PAL_OK) code = summarise(&all, &sum, err);
    if (code == PAL_OK && o->json) code = print_summary_json(o, &all, &sum, err);
    if (code == PAL_OK && !o->json) print_table(o, &all, &sum);
    rouge_pairs_close(pairs);
    rouge_scorer_destroy(s);
    free(all.pair);
    return code;
}

const pal_command rouge_command = {
    .name = "rouge",
    .summary = "ROUGE-1, -2, -L and -Lsum of texts against references",
    .note = "JSON lines: \"reference\" (a string or a list) and \"hypothesis\" or \"prediction\", in two files "
            "line by line, or both in the file of ref=.\n",
    .examples = "rouge --ref reference.txt --hyp summary.txt\n"
                "rouge --jsonl --ref pairs.jsonl --stemmer --json\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(rouge_options),
    .run = run,
};

/* The claims of papers held against our journals: each claim names a rule and the cells it rests on, and gets a
 * verdict with its evidence. */
#ifndef PAL_AUDIT_H
#define PAL_AUDIT_H

#include "harness/cli/command.h"
#include "harness/report/evidence.h"

#include <stdio.h>

/* What makes a claim hold. A quantity is a task's metric, or state_bytes, held_bytes or seconds_per_token of its
 * cells. Intervals are at REPORT_LEVEL; "holds" and "fails" need the whole interval on one side. */
typedef enum audit_rule {
    AUDIT_BETTER, /* every model beats every `against` on every cell, paired, by more than value - tolerance (bits,
                     nats or a share), by interval and by p <= 0.05 in the family of the rival; and it fails by the
                     same. "A+B" are runs that differ in their seed: the interval is then over seeds and documents;
                     where the journal has a model "A+B", that one is meant */
    AUDIT_AT_LEAST, /* every model on every cell reaches value - tolerance */
    AUDIT_AT_MOST,  /* every model on every cell stays within value + tolerance */
    AUDIT_RISES,    /* the slope over the cells, per doubling of the length (or per cell of a list), is above
                       tolerance */
    AUDIT_FALLS,    /* it is below -tolerance */
    AUDIT_FLAT,     /* it is within tolerance either way; of bytes and seconds relative to their mean */
    AUDIT_RATIO,    /* the quantity of `against` is at least value (1 - tolerance) times the model's; exact */
    AUDIT_FORMULA,  /* the entries of `against` are value times the model's within the relative tolerance, by the
                       formulas of the paper's table 1 at its sizes, rounded as it prints them; exact */
    AUDIT_NOTHING,  /* not run; `differs` says why */
    AUDIT_GATES /* the model's weights: every layer has a head whose gate is at most value (it reads its segment),
                   and some head has one of at least 1 - value (it reads the memory) */
} audit_rule;

/* Who makes a claim. */
typedef enum audit_origin { AUDIT_PAPER, AUDIT_ARTICLE, AUDIT_BLOG, AUDIT_OURS, AUDIT_CONSTRUCTION } audit_origin;
extern const char *const audit_origin_name[];

typedef enum audit_verdict {
    AUDIT_REPRODUCED,
    AUDIT_NOT_REPRODUCED,
    AUDIT_NOT_COMPARABLE,
    AUDIT_NOT_RUN, /* nothing here can judge it; `differs` says why */
    AUDIT_VERDICTS
} audit_verdict;
extern const char *const audit_verdict_name[];

typedef struct audit_claim {
    char id[64], where[320]; /* "results/expected/claims.conf:12" */
    char source[KV_TEXT_MAX], claim[KV_TEXT_MAX], differs[KV_TEXT_MAX];
    int64_t origin; /* audit_origin; construction: it follows from how the models are made */
    int64_t rule;   /* audit_rule */
    char task[KV_TEXT_MAX], metric[KV_TEXT_MAX];
    char model[KV_TEXT_MAX], against[KV_TEXT_MAX]; /* comma-separated; NAME@SHA picks one of several weights */
    char cells[KV_TEXT_MAX];                       /* names, separated by ';' */
    kv_list lengths, depths;    /* lengths other than 0: the cells len=...,depth=... of all pairs instead */
    char floor[KV_TEXT_MAX];    /* a model that `against` must beat for a victory over it to count; "": none */
    char settings[KV_TEXT_MAX]; /* of the cells, where a journal holds several */
    char results[KV_TEXT_MAX];  /* directory of the claim's own journals; "": those of the audit */
    double value, tolerance;
    int64_t least; /* samples of a cell */
} audit_claim;

typedef struct audit_finding {
    audit_verdict verdict;
    char summary[160]; /* "2 of 3 hold, 1 is open" */
    char *evidence;    /* a line for each comparison */
    /* The least samples and seeds behind one of them, and the largest family; 0: none. */
    int64_t n;
    size_t seeds, family;
} audit_finding;

typedef struct audit {
    audit_claim *claim;
    audit_finding *finding; /* [count], once judged */
    size_t count;
} audit;

typedef struct audit_options {
    char claims[KV_TEXT_MAX], verdicts[KV_TEXT_MAX], results[KV_TEXT_MAX], weights[KV_TEXT_MAX];
    int64_t update;
} audit_options;

/* "[id]" begins a claim, "key = value" lines follow. PAL_DATA, PAL_USAGE: file:line and what is wrong. */
int audit_read(audit *out, const char *path, pal_error *err);
void audit_free(audit *a);
/* The words of a rule: "better", ... */
const char *audit_rule_name(const audit_claim *claim);

/* Fill the findings: by `e`, or by the journals that a claim names as its own. `weights`: the directory that
 * models of AUDIT_GATES are in. */
int audit_judge(audit *a, const evidence *e, const char *weights, pal_error *err);

enum { AUDIT_BASIS = 96 };
/* "n = 9, one seed, family of 26": what a finding rests on; "" where nothing was sampled. Returns out. */
char *audit_basis(const audit_finding *f, char out[AUDIT_BASIS]);
void audit_print(const audit *a, FILE *out);
/* Committed verdicts, "claim,verdict,summary" rows. Prints what differs; *changed: how many. */
int audit_compare(const audit *a, const char *path, FILE *out, size_t *changed, pal_error *err);
int audit_write(const audit *a, const char *path, pal_error *err);

/* All of the above. PAL_GATE: a verdict is not the committed one. */
int audit_run(const audit_options *o, const task_module *const *tasks, FILE *out, pal_error *err);

/* ---- audit_rules.c ---- */

int audit_apply(const audit_claim *claim, const evidence *e, const char *weights, audit_finding *out,
                pal_error *err);

/* ---- audit_gates.c ---- */

/* Judge AUDIT_GATES for one model; a line of evidence on `out`. *known 0: it has no weights, or no gates. */
int audit_gates(const audit_claim *claim, const char *model, const char *weights, FILE *out, int *known,
                int *holds, pal_error *err);

/* ---- audit_trend.c ---- */

/* One cell of a trend: y is sum(num) / sum(den) of its n samples, or clusters of them. */
typedef struct trend_point {
    double x;
    double *num, *den;
    int64_t n;
} trend_point;

/* The least-squares slope of y over x. Its interval is Student's with the degrees of Welch and Satterthwaite, from
 * the spread of the parts of each point; a point of one part has none, and so has the slope. Without spread the
 * interval is the slope itself. At least two different x. */
void trend_slope(const trend_point *point, size_t count, double level, double *slope, interval *ci);

extern const pal_command audit_command;

#endif

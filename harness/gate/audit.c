/* The audit: judges every claim, prints verdicts and evidence, and compares them with the committed verdicts. */
#include "harness/gate/audit.h"

#include "harness/base/home.h"
#include "harness/base/os.h"
#include "harness/base/utf8.h"
#include "harness/eval/model_files.h"

#include <stdlib.h>
#include <string.h>

const char *const audit_verdict_name[] = {"reproduced", "not reproduced", "not comparable", "not run"};
enum { ORIGINS = AUDIT_CONSTRUCTION + 1 };

/* The journals of one claim's own directory, kept while the next claims name the same. */
typedef struct own_journals {
    const char *dir;
    evidence *e;
} own_journals;

static void free_own(own_journals *own)
{
    if (own->e) evidence_free(own->e);
    free(own->e);
    *own = (own_journals){0};
}

static int read_own(own_journals *own, const char *dir, pal_error *err)
{
    char path[KV_TEXT_MAX];
    if (own->e && strcmp(own->dir, dir) == 0) return PAL_OK;
    free_own(own);
    evidence *e = malloc(sizeof *e);
    if (!e) return pal_fail(err, PAL_INTERNAL, "out of memory for the audit");
    const int code = evidence_read(e, task_table, home_path(dir, path), err);
    if (code != PAL_OK) {
        free(e);
        return code;
    }
    *own = (own_journals){dir, e};
    return PAL_OK;
}

int audit_judge(audit *a, const evidence *e, const char *weights, pal_error *err)
{
    own_journals own = {0};
    int code = PAL_OK;
    a->finding = calloc(a->count + 1, sizeof *a->finding);
    if (!a->finding) return pal_fail(err, PAL_INTERNAL, "out of memory for the audit");
    for (size_t i = 0; code == PAL_OK && i < a->count; i++) {
        const char *dir = a->claim[i].results;
        if (dir[0]) code = read_own(&own, dir, err);
        if (code == PAL_OK) code = audit_apply(&a->claim[i], dir[0] ? own.e : e, weights, &a->finding[i], err);
    }
    free_own(&own);
    return code;
}

/* ---- Printing ---- */

static void put_indented(FILE *out, const char *text)
{
    for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
        fprintf(out, "      %.*s\n", (int)strcspn(text, "\n"), text);
}

/* "n = 9, one seed, family of 26" of what a finding rests on; "" where nothing was sampled. */
char *audit_basis(const audit_finding *f, char out[AUDIT_BASIS])
{
    char seeds[32] = "", family[40] = "";
    out[0] = '\0';
    if (!f->n) return out;
    if (f->seeds > 1) snprintf(seeds, sizeof seeds, ", %zu seeds", f->seeds);
    if (f->family) snprintf(family, sizeof family, ", family of %zu", f->family);
    snprintf(out, AUDIT_BASIS, "n = %lld%s%s", (long long)f->n, f->seeds == 1 ? ", one seed" : seeds, family);
    return out;
}

static void print_claim(const audit_claim *c, const audit_finding *f, FILE *out)
{
    char basis[AUDIT_BASIS];
    fprintf(out, "%s: %s (%s)\n    %s\n    %s: %s; rule %s", c->id, audit_verdict_name[f->verdict], f->summary,
            c->claim, audit_origin_name[c->origin], c->source, audit_rule_name(c));
    if (c->metric[0]) fprintf(out, " of %s", c->metric);
    if (c->value != 0 || c->tolerance != 0) fprintf(out, ", value %g, tolerance %g", c->value, c->tolerance);
    if (audit_basis(f, basis)[0]) fprintf(out, "; %s", basis);
    if (c->results[0]) fprintf(out, "; journals of %s", c->results);
    fputc('\n', out);
    put_indented(out, f->evidence);
    fprintf(out, "    ours differs: %s\n\n", c->differs);
}

void audit_print(const audit *a, FILE *out)
{
    size_t count[ORIGINS + 1][AUDIT_VERDICTS] = {{0}};
    for (size_t i = 0; i < a->count; i++) {
        print_claim(&a->claim[i], &a->finding[i], out);
        count[a->claim[i].origin][a->finding[i].verdict]++;
        count[ORIGINS][a->finding[i].verdict]++;
    }
    for (size_t o = 0; o <= ORIGINS; o++) {
        size_t all = 0;
        for (size_t v = 0; v < AUDIT_VERDICTS; v++) all += count[o][v];
        if (!all) continue;
        fprintf(out, "%zu claims%s%s:", all, o < ORIGINS ? ", " : "", o < ORIGINS ? audit_origin_name[o] : "");
        for (size_t v = 0; v < AUDIT_VERDICTS; v++)
            fprintf(out, "%s %zu %s", v ? "," : "", count[o][v], audit_verdict_name[v]);
        fputc('\n', out);
    }
}

/* ---- Committed verdicts ---- */

static const char header[] = "claim,verdict,summary\n";

int audit_write(const audit *a, const char *path, pal_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) return pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    fputs(header, out);
    for (size_t i = 0; i < a->count; i++) {
        fprintf(out, "%s,%s,", a->claim[i].id, audit_verdict_name[a->finding[i].verdict]);
        text_csv(out, a->finding[i].summary);
        fputc('\n', out);
    }
    return text_finish(out, &text, &size, path, err);
}

/* The claim that a row is about: its index, count for one that is gone; and its verdict. */
static int read_row(const audit *a, const char *row, const char *path, int line, size_t *claim, int *verdict,
                    pal_error *err)
{
    const size_t id = strcspn(row, ",\n"), word = row[id] == ',' ? strcspn(row + id + 1, ",\n") : 0;
    *verdict = 0;
    while (*verdict < AUDIT_VERDICTS && (strlen(audit_verdict_name[*verdict]) != word ||
                                         strncmp(audit_verdict_name[*verdict], row + id + 1, word) != 0))
        ++*verdict;
    if (id == 0 || *verdict == AUDIT_VERDICTS)
        return pal_fail(err, PAL_DATA, "%s:%d: not a claim and its verdict; update=1 writes the file anew", path,
                        line);
    *claim = 0;
    while (*claim < a->count && (strlen(a->claim[*claim].id) != id || strncmp(a->claim[*claim].id, row, id) != 0))
        ++*claim;
    return PAL_OK;
}

static int compare_rows(const audit *a, const char *text, const char *path, int *seen, FILE *out, size_t *changed,
                        pal_error *err)
{
    int line = 1, verdict;
    size_t claim = 0;
    if (strncmp(text, header, sizeof header - 1) != 0)
        return pal_fail(err, PAL_DATA, "%s:1: not a list of verdicts; update=1 writes the file anew", path);
    for (const char *row = text + sizeof header - 1; *row; row += strcspn(row, "\n"), row += *row == '\n') {
        PAL_TRY(read_row(a, row, path, ++line, &claim, &verdict, err));
        if (claim == a->count) {
            fprintf(out, "changed: %.*s was %s, and is no claim any more\n", (int)strcspn(row, ","), row,
                    audit_verdict_name[verdict]);
            ++*changed;
            continue;
        }
        seen[claim] = 1;
        if ((int)a->finding[claim].verdict == verdict) continue;
        fprintf(out, "changed: %s was %s, is %s\n", a->claim[claim].id, audit_verdict_name[verdict],
                audit_verdict_name[a->finding[claim].verdict]);
        ++*changed;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (seen[i]) continue;
        fprintf(out, "changed: %s is new and %s\n", a->claim[i].id, audit_verdict_name[a->finding[i].verdict]);
        ++*changed;
    }
    return PAL_OK;
}

int audit_compare(const audit *a, const char *path, FILE *out, size_t *changed, pal_error *err)
{
    char *text;
    *changed = 0;
    if (!os_file_exists(path))
        return pal_fail(err, PAL_DATA, "%s: no committed verdicts; update=1 writes them", path);
    PAL_TRY(utf8_read_text(path, &text, err));
    int *seen = calloc(a->count + 1, sizeof *seen);
    const int code = seen ? compare_rows(a, text, path, seen, out, changed, err)
                          : pal_fail(err, PAL_INTERNAL, "out of memory for the audit");
    free(seen);
    free(text);
    return code;
}

/* ---- The command ---- */

static int finish(const audit *a, const audit_options *o, FILE *out, pal_error *err)
{
    size_t changed;
    audit_print(a, out);
    if (o->update) {
        PAL_TRY(audit_write(a, o->verdicts, err));
        fprintf(out, "wrote %s\n", o->verdicts);
        return PAL_OK;
    }
    PAL_TRY(audit_compare(a, o->verdicts, out, &changed, err));
    if (changed)
        return pal_fail(err, PAL_GATE, "%zu verdicts are not those of %s; update=1 accepts them", changed,
                        o->verdicts);
    fprintf(out, "all as in %s\n", o->verdicts);
    return PAL_OK;
}

int audit_run(const audit_options *o, const task_module *const *tasks, FILE *out, pal_error *err)
{
    audit a;
    PAL_TRY(audit_read(&a, o->claims, err));
    evidence *e = malloc(sizeof *e);
    int code = e ? evidence_read(e, tasks, o->results, err) : pal_fail(err, PAL_INTERNAL, "out of memory");
    if (code == PAL_OK) {
        evidence_note(e, out);
        code = audit_judge(&a, e, o->weights, err);
        if (code == PAL_OK) code = finish(&a, o, out, err);
        evidence_free(e);
    }
    free(e);
    audit_free(&a);
    return code;
}

/* ---- The command ---- */

#define AT(field) offsetof(audit_options, field)

static const kv_spec options_table[] = {
    {"claims", KV_TEXT, AT(claims), "results/expected/claims.conf", 0, 0, KV_HOME, "the claims"},
    {"verdicts", KV_TEXT, AT(verdicts), "results/expected/verdicts.csv", 0, 0, KV_HOME, "the committed verdicts"},
    {"results", KV_TEXT, AT(results), "results/reference", 0, 0, KV_HOME,
     "directory of the journals; the committed verdicts are about those that are committed too"},
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, KV_HOME, "directory of the models, for their gates"},
    {"update", KV_CHOICE, AT(update), "0", 0, 0, "0|1", "1: write the verdicts instead of comparing with them"},
};

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    (void)rest;
    return audit_run(options, task_table, stdout, err);
}

const pal_command audit_command = {
    .name = "audit",
    .summary = "hold the papers' claims against the journals; exit code 1 if a verdict changed",
    .examples = "audit\n"
                "audit results=results\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(audit_options),
    .run = run,
};

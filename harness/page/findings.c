/* A page of findings: what stands between its markers is made anew from the journals, or compared with them.
 * The rest of the page is left as it is, byte for byte. */
#include "harness/page/findings.h"

#include "harness/base/os.h"
#include "harness/page/finding_tables.h"

#include <stdlib.h>
#include <string.h>

static const char opening[] = "<!-- table ", closing[] = "<!-- end -->";

/* ---- The page ---- */

/* The words of the marker line[size], which is followed by a line feed or the end. */
static int read_marker(findings *f, const char *line, size_t size, const finding_table **kind)
{
    char *text = strndup(line + sizeof opening - 1, size - (sizeof opening - 1)), *rest = NULL;
    if (!text) return pal_fail(f->err, PAL_INTERNAL, "out of memory for a page of findings");
    char *end = strstr(text, " -->");
    int code = end ? PAL_OK : pal_fail(f->err, PAL_DATA, "%s: the marker does not end in \" -->\"", f->where);
    if (end) *end = '\0';
    const char *name = end ? strtok_r(text, " ", &rest) : NULL;
    *kind = finding_tables;
    while (name && (*kind)->kind && strcmp((*kind)->kind, name) != 0) ++*kind;
    if (code == PAL_OK && (!name || !(*kind)->kind))
        code = pal_fail(f->err, PAL_DATA,
                        "%s: no table \"%.40s\"; there are passkey, perplexity, lengths, booksum and claims",
                        f->where, name ? name : "");
    for (char *word = NULL; code == PAL_OK && (word = strtok_r(NULL, " ", &rest));)
        code = kv_pairs_args(&f->words, 1, &word, f->err);
    free(text);
    return code;
}

/* The table, of the page's journals or of those in its own results=. */
static int put_table(findings *f, const finding_table *kind)
{
    const char *dir = kv_pairs_value(&f->words, "results");
    if (!dir && f->needs_page) *f->needs_page = 1;
    if (!dir || !f->evidence) return kind->put(f);
    const evidence *page = f->evidence;
    evidence *own = malloc(sizeof *own);
    if (!own) return pal_fail(f->err, PAL_INTERNAL, "out of memory for the findings");
    int code = evidence_read(own, task_table, dir, f->err);
    if (code == PAL_OK) {
        f->evidence = own;
        code = kind->put(f);
        f->evidence = page;
        evidence_free(own);
    }
    free(own);
    return code;
}

static int fill(findings *f, const char *page, const char *name)
{
    size_t line = 1;
    for (const char *at = page; *at; line++) {
        const size_t size = strcspn(at, "\n"), whole = size + (at[size] == '\n');
        fwrite(at, 1, whole, f->out);
        if (strncmp(at, opening, sizeof opening - 1) == 0) {
            char where[KV_TEXT_MAX + 32];
            const finding_table *kind = NULL;
            snprintf(where, sizeof where, "%.300s:%zu", name, line);
            f->where = where;
            f->words = (kv_pairs){0};
            const char *end = strstr(at, closing);
            int code = end ? read_marker(f, at, size, &kind)
                           : pal_fail(f->err, PAL_DATA, "%s: no %s behind this marker", where, closing);
            if (code == PAL_OK) code = put_table(f, kind);
            kv_pairs_free(&f->words);
            PAL_TRY(code);
            for (; at < end; at++) line += *at == '\n';
            line--;
            continue;
        }
        at += whole;
    }
    return PAL_OK;
}

static int fill_with(const evidence *e, const audit *a, const char *page, const char *name, int *needs_page,
                     char **out, pal_error *err)
{
    size_t size = 0;
    findings f = {
        .evidence = e, .audit = a, .needs_page = needs_page, .err = err, .out = open_memstream(out, &size)};
    if (!f.out) return pal_fail(err, PAL_INTERNAL, "out of memory for a page of findings");
    int code = fill(&f, page, name);
    const int failed = ferror(f.out);
    if ((fclose(f.out) != 0 || failed) && code == PAL_OK)
        code = pal_fail(err, PAL_INTERNAL, "out of memory for a page of findings");
    if (code == PAL_OK) return PAL_OK;
    free(*out);
    *out = NULL;
    return code;
}

int findings_fill(const char *page, const char *name, const char *dir, const char *claims, const char *weights,
                  char **out, pal_error *err)
{
    /* Judging the claims takes longest: only where a table shows them. */
    const int judged = strstr(page, "<!-- table claims") != NULL;
    audit a = {0};
    evidence *e = malloc(sizeof *e);
    if (!e) return pal_fail(err, PAL_INTERNAL, "out of memory for the findings");
    /* Bad markers first: reading the journals takes seconds. */
    int needs_page = 0;
    int code = fill_with(NULL, NULL, page, name, &needs_page, out, err);
    if (code == PAL_OK) {
        free(*out);
        *e = (evidence){.count = 0};
        if (needs_page) code = evidence_read(e, task_table, dir, err);
    }
    if (code == PAL_OK) {
        if (judged) code = audit_read(&a, claims, err);
        if (code == PAL_OK && judged) code = audit_judge(&a, e, weights, err);
        if (code == PAL_OK) code = fill_with(e, &a, page, name, NULL, out, err);
        audit_free(&a);
        evidence_free(e);
    }
    free(e);
    return code;
}

/* ---- The command ---- */

typedef struct findings_options {
    char page[KV_TEXT_MAX], results[KV_TEXT_MAX], claims[KV_TEXT_MAX], weights[KV_TEXT_MAX];
    int64_t check;
} findings_options;

#define AT(field) offsetof(findings_options, field)

static const kv_spec options_table[] = {
    {"page", KV_TEXT, AT(page), "results/README.md", 0, 0, NULL, "the page whose tables are written"},
    {"results", KV_TEXT, AT(results), "results/reference", 0, 0, NULL, "directory of the journals"},
    {"claims", KV_TEXT, AT(claims), "results/expected/claims.conf", 0, 0, NULL, "the claims to judge"},
    {"weights", KV_TEXT, AT(weights), "models/weights", 0, 0, NULL, "directory of the models"},
    {"check", KV_CHOICE, AT(check), "0", 0, 0, "0|1",
     "write nothing; exit code 1 when a table is not the journals'"},
};

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    (void)rest;
    const findings_options *o = options;
    char *page, *made = NULL;
    size_t size;
    PAL_TRY(os_read_file(o->page, &page, &size, err));
    int code = findings_fill(page, o->page, o->results, o->claims, o->weights, &made, err);
    if (code == PAL_OK && strcmp(page, made) == 0)
        printf("%s: its tables are those of the journals\n", o->page);
    else if (code == PAL_OK && o->check)
        code = pal_fail(err, PAL_GATE, "%s: a table is not that of the journals; type make findings", o->page);
    else if (code == PAL_OK) {
        code = os_write_file(o->page, made, strlen(made), err);
        if (code == PAL_OK) printf("wrote the tables of %s\n", o->page);
    }
    free(page);
    free(made);
    return code;
}

const pal_command findings_command = {
    .name = "findings",
    .summary = "write the tables of results/README.md from the journals, or check them",
    .examples = "findings\nfindings check=1\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(findings_options),
    .run = run,
};

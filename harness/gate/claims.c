/* Reads the claims of an audit: sections of keys, each a claim with its rule. */
#include "harness/gate/audit.h"

#include "harness/base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(audit_claim, field)

static const char rule_names[] = "better|at_least|at_most|rises|falls|flat|ratio|formula|gates";

static const kv_spec claim_table[] = {
    {"source", KV_TEXT, AT(source), "", 0, 0, NULL, "where the claim is made"},
    {"claim", KV_TEXT, AT(claim), "", 0, 0, NULL, "a sentence"},
    {"differs", KV_TEXT, AT(differs), "", 0, 0, NULL, "how our configuration differs"},
    {"rule", KV_CHOICE, AT(rule), "better", 0, 0, rule_names, "audit.h says what they mean"},
    {"task", KV_TEXT, AT(task), "", 0, 0, NULL, NULL},
    {"metric", KV_TEXT, AT(metric), "", 0, 0, NULL, NULL},
    {"model", KV_TEXT, AT(model), "", 0, 0, NULL, NULL},
    {"against", KV_TEXT, AT(against), "", 0, 0, NULL, NULL},
    {"cells", KV_TEXT, AT(cells), "", 0, 0, NULL, NULL},
    {"lengths", KV_SIZES, AT(lengths), "0", 0, 0, NULL, NULL},
    {"depths", KV_REALS, AT(depths), "0,50", 0, 0, NULL, NULL},
    {"settings", KV_TEXT, AT(settings), "", 0, 0, NULL, NULL},
    {"value", KV_REAL, AT(value), "0", 0, 0, NULL, NULL},
    {"tolerance", KV_REAL, AT(tolerance), "0", 0, 0, NULL, NULL},
    {"least", KV_INT, AT(least), "5", 1, 10000000, NULL, NULL},
};
enum { CLAIM_KEYS = sizeof claim_table / sizeof *claim_table };

const char *audit_rule_name(const audit_claim *claim)
{
    static const char *const name[] = {
        [AUDIT_BETTER] = "better", [AUDIT_AT_LEAST] = "at_least", [AUDIT_AT_MOST] = "at_most",
        [AUDIT_RISES] = "rises",   [AUDIT_FALLS] = "falls",       [AUDIT_FLAT] = "flat",
        [AUDIT_RATIO] = "ratio",   [AUDIT_FORMULA] = "formula",   [AUDIT_GATES] = "gates"};
    return name[claim->rule];
}

/* ---- Sections ---- */

/* A copy of text[size] whose bytes outside [from, to) are blank, so that line numbers in messages stay right. */
static char *blank_around(const char *text, size_t size, size_t from, size_t to)
{
    char *copy = malloc(size + 1);
    for (size_t i = 0; copy && i < size; i++) copy[i] = (i >= from && i < to) || text[i] == '\n' ? text[i] : ' ';
    if (copy) copy[size] = '\0';
    return copy;
}

static int is_name(const char *text, size_t size)
{
    if (size == 0 || size >= sizeof((audit_claim *)0)->id) return 0;
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") >= size;
}

/* The keys without which a rule has nothing to judge. */
static int check_claim(const audit_claim *c, pal_error *err)
{
    const int weights_only = c->rule == AUDIT_GATES || c->rule == AUDIT_FORMULA;
    const int pairs = c->rule == AUDIT_BETTER || c->rule == AUDIT_RATIO || c->rule == AUDIT_FORMULA;
    const struct {
        const char *key, *value;
        int needed;
    } keys[] = {{"source", c->source, 1},
                {"claim", c->claim, 1},
                {"differs", c->differs, 1},
                {"model", c->model, 1},
                {"against", c->against, pairs},
                {"task", c->task, !weights_only},
                {"metric", c->metric, !weights_only},
                {"cells or lengths", c->lengths.value[0] > 0 ? "lengths" : c->cells, !weights_only}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].needed && !keys[i].value[0])
            return pal_fail(err, PAL_DATA, "%s: claim %s lacks %s", c->where, c->id, keys[i].key);
    return PAL_OK;
}

/* The body text[from, to) of the claim whose "[id]" was read. */
static int read_body(audit_claim *c, const char *path, const char *text, size_t size, size_t from, size_t to,
                     pal_error *err)
{
    kv_pairs pairs = {0};
    char *body = blank_around(text, size, from, to);
    int code =
        body ? kv_pairs_parse(&pairs, body, path, err) : pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    for (size_t i = 0; code == PAL_OK && i < pairs.count; i++)
        if (!kv_find(claim_table, CLAIM_KEYS, pairs.pair[i].key))
            code = pal_fail(err, PAL_DATA, "%s: %s is no key of a claim", pairs.pair[i].where, pairs.pair[i].key);
    if (code == PAL_OK) code = kv_defaults(claim_table, CLAIM_KEYS, c, err);
    if (code == PAL_OK) code = kv_apply(claim_table, CLAIM_KEYS, c, &pairs, err);
    if (code == PAL_OK) code = check_claim(c, err);
    kv_pairs_free(&pairs);
    free(body);
    return code;
}

static int add_claim(audit *a, const char *path, int line, const char *name, size_t name_size, pal_error *err)
{
    if (!is_name(name, name_size))
        return pal_fail(err, PAL_DATA, "%s:%d: \"%.*s\" cannot name a claim; use lower case, digits and '-'", path,
                        line, name_size > 60 ? 60 : (int)name_size, name);
    audit_claim *grown = realloc(a->claim, (a->count + 1) * sizeof *grown);
    if (!grown) return pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    a->claim = grown;
    audit_claim *c = &grown[a->count];
    *c = (audit_claim){.rule = AUDIT_BETTER};
    snprintf(c->id, sizeof c->id, "%.*s", (int)name_size, name);
    snprintf(c->where, sizeof c->where, "%.250s:%d", path, line);
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(grown[i].id, c->id) == 0)
            return pal_fail(err, PAL_DATA, "%s: claim %s is there twice", c->where, c->id);
    a->count++;
    return PAL_OK;
}

/* Where a section begins: '[' at the start of a line. size: there is none from `at` on. */
static size_t next_section(const char *text, size_t size, size_t at)
{
    while (at < size && !(text[at] == '[' && (at == 0 || text[at - 1] == '\n'))) at++;
    return at;
}

static int read_sections(audit *a, const char *path, const char *text, size_t size, pal_error *err)
{
    const size_t first = next_section(text, size, 0);
    kv_pairs pairs = {0};
    char *head = blank_around(text, size, 0, first);
    int code =
        head ? kv_pairs_parse(&pairs, head, path, err) : pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    if (code == PAL_OK && pairs.count)
        code = pal_fail(err, PAL_DATA, "%s: a key before the first [claim]", pairs.pair[0].where);
    kv_pairs_free(&pairs);
    free(head);
    for (size_t at = first; code == PAL_OK && at < size;) {
        const size_t end = at + strcspn(text + at, "\n"), next = next_section(text, size, end);
        const size_t name = strcspn(text + at + 1, "]\n");
        int line = 1;
        for (size_t i = 0; i < at; i++) line += text[i] == '\n';
        if (text[at + 1 + name] != ']')
            return pal_fail(err, PAL_DATA, "%s:%d: a claim begins with [its-name]", path, line);
        code = add_claim(a, path, line, text + at + 1, name, err);
        if (code == PAL_OK) code = read_body(&a->claim[a->count - 1], path, text, size, end, next, err);
        at = next;
    }
    if (code == PAL_OK && a->count == 0) code = pal_fail(err, PAL_DATA, "%s: there is no [claim] in it", path);
    return code;
}

int audit_read(audit *out, const char *path, pal_error *err)
{
    char *text;
    size_t size;
    *out = (audit){0};
    PAL_TRY(utf8_read_file(path, &text, &size, err));
    const int code = read_sections(out, path, text, size, err);
    free(text);
    if (code != PAL_OK) audit_free(out);
    return code;
}

void audit_free(audit *a)
{
    for (size_t i = 0; a->finding && i < a->count; i++) free(a->finding[i].evidence);
    free(a->finding);
    free(a->claim);
    *a = (audit){0};
}

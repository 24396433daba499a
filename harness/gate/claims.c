/* Reads the claims of an audit: sections of keys, each a claim with its rule. */
#include "harness/gate/audit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(audit_claim, field)

static const char rule_names[] = "better|at_least|at_most|rises|falls|flat|ratio|formula|nothing|gates";

static const char origin_names[] = "paper|article|blog|ours|construction";
const char *const audit_origin_name[] = {[AUDIT_PAPER] = "paper",
                                         [AUDIT_ARTICLE] = "press article",
                                         [AUDIT_BLOG] = "blog",
                                         [AUDIT_OURS] = "ours",
                                         [AUDIT_CONSTRUCTION] = "true by construction"};

static const kv_spec claim_table[] = {
    {"source", KV_TEXT, AT(source), "", 0, 0, NULL, "where the claim is made"},
    {"claim", KV_TEXT, AT(claim), "", 0, 0, NULL, "a sentence"},
    {"differs", KV_TEXT, AT(differs), "", 0, 0, NULL, "how our configuration differs"},
    {"origin", KV_CHOICE, AT(origin), "paper", 0, 0, origin_names, "who makes the claim"},
    {"rule", KV_CHOICE, AT(rule), "better", 0, 0, rule_names, "audit.h says what they mean"},
    {"task", KV_TEXT, AT(task), "", 0, 0, NULL, NULL},
    {"metric", KV_TEXT, AT(metric), "", 0, 0, NULL, NULL},
    {"model", KV_TEXT, AT(model), "", 0, 0, NULL, NULL},
    {"against", KV_TEXT, AT(against), "", 0, 0, NULL, NULL},
    {"cells", KV_TEXT, AT(cells), "", 0, 0, NULL, NULL},
    {"lengths", KV_SIZES, AT(lengths), "0", 0, 0, NULL, NULL},
    {"depths", KV_REALS, AT(depths), "0,50", 0, 0, NULL, NULL},
    {"floor", KV_TEXT, AT(floor), "", 0, 0, NULL, NULL},
    {"settings", KV_TEXT, AT(settings), "", 0, 0, NULL, NULL},
    {"results", KV_TEXT, AT(results), "", 0, 0, NULL, NULL},
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
        [AUDIT_RATIO] = "ratio",   [AUDIT_FORMULA] = "formula",   [AUDIT_NOTHING] = "nothing",
        [AUDIT_GATES] = "gates"};
    return name[claim->rule];
}

/* ---- Sections ---- */

static int is_name(const char *text)
{
    const size_t size = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return size > 0 && !text[size] && size < sizeof((audit_claim *)0)->id;
}

/* The keys without which a rule has nothing to judge. */
static int check_claim(const audit_claim *c, pal_error *err)
{
    const int weights_only = c->rule == AUDIT_GATES || c->rule == AUDIT_FORMULA || c->rule == AUDIT_NOTHING;
    const int pairs = c->rule == AUDIT_BETTER || c->rule == AUDIT_RATIO || c->rule == AUDIT_FORMULA;
    const struct {
        const char *key, *value;
        int needed;
    } keys[] = {{"source", c->source, 1},
                {"claim", c->claim, 1},
                {"differs", c->differs, 1},
                {"model", c->model, c->rule != AUDIT_NOTHING},
                {"against", c->against, pairs},
                {"task", c->task, !weights_only},
                {"metric", c->metric, !weights_only},
                {"cells or lengths", c->lengths.value[0] > 0 ? "lengths" : c->cells, !weights_only}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].needed && !keys[i].value[0])
            return pal_fail(err, PAL_DATA, "%s: claim %s lacks %s", c->where, c->id, keys[i].key);
    return PAL_OK;
}

static int read_claim(audit_claim *c, const kv_section *s, pal_error *err)
{
    *c = (audit_claim){.rule = AUDIT_BETTER};
    if (!is_name(s->name))
        return pal_fail(err, PAL_DATA, "%s: \"%.60s\" cannot name a claim; use lower case, digits and '-'",
                        s->where, s->name);
    snprintf(c->id, sizeof c->id, "%s", s->name);
    snprintf(c->where, sizeof c->where, "%.319s", s->where);
    for (size_t i = 0; i < s->own.count; i++)
        if (!kv_find(claim_table, CLAIM_KEYS, s->own.pair[i].key))
            return pal_fail(err, PAL_DATA, "%s: %s is no key of a claim", s->own.pair[i].where,
                            s->own.pair[i].key);
    PAL_TRY(kv_defaults(claim_table, CLAIM_KEYS, c, err));
    PAL_TRY(kv_apply(claim_table, CLAIM_KEYS, c, &s->own, err));
    return check_claim(c, err);
}

static int read_all(audit *a, const kv_sections *all, const char *path, pal_error *err)
{
    if (all->count == 0) return pal_fail(err, PAL_DATA, "%s: there is no [claim] in it", path);
    a->claim = malloc(all->count * sizeof *a->claim);
    if (!a->claim) return pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    for (; a->count < all->count; a->count++)
        PAL_TRY(read_claim(&a->claim[a->count], &all->section[a->count], err));
    return PAL_OK;
}

int audit_read(audit *out, const char *path, pal_error *err)
{
    kv_sections all = {0};
    *out = (audit){0};
    int code = sections_read(&all, path, err);
    if (code == PAL_OK) code = read_all(out, &all, path, err);
    sections_free(&all);
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

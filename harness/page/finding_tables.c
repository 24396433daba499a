/* Compact tables of passkey, perplexity, lengths, summaries and claims for a page of findings.
 * They hold no seconds and no speeds, so the same journals give the same bytes. */
#include "harness/page/finding_tables.h"

#include "harness/base/text.h"
#include "tasks/paper.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES = 64, NAME = 200, DEPTHS = 3 };
static const double depth_of[DEPTHS] = {0, 50, 100};

/* ---- Names and rows ---- */

typedef struct name_list {
    char name[NAMES][NAME];
    size_t count;
} name_list;

static int take_name(void *arg, const char *name, pal_error *err)
{
    name_list *list = arg;
    if (list->count == NAMES || strlen(name) >= NAME)
        return pal_fail(err, PAL_DATA, "more than %d names in a list, or one of %d characters", NAMES, NAME);
    memcpy(list->name[list->count++], name, strlen(name) + 1);
    return PAL_OK;
}

/* The names of a marker's word, which must be there. */
static int read_names(const findings *f, const char *key, name_list *out)
{
    const char *value = kv_pairs_value(&f->words, key);
    *out = (name_list){.count = 0};
    if (!value) return pal_fail(f->err, PAL_DATA, "%s: this table needs %s=", f->where, key);
    return kv_each_name(key, value, take_name, out, f->err);
}

static int fits(const char *pattern, const char *name)
{
    const size_t size = strlen(pattern);
    if (size && pattern[size - 1] == '*') return strncmp(pattern, name, size - 1) == 0;
    return strcmp(pattern, name) == 0;
}

/* A model's own row: not a control, nor a variant of the task. */
static int is_plain(const report_row *row)
{
    return row->cell->memory == RESULT_KEPT && !row->cell->variant[0];
}

static int find_report(const findings *f, const char *task, const report **out)
{
    *out = evidence_report(f->evidence, task);
    return *out ? PAL_OK : pal_fail(f->err, PAL_DATA, "%s: there is no journal of %s", f->where, task);
}

static size_t metric_index(const task_module *task, const char *name)
{
    size_t m = 0;
    while (m + 1 < task->metric_count && strcmp(task->metric[m].name, name) != 0) m++;
    return m;
}

/* Models in the order of the patterns, then of the report; each once, behind the first `count`. */
static size_t list_more(const report *rep, const name_list *patterns, const report_row **out, size_t count,
                        size_t room)
{
    for (size_t p = 0; p < patterns->count; p++)
        for (size_t i = 0; i < rep->count && count < room; i++) {
            const report_row *row = &rep->row[i];
            size_t earlier = 0;
            if (!is_plain(row) || !fits(patterns->name[p], row->cell->model)) continue;
            while (earlier < count && strcmp(out[earlier]->cell->model, row->cell->model) != 0) earlier++;
            if (earlier == count) out[count++] = row;
        }
    return count;
}

static size_t list_models(const report *rep, const name_list *patterns, const report_row **out, size_t room)
{
    return list_more(rep, patterns, out, 0, room);
}

/* Between backquotes a backslash stands for itself; what would end them, or the table's cell, has none around it.
 */
static void put_code(const findings *f, const char *name)
{
    int plain = 1;
    for (const char *c = name; *c; c++) plain &= (unsigned char)*c >= ' ' && !strchr("|`", *c);
    if (plain)
        fprintf(f->out, "`%s`", name);
    else
        text_markdown(f->out, name);
}

static void put_head(const findings *f, const char *const *column, size_t count)
{
    for (size_t i = 0; i < count; i++) fprintf(f->out, "| %s ", column[i]);
    fputs("|\n", f->out);
    for (size_t i = 0; i < count; i++) fputs("|---", f->out);
    fputs("|\n", f->out);
}

/* ---- Passkey ---- */

static const report_row *passkey_row(const report *rep, const report_row *like, int64_t length, double depth)
{
    for (size_t i = 0; i < rep->count; i++) {
        const result_cell *c = rep->row[i].cell;
        if (is_plain(&rep->row[i]) && strcmp(c->model, like->cell->model) == 0 && c->length == length &&
            c->depth == depth && strcmp(c->weights, like->cell->weights) == 0)
            return &rep->row[i];
    }
    return NULL;
}

static void put_passkey_cell(const findings *f, const report *rep, const report_row *like, int64_t length,
                             size_t m)
{
    int64_t n = 0;
    fputs("| ", f->out);
    for (int d = 0; d < DEPTHS; d++) {
        const report_row *row = passkey_row(rep, like, length, depth_of[d]);
        if (d) fputs(" / ", f->out);
        if (!row) {
            fputc('-', f->out);
            continue;
        }
        fprintf(f->out, "%.0f", 100 * row->metric[m].value);
        if (n == 0 || row->n < n) n = row->n;
    }
    if (n) fprintf(f->out, " (%lld)", (long long)n);
    fputc(' ', f->out);
}

/* 95 % intervals of the same, in percent. */
static void put_passkey_intervals(const findings *f, const report *rep, const report_row *like, int64_t length,
                                  size_t m)
{
    fputs("| ", f->out);
    for (int d = 0; d < DEPTHS; d++) {
        const report_row *row = passkey_row(rep, like, length, depth_of[d]);
        if (d) fputs(" / ", f->out);
        if (row && isfinite(row->metric[m].ci.lo))
            fprintf(f->out, "[%.0f, %.0f]", 100 * row->metric[m].ci.lo, 100 * row->metric[m].ci.hi);
        else
            fputc('-', f->out);
    }
    fputc(' ', f->out);
}

static void put_paper_row(const findings *f, const report_row *like, const kv_list *lengths)
{
    const model_facts *facts = &like->cell->facts;
    if (!isfinite(paper_passkey(facts, 32 << 10, 0))) return;
    fputs("| *the paper's, 1B parameters* | ", f->out);
    for (size_t l = 0; l < (size_t)lengths->count; l++) {
        fputs("| *", f->out);
        for (int d = 0; d < DEPTHS; d++) {
            const double value = paper_passkey(facts, (int64_t)lengths->value[l], depth_of[d]);
            if (isfinite(value))
                fprintf(f->out, "%s%.0f", d ? " / " : "", value);
            else
                fprintf(f->out, "%s-", d ? " / " : "");
        }
        fputs("* ", f->out);
    }
    fputs("|\n", f->out);
}

static int read_lengths(const findings *f, kv_list *out)
{
    const kv_spec spec = {.key = "lengths", .type = KV_SIZES, .offset = 0, .min = 1, .max = 1 << 30};
    const char *value = kv_pairs_value(&f->words, "lengths");
    if (!value) return pal_fail(f->err, PAL_DATA, "%s: this table needs lengths=", f->where);
    return kv_set(&spec, out, value, f->err);
}

static int put_passkey(const findings *f)
{
    const report *rep;
    const report_row *model[NAMES];
    name_list patterns;
    kv_list lengths = {0};
    PAL_TRY(read_names(f, "models", &patterns));
    PAL_TRY(read_lengths(f, &lengths));
    if (!f->evidence) return PAL_OK;
    PAL_TRY(find_report(f, "passkey", &rep));
    const size_t m = metric_index(rep->task, "token_accuracy"), models = list_models(rep, &patterns, model, NAMES);
    char text[24];
    fputs("| model (samples) | state ", f->out);
    for (size_t l = 0; l < (size_t)lengths.count; l++)
        fprintf(f->out, "| %s ", kv_format_size((int64_t)lengths.value[l], text));
    fputs("|\n|---|---", f->out);
    for (size_t l = 0; l < (size_t)lengths.count; l++) fputs("|---", f->out);
    fputs("|\n", f->out);
    for (size_t i = 0; i < models; i++) {
        fputs("| ", f->out);
        put_code(f, model[i]->cell->model);
        fputs(" | ", f->out);
        if (model[i]->cell->state_bytes)
            text_bytes(f->out, (double)model[i]->cell->state_bytes);
        else
            fputs("none", f->out);
        fputc(' ', f->out);
        for (size_t l = 0; l < (size_t)lengths.count; l++)
            put_passkey_cell(f, rep, model[i], (int64_t)lengths.value[l], m);
        fputs("|\n", f->out);
        put_paper_row(f, model[i], &lengths);
    }
    return PAL_OK;
}

/* ---- Perplexity ---- */

static const report_row *document_row(const report *rep, const report_row *like, const char *corpus, int memory)
{
    for (size_t i = 0; i < rep->count; i++) {
        const result_cell *c = rep->row[i].cell;
        if ((int)c->memory == memory && !c->variant[0] && strcmp(c->model, like->cell->model) == 0 &&
            strcmp(c->weights, like->cell->weights) == 0 && strcmp(c->name, corpus) == 0)
            return &rep->row[i];
    }
    return NULL;
}

static void put_difference(const findings *f, const report_comparison *list, size_t count, const report_row *row,
                           size_t m)
{
    fputs("| ", f->out);
    for (size_t i = 0; row && i < count; i++) {
        const pair *p = &list[i].paired;
        if (list[i].row != row || list[i].metric != m || list[i].baseline->cell->memory != RESULT_KEPT) continue;
        fprintf(f->out, "%+.3f", p->difference);
        if (isfinite(p->ci.lo)) fprintf(f->out, " [%+.3f, %+.3f]", p->ci.lo, p->ci.hi);
        fprintf(f->out, ", one seed | %.2g of %zu |\n", list[i].p_family, list[i].family);
        return;
    }
    fputs("| |\n", f->out);
}

static int put_perplexity(const findings *f)
{
    const report *rep;
    const report_row *model[NAMES];
    name_list patterns, corpora;
    report_comparison *list;
    size_t compared;
    PAL_TRY(read_names(f, "models", &patterns));
    PAL_TRY(read_names(f, "corpora", &corpora));
    if (!f->evidence) return PAL_OK;
    PAL_TRY(find_report(f, "perplexity", &rep));
    PAL_TRY(report_compare(rep, &list, &compared, f->err));
    const size_t m = metric_index(rep->task, "bits_per_byte"), models = list_models(rep, &patterns, model, NAMES);
    fputs("| model | parameters ", f->out);
    for (size_t c = 0; c < corpora.count; c++) fprintf(f->out, "| %s ", corpora.name[c]);
    fprintf(f->out,
            "| memory emptied (%s) | against Transformer-XL of its size and seed (%s) | p, family of "
            "|\n|---|---|---|---|---",
            corpora.name[0], corpora.name[0]);
    for (size_t c = 0; c < corpora.count; c++) fputs("|---", f->out);
    fputs("|\n", f->out);
    for (size_t i = 0; i < models; i++) {
        const report_row *first = document_row(rep, model[i], corpora.name[0], RESULT_KEPT);
        const report_row *zeroed = document_row(rep, model[i], corpora.name[0], RESULT_ZEROED);
        fputs("| ", f->out);
        put_code(f, model[i]->cell->model);
        fprintf(f->out, " | %.2fM ", (double)model[i]->cell->parameters / 1e6);
        for (size_t c = 0; c < corpora.count; c++) {
            const report_row *row = document_row(rep, model[i], corpora.name[c], RESULT_KEPT);
            const summary *s = row ? &row->metric[m] : NULL;
            fputs("| ", f->out);
            if (s) fprintf(f->out, "%.3f ", s->value);
            if (s && isfinite(s->ci.lo)) fprintf(f->out, "[%.3f, %.3f] ", s->ci.lo, s->ci.hi);
            if (s) fprintf(f->out, "n=%lld ", (long long)row->n);
        }
        if (zeroed)
            fprintf(f->out, "| %.3f ", zeroed->metric[m].value);
        else
            fputs("| ", f->out);
        put_difference(f, list, compared, first, m);
    }
    free(list);
    return PAL_OK;
}

/* ---- Lengths ---- */

/* Bytes of state that a stream of the row keeps, buffered tokens included. */
static double bytes_held(const report_row *row)
{
    uint64_t most = 0;
    for (int64_t i = 0; row && i < row->n; i++)
        if (row->cell->sample[i].held > most) most = row->cell->sample[i].held;
    return (double)most;
}

/* Documents cut to a length: the cell "books/test:4K". */
static const report_row *cut_row(const report *rep, const report_row *like, const char *corpus, double length)
{
    char name[KV_TEXT_MAX + 32], text[24];
    snprintf(name, sizeof name, "%s:%s", corpus, kv_format_size((int64_t)length, text));
    return document_row(rep, like, name, RESULT_KEPT);
}

/* Four lines for each model: what it finds, with intervals, its perplexity and its bytes at each length. */
static int put_lengths(const findings *f)
{
    const report *keys, *texts;
    const report_row *model[NAMES];
    const char *corpus = kv_pairs_value(&f->words, "corpus");
    name_list patterns;
    kv_list lengths = {0};
    char text[24];
    PAL_TRY(read_names(f, "models", &patterns));
    PAL_TRY(read_lengths(f, &lengths));
    if (!corpus) return pal_fail(f->err, PAL_DATA, "%s: this table needs corpus=", f->where);
    if (!f->evidence) return PAL_OK;
    PAL_TRY(find_report(f, "passkey", &keys));
    PAL_TRY(find_report(f, "perplexity", &texts));
    const size_t digits = metric_index(keys->task, "token_accuracy"), ppl = metric_index(texts->task, "token_ppl"),
                 models = list_more(texts, &patterns, model, list_models(keys, &patterns, model, NAMES), NAMES),
                 columns = (size_t)lengths.count;
    fputs("| model | ", f->out);
    for (size_t l = 0; l < columns; l++) fprintf(f->out, "| %s ", kv_format_size((int64_t)lengths.value[l], text));
    fputs("|\n|---|---", f->out);
    for (size_t l = 0; l < columns; l++) fputs("|---", f->out);
    for (size_t i = 0; i < models; i++) {
        fputs("|\n| ", f->out);
        put_code(f, model[i]->cell->model);
        fputs(" | digits, % (n) ", f->out);
        for (size_t l = 0; l < columns; l++)
            put_passkey_cell(f, keys, model[i], (int64_t)lengths.value[l], digits);
        fputs("|\n| | 95 % ", f->out);
        for (size_t l = 0; l < columns; l++)
            put_passkey_intervals(f, keys, model[i], (int64_t)lengths.value[l], digits);
        fputs("|\n| | perplexity (n) ", f->out);
        for (size_t l = 0; l < columns; l++) {
            const report_row *row = cut_row(texts, model[i], corpus, lengths.value[l]);
            fputs("| ", f->out);
            if (!row) continue;
            const summary *s = &row->metric[ppl];
            fprintf(f->out, "%.2f ", s->value);
            if (isfinite(s->ci.lo)) fprintf(f->out, "[%.2f, %.2f] ", s->ci.lo, s->ci.hi);
            fprintf(f->out, "(%lld) ", (long long)row->n);
        }
        fputs("|\n| | bytes kept ", f->out);
        for (size_t l = 0; l < columns; l++) {
            double held = bytes_held(cut_row(texts, model[i], corpus, lengths.value[l]));
            for (int d = 0; held == 0 && d < DEPTHS; d++)
                held = bytes_held(passkey_row(keys, model[i], (int64_t)lengths.value[l], depth_of[d]));
            fputs("| ", f->out);
            if (held > 0) text_bytes(f->out, held);
            fputs(held > 0 ? " " : "", f->out);
        }
    }
    fputs("|\n", f->out);
    return PAL_OK;
}

/* ---- Summaries ---- */

static const report_row *story_row(const report *rep, const report_row *like, const char *corpus, int64_t length)
{
    char name[KV_TEXT_MAX + 32], text[24];
    snprintf(name, sizeof name, "%s:len=%s", corpus, kv_format_size(length, text));
    for (size_t i = 0; i < rep->count; i++)
        if (strcmp(rep->row[i].cell->name, name) == 0 && strcmp(rep->row[i].label, like->label) == 0)
            return &rep->row[i];
    return NULL;
}

static int put_booksum(const findings *f)
{
    const report *rep;
    const char *corpus = kv_pairs_value(&f->words, "corpus");
    kv_list lengths = {0};
    char text[24];
    if (!corpus) return pal_fail(f->err, PAL_DATA, "%s: this table needs corpus=", f->where);
    PAL_TRY(read_lengths(f, &lengths));
    if (!f->evidence) return PAL_OK;
    PAL_TRY(find_report(f, "booksum", &rep));
    const size_t overall = metric_index(rep->task, "overall"), facts = metric_index(rep->task, "facts");
    fputs("| model ", f->out);
    for (size_t l = 0; l < (size_t)lengths.count; l++)
        fprintf(f->out, "| %s ", kv_format_size((int64_t)lengths.value[l], text));
    fputs("|\n|---", f->out);
    for (size_t l = 0; l < (size_t)lengths.count; l++) fputs("|---", f->out);
    fputs("|\n", f->out);
    for (size_t i = 0; i < rep->count; i++) {
        const report_row *row = &rep->row[i];
        if (row != story_row(rep, row, corpus, (int64_t)lengths.value[0])) continue;
        char label[LABEL_TEXT];
        fputs("| ", f->out);
        if (row->cell->kind == RESULT_REFERENCE)
            text_markdown(f->out, label_name(row->cell, label));
        else
            put_code(f, label_name(row->cell, label));
        fputc(' ', f->out);
        for (size_t l = 0; l < (size_t)lengths.count; l++) {
            const report_row *at = story_row(rep, row, corpus, (int64_t)lengths.value[l]);
            if (!at) {
                fputs("| ", f->out);
                continue;
            }
            const summary *s = &at->metric[overall];
            fprintf(f->out, "| %.1f ", 100 * s->value);
            if (isfinite(s->ci.lo)) fprintf(f->out, "[%.0f, %.0f] ", 100 * s->ci.lo, 100 * s->ci.hi);
            fprintf(f->out, "(%.0f) ", 100 * at->metric[facts].value);
        }
        fputs("|\n", f->out);
    }
    return PAL_OK;
}

/* ---- Claims ---- */

static int put_claims(const findings *f)
{
    if (!f->evidence) return PAL_OK;
    static const char *const columns[] = {"claim", "source", "verdict", "cells", "rests on"};
    put_head(f, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < f->audit->count; i++) {
        char basis[AUDIT_BASIS];
        fputs("| ", f->out);
        text_markdown(f->out, f->audit->claim[i].claim);
        fprintf(f->out, " | %s: ", audit_origin_name[f->audit->claim[i].origin]);
        text_markdown(f->out, f->audit->claim[i].source);
        fprintf(f->out, " | %s | ", audit_verdict_name[f->audit->finding[i].verdict]);
        text_markdown(f->out, f->audit->finding[i].summary);
        fprintf(f->out, " | %s |\n", audit_basis(&f->audit->finding[i], basis));
    }
    return PAL_OK;
}

const finding_table finding_tables[] = {{"passkey", put_passkey}, {"perplexity", put_perplexity},
                                        {"lengths", put_lengths}, {"booksum", put_booksum},
                                        {"claims", put_claims},   {NULL, NULL}};

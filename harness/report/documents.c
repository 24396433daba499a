/* Tables 2 and 4: whole documents, a row for each model and a column for each corpus or score. */
#include "harness/report/classes.h"
#include "harness/report/tables.h"
#include "tasks/paper.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CORPORA_MAX = 32 };

/* Rows of one model, and the cells of whole documents that any of them has. */
typedef struct documents {
    const report *rep;
    const report_row **model; /* the first row of each label */
    size_t models;
    const result_cell *corpus[CORPORA_MAX]; /* a cell of each name */
    size_t corpora;
} documents;

static int competes(const report_row *row)
{
    return row->cell->memory == RESULT_KEPT && row->cell->kind == RESULT_MODEL;
}

/* Models by class of size, then models without their memory, then references: all in the report's order. */
static int section(const documents *d, const report_row *row)
{
    enum { ZEROED = 1000000, REFERENCES };
    if (row->cell->kind == RESULT_REFERENCE) return REFERENCES;
    return row->cell->memory == RESULT_ZEROED ? ZEROED : report_size_class(d->rep, row->cell);
}

/* The section after `part`; INT_MAX: there is none. */
static int next_section(const documents *d, int part)
{
    int next = INT_MAX;
    for (size_t i = 0; i < d->rep->count; i++) {
        const int own = section(d, &d->rep->row[i]);
        if (own > part && own < next) next = own;
    }
    return next;
}

/* Keep the cell's texts, sorted; 0: there is no room. */
static int add_corpus(documents *d, const result_cell *cell)
{
    size_t at = 0;
    while (at < d->corpora && report_texts_order(d->corpus[at], cell) < 0) at++;
    if (at < d->corpora && report_texts_order(d->corpus[at], cell) == 0) return 1;
    if (d->corpora == CORPORA_MAX) return 0;
    memmove(d->corpus + at + 1, d->corpus + at, (d->corpora - at) * sizeof *d->corpus);
    d->corpus[at] = cell;
    d->corpora++;
    return 1;
}

static int documents_create(documents *d, const report *rep, pal_error *err)
{
    *d = (documents){.rep = rep, .model = malloc((rep->count + 1) * sizeof *d->model)};
    if (!d->model) return pal_fail(err, PAL_INTERNAL, "out of memory for the tables");
    for (int part = next_section(d, -1); part != INT_MAX; part = next_section(d, part)) {
        const size_t from = d->models;
        for (size_t i = 0; i < rep->count; i++) {
            const report_row *row = &rep->row[i];
            if (row->cell->extent != RESULT_DOCUMENTS || section(d, row) != part) continue;
            size_t at = from;
            while (at < d->models && strcmp(d->model[at]->label, row->label) != 0) at++;
            if (at == d->models) d->model[d->models++] = row;
            if (add_corpus(d, row->cell)) continue;
            free(d->model);
            return pal_fail(err, PAL_DATA,
                            "%s: more than %d corpora; keep those of a table in a journal of their own",
                            rep->task->name, CORPORA_MAX);
        }
    }
    return PAL_OK;
}

static const report_row *find_row(const documents *d, size_t model, size_t corpus)
{
    for (size_t i = 0; i < d->rep->count; i++) {
        const report_row *row = &d->rep->row[i];
        if (strcmp(row->label, d->model[model]->label) == 0 &&
            strcmp(row->cell->name, d->corpus[corpus]->name) == 0)
            return row;
    }
    return NULL;
}

static uint64_t held(const documents *d, size_t model)
{
    uint64_t most = 0;
    for (size_t c = 0; c < d->corpora; c++) {
        const report_row *row = find_row(d, model, c);
        for (int64_t i = 0; row && i < row->n; i++)
            if (row->cell->sample[i].held > most) most = row->cell->sample[i].held;
    }
    return most;
}

int tables_mark_best(table *t, size_t column, const task_metric *metric, size_t index,
                     const report_row *const *row, const size_t *line, size_t count, pal_error *err)
{
    size_t best;
    double p;
    PAL_TRY(evidence_best(metric, index, row, count, &best, &p, err));
    if (best == count || !t || t->failed) return PAL_OK;
    table_cell *c = &t->cell[line[best] * t->columns + column];
    c->bold = 1;
    c->p = p;
    return PAL_OK;
}

static int metric_index(const task_module *task, const char *name)
{
    for (size_t m = 0; m < task->metric_count; m++)
        if (strcmp(task->metric[m].name, name) == 0) return (int)m;
    return -1;
}

/* Make the best of one section of models bold. */
static int mark_section(table *t, const documents *d, size_t corpus, size_t column, size_t metric, int part,
                        pal_error *err)
{
    const report_row **rival = calloc(d->models + 1, sizeof *rival);
    size_t *line = calloc(d->models + 1, sizeof *line), rivals = 0;
    int code = rival && line ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the tables");
    for (size_t k = 0; code == PAL_OK && k < d->models; k++) {
        const report_row *row = find_row(d, k, corpus);
        if (!row || !competes(row) || section(d, row) != part || !isfinite(row->metric[metric].value)) continue;
        rival[rivals] = row;
        line[rivals++] = k;
    }
    if (code == PAL_OK)
        code = tables_mark_best(t, column, &d->rep->task->metric[metric], metric, rival, line, rivals, err);
    free(rival);
    free(line);
    return code;
}

/* The column of each corpus: our values, the best of each size bold. */
static int put_corpus(table *t, const documents *d, size_t corpus, size_t column, size_t metric, pal_error *err)
{
    for (size_t k = 0; t && !t->failed && k < d->models; k++) {
        const report_row *row = find_row(d, k, corpus);
        if (row)
            t->cell[k * t->columns + column] =
                table_cell_of(&d->rep->task->metric[metric], &row->metric[metric], row->n);
    }
    for (int part = next_section(d, -1); part != INT_MAX; part = next_section(d, part))
        PAL_TRY(mark_section(t, d, corpus, column, metric, part, err));
    return PAL_OK;
}

/* ---- Table 2 ---- */

enum { PPL_MODEL, PPL_PARAMETERS, PPL_STATE, PPL_HELD, PPL_RATIO, PPL_FIRST };

static void put_model(table *t, const documents *d, size_t k)
{
    const result_cell *cell = d->model[k]->cell;
    table_row(t, k > 0 && section(d, d->model[k]) != section(d, d->model[k - 1]));
    table_text(t, PPL_MODEL, "%s%s", d->model[k]->label, cell->kind == RESULT_REFERENCE ? " (reference)" : "");
    if (cell->kind == RESULT_REFERENCE) return;
    table_text(t, PPL_PARAMETERS, "%llu", (unsigned long long)cell->parameters);
    table_cell *parameters = table_at(t, PPL_PARAMETERS), *ratio = table_at(t, PPL_RATIO);
    if (parameters) parameters->value = (double)cell->parameters;
    table_bytes(t, PPL_STATE, (double)cell->state_bytes);
    table_bytes(t, PPL_HELD, (double)held(d, k));
    const uint64_t largest = report_memorizing_state(d->rep, cell);
    if (!ratio || !cell->state_bytes || !largest) return;
    ratio->value = (double)largest / (double)cell->state_bytes;
    ratio->digits = ratio->value < 10;
}

static void put_paper(table *t, const documents *d, size_t column)
{
    size_t count;
    const paper_perplexity *rows = paper_perplexity_rows(&count);
    for (size_t k = 0; t && !t->failed && k < d->models; k++) {
        const paper_perplexity *row =
            competes(d->model[k]) ? paper_perplexity_find(&d->model[k]->cell->facts) : NULL;
        if (!row) continue;
        t->cell[k * t->columns + PPL_RATIO].paper = paper_memory_of(row->method)->ratio;
        t->cell[k * t->columns + column].paper = row->pg19;
        t->cell[k * t->columns + column + 1].paper = row->math;
    }
    for (size_t i = 0, first = 1; i < count; i++) {
        if (rows[i].attention) continue;
        table_row(t, (int)first);
        first = 0;
        table_text(t, PPL_MODEL, "%s (the paper's alone)", rows[i].name);
        table_paper(t, PPL_RATIO, paper_memory_of(rows[i].method)->ratio);
        table_paper(t, column, rows[i].pg19);
        table_paper(t, column + 1, rows[i].math);
    }
}

static int add_perplexity(table_set *set, const documents *d, size_t metric, const char *id, const char *title,
                          int paper, pal_error *err)
{
    static const char *const columns[] = {"model", "parameters", "state", "held", "memory ratio"};
    table *t = table_add(set, "table2-perplexity", id, title, 1);
    for (size_t c = 0; c < PPL_FIRST; c++) table_column(t, columns[c]);
    for (size_t c = 0; c < d->corpora; c++) table_column(t, d->corpus[c]->name);
    if (paper) table_column(t, "PG19 (paper)");
    if (paper) table_column(t, "Arxiv-math (paper)");
    for (size_t k = 0; k < d->models; k++) put_model(t, d, k);
    for (size_t c = 0; c < d->corpora; c++) PAL_TRY(put_corpus(t, d, c, PPL_FIRST + c, metric, err));
    if (paper) put_paper(t, d, PPL_FIRST + d->corpora);
    if (t)
        snprintf(t->note, sizeof t->note,
                 "%s n counts documents, each read from an empty state to its end. State: what the module lays "
                 "out; held: the most that a stream kept; memory ratio: of the Memorizing Transformer's state to "
                 "the model's. Memory zeroed: the same weights, their memory emptied before every segment. %s",
                 tables_note,
                 paper ? "The paper's models have about 200 times our parameters and read other corpora with "
                         "another tokenizer: only differences within a column can be compared."
                       : "Bits per byte do not depend on the tokenizer.");
    return PAL_OK;
}

static int perplexity_part(table_set *set, const evidence *e, const char *weights, pal_error *err)
{
    (void)weights;
    const report *rep = evidence_report(e, "perplexity");
    documents d;
    if (!rep) return PAL_OK;
    const int token = metric_index(rep->task, "token_ppl"), byte = metric_index(rep->task, "bits_per_byte");
    PAL_TRY(documents_create(&d, rep, err));
    int code = PAL_OK;
    if (d.models && token >= 0)
        code =
            add_perplexity(set, &d, (size_t)token, "table2-token-ppl", "Table 2: token-level perplexity", 1, err);
    if (code == PAL_OK && d.models && byte >= 0)
        code = add_perplexity(set, &d, (size_t)byte, "table2-bits-per-byte", "Table 2: bits per byte", 0, err);
    free(d.model);
    return code;
}

/* ---- Table 4 ---- */

static void put_paper_rouge(table *t, const documents *d, const int *metric)
{
    size_t count;
    const paper_rouge *rows = paper_rouge_rows(&count);
    for (size_t i = 0; t && i < count; i++) {
        int ours = 0;
        for (size_t k = 0; k < d->models; k++) {
            if (!competes(d->model[k]) || paper_rouge_find(&d->model[k]->cell->facts) != &rows[i]) continue;
            ours = 1;
            for (size_t c = 0; c < 4 && !t->failed; c++)
                if (metric[c] >= 0) t->cell[k * t->columns + 1 + c].paper = rows[i].value[c];
        }
        if (ours) continue;
        table_row(t, 0);
        table_text(t, 0, "%s (the paper's alone)", rows[i].name);
        for (size_t c = 0; c < 4; c++) table_paper(t, 1 + c, rows[i].value[c]);
    }
}

static int add_booksum(table_set *set, const documents *d, size_t corpus, pal_error *err)
{
    static const char *const names[] = {"rouge1", "rouge2", "rougeL", "overall"}, *const heads[] = {
                                                                                      "ROUGE-1", "ROUGE-2",
                                                                                      "ROUGE-L", "Overall"};
    char title[200], id[48];
    int metric[4];
    snprintf(title, sizeof title, "Table 4: summaries, %s", d->corpus[corpus]->name);
    snprintf(id, sizeof id, "table4-booksum-%zu", corpus + 1);
    table *t = table_add(set, "table4-booksum", id, title, 1);
    table_column(t, "model");
    for (size_t c = 0; c < 4; c++) table_column(t, heads[c]);
    for (size_t k = 0; k < d->models; k++) {
        table_row(t, k > 0 && section(d, d->model[k]) != section(d, d->model[k - 1]));
        table_text(t, 0, "%s", d->model[k]->label);
    }
    for (size_t c = 0; c < 4; c++) {
        metric[c] = metric_index(d->rep->task, names[c]);
        if (metric[c] >= 0) PAL_TRY(put_corpus(t, d, corpus, 1 + c, (size_t)metric[c], err));
    }
    /* Generated stories and other books have other scores: the paper's stand beside its own corpus alone. */
    const int paper = strncasecmp(d->corpus[corpus]->name, "booksum", 7) == 0;
    if (paper) put_paper_rouge(t, d, metric);
    if (t)
        snprintf(t->note, sizeof t->note, "In percent. %s n counts documents.%s", tables_note,
                 paper ? " The paper's Infini-Transformer has 8B parameters."
                       : " These are not the paper's texts, so its numbers are not beside ours.");
    return PAL_OK;
}

static int booksum_part(table_set *set, const evidence *e, const char *weights, pal_error *err)
{
    (void)weights;
    const report *rep = evidence_report(e, "booksum");
    documents d;
    if (!rep) return PAL_OK;
    PAL_TRY(documents_create(&d, rep, err));
    int code = PAL_OK;
    for (size_t c = 0; code == PAL_OK && c < d.corpora; c++) code = add_booksum(set, &d, c, err);
    free(d.model);
    return code;
}

const table_part perplexity_tables = {perplexity_part}, booksum_tables = {booksum_part};

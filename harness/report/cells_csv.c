/* The long-format CSVs of a report: cells, and what they cost. */
#include "harness/report/report.h"

#include "harness/base/array.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A field and the comma before it. */
static void put_text(FILE *out, const char *text)
{
    fputc(',', out);
    text_csv(out, text);
}

static void put_number(FILE *out, double value)
{
    fputc(',', out);
    text_number(out, value);
}

static void put_whole(FILE *out, int64_t value)
{
    fprintf(out, ",%lld", (long long)value);
}

static const char cells_head[] =
    "task,task_version,scorer_version,model,weights_sha256,config_sha256,seed,settings,blas_core,length,depth,"
    "metric,n,value,lo,hi,interval,paper_value,paper_row,memory,parameters,state_bytes,data_sha256,tokenizer_"
    "sha256,cell,kind,attention,trained_on,train_seed,variant,not_finite\n";

static void put_cell(FILE *out, const task_module *task, const report_row *row, size_t m)
{
    const result_cell *c = row->cell;
    const task_cell place = result_place(c, row->n);
    const summary *s = &row->metric[m];
    const char *paper_row = "";
    const double paper = task_paper(task, &place, task->metric[m].name, &c->facts, &paper_row);
    char seed[64];
    text_csv(out, task->name);
    put_whole(out, task->version);
    put_whole(out, task->scorer_version);
    put_text(out, row->label);
    put_text(out, c->weights);
    put_text(out, c->config);
    put_text(out, report_setting(c->settings, "seed", seed, sizeof seed));
    put_text(out, c->settings);
    put_text(out, c->blas_core);
    put_number(out, c->length ? (double)c->length : NAN);
    put_number(out, c->depth);
    put_text(out, task->metric[m].name);
    put_whole(out, row->n);
    put_number(out, s->value);
    put_number(out, s->ci.lo);
    put_number(out, s->ci.hi);
    put_text(out, s->ci.kind);
    put_number(out, paper);
    put_text(out, isfinite(paper) ? paper_row : "");
    put_text(out, c->memory == RESULT_ZEROED ? "zeroed" : "kept");
    put_whole(out, (int64_t)c->parameters);
    put_whole(out, (int64_t)c->state_bytes);
    put_text(out, c->data);
    put_text(out, c->tokenizer);
    put_text(out, c->name);
    put_text(out, c->kind == RESULT_REFERENCE ? "reference" : "model");
    put_text(out, c->facts.attention);
    put_text(out, c->facts.trained_on);
    put_number(out, c->facts.train_seed == MODEL_SEED_UNKNOWN ? NAN : (double)c->facts.train_seed);
    put_text(out, c->variant);
    put_whole(out, row->not_finite);
    fputc('\n', out);
}

int report_cells_csv(const report *rep, const char *path, pal_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) return pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    fputs(cells_head, out);
    for (size_t i = 0; i < rep->count; i++)
        for (size_t m = 0; m < rep->task->metric_count; m++) put_cell(out, rep->task, &rep->row[i], m);
    return text_finish(out, &text, &size, path, err);
}

/* ---- Cost ---- */

typedef struct cost {
    const report_row *row;
    int64_t threads, batch, samples;
    double seconds, tokens;
    double read; /* tokens computed; NaN: not known of all samples */
    uint64_t held, peak_rss;
} cost;

/* Cells whose samples have one length stand for it; whole documents for themselves. */
static int same_place(const result_cell *a, const result_cell *b)
{
    return a->length == b->length && (a->length || strcmp(a->name, b->name) == 0);
}

static int same_cost(const cost *a, const report_row *row, const result_sample *s)
{
    return a->threads == s->threads && a->batch == s->batch && same_place(a->row->cell, row->cell) &&
           strcmp(a->row->label, row->label) == 0;
}

static int by_setup(const void *a, const void *b)
{
    const cost *x = a, *y = b;
    if (!same_place(x->row->cell, y->row->cell) || strcmp(x->row->label, y->row->label) != 0)
        return (x->row > y->row) - (x->row < y->row); /* rows are sorted already */
    if (x->threads != y->threads) return x->threads < y->threads ? -1 : 1;
    return (x->batch > y->batch) - (x->batch < y->batch);
}

/* Sum the samples of all depths per model, length, threads and batch. *costs is malloc'ed. */
static int add_up(const report *rep, cost **costs, size_t *count, pal_error *err)
{
    size_t room = 0;
    *count = 0;
    *costs = NULL;
    for (size_t r = 0; r < rep->count; r++) {
        for (int64_t i = 0; i < rep->row[r].n; i++) {
            const result_sample *s = &rep->row[r].cell->sample[i];
            size_t at = 0;
            PAL_TRY(array_room(costs, &room, *count + 1, sizeof **costs, "the costs", err));
            while (at < *count && !same_cost(&(*costs)[at], &rep->row[r], s)) at++;
            cost *c = &(*costs)[at];
            if (at == *count)
                (*costs)[(*count)++] = (cost){.row = &rep->row[r], .threads = s->threads, .batch = s->batch};
            c->samples++;
            c->seconds += s->seconds;
            c->tokens += (double)s->tokens;
            c->read += s->read;
            if (s->held > c->held) c->held = s->held;
            if (s->peak_rss > c->peak_rss) c->peak_rss = s->peak_rss;
        }
    }
    if (*count) qsort(*costs, *count, sizeof **costs, by_setup);
    return PAL_OK;
}

int report_cost_csv(const report *rep, const char *path, pal_error *err)
{
    cost *costs;
    size_t count, size = 0;
    char *text = NULL;
    int code = add_up(rep, &costs, &count, err);
    FILE *out = code == PAL_OK ? open_memstream(&text, &size) : NULL;
    if (!out) {
        free(costs);
        return code == PAL_OK ? pal_fail(err, PAL_INTERNAL, "out of memory for %s", path) : code;
    }
    fputs("task,model,weights_sha256,parameters,length,threads,batch,samples,seconds,tokens_per_s,state_bytes,"
          "peak_rss_bytes,tokens,tokens_read,held_bytes,cell\n",
          out);
    for (size_t i = 0; i < count; i++) {
        const cost *c = &costs[i];
        const result_cell *cell = c->row->cell;
        fprintf(out, "%s,", rep->task->name);
        text_csv(out, c->row->label);
        put_text(out, cell->weights);
        fprintf(out, ",%llu,", (unsigned long long)cell->parameters);
        if (cell->length) fprintf(out, "%lld", (long long)cell->length);
        fprintf(out, ",%lld,%lld,%lld,%.3f,", (long long)c->threads, (long long)c->batch, (long long)c->samples,
                c->seconds);
        /* Of input; no number where samples shared work or passed over tokens: it would be of something else. */
        text_number(out, c->read == c->tokens ? round(c->tokens / c->seconds) : NAN);
        fprintf(out, ",%llu,%llu,%.0f,", (unsigned long long)cell->state_bytes, (unsigned long long)c->peak_rss,
                c->tokens);
        text_number(out, round(c->read));
        fprintf(out, ",%llu,", (unsigned long long)c->held);
        text_csv(out, cell->length ? "" : cell->name);
        fputc('\n', out);
    }
    free(costs);
    return text_finish(out, &text, &size, path, err);
}

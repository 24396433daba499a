#include "harness/report.h"

#include "harness/base/os.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A field as RFC 4180 has it. */
static void put_text(FILE *out, const char *text)
{
    if (!text[strcspn(text, ",\"\n")]) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

/* Nothing for NaN: the field stays empty. */
static void put_number(FILE *out, double value)
{
    if (isfinite(value)) fprintf(out, "%.10g", value);
}

static int finish(FILE *out, char **text, size_t *size, const char *path, pal_error *err)
{
    const int failed = ferror(out);
    int code = fclose(out) != 0 || failed ? pal_fail(err, PAL_INTERNAL, "out of memory for %s", path) : PAL_OK;
    if (code == PAL_OK) code = os_write_file(path, *text, *size, err);
    free(*text);
    return code;
}

static void put_cell(FILE *out, const task_module *task, const report_row *row)
{
    const result_cell *c = row->cell;
    const task_cell place = {.length = c->length, .depth = c->depth, .samples = row->n};
    for (size_t m = 0; m < task->metric_count; m++) {
        const task_metric *metric = &task->metric[m];
        const summary s = report_summary(task, c, m, row->n);
        const char *paper_row = "";
        const double paper = task->paper ? task->paper(&place, metric->name, c->model, &paper_row) : NAN;
        char seed[64];
        fprintf(out, "%s,%d,%d,", task->name, task->version, task->scorer_version);
        put_text(out, row->label);
        fprintf(out, ",%s,%s,%s,", c->weights, c->config, report_setting(c->settings, "seed", seed, sizeof seed));
        put_text(out, c->settings);
        fprintf(out, ",%s,%lld,", c->blas_core, (long long)c->length);
        put_number(out, c->depth);
        fprintf(out, ",%s,%lld,", metric->name, (long long)row->n);
        put_number(out, s.mean);
        fputc(',', out);
        put_number(out, s.ci.lo);
        fputc(',', out);
        put_number(out, s.ci.hi);
        fprintf(out, ",%s,", s.ci.kind);
        put_number(out, paper);
        fputc(',', out);
        put_text(out, isfinite(paper) ? paper_row : "");
        fputc('\n', out);
    }
}

int report_cells_csv(const report *rep, const char *path, pal_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) return pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    fputs(
        "task,task_version,scorer_version,model,weights_sha256,config_sha256,seed,settings,blas_core,length,depth,"
        "metric,n,value,lo,hi,interval,paper_value,paper_row\n",
        out);
    for (size_t i = 0; i < rep->count; i++) put_cell(out, rep->task, &rep->row[i]);
    return finish(out, &text, &size, path, err);
}

/* ---- Cost ---- */

typedef struct cost {
    const report_row *row;
    int64_t threads, batch, samples;
    double seconds;
    uint64_t peak_rss;
} cost;

static int same_cost(const cost *a, const report_row *row, const result_sample *s)
{
    return a->threads == s->threads && a->batch == s->batch && a->row->cell->length == row->cell->length &&
           strcmp(a->row->label, row->label) == 0;
}

static int by_setup(const void *a, const void *b)
{
    const cost *x = a, *y = b;
    if (x->row->cell->length != y->row->cell->length || strcmp(x->row->label, y->row->label) != 0)
        return (x->row > y->row) - (x->row < y->row); /* rows are sorted already */
    if (x->threads != y->threads) return x->threads < y->threads ? -1 : 1;
    return (x->batch > y->batch) - (x->batch < y->batch);
}

/* Sum the samples of all depths per model, length, threads and batch. *costs is malloc'ed; NULL without memory. */
static size_t add_up(const report *rep, cost **costs)
{
    size_t count = 0, capacity = 0;
    *costs = NULL;
    for (size_t r = 0; r < rep->count; r++) {
        for (int64_t i = 0; i < rep->row[r].n; i++) {
            const result_sample *s = &rep->row[r].cell->sample[i];
            size_t at = 0;
            while (at < count && !same_cost(&(*costs)[at], &rep->row[r], s)) at++;
            if (at == capacity) {
                capacity = 2 * capacity + 16;
                cost *grown = realloc(*costs, capacity * sizeof *grown);
                if (!grown) {
                    free(*costs);
                    *costs = NULL;
                    return 0;
                }
                *costs = grown;
            }
            cost *c = &(*costs)[at];
            if (at == count) {
                *c = (cost){.row = &rep->row[r], .threads = s->threads, .batch = s->batch};
                count++;
            }
            c->samples++;
            c->seconds += s->seconds;
            if (s->peak_rss > c->peak_rss) c->peak_rss = s->peak_rss;
        }
    }
    if (count) qsort(*costs, count, sizeof **costs, by_setup);
    return count;
}

int report_cost_csv(const report *rep, const char *path, pal_error *err)
{
    cost *costs;
    const size_t count = add_up(rep, &costs);
    char *text = NULL;
    size_t size = 0;
    FILE *out = costs ? open_memstream(&text, &size) : NULL;
    if (!out) {
        free(costs);
        return pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    }
    fputs("task,model,weights_sha256,parameters,length,threads,batch,samples,seconds,tokens_per_s,state_bytes,"
          "peak_rss_bytes\n",
          out);
    for (size_t i = 0; i < count; i++) {
        const cost *c = &costs[i];
        const result_cell *cell = c->row->cell;
        fprintf(out, "%s,", rep->task->name);
        put_text(out, c->row->label);
        fprintf(out, ",%s,%llu,%lld,%lld,%lld,%lld,%.3f,%.0f,%llu,%llu\n", cell->weights,
                (unsigned long long)cell->parameters, (long long)cell->length, (long long)c->threads,
                (long long)c->batch, (long long)c->samples, c->seconds,
                (double)cell->length * (double)c->samples / c->seconds, (unsigned long long)cell->state_bytes,
                (unsigned long long)c->peak_rss);
    }
    free(costs);
    return finish(out, &text, &size, path, err);
}

#include "harness/eval.h"

#include "harness/base/os.h"
#include "harness/batch.h"
#include "harness/progress.h"
#include "harness/report.h"
#include "models/engine/gemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One model at one length: samples of its cells run side by side. */
typedef struct part {
    const eval_model *model;
    int64_t length;
    uint64_t tokens, scored; /* of one sample */
    size_t lanes;
    char skip[160]; /* why the model cannot take this length; "" if it can */
    size_t cell_count;
    const task_cell **cell;
    char (*key)[RESULT_KEY]; /* of each cell */
    int *printed;
    int64_t pending; /* samples to do */
} part;

typedef struct run {
    const eval_request *request;
    FILE *out;
    pool *pool;
    journal *journal;
    results results;
    part *part;
    size_t part_count;
    progress progress;
    double work;      /* FLOPs done */
    double part_rate; /* FLOPs of a token */
    double part_began, part_tokens;
    const part *current;
} run;

void eval_journal_path(const eval_options *options, const task_module *task, char *out, size_t size)
{
    snprintf(out, size, "%s/%s-journal.jsonl", options->results, task->name);
}

size_t eval_lanes_that_fit(const decoder *d, size_t workers, size_t wanted, uint64_t scored)
{
    const uint64_t available = os_available_memory();
    while (wanted > 0 && batch_bytes(d, workers, wanted, scored) > available) wanted--;
    return wanted;
}

double eval_sample_flops(const decoder *d, uint64_t tokens, uint64_t scored)
{
    const double context = (double)tokens / 2;
    return (double)(tokens - scored) * decoder_flops(d, context, 0) +
           (double)scored * decoder_flops(d, context, 1);
}

int eval_no_room(const eval_model *m, const eval_request *r, uint64_t scored, pal_error *err)
{
    return pal_fail(err, PAL_USAGE,
                    "%s needs %zu MiB to run one sample, but %llu MiB are free; free memory, or leave it out with "
                    "model=",
                    m->file.name, batch_bytes(m->decoder, (size_t)r->threads, 1, scored) >> 20,
                    (unsigned long long)(os_available_memory() >> 20));
}

/* ---- Planning ---- */

static int describe_cell(const run *u, const eval_model *m, const task_cell *cell, result_cell *out,
                         pal_error *err)
{
    *out = (result_cell){.length = cell->length,
                         .depth = cell->depth,
                         .parameters = decoder_parameters(m->decoder),
                         .state_bytes = decoder_memory_bytes(m->decoder)};
    memcpy(out->model, m->file.name, sizeof out->model);
    memcpy(out->weights, m->info.digest, sizeof out->weights);
    memcpy(out->config, m->config, sizeof out->config);
    memcpy(out->name, cell->name, sizeof out->name);
    snprintf(out->blas_core, sizeof out->blas_core, "%s", gemm_core());
    PAL_TRY(eval_request_words(u->request, 1, out->settings, sizeof out->settings, err));
    PAL_TRY(eval_request_words(u->request, 0, out->request, sizeof out->request, err));
    result_cell_identify(u->request->task, out);
    return PAL_OK;
}

static int plan_part(run *u, part *p, const eval_model *m, int64_t length, pal_error *err)
{
    const eval_request *r = u->request;
    *p = (part){.model = m, .length = length};
    p->cell = calloc(r->cell_count, sizeof *p->cell);
    p->key = calloc(r->cell_count, sizeof *p->key);
    p->printed = calloc(r->cell_count, sizeof *p->printed);
    if (!p->cell || !p->key || !p->printed) return pal_fail(err, PAL_INTERNAL, "out of memory for the plan");
    for (size_t c = 0; c < r->cell_count; c++) {
        const task_cell *cell = &r->cell[c];
        if (cell->length != length) continue;
        if (p->cell_count == 0) PAL_TRY(eval_request_measure(r, cell, &p->tokens, &p->scored, err));
        result_cell described;
        PAL_TRY(describe_cell(u, m, cell, &described, err));
        memcpy(p->key[p->cell_count], described.key, RESULT_KEY);
        p->cell[p->cell_count++] = cell;
        const result_cell *known = results_find(&u->results, described.key);
        for (int64_t i = 0; i < cell->samples; i++) p->pending += !(known && result_done(known, i));
    }
    if (eval_model_too_short(m, p->tokens, p->skip, sizeof p->skip)) {
        p->pending = 0;
        return PAL_OK;
    }
    if (p->pending == 0) return PAL_OK;
    const size_t wanted = (size_t)(p->pending < r->options.batch ? p->pending : r->options.batch);
    p->lanes = eval_lanes_that_fit(m->decoder, (size_t)r->threads, wanted, p->scored);
    return p->lanes ? PAL_OK : eval_no_room(m, r, p->scored, err);
}

/* Short lengths first, and all models at one length before the next: what can be compared comes early. */
static int plan_parts(run *u, pal_error *err)
{
    const eval_request *r = u->request;
    u->part = calloc(r->cell_count * r->model_count, sizeof *u->part);
    if (!u->part) return pal_fail(err, PAL_INTERNAL, "out of memory for the plan");
    int64_t length = 0;
    for (;;) {
        int64_t next = INT64_MAX;
        for (size_t c = 0; c < r->cell_count; c++)
            if (r->cell[c].length > length && r->cell[c].length < next) next = r->cell[c].length;
        if (next == INT64_MAX) return PAL_OK;
        length = next;
        for (size_t m = 0; m < r->model_count; m++)
            PAL_TRY(plan_part(u, &u->part[u->part_count++], &r->model[m], length, err));
    }
}

static int all_skipped(const run *u, pal_error *err)
{
    for (size_t i = 0; i < u->part_count; i++)
        if (!u->part[i].skip[0]) return PAL_OK;
    return pal_fail(err, PAL_USAGE, "nothing to do: %s; ask for shorter lengths or another model",
                    u->part[0].skip);
}

/* ---- Printing ---- */

static void print_header(run *u)
{
    const task_module *task = u->request->task;
    int64_t pending = 0;
    for (size_t i = 0; i < u->part_count; i++) pending += u->part[i].pending;
    fprintf(u->out, "%s: models %zu, cells of each %zu, samples to do %lld, threads %d, BLAS core %s\n",
            task->name, u->request->model_count, u->request->cell_count, (long long)pending, u->request->threads,
            gemm_core());
    fprintf(u->out, "%-22s %6s %6s %4s", "model", "length", "depth", "n");
    for (size_t m = 0; m < task->metric_count; m++) fprintf(u->out, "  %-20s", task->metric[m].name);
    fprintf(u->out, "  tokens/s\n");
    fflush(u->out);
}

static void print_cell(run *u, const part *p, size_t c)
{
    const task_module *task = u->request->task;
    const result_cell *cell = results_find(&u->results, p->key[c]);
    const int64_t n = p->cell[c]->samples;
    char text[64], depth[32] = "-";
    if (!isnan(cell->depth)) snprintf(depth, sizeof depth, "%g%%", cell->depth);
    progress_clear(&u->progress);
    fprintf(u->out, "%-22s %6s %6s %4lld", p->model->file.name, kv_format_size(p->length, text), depth,
            (long long)n);
    for (size_t m = 0; m < task->metric_count; m++) {
        const summary s = report_summary(task, cell, m, n);
        fprintf(u->out, "  %-20s", report_format(&task->metric[m], &s, text));
    }
    double seconds = 0;
    for (int64_t i = 0; i < n; i++) seconds += cell->sample[i].seconds;
    fprintf(u->out, "  %.0f\n", (double)p->length * (double)n / seconds);
    fflush(u->out);
}

static void print_complete(run *u, part *p)
{
    for (size_t c = 0; c < p->cell_count; c++) {
        const result_cell *cell = results_find(&u->results, p->key[c]);
        int64_t done = 0;
        while (cell && done < p->cell[c]->samples && result_done(cell, done)) done++;
        if (p->printed[c] || done < p->cell[c]->samples) continue;
        p->printed[c] = 1;
        print_cell(u, p, c);
    }
}

/* ---- Running ---- */

static void on_progress(void *arg, uint64_t tokens)
{
    run *u = arg;
    u->work += (double)tokens * u->part_rate;
    u->part_tokens += (double)tokens;
    char note[KV_TEXT_MAX + 64], length[24];
    snprintf(note, sizeof note, "%s %s  %.0f tokens/s", u->current->model->file.name,
             kv_format_size(u->current->length, length), u->part_tokens / (os()->now() - u->part_began + 1e-9));
    progress_update(&u->progress, u->work, note);
}

/* One batch: run it and journal each of its samples. */
static int run_batch(run *u, const part *p, const batch_item *item, size_t count, batch_result *result,
                     pal_error *err)
{
    const eval_request *r = u->request;
    const double began = os()->now();
    PAL_TRY(
        batch_run(p->model->decoder, u->pool, r->task, r->task_request, item, count, result, on_progress, u, err));
    const double seconds = os()->now() - began;
    for (size_t i = 0; i < count; i++) {
        result_sample sample = {.seconds = seconds / (double)count,
                                .threads = r->threads,
                                .batch = (int64_t)p->lanes,
                                .peak_rss = os_peak_rss()};
        memcpy(sample.metric, result[i].metric, sizeof sample.metric);
        size_t c = 0;
        while (p->cell[c] != item[i].cell) c++;
        PAL_TRY(results_add(&u->results, u->journal, p->key[c], item[i].index, &sample, result[i].record, err));
    }
    return PAL_OK;
}

static int announce(run *u, const part *p, pal_error *err)
{
    for (size_t c = 0; c < p->cell_count; c++) {
        const result_cell *known = results_find(&u->results, p->key[c]);
        if (known && result_asked(known, p->cell[c]->samples)) continue;
        result_cell cell;
        PAL_TRY(describe_cell(u, p->model, p->cell[c], &cell, err));
        PAL_TRY(results_announce(&u->results, u->journal, &cell, p->cell[c]->samples, err));
    }
    return PAL_OK;
}

static size_t list_pending(const run *u, const part *p, batch_item *item)
{
    size_t count = 0;
    for (size_t c = 0; c < p->cell_count; c++) {
        const result_cell *cell = results_find(&u->results, p->key[c]);
        for (int64_t i = 0; i < p->cell[c]->samples; i++)
            if (!result_done(cell, i)) item[count++] = (batch_item){p->cell[c], i};
    }
    return count;
}

static int run_part(run *u, part *p, pal_error *err)
{
    if (p->skip[0]) {
        char length[24];
        progress_clear(&u->progress);
        fprintf(u->out, "%-22s %6s skipped: %s\n", p->model->file.name, kv_format_size(p->length, length),
                p->skip);
        return PAL_OK;
    }
    PAL_TRY(announce(u, p, err));
    print_complete(u, p);
    if (p->pending == 0) return PAL_OK;
    u->current = p;
    u->part_rate = eval_sample_flops(p->model->decoder, p->tokens, p->scored) / (double)p->tokens;
    u->part_began = os()->now();
    u->part_tokens = 0;
    os_reset_peak_rss();
    batch_item *item = calloc((size_t)p->pending, sizeof *item);
    batch_result *result = calloc(p->lanes, sizeof *result);
    int code = item && result ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the samples");
    const size_t count = code == PAL_OK ? list_pending(u, p, item) : 0;
    for (size_t at = 0; code == PAL_OK && at < count; at += p->lanes) {
        const size_t lanes = count - at < p->lanes ? count - at : p->lanes;
        code = run_batch(u, p, item + at, lanes, result, err);
        if (code == PAL_OK) print_complete(u, p);
    }
    free(item);
    free(result);
    return code;
}

static int run_all(run *u, FILE *log, pal_error *err)
{
    PAL_TRY(plan_parts(u, err));
    PAL_TRY(all_skipped(u, err));
    print_header(u);
    double total = 0;
    for (size_t i = 0; i < u->part_count; i++) {
        const part *p = &u->part[i];
        total += (double)p->pending * eval_sample_flops(p->model->decoder, p->tokens, p->scored);
    }
    progress_start(&u->progress, log, NULL, total, 0, NULL);
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < u->part_count; i++) code = run_part(u, &u->part[i], err);
    progress_clear(&u->progress);
    return code;
}

int eval_run(const eval_request *r, FILE *out, FILE *log, pal_error *err)
{
    run u = {.request = r, .out = out};
    char path[2 * KV_TEXT_MAX];
    eval_journal_path(&r->options, r->task, path, sizeof path);
    results_init(&u.results, r->task, path);
    gemm_setup();
    size_t cut = 0;
    int code = pool_create(&u.pool, r->threads, err);
    if (code == PAL_OK) code = journal_open(&u.journal, path, results_visit, &u.results, &cut, err);
    if (code == PAL_OK && cut > 0)
        fprintf(out, "%s: cut %zu bytes of a record that a crash left unfinished\n", path, cut);
    if (code == PAL_OK) code = run_all(&u, log, err);
    if (code == PAL_OK) code = report_write(&u.results, r->options.results, r->options.plots != 0, out, err);
    for (size_t i = 0; i < u.part_count; i++) {
        free(u.part[i].cell);
        free(u.part[i].key);
        free(u.part[i].printed);
    }
    free(u.part);
    results_free(&u.results);
    journal_close(u.journal);
    pool_destroy(u.pool);
    return code;
}

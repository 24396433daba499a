/* The evaluation runner: plans what the journal lacks, runs it model by model, journals every sample and prints
 * every cell that is complete. */
#include "harness/eval/eval.h"

#include "harness/base/os.h"
#include "harness/eval/plan.h"
#include "harness/eval/progress.h"
#include "harness/eval/references.h"
#include "harness/eval/sample_checkpoint.h"
#include "harness/report/report.h"
#include "models/engine/gemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NOTE_MAX = 400 };

typedef struct run {
    eval_request *request;
    FILE *out;
    pool *pool;
    journal *journal;
    results results;
    plan plan;
    char partial[KV_TEXT_MAX + 16]; /* directory of checkpoints inside samples */
    progress progress;
    double work;      /* FLOPs done */
    double part_rate; /* FLOPs of a token */
    double part_began, part_tokens;
    plan_part *current;
} run;

void eval_journal_path(const eval_options *options, const task_module *task, char *out, size_t size)
{
    snprintf(out, size, "%s/%s-journal.jsonl", options->results, task->name);
}

/* ---- Planning ---- */

static int describe_cell(const run *u, const plan_part *p, const task_cell *cell, result_cell *out, pal_error *err)
{
    const eval_model *m = p->model;
    *out = (result_cell){.kind = RESULT_MODEL,
                         .memory = p->zeroed ? RESULT_ZEROED : RESULT_KEPT,
                         .extent = cell->length ? RESULT_LENGTH : RESULT_DOCUMENTS,
                         .facts = m->facts,
                         .length = cell->length,
                         .depth = cell->depth,
                         .parameters = decoder_parameters(m->decoder),
                         .state_bytes = decoder_memory_bytes(m->decoder)};
    memcpy(out->model, m->file.name, sizeof out->model);
    memcpy(out->weights, m->info.digest, sizeof out->weights);
    memcpy(out->config, m->config, sizeof out->config);
    snprintf(out->tokenizer, sizeof out->tokenizer, "%s", tokenizer_digest(u->request->tokenizer));
    memcpy(out->data, cell->data, sizeof out->data);
    memcpy(out->name, cell->name, sizeof out->name);
    memcpy(out->variant, cell->variant, sizeof out->variant);
    snprintf(out->blas_core, sizeof out->blas_core, "%s", gemm_core());
    PAL_TRY(eval_cell_settings(u->request, cell, p->zeroed, out->settings, sizeof out->settings, err));
    PAL_TRY(eval_request_words(u->request, p->zeroed, out->request, sizeof out->request, err));
    result_cell_identify(u->request->task, out);
    return PAL_OK;
}

/* The position of a sample's checkpoint; 0: there is none, or none that can be read. */
static uint64_t find_partial(run *u, const batch_item *item)
{
    char path[PARTIAL_PATH];
    partial found;
    pal_error cause;
    partial_path(u->partial, item->key, item->index, path);
    if (!os_file_exists(path)) return 0;
    if (partial_load(path, item->key, item->index, &found, &cause) != PAL_OK) {
        fprintf(u->out, "%s; starting its sample anew\n", cause.text);
        return 0;
    }
    const uint64_t position = found.position;
    partial_free(&found);
    return position;
}

/* A kill between a sample's record and the end of its checkpoint leaves the checkpoint behind. */
static void drop_partial(const run *u, const batch_item *item)
{
    char path[PARTIAL_PATH];
    partial_path(u->partial, item->key, item->index, path);
    partial_remove(path);
}

/* A plan_wanted: the samples that the journal does not hold. */
static int wanted(void *arg, plan_part *p, size_t c, batch_item *item, int *take, pal_error *err)
{
    run *u = arg;
    if (!p->key[c][0]) {
        result_cell described;
        PAL_TRY(describe_cell(u, p, p->cell[c], &described, err));
        memcpy(p->key[c], described.key, RESULT_KEY);
    }
    const result_cell *known = results_find(&u->results, p->key[c]);
    *take = !(known && result_done(known, item->index));
    item->key = p->key[c];
    if (*take)
        item->resume = find_partial(u, item);
    else
        drop_partial(u, item);
    return PAL_OK;
}

static int all_skipped(const run *u, pal_error *err)
{
    for (size_t i = 0; i < u->plan.count; i++)
        if (!u->plan.part[i].skip[0]) return PAL_OK;
    return pal_fail(err, PAL_USAGE, "nothing to do: %s; ask for shorter samples or another model",
                    u->plan.part[0].skip);
}

/* ---- Printing ---- */

static void print_header(const run *u)
{
    const eval_request *r = u->request;
    size_t pending = 0;
    for (size_t i = 0; i < u->plan.count; i++) pending += u->plan.part[i].count;
    char note[NOTE_MAX];
    for (size_t i = 0; r->task->note && r->task->note(r->run, i, note, sizeof note); i++)
        fprintf(u->out, "note: %s\n", note);
    fprintf(u->out, "%s: models %zu, cells of each %zu, samples to do %zu, threads %d, BLAS core %s\n",
            r->task->name, r->model_count, r->cell_count, pending, r->threads, gemm_core());
    fprintf(u->out, "%-28s %-12s %6s %4s", "model", r->cell[0].length ? "length" : "texts", "depth", "n");
    for (size_t m = 0; m < r->task->metric_count; m++)
        if (!r->task->metric[m].detail) fprintf(u->out, "  %-20s", r->task->metric[m].name);
    fprintf(u->out, "  tokens/s\n");
    fflush(u->out);
}

/* The length, or the name of the cell when its samples differ in length. */
static void print_place(const run *u, const char *label, int64_t length, const char *name)
{
    char text[24];
    fprintf(u->out, "%-28s %-12s", label, length ? kv_format_size(length, text) : name);
}

static void print_cell(void *arg, const result_cell *cell, int64_t n)
{
    run *u = arg;
    const task_module *task = u->request->task;
    char text[64], depth[32] = "-", label[REPORT_LABEL];
    if (!isnan(cell->depth)) snprintf(depth, sizeof depth, "%g%%", cell->depth);
    progress_clear(&u->progress);
    print_place(u, label_name(cell, label), cell->length, cell->name);
    fprintf(u->out, " %6s %4lld", depth, (long long)n);
    for (size_t m = 0; m < task->metric_count; m++) {
        if (task->metric[m].detail) continue;
        const summary s = report_summary(task, cell, m, n);
        fprintf(u->out, "  %-20s", report_format(&task->metric[m], &s, text));
    }
    double seconds = 0, read = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(cell->sample[i].read)) continue;
        seconds += cell->sample[i].seconds;
        read += cell->sample[i].read;
    }
    fprintf(u->out, read > 0 ? "  %.0f\n" : "  -\n", read / seconds);
    fflush(u->out);
}

static void print_complete(run *u, plan_part *p)
{
    for (size_t c = 0; c < p->cell_count; c++) {
        if (p->printed[c]) continue;
        const result_cell *cell = results_find(&u->results, p->key[c]);
        int64_t done = 0;
        while (cell && done < p->cell[c]->samples && result_done(cell, done)) done++;
        if (done < p->cell[c]->samples) continue;
        p->printed[c] = 1;
        print_cell(u, cell, p->cell[c]->samples);
    }
}

/* ---- Running ---- */

static void on_progress(void *arg, uint64_t tokens)
{
    run *u = arg;
    const plan_part *p = u->current;
    u->work += (double)tokens * u->part_rate;
    u->part_tokens += (double)tokens;
    char note[REPORT_LABEL + 96], length[24];
    snprintf(note, sizeof note, "%s %s  %.0f tokens/s", p->model->file.name,
             p->length ? kv_format_size(p->length, length) : p->cell[0]->name,
             u->part_tokens / (os_now() - u->part_began + 1e-9));
    progress_update(&u->progress, u->work, note);
}

static void on_note(void *arg, const char *text)
{
    run *u = arg;
    progress_clear(&u->progress);
    fprintf(u->out, "%s\n", text);
}

/* A sample is done: journal it, and print its cell when that is complete. */
static int on_done(void *arg, const batch_item *item, const batch_result *result, pal_error *err)
{
    run *u = arg;
    plan_part *p = u->current;
    result_sample sample = {.not_finite = !result->finite,
                            .seconds = result->seconds,
                            .tokens = (int64_t)item->tokens,
                            .read = result->read,
                            .threads = u->request->threads,
                            .batch = (int64_t)p->lanes,
                            .held = result->held,
                            .peak_rss = os_peak_rss()};
    memcpy(sample.value, result->value, sizeof sample.value);
    PAL_TRY(results_add(&u->results, u->journal, item->key, item->index, &sample, result->record, err));
    print_complete(u, p);
    return PAL_OK;
}

static int announce(run *u, const plan_part *p, pal_error *err)
{
    for (size_t c = 0; c < p->cell_count; c++) {
        const result_cell *known = results_find(&u->results, p->key[c]);
        if (known && result_asked(known, p->cell[c]->samples)) continue;
        result_cell cell;
        PAL_TRY(describe_cell(u, p, p->cell[c], &cell, err));
        PAL_TRY(results_announce(&u->results, u->journal, &cell, p->cell[c]->samples, err));
    }
    return PAL_OK;
}

static int run_part(run *u, plan_part *p, pal_error *err)
{
    const eval_request *r = u->request;
    if (p->skip[0]) {
        progress_clear(&u->progress);
        print_place(u, p->model->file.name, p->length, p->cell[0]->name);
        fprintf(u->out, " skipped: %s\n", p->skip);
        return PAL_OK;
    }
    PAL_TRY(announce(u, p, err));
    print_complete(u, p);
    if (p->count == 0) return PAL_OK;
    u->current = p;
    u->part_rate = p->flops / p->work;
    u->part_began = os_now();
    u->part_tokens = 0;
    os_reset_peak_rss();
    const batch_setup setup = {.d = p->model->decoder,
                               .threads = u->pool,
                               .task = r->task,
                               .run = r->run,
                               .share = r->options.share != 0,
                               .zeroed = p->zeroed,
                               .partial = r->options.checkpoint > 0 ? u->partial : NULL,
                               .partial_every = r->options.checkpoint,
                               .done = on_done,
                               .progress = on_progress,
                               .note = on_note,
                               .arg = u};
    batch_runner *runner = NULL;
    int code = batch_open(&runner, &setup, err);
    for (size_t g = 0; code == PAL_OK && g < p->group_count; g++)
        code = batch_run(runner, p->item, &p->group[g], err);
    batch_close(runner);
    return code;
}

static int run_all(run *u, FILE *log, pal_error *err)
{
    eval_request *r = u->request;
    PAL_TRY(plan_make(&u->plan, r, wanted, u, err));
    PAL_TRY(all_skipped(u, err));
    print_header(u);
    if (r->options.references) PAL_TRY(references_run(r, &u->results, u->journal, print_cell, u, err));
    double total = 0;
    for (size_t i = 0; i < u->plan.count; i++) total += u->plan.part[i].flops;
    progress_start(&u->progress, log, NULL, total, 0, NULL);
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < u->plan.count; i++) code = run_part(u, &u->plan.part[i], err);
    progress_clear(&u->progress);
    return code;
}

int eval_run(eval_request *r, FILE *out, FILE *log, pal_error *err)
{
    run u = {.request = r, .out = out};
    char path[2 * KV_TEXT_MAX];
    eval_journal_path(&r->options, r->task, path, sizeof path);
    snprintf(u.partial, sizeof u.partial, "%s/.partial", r->options.results);
    results_init(&u.results, r->task, path);
    size_t cut = 0;
    int code = gemm_setup(r->threads, err);
    if (code == PAL_OK) code = pool_create(&u.pool, r->threads, err);
    if (code == PAL_OK) code = journal_open(&u.journal, path, results_visit, &u.results, &cut, err);
    if (code == PAL_OK && cut > 0)
        fprintf(out, "%s: cut %zu bytes of a record that a crash left unfinished\n", path, cut);
    if (code == PAL_OK) code = facts_complete(&u.results, r->options.weights, err);
    if (code == PAL_OK) code = run_all(&u, log, err);
    if (code == PAL_OK) code = report_write(&u.results, r->options.results, out, err);
    plan_free(&u.plan);
    results_free(&u.results);
    journal_close(u.journal);
    pool_destroy(u.pool);
    return code;
}

/* The evaluation runner: plans what the journal lacks, runs it model by model, journals every sample and reports
 * every cell that is complete to whoever watches. */
#include "harness/eval/eval_parts.h"
#include "models/decoder/state.h"

#include "harness/base/os.h"
#include "harness/eval/references.h"
#include "harness/eval/sample_checkpoint.h"
#include "models/engine/gemm.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { NOTE_MAX = 400 };
/* FLOPs from which on it is worth measuring how long they take: a minute's work of a small machine. */
static const double LONG_RUN = 2e12;

void eval_journal_path(const eval_options *options, const task_module *task, char *out, size_t size)
{
    snprintf(out, size, "%s/%s-journal.jsonl", options->results, task->name);
}

/* ---- What the watcher is told ---- */

void eval_tell(eval_state *u, const char *format, ...)
{
    char text[NOTE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    progress_clear(&u->progress);
    u->watch->note(u->watch->arg, text);
}

/* The models that take fewer samples than the others, and how to have them all. */
static void tell_open(eval_state *u)
{
    char names[NOTE_MAX / 2] = "";
    size_t used = 0;
    int64_t fewest = INT64_MAX, all = 0;
    double more = 0, total = 0;
    for (size_t i = 0; i < u->plan.count; i++) {
        const plan_part *p = &u->plan.part[u->plan.order[i]];
        const int64_t samples = p->cell[0]->samples;
        total += p->whole;
        if (p->skip[0] || p->most >= samples) continue;
        if (used < sizeof names && !strstr(names, p->model->file.name))
            used +=
                (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", p->model->file.name);
        if (p->most < fewest) fewest = p->most;
        if (samples > all) all = samples;
        more += p->whole * ((double)samples / (double)p->most - 1);
    }
    if (all)
        eval_tell(u,
                  "%lld instead of %lld samples a cell for %s: n=%lld computes all, for about %.1f times the work",
                  (long long)fewest, (long long)all, names, (long long)all, 1 + more / total);
}

void eval_begin(eval_state *u, size_t pending)
{
    const eval_request *r = u->request;
    char note[NOTE_MAX];
    for (size_t i = 0; r->task->eval->note && r->task->eval->note(r->run, i, note, sizeof note); i++)
        eval_tell(u, "note: %s", note);
    tell_open(u);
    u->watch->begin(u->watch->arg, r, pending);
}

static void tell_cell(void *arg, const result_cell *cell, int64_t n)
{
    eval_state *u = arg;
    progress_clear(&u->progress);
    u->watch->cell(u->watch->arg, cell, n);
}

static part_cells *cells_of(const eval_state *u, const plan_part *p)
{
    return &u->cells[p - u->plan.part];
}

/* The cells of a part, in their order: one that is complete waits for those before it. */
void eval_tell_complete(eval_state *u, const plan_part *p)
{
    part_cells *cells = cells_of(u, p);
    for (; cells->shown < p->cell_count; cells->shown++) {
        const result_cell *cell = results_find(u->results, cells->key[cells->shown]);
        const int64_t samples = plan_samples(p, cells->shown);
        if (!cell || result_complete(cell) < samples) return;
        tell_cell(u, cell, samples);
    }
}

/* ---- Planning ---- */

int eval_describe(const eval_state *u, const plan_part *p, size_t place, result_cell *out, pal_error *err)
{
    const task_cell *cell = p->cell[place];
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
    decoder_core(m->decoder, out->blas_core, sizeof out->blas_core);
    PAL_TRY(eval_cell_settings(u->request, cell, p->zeroed, out->settings, sizeof out->settings, err));
    PAL_TRY(eval_request_words(u->request, p->zeroed, out->request, sizeof out->request, err));
    result_cell_identify(u->request->task, out);
    return PAL_OK;
}

/* The position of a sample's checkpoint; 0: there is none, or none that can be read. */
static uint64_t find_partial(eval_state *u, const batch_item *item)
{
    char path[PARTIAL_PATH];
    partial found;
    pal_error cause;
    partial_path(u->partial, item->key, item->index, path);
    if (!os_file_exists(path)) return 0;
    if (partial_load(path, item->key, item->index, &found, &cause) != PAL_OK) {
        eval_tell(u, "%s; starting its sample anew", cause.text);
        return 0;
    }
    const uint64_t position = found.position;
    partial_free(&found);
    return position;
}

/* A kill between a sample's record and the end of its checkpoint leaves the checkpoint behind. */
static void drop_partial(const eval_state *u, const batch_item *item)
{
    char path[PARTIAL_PATH];
    partial_path(u->partial, item->key, item->index, path);
    partial_remove(path);
}

int eval_wanted(void *arg, plan_part *p, size_t c, batch_item *item, int *take, pal_error *err)
{
    eval_state *u = arg;
    part_cells *cells = cells_of(u, p);
    if (!cells->key && !(cells->key = calloc(p->cell_count, sizeof *cells->key)))
        return pal_fail(err, PAL_INTERNAL, "out of memory for the plan");
    if (!cells->key[c][0]) {
        result_cell described;
        PAL_TRY(eval_describe(u, p, c, &described, err));
        memcpy(cells->key[c], described.key, RESULT_KEY);
    }
    const result_cell *known = results_find(u->results, cells->key[c]);
    const int done = (known && result_done(known, item->index)) ||
                     (u->share && u->share->known(u->share->arg, cells->key[c], item->index));
    *take = !done && (!u->share || u->share->takes(u->share->arg, (size_t)(p - u->plan.part), c, item->index));
    item->key = cells->key[c];
    if (*take)
        item->resume = find_partial(u, item);
    else if (done)
        drop_partial(u, item);
    return PAL_OK;
}

int eval_all_skipped(const eval_state *u, pal_error *err)
{
    for (size_t i = 0; i < u->plan.count; i++)
        if (!u->plan.part[i].skip[0]) return PAL_OK;
    return pal_fail(err, PAL_USAGE, "nothing to do: %s; ask for shorter samples or another model",
                    u->plan.part[0].skip);
}

/* ---- Running ---- */

static double *cost_of(const eval_state *u, const plan_part *p)
{
    return &u->cost[p - u->plan.part];
}

/* A part that needs more than was planned stands at its end until it is done. */
static void on_progress(void *arg, uint64_t tokens, double computed)
{
    eval_state *u = arg;
    const plan_part *p = u->current;
    (void)tokens;
    u->part_computed += computed;
    const double part = p->work > u->part_computed ? u->part_computed / p->work : 1;
    char note[KV_TEXT_MAX + 96], length[24];
    snprintf(note, sizeof note, "%s %s  computes %.0f tokens/s", p->model->file.name,
             p->length ? kv_format_size(p->length, length) : p->cell[0]->name,
             u->part_computed / (os_now() - u->part_began + 1e-9));
    progress_update(&u->progress, u->work + part * *cost_of(u, p), note);
}

static void on_note(void *arg, const char *text)
{
    eval_tell(arg, "%s", text);
}

/* A sample is done: journal it, and show its cell when that is complete. */
static int on_done(void *arg, const batch_item *item, const batch_result *result, pal_error *err)
{
    eval_state *u = arg;
    const plan_part *p = u->current;
    result_sample sample = {.not_finite = !result->finite,
                            .seconds = result->seconds,
                            .tokens = (int64_t)item->tokens,
                            .read = result->read,
                            .threads = u->request->threads,
                            .batch = (int64_t)p->lanes,
                            .held = result->held,
                            .peak_rss = os_peak_rss()};
    memcpy(sample.value, result->value, sizeof sample.value);
    PAL_TRY(results_add(u->results, u->journal, item->key, item->index, &sample, result->record, err));
    eval_tell_complete(u, p);
    return PAL_OK;
}

static int announce(eval_state *u, const plan_part *p, pal_error *err)
{
    for (size_t c = 0; c < p->cell_count; c++) {
        const result_cell *known = results_find(u->results, cells_of(u, p)->key[c]);
        if (known && result_asked(known, plan_samples(p, c))) continue;
        result_cell cell;
        PAL_TRY(eval_describe(u, p, c, &cell, err));
        PAL_TRY(results_announce(u->results, u->journal, &cell, plan_samples(p, c), err));
    }
    return PAL_OK;
}

int eval_run_part(eval_state *u, plan_part *p, pal_error *err)
{
    const eval_request *r = u->request;
    if (p->count == 0) return PAL_OK;
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
    if (u->current != p) {
        batch_close(u->runner);
        u->runner = NULL;
        PAL_TRY(batch_open(&u->runner, &setup, err));
    }
    u->current = p;
    u->part_began = os_now();
    u->part_computed = 0;
    os_reset_peak_rss();
    for (size_t g = 0; g < p->group_count; g++) PAL_TRY(batch_run(u->runner, p->item, &p->group[g], err));
    u->work += *cost_of(u, p);
    return PAL_OK;
}

static int run_part(eval_state *u, plan_part *p, pal_error *err)
{
    if (p->skip[0]) {
        progress_clear(&u->progress);
        u->watch->skipped(u->watch->arg, p->model, p->cell[0], p->skip);
        return PAL_OK;
    }
    PAL_TRY(announce(u, p, err));
    eval_tell_complete(u, p);
    if (p->count > 0) return eval_run_part(u, p, err);
    return PAL_OK;
}

/* What the parts cost: FLOPs, or, for a long run, seconds, for which speeds that nobody knows yet are measured. */
static int estimate(eval_state *u, double *total, pal_error *err)
{
    plan *p = &u->plan;
    double flops = 0;
    *total = 0;
    u->cost = calloc(p->count + 1, sizeof *u->cost);
    if (!u->cost) return pal_fail(err, PAL_INTERNAL, "out of memory for the plan");
    for (size_t i = 0; i < p->count; i++) flops += p->part[i].flops;
    for (size_t i = 0; i < p->count; i++) {
        u->cost[i] = p->part[i].flops;
        if (flops > LONG_RUN && u->request->ranks < 2)
            PAL_TRY(plan_part_time(u->request, &p->part[i], u->speeds, &u->cost[i], err));
        *total += u->cost[i];
    }
    return PAL_OK;
}

static int run_all(eval_state *u, FILE *log, pal_error *err)
{
    eval_request *r = u->request;
    if (u->share) return eval_run_units(u, log, err);
    /* Streams over ranks do not come round, and a model that is not all here is not measured. */
    PAL_TRY(plan_make(&u->plan, r, r->ranks > 1 ? NULL : u->speeds, eval_wanted, u, err));
    PAL_TRY(eval_all_skipped(u, err));
    size_t pending = 0;
    for (size_t i = 0; i < u->plan.count; i++) pending += u->plan.part[i].count;
    eval_begin(u, pending);
    if (r->options.references) PAL_TRY(references_run(r, u->results, u->journal, tell_cell, u, err));
    double total;
    PAL_TRY(estimate(u, &total, err));
    progress_start(&u->progress, log, NULL, total, 0, NULL);
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < u->plan.count; i++)
        code = run_part(u, &u->plan.part[u->plan.order[i]], err);
    progress_clear(&u->progress);
    return code;
}

/* The journal, with what it holds taken in. */
int eval_open_journal(eval_state *u, pal_error *err)
{
    const char *path = u->results->path;
    size_t cut = 0;
    PAL_TRY(journal_open(&u->journal, path, results_visit, u->results, &cut, err));
    const journal_tail *tail = journal_cut(u->journal);
    if (tail->whole)
        eval_tell(u, "%s: the last record was damaged and is cut off%s%s; its sample is computed again", path,
                  tail->what[0] ? ": " : "", tail->what);
    else if (cut > 0)
        eval_tell(u, "%s: cut %zu bytes of a record that a crash left unfinished", path, cut);
    if (u->results->outdated)
        eval_tell(u, "%s: %lld records are of other versions of task %s and left out", path,
                  (long long)u->results->outdated, u->request->task->name);
    return facts_complete(u->results, u->request->options.weights, err);
}

int eval_run(eval_request *r, const eval_watch *watch, FILE *log, eval_share *share, results *held, pal_error *err)
{
    eval_state u = {.request = r, .watch = watch, .share = share, .results = held};
    snprintf(u.partial, sizeof u.partial, "%s/.partial", r->options.results);
    u.cells = calloc(2 * r->cell_count * r->model_count + 1, sizeof *u.cells);
    int code = u.cells ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the plan");
    if (code == PAL_OK) code = gemm_setup(r->threads, err);
    if (code == PAL_OK) code = pool_create(&u.pool, r->threads, err);
    if (code == PAL_OK) code = u.share ? PAL_OK : eval_open_journal(&u, err);
    if (code == PAL_OK) code = speed_open(&u.speeds, u.pool, log, err);
    if (code == PAL_OK) code = run_all(&u, log, err);
    if (code == PAL_OK && u.journal) code = journal_check(u.journal, err);
    batch_close(u.runner);
    for (size_t i = 0; u.cells && i < u.plan.count; i++) free(u.cells[i].key);
    free(u.cells);
    free(u.cost);
    plan_free(&u.plan);
    speed_close(u.speeds);
    journal_close(u.journal);
    pool_destroy(u.pool);
    return code;
}

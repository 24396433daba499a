#include "harness/train/train.h"

#include "harness/base/os.h"
#include "harness/eval/progress.h"
#include "harness/train/lanes.h"
#include "harness/train/lead.h"
#include "models/attention/attention.h"
#include "models/engine/gemm.h"
#include "models/files/checkpoint.h"
#include "models/training/window.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Everything one run holds. */
typedef struct trainer {
    train_config cfg;
    model_config model_cfg;
    const task_module *task;
    void *task_cfg;
    tokenizer *tokenizer;
    task_source *source;
    decoder *model;
    optimiser optimiser;
    pool *pool;
    real *grad;
    kv_pairs metadata;
    char checkpoint[KV_TEXT_MAX + 16], log[KV_TEXT_MAX + 16];
    int64_t total_steps, saved_step; /* saved_step: of the checkpoint on disk, 0 without one */
    double total_tokens;
    FILE *log_file, *gates_file;
} trainer;

static void close_trainer(trainer *t)
{
    if (t->log_file) fclose(t->log_file);
    if (t->gates_file) fclose(t->gates_file);
    optimiser_destroy(&t->optimiser);
    decoder_destroy(t->model);
    pool_destroy(t->pool);
    kv_pairs_free(&t->metadata);
    free(t->grad);
    if (t->source) t->task->source_close(t->source);
    tokenizer_destroy(t->tokenizer);
    free(t->task_cfg);
}

/* ---- the recipe ---- */

static int read_recipe(trainer *t, const kv_pairs *pairs, pal_error *err)
{
    size_t count;
    const kv_spec *table = train_config_table(&count);
    PAL_TRY(kv_defaults(table, count, &t->cfg, err));
    PAL_TRY(model_config_read(&t->model_cfg, pairs, err));
    const char *name = kv_pairs_value(pairs, "task");
    t->task = task_find(name ? name : t->cfg.task);
    if (!t->task || !t->task->source_open)
        return pal_fail(err, PAL_USAGE, "task=%s: no task of this name can be trained on; see `palimpsest list`",
                        name);
    t->task_cfg = calloc(1, t->task->train_bytes ? t->task->train_bytes : 1);
    if (!t->task_cfg) return pal_fail(err, PAL_INTERNAL, "out of memory for the task's settings");
    PAL_TRY(kv_defaults(t->task->train_table, t->task->train_count, t->task_cfg, err));
    for (size_t i = 0; i < pairs->count; i++) {
        const kv_pair *p = &pairs->pair[i];
        const kv_spec *ours = kv_find(table, count, p->key);
        const kv_spec *tasks = kv_find(t->task->train_table, t->task->train_count, p->key);
        if (ours) PAL_TRY(kv_set(ours, &t->cfg, p->value, err));
        if (tasks) PAL_TRY(kv_set(tasks, t->task_cfg, p->value, err));
        if (!ours && !tasks && !model_config_knows(t->model_cfg.attention, p->key))
            return pal_fail(err, PAL_USAGE, "%s: unknown key `%s`; `palimpsest help train` lists all", p->where,
                            p->key);
    }
    return PAL_OK;
}

static int check_recipe(trainer *t, pal_error *err)
{
    const train_config *c = &t->cfg;
    PAL_TRY(train_config_check(c, &t->model_cfg, err));
    for (int64_t i = 0; i < c->train_len.count; i++) {
        const int64_t length = (int64_t)c->train_len.value[i], lanes = train_lanes(c, i);
        const int64_t most = t->model_cfg.attention->max_tokens(&t->model_cfg);
        if (most && length > most)
            return pal_fail(err, PAL_USAGE,
                            "train_len=%lld exceeds the %lld tokens that %s can hold; raise context",
                            (long long)length, (long long)most, t->model_cfg.attention->name);
        PAL_TRY(t->task->source_phase(t->source, lanes, length, err));
        t->total_steps += (int64_t)c->train_steps.value[i];
        t->total_tokens += c->train_steps.value[i] * (double)(lanes * length);
    }
    snprintf(t->checkpoint, sizeof t->checkpoint, "%s.resume", c->out);
    if (c->log[0])
        snprintf(t->log, sizeof t->log, "%s", c->log);
    else
        snprintf(t->log, sizeof t->log, "%s.csv", c->out);
    return PAL_OK;
}

static int open_source(trainer *t, pal_error *err)
{
    PAL_TRY(tokenizer_load(&t->tokenizer, t->cfg.tokenizer, err));
    if ((int64_t)tokenizer_vocab(t->tokenizer) > t->model_cfg.vocab)
        return pal_fail(err, PAL_USAGE, "vocab=%lld does not hold the %zu tokens of tokenizer=%s; set vocab=%zu",
                        (long long)t->model_cfg.vocab, tokenizer_vocab(t->tokenizer), t->cfg.tokenizer,
                        tokenizer_vocab(t->tokenizer));
    return t->task->source_open(t->task_cfg, t->tokenizer, (uint64_t)t->cfg.seed, &t->source, err);
}

/* The whole recipe as metadata: with the config it is all that is needed to make the same file again. */
static int describe(trainer *t, pal_error *err)
{
    size_t count;
    const kv_spec *table = train_config_table(&count);
    char text[KV_TEXT_MAX];
    for (size_t i = 0; i < count; i++) {
        if (!train_config_shapes(table[i].key)) continue;
        kv_get(&table[i], &t->cfg, text, sizeof text);
        PAL_TRY(kv_pairs_add(&t->metadata, table[i].key, text, "recipe", err));
    }
    for (size_t i = 0; i < t->task->train_count; i++) {
        kv_get(&t->task->train_table[i], t->task_cfg, text, sizeof text);
        PAL_TRY(kv_pairs_add(&t->metadata, t->task->train_table[i].key, text, "recipe", err));
    }
    PAL_TRY(kv_pairs_add(&t->metadata, "tokenizer_sha256", tokenizer_digest(t->tokenizer), "recipe", err));
    return kv_pairs_add(&t->metadata, "blas_core", gemm_core(), "recipe", err);
}

/* ---- state on disk ---- */

/* Open a CSV whose first column is the step. Its rows up to the present step are kept, so that a resumed run
 * writes the same file. */
static int open_csv(const trainer *t, const char *path, const char *head, FILE **out, pal_error *err)
{
    char *data = NULL;
    size_t size = 0, keep = 0;
    if (t->optimiser.step > 0 && os_file_exists(path)) {
        PAL_TRY(os_read_file(path, &data, &size, err));
        for (char *line = data; line < data + size;) {
            char *end = memchr(line, '\n', (size_t)(data + size - line));
            if (!end) break;
            if (line != data && strtoll(line, NULL, 10) > t->optimiser.step) break;
            line = end + 1;
            keep = (size_t)(line - data);
        }
    }
    const int code = keep ? os_write_file(path, data, keep, err) : os_write_file(path, head, strlen(head), err);
    free(data);
    PAL_TRY(code);
    return os_open_stream(path, "a", out, err);
}

static int has_gates(const trainer *t)
{
    for (size_t i = 0; i < decoder_param_count(t->model); i++)
        if (decoder_param_at(t->model, i)->flags & PARAM_GATE) return 1;
    return 0;
}

static int open_logs(trainer *t, pal_error *err)
{
    char gates[sizeof t->log + 16];
    const size_t stem =
        strlen(t->log) - (strlen(t->log) > 4 && strcmp(t->log + strlen(t->log) - 4, ".csv") == 0 ? 4 : 0);
    snprintf(gates, sizeof gates, "%.*s-gates.csv", (int)stem, t->log);
    PAL_TRY(open_csv(t, t->log, "step,length,tokens,loss,answer_nll,other_nll,grad_norm,lr\n", &t->log_file, err));
    return has_gates(t) ? open_csv(t, gates, "step,gate,head,open\n", &t->gates_file, err) : PAL_OK;
}

static int same_recipe(const trainer *t, const char *path, const checkpoint_info *info, pal_error *err)
{
    for (size_t i = 0; i < t->metadata.count; i++) {
        const kv_pair *p = &t->metadata.pair[i];
        const char *then = kv_pairs_value(&info->metadata, p->key);
        if (then && strcmp(then, p->value) != 0)
            return pal_fail(err, PAL_USAGE, "%s: made with %s=%s, now %s; use the old value or delete the file",
                            path, p->key, then, p->value);
    }
    return PAL_OK;
}

/* Whether the recipe's weights are there already; weights of another recipe are not overwritten. */
static int already_made(const trainer *t, int *made, pal_error *err)
{
    *made = os_file_exists(t->cfg.out);
    if (!*made) return PAL_OK;
    decoder *d;
    checkpoint_info info = {0};
    PAL_TRY(checkpoint_load(t->cfg.out, &d, &info, err));
    char *now = model_config_text(&t->model_cfg), *then = model_config_text(decoder_config(d));
    int code = same_recipe(t, t->cfg.out, &info, err);
    if (code == PAL_OK && (!now || !then || strcmp(now, then) != 0))
        code =
            pal_fail(err, PAL_USAGE, "%s holds a model of another config; delete it to train again", t->cfg.out);
    free(now);
    free(then);
    checkpoint_info_free(&info);
    decoder_destroy(d);
    return code;
}

static int load_start(trainer *t, pal_error *err)
{
    checkpoint_info info = {0};
    if (os_file_exists(t->checkpoint)) {
        int code = checkpoint_resume(t->checkpoint, t->model, &t->optimiser, &info, err);
        if (code == PAL_OK) code = same_recipe(t, t->checkpoint, &info, err);
        t->saved_step = t->optimiser.step;
        const char *start = code == PAL_OK ? kv_pairs_value(&info.metadata, "init_sha256") : NULL;
        if (start) code = kv_pairs_add(&t->metadata, "init_sha256", start, "recipe", err);
        checkpoint_info_free(&info);
        return code;
    }
    if (!t->cfg.init[0]) {
        decoder_init(t->model, (uint64_t)t->cfg.seed);
        return PAL_OK;
    }
    decoder_init(t->model, (uint64_t)t->cfg.seed);
    st_file file;
    PAL_TRY(st_read(t->cfg.init, &file, err));
    const int code = checkpoint_fill(t->model, &file, t->cfg.init, t->cfg.init_new != 0, err);
    if (code == PAL_OK) {
        const int added = kv_pairs_add(&t->metadata, "init_sha256", file.digest, "recipe", err);
        st_free(&file);
        return added;
    }
    st_free(&file);
    return code;
}

/* ---- the loop ---- */

typedef struct batch {
    int64_t length;
    attn_penalty write_penalty;
    int32_t *tokens, *targets;
    float *weight;
    double *nll;
    train_lanes_state lanes;
    int *fresh; /* [lanes] */
    train_lead lead;
    window *window;
} batch;

static void close_batch(batch *b)
{
    window_destroy(b->window);
    train_lanes_close(&b->lanes);
    train_lead_close(&b->lead);
    free(b->fresh);
    free(b->tokens);
    free(b->targets);
    free(b->weight);
    free(b->nll);
}

static int open_batch(const trainer *t, int64_t phase, batch *b, pal_error *err)
{
    const int64_t length = (int64_t)t->cfg.train_len.value[phase];
    *b = (batch){.length = length,
                 .write_penalty = {train_in_phase(&t->cfg.write_penalty, phase), t->cfg.write_penalty_of != 0}};
    const size_t lanes = (size_t)train_lanes(&t->cfg, phase), count = lanes * (size_t)length;
    const size_t segments = (size_t)(length / t->model_cfg.segment), workers = (size_t)pool_threads(t->pool);
    const uint64_t room = os_available_memory();
    const uint64_t stored = window_bytes(t->model, workers, lanes, segments, 0);
    const int recompute = t->cfg.recompute == 2 || (t->cfg.recompute == 0 && stored > room / 2);
    const uint64_t need = window_bytes(t->model, workers, lanes, segments, recompute);
    if (need > room)
        return pal_fail(err, PAL_USAGE,
                        "a step of %zu x %lld tokens needs %llu MiB and %llu are free; lower batch_tokens or set "
                        "recompute=yes",
                        lanes, (long long)length, (unsigned long long)(need >> 20),
                        (unsigned long long)(room >> 20));
    b->tokens = malloc(count * sizeof *b->tokens);
    b->targets = malloc(count * sizeof *b->targets);
    b->weight = malloc(count * sizeof *b->weight);
    b->nll = malloc(count * sizeof *b->nll);
    b->fresh = calloc(lanes, sizeof *b->fresh);
    if (!b->tokens || !b->targets || !b->weight || !b->nll || !b->fresh)
        return pal_fail(err, PAL_INTERNAL, "out of memory for a batch of %zu tokens", count);
    PAL_TRY(train_lanes_open(&b->lanes, t->model, lanes, err));
    PAL_TRY(train_lead_open(&b->lead, &t->cfg, phase, t->task, t->model, t->pool, lanes, err));
    PAL_TRY(t->task->source_phase(t->source, (int64_t)lanes, length, err));
    return window_create(&b->window, t->model, t->pool, lanes, segments, recompute, err);
}

/* Sums over a row of the log. */
typedef struct log_row {
    double loss, grad_norm, answer_nll, other_nll, answers, others;
    int64_t steps;
} log_row;

static void count_losses(const batch *b, log_row *row)
{
    for (size_t i = 0; i < b->lanes.lanes * (size_t)b->length; i++) {
        if (b->weight[i] >= 0.5f) {
            row->answer_nll += b->nll[i];
            row->answers++;
        } else if (b->weight[i] > 0) {
            row->other_nll += b->nll[i];
            row->others++;
        }
    }
}

static double mean_of(double sum, double count)
{
    return count > 0 ? sum / count : 0;
}

static int fill_lane(trainer *t, batch *b, int64_t step, size_t lane, pal_error *err)
{
    const size_t at = lane * (size_t)b->length;
    PAL_TRY(t->task->source_fill(t->source, step, (int64_t)lane, b->tokens + at, b->targets + at, b->weight + at,
                                 &b->fresh[lane], err));
    state_header *state = b->lanes.state[lane];
    if (b->fresh[lane]) decoder_state_reset(t->model, state);
    const int64_t most = t->model_cfg.attention->max_tokens(&t->model_cfg);
    if (most && (int64_t)state->seen + t->cfg.lead_len + b->length > most)
        return pal_fail(err, PAL_USAGE, "%s holds %lld tokens and a document is longer; raise context",
                        t->model_cfg.attention->name, (long long)most);
    return PAL_OK;
}

static int train_step(trainer *t, batch *b, int64_t step, double *lr, log_row *row, pal_error *err)
{
    for (size_t lane = 0; lane < b->lanes.lanes; lane++) PAL_TRY(fill_lane(t, b, step, lane, err));
    train_lead_read(&b->lead, t->task, t->source, step, b->fresh, b->lanes.state);
    memset(t->grad, 0, decoder_weight_reals(t->model) * sizeof *t->grad);
    const double loss = window_step(b->window, (size_t)(b->length / t->model_cfg.segment), b->tokens, b->targets,
                                    b->weight, b->lanes.state, t->grad, b->write_penalty, b->nll);
    *lr = schedule_lr(step, t->cfg.warmup, t->total_steps, t->cfg.lr, t->cfg.lr_floor);
    const double norm = optimiser_step(&t->optimiser, t->model, t->pool, t->grad, *lr);
    if (!isfinite(norm) || !isfinite(loss))
        return pal_fail(err, PAL_INTERNAL,
                        "step %lld: loss %g, gradient norm %g; the run diverged: lower lr or clip (the last "
                        "checkpoint, %s, is good)",
                        (long long)step, loss, norm, t->checkpoint);
    row->loss += loss;
    row->grad_norm += norm;
    row->steps++;
    count_losses(b, row);
    return PAL_OK;
}

static int write_row(trainer *t, const log_row *row, int64_t step, int64_t length, double tokens, double lr,
                     pal_error *err)
{
    fprintf(t->log_file, "%lld,%lld,%.0f,%.6f,%.6f,%.6f,%.5f,%.6g\n", (long long)step, (long long)length, tokens,
            mean_of(row->loss, (double)row->steps), mean_of(row->answer_nll, row->answers),
            mean_of(row->other_nll, row->others), mean_of(row->grad_norm, (double)row->steps), lr);
    if (fflush(t->log_file) != 0)
        return pal_fail(err, PAL_INTERNAL, "%s: cannot be written; is the disk full?", t->log);
    return PAL_OK;
}

/* How far each head's gate opens towards its memory. */
static int write_gates(trainer *t, int64_t step, pal_error *err)
{
    if (!t->gates_file) return PAL_OK;
    const real *weights = decoder_weights(t->model);
    for (size_t i = 0; i < decoder_param_count(t->model); i++) {
        const decoder_param *p = decoder_param_at(t->model, i);
        if (!(p->flags & PARAM_GATE)) continue;
        for (size_t head = 0; head < decoder_param_elements(p); head++)
            fprintf(t->gates_file, "%lld,%s,%zu,%.5f\n", (long long)step, p->name, head,
                    1 / (1 + exp(-(double)weights[p->offset + head])));
    }
    if (fflush(t->gates_file) != 0)
        return pal_fail(err, PAL_INTERNAL, "the log of the gates cannot be written; is the disk full?");
    return PAL_OK;
}

/* The lanes first: a checkpoint never stands without them. */
static int save(trainer *t, batch *b, pal_error *err)
{
    PAL_TRY(train_lanes_save(&b->lanes, t->checkpoint, t->optimiser.step, t->task, t->source, err));
    PAL_TRY(checkpoint_save(t->checkpoint, t->model, &t->optimiser, ST_F32, &t->metadata, err));
    t->saved_step = t->optimiser.step;
    train_lanes_remove_others(t->checkpoint, t->saved_step);
    return PAL_OK;
}

static int train_phase(trainer *t, batch *b, int64_t end, double *tokens, progress *bar, pal_error *err)
{
    log_row row = {0};
    char note[96] = "";
    while (t->optimiser.step < end) {
        double lr;
        PAL_TRY(train_step(t, b, t->optimiser.step, &lr, &row, err));
        const int64_t step = t->optimiser.step; /* counted by the update */
        *tokens += (double)b->lanes.lanes * (double)b->length;
        if (step % t->cfg.log_every == 0 || step == end) {
            snprintf(note, sizeof note, "step %lld  loss %.4f  answer NLL %.4f", (long long)step,
                     mean_of(row.loss, (double)row.steps), mean_of(row.answer_nll, row.answers));
            PAL_TRY(write_row(t, &row, step, b->length, *tokens, lr, err));
            PAL_TRY(write_gates(t, step, err));
            row = (log_row){0};
        }
        /* Checkpoints fall on rows of the log, so that no partial average is lost in a resume. */
        if ((step % t->cfg.checkpoint_every == 0 && step % t->cfg.log_every == 0) || step == end)
            PAL_TRY(save(t, b, err));
        progress_update(bar, *tokens, note);
    }
    return PAL_OK;
}

static int run_phase(trainer *t, int64_t phase, int64_t begin, int64_t end, double *tokens, progress *bar,
                     pal_error *err)
{
    batch b;
    int code = open_batch(t, phase, &b, err);
    /* The checkpoint that was resumed from was written in this phase, be it at its very end. */
    if (code == PAL_OK && t->saved_step == t->optimiser.step && t->saved_step > begin)
        code = train_lanes_restore(&b.lanes, t->model, t->checkpoint, t->saved_step, t->task, t->source, err);
    if (code == PAL_OK) code = train_phase(t, &b, end, tokens, bar, err);
    close_batch(&b);
    return code;
}

static int run_curriculum(trainer *t, FILE *out, pal_error *err)
{
    double tokens = 0;
    progress bar;
    int started = 0;
    int64_t end = 0;
    for (int64_t phase = 0; phase < t->cfg.train_len.count; phase++) {
        const int64_t length = (int64_t)t->cfg.train_len.value[phase],
                      steps = (int64_t)t->cfg.train_steps.value[phase], lanes = train_lanes(&t->cfg, phase);
        const int64_t begin = end, now = t->optimiser.step;
        end += steps;
        tokens += (double)(now <= begin ? 0 : now < end ? now - begin : steps) * (double)(lanes * length);
        if (now > end) continue;
        if (!started) progress_start(&bar, out, t->model_cfg.attention->name, t->total_tokens, tokens, "tokens");
        started = 1;
        PAL_TRY(run_phase(t, phase, begin, end, &tokens, &bar, err));
    }
    if (started) progress_clear(&bar);
    return PAL_OK;
}

static void remove_checkpoints(const trainer *t)
{
    unlink(t->checkpoint);
    train_lanes_remove_others(t->checkpoint, -1);
}

static int run(trainer *t, const kv_pairs *pairs, FILE *out, pal_error *err)
{
    PAL_TRY(read_recipe(t, pairs, err));
    PAL_TRY(open_source(t, err));
    PAL_TRY(check_recipe(t, err));
    const int threads = t->cfg.threads > 0 ? (int)t->cfg.threads : os_processors();
    PAL_TRY(gemm_setup(threads, err));
    PAL_TRY(describe(t, err));
    int made;
    PAL_TRY(already_made(t, &made, err));
    if (made) {
        fprintf(out, "%s is already trained by this recipe\n", t->cfg.out);
        remove_checkpoints(t); /* a kill after the weights were written leaves them behind */
        return PAL_OK;
    }
    PAL_TRY(pool_create(&t->pool, threads, err));
    PAL_TRY(decoder_create(&t->model, &t->model_cfg, err));
    PAL_TRY(optimiser_create(&t->optimiser, &t->cfg.optimiser, t->model, err));
    t->grad = aligned_alloc(ARENA_ALIGN, (decoder_weight_reals(t->model) * sizeof *t->grad + ARENA_ALIGN - 1) /
                                             ARENA_ALIGN * ARENA_ALIGN);
    if (!t->grad) return pal_fail(err, PAL_INTERNAL, "out of memory for the gradients");
    PAL_TRY(load_start(t, err));
    PAL_TRY(open_logs(t, err));
    fprintf(out, "training %s on %s: %zu parameters, %lld steps, %.1fM tokens, %d threads, %s%s\n",
            t->model_cfg.attention->name, t->task->name, decoder_parameters(t->model), (long long)t->total_steps,
            t->total_tokens / 1e6, threads, gemm_core(), t->optimiser.step ? " (resumed)" : "");
    PAL_TRY(run_curriculum(t, out, err));
    PAL_TRY(checkpoint_save(t->cfg.out, t->model, NULL, t->cfg.dtype ? ST_BF16 : ST_F32, &t->metadata, err));
    remove_checkpoints(t);
    fprintf(out, "wrote %s and %s\n", t->cfg.out, t->log);
    return PAL_OK;
}

int train_run(const kv_pairs *pairs, FILE *out, pal_error *err)
{
    trainer t = {0};
    const int code = run(&t, pairs, out, err);
    close_trainer(&t);
    return code;
}

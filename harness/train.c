#include "harness/train.h"

#include "harness/base/os.h"
#include "harness/progress.h"
#include "models/attention/attention.h"
#include "models/checkpoint.h"
#include "models/engine/gemm.h"
#include "models/window.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT(field) offsetof(train_config, field)

static const kv_spec train_table[] = {
    {.key = "task", .type = KV_TEXT, .offset = AT(task), .fallback = "passkey", .help = "what to train on"},
    {.key = "out", .type = KV_TEXT, .offset = AT(out), .fallback = "", .help = "file for the final weights"},
    {.key = "log", .type = KV_TEXT, .offset = AT(log), .fallback = "", .help = "loss CSV (default: beside `out`)"},
    {.key = "init", .type = KV_TEXT, .offset = AT(init), .fallback = "", .help = "weights to start from"},
    {.key = "seed",
     .type = KV_INT,
     .offset = AT(seed),
     .fallback = "1",
     .min = 0,
     .max = 1e15,
     .help = "seed of weights and data"},
    {.key = "threads",
     .type = KV_INT,
     .offset = AT(threads),
     .fallback = "0",
     .min = 0,
     .max = POOL_MAX_THREADS,
     .help = "0: all processors; the results do not depend on it"},
    {.key = "batch_tokens",
     .type = KV_SIZES,
     .offset = AT(batch_tokens),
     .fallback = "16K",
     .min = 1,
     .max = 1 << 26,
     .help = "tokens in a step, for all lengths or one each: batch_tokens / length sequences, at least one"},
    {.key = "train_len",
     .type = KV_SIZES,
     .offset = AT(train_len),
     .fallback = "512",
     .min = 16,
     .max = 1 << 26,
     .help = "curriculum of sequence lengths, tokens"},
    {.key = "train_steps",
     .type = KV_SIZES,
     .offset = AT(train_steps),
     .fallback = "100",
     .min = 1,
     .max = 1e9,
     .help = "steps at each length"},
    {.key = "lr",
     .type = KV_REAL,
     .offset = AT(lr),
     .fallback = "2e-3",
     .min = 0,
     .max = 10,
     .help = "peak learning rate"},
    {.key = "lr_floor",
     .type = KV_REAL,
     .offset = AT(lr_floor),
     .fallback = "1e-4",
     .min = 0,
     .max = 10,
     .help = "learning rate at the end of the cosine"},
    {.key = "warmup",
     .type = KV_INT,
     .offset = AT(warmup),
     .fallback = "50",
     .min = 0,
     .max = 1e9,
     .help = "steps of linear warm-up"},
    {.key = "write_penalty",
     .type = KV_REALS,
     .offset = AT(write_penalty),
     .fallback = "0",
     .min = 0,
     .max = 100,
     .help = "weight of the write gates' mean opening in the loss (infini-gated), for all lengths or one each"},
    {.key = "recompute",
     .type = KV_CHOICE,
     .offset = AT(recompute),
     .fallback = "auto",
     .choices = "auto|no|yes",
     .help = "run each segment's forward again before its backward, to save memory; the bits are the same"},
    {.key = "checkpoint_every",
     .type = KV_INT,
     .offset = AT(checkpoint_every),
     .fallback = "50",
     .min = 1,
     .max = 1e9,
     .help = "steps between checkpoints"},
    {.key = "log_every",
     .type = KV_INT,
     .offset = AT(log_every),
     .fallback = "10",
     .min = 1,
     .max = 1e9,
     .help = "steps averaged in a row of the log"},
    {.key = "dtype",
     .type = KV_CHOICE,
     .offset = AT(dtype),
     .fallback = "f32",
     .choices = "f32|bf16",
     .help = "of the final weights"},
    {.key = "optimiser",
     .type = KV_CHOICE,
     .offset = AT(optimiser.kind),
     .fallback = "adamw",
     .choices = "adamw|adafactor",
     .help = "adafactor is the paper's"},
    {.key = "beta1",
     .type = KV_REAL,
     .offset = AT(optimiser.beta1),
     .fallback = "0.9",
     .min = 0,
     .max = 0.9999,
     .help = "adamw"},
    {.key = "beta2",
     .type = KV_REAL,
     .offset = AT(optimiser.beta2),
     .fallback = "0.98",
     .min = 0,
     .max = 0.99999,
     .help = "adamw"},
    {.key = "adam_eps",
     .type = KV_REAL,
     .offset = AT(optimiser.eps),
     .fallback = "1e-8",
     .min = 1e-20,
     .max = 1,
     .help = "adamw"},
    {.key = "weight_decay",
     .type = KV_REAL,
     .offset = AT(optimiser.weight_decay),
     .fallback = "0.01",
     .min = 0,
     .max = 10,
     .help = "decoupled; norms, biases and gates are exempt"},
    {.key = "clip",
     .type = KV_REAL,
     .offset = AT(optimiser.clip),
     .fallback = "1",
     .min = 0,
     .max = 1e9,
     .help = "global gradient norm; 0: none"},
    {.key = "gate_lr_scale",
     .type = KV_REAL,
     .offset = AT(optimiser.gate_lr_scale),
     .fallback = "10",
     .min = 0,
     .max = 1e6,
     .help = "the gates' learning rate over the others'"},
};

const kv_spec *train_config_table(size_t *count)
{
    *count = sizeof train_table / sizeof train_table[0];
    return train_table;
}

/* Everything one run holds. */
typedef struct trainer {
    train_config cfg;
    model_config model_cfg;
    const task_module *task;
    void *task_cfg;
    decoder *model;
    optimiser optimiser;
    pool *pool;
    real *grad;
    kv_pairs metadata;
    char checkpoint[KV_TEXT_MAX + 16], log[KV_TEXT_MAX + 16];
    int64_t total_steps;
    double total_tokens;
    FILE *log_file;
} trainer;

static void close_trainer(trainer *t)
{
    if (t->log_file) fclose(t->log_file);
    optimiser_destroy(&t->optimiser);
    decoder_destroy(t->model);
    pool_destroy(t->pool);
    kv_pairs_free(&t->metadata);
    free(t->grad);
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
    if (!t->task || !t->task->train_fill)
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

/* A setting's value in a phase of the curriculum: one value for all, or one each. */
static double in_phase(const kv_list *list, int64_t phase)
{
    return list->value[list->count > 1 ? phase : 0];
}

/* Sequences side by side in the steps of a phase. */
static int64_t lanes_of(const train_config *c, int64_t phase)
{
    const int64_t lanes = (int64_t)(in_phase(&c->batch_tokens, phase) / c->train_len.value[phase]);
    return lanes > 0 ? lanes : 1;
}

static int check_phases(const train_config *c, const char *key, const kv_list *list, int one_is_enough,
                        pal_error *err)
{
    if (list->count == c->train_len.count || (one_is_enough && list->count == 1)) return PAL_OK;
    return pal_fail(err, PAL_USAGE, "%s has %lld values and train_len %lld; give %sone for each length", key,
                    (long long)list->count, (long long)c->train_len.count, one_is_enough ? "one, or " : "");
}

static int check_recipe(trainer *t, pal_error *err)
{
    const train_config *c = &t->cfg;
    if (!c->out[0])
        return pal_fail(err, PAL_USAGE,
                        "out= is missing: name the file for the weights, e.g. out=model.safetensors");
    PAL_TRY(check_phases(c, "train_steps", &c->train_steps, 0, err));
    PAL_TRY(check_phases(c, "batch_tokens", &c->batch_tokens, 1, err));
    PAL_TRY(check_phases(c, "write_penalty", &c->write_penalty, 1, err));
    for (int64_t i = 0; i < c->train_len.count; i++) {
        const int64_t length = (int64_t)c->train_len.value[i];
        if (length % t->model_cfg.segment)
            return pal_fail(err, PAL_USAGE, "train_len=%lld is not a multiple of segment=%lld; use %lld",
                            (long long)length, (long long)t->model_cfg.segment,
                            (long long)((length / t->model_cfg.segment + 1) * t->model_cfg.segment));
        const int64_t most = t->model_cfg.attention->max_tokens(&t->model_cfg);
        if (most && length > most)
            return pal_fail(err, PAL_USAGE,
                            "train_len=%lld exceeds the %lld tokens that %s can hold; raise context",
                            (long long)length, (long long)most, t->model_cfg.attention->name);
        PAL_TRY(t->task->train_check(t->task_cfg, length, err));
        const int64_t lanes = lanes_of(c, i);
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

/* What does not shape the weights; `init` is identified by its digest. */
static int shapes_nothing(const char *key)
{
    static const char *const keys[] = {"threads",   "recompute",       "out", "log", "init",
                                       "log_every", "checkpoint_every"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(key, keys[i]) == 0) return 1;
    return 0;
}

/* The whole recipe as metadata: with the config it is all that is needed to make the same file again. */
static int describe(trainer *t, pal_error *err)
{
    size_t count;
    const kv_spec *table = train_config_table(&count);
    char text[KV_TEXT_MAX];
    for (size_t i = 0; i < count; i++) {
        if (shapes_nothing(table[i].key)) continue;
        kv_get(&table[i], &t->cfg, text, sizeof text);
        PAL_TRY(kv_pairs_add(&t->metadata, table[i].key, text, "recipe", err));
    }
    for (size_t i = 0; i < t->task->train_count; i++) {
        kv_get(&t->task->train_table[i], t->task_cfg, text, sizeof text);
        PAL_TRY(kv_pairs_add(&t->metadata, t->task->train_table[i].key, text, "recipe", err));
    }
    return kv_pairs_add(&t->metadata, "blas_core", gemm_core(), "recipe", err);
}

/* ---- state on disk ---- */

/* Keep the log's rows up to `step`, so that a resumed run writes the same file. */
static int open_log(trainer *t, pal_error *err)
{
    char *data = NULL;
    size_t size = 0, keep = 0;
    static const char head[] = "step,length,tokens,loss,answer_nll,other_nll,grad_norm,lr\n";
    if (t->optimiser.step > 0 && os_file_exists(t->log)) {
        PAL_TRY(os_read_file(t->log, &data, &size, err));
        for (char *line = data; line < data + size;) {
            char *end = memchr(line, '\n', (size_t)(data + size - line));
            if (!end) break;
            if (line != data && strtoll(line, NULL, 10) > t->optimiser.step) break;
            line = end + 1;
            keep = (size_t)(line - data);
        }
    }
    const int code =
        keep ? os_write_file(t->log, data, keep, err) : os_write_file(t->log, head, sizeof head - 1, err);
    free(data);
    PAL_TRY(code);
    t->log_file = fopen(t->log, "a");
    if (!t->log_file) return pal_fail(err, PAL_INTERNAL, "%s: cannot be opened for appending", t->log);
    return PAL_OK;
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
        const char *start = code == PAL_OK ? kv_pairs_value(&info.metadata, "init_sha256") : NULL;
        if (start) code = kv_pairs_add(&t->metadata, "init_sha256", start, "recipe", err);
        checkpoint_info_free(&info);
        return code;
    }
    if (!t->cfg.init[0]) {
        decoder_init(t->model, (uint64_t)t->cfg.seed);
        return PAL_OK;
    }
    /* New tensors that the older weights lack keep their initial values. */
    decoder_init(t->model, (uint64_t)t->cfg.seed);
    st_file file;
    PAL_TRY(st_read(t->cfg.init, &file, err));
    const int code = checkpoint_fill(t->model, &file, t->cfg.init, err);
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
    int64_t length, lanes;
    double write_penalty;
    int32_t *tokens, *targets;
    float *weight;
    double *nll;
    void **state;
    char *states;
    window *window;
} batch;

static void close_batch(batch *b)
{
    window_destroy(b->window);
    free(b->tokens);
    free(b->targets);
    free(b->weight);
    free(b->nll);
    free(b->state);
    free(b->states);
}

static int open_batch(const trainer *t, int64_t phase, batch *b, pal_error *err)
{
    const int64_t length = (int64_t)t->cfg.train_len.value[phase];
    *b = (batch){.length = length,
                 .lanes = lanes_of(&t->cfg, phase),
                 .write_penalty = in_phase(&t->cfg.write_penalty, phase)};
    const size_t lanes = (size_t)b->lanes, count = lanes * (size_t)length;
    const size_t segments = (size_t)(length / t->model_cfg.segment), workers = (size_t)pool_threads(t->pool);
    const uint64_t room = os_available_memory();
    const uint64_t stored = window_bytes(t->model, workers, lanes, segments, 0);
    const int recompute = t->cfg.recompute == 2 || (t->cfg.recompute == 0 && stored > room / 2);
    const uint64_t need = window_bytes(t->model, workers, lanes, segments, recompute);
    if (need > room)
        return pal_fail(err, PAL_USAGE,
                        "a step of %lld x %lld tokens needs %llu MiB and %llu are free; lower batch_tokens or set "
                        "recompute=yes",
                        (long long)b->lanes, (long long)length, (unsigned long long)(need >> 20),
                        (unsigned long long)(room >> 20));
    b->tokens = malloc(count * sizeof *b->tokens);
    b->targets = malloc(count * sizeof *b->targets);
    b->weight = malloc(count * sizeof *b->weight);
    b->nll = malloc(count * sizeof *b->nll);
    b->state = malloc(lanes * sizeof *b->state);
    b->states = aligned_alloc(ARENA_ALIGN, lanes * decoder_state_bytes(t->model));
    if (!b->tokens || !b->targets || !b->weight || !b->nll || !b->state || !b->states)
        return pal_fail(err, PAL_INTERNAL, "out of memory for a batch of %zu tokens", count);
    memset(b->states, 0, lanes * decoder_state_bytes(t->model));
    for (size_t lane = 0; lane < lanes; lane++) b->state[lane] = b->states + lane * decoder_state_bytes(t->model);
    return window_create(&b->window, t->model, t->pool, lanes, segments, recompute, err);
}

/* Sums over a row of the log. */
typedef struct log_row {
    double loss, grad_norm, answer_nll, other_nll, answers, others;
    int64_t steps;
} log_row;

static void count_losses(const batch *b, log_row *row)
{
    for (int64_t i = 0; i < b->lanes * b->length; i++) {
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

static int train_step(trainer *t, batch *b, int64_t step, double *lr, log_row *row, pal_error *err)
{
    for (int64_t lane = 0; lane < b->lanes; lane++) {
        const size_t at = (size_t)(lane * b->length);
        t->task->train_fill(t->task_cfg, (uint64_t)t->cfg.seed, step, lane, b->length, b->tokens + at,
                            b->targets + at, b->weight + at);
        decoder_state_reset(t->model, b->state[lane]);
    }
    memset(t->grad, 0, decoder_weight_reals(t->model) * sizeof *t->grad);
    const double loss = window_step(b->window, (size_t)(b->length / t->model_cfg.segment), b->tokens, b->targets,
                                    b->weight, b->state, t->grad, b->write_penalty, b->nll);
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

static int train_phase(trainer *t, batch *b, int64_t end, double *tokens, progress *bar, pal_error *err)
{
    log_row row = {0};
    char note[96] = "";
    while (t->optimiser.step < end) {
        double lr;
        PAL_TRY(train_step(t, b, t->optimiser.step, &lr, &row, err));
        const int64_t step = t->optimiser.step; /* counted by the update */
        *tokens += (double)(b->lanes * b->length);
        if (step % t->cfg.log_every == 0 || step == end) {
            snprintf(note, sizeof note, "step %lld  loss %.4f  answer NLL %.4f", (long long)step,
                     mean_of(row.loss, (double)row.steps), mean_of(row.answer_nll, row.answers));
            PAL_TRY(write_row(t, &row, step, b->length, *tokens, lr, err));
            row = (log_row){0};
        }
        /* Checkpoints fall on rows of the log, so that no partial average is lost in a resume. */
        if ((step % t->cfg.checkpoint_every == 0 && step % t->cfg.log_every == 0) || step == end)
            PAL_TRY(checkpoint_save(t->checkpoint, t->model, &t->optimiser, ST_F32, &t->metadata, err));
        progress_update(bar, *tokens, note);
    }
    return PAL_OK;
}

static int run_curriculum(trainer *t, FILE *out, pal_error *err)
{
    double tokens = 0;
    progress bar;
    int started = 0;
    int64_t end = 0;
    for (int64_t phase = 0; phase < t->cfg.train_len.count; phase++) {
        const int64_t length = (int64_t)t->cfg.train_len.value[phase],
                      steps = (int64_t)t->cfg.train_steps.value[phase];
        const int64_t begin = end;
        const int64_t lanes = lanes_of(&t->cfg, phase);
        end += steps;
        const int64_t done =
            t->optimiser.step > begin ? (t->optimiser.step < end ? t->optimiser.step : end) - begin : 0;
        tokens += (double)done * (double)(lanes * length);
        if (done == steps) continue;
        if (!started) progress_start(&bar, out, t->model_cfg.attention->name, t->total_tokens, tokens, "tokens");
        started = 1;
        batch b;
        int code = open_batch(t, phase, &b, err);
        if (code == PAL_OK) code = train_phase(t, &b, end, &tokens, &bar, err);
        close_batch(&b);
        PAL_TRY(code);
    }
    if (started) progress_clear(&bar);
    return PAL_OK;
}

static int run(trainer *t, const kv_pairs *pairs, FILE *out, pal_error *err)
{
    PAL_TRY(read_recipe(t, pairs, err));
    PAL_TRY(check_recipe(t, err));
    PAL_TRY(describe(t, err));
    gemm_setup();
    int made;
    PAL_TRY(already_made(t, &made, err));
    if (made) {
        fprintf(out, "%s is already trained by this recipe\n", t->cfg.out);
        return PAL_OK;
    }
    const int threads = t->cfg.threads > 0 ? (int)t->cfg.threads : os_processors();
    PAL_TRY(pool_create(&t->pool, threads, err));
    PAL_TRY(decoder_create(&t->model, &t->model_cfg, err));
    PAL_TRY(optimiser_create(&t->optimiser, &t->cfg.optimiser, t->model, err));
    t->grad = aligned_alloc(ARENA_ALIGN, (decoder_weight_reals(t->model) * sizeof *t->grad + ARENA_ALIGN - 1) /
                                             ARENA_ALIGN * ARENA_ALIGN);
    if (!t->grad) return pal_fail(err, PAL_INTERNAL, "out of memory for the gradients");
    PAL_TRY(load_start(t, err));
    PAL_TRY(open_log(t, err));
    fprintf(out, "training %s on %s: %zu parameters, %lld steps, %.1fM tokens, %d threads, %s%s\n",
            t->model_cfg.attention->name, t->task->name, decoder_parameters(t->model), (long long)t->total_steps,
            t->total_tokens / 1e6, threads, gemm_core(), t->optimiser.step ? " (resumed)" : "");
    PAL_TRY(run_curriculum(t, out, err));
    PAL_TRY(checkpoint_save(t->cfg.out, t->model, NULL, t->cfg.dtype ? ST_BF16 : ST_F32, &t->metadata, err));
    unlink(t->checkpoint);
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

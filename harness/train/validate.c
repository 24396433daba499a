/* Measuring the validation loss: the task's own sequences of held-out texts or keys, forward only.
 * Lanes carry their state from window to window as they do in training. */
#include "harness/train/validate.h"

#include "harness/base/os.h"
#include "models/decoder/pass.h"
#include "models/decoder/state.h"

#include "models/attention/attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Generated sequences of validation are drawn by another seed than those of training. */
static const uint64_t held_out = 0x76616c6964617465u;

enum { PLACE = 4096 };

/* The task's settings with every split of a text replaced. */
static int held_out_settings(validator *v, const train_config *cfg, const void *task_cfg, pal_error *err)
{
    v->task_cfg = malloc(v->task->train->bytes ? v->task->train->bytes : 1);
    if (!v->task_cfg) return pal_fail(err, PAL_INTERNAL, "out of memory for the validation's settings");
    memcpy(v->task_cfg, task_cfg, v->task->train->bytes);
    for (size_t i = 0; i < v->task->train->count; i++) {
        const kv_spec *row = &v->task->train->table[i];
        const size_t length = strlen(row->key), end = strlen("split");
        if (length < end || strcmp(row->key + length - end, "split") != 0) continue;
        PAL_TRY(kv_set(row, v->task_cfg, cfg->val_split, err));
    }
    return PAL_OK;
}

static int open_source(validator *v, const train_config *cfg, const tokenizer *t, pal_error *err)
{
    pal_error cause;
    const int code = v->task->train->open(v->task_cfg, t, (uint64_t)cfg->seed ^ held_out, &v->source, &cause);
    if (code == PAL_OK) return PAL_OK;
    return pal_fail(err, code, "val_every=%lld: %s; name another split in val_split= or set val_every=0",
                    (long long)cfg->val_every, cause.text);
}

/* Another width is only allocated: lanes of training, fewer where val_tokens needs fewer. */
static void choose_shape(validator *v, const train_config *cfg)
{
    const int64_t last = cfg->train_len.count - 1, length = (int64_t)cfg->train_len.value[last];
    const int64_t most = train_lanes(cfg, last), wanted = (cfg->val_tokens + length - 1) / length;
    v->length = (size_t)length;
    v->lanes = (size_t)(wanted < most ? wanted : most);
    v->steps = ((size_t)wanted + v->lanes - 1) / v->lanes;
}

static int allocate(validator *v, pal_error *err)
{
    const size_t n = (size_t)decoder_config(v->model)->segment, count = v->lanes * v->length, rows = v->lanes * n;
    const size_t bytes = decoder_state_bytes(v->model);
    v->states = os_allocate(v->lanes * bytes);
    v->state = malloc(v->lanes * sizeof *v->state);
    v->tokens = malloc(count * sizeof *v->tokens);
    v->targets = malloc(count * sizeof *v->targets);
    v->weight = malloc(count * sizeof *v->weight);
    v->segment_tokens = malloc(rows * sizeof *v->segment_tokens);
    v->segment_targets = malloc(rows * sizeof *v->segment_targets);
    v->nll = malloc(rows * sizeof *v->nll);
    v->valid = malloc(v->lanes * sizeof *v->valid);
    v->fresh = malloc(v->lanes * sizeof *v->fresh);
    v->start = calloc(1, PLACE);
    if (!v->states || !v->state || !v->tokens || !v->targets || !v->weight || !v->segment_tokens ||
        !v->segment_targets || !v->nll || !v->valid || !v->fresh || !v->start)
        return pal_fail(err, PAL_INTERNAL, "out of memory for the validation; lower val_tokens");
    memset(v->states, 0, v->lanes * bytes);
    for (size_t lane = 0; lane < v->lanes; lane++) {
        v->state[lane] = (char *)v->states + lane * bytes;
        v->valid[lane] = n;
    }
    return PAL_OK;
}

int validator_open(validator *v, const train_config *cfg, const task_module *task, const void *task_cfg,
                   const tokenizer *t, const decoder *model, pool *threads, pal_error *err)
{
    *v = (validator){.task = task};
    if (cfg->val_every == 0) return PAL_OK;
    v->model = model;
    choose_shape(v, cfg);
    PAL_TRY(held_out_settings(v, cfg, task_cfg, err));
    PAL_TRY(open_source(v, cfg, t, err));
    PAL_TRY(allocate(v, err));
    PAL_TRY(task->train->phase(v->source, (int64_t)v->lanes, (int64_t)v->length, err));
    PAL_TRY(task->train->save(v->source, v->start, PLACE, err));
    return pass_create(&v->pass, model, threads, v->lanes, 0, err);
}

void validator_close(validator *v)
{
    if (v->source) v->task->train->close(v->source);
    pass_destroy(v->pass);
    free(v->task_cfg);
    free(v->start);
    free(v->states);
    free(v->state);
    free(v->tokens);
    free(v->targets);
    free(v->weight);
    free(v->segment_tokens);
    free(v->segment_targets);
    free(v->nll);
    free(v->valid);
    free(v->fresh);
    *v = (validator){0};
}

static int fill(validator *v, int64_t step, pal_error *err)
{
    const model_config *cfg = decoder_config(v->model);
    const int64_t most = attn_sizes_of(cfg, 0, 1).max_tokens;
    for (size_t lane = 0; lane < v->lanes; lane++) {
        const size_t at = lane * v->length;
        PAL_TRY(v->task->train->fill(v->source, step, (int64_t)lane, v->tokens + at, v->targets + at,
                                     v->weight + at, &v->fresh[lane], err));
        state_header *state = v->state[lane];
        if (v->fresh[lane]) decoder_state_reset(v->model, state);
        if (most && (int64_t)state->seen + (int64_t)v->length > most)
            return pal_fail(err, PAL_USAGE,
                            "%s holds %lld tokens and a document of the validation is longer; raise context",
                            cfg->attention->name, (long long)most);
    }
    return PAL_OK;
}

/* Read the windows of all lanes; add up weighted losses and weights. */
static void read_windows(validator *v, double *loss, double *total)
{
    const size_t n = (size_t)decoder_config(v->model)->segment;
    for (size_t at = 0; at < v->length; at += n) {
        for (size_t lane = 0; lane < v->lanes; lane++) {
            memcpy(v->segment_tokens + lane * n, v->tokens + lane * v->length + at, n * sizeof *v->tokens);
            memcpy(v->segment_targets + lane * n, v->targets + lane * v->length + at, n * sizeof *v->targets);
        }
        pass_forward(v->pass, 0, v->segment_tokens, v->valid, v->state, 1);
        const scored_tokens scored = {.targets = v->segment_targets, .nll = v->nll};
        pass_score(v->pass, &scored);
        for (size_t lane = 0; lane < v->lanes; lane++) {
            const float *weight = v->weight + lane * v->length + at;
            for (size_t i = 0; i < n; i++) {
                if (weight[i] > 0) *loss += (double)weight[i] * v->nll[lane * n + i];
                *total += (double)weight[i];
            }
        }
    }
}

int validator_measure(validator *v, progress *bar, double *loss, pal_error *err)
{
    double sum = 0, total = 0;
    PAL_TRY(v->task->train->phase(v->source, (int64_t)v->lanes, (int64_t)v->length, err));
    PAL_TRY(v->task->train->restore(v->source, v->start, err));
    for (size_t step = 0; step < v->steps; step++) {
        PAL_TRY(fill(v, (int64_t)step, err));
        read_windows(v, &sum, &total);
        progress_update(bar, bar->done, "validating");
    }
    *loss = total > 0 ? sum / total : NAN;
    return PAL_OK;
}

/* Lanes read filler before their sequences, without loss; the state then stands for many readings of it. Or leads
 * are read once, and their caches stand before every segment. */
#include "harness/train/lead.h"
#include "models/decoder/pass.h"
#include "models/decoder/state.h"

#include "harness/base/os.h"
#include "harness/base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *state_at(const train_lead *l, size_t index)
{
    return l->block + index * decoder_state_bytes(l->model);
}

static int allocate_states(train_lead *l, pal_error *err)
{
    const size_t bytes = decoder_state_bytes(l->model);
    /* Whole lanes' worth, as they are read side by side. */
    l->count = ((size_t)l->cfg->lead_count + l->lanes - 1) / l->lanes * l->lanes;
    l->before = malloc(l->lanes * l->segments * sizeof *l->before);
    l->block = os_allocate((l->count + 1) * bytes);
    if (!l->before || !l->block)
        return pal_fail(err, PAL_INTERNAL, "out of memory for %zu leads of %zu MiB; lower lead_count", l->count,
                        bytes >> 20);
    memset(l->block, 0, (l->count + 1) * bytes);
    for (size_t i = 0; i <= l->count; i++) decoder_state_reset(l->model, state_at(l, i));
    return PAL_OK;
}

int train_lead_open(train_lead *l, const train_config *cfg, int64_t phase, size_t segments,
                    const task_module *task, const decoder *model, pool *threads, size_t lanes, pal_error *err)
{
    *l = (train_lead){.cfg = cfg,
                      .model = model,
                      .phase = phase,
                      .lanes = lanes,
                      .segments = segments,
                      .times = train_in_phase(&cfg->lead_times, phase)};
    const int64_t n = decoder_config(model)->segment;
    if (cfg->lead_len == 0) return PAL_OK;
    if (!task->train->lead)
        return pal_fail(err, PAL_USAGE, "lead_len=%lld: task %s has nothing to read before a sequence; set 0",
                        (long long)cfg->lead_len, task->name);
    if (cfg->lead_len % n)
        return pal_fail(err, PAL_USAGE, "lead_len=%lld is not a multiple of segment=%lld",
                        (long long)cfg->lead_len, (long long)n);
    l->tokens = calloc(lanes * (size_t)cfg->lead_len, sizeof *l->tokens); /* padding needs valid tokens */
    l->segment = malloc(lanes * (size_t)n * sizeof *l->segment);
    l->valid = calloc(lanes, sizeof *l->valid);
    if (!l->tokens || !l->segment || !l->valid)
        return pal_fail(err, PAL_INTERNAL, "out of memory for what %zu lanes read first; lower lead_len", lanes);
    if (cfg->lead_before == LEAD_SEGMENT) PAL_TRY(allocate_states(l, err));
    return pass_create(&l->pass, model, threads, lanes, 0, err);
}

void train_lead_close(train_lead *l)
{
    pass_destroy(l->pass);
    free(l->tokens);
    free(l->segment);
    free(l->valid);
    free(l->block);
    free(l->before);
}

/* ---- Leads before segments ---- */

/* Tokens of a lead: every second one is as long as can be. */
static size_t length_of(const train_lead *l, size_t index)
{
    const size_t n = (size_t)decoder_config(l->model)->segment, most = (size_t)l->cfg->lead_len / n;
    if (index % 2 == 0) return most * n;
    rng draw = rng_make((uint64_t)l->cfg->seed, "train/lead/length", (uint64_t)l->phase, (uint32_t)index);
    const size_t segments = (size_t)exp(rng_uniform(&draw) * log((double)most + 1));
    return (segments < 1 ? 1 : segments > most ? most : segments) * n;
}

/* Leads `first` to first + lanes - 1 side by side. Their memory stays empty, so that their caches are the model's
 * own, whatever the gates would let in. */
static void read_some(train_lead *l, const task_module *task, task_source *source, size_t first, void **state)
{
    const size_t n = (size_t)decoder_config(l->model)->segment, longest = (size_t)l->cfg->lead_len;
    for (size_t lane = 0; lane < l->lanes; lane++) {
        state[lane] = state_at(l, first + lane);
        task->train->lead(source, -1 - l->phase, (int64_t)(first + lane), l->tokens + lane * longest,
                          (int64_t)length_of(l, first + lane)); /* no step of training is negative */
    }
    for (size_t at = 0; at < longest; at += n) {
        for (size_t lane = 0; lane < l->lanes; lane++) {
            l->valid[lane] = at < length_of(l, first + lane) ? n : 0;
            memcpy(l->segment + lane * n, l->tokens + lane * longest + at, n * sizeof *l->segment);
        }
        pass_forward(l->pass, 0, l->segment, l->valid, state, 0);
        for (size_t lane = 0; lane < l->lanes; lane++)
            if (l->valid[lane]) decoder_state_copy_memory(l->model, state[lane], state_at(l, l->count));
    }
}

/* Which lead stands before which segment is drawn anew in each step. */
static void choose(train_lead *l, int64_t step)
{
    for (size_t lane = 0; lane < l->lanes; lane++) {
        rng draw = rng_make((uint64_t)l->cfg->seed, "train/lead/segment", (uint64_t)step, (uint32_t)lane);
        for (size_t s = 0; s < l->segments; s++)
            l->before[lane * l->segments + s] = state_at(l, rng_below(&draw, l->count));
    }
}

static void put_before_segments(train_lead *l, const task_module *task, task_source *source, int64_t step)
{
    for (size_t i = 0; !l->has_read && i < l->count; i += l->lanes) read_some(l, task, source, i, l->before);
    l->has_read = 1;
    choose(l, step);
}

/* ---- A lead before each sequence ---- */

void train_lead_read(train_lead *l, const task_module *task, task_source *source, int64_t step, const int *fresh,
                     void *const *state)
{
    const size_t n = (size_t)decoder_config(l->model)->segment, count = (size_t)l->cfg->lead_len;
    if (count == 0) return;
    if (l->cfg->lead_before == LEAD_SEGMENT) {
        put_before_segments(l, task, source, step);
        return;
    }
    for (size_t lane = 0; lane < l->lanes; lane++) {
        l->valid[lane] = fresh[lane] ? n : 0;
        task->train->lead(source, step, (int64_t)lane, l->tokens + lane * count, (int64_t)count);
    }
    for (size_t at = 0; at < count; at += n) {
        for (size_t lane = 0; lane < l->lanes; lane++)
            memcpy(l->segment + lane * n, l->tokens + lane * count + at, n * sizeof *l->segment);
        pass_forward(l->pass, 0, l->segment, l->valid, state, 0);
    }
    for (size_t lane = 0; lane < l->lanes; lane++) {
        if (!fresh[lane]) continue;
        rng draw = rng_make((uint64_t)l->cfg->seed, "train/lead", (uint64_t)step, (uint32_t)lane);
        decoder_state_repeat(l->model, state[lane], exp(rng_uniform(&draw) * log(l->times)));
    }
}

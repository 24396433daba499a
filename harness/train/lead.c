/* Lanes read filler before their sequences, without loss; the state then stands for many readings of it.
 * For memories that must know longer streams than fit in a step. */
#include "harness/train/lead.h"
#include "models/decoder/pass.h"
#include "models/decoder/state.h"

#include "harness/base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int train_lead_open(train_lead *l, const train_config *cfg, int64_t phase, const task_module *task,
                    const decoder *model, pool *threads, size_t lanes, pal_error *err)
{
    *l =
        (train_lead){.cfg = cfg, .model = model, .lanes = lanes, .times = train_in_phase(&cfg->lead_times, phase)};
    const int64_t n = decoder_config(model)->segment;
    if (cfg->lead_len == 0) return PAL_OK;
    if (!task->train->lead)
        return pal_fail(err, PAL_USAGE, "lead_len=%lld: task %s has nothing to read before a sequence; set 0",
                        (long long)cfg->lead_len, task->name);
    if (cfg->lead_len % n)
        return pal_fail(err, PAL_USAGE, "lead_len=%lld is not a multiple of segment=%lld",
                        (long long)cfg->lead_len, (long long)n);
    l->tokens = malloc(lanes * (size_t)cfg->lead_len * sizeof *l->tokens);
    l->segment = malloc(lanes * (size_t)n * sizeof *l->segment);
    l->valid = calloc(lanes, sizeof *l->valid);
    if (!l->tokens || !l->segment || !l->valid)
        return pal_fail(err, PAL_INTERNAL, "out of memory for what %zu lanes read first; lower lead_len", lanes);
    return pass_create(&l->pass, model, threads, lanes, 0, err);
}

void train_lead_close(train_lead *l)
{
    pass_destroy(l->pass);
    free(l->tokens);
    free(l->segment);
    free(l->valid);
}

void train_lead_read(train_lead *l, const task_module *task, task_source *source, int64_t step, const int *fresh,
                     void *const *state)
{
    const size_t n = (size_t)decoder_config(l->model)->segment, count = (size_t)l->cfg->lead_len;
    if (count == 0) return;
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

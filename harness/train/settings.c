/* The settings of a training run: the table behind help, recipes and the weights' metadata.
 * What one setting demands of another is checked here. */
#include "harness/train/train.h"

#include "models/engine/pool.h"

#include <string.h>

#define AT(field) offsetof(train_config, field)

static const kv_spec train_table[] = {
    {.key = "task", .type = KV_TEXT, .offset = AT(task), .fallback = "passkey", .help = "what to train on"},
    {.key = "tokenizer",
     .type = KV_TEXT,
     .offset = AT(tokenizer),
     .fallback = "bytes",
     .help = "bytes, or the path of a tokenizer.json; the model's vocab must hold its tokens"},
    {.key = "out", .type = KV_TEXT, .offset = AT(out), .fallback = "", .help = "file for the final weights"},
    {.key = "log",
     .type = KV_TEXT,
     .offset = AT(log),
     .fallback = "",
     .help = "file for the losses (default: beside `out`)"},
    {.key = "log_format",
     .type = KV_CHOICE,
     .offset = AT(log_format),
     .fallback = "csv",
     .choices = "csv|jsonl",
     .help = "of the log; jsonl: one object a line, as importers of wandb, trackio and TensorBoard read"},
    {.key = "init", .type = KV_TEXT, .offset = AT(init), .fallback = "", .help = "weights to start from"},
    {.key = "init_new",
     .type = KV_CHOICE,
     .offset = AT(init_new),
     .fallback = "refuse",
     .choices = "refuse|keep",
     .help = "tensors that init= lacks, as when attention is replaced: keep = as the seed draws them"},
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
    {.key = "write_penalty_of",
     .type = KV_CHOICE,
     .offset = AT(write_penalty_of),
     .fallback = "opening",
     .choices = "opening|logit",
     .help = "what costs: a gate's opening 1.2 sigmoid(a) - 0.1, which hardly moves one that is wide open, or 0.3 "
             "times "
             "its logit a, down to sigmoid(a) = 1/32"},
    {.key = "lead_len",
     .type = KV_SIZE,
     .offset = AT(lead_len),
     .fallback = "0",
     .min = 0,
     .max = 1 << 26,
     .help = "tokens of the task's filler that a sequence's lane reads before it, without loss"},
    {.key = "lead_times",
     .type = KV_REALS,
     .offset = AT(lead_times),
     .fallback = "1",
     .min = 1,
     .max = 1e9,
     .help = "the state then stands for up to so many readings of them (log-uniform), where the module can say "
             "how; for all lengths or one each"},
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
    {.key = "val_every",
     .type = KV_INT,
     .offset = AT(val_every),
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .help =
         "steps between measurements of the loss on held-out sequences; 0: none. The weights do not depend on it"},
    {.key = "val_tokens",
     .type = KV_SIZE,
     .offset = AT(val_tokens),
     .fallback = "64K",
     .min = 1,
     .max = 1 << 30,
     .help = "tokens of such a measurement, at least; always the same ones"},
    {.key = "val_split",
     .type = KV_TEXT,
     .offset = AT(val_split),
     .fallback = "validation",
     .help = "the split of the training data that is held out; what a task generates is drawn by another seed"},
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

double train_in_phase(const kv_list *list, int64_t phase)
{
    return list->value[list->count > 1 ? phase : 0];
}

int64_t train_lanes(const train_config *c, int64_t phase)
{
    const int64_t lanes = (int64_t)(train_in_phase(&c->batch_tokens, phase) / c->train_len.value[phase]);
    return lanes > 0 ? lanes : 1;
}

static int check_list(const train_config *c, const char *key, const kv_list *list, int one_is_enough,
                      pal_error *err)
{
    if (list->count == c->train_len.count || (one_is_enough && list->count == 1)) return PAL_OK;
    return pal_fail(err, PAL_USAGE, "%s has %lld values and train_len %lld; give %sone for each length", key,
                    (long long)list->count, (long long)c->train_len.count, one_is_enough ? "one, or " : "");
}

int train_config_check(const train_config *c, const model_config *model, pal_error *err)
{
    if (!c->out[0])
        return pal_fail(err, PAL_USAGE,
                        "out= is missing: name the file for the weights, e.g. out=model.safetensors");
    PAL_TRY(check_list(c, "train_steps", &c->train_steps, 0, err));
    PAL_TRY(check_list(c, "batch_tokens", &c->batch_tokens, 1, err));
    PAL_TRY(check_list(c, "write_penalty", &c->write_penalty, 1, err));
    PAL_TRY(check_list(c, "lead_times", &c->lead_times, 1, err));
    if (c->val_every % c->log_every)
        return pal_fail(err, PAL_USAGE,
                        "val_every=%lld is not a multiple of log_every=%lld, whose rows carry it; use %lld",
                        (long long)c->val_every, (long long)c->log_every,
                        (long long)((c->val_every / c->log_every + 1) * c->log_every));
    for (int64_t i = 0; i < c->train_len.count; i++) {
        const int64_t length = (int64_t)c->train_len.value[i];
        if (length % model->segment)
            return pal_fail(err, PAL_USAGE, "train_len=%lld is not a multiple of segment=%lld; use %lld",
                            (long long)length, (long long)model->segment,
                            (long long)((length / model->segment + 1) * model->segment));
    }
    return PAL_OK;
}

int train_config_shapes(const char *key)
{
    static const char *const others[] = {"threads",   "recompute",        "out",        "log",       "init",
                                         "log_every", "checkpoint_every", "log_format", "val_every", "val_tokens",
                                         "val_split"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(key, others[i]) == 0) return 0;
    return 1;
}

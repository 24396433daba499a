/* The settings of a training run: the table behind help, recipes and the weights' metadata.
 * What one setting demands of another is checked here. */
#include "harness/train/train.h"

#include "models/engine/pool.h"

#include <string.h>

#define AT(field) offsetof(train_config, field)

static const kv_spec train_table[] = {
    {"task", KV_TEXT, AT(task), "passkey", 0, 0, NULL, "what to train on"},
    {"tokenizer", KV_TEXT, AT(tokenizer), "bytes", 0, 0, NULL,
     "bytes, or the path of a tokenizer.json; the model's vocab must hold its tokens"},
    {"out", KV_TEXT, AT(out), "", 0, 0, NULL, "file for the final weights"},
    {"log", KV_TEXT, AT(log), "", 0, 0, NULL, "file for the losses (default: beside `out`)"},
    {"log_format", KV_CHOICE, AT(log_format), "csv", 0, 0, "csv|jsonl",
     "of the log; jsonl: one object a line, as importers of wandb, trackio and TensorBoard read"},
    {"init", KV_TEXT, AT(init), "", 0, 0, NULL,
     "model to start from, ours or another program's: what is not said of the model is as there"},
    {"init_new", KV_CHOICE, AT(init_new), "refuse", 0, 0, "refuse|keep",
     "tensors that init= lacks though attention is its own: keep = as the seed draws them"},
    {"trains", KV_CHOICE, AT(trains), "all", 0, 0, "all|new",
     "new: only tensors that init= lacks learn; `out` is then an adapter, which holds them alone and names its "
     "base"},
    {"seed", KV_INT, AT(seed), "1", 0, 1e15, NULL, "seed of weights and data"},
    {"threads", KV_INT, AT(threads), "0", 0, POOL_MAX_THREADS, NULL,
     "0: all processors; the results do not depend on it"},
    {"batch_tokens", KV_SIZES, AT(batch_tokens), "16K", 1, 1 << 26, NULL,
     "tokens in a step, for all lengths or one each: batch_tokens / length sequences, at least one"},
    {"grad_parts", KV_INT, AT(grad_parts), "1", 1, 1024, NULL,
     "the sequences of a step in so many parts, a power of two, whose gradients are added in a fixed tree; the "
     "ranks "
     "of mpirun share them, and any number of ranks gives the same bits"},
    {"train_len", KV_SIZES, AT(train_len), "512", 16, 1 << 26, NULL, "curriculum of sequence lengths, tokens"},
    {"train_steps", KV_SIZES, AT(train_steps), "100", 1, 1e9, NULL, "steps at each length"},
    {"lr", KV_REAL, AT(lr), "2e-3", 0, 10, NULL, "peak learning rate"},
    {"lr_floor", KV_REAL, AT(lr_floor), "1e-4", 0, 10, NULL, "learning rate at the end of the cosine"},
    {"warmup", KV_INT, AT(warmup), "50", 0, 1e9, NULL, "steps of linear warm-up"},
    {"write_penalty", KV_REALS, AT(write_penalty), "0", 0, 100, NULL,
     "weight of the write gates' mean opening in the loss (infini-gated), for all lengths or one each"},
    {"write_penalty_of", KV_CHOICE, AT(write_penalty_of), "opening", 0, 0, "opening|logit",
     "what costs: a gate's opening 1.2 sigmoid(a) - 0.1, which hardly moves one that is wide open, or 0.3 times "
     "its logit a, down to sigmoid(a) = 1/32"},
    {"lead_len", KV_SIZE, AT(lead_len), "0", 0, 1 << 26, NULL,
     "tokens of the task's filler that a sequence's lane reads before it, without loss"},
    {"lead_times", KV_REALS, AT(lead_times), "1", 1, 1e9, NULL,
     "the state then stands for up to so many readings of them (log-uniform), where the module can say how; for "
     "all lengths or one each"},
    {"lead_before", KV_CHOICE, AT(lead_before), "sequence", 0, 0, "sequence|segment",
     "segment: every segment stands behind a lead that was read once, with an empty memory: its local attention "
     "(xl_len) is that of a long segment's end, at the cost of a short one"},
    {"lead_count", KV_INT, AT(lead_count), "8", 1, 1024, NULL,
     "lead_before=segment: different leads for each length, half of them shorter than lead_len (log-uniform)"},
    {"recompute", KV_CHOICE, AT(recompute), "auto", 0, 0, "auto|no|yes",
     "run each segment's forward again before its backward, to save memory; the bits are the same"},
    {"checkpoint_every", KV_INT, AT(checkpoint_every), "50", 1, 1e9, NULL, "steps between checkpoints"},
    {"log_every", KV_INT, AT(log_every), "10", 1, 1e9, NULL, "steps averaged in a row of the log"},
    {"val_every", KV_INT, AT(val_every), "0", 0, 1e9, NULL,
     "steps between measurements of the loss on held-out sequences; 0: none. The weights do not depend on it"},
    {"val_tokens", KV_SIZE, AT(val_tokens), "64K", 1, 1 << 30, NULL,
     "tokens of such a measurement, at least; always the same ones"},
    {"val_split", KV_TEXT, AT(val_split), "validation", 0, 0, NULL,
     "the split of the training data that is held out; what a task generates is drawn by another seed"},
    {"dtype", KV_CHOICE, AT(dtype), "f32", 0, 0, "f32|bf16", "of the final weights"},
    {"optimiser", KV_CHOICE, AT(optimiser.kind), "adamw", 0, 0, "adamw|adafactor", "adafactor is the paper's"},
    {"beta1", KV_REAL, AT(optimiser.beta1), "0.9", 0, 0.9999, NULL, "adamw"},
    {"beta2", KV_REAL, AT(optimiser.beta2), "0.98", 0, 0.99999, NULL, "adamw"},
    {"adam_eps", KV_REAL, AT(optimiser.eps), "1e-8", 1e-20, 1, NULL, "adamw"},
    {"weight_decay", KV_REAL, AT(optimiser.weight_decay), "0.01", 0, 10, NULL,
     "decoupled; norms, biases and gates are exempt"},
    {"clip", KV_REAL, AT(optimiser.clip), "1", 0, 1e9, NULL, "global gradient norm; 0: none"},
    {"gate_lr_scale", KV_REAL, AT(optimiser.gate_lr_scale), "10", 0, 1e6, NULL,
     "the gates' learning rate over the others'"},
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

/* Leads are read once: what learns may have no part in them. */
static int check_leads(const train_config *c, pal_error *err)
{
    const char *fault = c->lead_len == 0          ? "lead_len=0 has nothing to read; set it, and xl_len as long"
                        : c->trains != TRAINS_NEW ? "the leads stay as they were read; set trains=new"
                        : c->val_every > 0        ? "a validation reads no leads; set val_every=0"
                                                  : NULL;
    return fault ? pal_fail(err, PAL_USAGE, "lead_before=segment: %s", fault) : PAL_OK;
}

int train_config_check(const train_config *c, const model_config *model, pal_error *err)
{
    if (!c->out[0])
        return pal_fail(err, PAL_USAGE,
                        "out= is missing: name the file for the weights, e.g. out=model.safetensors");
    if (c->trains == TRAINS_NEW && !c->init[0])
        return pal_fail(err, PAL_USAGE, "trains=new: name the model whose tensors stay as they are in init=");
    PAL_TRY(check_list(c, "train_steps", &c->train_steps, 0, err));
    PAL_TRY(check_list(c, "batch_tokens", &c->batch_tokens, 1, err));
    PAL_TRY(check_list(c, "write_penalty", &c->write_penalty, 1, err));
    PAL_TRY(check_list(c, "lead_times", &c->lead_times, 1, err));
    if (c->lead_before == LEAD_SEGMENT) PAL_TRY(check_leads(c, err));
    if (c->val_every % c->log_every)
        return pal_fail(err, PAL_USAGE,
                        "val_every=%lld is not a multiple of log_every=%lld, whose rows carry it; use %lld",
                        (long long)c->val_every, (long long)c->log_every,
                        (long long)((c->val_every / c->log_every + 1) * c->log_every));
    if (c->grad_parts & (c->grad_parts - 1))
        return pal_fail(err, PAL_USAGE, "grad_parts=%lld is no power of two", (long long)c->grad_parts);
    for (int64_t i = 0; i < c->train_len.count; i++) {
        const int64_t length = (int64_t)c->train_len.value[i];
        if (train_lanes(c, i) % c->grad_parts)
            return pal_fail(
                err, PAL_USAGE,
                "grad_parts=%lld does not divide the %lld sequences of a step of train_len=%lld; change "
                "batch_tokens",
                (long long)c->grad_parts, (long long)train_lanes(c, i), (long long)length);
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

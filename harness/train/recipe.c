/* A training recipe: its settings, what they need, and whether files on disk were made by them.
 * The whole recipe goes into the weights as metadata. */
#include "harness/train/trainer.h"

#include "harness/base/os.h"
#include "harness/eval/request.h"
#include "models/attention/attention.h"
#include "models/decoder/config_keys.h"
#include "models/engine/gemm.h"
#include "models/import/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The model: what the recipe does not say is as in the weights that it starts from. A training that is resumed no
 * longer needs them. */
static int read_model(trainer *t, const kv_pairs *pairs, pal_error *err)
{
    const char *init = kv_pairs_value(pairs, "init"), *attention = kv_pairs_value(pairs, "attention");
    kv_pairs keys = {0};
    if (!init || !init[0] || !os_file_exists(init)) return model_config_read(&t->model_cfg, pairs, err);
    instead_words over = {.common = *pairs}; /* borrowed */
    int code = model_keys(init, &keys, err);
    const char *own = kv_pairs_value(&keys, "attention"), *reads = kv_pairs_value(&keys, "tokenizer");
    t->replaces = own && attention && strcasecmp(own, attention) != 0;
    if (code == PAL_OK && reads) snprintf(t->cfg.tokenizer, sizeof t->cfg.tokenizer, "%s", reads);
    if (code == PAL_OK && attention) code = kv_pairs_add(&over.own, "attention", attention, init, err);
    if (code == PAL_OK) code = instead_apply(&keys, &over, err);
    if (code == PAL_OK) code = model_config_read(&t->model_cfg, &keys, err);
    kv_pairs_free(&over.own);
    kv_pairs_free(&keys);
    return code;
}

static int read_recipe(trainer *t, const kv_pairs *pairs, pal_error *err)
{
    size_t count;
    const kv_spec *table = train_config_table(&count);
    PAL_TRY(kv_defaults(table, count, &t->cfg, err));
    PAL_TRY(read_model(t, pairs, err));
    const char *name = kv_pairs_value(pairs, "task");
    t->task = task_find(name ? name : t->cfg.task);
    if (!t->task || !t->task->train)
        return pal_fail(err, PAL_USAGE, "task=%s: no task of this name can be trained on; see `palimpsest list`",
                        name);
    t->task_cfg = calloc(1, t->task->train->bytes ? t->task->train->bytes : 1);
    if (!t->task_cfg) return pal_fail(err, PAL_INTERNAL, "out of memory for the task's settings");
    PAL_TRY(kv_defaults(t->task->train->table, t->task->train->count, t->task_cfg, err));
    for (size_t i = 0; i < pairs->count; i++) {
        const kv_pair *p = &pairs->pair[i];
        const kv_spec *ours = kv_find(table, count, p->key);
        const kv_spec *tasks = kv_find(t->task->train->table, t->task->train->count, p->key);
        if (ours) PAL_TRY(kv_set(ours, &t->cfg, p->value, err));
        if (tasks) PAL_TRY(kv_set(tasks, t->task_cfg, p->value, err));
        if (!ours && !tasks && !model_config_knows(t->model_cfg.attention, p->key))
            return pal_fail(err, PAL_USAGE, "%s: unknown key `%s`; `palimpsest help train` lists all", p->where,
                            p->key);
    }
    return PAL_OK;
}

static int open_source(trainer *t, pal_error *err)
{
    PAL_TRY(eval_tokenizer_load(&t->tokenizer, t->cfg.tokenizer, err));
    if ((int64_t)tokenizer_vocab(t->tokenizer) > t->model_cfg.vocab)
        return pal_fail(err, PAL_USAGE, "vocab=%lld does not hold the %zu tokens of tokenizer=%s; set vocab=%zu",
                        (long long)t->model_cfg.vocab, tokenizer_vocab(t->tokenizer), t->cfg.tokenizer,
                        tokenizer_vocab(t->tokenizer));
    return t->task->train->open(t->task_cfg, t->tokenizer, (uint64_t)t->cfg.seed, &t->source, err);
}

static int check_recipe(trainer *t, pal_error *err)
{
    const train_config *c = &t->cfg;
    PAL_TRY(train_config_check(c, &t->model_cfg, err));
    for (int64_t i = 0; i < c->train_len.count; i++) {
        const int64_t length = (int64_t)c->train_len.value[i], lanes = train_lanes(c, i);
        const int64_t most = attn_sizes_of(&t->model_cfg, 0, 1).max_tokens;
        if (most && length > most)
            return pal_fail(err, PAL_USAGE,
                            "train_len=%lld exceeds the %lld tokens that %s can hold; raise context",
                            (long long)length, (long long)most, t->model_cfg.attention->name);
        PAL_TRY(t->task->train->phase(t->source, lanes, length, err));
        t->total_steps += (int64_t)c->train_steps.value[i];
        t->total_tokens += c->train_steps.value[i] * (double)(lanes * length);
    }
    snprintf(t->checkpoint, sizeof t->checkpoint, "%s.resume", c->out);
    return PAL_OK;
}

int trainer_read(trainer *t, const kv_pairs *pairs, pal_error *err)
{
    PAL_TRY(read_recipe(t, pairs, err));
    PAL_TRY(open_source(t, err));
    return check_recipe(t, err);
}

/* The whole recipe as metadata: with the config it is all that is needed to make the same file again. */
int trainer_describe(trainer *t, pal_error *err)
{
    size_t count;
    const kv_spec *table = train_config_table(&count);
    char text[KV_TEXT_MAX];
    for (size_t i = 0; i < count; i++) {
        if (!train_config_shapes(table[i].key)) continue;
        /* Files from before there was such a key say nothing of it. */
        if (strcmp(table[i].key, "grad_parts") == 0 && t->cfg.grad_parts == 1) continue;
        const int leads = strcmp(table[i].key, "lead_before") == 0 || strcmp(table[i].key, "lead_count") == 0;
        if (leads && t->cfg.lead_before == LEAD_SEQUENCE) continue;
        kv_get(&table[i], &t->cfg, text, sizeof text);
        PAL_TRY(kv_pairs_add(&t->metadata, table[i].key, text, "recipe", err));
    }
    for (size_t i = 0; i < t->task->train->count; i++) {
        kv_get(&t->task->train->table[i], t->task_cfg, text, sizeof text);
        PAL_TRY(kv_pairs_add(&t->metadata, t->task->train->table[i].key, text, "recipe", err));
    }
    PAL_TRY(kv_pairs_add(&t->metadata, "tokenizer_sha256", tokenizer_digest(t->tokenizer), "recipe", err));
    /* The recipe is compared before the model exists: its shapes alone say which products it has. */
    decoder *shapes;
    PAL_TRY(decoder_describe(&shapes, &t->model_cfg, err));
    decoder_core(shapes, text, sizeof text);
    decoder_destroy(shapes);
    return kv_pairs_add(&t->metadata, "blas_core", text, "recipe", err);
}

int trainer_same_recipe(const trainer *t, const char *path, const checkpoint_info *info, pal_error *err)
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

int trainer_already_made(const trainer *t, int *made, pal_error *err)
{
    *made = os_file_exists(t->cfg.out);
    if (!*made) return PAL_OK;
    decoder *d;
    checkpoint_info info = {0};
    PAL_TRY(model_load(t->cfg.out, NULL, &d, NULL, &info, err));
    char *now = model_config_text(&t->model_cfg), *then = model_config_text(decoder_config(d));
    int code = trainer_same_recipe(t, t->cfg.out, &info, err);
    if (code == PAL_OK && (!now || !then || strcmp(now, then) != 0))
        code =
            pal_fail(err, PAL_USAGE, "%s holds a model of another config; delete it to train again", t->cfg.out);
    free(now);
    free(then);
    checkpoint_info_free(&info);
    decoder_destroy(d);
    return code;
}

/* An evaluation as it was asked for: the words of a command line, the models, the tokenizer and the samples that
 * they name. */
#include "harness/eval/request.h"
#include "harness/eval/model_labels.h"

#include "harness/cli/listing.h"

#include "harness/base/near.h"
#include "harness/base/os.h"
#include "models/attention/attention.h"
#include "models/decoder/config_keys.h"
#include "models/stream/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define AT(field) offsetof(eval_options, field)

const kv_spec eval_options_rows[EVAL_OPTIONS] = {
    {"task", KV_TEXT, AT(task), "passkey", 0, 0, NULL, "what to evaluate on; see `palimpsest list`"},
    {"model", KV_TEXT, AT(model), "all", 0, 0, NULL,
     "all that the task trained; or a list of names, of patterns such as passkey-*, of paths; infini-delta means "
     "the task's own"},
    {"attention", KV_TEXT, AT(attention), "", 0, 0, NULL,
     "in place of the models' own, each a row: a list such as own,full,local:segment=512,window:sinks=0"},
    {"new_tensors", KV_CHOICE, AT(new_tensors), "refuse", 0, 0, "refuse|start",
     "tensors that an attention has and the weights have not: start = as the module says, untrained"},
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, KV_HOME, "directory of the shipped models"},
    {"results", KV_TEXT, AT(results), "results/run", 0, 0, NULL,
     "directory of the journal, the tables and the plots"},
    {"batch", KV_INT, AT(batch), "10", 1, 1024, NULL,
     "samples run side by side; lowered to fit memory; the results do not depend on it"},
    {"threads", KV_INT, AT(threads), "0", 0, POOL_MAX_THREADS, NULL,
     "0: all processors; the results do not depend on it"},
    {"tokenizer", KV_TEXT, AT(tokenizer), "", 0, 0, NULL,
     "\"bytes\" or the path of a tokenizer.json; empty: the one that the models were trained with"},
    {"memory", KV_CHOICE, AT(memory), "kept", 0, 0, "kept|zeroed|both",
     "zeroed: the control that forgets, once before the question or else at every segment"},
    {"share", KV_CHOICE, AT(share), "1", 0, 0, "0|1",
     "read the start that samples share only once, and nothing that no result hangs on; the results are the same"},
    {"checkpoint", KV_REAL, AT(checkpoint), "10", 0, 86400, NULL,
     "seconds between checkpoints inside long samples; 0: none"},
    {"references", KV_CHOICE, AT(references), "1", 0, 0, "0|1",
     "also measure what takes no model: compressors on perplexity, extracts and copied summaries on booksum"},
    {"format", KV_CHOICE, AT(format), "text", 0, 0, LISTING_FORMATS, "of the rows on standard output"},
    {"hold", KV_CHOICE, AT(hold), "auto", 0, 0, FORM_CHOICES,
     "form of the weights of another program's model in memory: expanded to f32; rounded to bf16, which changes "
     "results; or as stored in the file, with f32's results. auto: f32 where that takes at most half of the "
     "memory, else stored"},
    {"shard", KV_TEXT, AT(shard), "env", 0, 0, NULL,
     "part I/N of the work, such as 2/4; auto: what is free, in a results= that several processes share; env: "
     "what "
     "Slurm, Open MPI or PMI say, else all; none: all. `palimpsest merge` puts the parts together"},
    {"ranks", KV_CHOICE, AT(split), "samples", 0, 0, "samples|layers",
     "what ranks of mpirun share: samples, which rank 0 deals, or the layers of a model that is too large for "
     "one"},
    {"lease", KV_REAL, AT(lease), "60", 0.1, 86400, NULL,
     "of shard=auto: seconds after which a process that gives no sign has lost its work to another"},
    {"plots", KV_CHOICE, AT(plots), "1", 0, 0, "0|1", "draw the plots, if gnuplot is there"},
};

static int find_task(eval_request *r, pal_error *err)
{
    r->task = task_find(r->options.task);
    if (r->task) return PAL_OK;
    char names[1024] = "";
    size_t used = 0;
    for (size_t i = 0; task_table[i] && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", task_table[i]->name);
    return pal_fail(err, PAL_USAGE, "task=%s: no such task; use one of: %s", r->options.task, names);
}

static int some_attention_has(const char *key)
{
    for (size_t i = 0; attn_table[i]; i++)
        if (instead_allows(attn_table[i], key)) return 1;
    return 0;
}

/* Every word must be the task's or an attention's: a misspelt one must not be silently ignored. */
static int take_keys(eval_request *r, const kv_pairs *words, pal_error *err)
{
    const task_module *task = r->task;
    for (size_t i = 0; i < words->count; i++) {
        const char *key = words->pair[i].key;
        if (kv_find(task->eval->request_table, task->eval->request_count, key)) continue;
        if (some_attention_has(key)) {
            PAL_TRY(kv_pairs_add(&r->model_keys, key, words->pair[i].value, words->pair[i].where, err));
            continue;
        }
        near_names near;
        char text[NEAR_TEXT];
        near_begin(&near, key);
        for (size_t k = 0; k < task->eval->request_count; k++) near_offer(&near, task->eval->request_table[k].key);
        for (size_t k = 0; k < EVAL_OPTIONS; k++) near_offer(&near, eval_options_rows[k].key);
        return pal_fail(err, PAL_USAGE, "%s: task %s has no such key%s `palimpsest help eval %s` lists them", key,
                        task->name, near.count ? near_text(&near, text) : ";", task->name);
    }
    return PAL_OK;
}

/* ---- Models ---- */

typedef struct digesting {
    const char *name;
    double began, told;
} digesting;

/* A line that is written over and over while a large model's files are read for their digest. */
static void tell_digest(void *arg, uint64_t done, uint64_t total)
{
    digesting *d = arg;
    const double now = os_now();
    if (now - d->began < 2 || (now - d->told < 0.5 && done < total) || !isatty(STDERR_FILENO)) return;
    d->told = now;
    fprintf(stderr, "\r%s: reading for its digest, %d %%%s", d->name, (int)(100 * (double)done / (double)total),
            done < total ? "" : "\n");
}

/* The name of a model with another attention is one of its own: "text-local+window:sinks=0". */
static int name_instead(eval_model *m, pal_error *err)
{
    const size_t used = strlen(m->file.name), room = sizeof m->file.name - used;
    memcpy(m->file.instead, m->made.text, sizeof m->file.instead);
    memcpy(m->facts.instead, m->made.text, sizeof m->facts.instead);
    if (!m->made.text[0] || (size_t)snprintf(m->file.name + used, room, "+%s", m->made.text) < room) return PAL_OK;
    return pal_fail(err, PAL_USAGE, "%.80s...: the name of the model is too long", m->file.name);
}

/* The decoder of an earlier row that has the same weights already; NULL: none. */
static decoder *lender_of(const eval_request *r, const eval_model *m)
{
    for (const eval_model *o = r->model; o < m; o++)
        if (!o->pending && strcmp(o->file.path, m->file.path) == 0) return o->decoder;
    return NULL;
}

/* `attention`: what an entry of attention= says; "own": none. */
static int load_model(eval_model *m, const eval_request *r, const weights_file *file, const char *attention,
                      pal_error *err)
{
    instead_words words = {0};
    m->file = *file;
    int code = strcmp(attention, "own") == 0 ? PAL_OK : instead_parse(attention, &words.own, err);
    if (code == PAL_OK) code = kv_pairs_merge(&words.common, &r->model_keys, err);
    if (code == PAL_OK && r->options.new_tensors)
        code = kv_pairs_add(&words.common, "new_tensors", "start", KV_COMMAND_LINE, err);
    m->pending = import_is_foreign(m->file.path);
    digesting told = {m->file.name, os_now(), 0};
    if (code == PAL_OK && m->pending && r->load == LOAD_TO_PLAN)
        code = model_outline(m->file.path, &words, &m->decoder, &m->made, &m->info, err);
    else if (code == PAL_OK)
        code = m->pending
                   ? model_describe(m->file.path, &words, tell_digest, &told, &m->decoder, &m->made, &m->info, err)
                   : model_load_like(m->file.path, &words, lender_of(r, m), &m->decoder, &m->made, &m->info, err);
    instead_words_free(&words);
    PAL_TRY(code);
    m->form = FORM_F32;
    m->facts = facts_of(decoder_config(m->decoder), &m->info.metadata);
    PAL_TRY(name_instead(m, err));
    char *config = model_config_text(decoder_config(m->decoder));
    if (!config) return pal_fail(err, PAL_INTERNAL, "out of memory for a config");
    hash_hex(config, strlen(config), m->config);
    free(config);
    return PAL_OK;
}

static int trained_on(const eval_model *m, const char *task)
{
    return strcmp(m->facts.trained_on, task) == 0;
}

static int by_facts(const void *a, const void *b)
{
    const eval_model *x = a, *y = b;
    const int order = facts_order(&x->facts, &y->facts);
    return order ? order : strcmp(x->file.name, y->file.name);
}

void eval_model_free(eval_model *m)
{
    decoder_destroy(m->decoder);
    checkpoint_info_free(&m->info);
}

/* "all" means those trained on the task, where there are any: others may not even read its tokens. */
static void keep_trained(eval_request *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->model_count; i++) kept += (size_t)trained_on(&r->model[i], r->task->name);
    if (kept == 0) return;
    kept = 0;
    for (size_t i = 0; i < r->model_count; i++) {
        if (trained_on(&r->model[i], r->task->name))
            r->model[kept++] = r->model[i];
        else
            eval_model_free(&r->model[i]);
    }
    r->model_count = kept;
}

/* The files that model= names, each with every attention that attention= names. */
typedef struct model_list {
    eval_request *r;
    const weights_file *file;
    size_t count;
} model_list;

/* Two attentions may come to the same model. */
static int known_already(const eval_request *r, const eval_model *m)
{
    for (const eval_model *o = r->model; o < m; o++)
        if (strcmp(o->file.path, m->file.path) == 0 && strcmp(o->config, m->config) == 0) return 1;
    return 0;
}

static int load_files(void *arg, const char *attention, pal_error *err)
{
    const model_list *l = arg;
    eval_request *r = l->r;
    for (size_t i = 0; i < l->count; i++) {
        const weights_file *file = &l->file[i];
        if (file->instead[0] && r->options.attention[0])
            return pal_fail(err, PAL_USAGE, "attention=%s: model=%s+%s names one already", r->options.attention,
                            file->name, file->instead);
        eval_model *grown = realloc(r->model, (r->model_count + 1) * sizeof *grown);
        if (!grown) return pal_fail(err, PAL_INTERNAL, "out of memory for the models");
        r->model = grown;
        eval_model *m = &r->model[r->model_count++];
        *m = (eval_model){0};
        PAL_TRY(load_model(m, r, file, file->instead[0] ? file->instead : attention, err));
        if (!known_already(r, m)) continue;
        eval_model_free(m);
        r->model_count--;
    }
    return PAL_OK;
}

/* A key of an attention that none of the models has would be silently ignored. */
static int check_model_keys(const eval_request *r, pal_error *err)
{
    for (size_t i = 0; i < r->model_keys.count; i++) {
        const kv_pair *p = &r->model_keys.pair[i];
        int known = 0;
        for (size_t m = 0; m < r->model_count; m++)
            known |= instead_allows(decoder_config(r->model[m].decoder)->attention, p->key);
        if (!known)
            return pal_fail(err, PAL_USAGE, "%s=%s: none of the models has an attention with such a key", p->key,
                            p->value);
    }
    return PAL_OK;
}

static int load_models(eval_request *r, pal_error *err)
{
    const char *attentions = r->options.attention[0] ? r->options.attention : "own";
    model_list list = {.r = r};
    weights_file *files;
    PAL_TRY(model_labels(&r->options, r->task, err));
    PAL_TRY(weights_resolve_for(r->task->name, r->options.model, r->options.weights, &files, &list.count, err));
    list.file = files;
    int code = kv_each_name("attention", attentions, load_files, &list, err);
    free(files);
    if (code == PAL_OK) code = check_model_keys(r, err);
    if (code == PAL_OK && strcmp(r->options.model, "all") == 0) {
        keep_trained(r);
        if (!r->options.tokenizer[0]) eval_request_one_tokenizer(r);
        qsort(r->model, r->model_count, sizeof *r->model, by_facts);
    }
    return code;
}

/* No model's context need be longer than the longest sample. */
static int fit_contexts(eval_request *r, pal_error *err)
{
    uint64_t longest = 1;
    size_t pending = 0;
    for (size_t i = 0; i < r->model_count; i++) pending += r->model[i].pending != 0;
    for (size_t c = 0; pending && c < r->cell_count; c++) {
        const batch_item *item;
        PAL_TRY(eval_request_samples(r, c, &item, err));
        for (int64_t i = 0; i < r->cell[c].samples; i++) {
            const uint64_t end = item[i].prompt + item[i].decoding.max_tokens;
            if (item[i].tokens > longest) longest = item[i].tokens;
            if (end > longest) longest = end;
        }
    }
    for (size_t i = 0; i < r->model_count; i++)
        if (r->model[i].pending) PAL_TRY(weights_fit(&r->model[i].file, longest, &r->model[i].decoder, err));
    return PAL_OK;
}

/* To expand more numbers takes longer than a plan should. */
static int is_long(const eval_request *r, const decoder *d)
{
    return r->load == LOAD_TO_PLAN && decoder_parameters(d) > 200000000;
}

static int read_weights(eval_request *r, pal_error *err)
{
    for (size_t i = 0; i < r->model_count; i++) {
        eval_model *m = &r->model[i];
        decoder *lender = lender_of(r, m);
        if (!m->pending) continue;
        m->form = form_choose((weights_form)r->options.hold, m->decoder);
        if (is_long(r, m->decoder) && !lender)
            PAL_TRY(model_map_weights(m->file.path, m->decoder, err));
        else
            PAL_TRY(model_read_weights_as(m->file.path, m->form, lender, m->decoder, err));
        m->pending = 0;
    }
    return PAL_OK;
}

/* All that can fail before work begins. */
static int load_all(eval_request *r, pal_error *err)
{
    PAL_TRY(load_models(r, err));
    PAL_TRY(eval_request_tokenizer(r, err));
    PAL_TRY(r->task->eval->begin(r->task_request, r->tokenizer, &r->run, err));
    r->cell_count = r->task->eval->cells(r->run, &r->cell);
    r->sample = calloc(r->cell_count + 1, sizeof *r->sample);
    if (!r->sample) return pal_fail(err, PAL_INTERNAL, "out of memory for the cells");
    PAL_TRY(fit_contexts(r, err));
    for (size_t i = 0; r->ranks > 1 && i < r->model_count; i++)
        PAL_TRY(relay_take_layers(r->model[i].decoder, r->rank, r->ranks, r->model[i].file.name, err));
    return read_weights(r, err);
}

int eval_request_make(eval_request *r, const eval_options *o, const kv_pairs *words, request_load load,
                      pal_error *err)
{
    return eval_request_make_layers(r, o, words, load, 0, 1, err);
}

int eval_request_make_layers(eval_request *r, const eval_options *o, const kv_pairs *words, request_load load,
                             size_t rank, size_t ranks, pal_error *err)
{
    *r = (eval_request){.options = *o, .load = load, .rank = rank, .ranks = ranks};
    PAL_TRY(find_task(r, err));
    PAL_TRY(take_keys(r, words, err));
    const kv_spec *table = r->task->eval->request_table;
    const size_t count = r->task->eval->request_count;
    r->task_request = calloc(1, r->task->eval->request_bytes);
    int code = r->task_request ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the request");
    if (code == PAL_OK) code = kv_defaults(table, count, r->task_request, err);
    if (code == PAL_OK) code = kv_apply(table, count, r->task_request, words, err);
    if (code == PAL_OK && r->task->eval->settle) code = r->task->eval->settle(r->task_request, err);
    r->threads = r->options.threads ? (int)r->options.threads : os_processors();
    if (r->threads > POOL_MAX_THREADS) r->threads = POOL_MAX_THREADS;
    if (code == PAL_OK && load) code = load_all(r, err);
    if (code != PAL_OK) eval_request_free(r);
    return code;
}

int eval_request_read(eval_request *r, int argc, char *const *argv, request_load load, pal_error *err)
{
    *r = (eval_request){0};
    eval_options o;
    kv_pairs words = {0}, rest = {0};
    int code = kv_pairs_args(&words, argc, argv, err);
    if (code == PAL_OK) code = kv_defaults(eval_options_rows, EVAL_OPTIONS, &o, err);
    if (code == PAL_OK) code = kv_apply(eval_options_rows, EVAL_OPTIONS, &o, &words, err);
    for (size_t i = 0; code == PAL_OK && i < words.count; i++) {
        const kv_pair *p = &words.pair[i];
        if (!kv_find(eval_options_rows, EVAL_OPTIONS, p->key))
            code = kv_pairs_add(&rest, p->key, p->value, p->where, err);
    }
    if (code == PAL_OK) code = eval_request_make(r, &o, &rest, load, err);
    kv_pairs_free(&words);
    kv_pairs_free(&rest);
    return code;
}

void eval_request_free(eval_request *r)
{
    for (size_t i = 0; r->sample && i < r->cell_count; i++) free(r->sample[i]);
    free(r->sample);
    if (r->run) r->task->eval->end(r->run);
    tokenizer_destroy(r->tokenizer);
    for (size_t i = 0; i < r->model_count; i++) eval_model_free(&r->model[i]);
    free(r->model);
    kv_pairs_free(&r->model_keys);
    free(r->task_request);
    *r = (eval_request){0};
}

static int is_key(const char *name, const char *key)
{
    return name && strcasecmp(name, key) == 0;
}

/* Whether a key says which samples are asked for, and not what is in them. */
static int selects(const task_keys *keys, const kv_spec *spec)
{
    return is_key(keys->count, spec->key) || is_key(keys->texts, spec->key) || spec->type == KV_SIZES ||
           spec->type == KV_REALS;
}

/* Whether a record leaves the key out, as those from before there was such a key do. */
static int unspoken(const task_keys *keys, const kv_spec *spec, const char *value)
{
    for (size_t i = 0; keys->young && keys->young[i]; i++)
        if (is_key(keys->young[i], spec->key)) return strcmp(value, spec->fallback) == 0;
    return 0;
}

/* The words of all keys, or, for a cell, of those that shape its samples. */
static int put_words(const eval_request *r, const task_cell *cell, int zeroed, char *out, size_t size,
                     pal_error *err)
{
    const task_keys *keys = &r->task->eval->keys;
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i <= r->task->eval->request_count; i++) {
        const kv_spec *spec = i < r->task->eval->request_count ? &r->task->eval->request_table[i] : NULL;
        char text[KV_OUT_MAX] = "zeroed";
        const char *value = text;
        if (spec ? cell && selects(keys, spec) : !zeroed) continue;
        if (spec) kv_get(spec, r->task_request, text, sizeof text);
        if (spec && unspoken(keys, spec, text)) continue;
        if (spec && cell && cell->split && is_key(keys->split, spec->key)) value = cell->split;
        used += (size_t)snprintf(out + used, size - used, "%s%s=%s", used ? " " : "", spec ? spec->key : "memory",
                                 value);
        if (used >= size) return pal_fail(err, PAL_USAGE, "the request is too long; ask for fewer values at once");
    }
    return PAL_OK;
}

int eval_request_words(const eval_request *r, int zeroed, char *out, size_t size, pal_error *err)
{
    return put_words(r, NULL, zeroed, out, size, err);
}

int eval_cell_settings(const eval_request *r, const task_cell *cell, int zeroed, char *out, size_t size,
                       pal_error *err)
{
    return put_words(r, cell, zeroed, out, size, err);
}

int eval_request_samples(eval_request *r, size_t cell, const batch_item **out, pal_error *err)
{
    const int64_t count = r->cell[cell].samples;
    if (!r->sample[cell]) {
        batch_item *item = calloc((size_t)count + 1, sizeof *item);
        if (!item) return pal_fail(err, PAL_INTERNAL, "out of memory for the samples");
        r->sample[cell] = item;
        for (int64_t i = 0; i < count; i++) {
            item[i] = (batch_item){.cell = &r->cell[cell], .index = i};
            PAL_TRY(batch_measure(r->task, r->run, &item[i], err));
        }
    }
    *out = r->sample[cell];
    return PAL_OK;
}

uint64_t eval_model_bytes(const eval_model *model)
{
    const decoder *d = model->decoder;
    if (!decoder_is_left(d)) return 0;
    if (model->form == FORM_F32 && decoder_relay(d)) return 0;                /* its layers are there */
    if (model->form == FORM_F32) return decoder_parameters(d) * sizeof(real); /* still to be expanded */
    return decoder_mapped_bytes(d);
}

int eval_model_too_short(const eval_model *model, uint64_t tokens, char *why, size_t size)
{
    const model_config *cfg = decoder_config(model->decoder);
    const int64_t limit = attn_sizes_of(cfg, 0, 1).max_tokens;
    if (limit == 0 || tokens <= (uint64_t)limit) return 0;
    char text[24];
    snprintf(why, size, "%s holds at most %s tokens (a sample here takes %llu)", model->file.name,
             kv_format_size(limit, text), (unsigned long long)tokens);
    return 1;
}

/* ---- What the commands that take a request have in common ---- */

const char *const words_of_eval[] = {"task", NULL};

void say_models(const eval_request *r)
{
    for (size_t i = 0; i < r->model_count; i++) {
        const eval_model *m = &r->model[i];
        if (m->made.new_tensors)
            fprintf(stderr, "%s: %zu tensors are new and untrained: %s\n", m->file.name, m->made.new_tensors,
                    m->made.note);
        if (m->made.unused)
            fprintf(stderr, "%s: %zu tensors of the weights belong to the attention that is gone\n", m->file.name,
                    m->made.unused);
    }
    if (r->left_out == 0) return;
    fprintf(
        stderr,
        "%zu model%s of another tokenizer left out, such as %s: a run has one tokenizer; name %s with model=\n",
        r->left_out, r->left_out == 1 ? "" : "s", r->left_out_name, r->left_out == 1 ? "it" : "them");
}

size_t groups_of_tasks(command_group *out)
{
    size_t count = 0;
    for (size_t i = 0; task_table[i] && count < COMMAND_GROUPS; i++) {
        const task_eval *e = task_table[i]->eval;
        if (e->request_count == 0) continue;
        out[count] =
            (command_group){.title = "Keys of task", .table = e->request_table, .count = e->request_count};
        snprintf(out[count++].topic, sizeof out->topic, "%s", task_table[i]->name);
    }
    return count;
}

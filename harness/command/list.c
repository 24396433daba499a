/* `palimpsest list`: attention modules, tasks, and the models that are here.
 * A model's facts are read from its own file. */
#include "harness/base/home.h"
#include "harness/cli/listing.h"
#include "harness/command/commands.h"
#include "harness/eval/request.h"
#include "harness/train/recipes.h"
#include "models/attention/attention.h"
#include "models/decoder/state.h"
#include "models/engine/gemm.h"
#include "models/import/adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct list_options {
    int64_t what, format, full;
    char weights[KV_TEXT_MAX];
} list_options;

enum { LIST_ALL, LIST_MODELS, LIST_TASKS, LIST_ATTENTION, LIST_RECIPES };

#define AT(field) offsetof(list_options, field)

static const kv_spec options_table[] = {
    {"what", KV_CHOICE, AT(what), "all", 0, 0, "all|models|tasks|attention|recipes", "what to list"},
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, KV_HOME, "directory of the models"},
    {"full", KV_CHOICE, AT(full), "0", 0, 0, "0|1", "1: with the SHA-256 digests"},
    {"format", KV_CHOICE, AT(format), "text", 0, 0, LISTING_FORMATS,
     "csv and jsonl give every value in full; with what=all they give the models"},
};

static const listing_column name_columns[] = {{"name", NULL, -22}, {"summary", NULL, -40}};
static const listing_column model_columns[] = {{"name", NULL, -27},         {"attention", NULL, -14},
                                               {"task", "trained on", -10}, {"parameters", NULL, 10},
                                               {"state_bytes", "state", 7}, {"sha256", NULL, -12}};
enum { MODEL_COLUMNS = sizeof model_columns / sizeof *model_columns };

/* The digest is for programs, and for people who ask: with it the rows are wider than a terminal. */
static int with_digest(const list_options *o)
{
    return o->full || o->format == LISTING_CSV || o->format == LISTING_JSONL;
}

static const char *task_of(const checkpoint_info *info)
{
    const char *task = kv_pairs_value(&info->metadata, "task");
    return task ? task : "";
}

static void put_model(const list_options *o, listing *l, const char *name, const decoder *d,
                      const checkpoint_info *info)
{
    char bytes[32], parameters[32];
    snprintf(bytes, sizeof bytes, "%zu KiB", decoder_memory_bytes(d) / 1024);
    snprintf(parameters, sizeof parameters, "%.2fM", (double)decoder_parameters(d) / 1e6);
    listing_text(l, name);
    listing_text(l, decoder_config(d)->attention->name);
    listing_text(l, task_of(info));
    listing_number(l, (double)decoder_parameters(d), parameters);
    listing_number(l, (double)decoder_memory_bytes(d), bytes);
    if (with_digest(o)) listing_text(l, info->digest);
}

/* An adapter is listed without its base, which may not be here. */
static int read_facts(const char *path, decoder **d, checkpoint_info *info, pal_error *err)
{
    adapter_base base;
    PAL_TRY(adapter_find_base(path, &base, err));
    return base.path[0] ? adapter_outline(path, d, info, err) : checkpoint_load(path, d, info, err);
}

static int list_models(const list_options *o, pal_error *err)
{
    weights_file *files = NULL;
    size_t count = 0;
    pal_error none;
    listing l;
    listing_begin(&l, stdout, (listing_format)o->format, model_columns, MODEL_COLUMNS - !with_digest(o));
    if (weights_resolve("*", o->weights, &files, &count, &none) != PAL_OK && listing_for_people(&l))
        printf("no models in %s\n", o->weights);
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < count; i++) {
        decoder *d = NULL;
        checkpoint_info info;
        code = read_facts(files[i].path, &d, &info, err);
        if (code != PAL_OK) break;
        put_model(o, &l, files[i].name, d, &info);
        decoder_destroy(d);
        checkpoint_info_free(&info);
    }
    free(files);
    return code;
}

static void list_tasks(const list_options *o)
{
    listing l;
    listing_begin(&l, stdout, (listing_format)o->format, name_columns, 2);
    for (size_t i = 0; task_table[i]; i++) {
        listing_text(&l, task_table[i]->name);
        listing_text(&l, task_table[i]->summary);
    }
}

static void list_attention(const list_options *o)
{
    listing l;
    listing_begin(&l, stdout, (listing_format)o->format, name_columns, 2);
    for (size_t i = 0; attn_table[i]; i++) {
        listing_text(&l, attn_table[i]->name);
        listing_text(&l, attn_table[i]->summary);
    }
}

static int put_recipe(void *arg, const char *name, const char *task, const char *attention, const char *init,
                      pal_error *err)
{
    (void)err;
    listing *l = arg;
    listing_text(l, name);
    listing_text(l, task);
    listing_text(l, attention);
    listing_text(l, init);
    return PAL_OK;
}

static int list_recipes(const list_options *o, pal_error *err)
{
    static const listing_column column[] = {
        {"name", NULL, -28}, {"task", NULL, -10}, {"attention", NULL, -14}, {"init", "starts from", -12}};
    listing l;
    listing_begin(&l, stdout, (listing_format)o->format, column, sizeof column / sizeof *column);
    return recipe_each(HOME_RECIPES, put_recipe, &l, err);
}

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    (void)rest;
    const list_options *o = options;
    const int everything = o->what == LIST_ALL && (o->format == LISTING_TEXT || o->format == LISTING_MARKDOWN);
    if (everything) printf("Attention modules (attention=NAME in a recipe):\n\n");
    if (everything || o->what == LIST_ATTENTION) list_attention(o);
    if (everything) printf("\nTasks (task=NAME):\n\n");
    if (o->what == LIST_RECIPES) return list_recipes(o, err);
    if (everything || o->what == LIST_TASKS) list_tasks(o);
    if (everything) {
        PAL_TRY(gemm_setup(1, err));
        printf("\nTokenizers (tokenizer=): bytes, or a tokenizer.json of byte-level BPE with GPT-2's splitting; "
               "letters and numbers of Unicode %s\n",
               TOKENIZER_UNICODE);
        printf("\nBLAS core: %s\n\nModels in %s (model=NAME):\n\n", gemm_core(), o->weights);
    }
    if (everything || o->what == LIST_MODELS || o->what == LIST_ALL) return list_models(o, err);
    return PAL_OK;
}

static const char *const places[] = {"what", NULL};

const pal_command list_command = {
    .name = "list",
    .summary = "attention modules, tasks, and the models that are here",
    .examples = "list models\n"
                "list recipes\n"
                "list models --full --format csv\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(list_options),
    .words = places,
    .run = run,
};

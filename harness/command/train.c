/* `palimpsest train`: train a model, or go on with the training.
 * recipe= and config= bring settings; the words beside them override them. */
#include "harness/train/train.h"

#include "harness/base/os.h"
#include "harness/base/utf8.h"
#include "harness/command/commands.h"
#include "harness/command/groups.h"
#include "harness/train/train.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct recipe_options {
    char config[KV_TEXT_MAX];
} recipe_options;

#define AT(field) offsetof(recipe_options, field)

static const kv_spec options_table[] = {
    {"config", KV_TEXT, AT(config), "", 0, 0, NULL,
     "files of settings, separated by commas; the later override the earlier, and words here override them all"},
};

static int read_config(void *recipe, const char *path, pal_error *err)
{
    char *text;
    size_t size;
    PAL_TRY(utf8_read_file(path, &text, &size, err));
    const int code = kv_pairs_parse(recipe, text, path, err);
    free(text);
    return code;
}

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    const recipe_options *o = options;
    kv_pairs recipe = {0};
    int code = o->config[0] ? kv_each_name("config", o->config, read_config, &recipe, err) : PAL_OK;
    if (code == PAL_OK) code = kv_pairs_merge(&recipe, rest, err);
    if (code == PAL_OK) code = train_run(&recipe, stdout, err);
    kv_pairs_free(&recipe);
    return code;
}

const pal_command train_command = {
    .name = "train",
    .summary = "train a model from a recipe",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(recipe_options),
    .groups = groups_of_training,
    .run = run,
};

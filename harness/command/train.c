/* `palimpsest train`: train a model, or go on with the training.
 * recipe= and config= bring settings; the words beside them override them. */
#include "harness/train/train.h"

#include "harness/base/home.h"
#include "harness/base/os.h"
#include "harness/command/commands.h"
#include "harness/command/groups.h"
#include "harness/train/recipes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct recipe_options {
    char recipe[KV_TEXT_MAX], recipes[KV_TEXT_MAX], config[KV_TEXT_MAX];
} recipe_options;

#define AT(field) offsetof(recipe_options, field)

static const kv_spec options_table[] = {
    {"recipe", KV_TEXT, AT(recipe), "", 0, 0, NULL,
     "a recipe's name, see `palimpsest list recipes`: all settings, where the weights go, and what they start "
     "from"},
    {"config", KV_TEXT, AT(config), "", 0, 0, NULL,
     "files of settings, separated by commas; the later override the earlier, and words here override them all"},
    {"recipes", KV_TEXT, AT(recipes), HOME_RECIPES, 0, 0, KV_HOME, "folder of recipes, or one file of your own"},
};

static int read_config(void *recipe, const char *path, pal_error *err)
{
    return kv_pairs_read(recipe, path, err);
}

/* The folder of a file that is to be written. */
static int make_folder(const kv_pairs *recipe, const char *key, pal_error *err)
{
    const char *path = kv_pairs_value(recipe, key), *slash = path ? strrchr(path, '/') : NULL;
    char *folder = slash && slash > path ? strndup(path, (size_t)(slash - path)) : NULL;
    const int code = folder ? os_make_dirs(folder, err) : PAL_OK;
    free(folder);
    return code;
}

static int train_recipe(const char *name, const char *recipes, const kv_pairs *over, pal_error *err);

/* The weights that a recipe starts from: trained now, by their own recipe, where they are missing. */
static int train_init(const char *name, const char *recipes, const kv_pairs *over, pal_error *err)
{
    char init[KV_TEXT_MAX], path[KV_TEXT_MAX];
    const char *threads = kv_pairs_value(over, "threads");
    kv_pairs same = {0};
    if (kv_pairs_value(over, "init")) return PAL_OK;
    PAL_TRY(recipe_init(name, recipes, init, err));
    if (!init[0]) return PAL_OK;
    PAL_TRY(recipe_weights(init, recipes, path, err));
    if (os_file_exists(path)) return PAL_OK;
    printf("%s starts from %s, which is not there: training that first\n", name, init);
    int code = threads ? kv_pairs_add(&same, "threads", threads, KV_COMMAND_LINE, err) : PAL_OK;
    if (code == PAL_OK) code = train_recipe(init, recipes, &same, err);
    kv_pairs_free(&same);
    return code;
}

static int train_recipe(const char *name, const char *recipes, const kv_pairs *over, pal_error *err)
{
    kv_pairs recipe = {0};
    int code = train_init(name, recipes, over, err);
    if (code == PAL_OK) code = recipe_read(name, recipes, &recipe, err);
    /* Weights that go elsewhere have their log beside them, not among those of the shipped models. */
    if (code == PAL_OK && kv_pairs_value(over, "out")) code = kv_pairs_add(&recipe, "log", "", name, err);
    if (code == PAL_OK) code = kv_pairs_merge(&recipe, over, err);
    if (code == PAL_OK) code = make_folder(&recipe, "out", err);
    if (code == PAL_OK) code = make_folder(&recipe, "log", err);
    if (code == PAL_OK) code = train_run(&recipe, stdout, err);
    kv_pairs_free(&recipe);
    return code;
}

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    const recipe_options *o = options;
    kv_pairs settings = {0};
    int code = o->config[0] ? kv_each_name("config", o->config, read_config, &settings, err) : PAL_OK;
    if (code == PAL_OK) code = kv_pairs_merge(&settings, rest, err);
    if (code == PAL_OK && o->recipe[0])
        code = train_recipe(o->recipe, o->recipes, &settings, err);
    else if (code == PAL_OK)
        code = train_run(&settings, stdout, err);
    kv_pairs_free(&settings);
    return code;
}

static const char *const places[] = {"recipe", NULL};

const pal_command train_command = {
    .name = "train",
    .summary = "train a model, or go on with the training",
    .note = "A recipe names all settings; words beside it override them. Weights that it starts from and that are "
            "missing are trained first.\n",
    .examples = "train recipe=bytes-tiny out=my.safetensors\n"
                "train text-infini-delta data=books out=mine.safetensors\n"
                "train config=my.conf out=mine.safetensors lr=1e-3\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(recipe_options),
    .words = places,
    .groups = groups_of_training,
    .run = run,
};

/* Recipes: how each model is trained, by name. Files of sections in models/recipes, or one file of the user's own.
 * A recipe's `init` names the recipe of the weights that it starts from. */
#ifndef PAL_RECIPES_H
#define PAL_RECIPES_H

#include "harness/base/keyval.h"

/* The settings of a recipe, ready for train_run: `init` is a path, and `out` and `log` have their usual places
 * unless the recipe says where. `where`: a folder of .conf files or one file. PAL_USAGE: no such recipe (with the
 * nearest names). */
int recipe_read(const char *name, const char *where, kv_pairs *out, pal_error *err);
/* The recipe whose weights it starts from, into init[KV_TEXT_MAX]; "": none, or a file. */
int recipe_init(const char *name, const char *where, char init[KV_TEXT_MAX], pal_error *err);
/* The weights that a recipe makes, into path[KV_TEXT_MAX]. Stages on the way to a model lie in a folder of their
 * own, so that they are not taken for models. */
int recipe_weights(const char *name, const char *where, char path[KV_TEXT_MAX], pal_error *err);

/* Every recipe that trains a model. `init`: as recipe_init says. */
typedef int recipe_visit(void *arg, const char *name, const char *task, const char *attention, const char *init,
                         pal_error *err);
int recipe_each(const char *where, recipe_visit *visit, void *arg, pal_error *err);

#endif

/* Where the project's own files lie: models, recipes, tokenizers, datasets, pictures' scripts, expected results.
 * One rule for all of them, so that the program works from any folder. */
#ifndef PAL_HOME_H
#define PAL_HOME_H

#include "harness/base/keyval.h"

/* Names of what the program brings along, relative to its home. */
#define HOME_WEIGHTS "models/weights"
#define HOME_RECIPES "models/recipes"
#define HOME_TOKENIZERS "models/tokenizers"

/* Where a relative path is found: below $PALIMPSEST_HOME, here, in a folder above the binary, or in
 * ../share/palimpsest seen from the binary. The first place where something of that name is wins; where it is
 * nowhere, and for an absolute path, the path itself comes back. Writes to out[KV_TEXT_MAX] and returns it. */
const char *home_path(const char *path, char out[KV_TEXT_MAX]);
/* The same in place, for an option of type KV_TEXT. */
void home_settle(char path[KV_TEXT_MAX]);

#endif

/* Finding weights: the shipped ones under a directory, or files named by path. */
#ifndef PAL_WEIGHTS_H
#define PAL_WEIGHTS_H

#include "harness/base/keyval.h"

#define WEIGHTS_DIR "models/weights"
#define WEIGHTS_SUFFIX ".safetensors"

typedef struct weights_file {
    char name[KV_TEXT_MAX]; /* the file's name without directory and suffix */
    char path[2 * KV_TEXT_MAX];
} weights_file;

/* "all": every *.safetensors in `dir`; otherwise a comma-separated list of names found there and of paths (with a
 * '/' or the suffix), in that order. *out is malloc'ed. PAL_USAGE: nothing there, or a name unknown (lists those
 * known). */
int weights_resolve(const char *models, const char *dir, weights_file **out, size_t *count, pal_error *err);

#endif

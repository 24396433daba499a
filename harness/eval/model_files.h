/* Finding weights: the shipped ones under a directory, or files named by path. */
#ifndef PAL_WEIGHTS_H
#define PAL_WEIGHTS_H

#include "harness/base/keyval.h"
#include "models/files/checkpoint.h"
#include "models/import/forms.h"

#define WEIGHTS_DIR "models/weights"
#define WEIGHTS_SUFFIX ".safetensors"

typedef struct weights_file {
    char name[KV_TEXT_MAX]; /* the name of the file, or of the folder, without directory and suffix */
    char path[2 * KV_TEXT_MAX];
    char instead[INSTEAD_TEXT]; /* the attention behind a '+', in place of the model's own; "": its own */
} weights_file;

/* What model= means, in the order given: "all", every *.safetensors in `dir` but adapters, whose base may not be
 * here; names found there; patterns of such names, "passkey-*"; paths (with a '/' or a suffix of weights:
 * .safetensors, .gguf, .bin), which may be patterns too; a folder of another program's model right here.
 * kv_each_name splits the list.
 * With a task, a name that is not there stands for the task's model of that name: "infini-delta" for
 * "passkey-infini-delta". "NAME+window:sinks=0" is a model with another attention (decoder/instead.h). *out is
 * malloc'ed. PAL_USAGE: nothing there, or a name unknown (says the nearest). */
int weights_resolve_for(const char *task, const char *models, const char *dir, weights_file **out, size_t *count,
                        pal_error *err);
/* The same without a task. */
int weights_resolve(const char *models, const char *dir, weights_file **out, size_t *count, pal_error *err);

/* Load what was found, with the attention behind its '+'. `tokens`: no stream will be longer; 0: any that the
 * model can hold. `form` is how another program's matrices are held. `info` may be NULL. */
int weights_load(const weights_file *file, weights_form form, uint64_t tokens, decoder **out,
                 checkpoint_info *info, pal_error *err);
/* Put one that holds `tokens` tokens, and hardly more, in the place of a decoder of model_describe: full
 * attention's memory grows with its context, and no bit depends on it. */
int weights_fit(const weights_file *file, uint64_t tokens, decoder **d, pal_error *err);

#endif

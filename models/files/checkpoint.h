/* Weights as safetensors. Our files carry the model config and a SHA-256 of the whole file (computed with the
 * digest's own 64 characters as '0'), so that one flipped byte anywhere is noticed. */
#ifndef PAL_CHECKPOINT_H
#define PAL_CHECKPOINT_H

#include "harness/base/hash.h"
#include "models/decoder/decoder.h"
#include "models/decoder/instead.h"
#include "models/files/safetensors.h"
#include "models/training/optimiser.h"

typedef struct checkpoint_info {
    char digest[HASH_HEX]; /* identifies the weights in every result */
    kv_pairs metadata;     /* everything but the config: seed, steps, recipe, loss, ... */
} checkpoint_info;

/* Write weights (dtype ST_F32 or ST_BF16), of a decoder_train_only those that learn alone, config, metadata and,
 * when opt is not NULL, the optimiser's moments and step ("optimiser.first", "optimiser.second"; never BF16). The
 * double build writes F64 for F32. Atomic: the old file survives a failure. Metadata keys that st_reserved knows
 * or that begin with "optimiser." are refused. */
int checkpoint_save(const char *path, decoder *d, const optimiser *opt, st_dtype dtype, const kv_pairs *metadata,
                    pal_error *err);
/* Create the decoder a file describes and fill it. Nothing is allocated before the file's tensors are found to be
 * those of its config. PAL_DATA: a weight that is not finite, with its tensor and index, among others. `info` may
 * be NULL here and below. */
int checkpoint_load(const char *path, decoder **out, checkpoint_info *info, pal_error *err);
/* Fill weights and optimiser of an existing pair (resume). PAL_DATA when config or shapes differ: names the first.
 */
int checkpoint_resume(const char *path, decoder *d, optimiser *opt, checkpoint_info *info, pal_error *err);
void checkpoint_info_free(checkpoint_info *info);
/* Fill a decoder's weights from tensors of the same names in `f` (foreign weights); vectors may be saved as [n] or
 * [1, n], matrices of the same element count in any shape. Names the first tensor missing or of another size.
 * keep_missing: tensors that `f` lacks keep what they hold, as long as it has any. */
int checkpoint_fill(decoder *d, const st_file *f, const char *path, int keep_missing, pal_error *err);

/* ---- The parts of checkpoint_load, for who reads a file with changes. ---- */

/* The config that the file describes its model by. PAL_DATA: it has none, or one of a newer version. */
int checkpoint_config(const st_file *f, const char *path, model_config *cfg, pal_error *err);
/* The config `own` of the file with `instead` over it into *cfg, and what differs into made->text. */
int checkpoint_change_config(const st_file *f, const char *path, const instead_words *instead, model_config *own,
                             model_config *cfg, instead_made *made, pal_error *err);
/* PAL_DATA: the file holds a tensor that is no parameter of `d`. */
int checkpoint_no_strangers(const decoder *d, const st_file *f, const char *path, pal_error *err);
/* Digest and metadata for the caller; `info` may be NULL. */
int checkpoint_give_info(const st_file *f, checkpoint_info *info, pal_error *err);
/* A model with `instead` (decoder/instead.h) in place of its own keys. Tensors that are new start as their module
 * says, normal ones drawn with INSTEAD_SEED; those of the attention that is replaced are left out. *made (may be
 * NULL) says what came of it. PAL_USAGE: tensors are new and the pairs do not let them. */
int checkpoint_load_instead(const char *path, const instead_words *instead, decoder *like, decoder **out,
                            instead_made *made, checkpoint_info *info, pal_error *err);

#endif

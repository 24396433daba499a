/* Checkpoints of other programs: HuggingFace folders, GGUF files, llama2.c's .bin.
 * A family of models is one row of family.c; a kind of file is one reader that fills a `foreign`. */
#ifndef PAL_IMPORT_H
#define PAL_IMPORT_H

#include "models/decoder/decoder.h"
#include "models/files/checkpoint.h"
#include "models/import/stored.h"

typedef struct imported imported;

/* Whether a path is something that import_open reads: a folder, a GGUF file, a .bin, or a safetensors file that is
 * not of this program and lies beside its config.json. */
int import_is_foreign(const char *path);
/* Map the files and check names, types, shapes and sizes of everything; no weight is read. PAL_DATA: one line with
 * the file, the place and the fix; a family that cannot be read is refused by its name. */
int import_open(imported **out, const char *path, pal_error *err);
/* What to do about a path that is not there, to end a message: "; ..." for one of `make models`, or "". */
const char *import_remedy(const char *path);
void import_close(imported *m);

/* What the model is in keys of our own (models/README.md). `attention` is full, or window for a sliding window. */
const kv_pairs *import_keys(const imported *m);
/* Facts of the files: architecture, stored (number types by bytes), files, and tokenizer where one lies there. */
const kv_pairs *import_facts(const imported *m);
/* The longest stream that the model was made for. */
int64_t import_context(const imported *m);

/* The tensor that is to be parameter `p` of a model with config `cfg`. out->parts is 0 where the file has none:
 * a part of an attention that was put in place of the model's own. PAL_DATA: its shape is another. */
int import_matrix(const imported *m, const model_config *cfg, const decoder_param *p, stored_matrix *out,
                  pal_error *err);
/* PAL_DATA: what is to be parameter `p` holds a number that is not finite. */
int import_check_finite(const imported *m, const decoder_param *p, const stored_matrix *s, pal_error *err);
/* Fill an allocated decoder's weights. Parameters that the file lacks keep what they hold; *missing (may be NULL)
 * says how many do. PAL_DATA: a tensor of another shape, one that is left over, or a number that is not finite. */
int import_fill(const imported *m, decoder *d, size_t *missing, pal_error *err);

/* Called now and then while a lot is read. */
typedef void import_watch(void *arg, uint64_t done, uint64_t total);
/* SHA-256 of the contents of all files in order (import_facts' `files`), as `cat FILES | sha256sum` prints it. */
void import_digest(const imported *m, import_watch *watch, void *arg, char out[HASH_HEX]);

/* Any model by its path: one of this program (checkpoint_load), or of another. `instead` (decoder/instead.h; NULL:
 * none) goes over its own keys, and *made (may be NULL) says what came of it. PAL_USAGE: parameters are new to the
 * model, and the words do not let them be. */
int model_load(const char *path, const instead_words *instead, decoder **out, instead_made *made,
               checkpoint_info *info, pal_error *err);
/* The same of a model of this program; where `like` is an allocated decoder of the same path, its tensors that
 * come from the file are read in its place (decoder_borrow). */
int model_load_like(const char *path, const instead_words *instead, decoder *like, decoder **out,
                    instead_made *made, checkpoint_info *info, pal_error *err);

/* The same in two steps for a model of another program. First config, names, facts and digest: the decoder is one
 * of decoder_describe, without memory. `watch`, `made` and `info` may be NULL. */
int model_describe(const char *path, const instead_words *instead, import_watch *watch, void *arg, decoder **out,
                   instead_made *made, checkpoint_info *info, pal_error *err);
/* The same without a look at the weights, for plans: info->digest stays empty. */
int model_outline(const char *path, const instead_words *instead, decoder **out, instead_made *made,
                  checkpoint_info *info, pal_error *err);
/* The keys of a model by its path; none where a safetensors file says nothing of its model. For one of another
 * program, "tokenizer" too where one lies there. */
int model_keys(const char *path, kv_pairs *out, pal_error *err);
/* The weights at a path into an allocated decoder that was initialised; what they lack keeps what it holds where
 * `starts`, and is PAL_USAGE else. `digest` of the files. */
int model_fill(const char *path, decoder *d, int starts, instead_made *made, char digest[HASH_HEX],
               pal_error *err);
/* missing[i] = 1 for each parameter of `d` that the model at a path lacks; of an adapter: that its base lacks. */
int model_missing(const char *path, const decoder *d, unsigned char *missing, pal_error *err);
/* Then its memory and weights; parameters that the files lack start as a new model's. */
int model_read_weights(const char *path, decoder *d, pal_error *err);

#endif

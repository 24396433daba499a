/* Adapters: files that hold the tensors which a training added to another model, and name that model, their base.
 * One path loads both. */
#ifndef PAL_ADAPTER_H
#define PAL_ADAPTER_H

#include "models/decoder/decoder.h"
#include "models/files/checkpoint.h"

typedef struct adapter_base {
    char path[KV_TEXT_MAX]; /* as the adapter names it, or beside the adapter; "": the file is no adapter */
    char digest[HASH_HEX];  /* SHA-256 of the base, as the adapter has it */
    int found;              /* whether there is such a file */
} adapter_base;

/* What the file at `path` is an adapter to. PAL_DATA: a damaged file. */
int adapter_find_base(const char *path, adapter_base *out, pal_error *err);
/* Append the keys that make a file an adapter. */
int adapter_describe(kv_pairs *metadata, const char *base, const char *digest, pal_error *err);

/* What the model at `path` is, by its own file alone: a decoder of decoder_describe, without weights, the
 * adapter's digest and metadata. */
int adapter_outline(const char *path, decoder **out, checkpoint_info *info, pal_error *err);
/* The base with the adapter's tensors and config; as model_load. `instead` may be NULL. PAL_DATA: the base is not
 * there, or is another file than it was. */
int adapter_load(const char *path, const adapter_base *base, const instead_words *instead, decoder **out,
                 instead_made *made, checkpoint_info *info, pal_error *err);
/* Both into a decoder that was initialised; as model_fill. `digest` of the adapter. */
int adapter_fill(const char *path, const adapter_base *base, decoder *d, int starts, instead_made *made,
                 char digest[HASH_HEX], pal_error *err);

#endif

/* Models written as HuggingFace folders, for what has a counterpart in `transformers`. */
#ifndef PAL_EXPORT_H
#define PAL_EXPORT_H

#include "models/decoder/decoder.h"
#include "models/files/safetensors.h"

typedef struct export_options {
    st_dtype dtype;     /* ST_F32 or ST_BF16 */
    int64_t begin, end; /* ids of the tokens that begin and end a text; -1: none are named */
} export_options;

/* The model_type of the family that computes what `cfg` says, or PAL_USAGE with the key that none has. */
int export_family(const model_config *cfg, const char **model_type, pal_error *err);
/* Write <dir>/config.json and <dir>/model.safetensors. import_open reads back the same bits (of F32), and the same
 * config. The folder is made; PAL_USAGE: it holds a model already. */
int export_huggingface(decoder *d, const char *dir, const export_options *o, pal_error *err);

#endif

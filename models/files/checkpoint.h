/* Weights as safetensors. Our files carry the model config and a SHA-256 of the whole file (computed with the
 * digest's own 64 characters as '0'), so that one flipped byte anywhere is noticed. */
#ifndef PAL_CHECKPOINT_H
#define PAL_CHECKPOINT_H

#include "harness/base/hash.h"
#include "models/decoder/decoder.h"
#include "models/training/optimiser.h"

/* ---- The container: any safetensors file. ---- */
typedef enum st_dtype { ST_F32, ST_BF16, ST_F64, ST_I32, ST_I64, ST_U8 } st_dtype;

typedef struct st_tensor {
    char name[128];
    st_dtype dtype;
    int dims; /* 0..4 */
    size_t dim[4];
    const void *data;
    size_t bytes;
} st_tensor;

typedef struct st_file {
    char *buffer; /* owns all data */
    size_t size;
    st_tensor *tensor;
    size_t count;
    kv_pairs metadata;     /* without config and digest, and without what a kv_pair cannot hold */
    char *config;          /* __metadata__["config"] whole, or NULL */
    char digest[HASH_HEX]; /* ours, or the plain SHA-256 of a foreign file */
} st_file;

/* PAL_DATA: one line naming the file, what is wrong (header length, JSON, overlapping or short data, digest) and
 * what to do. A file without our digest is accepted (foreign weights). */
int st_read(const char *path, st_file *out, pal_error *err);
void st_free(st_file *f);
const st_tensor *st_find(const st_file *f, const char *name);
/* Element i as a double, whatever the dtype. */
double st_value(const st_tensor *t, size_t i);

/* Lay out a new file in memory from names, dtypes and shapes: out->tensor[i].data is room of out->tensor[i].bytes
 * for the caller to fill. PAL_USAGE: a reserved metadata key (st_reserved) or text that is not UTF-8. */
int st_create(const st_tensor *tensors, size_t count, const char *config, const kv_pairs *metadata, st_file *out,
              pal_error *err);
/* Compute the digest into the file and write it, atomically. */
int st_write(const char *path, st_file *f, pal_error *err);
/* Keys of __metadata__ that the container writes itself. */
int st_reserved(const char *key);

/* ---- Models. ---- */
typedef struct checkpoint_info {
    char digest[HASH_HEX]; /* identifies the weights in every result */
    kv_pairs metadata;     /* everything but the config: seed, steps, recipe, loss, ... */
} checkpoint_info;

/* Write weights (dtype ST_F32 or ST_BF16), config, metadata and, when opt is not NULL, the optimiser's moments and
 * step ("optimiser.first", "optimiser.second"; never BF16). The double build writes F64 for F32. Atomic: the old
 * file survives a failure. Metadata keys that st_reserved knows or that begin with "optimiser." are refused. */
int checkpoint_save(const char *path, decoder *d, const optimiser *opt, st_dtype dtype, const kv_pairs *metadata,
                    pal_error *err);
/* Create the decoder a file describes and fill it. `info` may be NULL here and below. */
int checkpoint_load(const char *path, decoder **out, checkpoint_info *info, pal_error *err);
/* Fill weights and optimiser of an existing pair (resume). PAL_DATA when config or shapes differ: names the first.
 */
int checkpoint_resume(const char *path, decoder *d, optimiser *opt, checkpoint_info *info, pal_error *err);
void checkpoint_info_free(checkpoint_info *info);
/* Fill a decoder's weights from tensors of the same names in `f` (foreign weights); vectors may be saved as [n] or
 * [1, n], matrices of the same element count in any shape. Names the first tensor missing or of another size.
 * keep_missing: tensors that `f` lacks keep what they hold, as long as it has any. */
int checkpoint_fill(decoder *d, const st_file *f, const char *path, int keep_missing, pal_error *err);

#endif

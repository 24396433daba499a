/* What a reader makes of the files of another program: the model's shape, its tensors, and what must be unmapped.
 * Inside of models/import alone. */
#ifndef PAL_IMPORT_FOREIGN_H
#define PAL_IMPORT_FOREIGN_H

#include "harness/base/keyval.h"
#include "models/decoder/decoder.h"
#include "models/import/family.h"
#include "models/import/stored.h"

/* A model in the words of its own world; what a file does not say has these programs' usual default. */
typedef struct foreign_shape {
    const family *family;
    int64_t vocab, width, layers, heads, kv_heads, head, inner;
    int64_t context; /* longest stream */
    int64_t window;  /* tokens that attention reaches back, the newest included; 0: all */
    double eps;
    const char *activation; /* a value of our key: gelu, relu, silu */
    attn_bias_kind attn_bias;
    int ff_bias;
    int tied;
    double rope_base;
    const char *scaling; /* a value of our key rope_scaling */
    double rope_factor, rope_low, rope_high, rope_fast, rope_slow, rope_attention;
    int64_t rope_original;
    int rope_truncate;
} foreign_shape;

typedef struct foreign_tensor {
    char name[128];
    const block_format *format;
    const void *data;
    size_t rows, cols;
} foreign_tensor;

typedef struct foreign_map {
    char *path;
    const void *data;
    size_t size;
} foreign_map;

typedef struct foreign {
    foreign_shape shape;
    name_style style;
    int side_by_side; /* rotary pairs of q and k lie side by side in the file */
    foreign_tensor *tensor;
    size_t tensors, tensor_room;
    foreign_map *map; /* the files, in the order of the digest */
    size_t maps;
    const char *kind;            /* of file, for people */
    char tokenizer[KV_TEXT_MAX]; /* path; "" where there is none */
} foreign;

/* The readers. On failure *f is to be given to foreign_free all the same. */
int huggingface_open(foreign *f, const char *path, pal_error *err);
int gguf_model_open(foreign *f, const char *path, pal_error *err);
int llama2c_open(foreign *f, const char *path, pal_error *err);

/* config.json alone: *shape from its text. `path` is used in messages. */
int huggingface_shape(foreign_shape *shape, const char *text, size_t size, const char *path, pal_error *err);

/* Default values of a family. */
void foreign_shape_begin(foreign_shape *shape, const family *kind);
/* PAL_DATA: sizes that no model has, or that contradict each other. */
int foreign_shape_check(const foreign_shape *shape, const char *path, pal_error *err);
/* The shape in keys of our own. */
int foreign_keys(const foreign_shape *shape, const char *where, kv_pairs *out, pal_error *err);

/* Map a file and remember it; *data and *size may be NULL. */
int foreign_map_file(foreign *f, const char *path, const void **data, size_t *size, pal_error *err);
/* The name is copied; PAL_DATA when it is too long. */
int foreign_add(foreign *f, const char *name, const block_format *format, const void *data, size_t rows,
                size_t cols, const char *path, pal_error *err);
/* Sort by name. PAL_DATA: a name stands twice. */
int foreign_sort(foreign *f, pal_error *err);
const foreign_tensor *foreign_find(const foreign *f, const char *name);
void foreign_free(foreign *f);

#endif

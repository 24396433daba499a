/* The safetensors container, ours or another program's: a u64 little-endian header length, a JSON header, raw
 * little-endian data. Format: https://github.com/huggingface/safetensors. */
#ifndef PAL_SAFETENSORS_H
#define PAL_SAFETENSORS_H

#include "harness/base/hash.h"
#include "harness/base/keyval.h"
#include "models/engine/real.h"

#include <stdio.h>

typedef enum st_dtype { ST_F32, ST_BF16, ST_F16, ST_F64, ST_I32, ST_I64, ST_U8, ST_DTYPES } st_dtype;

typedef struct st_tensor {
    char name[128];
    st_dtype dtype;
    int dims; /* 0..4 */
    size_t dim[4];
    size_t offset, bytes; /* in the file */
    const void *data;     /* NULL until st_load */
} st_tensor;

typedef struct st_file {
    char *buffer; /* owns all data */
    size_t size;
    st_tensor *tensor;
    size_t count;
    kv_pairs metadata;      /* without config and digest, and without what a kv_pair cannot hold */
    char *config;           /* __metadata__["config"] whole, or NULL */
    char claimed[HASH_HEX]; /* the digest that the header states, or "" */
    char digest[HASH_HEX];  /* ours, or the plain SHA-256 of a foreign file */
    FILE *stream;           /* between st_open and st_load */
} st_file;

/* Read and check the header alone, against the file's size: tensors without data. The memory it takes is in
 * proportion to the header. PAL_DATA as st_read. */
int st_open(const char *path, st_file *out, pal_error *err);
/* Read the data behind a header of st_open and check the digest. On failure the file is freed. */
int st_load(const char *path, st_file *f, pal_error *err);

/* Both. PAL_DATA: one line naming the file, what is wrong (header length, JSON, overlapping or short data, digest)
 * and what to do. A file without our digest is accepted (foreign weights). */
int st_read(const char *path, st_file *out, pal_error *err);
void st_free(st_file *f);
const st_tensor *st_find(const st_file *f, const char *name);
/* Elements of a tensor. */
size_t st_elements(const st_tensor *t);
/* Element i as a double, whatever the dtype; exact but for large I64. */
double st_value(const st_tensor *t, size_t i);
/* All elements as the model's reals. */
void st_values(const st_tensor *t, real *out);
/* The other way: `count` reals as numbers of a file, F32, F64 or BF16 (rounded to nearest, ties to even). */
void st_put_values(st_dtype dtype, const real *x, size_t count, void *out);
/* Whether every element is a finite real; if not, *index is the first that is none. */
int st_finite(const st_tensor *t, size_t *index);

/* Lay out a new file in memory from names, dtypes and shapes: out->tensor[i].data is room of out->tensor[i].bytes
 * for the caller to fill. PAL_USAGE: a reserved metadata key (st_reserved) or text that is not UTF-8. */
int st_create(const st_tensor *tensors, size_t count, const char *config, const kv_pairs *metadata, st_file *out,
              pal_error *err);
/* Compute the digest into the file and write it, atomically. */
int st_write(const char *path, st_file *f, pal_error *err);
/* Keys of __metadata__ that the container writes itself. */
int st_reserved(const char *key);

/* ---- Shared by the reader and the writer. ---- */

enum { ST_LENGTH_BYTES = 8, ST_DIGEST_CHARS = HASH_HEX - 1 };
/* How the header of our files begins; the digest's characters follow. */
#define ST_OPENING "{\"__metadata__\":{\"sha256\":\""
/* Keys of __metadata__. ST_OURS as the format makes the digest compulsory: damage to the digest's own key would
 * otherwise turn a damaged file into an acceptable foreign one. */
#define ST_FORMAT_KEY "format"
#define ST_OURS "palimpsest"
#define ST_DIGEST_KEY "sha256"
#define ST_CONFIG_KEY "config"

const char *st_dtype_name(st_dtype dtype);
size_t st_dtype_bytes(st_dtype dtype);
/* Where the digest's characters lie in a file that begins with ST_OPENING. */
char *st_digest_place(char *buffer);
/* The file's SHA-256 as if these characters were '0', into f->digest. */
void st_compute_digest(st_file *f);

#endif

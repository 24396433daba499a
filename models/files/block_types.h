/* How GGUF stores numbers: plain floats, and blocks of quantised values that share a scale.
 * Layouts: ggml's ggml-common.h. Each type expands to the same bits as the reference in PyPI's `gguf`. */
#ifndef PAL_BLOCK_TYPES_H
#define PAL_BLOCK_TYPES_H

#include <stddef.h>
#include <stdint.h>

/* The numbers are those of the file format. */
typedef enum block_type {
    BLOCK_F32 = 0,
    BLOCK_F16 = 1,
    BLOCK_Q4_0 = 2,
    BLOCK_Q4_1 = 3,
    BLOCK_Q5_0 = 6,
    BLOCK_Q5_1 = 7,
    BLOCK_Q8_0 = 8,
    BLOCK_Q4_K = 12,
    BLOCK_Q5_K = 13,
    BLOCK_Q6_K = 14,
    BLOCK_BF16 = 30
} block_type;

typedef struct block_format {
    block_type type;
    const char *name;
    size_t values; /* of a block; a row holds whole blocks */
    size_t bytes;  /* of a block */
    void (*expand)(const uint8_t *blocks, size_t count, float *out);
    size_t scales, scale; /* how many halves a block begins its scales with, and where; 0: it is a number itself */
} block_format;

/* The format of a type number of a file, or NULL when it cannot be read here. */
const block_format *block_format_find(uint32_t type);
/* The name of any type number of GGUF, for messages; "unknown" beyond them. */
const char *block_type_name(uint32_t type);
/* Expand `values` numbers, a multiple of format->values, from `data` to out[values]. */
void block_expand(const block_format *format, const void *data, size_t values, float *out);

/* The first of `values` numbers whose block would expand to one that is not finite; `values`: none. */
size_t block_first_wild(const block_format *format, const void *data, size_t values);

/* A half-precision number's value; exact. */
float half_value(uint16_t bits);

#endif

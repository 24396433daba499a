/* Matrices as a file of another program holds them: one or more tensors on top of each other, in the file's number
 * type, expanded to floats row by row when somebody asks. */
#ifndef PAL_IMPORT_STORED_H
#define PAL_IMPORT_STORED_H

#include "models/files/block_types.h"

/* q, k and v on top of each other are the most that one matrix of ours is made of. */
enum { STORED_PARTS = 3 };

/* A tensor [rows, cols]; a vector of n numbers is [n, 1]. `data` is mapped and stays as long as the import. */
typedef struct stored_part {
    const block_format *format;
    const void *data;
    size_t rows, cols;
    size_t
        pairs; /* > 0: rows of a head whose rotary pairs lie side by side in the file; read as (i, i + pairs/2) */
} stored_part;

typedef struct stored_matrix {
    stored_part part[STORED_PARTS];
    size_t parts; /* 0: the file has no such tensor */
    size_t rows, cols;
} stored_matrix;

/* out[count, cols] = rows first .. first + count - 1. Any thread may read; the bits are those of expanding all. */
void stored_read(const stored_matrix *m, size_t first, size_t count, float *out);
/* out[count, depth]: the same, elements `from` to `from + depth` - 1 of the rows alone; both are whole blocks. */
void stored_read_part(const stored_matrix *m, size_t first, size_t count, size_t from, size_t depth, float *out);
/* Row `first` where rows lie in the file as aligned bf16, and how many follow each other from it on; else NULL. */
const uint16_t *stored_bf16(const stored_matrix *m, size_t first, size_t *count);
/* The first row that holds a number that is not finite; m->rows: none. */
size_t stored_first_wild(const stored_matrix *m);
/* Bytes that the file spends on it. */
size_t stored_bytes(const stored_matrix *m);

#endif

/* General compressors as models of text: their sizes give perplexities a floor to stand on. Each document is
 * compressed alone, its loss spread evenly over its tokens, so that the task's own scores serve it like a model's.
 */
#ifndef PAL_COMPRESSORS_H
#define PAL_COMPRESSORS_H

#include "tasks/task.h"

/* The rows "xz -9e", "bzip2 -9" and "gzip -9". */
extern const task_references perplexity_references;

typedef enum compressor { COMPRESSOR_XZ, COMPRESSOR_BZIP2, COMPRESSOR_GZIP, COMPRESSORS } compressor;

/* Bytes that text[size] takes once compressed: those of the programs' files without a name in them, by liblzma,
 * libbz2 and zlib. PAL_INTERNAL without memory (xz takes 680 MB, touched as the text needs it). */
int compressor_size(compressor c, const char *text, size_t size, uint64_t *compressed, pal_error *err);

#endif

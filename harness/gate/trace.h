/* Where two runs of a model part: the first segment and layer whose output has other bits. */
#ifndef PAL_TRACE_H
#define PAL_TRACE_H

#include "harness/base/hash.h"
#include "models/decoder/decoder.h"

typedef struct trace_side {
    const decoder *d; /* both sides have one shape */
    pool *threads;
} trace_side;

typedef struct trace_difference {
    int found;
    size_t segment;         /* counted from 0 */
    size_t stage;           /* 0: the embedding, l: the output of layer l, n_layers + 1: the logits */
    char hash[2][HASH_HEX]; /* of that output, SHA-256 of its reals */
} trace_difference;

/* Read tokens[count] from an empty state on both sides and compare the hash of every layer's output in every
 * segment. */
int trace_compare(const trace_side side[2], const int32_t *tokens, size_t count, trace_difference *out,
                  pal_error *err);

#endif

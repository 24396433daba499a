/* How perplexity is measured: a document as one stream, or cut into pieces as other programs do. A piece is read
 * from an empty state; where it begins and what of it is scored is arithmetic, and here is all of it. */
#ifndef PAL_PERPLEXITY_PROTOCOL_H
#define PAL_PERPLEXITY_PROTOCOL_H

#include "harness/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef enum protocol_kind {
    PROTOCOL_STREAM, /* the whole document at once, every token scored */
    PROTOCOL_WINDOW, /* HuggingFace's guide to perplexity: windows of `context`, each `stride` behind the last one,
                        of which those tokens are scored that no earlier window held */
    PROTOCOL_LLAMA_CPP /* llama.cpp's tool: chunks of `context` that do not overlap, their second half scored */
} protocol_kind;

#define PROTOCOL_NAMES "stream|window|llama.cpp"

typedef struct protocol {
    protocol_kind kind;
    uint64_t context, stride; /* in tokens; 0 where the kind has none */
} protocol;

/* Positions among a document's tokens, the begin token counted where it is read. */
typedef struct protocol_piece {
    uint64_t from, score_from, end; /* tokens [from, end) are read, [score_from, end) scored */
} protocol_piece;

/* Fill in what 0 means: context 2048 and stride 512 of windows, context 512 of llama.cpp. PAL_USAGE: a size that
 * the kind does not have, or cannot work with. */
int protocol_settle(protocol *p, pal_error *err);
/* "window=2K/512", "llama.cpp=512"; "" for streams. */
void protocol_name(const protocol *p, char *out, size_t size);
/* How many pieces a stream of tokens makes, at least 1. */
uint64_t protocol_pieces(const protocol *p, uint64_t tokens);
/* One of them. A stream that is too short for any chunk of llama.cpp is one piece without scored tokens. */
protocol_piece protocol_piece_at(const protocol *p, uint64_t tokens, uint64_t index);
/* Where the scored part of the last piece ends: what stands behind it is not scored by any. */
uint64_t protocol_end(const protocol *p, uint64_t tokens);

#endif

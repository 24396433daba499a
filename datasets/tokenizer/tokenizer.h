/* Text to tokens and back: plain bytes, or a byte-level BPE read from (and written as) a tokenizer.json that
 * HuggingFace's tokenizers read too. A tokenizer is constant once made: any thread may use it. */
#ifndef PAL_TOKENIZER_H
#define PAL_TOKENIZER_H

#include "datasets/corpus/text_scan.h"
#include "harness/base/error.h"
#include "harness/base/hash.h"

#include <stddef.h>
#include <stdint.h>

/* The Unicode version of the letters and numbers that words are split by (unicode_class.c). A tokenizer that was
 * made with another version splits elsewhere where a character was assigned in between. */
#define TOKENIZER_UNICODE "17.0"

typedef struct tokenizer tokenizer;

/* Token = byte, vocabulary 256. */
int tokenizer_create_bytes(tokenizer **out, pal_error *err);
/* "bytes", or the path of a tokenizer.json: byte-level BPE, with the digits split one by one or not (both GPT-2's
 * layout and ours). PAL_DATA names what in the file is not of that kind. */
int tokenizer_load(tokenizer **out, const char *path, pal_error *err);
int tokenizer_save(const tokenizer *t, const char *path, pal_error *err);
void tokenizer_destroy(tokenizer *t);

size_t tokenizer_vocab(const tokenizer *t);
/* What a stream begins with, so that a document's first token has something to be predicted from: <|endoftext|>
 * where the vocabulary has it, else the newline. */
int32_t tokenizer_begin(const tokenizer *t);
/* SHA-256 of all that shapes tokens (kind, splitting rule, vocabulary, merges), hex. */
const char *tokenizer_digest(const tokenizer *t);

/* Tokens of valid UTF-8 into out[size]; returns how many. Special tokens are never made from text: where a text
 * holds the name of one, such as <|endoftext|>, it is encoded like any other text. */
size_t tokenizer_encode(const tokenizer *t, const char *text, size_t size, int32_t *out);
/* Let the scan count where the names of special tokens stand in a text. */
void tokenizer_mark_special(const tokenizer *t, text_scan *scan);
/* The most leading bytes that have the same tokens whatever follows text[size]; 0 when all depends on it. Feeding
 * a text in such pieces gives the tokens of the whole. */
size_t tokenizer_safe_prefix(const tokenizer *t, const char *text, size_t size);
/* Bytes of one token into text[room]; returns its size, which may exceed room (then nothing is written). A special
 * token has none, a token outside the vocabulary '?'. */
size_t tokenizer_token_text(const tokenizer *t, int32_t token, char *text, size_t room);
/* NUL-terminated bytes of tokens[count] into text[room]; returns the size without NUL, which may reach room or
 * exceed it (then the text is cut at a token's border). */
size_t tokenizer_decode(const tokenizer *t, const int32_t *tokens, size_t count, char *text, size_t room);

#endif

/* A document as a stream of tokens: the begin token first, then the text's. */
#ifndef PAL_TOKEN_READER_H
#define PAL_TOKEN_READER_H

#include "datasets/corpus/corpus.h"
#include "datasets/tokenizer/tokenizer.h"

typedef struct token_reader token_reader;

/* Keeps pointers to the corpus and the tokenizer. */
int token_reader_open(token_reader **out, const corpus *c, size_t index, const tokenizer *t, pal_error *err);
/* Up to max tokens; *got 0 at the end. Errors are document_read's. */
int token_reader_read(token_reader *r, int32_t *tokens, size_t max, size_t *got, pal_error *err);
/* Bytes and words (maximal runs without ASCII white space) of the text read from the document so far; of all of it
 * once the end was reached. */
uint64_t token_reader_bytes(const token_reader *r);
uint64_t token_reader_words(const token_reader *r);
void token_reader_close(token_reader *r);

#endif

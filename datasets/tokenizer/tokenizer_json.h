/* The tokenizer.json of HuggingFace's tokenizers, for byte-level BPE. */
#ifndef PAL_TOKENIZER_JSON_H
#define PAL_TOKENIZER_JSON_H

#include "datasets/tokenizer/bpe.h"

/* A finished bpe. PAL_DATA: the file cannot be read, is no JSON (line), or holds what this kind of tokenizer has
 * not (the key and what is accepted). */
int tokenizer_json_read(bpe **out, const char *path, pal_error *err);
int tokenizer_json_write(const bpe *b, const char *path, pal_error *err);

#endif

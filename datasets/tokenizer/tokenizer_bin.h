/* The tokenizer.bin of llama2.c: scores and texts of SentencePiece's BPE. */
#ifndef PAL_TOKENIZER_BIN_H
#define PAL_TOKENIZER_BIN_H

#include "datasets/tokenizer/bpe.h"

/* A finished bpe. PAL_DATA names the byte where the file is not of that kind. */
int tokenizer_bin_read(bpe **out, const char *path, pal_error *err);

#endif

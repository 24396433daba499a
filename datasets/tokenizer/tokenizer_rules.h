/* Which rules of a tokenizer.json can be followed here: byte-level BPE with GPT-2's splitting of words, with every
 * digit split off or not. "truncation" and "padding" are settings of a call, no part of the vocabulary: they are
 * ignored. */
#ifndef PAL_TOKENIZER_RULES_H
#define PAL_TOKENIZER_RULES_H

#include "harness/base/error.h"

#include <jansson.h>

/* The pattern that splits every number off. */
#define TOKENIZER_NUMBER "\\p{N}"

/* PAL_DATA names all that the file asks for and this program has not. */
int tokenizer_rules_check(const json_t *root, const char *path, int *single_digits, pal_error *err);

#endif

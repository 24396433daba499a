/* Filling a BPE from the texts of a file: how tokens are written there, and merges from scores. */
#ifndef PAL_BPE_FILL_H
#define PAL_BPE_FILL_H

#include "datasets/tokenizer/bpe.h"

enum { ALPHABET_CHARACTERS = 512 };

/* GPT-2's way to write bytes as characters: printable Latin-1 as itself, the others from U+0100 on.
 * character[byte], and byte[character] with -1 for characters that stand for none. */
typedef struct byte_alphabet {
    uint16_t character[BPE_BYTES];
    int16_t byte[ALPHABET_CHARACTERS];
} byte_alphabet;

byte_alphabet byte_alphabet_make(void);

/* The bytes that the characters of a text stand for, into out[text.size]; 0: one stands for none, or it is empty.
 */
int byte_alphabet_read(const byte_alphabet *a, tokenizer_text text, char *out, size_t *size);

/* Splitting by these patterns instead of GPT-2's. */
int bpe_take_patterns(bpe_rules *rules, const pattern_rule *rule, size_t count, const char *name, pal_error *err);

/* Puts a token as it is written in a file behind the index before, whose text ends at b->at[index]. Of bytes: in
 * the alphabet; of characters: with U+2581 for spaces, bytes as "<0x0A>". The room of b->text is the sum of the
 * sizes. Of the added tokens those that are matched in texts (TOKEN_CONTROL, TOKEN_USER) are noted; `odd` is
 * added_token's. */
int bpe_put_token(bpe *b, const byte_alphabet *a, size_t index, tokenizer_text text, tokenizer_token_type type,
                  int odd, const char *name, pal_error *err);
/* All pairs of tokens whose texts make a token, ranked by its score, the highest first. */
int bpe_merges_of_scores(bpe *b, const float *score, const char *name, pal_error *err);

#endif

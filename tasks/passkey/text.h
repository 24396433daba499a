/* What the passkey evaluation and its training source share: the pieces of the text as tokens, and the filler.
 *
 * The text is the Infini-attention paper's (arXiv 2404.07143). Every piece but the header begins with the space
 * that joins it to the one before, as byte-level BPE wants it, and is encoded on its own; the tokens of a prompt
 * are those of its pieces, one after the other. */
#ifndef PAL_PASSKEY_TEXT_H
#define PAL_PASSKEY_TEXT_H

#include "datasets/tokenizer/tokenizer.h"
#include "tasks/passkey/keys.h"

enum { PASSKEY_SENTENCES = 5, PASSKEY_NAMES = 32, PASSKEY_NAMELESS = PASSKEY_NAMES, PASSKEY_ANSWER };
enum { PASSKEY_PIECE = 2048 /* tokens of a piece, at most */ };

/* Tokens of a piece of the text. Where it tells a key, mention[] are the places of the key's digits; when digits
 * come in groups there are none, and token[size] are those with the sample's key. */
typedef struct passkey_piece {
    int32_t *token;
    int64_t size;
    int64_t mention[2], mentions;
    int name; /* of the needle; PASSKEY_ANSWER: the answer */
} passkey_piece;

typedef struct passkey_text {
    const tokenizer *tokenizer;
    int grouped;                         /* a token may hold several digits: a key's size depends on the key */
    int64_t least_digits, most_digits;   /* tokens that hold the digits of a key */
    int32_t digit[10];                   /* the token of each digit, unless grouped */
    passkey_piece header, answer, stop;  /* stop: "." after an answer, before the text goes on */
    passkey_piece cycle;                 /* the five sentences of the filler */
    int64_t sentence[PASSKEY_SENTENCES]; /* where each starts in the cycle */
    passkey_piece needle[PASSKEY_NAMES + 1], question[PASSKEY_NAMES + 1]; /* [name], or [PASSKEY_NAMELESS] */
} passkey_text;

/* Keeps the pointer to the tokenizer. PAL_USAGE: it does not give each digit a token of its own and groups are not
 * allowed, or the tokens of the text are not those of its pieces. */
int passkey_text_create(passkey_text **out, const tokenizer *t, int groups, pal_error *err);
void passkey_text_destroy(passkey_text *text);

const char *passkey_name(int name);
/* The five digits of a key. */
void passkey_digits(int key, char out[PASSKEY_DIGITS + 1]);
/* The piece with `key` in it, to out[PASSKEY_PIECE], or out[piece->size] unless grouped; returns its size. */
int64_t passkey_tell(const passkey_text *text, const passkey_piece *piece, int key, int32_t *out);
/* Tokens of the piece with `key` in it. */
int64_t passkey_told_size(const passkey_text *text, const passkey_piece *piece, int key);
/* Tokens of the answer that hold the digits of `key`; they are its last. */
int64_t passkey_digit_tokens(const passkey_text *text, int key);
/* The most tokens that header, `keys` needles, a question and an answer can take. */
int64_t passkey_fixed_size(const passkey_text *text, int64_t keys, int header);

/* ---- Filler: stretches of the endless repetition of the cycle ---- */

/* Where in the cycle a stretch of `size` tokens starts that ends with the cycle's end. */
int64_t passkey_phase(const passkey_text *text, int64_t size);
/* The largest such stretch of at most `size` tokens that starts at the start of a sentence. */
int64_t passkey_sentences(const passkey_text *text, int64_t size);
/* The one nearest to `size` that has at most `max` tokens. */
int64_t passkey_sentences_near(const passkey_text *text, int64_t size, int64_t max);

#endif

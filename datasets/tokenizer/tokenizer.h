/* Text to tokens and back: plain bytes, byte-level BPE and SentencePiece's BPE, from a tokenizer.json as
 * HuggingFace's tokenizers read it, from the arrays of a GGUF file, or from llama2.c's tokenizer.bin. A tokenizer
 * is constant once made: any thread may use it. */
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

/* ---- Making one ---- */

/* Token = byte, vocabulary 256. */
int tokenizer_create_bytes(tokenizer **out, pal_error *err);
/* "bytes", or the path of a tokenizer.json (BPE of bytes or of SentencePiece), or of a tokenizer.bin of llama2.c
 * (a name that ends with .bin). PAL_DATA names what in the file cannot be followed here. */
int tokenizer_load(tokenizer **out, const char *path, pal_error *err);
/* PAL_USAGE: only what this program made (byte-level BPE with GPT-2's splitting) can be written. */
int tokenizer_save(const tokenizer *t, const char *path, pal_error *err);
/* A tokenizer.json of any byte-level BPE, which gives the same tokens here and in HuggingFace's libraries.
 * PAL_USAGE: another kind, or tokens that cannot be told apart by their text. */
int tokenizer_export(const tokenizer *t, const char *path, pal_error *err);
void tokenizer_destroy(tokenizer *t);

/* Text as it lies in a file: no NUL behind it. */
typedef struct tokenizer_text {
    const char *data;
    size_t size;
} tokenizer_text;

/* What a token is; the numbers are those of GGUF's tokenizer.ggml.token_type. */
typedef enum tokenizer_token_type {
    TOKEN_NORMAL = 1,
    TOKEN_UNKNOWN = 2,
    TOKEN_CONTROL = 3, /* special: made from text only when special tokens are matched */
    TOKEN_USER = 4,    /* a text of its own, matched before all else */
    TOKEN_UNUSED = 5,
    TOKEN_BYTE = 6 /* its text is "<0x0A>" or the like */
} tokenizer_token_type;

enum { TOKENIZER_UNSAID = -1 };

/* A tokenizer as arrays, in GGUF's terms. Everything is copied. */
typedef struct tokenizer_arrays {
    const char *name;            /* of the file, for messages */
    const char *model;           /* "gpt2": byte-level BPE; "llama": SentencePiece's BPE by scores */
    const char *pre;             /* of gpt2: "gpt-2", "smollm", "llama-bpe", "qwen2", ...; others are refused */
    size_t vocab, merges;        /* merges: of gpt2 */
    const tokenizer_text *token; /* [vocab] */
    const float *score;          /* [vocab], of llama */
    const int32_t *type;         /* [vocab] tokenizer_token_type, NULL: all are normal */
    const tokenizer_text *merge; /* [merges] "a b" */
    int64_t begin;               /* token that texts begin with, or TOKENIZER_UNSAID */
    int add_begin;               /* whether it is put before texts; TOKENIZER_UNSAID: as the model is wont to */
    int add_space_prefix;        /* of llama; TOKENIZER_UNSAID: 1 */
} tokenizer_arrays;

/* PAL_DATA: a model or `pre` that is not known here, a token or merge that does not fit. */
int tokenizer_create_arrays(tokenizer **out, const tokenizer_arrays *a, pal_error *err);

/* From now on names of special tokens in a text become these tokens, as HuggingFace's libraries have it. By
 * default they are text like any other. Changes the digest. To be called before any encoding; does nothing to
 * bytes. PAL_USAGE: a special token takes in what is around it (lstrip, rstrip, single_word), or is matched behind
 * a normalizer; neither is done here. */
int tokenizer_match_special(tokenizer *t, pal_error *err);

/* ---- What it is ---- */

size_t tokenizer_vocab(const tokenizer *t);
/* What a stream begins with, so that a document's first token has something to be predicted from: the token that
 * the tokenizer's own rules put before a text, else <|endoftext|> where the vocabulary has it, else the token that
 * a file names as the begin, else <|begin_of_text|>, <s> or <bos>, else the newline. */
int32_t tokenizer_begin(const tokenizer *t);
/* Whether the tokenizer's own rules put that token before a text (post_processor, add_bos_token). */
int tokenizer_adds_begin(const tokenizer *t);
/* How many of the 256 bytes have no token: control characters, and bytes that UTF-8 has no use for. */
int tokenizer_missing_bytes(const tokenizer *t);
/* SHA-256 of all that shapes tokens (kind, splitting rule, vocabulary, merges), hex. */
const char *tokenizer_digest(const tokenizer *t);

/* ---- Text to tokens ---- */

/* Tokens that an array must have room for when `size` bytes are encoded. At most one a byte is used for ASCII, and
 * one more at the start of a text. */
size_t tokenizer_room(const tokenizer *t, size_t size);
/* Tokens of valid UTF-8, which may be the continuation of a text, into out[tokenizer_room(t, size)]; returns how
 * many. Special tokens are never made from text, unless tokenizer_match_special was called: where a text holds the
 * name of one, such as <|endoftext|>, it is encoded like any other text. Added tokens that are not special are.
 * Bytes that a vocabulary has no token for are left out, as HuggingFace's libraries have it; see
 * tokenizer_missing_bytes. */
size_t tokenizer_encode(const tokenizer *t, const char *text, size_t size, int32_t *out);
/* The same at the start of a text, where SentencePiece puts a space. The begin token is not among them. */
size_t tokenizer_encode_start(const tokenizer *t, const char *text, size_t size, int32_t *out);
/* Let the scan count where the names of special tokens stand in a text. */
void tokenizer_mark_special(const tokenizer *t, text_scan *scan);
/* The most leading bytes that have the same tokens whatever follows text[size]; 0 when all depends on it. Feeding
 * a text in such pieces gives the tokens of the whole. */
size_t tokenizer_safe_prefix(const tokenizer *t, const char *text, size_t size);

/* ---- Tokens to text ---- */

/* Bytes of one token into text[room]; returns its size, which may exceed room (then nothing is written). A special
 * token has none, a token outside the vocabulary '?'. */
size_t tokenizer_token_text(const tokenizer *t, int32_t token, char *text, size_t room);
/* NUL-terminated bytes of tokens[count] into text[room]; returns the size without NUL, which may reach room or
 * exceed it (then the text is cut at a token's border). The space that SentencePiece puts before a text stays. */
size_t tokenizer_decode(const tokenizer *t, const int32_t *tokens, size_t count, char *text, size_t room);

#endif

/* Byte-pair encoding (Sennrich et al. 2016): words are merged from their bytes or characters, always the adjacent
 * pair of the lowest rank first, the leftmost of equals. On bytes: Radford et al. 2019; on characters, with bytes
 * for those that the vocabulary lacks: SentencePiece (Kudo and Richardson 2018). */
#ifndef PAL_BPE_H
#define PAL_BPE_H

#include "datasets/tokenizer/tokenizer.h"
#include "datasets/words/added_tokens.h"
#include "datasets/words/pattern_words.h"

enum { BPE_BYTES = 256 }; /* tokens that every vocabulary has */
enum { BPE_ASCII = 128 };
#define BPE_NO_PAIR UINT64_MAX
#define BPE_NO_RANK UINT32_MAX
#define BPE_END_OF_TEXT "<|endoftext|>"

/* What the token's text is. */
typedef enum bpe_role {
    BPE_TEXT,
    BPE_SPECIAL, /* stands for no text; its text is its name */
    BPE_ADDED,   /* stands for its text and is matched whole, not merged */
    BPE_BYTE     /* of SentencePiece: one byte of a character that has no token */
} bpe_role;

typedef enum bpe_kind { BPE_OF_BYTES, BPE_OF_CHARACTERS } bpe_kind;

/* Of BPE_OF_CHARACTERS: the space that is put before a text. */
typedef enum bpe_prefix { BPE_PREFIX_NONE, BPE_PREFIX_ALWAYS, BPE_PREFIX_UNLESS_SPACE } bpe_prefix;

typedef struct bpe_merge {
    int32_t left, right, made;
    uint32_t rank;
} bpe_merge;

typedef struct bpe_slot {
    uint64_t pair;
    uint32_t rank;
    int32_t made;
} bpe_slot;

/* How texts are taken apart. All zero: byte-level BPE with GPT-2's splitting. */
typedef struct bpe_rules {
    bpe_kind kind;
    int single_digits;    /* with GPT-2's splitting */
    int ignore_merges;    /* a word that is a token needs no merges */
    int compose;          /* texts are brought into Unicode's normal form C */
    int split_spaces;     /* of characters: every space begins a word, else every run of them */
    bpe_prefix prefix;    /* of characters */
    int prefix_sections;  /* also after an added token */
    pattern_words *words; /* owned; NULL: GPT-2's splitting */
    char *patterns;       /* owned; their text, for the digest */
    int adds_begin;
} bpe_rules;

typedef struct bpe {
    bpe_rules rules;
    size_t vocab, merges;
    char *text;          /* token i is text[at[i]] to text[at[i + 1]]; of characters: with spaces as themselves */
    size_t *at;          /* [vocab + 1] */
    unsigned char *role; /* [vocab] bpe_role */
    bpe_merge *merge;    /* [merges] */
    int32_t begin;       /* the token that a file names, or -1 */
    added_tokens added;
    /* By bpe_finish: */
    int32_t byte_token[BPE_BYTES];  /* -1: none; such a byte is left out */
    int32_t ascii_token[BPE_ASCII]; /* of characters; -1: none */
    int whole_words;                /* no token holds a space behind another character, so words begin at spaces */
    bpe_slot *slot;                 /* [slots], open addressing by pair; of characters, also by character */
    size_t slots;
    int32_t *named; /* [names], open addressing by text, -1: free */
    size_t names;
} bpe;

/* Allocates the arrays above for that much; text gets text_size. NULL: out of memory. */
bpe *bpe_alloc(size_t vocab, size_t merges, size_t text_size);
void bpe_free(bpe *b);
/* Once the vocabulary, merges and rules are filled in: index them. PAL_DATA (named after `name`): a byte has no
 * token, a merge is there twice. */
int bpe_finish(bpe *b, const char *name, pal_error *err);
/* A finished bpe as a tokenizer, which then owns it (also on failure). */
int bpe_tokenizer(tokenizer **out, bpe *b, pal_error *err);

static inline size_t bpe_token_size(const bpe *b, size_t token)
{
    return b->at[token + 1] - b->at[token];
}

static inline uint64_t bpe_pair(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static inline size_t bpe_hash(uint64_t key)
{
    key *= UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio */
    return (size_t)(key ^ key >> 32);
}

/* The slot of a pair, or the empty one (no rank) where it would be. */
static inline bpe_slot *bpe_find(const bpe *b, int32_t left, int32_t right)
{
    const uint64_t pair = bpe_pair(left, right);
    size_t at = bpe_hash(pair) & (b->slots - 1);
    while (b->slot[at].pair != pair && b->slot[at].pair != BPE_NO_PAIR) at = (at + 1) & (b->slots - 1);
    return &b->slot[at];
}

enum { BPE_CHARACTER = -2 }; /* stands left of a character in the table of pairs */

/* The first character of text[size], size > 0, and its bytes; a byte that begins none is -1 - byte, of one. */
static inline size_t bpe_character(const char *text, size_t size, int32_t *out)
{
    const unsigned char *u = (const unsigned char *)text;
    const size_t length = u[0] < 0x80   ? 1
                          : u[0] < 0xc2 ? 0
                          : u[0] < 0xe0 ? 2
                          : u[0] < 0xf0 ? 3
                          : u[0] < 0xf5 ? 4
                                        : 0;
    int32_t character = length > 1 ? u[0] & (0xff >> (length + 1)) : u[0];
    for (size_t i = 1; i < length; i++) {
        if (i >= size || (u[i] & 0xc0) != 0x80) {
            character = -1;
            break;
        }
        character = character << 6 | (u[i] & 0x3f);
    }
    *out = length == 0 || character < 0 ? -1 - u[0] : character;
    return *out < 0 ? 1 : length;
}

static inline size_t bpe_text_hash(const char *text, size_t size)
{
    uint64_t key = size;
    for (size_t i = 0; i < size; i++) key = key * 31 + (unsigned char)text[i];
    return bpe_hash(key);
}

/* The table of tokens by their text, once the vocabulary is filled in; bpe_finish makes it where it is needed. */
int bpe_index_names(bpe *b, const char *name, pal_error *err);
/* The token of this text, -1: none. */
int32_t bpe_named(const bpe *b, const char *text, size_t size);

/* One word, before which a space stands when `lead`, to out[size + 1]; returns how many tokens. */
size_t bpe_encode_word(const bpe *b, const char *word, size_t size, int lead, int32_t *out);
/* tokenizer_encode and tokenizer_encode_start */
size_t bpe_encode(const bpe *b, const char *text, size_t size, int start, int32_t *out);
size_t bpe_room(const bpe *b, size_t size);
/* tokenizer_safe_prefix */
size_t bpe_safe(const bpe *b, const char *text, size_t size);

#endif

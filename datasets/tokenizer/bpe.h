/* Byte-level byte-pair encoding (Sennrich et al. 2016; on bytes: Radford et al. 2019): words are merged from their
 * bytes, always the adjacent pair of the lowest rank first, the leftmost of equals. */
#ifndef PAL_BPE_H
#define PAL_BPE_H

#include "datasets/tokenizer/tokenizer.h"

enum { BPE_BYTES = 256 }; /* tokens that every vocabulary has */
#define BPE_NO_PAIR UINT64_MAX
#define BPE_NO_RANK UINT32_MAX
#define BPE_END_OF_TEXT "<|endoftext|>"

typedef struct bpe_merge {
    int32_t left, right, made;
} bpe_merge;

typedef struct bpe_slot {
    uint64_t pair;
    uint32_t rank;
    int32_t made;
} bpe_slot;

typedef struct bpe {
    int single_digits;
    size_t vocab, merges;
    char *text;             /* token i is text[at[i]] to text[at[i + 1]] */
    size_t *at;             /* [vocab + 1] */
    unsigned char *special; /* [vocab] 1: stands for no text; its text is then its name */
    bpe_merge *merge;       /* [merges], in order of rank */
    /* By bpe_finish: */
    int32_t byte_token[BPE_BYTES];
    bpe_slot *slot; /* [slots], open addressing by pair */
    size_t slots;
} bpe;

/* Allocates the arrays above for that much; text gets text_size. NULL: out of memory. */
bpe *bpe_alloc(size_t vocab, size_t merges, size_t text_size);
void bpe_free(bpe *b);
/* Once the vocabulary and merges are filled in: index them. PAL_DATA (named after `name`): a byte has no token, a
 * merge is there twice. */
int bpe_finish(bpe *b, const char *name, pal_error *err);
/* A finished bpe as a tokenizer, which then owns it (also on failure). */
int bpe_tokenizer(tokenizer **out, bpe *b, pal_error *err);

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

/* tokenizer_encode */
size_t bpe_encode(const bpe *b, const char *text, size_t size, int32_t *out);

#endif

/* Encodes a word by merges: short ones in place, long ones with a heap, in time n log n. */
#include "datasets/tokenizer/bpe.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT_WORD = 64 /* tokens at first; longer words go through a heap */ };

/* Joins token[at] and the next of token[count], whose pairs have rank[count - 1]. */
static void join(const bpe *b, int32_t *token, uint32_t *rank, size_t count, size_t at)
{
    token[at] = bpe_find(b, token[at], token[at + 1])->made;
    for (size_t i = at + 1; i + 1 < count; i++) token[i] = token[i + 1];
    for (size_t i = at; i + 2 < count; i++) rank[i] = rank[i + 1];
    if (at > 0) rank[at - 1] = bpe_find(b, token[at - 1], token[at])->rank;
    if (at + 2 < count) rank[at] = bpe_find(b, token[at], token[at + 1])->rank;
}

/* token[count] holds the bytes' tokens, count <= SHORT_WORD. Returns how many stay. */
static size_t merge_short(const bpe *b, int32_t *token, size_t count)
{
    uint32_t rank[SHORT_WORD];
    for (size_t i = 0; i + 1 < count; i++) rank[i] = bpe_find(b, token[i], token[i + 1])->rank;
    while (count > 1) {
        size_t least = 0;
        for (size_t i = 1; i + 1 < count; i++)
            if (rank[i] < rank[least]) least = i;
        if (rank[least] == BPE_NO_RANK) break;
        join(b, token, rank, count--, least);
    }
    return count;
}

/* A binary heap of (rank, place), least first. */
typedef struct candidates {
    uint64_t *entry;
    size_t count;
} candidates;

static void candidates_add(candidates *c, uint64_t entry)
{
    size_t at = c->count++;
    for (; at > 0 && c->entry[(at - 1) / 2] > entry; at = (at - 1) / 2) c->entry[at] = c->entry[(at - 1) / 2];
    c->entry[at] = entry;
}

static uint64_t candidates_take(candidates *c)
{
    const uint64_t top = c->entry[0], entry = c->entry[--c->count];
    size_t at = 0;
    for (size_t child = 1; child < c->count; child = 2 * at + 1) {
        if (child + 1 < c->count && c->entry[child + 1] < c->entry[child]) child++;
        if (c->entry[child] >= entry) break;
        c->entry[at] = c->entry[child];
        at = child;
    }
    c->entry[at] = entry;
    return top;
}

/* A word as a linked list over the places of its bytes. */
typedef struct chain {
    int32_t *token;        /* [count] -1: joined to the place before */
    uint32_t *next, *prev; /* [count] */
    size_t count;
    candidates todo; /* each join adds two and took one, so 2 x count hold all */
} chain;

static const bpe_slot *chain_slot(const bpe *b, const chain *c, size_t at)
{
    return bpe_find(b, c->token[at], c->token[c->next[at]]);
}

static void chain_propose(const bpe *b, chain *c, size_t at)
{
    const uint32_t rank = chain_slot(b, c, at)->rank;
    if (rank != BPE_NO_RANK) candidates_add(&c->todo, (uint64_t)rank << 32 | at);
}

static void chain_join(const bpe *b, chain *c, size_t at)
{
    const size_t gone = c->next[at], after = c->next[gone];
    c->token[at] = chain_slot(b, c, at)->made;
    c->token[gone] = -1;
    c->next[at] = (uint32_t)after;
    if (after < c->count) {
        c->prev[after] = (uint32_t)at;
        chain_propose(b, c, at);
    }
    if (at > 0) chain_propose(b, c, c->prev[at]);
}

/* The same in quadratic time and no memory. */
static size_t merge_in_place(const bpe *b, int32_t *token, size_t count)
{
    for (;;) {
        const bpe_slot *least = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < count; i++) {
            const bpe_slot *slot = bpe_find(b, token[i], token[i + 1]);
            if (slot->rank == BPE_NO_RANK || (least && slot->rank >= least->rank)) continue;
            least = slot;
            at = i;
        }
        if (!least) return count;
        token[at] = least->made;
        memmove(token + at + 1, token + at + 2, (--count - at - 1) * sizeof *token);
    }
}

/* The same in time O(count log count). */
static size_t merge_long(const bpe *b, int32_t *token, size_t count)
{
    uint32_t *links = count < UINT32_MAX ? malloc(2 * count * sizeof *links) : NULL;
    uint64_t *heap = links ? malloc(2 * count * sizeof *heap) : NULL;
    if (!heap) {
        free(links);
        return merge_in_place(b, token, count);
    }
    chain c = {token, links, links + count, count, {heap, 0}};
    for (size_t i = 0; i < count; i++) {
        c.next[i] = (uint32_t)(i + 1);
        c.prev[i] = (uint32_t)(i - (i > 0));
    }
    for (size_t i = 0; i + 1 < count; i++) chain_propose(b, &c, i);
    while (c.todo.count) {
        const uint64_t entry = candidates_take(&c.todo);
        const size_t at = (size_t)(entry & UINT32_MAX);
        if (token[at] < 0 || c.next[at] == count || chain_slot(b, &c, at)->rank != entry >> 32) continue;
        chain_join(b, &c, at);
    }
    size_t stay = 0;
    for (size_t i = 0; i < count; i = c.next[i]) token[stay++] = token[i];
    free(links);
    free(heap);
    return stay;
}

/* The tokens that the characters of a word begin with: their own, or those of their bytes. */
static size_t put_characters(const bpe *b, const char *word, size_t size, int32_t *out)
{
    size_t count = 0;
    for (size_t at = 0; at < size;) {
        int32_t character;
        const size_t length = bpe_character(word + at, size - at, &character);
        const int32_t token = character >= 0 && character < BPE_ASCII
                                  ? b->ascii_token[character]
                                  : bpe_find(b, BPE_CHARACTER, character)->made;
        if (token >= 0)
            out[count++] = token;
        else
            for (size_t i = 0; i < length; i++) out[count++] = b->byte_token[(unsigned char)word[at + i]];
        at += length;
    }
    return count;
}

size_t bpe_encode_word(const bpe *b, const char *word, size_t size, int lead, int32_t *out)
{
    size_t count;
    if (b->rules.ignore_merges && !lead) {
        out[0] = bpe_named(b, word, size);
        if (out[0] >= 0) return 1;
    }
    if (b->rules.kind == BPE_OF_CHARACTERS) {
        if (lead) out[0] = b->ascii_token[' '];
        count = (size_t)lead + put_characters(b, word, size, out + lead);
    } else {
        count = 0;
        for (size_t i = 0; i < size; i++) {
            out[count] = b->byte_token[(unsigned char)word[i]];
            count += out[count] >= 0;
        }
    }
    return count <= SHORT_WORD ? merge_short(b, out, count) : merge_long(b, out, count);
}

/* The vocabulary and merges of a byte-level BPE, and the table that finds a pair of tokens. */
#include "datasets/tokenizer/bpe.h"

#include <stdlib.h>
#include <string.h>

bpe *bpe_alloc(size_t vocab, size_t merges, size_t text_size)
{
    bpe *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    b->vocab = vocab;
    b->merges = merges;
    b->text = malloc(text_size + 1);
    b->at = calloc(vocab + 1, sizeof *b->at);
    b->special = calloc(vocab + 1, 1);
    b->merge = calloc(merges + 1, sizeof *b->merge);
    if (b->text && b->at && b->special && b->merge) return b;
    bpe_free(b);
    return NULL;
}

void bpe_free(bpe *b)
{
    if (!b) return;
    free(b->text);
    free(b->at);
    free(b->special);
    free(b->merge);
    free(b->slot);
    free(b);
}

static int index_bytes(bpe *b, const char *name, pal_error *err)
{
    for (int i = 0; i < BPE_BYTES; i++) b->byte_token[i] = -1;
    for (size_t i = 0; i < b->vocab; i++)
        if (!b->special[i] && b->at[i + 1] - b->at[i] == 1)
            b->byte_token[(unsigned char)b->text[b->at[i]]] = (int32_t)i;
    for (int i = 0; i < BPE_BYTES; i++)
        if (b->byte_token[i] < 0)
            return pal_fail(err, PAL_DATA, "%s: the vocabulary has no token for byte 0x%02x; it is not byte-level",
                            name, i);
    return PAL_OK;
}

int bpe_finish(bpe *b, const char *name, pal_error *err)
{
    PAL_TRY(index_bytes(b, name, err));
    for (b->slots = 1024; b->slots < 2 * b->merges;) b->slots *= 2;
    b->slot = malloc(b->slots * sizeof *b->slot);
    if (!b->slot) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for %zu merges", name, b->merges);
    for (size_t i = 0; i < b->slots; i++) b->slot[i] = (bpe_slot){BPE_NO_PAIR, BPE_NO_RANK, -1};
    for (size_t i = 0; i < b->merges; i++) {
        const bpe_merge *m = &b->merge[i];
        bpe_slot *slot = bpe_find(b, m->left, m->right);
        if (slot->pair != BPE_NO_PAIR)
            return pal_fail(err, PAL_DATA, "%s: merge %zu of model.merges is there twice", name, i);
        *slot = (bpe_slot){bpe_pair(m->left, m->right), (uint32_t)i, m->made};
    }
    return PAL_OK;
}

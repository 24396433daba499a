/* The vocabulary and merges of a BPE, and the tables that find a pair of tokens, a character and a word. */
#include "datasets/tokenizer/bpe.h"

#include <stdlib.h>
#include <string.h>

bpe *bpe_alloc(size_t vocab, size_t merges, size_t text_size)
{
    bpe *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    b->vocab = vocab;
    b->merges = merges;
    b->begin = -1;
    b->text = malloc(text_size + 1);
    b->at = calloc(vocab + 1, sizeof *b->at);
    b->role = calloc(vocab + 1, 1);
    b->merge = calloc(merges + 1, sizeof *b->merge);
    if (b->text && b->at && b->role && b->merge) return b;
    bpe_free(b);
    return NULL;
}

void bpe_free(bpe *b)
{
    if (!b) return;
    free(b->text);
    free(b->at);
    free(b->role);
    free(b->merge);
    free(b->slot);
    free(b->named);
    free(b->rules.patterns);
    pattern_words_destroy(b->rules.words);
    added_tokens_free(&b->added);
    free(b);
}

/* ---- Bytes and characters ---- */

/* What no text can do without. Vocabularies that were trained without an alphabet lack some control characters and
 * bytes of planes that are not assigned. */
static int is_needed(const bpe *b, int byte)
{
    return b->rules.kind == BPE_OF_CHARACTERS || byte == '\t' || byte == '\n' || (byte >= ' ' && byte <= '~');
}

static int index_bytes(bpe *b, const char *name, pal_error *err)
{
    const bpe_role wanted = b->rules.kind == BPE_OF_BYTES ? BPE_TEXT : BPE_BYTE;
    for (int i = 0; i < BPE_BYTES; i++) b->byte_token[i] = -1;
    for (size_t i = 0; i < b->vocab; i++)
        if (b->role[i] == wanted && bpe_token_size(b, i) == 1)
            b->byte_token[(unsigned char)b->text[b->at[i]]] = (int32_t)i;
    for (int i = 0; i < BPE_BYTES; i++)
        if (b->byte_token[i] < 0 && is_needed(b, i))
            return pal_fail(err, PAL_DATA, "%s: the vocabulary has no token for byte 0x%02x; it is not %s", name,
                            i, wanted == BPE_TEXT ? "byte-level" : "one that falls back to bytes");
    return PAL_OK;
}

/* The token's only character; 0: it has none or more. */
static int only_character(const bpe *b, size_t token, int32_t *out)
{
    const char *text = b->text + b->at[token];
    const size_t size = bpe_token_size(b, token);
    return size > 0 && bpe_character(text, size, out) == size;
}

/* Whether the token has a space behind another character. */
static int has_inner_space(const bpe *b, size_t token)
{
    for (size_t i = b->at[token] + 1; i < b->at[token + 1]; i++)
        if (b->text[i] == ' ' && b->text[i - 1] != ' ') return 1;
    return 0;
}

static void put_slot(bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t made)
{
    *bpe_find(b, left, right) = (bpe_slot){bpe_pair(left, right), rank, made};
}

static int index_characters(bpe *b, const char *name, pal_error *err)
{
    for (int i = 0; i < BPE_ASCII; i++) b->ascii_token[i] = -1;
    b->whole_words = 1;
    for (size_t i = 0; i < b->vocab; i++) {
        int32_t character;
        if (b->role[i] != BPE_TEXT) continue;
        if (has_inner_space(b, i)) b->whole_words = 0;
        if (!only_character(b, i, &character)) continue;
        put_slot(b, BPE_CHARACTER, character, BPE_NO_RANK, (int32_t)i);
        if (character < BPE_ASCII) b->ascii_token[character] = (int32_t)i;
    }
    if (b->ascii_token[' '] >= 0) return PAL_OK;
    return pal_fail(err, PAL_DATA,
                    "%s: the vocabulary has no token for a space (U+2581); it is not SentencePiece's", name);
}

/* ---- Words that are tokens ---- */

int32_t bpe_named(const bpe *b, const char *text, size_t size)
{
    for (size_t at = bpe_text_hash(text, size) & (b->names - 1);; at = (at + 1) & (b->names - 1)) {
        const int32_t token = b->named[at];
        if (token < 0) return -1;
        if (bpe_token_size(b, (size_t)token) == size && memcmp(b->text + b->at[token], text, size) == 0)
            return token;
    }
}

int bpe_index_names(bpe *b, const char *name, pal_error *err)
{
    if (b->named) return PAL_OK;
    for (b->names = 1024; b->names < 2 * b->vocab;) b->names *= 2;
    b->named = malloc(b->names * sizeof *b->named);
    if (!b->named) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for %zu tokens", name, b->vocab);
    for (size_t i = 0; i < b->names; i++) b->named[i] = -1;
    for (size_t i = 0; i < b->vocab; i++) {
        const char *text = b->text + b->at[i];
        const size_t size = bpe_token_size(b, i);
        if (b->role[i] != BPE_TEXT || bpe_named(b, text, size) >= 0) continue;
        size_t at = bpe_text_hash(text, size) & (b->names - 1);
        while (b->named[at] >= 0) at = (at + 1) & (b->names - 1);
        b->named[at] = (int32_t)i;
    }
    return PAL_OK;
}

/* ---- All ---- */

static int index_merges(bpe *b, const char *name, pal_error *err)
{
    for (size_t i = 0; i < b->merges; i++) {
        const bpe_merge *m = &b->merge[i];
        bpe_slot *slot = bpe_find(b, m->left, m->right);
        if (slot->pair != BPE_NO_PAIR)
            return pal_fail(err, PAL_DATA, "%s: merge %zu of model.merges is there twice", name, i);
        *slot = (bpe_slot){bpe_pair(m->left, m->right), m->rank, m->made};
    }
    return PAL_OK;
}

int bpe_finish(bpe *b, const char *name, pal_error *err)
{
    const int characters = b->rules.kind == BPE_OF_CHARACTERS;
    const size_t filled = b->merges + (characters ? b->vocab : 0);
    PAL_TRY(index_bytes(b, name, err));
    for (b->slots = 1024; b->slots < 2 * filled;) b->slots *= 2;
    b->slot = malloc(b->slots * sizeof *b->slot);
    if (!b->slot) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for %zu merges", name, b->merges);
    for (size_t i = 0; i < b->slots; i++) b->slot[i] = (bpe_slot){BPE_NO_PAIR, BPE_NO_RANK, -1};
    PAL_TRY(index_merges(b, name, err));
    if (characters) PAL_TRY(index_characters(b, name, err));
    if (b->rules.ignore_merges) PAL_TRY(bpe_index_names(b, name, err));
    return added_tokens_use(&b->added, 0, name, err);
}

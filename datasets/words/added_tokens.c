/* Finds added tokens in texts: by first byte, the longest first. */
#include "datasets/words/added_tokens.h"

#include <stdlib.h>
#include <string.h>

int added_tokens_add(added_tokens *a, const added_token *token, pal_error *err)
{
    if (a->count == a->capacity) {
        const size_t capacity = a->capacity ? 2 * a->capacity : 64;
        added_token *larger = realloc(a->token, capacity * sizeof *larger);
        if (!larger) return pal_fail(err, PAL_INTERNAL, "out of memory for %zu added tokens", capacity);
        a->token = larger;
        a->capacity = capacity;
    }
    a->token[a->count++] = *token;
    return PAL_OK;
}

void added_tokens_free(added_tokens *a)
{
    free(a->token);
    *a = (added_tokens){0};
}

/* Those in use first, then by first byte, then the longest first. */
static int compare(const void *x, const void *y, void *context)
{
    const added_token *a = x, *b = y;
    const int special = *(const int *)context;
    const int left_out_a = a->special && !special, left_out_b = b->special && !special;
    if (left_out_a != left_out_b) return left_out_a - left_out_b;
    const int byte = memcmp(a->text, b->text, 1);
    if (byte) return byte;
    if (a->size != b->size) return a->size < b->size ? 1 : -1;
    return (a->token > b->token) - (a->token < b->token);
}

int added_tokens_use(added_tokens *a, int special, const char *name, pal_error *err)
{
    if (a->count) qsort_r(a->token, a->count, sizeof *a->token, compare, &special);
    a->used = a->longest = 0;
    memset(a->from, 0, sizeof a->from);
    for (size_t i = 0; i < a->count; i++) {
        const added_token *t = &a->token[i];
        if (t->special && !special) break;
        if (t->odd)
            return pal_fail(err, special ? PAL_USAGE : PAL_DATA,
                            "%s: the added token \"%.*s\" is matched with what is around it, or after normalizing "
                            "(lstrip, rstrip, single_word, normalized); that is not done here",
                            name, (int)(t->size < 60 ? t->size : 60), t->text);
        a->used++;
        if (t->size > a->longest) a->longest = t->size;
        a->from[(unsigned char)t->text[0] + 1]++;
    }
    for (int c = 0; c < 256; c++) a->from[c + 1] += a->from[c];
    return PAL_OK;
}

const added_token *added_tokens_find(const added_tokens *a, const char *text, size_t size, size_t *at)
{
    if (!a->used) return NULL;
    for (size_t i = *at; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        for (uint32_t k = a->from[c]; k < a->from[c + 1]; k++) {
            const added_token *t = &a->token[k];
            if (t->size > size - i || memcmp(t->text, text + i, t->size) != 0) continue;
            *at = i;
            return t;
        }
    }
    return NULL;
}

size_t added_tokens_open(const added_tokens *a, const char *text, size_t size)
{
    const size_t most = a->used && a->longest ? a->longest - 1 : 0;
    for (size_t i = size < most ? 0 : size - most; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        for (uint32_t k = a->from[c]; k < a->from[c + 1]; k++)
            if (a->token[k].size > size - i && memcmp(a->token[k].text, text + i, size - i) == 0) return i;
    }
    return size;
}

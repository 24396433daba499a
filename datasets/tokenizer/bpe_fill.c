/* Tokens as files write them, and SentencePiece's scores as merges. */
#include "datasets/tokenizer/bpe_fill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The alphabet of bytes ---- */

enum { SHIFTED = 256 };

static int is_plain(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

byte_alphabet byte_alphabet_make(void)
{
    byte_alphabet a;
    int next = SHIFTED;
    for (int i = 0; i < ALPHABET_CHARACTERS; i++) a.byte[i] = -1;
    for (int i = 0; i < BPE_BYTES; i++) {
        a.character[i] = (uint16_t)(is_plain(i) ? i : next++);
        a.byte[a.character[i]] = (int16_t)i;
    }
    return a;
}

int byte_alphabet_read(const byte_alphabet *a, tokenizer_text text, char *out, size_t *size)
{
    *size = 0;
    for (size_t i = 0; i < text.size;) {
        int32_t c;
        i += bpe_character(text.data + i, text.size - i, &c);
        if (c < 0 || c >= ALPHABET_CHARACTERS || a->byte[c] < 0) return 0;
        out[(*size)++] = (char)(unsigned char)a->byte[c];
    }
    return *size > 0;
}

/* ---- Patterns ---- */

int bpe_take_patterns(bpe_rules *rules, const pattern_rule *rule, size_t count, const char *name, pal_error *err)
{
    size_t room = 1;
    for (size_t i = 0; i < count; i++) room += strlen(rule[i].pattern) + 16;
    rules->patterns = malloc(room);
    if (!rules->patterns) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for patterns", name);
    char *out = rules->patterns;
    *out = '\0';
    for (size_t i = 0; i < count; i++)
        out += sprintf(out, "%s %s\n", rule[i].drop ? "keep" : "split", rule[i].pattern);
    return pattern_words_create(&rules->words, rule, count, name, err);
}

/* ---- SentencePiece's texts ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* "<0x0A>" is 10; -1: no byte. */
static int read_byte(tokenizer_text t)
{
    if (t.size != 6 || memcmp(t.data, "<0x", 3) != 0 || t.data[5] != '>') return -1;
    const int high = hex_digit(t.data[3]), low = hex_digit(t.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static size_t read_spaces(tokenizer_text t, char *out)
{
    size_t size = 0;
    for (size_t i = 0; i < t.size;) {
        const int block = t.size - i >= 3 && memcmp(t.data + i, "\xe2\x96\x81", 3) == 0;
        out[size++] = block ? ' ' : t.data[i];
        i += block ? 3 : 1;
    }
    return size;
}

/* ---- A token ---- */

static int put_name(bpe *b, size_t index, tokenizer_text text, tokenizer_token_type type, int odd, pal_error *err)
{
    char *out = b->text + b->at[index];
    const int special = type != TOKEN_USER, matched = type == TOKEN_USER || type == TOKEN_CONTROL;
    memcpy(out, text.data, text.size);
    b->at[index + 1] = b->at[index] + text.size;
    b->role[index] = (unsigned char)(special ? BPE_SPECIAL : BPE_ADDED);
    const added_token added = {out, text.size, (int32_t)index, special, odd};
    return matched && text.size ? added_tokens_add(&b->added, &added, err) : PAL_OK;
}

int bpe_put_token(bpe *b, const byte_alphabet *a, size_t index, tokenizer_text text, tokenizer_token_type type,
                  int odd, const char *name, pal_error *err)
{
    char *out = b->text + b->at[index];
    const int shown = (int)(text.size < 40 ? text.size : 40);
    size_t size = 0;
    if (type != TOKEN_NORMAL && type != TOKEN_BYTE) return put_name(b, index, text, type, odd, err);
    if (b->rules.kind == BPE_OF_BYTES) {
        if (!byte_alphabet_read(a, text, out, &size))
            return pal_fail(err, PAL_DATA, "%s: token %zu \"%.*s\" is not in the alphabet of byte-level BPE", name,
                            index, shown, text.data);
    } else if (type == TOKEN_BYTE) {
        const int byte = read_byte(text);
        if (byte < 0)
            return pal_fail(err, PAL_DATA, "%s: token %zu \"%.*s\" is no byte such as <0x0A>", name, index, shown,
                            text.data);
        out[size++] = (char)(unsigned char)byte;
        b->role[index] = BPE_BYTE;
    } else {
        size = read_spaces(text, out);
    }
    b->at[index + 1] = b->at[index] + size;
    return PAL_OK;
}

/* ---- Merges of scores ---- */

/* The pairs whose texts make this token, into merge[]; NULL: only counted. */
static size_t pairs_of(const bpe *b, size_t token, uint32_t rank, bpe_merge *merge)
{
    const char *text = b->text + b->at[token];
    const size_t size = bpe_token_size(b, token);
    size_t count = 0;
    for (size_t cut = 1; cut < size; cut++) {
        if (((unsigned char)text[cut] & 0xc0) == 0x80) continue;
        const int32_t left = bpe_named(b, text, cut), right = bpe_named(b, text + cut, size - cut);
        if (left < 0 || right < 0) continue;
        if (merge) merge[count] = (bpe_merge){left, right, (int32_t)token, rank};
        count++;
    }
    return count;
}

static int better(const void *x, const void *y, void *context)
{
    const float *score = context, a = score[*(const int32_t *)x], b = score[*(const int32_t *)y];
    return (a < b) - (a > b);
}

static int is_made(const bpe *b, size_t token)
{
    return b->role[token] == BPE_TEXT &&
           bpe_named(b, b->text + b->at[token], bpe_token_size(b, token)) == (int32_t)token;
}

int bpe_merges_of_scores(bpe *b, const float *score, const char *name, pal_error *err)
{
    size_t count = 0, made = 0;
    PAL_TRY(bpe_index_names(b, name, err));
    for (size_t i = 0; i < b->vocab; i++) {
        if (!(score[i] == score[i]))
            return pal_fail(err, PAL_DATA, "%s: the score of token %zu is no number", name, i);
        if (is_made(b, i)) count += pairs_of(b, i, 0, NULL);
    }
    int32_t *order = malloc((b->vocab + 1) * sizeof *order);
    bpe_merge *merge = realloc(b->merge, (count + 1) * sizeof *merge);
    if (merge) b->merge = merge;
    if (!order || !merge) {
        free(order);
        return pal_fail(err, PAL_INTERNAL, "%s: out of memory for %zu merges", name, count);
    }
    for (size_t i = 0; i < b->vocab; i++) order[i] = (int32_t)i;
    qsort_r(order, b->vocab, sizeof *order, better, (void *)(uintptr_t)score);
    uint32_t rank = 0;
    for (size_t i = 0; i < b->vocab; i++) {
        const size_t token = (size_t)order[i];
        if (i > 0 && score[order[i]] < score[order[i - 1]]) rank++;
        if (is_made(b, token)) made += pairs_of(b, token, rank, b->merge + made);
    }
    b->merges = made;
    free(order);
    return PAL_OK;
}

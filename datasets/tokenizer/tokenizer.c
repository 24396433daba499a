/* One interface over plain bytes and BPE: load, encode, decode, digest. */
#include "datasets/tokenizer/tokenizer.h"

#include "harness/base/home.h"

#include "datasets/tokenizer/bpe.h"
#include "datasets/tokenizer/bytes.h"
#include "datasets/tokenizer/tokenizer_bin.h"
#include "datasets/tokenizer/tokenizer_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tokenizer {
    bpe *bpe; /* NULL: plain bytes */
    int32_t begin;
    char digest[HASH_HEX];
};

int tokenizer_create_bytes(tokenizer **out, pal_error *err)
{
    static const char kind[] = "bytes";
    tokenizer *t = calloc(1, sizeof *t);
    if (!t) return pal_fail(err, PAL_INTERNAL, "out of memory for a tokenizer");
    t->begin = '\n';
    hash_hex(kind, sizeof kind - 1, t->digest);
    *out = t;
    return PAL_OK;
}

/* ---- BPE. ---- */

static int32_t find_special(const bpe *b, const char *name)
{
    for (size_t i = 0; i < b->vocab; i++)
        if (b->role[i] == BPE_SPECIAL && bpe_token_size(b, i) == strlen(name) &&
            memcmp(b->text + b->at[i], name, strlen(name)) == 0)
            return (int32_t)i;
    return -1;
}

static int32_t find_begin(const bpe *b)
{
    static const char *const wont[] = {"<|begin_of_text|>", "<s>", "<bos>"};
    int32_t begin = b->rules.adds_begin ? b->begin : find_special(b, BPE_END_OF_TEXT);
    if (begin < 0) begin = b->begin;
    for (size_t i = 0; begin < 0 && i < sizeof wont / sizeof *wont; i++) begin = find_special(b, wont[i]);
    return begin >= 0 ? begin : b->byte_token['\n'];
}

/* What distinguishes a tokenizer from byte-level BPE with GPT-2's splitting; that one has a digest of old. */
static void describe_rules(FILE *f, const bpe_rules *r)
{
    if (r->kind == BPE_OF_CHARACTERS)
        fprintf(f, "SentencePiece BPE, spaces %s, prefix %d %d\n", r->split_spaces ? "split" : "together",
                (int)r->prefix, r->prefix_sections);
    else if (!r->words)
        fprintf(f, "byte-level BPE, digits %s\n", r->single_digits ? "single" : "together");
    else
        fprintf(f, "byte-level BPE, patterns\n%s", r->patterns);
    if (r->ignore_merges) fputs("whole words\n", f);
    if (r->compose) fputs("form C\n", f);
    if (r->adds_begin) fputs("begin\n", f);
}

/* The text that the digest is made of. */
static char *describe(const bpe *b, size_t *size)
{
    static const char *const role[] = {
        [BPE_TEXT] = "token", [BPE_SPECIAL] = "special", [BPE_ADDED] = "added", [BPE_BYTE] = "byte"};
    char *text = NULL;
    FILE *f = open_memstream(&text, size);
    if (!f) return NULL;
    describe_rules(f, &b->rules);
    for (size_t i = 0; i < b->vocab; i++) {
        const size_t length = bpe_token_size(b, i);
        fprintf(f, "%s %zu ", role[b->role[i]], length);
        fwrite(b->text + b->at[i], 1, length, f);
        putc('\n', f);
    }
    for (size_t i = 0; i < b->merges; i++) {
        const bpe_merge *m = &b->merge[i];
        fprintf(f, "merge %d %d %d", (int)m->left, (int)m->right, (int)m->made);
        if (m->rank != i) fprintf(f, " %u", (unsigned)m->rank);
        putc('\n', f);
    }
    const int failed = ferror(f);
    if (fclose(f) == 0 && !failed) return text;
    free(text);
    return NULL;
}

int bpe_tokenizer(tokenizer **out, bpe *b, pal_error *err)
{
    size_t size;
    char *text = describe(b, &size);
    tokenizer *t = calloc(1, sizeof *t);
    if (!text || !t) {
        free(text);
        free(t);
        bpe_free(b);
        return pal_fail(err, PAL_INTERNAL, "out of memory for a tokenizer");
    }
    t->bpe = b;
    t->begin = find_begin(b);
    hash_hex(text, size, t->digest);
    free(text);
    *out = t;
    return PAL_OK;
}

static int ends_with(const char *text, const char *end)
{
    const size_t size = strlen(text), part = strlen(end);
    return size >= part && strcmp(text + size - part, end) == 0;
}

int tokenizer_load(tokenizer **out, const char *path, pal_error *err)
{
    if (strcmp(path, "bytes") == 0) return tokenizer_create_bytes(out, err);
    bpe *b;
    char found[KV_TEXT_MAX];
    const char *file = home_path(path, found);
    if (ends_with(path, ".bin"))
        PAL_TRY(tokenizer_bin_read(&b, file, err));
    else
        PAL_TRY(tokenizer_json_read(&b, file, err));
    return bpe_tokenizer(out, b, err);
}

int tokenizer_match_special(tokenizer *t, pal_error *err)
{
    char text[HASH_HEX + 16];
    if (!t->bpe) return PAL_OK;
    PAL_TRY(added_tokens_use(&t->bpe->added, 1, "special=token", err));
    const int size = snprintf(text, sizeof text, "%s special", t->digest);
    hash_hex(text, (size_t)size, t->digest);
    return PAL_OK;
}

static int is_ours(const bpe *b)
{
    const bpe_rules *r = &b->rules;
    if (r->kind != BPE_OF_BYTES || r->words || r->ignore_merges || r->compose || r->adds_begin) return 0;
    for (size_t i = 0; i < b->vocab; i++)
        if (b->role[i] == BPE_ADDED) return 0;
    return 1;
}

int tokenizer_save(const tokenizer *t, const char *path, pal_error *err)
{
    if (t->bpe && is_ours(t->bpe)) return tokenizer_json_write(t->bpe, path, err);
    if (t->bpe)
        return pal_fail(err, PAL_USAGE,
                        "%s: a tokenizer of another maker can be read but not written; copy its own file", path);
    return pal_fail(err, PAL_USAGE, "%s: plain bytes need no file; name them as tokenizer=bytes", path);
}

int tokenizer_export(const tokenizer *t, const char *path, pal_error *err)
{
    if (t->bpe) return tokenizer_json_write(t->bpe, path, err);
    return pal_fail(err, PAL_USAGE, "%s: plain bytes have no tokenizer.json", path);
}

void tokenizer_destroy(tokenizer *t)
{
    if (!t) return;
    bpe_free(t->bpe);
    free(t);
}

size_t tokenizer_vocab(const tokenizer *t)
{
    return t->bpe ? t->bpe->vocab : BYTES_VOCAB;
}

int32_t tokenizer_begin(const tokenizer *t)
{
    return t->begin;
}

const char *tokenizer_digest(const tokenizer *t)
{
    return t->digest;
}

int tokenizer_adds_begin(const tokenizer *t)
{
    return t->bpe && t->bpe->rules.adds_begin;
}

int tokenizer_missing_bytes(const tokenizer *t)
{
    int missing = 0;
    for (int i = 0; t->bpe && i < BPE_BYTES; i++) missing += t->bpe->byte_token[i] < 0;
    return missing;
}

/* ---- Text and tokens. ---- */

size_t tokenizer_room(const tokenizer *t, size_t size)
{
    return t->bpe ? bpe_room(t->bpe, size) : size;
}

static size_t encode(const tokenizer *t, const char *text, size_t size, int start, int32_t *out)
{
    if (t->bpe) return bpe_encode(t->bpe, text, size, start, out);
    bytes_encode(text, size, out);
    return size;
}

size_t tokenizer_encode(const tokenizer *t, const char *text, size_t size, int32_t *out)
{
    return encode(t, text, size, 0, out);
}

size_t tokenizer_encode_start(const tokenizer *t, const char *text, size_t size, int32_t *out)
{
    return encode(t, text, size, 1, out);
}

void tokenizer_mark_special(const tokenizer *t, text_scan *scan)
{
    const bpe *b = t->bpe;
    for (size_t i = 0; b && i < b->vocab; i++)
        if (b->role[i] == BPE_SPECIAL) text_scan_mark(scan, b->text + b->at[i], bpe_token_size(b, i));
}

size_t tokenizer_safe_prefix(const tokenizer *t, const char *text, size_t size)
{
    return t->bpe ? bpe_safe(t->bpe, text, size) : size;
}

/* The bytes of a token where they are, or in *byte. */
static const char *token_bytes(const tokenizer *t, int32_t token, char *byte, size_t *size)
{
    const size_t index = (size_t)token;
    *size = 1;
    *byte = '?';
    if (token < 0 || index >= tokenizer_vocab(t)) return byte;
    *byte = (char)(unsigned char)token;
    if (!t->bpe) return byte;
    *size = t->bpe->role[index] == BPE_SPECIAL ? 0 : bpe_token_size(t->bpe, index);
    return t->bpe->text + t->bpe->at[index];
}

size_t tokenizer_token_text(const tokenizer *t, int32_t token, char *text, size_t room)
{
    char byte;
    size_t size;
    const char *bytes = token_bytes(t, token, &byte, &size);
    if (size <= room) memcpy(text, bytes, size);
    return size;
}

size_t tokenizer_decode(const tokenizer *t, const int32_t *tokens, size_t count, char *text, size_t room)
{
    size_t total = 0, kept = 0;
    for (size_t i = 0; i < count; i++) {
        char byte;
        size_t size;
        const char *bytes = token_bytes(t, tokens[i], &byte, &size);
        total += size;
        if (total >= room) continue;
        memcpy(text + kept, bytes, size);
        kept = total;
    }
    if (room) text[kept] = '\0';
    return total;
}

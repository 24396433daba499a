/* One interface over plain bytes and byte-level BPE: load, encode, decode, digest. */
#include "datasets/tokenizer/tokenizer.h"

#include "harness/base/home.h"

#include "datasets/tokenizer/bpe.h"
#include "datasets/tokenizer/bpe_words.h"
#include "datasets/tokenizer/bytes.h"
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

/* ---- Byte-level BPE. ---- */

static int32_t find_begin(const bpe *b)
{
    static const char name[] = BPE_END_OF_TEXT;
    for (size_t i = 0; i < b->vocab; i++)
        if (b->special[i] && b->at[i + 1] - b->at[i] == sizeof name - 1 &&
            memcmp(b->text + b->at[i], name, sizeof name - 1) == 0)
            return (int32_t)i;
    return b->byte_token['\n'];
}

/* The text that the digest is made of. */
static char *describe(const bpe *b, size_t *size)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, size);
    if (!f) return NULL;
    fprintf(f, "byte-level BPE, digits %s\n", b->single_digits ? "single" : "together");
    for (size_t i = 0; i < b->vocab; i++) {
        const size_t length = b->at[i + 1] - b->at[i];
        fprintf(f, "%s %zu ", b->special[i] ? "special" : "token", length);
        fwrite(b->text + b->at[i], 1, length, f);
        putc('\n', f);
    }
    for (size_t i = 0; i < b->merges; i++)
        fprintf(f, "merge %d %d %d\n", (int)b->merge[i].left, (int)b->merge[i].right, (int)b->merge[i].made);
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

int tokenizer_load(tokenizer **out, const char *path, pal_error *err)
{
    if (strcmp(path, "bytes") == 0) return tokenizer_create_bytes(out, err);
    bpe *b;
    char found[KV_TEXT_MAX];
    PAL_TRY(tokenizer_json_read(&b, home_path(path, found), err));
    return bpe_tokenizer(out, b, err);
}

int tokenizer_save(const tokenizer *t, const char *path, pal_error *err)
{
    if (t->bpe) return tokenizer_json_write(t->bpe, path, err);
    return pal_fail(err, PAL_USAGE, "%s: plain bytes need no file; name them as tokenizer=bytes", path);
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

/* ---- Text and tokens. ---- */

size_t tokenizer_encode(const tokenizer *t, const char *text, size_t size, int32_t *out)
{
    if (t->bpe) return bpe_encode(t->bpe, text, size, out);
    bytes_encode(text, size, out);
    return size;
}

void tokenizer_mark_special(const tokenizer *t, text_scan *scan)
{
    const bpe *b = t->bpe;
    for (size_t i = 0; b && i < b->vocab; i++)
        if (b->special[i]) text_scan_mark(scan, b->text + b->at[i], b->at[i + 1] - b->at[i]);
}

size_t tokenizer_safe_prefix(const tokenizer *t, const char *text, size_t size)
{
    return t->bpe ? bpe_words_safe(text, size, t->bpe->single_digits) : size;
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
    *size = t->bpe->special[index] ? 0 : t->bpe->at[index + 1] - t->bpe->at[index];
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

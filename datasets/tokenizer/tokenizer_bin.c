/* Reads llama2.c's tokenizer.bin: u32 length of the longest token, then for each token a float score, an i32
 * length and its bytes, with spaces as themselves. Token 0 is unknown, 1 begins a text, 2 ends it, 3 to 258 are
 * bytes. */
#include "datasets/tokenizer/tokenizer_bin.h"

#include "datasets/tokenizer/bpe_fill.h"
#include "harness/base/os.h"

#include <stdlib.h>
#include <string.h>

enum { UNKNOWN, BEGIN, END, FIRST_BYTE, FIRST_PIECE = FIRST_BYTE + BPE_BYTES, HEAD = 4, ENTRY = 8 };

typedef struct entries {
    tokenizer_text *text;
    float *score;
    size_t count;
} entries;

static uint32_t read_u32(const char *at)
{
    const unsigned char *u = (const unsigned char *)at;
    return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

/* Counts the entries, and notes them when there is room for them. */
static int walk(entries *e, const char *data, size_t size, const char *path, pal_error *err)
{
    size_t at = HEAD, count = 0;
    if (size < HEAD || read_u32(data) > size)
        return pal_fail(err, PAL_DATA, "%s: byte 0: this is no tokenizer.bin of llama2.c", path);
    for (; at < size; count++) {
        const size_t left = size - at;
        if (left < ENTRY || read_u32(data + at + 4) > left - ENTRY)
            return pal_fail(err, PAL_DATA,
                            "%s: byte %zu: token %zu goes beyond the end; is this a tokenizer.bin of "
                            "llama2.c?",
                            path, at, count);
        const uint32_t bits = read_u32(data + at), length = read_u32(data + at + 4);
        if (e->text) {
            memcpy(&e->score[count], &bits, sizeof bits);
            e->text[count] = (tokenizer_text){data + at + ENTRY, length};
        }
        at += ENTRY + length;
    }
    e->count = count;
    if (count >= FIRST_PIECE) return PAL_OK;
    return pal_fail(err, PAL_DATA, "%s: it has %zu tokens; a tokenizer.bin of llama2.c has at least %d", path,
                    count, FIRST_PIECE);
}

static int build(bpe **out, const entries *e, size_t size, const char *path, pal_error *err)
{
    const byte_alphabet none = {0};
    bpe *b = bpe_alloc(e->count, 0, size);
    if (!b) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for a tokenizer", path);
    b->rules.kind = BPE_OF_CHARACTERS;
    b->rules.prefix = BPE_PREFIX_ALWAYS;
    b->rules.adds_begin = 1;
    b->begin = BEGIN;
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < e->count; i++) {
        const tokenizer_token_type type = i == UNKNOWN      ? TOKEN_UNKNOWN
                                          : i < FIRST_BYTE  ? TOKEN_CONTROL
                                          : i < FIRST_PIECE ? TOKEN_BYTE
                                                            : TOKEN_NORMAL;
        code = bpe_put_token(b, &none, i, e->text[i], type, 0, path, err);
    }
    if (code == PAL_OK) code = bpe_merges_of_scores(b, e->score, path, err);
    if (code == PAL_OK) code = bpe_finish(b, path, err);
    if (code == PAL_OK)
        *out = b;
    else
        bpe_free(b);
    return code;
}

int tokenizer_bin_read(bpe **out, const char *path, pal_error *err)
{
    char *data;
    size_t size;
    entries e = {0};
    PAL_TRY(os_read_file(path, &data, &size, err));
    int code = walk(&e, data, size, path, err);
    if (code == PAL_OK) {
        e.text = calloc(e.count, sizeof *e.text);
        e.score = calloc(e.count, sizeof *e.score);
        code = e.text && e.score ? walk(&e, data, size, path, err)
                                 : pal_fail(err, PAL_INTERNAL, "%s: out of memory for %zu tokens", path, e.count);
    }
    if (code == PAL_OK) code = build(out, &e, size, path, err);
    free(e.text);
    free(e.score);
    free(data);
    return code;
}

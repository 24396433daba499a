/* tokenizer.json or llama2.c's tokenizer.bin: any bytes. The tokens of a text must be in the vocabulary, fit in
 * their room, be the same whole or in pieces, and, where no byte lacks a token and nothing is composed or dropped,
 * give the text back. What this program could have written survives a round trip through its own file. A first
 * byte of 'b' makes a .bin; a NUL byte ends the JSON; what follows is text to encode. */
#include "tests/fuzz/fuzz.h"

#include "datasets/tokenizer/tokenizer.h"
#include "harness/base/utf8.h"

enum { TEXT = 512, TOKENS = 5 * TEXT };

static const char sample[] = "The passkey is 12345. It's   what\n\nthey'll ask: \xc3\xa9t\xc3\xa9, \xe6\xbc\xa2! "
                             "e\xcc\x81 <think> \xe2\x96\x81x";

static void check_text(const tokenizer *t, const char *text, size_t size, int exact)
{
    static int32_t token[TOKENS], piece[TOKENS];
    static char back[TOKENS * 8];
    const size_t count = tokenizer_encode_start(t, text, size, token);
    FUZZ_ASSERT(count <= tokenizer_room(t, size));
    for (size_t i = 0; i < count; i++) FUZZ_ASSERT(token[i] >= 0 && (size_t)token[i] < tokenizer_vocab(t));
    if (exact) {
        FUZZ_ASSERT(tokenizer_decode(t, token, count, back, sizeof back) == size);
        FUZZ_ASSERT(memcmp(back, text, size) == 0);
    }
    const size_t safe = tokenizer_safe_prefix(t, text, size);
    FUZZ_ASSERT(safe <= size);
    if (safe == 0) return;
    const size_t head = tokenizer_encode_start(t, text, safe, piece);
    const size_t tail = tokenizer_encode(t, text + safe, size - safe, piece + head);
    FUZZ_ASSERT(head + tail == count && memcmp(piece, token, count * sizeof *token) == 0);
}

static void check(tokenizer *t, const char *text, size_t size)
{
    tokenizer *again;
    pal_error err = {0};
    const int ours = tokenizer_save(t, fuzz_path("again.json"), &err) == PAL_OK;
    const int exact = ours && tokenizer_missing_bytes(t) == 0;
    fuzz_check(ours ? PAL_OK : PAL_USAGE, &err);
    check_text(t, sample, sizeof sample - 1, exact);
    check_text(t, text, size, exact);
    if (ours) {
        FUZZ_ASSERT(tokenizer_load(&again, fuzz_path("again.json"), &err) == PAL_OK);
        FUZZ_ASSERT(strcmp(tokenizer_digest(t), tokenizer_digest(again)) == 0);
        tokenizer_destroy(again);
    }
    if (tokenizer_match_special(t, &err) != PAL_OK) return;
    check_text(t, sample, sizeof sample - 1, 0);
    check_text(t, text, size, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int bin = size > 0 && data[0] == 'b';
    data += bin;
    size -= (size_t)bin;
    const uint8_t *end = bin ? NULL : memchr(data, 0, size);
    const size_t file = end ? (size_t)(end - data) : size, rest = end ? size - file - 1 : 0;
    const char *text = end ? (const char *)end + 1 : "";
    tokenizer *t;
    pal_error err = {0};
    int broken;
    const int code = tokenizer_load(&t, fuzz_file(bin ? "tokenizer.bin" : "tokenizer.json", data, file), &err);
    fuzz_check(code, &err);
    if (code != PAL_OK) return 0;
    check(t, text, utf8_valid(text, rest < TEXT ? rest : TEXT, &broken));
    tokenizer_destroy(t);
    return 0;
}

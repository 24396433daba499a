/* tokenizer.json: any bytes. A tokenizer that loads must give a text back, whole or in pieces, and survive a round
 * trip through its own file. A NUL byte ends the JSON; what follows is text to encode. */
#include "tests/fuzz/fuzz.h"

#include "datasets/tokenizer/tokenizer.h"
#include "harness/base/utf8.h"

enum { TEXT = 512 };

static const char sample[] = "The passkey is 12345. It's   what\n\nthey'll ask: \xc3\xa9t\xc3\xa9, \xe6\xbc\xa2!";

static void check_text(const tokenizer *t, const char *text, size_t size)
{
    int32_t token[TEXT], piece[TEXT];
    char back[TEXT * 4];
    const size_t count = tokenizer_encode(t, text, size, token);
    FUZZ_ASSERT(count <= size);
    for (size_t i = 0; i < count; i++) FUZZ_ASSERT(token[i] >= 0 && (size_t)token[i] < tokenizer_vocab(t));
    FUZZ_ASSERT(tokenizer_decode(t, token, count, back, sizeof back) == size);
    FUZZ_ASSERT(memcmp(back, text, size) == 0);
    const size_t safe = tokenizer_safe_prefix(t, text, size);
    FUZZ_ASSERT(safe <= size);
    const size_t head = tokenizer_encode(t, text, safe, piece);
    const size_t tail = tokenizer_encode(t, text + safe, size - safe, piece + head);
    FUZZ_ASSERT(head + tail == count && memcmp(piece, token, count * sizeof *token) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, 0, size);
    const size_t json = end ? (size_t)(end - data) : size;
    tokenizer *t, *again;
    pal_error err = {0};
    int code = tokenizer_load(&t, fuzz_file("tokenizer.json", data, json), &err);
    fuzz_check(code, &err);
    if (code != PAL_OK) return 0;
    check_text(t, sample, sizeof sample - 1);
    if (end) {
        const char *text = (const char *)end + 1;
        int broken;
        const size_t rest = size - json - 1, whole = utf8_valid(text, rest < TEXT ? rest : TEXT, &broken);
        check_text(t, text, whole);
    }
    FUZZ_ASSERT(tokenizer_save(t, fuzz_path("again.json"), &err) == PAL_OK);
    FUZZ_ASSERT(tokenizer_load(&again, fuzz_path("again.json"), &err) == PAL_OK);
    FUZZ_ASSERT(strcmp(tokenizer_digest(t), tokenizer_digest(again)) == 0);
    tokenizer_destroy(again);
    tokenizer_destroy(t);
    return 0;
}

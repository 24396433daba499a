/* Texts through a shipped tokenizer: any bytes, cut to what is UTF-8.
 * The tokens must give the text back, and a text read in pieces must have the tokens of the whole. */
#include "tests/fuzz/fuzz.h"

#include "datasets/tokenizer/tokenizer.h"
#include "harness/base/utf8.h"

enum { MOST = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static tokenizer *t;
    static int32_t token[MOST], piece[MOST];
    static char back[MOST * 8];
    pal_error err;
    int broken;
    if (!t && tokenizer_load(&t, "models/tokenizers/text-2k.json", &err) != PAL_OK) abort();
    const char *text = (const char *)data;
    size = utf8_valid(text, size < MOST ? size : MOST, &broken);
    const size_t count = tokenizer_encode(t, text, size, token);
    FUZZ_ASSERT(count <= size);
    FUZZ_ASSERT(tokenizer_decode(t, token, count, back, sizeof back) == size && memcmp(back, text, size) == 0);
    /* Pieces, as a reader of long texts makes them: all that is safe, then the rest with what follows. */
    size_t done = 0, made = 0;
    for (size_t seen = 0; seen < size;) {
        seen += 1 + (size_t)data[seen] % 64;
        if (seen > size) seen = size;
        seen = utf8_valid(text, seen, &broken);
        if (seen <= done) {
            seen = done + 4 > size ? size : done + 4;
            seen = utf8_valid(text, seen, &broken);
        }
        const size_t safe = seen < size ? tokenizer_safe_prefix(t, text + done, seen - done) : seen - done;
        made += tokenizer_encode(t, text + done, safe, piece + made);
        done += safe;
    }
    FUZZ_ASSERT(done == size && made == count && memcmp(piece, token, count * sizeof *token) == 0);
    return 0;
}

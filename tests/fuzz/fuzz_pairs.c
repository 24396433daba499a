/* Pairs for ROUGE: any bytes, cut at the first NUL byte, as one or two files of JSON lines or as two texts. First
 * byte: which. Every pair that is read has strings to score. */
#include "tests/fuzz/fuzz.h"

#include "harness/command/rouge_pairs.h"

enum { LINES = 1, TWO = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned mode = fuzz_byte(&data, &size) % 4;
    const int lines = (mode & LINES) != 0, two = (mode & TWO) != 0 || !lines;
    const uint8_t *end = two && size ? memchr(data, 0, size) : NULL;
    const size_t first = end ? (size_t)(end - data) : size;
    const char *ref = fuzz_file("ref.jsonl", data, first);
    const char *hyp = two ? fuzz_file("hyp.jsonl", end ? end + 1 : data, end ? size - first - 1 : size) : "";
    rouge_pairs *p = NULL;
    rouge_pair pair;
    pal_error err = {0};
    int code = rouge_pairs_open(&p, ref, hyp, lines, &err), more = 1;
    fuzz_check(code, &err);
    if (code != PAL_OK) return 0;
    for (size_t line = 0; code == PAL_OK && more;) {
        code = rouge_pairs_next(p, &pair, &more, &err);
        fuzz_check(code, &err);
        if (code != PAL_OK || !more) break;
        FUZZ_ASSERT(pair.line > line && pair.ref_count > 0 && json_is_string(pair.hyp));
        for (size_t i = 0; i < pair.ref_count; i++) FUZZ_ASSERT(json_is_string(pair.ref[i]));
        line = pair.line;
    }
    rouge_pairs_close(p);
    return 0;
}

/* ROUGE: any two texts, cut at the first NUL byte. First byte: with the stemmer or not.
 * Scores lie in [0, 1], a text scores 1 against itself, and swapping the texts swaps precision and recall. */
#include "tests/fuzz/fuzz.h"

#include "tasks/rouge/rouge.h"

#include <math.h>

static int in_range(double value)
{
    return isnan(value) || (value >= 0 && value <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int stemmer = fuzz_byte(&data, &size) % 2;
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    const char *ref = (const char *)data, *hyp = end ? (const char *)end + 1 : ref;
    const size_t ref_size = end ? (size_t)(end - data) : size, hyp_size = end ? size - ref_size - 1 : size;
    rouge_result one, other;
    pal_error err = {0};
    if (!size) return 0;
    FUZZ_ASSERT(rouge_score(ref, ref_size, hyp, hyp_size, stemmer, &one, &err) == PAL_OK);
    FUZZ_ASSERT(rouge_score(hyp, hyp_size, ref, ref_size, stemmer, &other, &err) == PAL_OK);
    for (int i = 0; i < ROUGE_METRICS; i++) {
        const rouge_prf *a = &one.metric[i], *b = &other.metric[i];
        FUZZ_ASSERT(in_range(a->precision) && in_range(a->recall) && in_range(a->f));
        /* ROUGE-Lsum takes the union over the reference's sentences: it has a direction. */
        if (i == ROUGE_LSUM) continue;
        FUZZ_ASSERT(isnan(a->f) || (a->precision == b->recall && a->recall == b->precision));
        if (ref == hyp) FUZZ_ASSERT(isnan(a->f) || a->f == 0 || a->f == 1);
    }
    return 0;
}

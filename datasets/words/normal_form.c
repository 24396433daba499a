/* Normal form C by libunistring, with a short way for texts that cannot need it. */
#include "datasets/words/normal_form.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <uninorm.h>

enum { PLAIN = 0xcc /* U+0300 begins with this byte; no composition and no reordering begins below it */ };

int normal_form_plain(const char *text, size_t size)
{
    unsigned char most = 0;
    for (size_t i = 0; i < size; i++) most = (unsigned char)text[i] > most ? (unsigned char)text[i] : most;
    return most < PLAIN;
}

int normal_form_border(const char *text, size_t at)
{
    const unsigned char c = (unsigned char)text[at];
    return c < 0x80 || (c >= 0xc0 && c < PLAIN);
}

/* One stretch between borders. What libunistring has no memory for stays as it is. */
static size_t compose(const char *text, size_t size, char *out)
{
    size_t made = NORMAL_FORM_GROWTH * size;
    uint8_t *result = u8_normalize(UNINORM_NFC, (const uint8_t *)text, size, (uint8_t *)out, &made);
    if (!result) {
        memcpy(out, text, size);
        return size;
    }
    if (result != (uint8_t *)out) {
        memcpy(out, result, made);
        free(result);
    }
    return made;
}

size_t normal_form_compose(const char *text, size_t size, char *out)
{
    size_t made = 0;
    for (size_t at = 0, end; at < size; at = end) {
        end = at + 1;
        while (end < size && !normal_form_border(text, end)) end++;
        /* A plain character alone, the common case. */
        if (end - at == 1) {
            out[made++] = text[at];
            continue;
        }
        made += compose(text + at, end - at, out + made);
    }
    return made;
}

/* What the splitting rules of tokenizers ask of a character: its Unicode general category and White_Space. */
#ifndef PAL_UNICODE_CLASS_H
#define PAL_UNICODE_CLASS_H

#include <stddef.h>
#include <stdint.h>

typedef enum unicode_class {
    UNICODE_OTHER,
    UNICODE_LETTER, /* \p{L} */
    UNICODE_NUMBER, /* \p{N}: also fractions, superscripts and Roman numerals */
    UNICODE_SPACE   /* White_Space, as \s of Oniguruma and Rust */
} unicode_class;

extern const uint8_t unicode_ascii_class[128];
unicode_class unicode_class_of(uint32_t character);
/* The same, and where the run of characters of one class ends that it is in. */
unicode_class unicode_class_run(uint32_t character, uint32_t *end);
unicode_class unicode_class_beyond_ascii(const char *text, size_t size, size_t at, size_t *length);

/* The class of the UTF-8 character that begins at text[at], at < size, and in *length its bytes. A byte that
 * begins no character is one of class OTHER. */
static inline unicode_class unicode_class_at(const char *text, size_t size, size_t at, size_t *length)
{
    const unsigned char byte = (unsigned char)text[at];
    if (byte >= 0x80) return unicode_class_beyond_ascii(text, size, at, length);
    *length = 1;
    return (unicode_class)unicode_ascii_class[byte];
}

#endif

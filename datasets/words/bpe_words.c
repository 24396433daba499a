/* GPT-2's rule for splitting a text into words, and where a text can be cut safely. */
#include "datasets/words/bpe_words.h"

#include "datasets/words/unicode_class.h"

/* The end of the characters of one class from `at` on; *last = where the last of them begins. */
static size_t run_end(const char *text, size_t size, size_t at, unicode_class kind, size_t *last)
{
    size_t length;
    *last = at;
    while (at < size && unicode_class_at(text, size, at, &length) == kind) {
        *last = at;
        at += length;
    }
    return at;
}

/* Bytes of the contraction at text[at], 0 when there is none; *sure = 0 when more text could make one. */
static size_t contraction(const char *text, size_t size, size_t at, int *sure)
{
    if (text[at] != '\'' || at + 1 == size) return 0;
    const char first = text[at + 1];
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
    if (first != 'r' && first != 'v' && first != 'l') return 0;
    if (at + 2 < size) return text[at + 2] == (first == 'l' ? 'l' : 'e') ? 3 : 0;
    *sure = 0;
    return 0;
}

size_t bpe_word_end(const char *text, size_t size, size_t at, int single_digits, int *sure)
{
    size_t length, last;
    *sure = 1;
    const size_t short_form = contraction(text, size, at, sure);
    if (short_form) return at + short_form;

    unicode_class kind = unicode_class_at(text, size, at, &length);
    size_t body = at;
    if (text[at] == ' ' && at + 1 < size) {
        const unicode_class next = unicode_class_at(text, size, at + 1, &length);
        if (next != UNICODE_SPACE && !(single_digits && next == UNICODE_NUMBER)) {
            kind = next;
            body = at + 1;
        }
    }
    if (single_digits && kind == UNICODE_NUMBER) return body + length;
    const size_t end = run_end(text, size, body, kind, &last);
    if (end == size) *sure = 0;
    if (kind != UNICODE_SPACE || end == size || last == at) return end;
    /* \s+(?!\S): the last space stays for the next word, unless a cut-out digit ends the text here. */
    return single_digits && unicode_class_at(text, size, end, &length) == UNICODE_NUMBER ? end : last;
}

static int is_ascii_space(char c)
{
    return (unsigned char)c < 0x80 && unicode_ascii_class[(unsigned char)c] == UNICODE_SPACE;
}

size_t bpe_words_safe(const char *text, size_t size, int single_digits)
{
    /* No alternative has a space behind another character, so such a place is always a border. */
    size_t safe = size ? size - 1 : 0;
    while (safe > 0 && !(is_ascii_space(text[safe]) && (unsigned char)text[safe - 1] < 0x80 &&
                         !is_ascii_space(text[safe - 1])))
        safe--;
    for (size_t before = safe, at = safe; at < size;) {
        int sure, ignored;
        const size_t end = bpe_word_end(text, size, at, single_digits, &sure);
        if (!sure) break;
        /* Nor may the word before take this one in when the text is cut here: "\n" "\n" before a letter. */
        if (before == at || bpe_word_end(text, end, before, single_digits, &ignored) == at) safe = end;
        before = at;
        at = end;
    }
    return safe;
}

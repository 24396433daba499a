/* Generated text against accepted answers: contained in lower case, the same line, the same number.
 * Nothing here depends on the locale. */
#include "tasks/answer/answer.h"

#include <stdlib.h>
#include <string.h>
#include <unicase.h>

/* malloc'ed; NULL: no memory, or not UTF-8. */
static uint8_t *lower(const char *text, size_t size, size_t *made)
{
    uint8_t *out = u8_tolower((const uint8_t *)text, size, NULL, NULL, NULL, made);
    if (!out && size == 0) out = malloc(1);
    return out;
}

int answer_count_contained(const char *text, size_t size, const answer_text *ref, size_t count)
{
    size_t text_size = 0;
    uint8_t *all = lower(text, size, &text_size);
    int found = all ? 0 : -1;
    for (size_t i = 0; found >= 0 && i < count; i++) {
        size_t ref_size = 0;
        uint8_t *part = lower(ref[i].data, ref[i].size, &ref_size);
        found = part ? found + (memmem(all, text_size, part, ref_size) != NULL) : -1;
        free(part);
    }
    free(all);
    return found;
}

int answer_contains(const char *text, size_t size, answer_text ref)
{
    return answer_count_contained(text, size, &ref, 1);
}

/* ---- Lines ---- */

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static answer_text trimmed(const char *text, size_t size)
{
    while (size && is_space(text[size - 1])) size--;
    while (size && is_space(*text)) text++, size--;
    return (answer_text){text, size};
}

int answer_is_line(const char *text, size_t size, answer_text ref)
{
    const answer_text all = trimmed(text, size), want = trimmed(ref.data, ref.size);
    const char *end = all.size ? memchr(all.data, '\n', all.size) : NULL;
    const answer_text have = trimmed(all.data, end ? (size_t)(end - all.data) : all.size);
    return have.size == want.size && memcmp(have.data, want.data, want.size) == 0;
}

/* ---- Numbers ---- */

typedef struct number {
    int found, negative;
    const char *whole, *whole_end;       /* digits, and commas between groups */
    const char *fraction, *fraction_end; /* digits behind the point */
} number;

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Whether a comma and a group of exactly three digits stand here. */
static int is_group(const char *at, const char *end)
{
    return end - at >= 4 && *at == ',' && is_digit(at[1]) && is_digit(at[2]) && is_digit(at[3]) &&
           (end - at == 4 || !is_digit(at[4]));
}

static number first_number(const char *text, size_t size)
{
    const char *at = text, *end = text + size;
    number n = {0};
    while (at < end && !is_digit(*at)) at++;
    if (at == end) return n;
    n.found = 1;
    /* A dash behind a letter or a digit joins words. */
    n.negative = at > text && at[-1] == '-' && (at - 1 == text || is_space(at[-2]) || strchr("(=:$", at[-2]));
    n.whole = at;
    while (at < end && is_digit(*at)) at++;
    if (at - n.whole <= 3)
        while (is_group(at, end)) at += 4;
    n.whole_end = at;
    n.fraction = n.fraction_end = at;
    if (end - at >= 2 && *at == '.' && is_digit(at[1])) {
        n.fraction = ++at;
        while (at < end && is_digit(*at)) at++;
        n.fraction_end = at;
    }
    while (n.fraction_end > n.fraction && n.fraction_end[-1] == '0') n.fraction_end--;
    while (n.whole < n.whole_end && (*n.whole == '0' || *n.whole == ',')) n.whole++;
    if (n.whole == n.whole_end && n.fraction == n.fraction_end) n.negative = 0;
    return n;
}

static int same_digits(const char *a, const char *a_end, const char *b, const char *b_end)
{
    for (;;) {
        while (a < a_end && *a == ',') a++;
        while (b < b_end && *b == ',') b++;
        if (a == a_end || b == b_end) return a == a_end && b == b_end;
        if (*a++ != *b++) return 0;
    }
}

int answer_has_number(const char *text, size_t size)
{
    return first_number(text, size).found;
}

int answer_is_number(const char *text, size_t size, answer_text ref)
{
    const number a = first_number(text, size), b = first_number(ref.data, ref.size);
    return a.found && b.found && a.negative == b.negative &&
           same_digits(a.whole, a.whole_end, b.whole, b.whole_end) &&
           same_digits(a.fraction, a.fraction_end, b.fraction, b.fraction_end);
}

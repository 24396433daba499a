/* BABILong's comparison of answers. Only ASCII letters change their case: labels have no others, so what the rule
 * finds is the same. */
#include "tasks/babilong/compare.h"

#include <string.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Where `word`, in lower case, first stands in the text; size: nowhere. */
static size_t find(const char *text, size_t size, const char *word)
{
    const size_t length = strlen(word);
    for (size_t at = 0; at + length <= size; at++) {
        size_t same = 0;
        while (same < length && lower(text[at + same]) == word[same]) same++;
        if (same == length) return at;
    }
    return size;
}

static int holds(const char *text, size_t size, const char *word)
{
    return find(text, size, word) < size;
}

int babilong_only_label(const char *text, size_t size, const char *question, const char *answer,
                        const char *const *label)
{
    static const char *const ends[] = {".", "<context>", "<example>"};
    int others = 0, right = 0;
    for (size_t i = 0; i < 3; i++) size = find(text, size, ends[i]);
    for (size_t i = 0; label[i]; i++) {
        if (holds(question, strlen(question), label[i]) || !holds(text, size, label[i])) continue;
        if (strcmp(label[i], answer) == 0)
            right = 1;
        else
            others++;
    }
    return right && !others;
}

int babilong_first_label(const char *text, size_t size, const char *question, const char *answer,
                         const char *const *label)
{
    const char *first = "";
    size_t best = size;
    for (size_t i = 0; label[i]; i++) {
        const size_t at = find(text, size, label[i]);
        if (holds(question, strlen(question), label[i]) || at >= best) continue;
        best = at;
        first = label[i];
    }
    return strcmp(first, answer) == 0;
}

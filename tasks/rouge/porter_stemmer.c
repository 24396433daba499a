/* Porter's stemmer in the form that rouge_score uses (NLTK's, with its extensions). */
#include "tasks/rouge/porter_stemmer.h"

#include <string.h>

/* ---- What the rules ask of a stem ---- */

static int is_vowel(char c)
{
    return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
}

/* A y is a consonant at the start of a word and after a vowel: in a run of them the kinds alternate. */
static int is_consonant(const char *word, size_t at)
{
    size_t first = at;
    while (first > 0 && word[first] == 'y') first--;
    const int consonant = !is_vowel(word[first]);
    return (at - first) % 2 ? !consonant : consonant;
}

/* Porter's m: how often a consonant follows a vowel. */
static size_t measure(const char *word, size_t size)
{
    size_t m = 0;
    int before = 0; /* whether the last letter was a consonant */
    for (size_t i = 0; i < size; i++) {
        const int consonant = word[i] == 'y' ? !before : !is_vowel(word[i]);
        m += i > 0 && consonant && !before;
        before = consonant;
    }
    return m;
}

static int has_vowel(const char *word, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (is_vowel(word[i]) || (word[i] == 'y' && i > 0 && is_consonant(word, i - 1))) return 1;
    return 0;
}

static int ends_double_consonant(const char *word, size_t size)
{
    return size >= 2 && word[size - 1] == word[size - 2] && is_consonant(word, size - 1);
}

/* Porter's *o, and NLTK's: the whole word is a vowel and a consonant. */
static int ends_short(const char *word, size_t size)
{
    if (size == 2) return !is_consonant(word, 0) && is_consonant(word, 1);
    if (size < 3) return 0;
    const char last = word[size - 1];
    return is_consonant(word, size - 3) && !is_consonant(word, size - 2) && is_consonant(word, size - 1) &&
           last != 'w' && last != 'x' && last != 'y';
}

/* ---- Suffix rules ---- */

static int ends(const char *word, size_t size, const char *suffix)
{
    const size_t length = strlen(suffix);
    return size >= length && memcmp(word + size - length, suffix, length) == 0;
}

typedef struct rule {
    const char *suffix, *replacement;
    size_t kept; /* letters of the suffix that count as part of the stem when it is measured */
} rule;

/* The first rule whose suffix fits decides: it is applied when the stem's measure is above `least`, and no other
 * is tried. Replacements are never longer than their suffixes. */
static size_t apply(char *word, size_t size, const rule *rules, size_t count, size_t least)
{
    for (size_t i = 0; i < count; i++) {
        if (!ends(word, size, rules[i].suffix)) continue;
        const size_t stem = size - strlen(rules[i].suffix), length = strlen(rules[i].replacement);
        if (measure(word, stem + rules[i].kept) <= least) return size;
        memcpy(word + stem, rules[i].replacement, length);
        return stem + length;
    }
    return size;
}

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* ---- The steps ---- */

static size_t step1a(const char *word, size_t size)
{
    if (ends(word, size, "ies")) return size == 4 ? size - 1 : size - 2;
    if (ends(word, size, "sses")) return size - 2;
    if (ends(word, size, "s") && !ends(word, size, "ss")) return size - 1;
    return size;
}

/* What -ed or -ing was taken from gets an ending that the later steps know. */
static size_t restore_ending(char *word, size_t size)
{
    if (ends(word, size, "at") || ends(word, size, "bl") || ends(word, size, "iz")) {
        word[size] = 'e';
        return size + 1;
    }
    if (ends_double_consonant(word, size)) {
        const char last = word[size - 1];
        return last == 'l' || last == 's' || last == 'z' ? size : size - 1;
    }
    if (measure(word, size) == 1 && ends_short(word, size)) {
        word[size] = 'e';
        return size + 1;
    }
    return size;
}

static size_t step1b(char *word, size_t size)
{
    if (ends(word, size, "ied")) return size == 4 ? size - 1 : size - 2;
    if (ends(word, size, "eed")) return measure(word, size - 3) > 0 ? size - 1 : size;
    size_t stem = size;
    if (ends(word, size, "ed")) stem = size - 2;
    if (ends(word, size, "ing")) stem = size - 3;
    if (stem == size || !has_vowel(word, stem)) return size;
    return restore_ending(word, stem);
}

static size_t step1c(char *word, size_t size)
{
    if (size > 2 && word[size - 1] == 'y' && is_consonant(word, size - 2)) word[size - 1] = 'i';
    return size;
}

static size_t step2(char *word, size_t size)
{
    static const rule rules[] = {
        {"ational", "ate", 0}, {"tional", "tion", 0}, {"enci", "ence", 0},   {"anci", "ance", 0},
        {"izer", "ize", 0},    {"bli", "ble", 0},     {"entli", "ent", 0},   {"eli", "e", 0},
        {"ousli", "ous", 0},   {"ization", "ize", 0}, {"ation", "ate", 0},   {"ator", "ate", 0},
        {"alism", "al", 0},    {"iveness", "ive", 0}, {"fulness", "ful", 0}, {"ousness", "ous", 0},
        {"aliti", "al", 0},    {"iviti", "ive", 0},   {"biliti", "ble", 0},  {"fulli", "ful", 0},
        {"logi", "log", 1},
    };
    /* -ationalli is to end as -ate, so -alli goes first and the rest is looked at again. */
    if (ends(word, size, "alli") && measure(word, size - 4) > 0) size -= 2;
    return apply(word, size, rules, COUNT(rules), 0);
}

static size_t step3(char *word, size_t size)
{
    static const rule rules[] = {
        {"icate", "ic", 0}, {"ative", "", 0}, {"alize", "al", 0}, {"iciti", "ic", 0},
        {"ical", "ic", 0},  {"ful", "", 0},   {"ness", "", 0},
    };
    return apply(word, size, rules, COUNT(rules), 0);
}

static size_t step4(char *word, size_t size)
{
    static const rule rules[] = {
        {"al", "", 0},   {"ance", "", 0}, {"ence", "", 0},  {"er", "", 0},   {"ic", "", 0},  {"able", "", 0},
        {"ible", "", 0}, {"ant", "", 0},  {"ement", "", 0}, {"ment", "", 0}, {"ent", "", 0}, {"ou", "", 0},
        {"ism", "", 0},  {"ate", "", 0},  {"iti", "", 0},   {"ous", "", 0},  {"ive", "", 0}, {"ize", "", 0},
    };
    if (ends(word, size, "ion")) {
        const size_t stem = size - 3;
        return measure(word, stem) > 1 && (word[stem - 1] == 's' || word[stem - 1] == 't') ? stem : size;
    }
    return apply(word, size, rules, COUNT(rules), 1);
}

static size_t step5(const char *word, size_t size)
{
    if (word[size - 1] == 'e') {
        const size_t m = measure(word, size - 1);
        if (m > 1 || (m == 1 && !ends_short(word, size - 1))) size--;
    }
    if (ends(word, size, "ll") && measure(word, size - 1) > 1) size--;
    return size;
}

size_t porter_stem(char *word, size_t size)
{
    static const char *const irregular[][2] = {
        {"sky", "sky"},        {"skies", "sky"},       {"dying", "die"},        {"lying", "lie"},
        {"tying", "tie"},      {"news", "news"},       {"innings", "inning"},   {"inning", "inning"},
        {"outings", "outing"}, {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
        {"howe", "howe"},      {"proceed", "proceed"}, {"exceed", "exceed"},    {"succeed", "succeed"},
    };
    if (size <= 2) return size;
    for (size_t i = 0; i < COUNT(irregular); i++) {
        if (strlen(irregular[i][0]) != size || memcmp(word, irregular[i][0], size) != 0) continue;
        const size_t length = strlen(irregular[i][1]);
        memcpy(word, irregular[i][1], length);
        return length;
    }
    size = step1a(word, size);
    size = step1b(word, size);
    size = step1c(word, size);
    size = step2(word, size);
    size = step3(word, size);
    size = step4(word, size);
    return step5(word, size);
}

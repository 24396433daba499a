/* Distances between words, ignoring case: Damerau and Levenshtein's with adjacent swaps.
 * Names that contain the word come first: "infini-delta" means "passkey-infini-delta". */
#include "harness/base/near.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { LONGEST = 63, FAR = 1000 };

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Insertions, deletions, substitutions and swaps of neighbours between two words of at most LONGEST bytes. */
static int distance_of(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int row[3][LONGEST + 1]; /* the last three rows of the table, in turn */
    for (size_t j = 0; j <= b_size; j++) row[0][j] = (int)j;
    for (size_t i = 1; i <= a_size; i++) {
        int *now = row[i % 3], *before = row[(i + 2) % 3], *two_before = row[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= b_size; j++) {
            now[j] = least(least(before[j], now[j - 1]) + 1, before[j - 1] + !same(a[i - 1], b[j - 1]));
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
                now[j] = least(now[j], two_before[j - 2] + 1);
        }
    }
    return row[a_size % 3][b_size];
}

/* 0 for the same but for case; FAR where nobody would mean one by the other. */
static int distance(const char *word, const char *name)
{
    const size_t a = strlen(word), b = strlen(name);
    if (a == 0 || a > LONGEST || b > LONGEST) return FAR;
    const int typed = distance_of(word, a, name, b);
    if (typed <= 1 + (int)a / 4) return typed;
    /* A part of the name, or more than the name: the less is left over the better. */
    if (a >= 3 && strcasestr(name, word)) return 10 + (int)(b - a);
    if (b >= 3 && strcasestr(word, name)) return 10 + (int)(a - b);
    return FAR;
}

void near_begin(near_names *n, const char *word)
{
    *n = (near_names){.word = word};
}

void near_offer(near_names *n, const char *name)
{
    near_offer_as(n, name, name);
}

void near_offer_as(near_names *n, const char *alias, const char *name)
{
    const int d = distance(n->word, alias);
    if (d >= FAR) return;
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->name[i], name) == 0) return; /* two tables may share a key */
    size_t at = n->count;
    while (at > 0 && n->distance[at - 1] > d) at--;
    if (at == NEAR_NAMES) return;
    if (n->count < NEAR_NAMES) n->count++;
    for (size_t i = n->count - 1; i > at; i--) {
        n->name[i] = n->name[i - 1];
        n->distance[i] = n->distance[i - 1];
    }
    n->name[at] = name;
    n->distance[at] = d;
}

const char *near_text(const near_names *n, char out[NEAR_TEXT])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n->count; i++) {
        const char *joint = i == 0 ? "; did you mean " : i + 1 < n->count ? ", " : " or ";
        used += (size_t)snprintf(out + used, NEAR_TEXT - used, "%s%s", joint, n->name[i]);
    }
    if (n->count) snprintf(out + used, NEAR_TEXT - used, "?");
    return out;
}

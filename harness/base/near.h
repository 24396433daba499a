/* The nearest of known names to one that was mistyped, for messages.
 * Offer every known name once, then ask for the text. */
#ifndef PAL_NEAR_H
#define PAL_NEAR_H

#include <stddef.h>

enum { NEAR_NAMES = 3, NEAR_TEXT = 3 * 256 + 64 };

typedef struct near_names {
    const char *word;
    const char *name[NEAR_NAMES]; /* nearest first; borrowed from the caller */
    int distance[NEAR_NAMES];
    size_t count;
} near_names;

void near_begin(near_names *n, const char *word);
/* Keeps the pointer if the name is among the nearest: few typing errors away, or one holds the other. */
void near_offer(near_names *n, const char *name);
/* The same for a name that people also know by another, such as its last part. */
void near_offer_as(near_names *n, const char *alias, const char *name);
/* "; did you mean a, b or c?", or "" where nothing is near. Writes to out[NEAR_TEXT] and returns it. */
const char *near_text(const near_names *n, char out[NEAR_TEXT]);

#endif

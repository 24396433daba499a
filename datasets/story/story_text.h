/* The words of generated stories: names, towns, sentences in which nothing happens that a summary would tell, and
 * the facts that it does tell. Who or what a fact is about occurs in that
 * fact alone. */
#ifndef PAL_STORY_TEXT_H
#define PAL_STORY_TEXT_H

#include "harness/base/rng.h"

#include <stddef.h>

enum {
    STORY_SLOTS = 8,     /* facts of a story */
    STORY_SENTENCE = 160 /* bytes that hold any sentence, NUL included */
};

/* Values that the fact of a slot can have, all equally likely. */
int story_choices(int slot);
/* "the ring went to " and "Rose". */
const char *story_cue(int slot);
const char *story_value(int slot, int choice);

/* A sentence that tells the fact, with its full stop: "That night the ring went to Rose.", which begins in one of
 * story_openings() ways. Returns its size, as the next does. */
int story_openings(void);
size_t story_tell(int opening, int slot, int choice, char out[STORY_SENTENCE]);
/* A sentence that tells none. */
size_t story_idle(rng *draws, char out[STORY_SENTENCE]);

#endif

/* Stories of a small world by the rules of bAbI (Weston et al. 2015), tasks 1 to 5: people walk, take, drop and
 * give things; a question about what was told; its answer. The generator is the project's own. */
#ifndef PAL_BABILONG_WORLD_H
#define PAL_BABILONG_WORLD_H

#include "harness/base/rng.h"

#include <stddef.h>

enum { BABI_TASKS = 5, BABI_FACTS = 200, BABI_TEXT = 80, BABI_LABELS = 7 };

typedef struct babi_story {
    char fact[BABI_FACTS][BABI_TEXT]; /* sentences, in the order in which they happened */
    int facts;
    char question[BABI_TEXT];
    const char *answer;   /* one of babi_labels */
    char told[BABI_TEXT]; /* the answer as a sentence, in the form that the prompt's examples have */
} babi_story;

/* Task 0 to 4, called qa1 to qa5. A pure function of the draws. */
void babi_make(int task, rng *draws, babi_story *out);
/* What answers of a task can be, in lower case; ends with NULL. */
const char *const *babi_labels(int task);

#endif

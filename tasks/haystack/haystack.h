/* A prompt built to the token: a head, filler in which needles stand, and a tail with the question; the true
 * answer comes behind it. Filler is made unit by unit (a sentence, a line, a word) while it is read, so that
 * memory does not grow with the length. Shared by the tasks whose samples have this form. */
#ifndef PAL_HAYSTACK_H
#define PAL_HAYSTACK_H

#include "tasks/answer/answer.h"

enum { HAYSTACK_UNIT = 4096 /* bytes of a unit, at most */ };

/* Where filler comes from. Units are asked for in order, from 0 on, and again from 0 on. */
typedef struct haystack_filler {
    /* The text of unit `index` into text[HAYSTACK_UNIT]; *size > 0. */
    int (*unit)(void *self, int64_t index, char *text, size_t *size, pal_error *err);
    void *self;
    int constant; /* all units behind the first are the same, which are encoded once */
} haystack_filler;

typedef struct haystack_needle {
    answer_tokens text;
    double place;   /* 0..1 of the filler; it stands at the first border of units from there on */
    int64_t offset; /* set by haystack_begin: tokens before it, in the first pass */
} haystack_needle;

typedef struct haystack {
    const tokenizer *tokenizer;
    haystack_filler filler;
    answer_tokens head, tail, answer;
    haystack_needle *needle; /* in the order of their places */
    size_t needles;
    int64_t length; /* of all */
    int passes;     /* how often filler and needles are read before the tail: 1 or 2 */

    /* Set by haystack_begin. */
    int64_t room;   /* tokens of filler, all passes together */
    int64_t shared; /* tokens before the first needle */

    /* Where reading stands. */
    int part, pass;
    size_t next;                   /* needle */
    int64_t within, filled, index; /* tokens of the part; of filler in this pass; the next unit */
    int32_t *unit, *again;         /* tokens of the unit, and of the constant one */
    int64_t unit_size, unit_at, again_size;
} haystack;

/* Finds where the needles come to stand. The caller has filled what is above "Set by"; all of it is freed by
 * haystack_free, whatever is returned. PAL_USAGE: the length has no room (without the name of the task). */
int haystack_begin(haystack *h, pal_error *err);
void haystack_free(haystack *h);
/* task_eval.read. */
int haystack_read(haystack *h, int32_t *tokens, size_t max, size_t *got, pal_error *err);
/* The lengths, and what is shared under `id`; the answer is scored, and `max_tokens` are generated. */
void haystack_shape(const haystack *h, uint64_t id, size_t max_tokens, sample_shape *out);

#endif

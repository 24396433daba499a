/* Book-length stories, made as they are read: chapters of small events among many characters, and between them a
 * few facts, each told once, of which the summary consists. The facts lie spread over the whole length in a drawn
 * order; each names one of 20 people or 20 towns, drawn evenly, so that only a reader who remembers knows it.
 *
 * A story is a pure function of its key, its length and the tokenizer. What the facts are decides by a hash which
 * split a story can belong to: no two splits share a summary, whatever the seeds. */
#ifndef PAL_STORY_H
#define PAL_STORY_H

#include "datasets/story/story_text.h"
#include "datasets/tokenizer/tokenizer.h"

#include <stdint.h>

typedef enum story_split { STORY_TRAIN, STORY_VALIDATION, STORY_TEST } story_split;
#define STORY_SPLITS "train|validation|test" /* in the order of the enum */

enum {
    STORY_UNIT = STORY_SENTENCE + 4, /* bytes, and so tokens, of a sentence with the white space before it */
    STORY_SUMMARY = 512              /* bytes that hold any summary, NUL included */
};

/* So that no fact is told right before the summary. */
#define STORY_SPAN 0.95

typedef struct story_key {
    uint64_t seed;
    story_split split;
    uint64_t index;
    uint32_t sub;
} story_key;

/* The facts: value[slot] is one of story_choices(slot). */
void story_facts(const story_key *key, int value[STORY_SLOTS]);
/* The split that a story of these facts belongs to. */
story_split story_split_of(const int value[STORY_SLOTS]);
/* "The captain betrayed Rose. The child ..." in the order of the slots; returns its size. */
size_t story_summary(const int value[STORY_SLOTS], char out[STORY_SUMMARY]);

/* A story being read; memory does not grow with its length. */
typedef struct story {
    const tokenizer *tokenizer;
    rng draws; /* of sentences and chapters */
    int64_t length, made, read;
    int value[STORY_SLOTS];
    int order[STORY_SLOTS];     /* the slots as they are told */
    int64_t place[STORY_SLOTS]; /* where the fact order[i] is due, tokens */
    int told;                   /* order[told] is next */
    int64_t untold;             /* tokens that the facts still to be told take */
    int32_t fact[STORY_SLOTS][STORY_UNIT];
    int64_t fact_size[STORY_SLOTS]; /* of order[i] */
    int chapter;
    int64_t chapter_left; /* sentences */
    int after_heading;
    int32_t unit[STORY_UNIT]; /* the sentence that is being read */
    int64_t unit_size, unit_at;
} story;

/* Tokens that have room for the facts of any story. */
int64_t story_least(const tokenizer *t);
/* Start a story of exactly `length` tokens, all facts told in them; the last sentence may be cut. The facts are
 * spread over the first `span` of the length, as far as there is room; STORY_SPAN in all evaluations. Keeps the
 * pointer to the tokenizer. PAL_USAGE: too short for its facts. */
int story_begin(story *s, const tokenizer *t, const story_key *key, int64_t length, double span, pal_error *err);
/* The same without any fact. */
void story_begin_idle(story *s, const tokenizer *t, const story_key *key, int64_t length);
/* Up to max more tokens; returns how many, 0 at the end. */
size_t story_read(story *s, int32_t *tokens, size_t max);

#endif

/* One sequence of multi-query associative recall (Arora et al. 2024, "Zoology"): pairs of a key and a value at the
 * start, then each key again, at a distance that follows a power law. Tokens stand for themselves: there is no
 * text. Evaluation and training draw their sequences here.
 *
 *   key value ... key value | key value of rewritten keys ... | noise key noise noise key noise ...
 *
 * Keys are tokens 1 .. vocab/2 - 1, values vocab/2 .. vocab - 1. Where no pair and no asked key stands there are
 * random tokens, also right behind an asked key: the answer is never shown. */
#ifndef PAL_MQAR_PAIRS_H
#define PAL_MQAR_PAIRS_H

#include "harness/base/error.h"
#include "harness/base/rng.h"

/* The exponent less one of the power law: that of Zoology's own training and test. */
#define MQAR_POWER 0.01

typedef struct mqar_form {
    int64_t vocab, length;
    int64_t pairs;   /* distinct keys, each asked once */
    int64_t updates; /* of them those whose value is written a second time; the last one counts */
} mqar_form;

typedef struct mqar_pair {
    int32_t key, value;
} mqar_pair;

typedef struct mqar_query {
    int64_t at; /* position of the asked key; the next token's prediction must be `value` */
    int32_t key, value;
} mqar_query;

typedef struct mqar_sequence {
    mqar_form form;
    mqar_pair *write;  /* [pairs + updates], in order */
    mqar_query *query; /* [pairs], by position */
} mqar_sequence;

/* Tokens that hold the pairs and their updates. */
int64_t mqar_context(const mqar_form *f);
/* The least length that has room to ask for all keys. */
int64_t mqar_least(const mqar_form *f);
/* PAL_USAGE names what does not fit, and the fix. */
int mqar_check(const mqar_form *f, pal_error *err);
/* Draws a sequence; memory grows with pairs and vocabulary alone. The form must have passed mqar_check. */
int mqar_draw(const mqar_form *f, rng *draws, mqar_sequence *out, pal_error *err);
void mqar_free(mqar_sequence *s);

#endif

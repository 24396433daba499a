/* Continuations: draws the tokens that follow a prompt, greedily or at random, from the states that the prompts
 * left in the lanes of a stream. */
#include "harness/eval/decode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Digits of the radix sort; an even number of them brings the numbers back to where they began. */
enum { DIGIT_BITS = 11, DIGITS = 6 };

/* Of the probability, the largest first: bits of numbers that are not negative are in the order of the numbers. */
static size_t digit_of(const continuation_choice *c, int digit)
{
    uint64_t bits;
    memcpy(&bits, &c->probability, sizeof bits);
    return (size_t)(~bits >> digit * DIGIT_BITS) & ((1u << DIGIT_BITS) - 1);
}

/* By probability; equals stay in their order. A comparing sort of a vocabulary takes a fair part of a token's
 * time. */
static void sort_choices(continuation_choice *choice, continuation_choice *room, size_t count)
{
    for (int digit = 0; digit < DIGITS; digit++) {
        size_t place[(1 << DIGIT_BITS) + 1] = {0};
        for (size_t i = 0; i < count; i++) place[digit_of(&choice[i], digit) + 1]++;
        for (size_t i = 0; i < 1 << DIGIT_BITS; i++) place[i + 1] += place[i];
        for (size_t i = 0; i < count; i++) room[place[digit_of(&choice[i], digit)]++] = choice[i];
        continuation_choice *sorted = room;
        room = choice;
        choice = sorted;
    }
}

int32_t continuation_draw(const real *logits, size_t vocab, double temperature, double top_p, rng *draws,
                          continuation_choice *choice)
{
    const double largest = (double)logits[stream_argmax(logits, vocab)];
    double sum = 0, kept = 0;
    for (size_t i = 0; i < vocab; i++) {
        const double p = exp(((double)logits[i] - largest) / temperature);
        choice[i] = (continuation_choice){p, (int32_t)i};
        sum += p;
    }
    for (size_t i = 0; i < vocab; i++) choice[i].probability /= sum;
    sort_choices(choice, choice + vocab, vocab);
    size_t count = 0;
    while (count < vocab && (count == 0 || kept < top_p)) kept += choice[count++].probability;
    const double drawn = rng_uniform(draws) * kept;
    double below = 0;
    for (size_t i = 0; i + 1 < count; i++) {
        below += choice[i].probability;
        if (drawn < below) return choice[i].token;
    }
    return choice[count - 1].token;
}

/* A lane at work. */
typedef struct writer {
    rng draws;
    int done;
} writer;

/* The lane's next token, and whether it still goes on. A lane that is done repeats its last token: the others do
 * not see it. */
static int32_t next_token(const stream *s, continuation *c, writer *w, const real *logits, size_t vocab,
                          continuation_choice *choice)
{
    for (size_t i = 0; !w->done && i < vocab; i++) c->not_finite |= !isfinite((double)logits[i]);
    w->done |= c->not_finite;
    if (!w->done && c->count < c->how->max_tokens) {
        const int32_t token = c->how->temperature > 0 ? continuation_draw(logits, vocab, c->how->temperature,
                                                                          c->how->top_p, &w->draws, choice)
                                                      : stream_choice(s, logits);
        w->done = token == c->how->stop;
        if (!w->done) c->token[c->count++] = token;
    }
    w->done |= c->count == c->how->max_tokens;
    return c->count ? c->token[c->count - 1] : 0;
}

static void write_all(stream *s, size_t vocab, continuation *lane, writer *w, size_t lanes, int32_t *fed,
                      continuation_choice *choice)
{
    for (;;) {
        size_t stride, open = 0;
        const real *logits = stream_predict(s, &stride);
        if (!logits) return;
        for (size_t i = 0; i < lanes; i++) {
            fed[i] = next_token(s, &lane[i], &w[i], logits + i * stride, vocab, choice);
            open += !w[i].done;
        }
        if (open == 0) return;
        stream_feed(s, fed, 1, 1, UINT64_MAX, NULL, NULL);
    }
}

int continuation_run(stream *s, continuation *lane, size_t lanes, pal_error *err)
{
    const size_t vocab = stream_vocab(s);
    PAL_TRY(stream_allow_writing(s, err));
    writer *w = calloc(lanes, sizeof *w);
    int32_t *fed = calloc(lanes, sizeof *fed);
    continuation_choice *choice = calloc(2 * vocab, sizeof *choice);
    const int there = w && fed && choice;
    for (size_t i = 0; there && i < lanes; i++) {
        lane[i].count = 0;
        lane[i].not_finite = 0;
        w[i].draws = rng_make(lane[i].how->seed, "decoding", (uint64_t)lane[i].index, 0);
    }
    if (there) write_all(s, vocab, lane, w, lanes, fed, choice);
    free(w);
    free(fed);
    free(choice);
    return there ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the continuations");
}

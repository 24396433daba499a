/* How a sample goes on after its prompt. */
#ifndef PAL_CONTINUATION_H
#define PAL_CONTINUATION_H

#include "harness/base/rng.h"
#include "models/stream/stream.h"
#include "tasks/task.h"

/* One lane's continuation. */
typedef struct continuation {
    const task_decoding *how;
    int64_t index;  /* of the sample: part of its draws' key */
    int32_t *token; /* [how->max_tokens] */
    int not_finite; /* set when a logit was no number; nothing is drawn from it on */
    size_t count;   /* tokens made; fewer than max_tokens after a stop token, which is not among them */
} continuation;

/* Continue every lane of a stream that stands right after the prompts: lane[lanes]. Greedy, or drawn from a stream
 * of numbers that hangs on how->seed and the sample's index alone. */
int continuation_run(stream *s, continuation *lane, size_t lanes, pal_error *err);

/* A candidate for the next token. */
typedef struct continuation_choice {
    double probability;
    int32_t token;
} continuation_choice;

/* Draw a token from softmax(logits / temperature), of which only the most likely tokens are kept: as few as have
 * together at least top_p (nucleus sampling, Holtzman et al. 2020); of equals the first go first. choice[2 *
 * vocab] is work space, its first half sorted on return, with the kept ones' probabilities before they are scaled
 * to 1. */
int32_t continuation_draw(const real *logits, size_t vocab, double temperature, double top_p, rng *draws,
                          continuation_choice *choice);

#endif

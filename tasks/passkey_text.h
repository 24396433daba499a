/* What the passkey evaluation and its training source share: the pieces of the text and the keys.
 *
 * The text is the Infini-attention paper's (arXiv 2404.07143), its pieces joined by single spaces. Every
 * stretch of filler is a suffix of the endless repetition of the five sentences, so that it always ends with
 * "There and back again. " and the needle and the question always start after a whole sentence. */
#ifndef PAL_PASSKEY_TEXT_H
#define PAL_PASSKEY_TEXT_H

#include <stdint.h>

/* The header and the cycle end with the space that joins them to what follows. */
#define PASSKEY_HEADER                                                                                            \
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz "  \
    "you about the important information there. "
#define PASSKEY_CYCLE "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
#define PASSKEY_QUESTION "What is the pass key? The pass key is"

/* Sizes in bytes, which are tokens. */
enum {
    PASSKEY_DIGITS = 5,
    PASSKEY_HEADER_SIZE = sizeof PASSKEY_HEADER - 1,
    PASSKEY_CYCLE_SIZE = sizeof PASSKEY_CYCLE - 1,
    PASSKEY_QUESTION_SIZE = sizeof PASSKEY_QUESTION - 1,
    PASSKEY_NEEDLE_SIZE = sizeof "The pass key is 12345. Remember it. 12345 is the pass key. " - 1,
    PASSKEY_FIRST_MENTION = sizeof "The pass key is " - 1, /* offset of the first mention's digits in the needle */
    PASSKEY_SECOND_MENTION = sizeof "The pass key is 12345. Remember it. " - 1,
    PASSKEY_ANSWER_SIZE = 1 + PASSKEY_DIGITS, /* " 12345" */
    PASSKEY_FIXED_SIZE = PASSKEY_HEADER_SIZE + PASSKEY_NEEDLE_SIZE + PASSKEY_QUESTION_SIZE + PASSKEY_ANSWER_SIZE,
    PASSKEY_KEYS = 100000,
    PASSKEY_EVAL_KEYS = PASSKEY_KEYS / 10
};

/* The needle of `key`, with its closing space. */
void passkey_needle(int key, char out[PASSKEY_NEEDLE_SIZE + 1]);
/* " 12345": the answer of `key`. */
void passkey_answer(int key, char out[PASSKEY_ANSWER_SIZE + 1]);

/* Byte i of a stretch of `size` bytes of filler, 0 <= i < size. */
char passkey_filler(int64_t size, int64_t i);
/* The largest stretch of at most `size` bytes that starts at the start of a sentence. */
int64_t passkey_sentences(int64_t size);
/* The stretch nearest to `size` that starts at the start of a sentence and has at most `max` bytes. */
int64_t passkey_sentences_near(int64_t size, int64_t max);

/* The 100000 keys are split for good, whatever the seeds: a fixed bijection hashes a key, and those whose hash is
 * divisible by ten, exactly PASSKEY_EVAL_KEYS of them, belong to evaluation and never occur in training. */
int passkey_is_eval_key(int key);
/* Key `index` (< PASSKEY_EVAL_KEYS) of the evaluation keys in the order that (seed, domain) shuffles them into:
 * different indices have different keys. */
int passkey_eval_key(uint64_t seed, const char *domain, int64_t index);

#endif

/* Words by patterns, as the pre_tokenizer of a tokenizer.json asks for: every pattern splits what the one before
 * it left. The patterns are run by PCRE2 with Unicode's properties. */
#ifndef PAL_PATTERN_WORDS_H
#define PAL_PATTERN_WORDS_H

#include "harness/base/error.h"

#include <stddef.h>

enum { PATTERN_STAGES = 8 };

/* GPT-2's rule (Radford et al. 2019), which ByteLevel has built in. */
#define PATTERN_GPT2 "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

typedef struct pattern_rule {
    const char *pattern;
    int drop; /* what the pattern does not match is left out, instead of being a word */
} pattern_rule;

/* Constant once made: any thread may use it. */
typedef struct pattern_words pattern_words;

/* PAL_DATA names the pattern, the place in it and what PCRE2 says. `name` stands first in the message. */
int pattern_words_create(pattern_words **out, const pattern_rule *rule, size_t count, const char *name,
                         pal_error *err);
void pattern_words_destroy(pattern_words *w);

typedef void pattern_words_take(void *context, size_t from, size_t to);
/* Gives every word of text[size], valid UTF-8, in order. A pattern that takes more steps at a place than PCRE2's
 * limit does not match there; an empty match is none. */
void pattern_words_each(const pattern_words *w, const char *text, size_t size, pattern_words_take *take,
                        void *context);
/* Whether the text may be cut at a place, by other rules than the patterns. */
typedef int pattern_words_allow(const void *context, size_t at);
/* The most leading bytes that have the same words whatever follows, and behind which the words are those of a text
 * that begins there; 0: none. A pattern that looks behind has no such places. `allow` may be NULL. */
size_t pattern_words_safe(const pattern_words *w, const char *text, size_t size, pattern_words_allow *allow,
                          const void *context);

#endif

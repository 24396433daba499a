/* What tasks with short answers share: how an answer follows a prompt, how a generated text is compared with
 * accepted ones, the losses of the true answer, and the record. */
#ifndef PAL_ANSWER_H
#define PAL_ANSWER_H

#include "datasets/tokenizer/tokenizer.h"
#include "tasks/task.h"

#include <jansson.h>

/* Text as it lies in memory: no NUL behind it. */
typedef tokenizer_text answer_text;

/* ---- Tokens ---- */

typedef struct answer_tokens {
    int32_t *token; /* malloc'ed */
    size_t count;
} answer_tokens;

void answer_tokens_free(answer_tokens *t);
/* Tokens of a text; start: as the first of a text, with the begin token where the tokenizer's rules put one before
 * it. */
int answer_encode(const tokenizer *t, const char *text, size_t size, int start, answer_tokens *out,
                  pal_error *err);
/* Tokens of an answer behind prompt[prompt_size]: a space comes first, unless there is white space on either side.
 */
int answer_encode_behind(const tokenizer *t, const char *prompt, size_t prompt_size, const char *text, size_t size,
                         answer_tokens *out, pal_error *err);
/* The text of tokens, malloc'ed, with a NUL at [*size]; bytes that are no UTF-8 become '?'. NULL: no memory. */
char *answer_decode(const tokenizer *t, const int32_t *token, size_t count, size_t *size);

/* ---- Comparing; 1 or 0, or -1 without memory ---- */

/* Whether `text` holds `ref`, both in lower case (Unicode), as RULER's string_match has it. */
int answer_contains(const char *text, size_t size, answer_text ref);
/* The number of ref[count] that `text` holds, in RULER's way. */
int answer_count_contained(const char *text, size_t size, const answer_text *ref, size_t count);
/* Whether the first line that is not blank is `ref`, each without the white space around it. */
int answer_is_line(const char *text, size_t size, answer_text ref);
/* Whether the first number in `text` is the first in `ref`: an optional '-', digits that may come in groups
 * (1,234,567), an optional fraction. Compared by value: 07.50 is 7.5. 0 where one of them has none. */
int answer_is_number(const char *text, size_t size, answer_text ref);
int answer_has_number(const char *text, size_t size);

/* ---- The true answer, as it was read ---- */

typedef struct answer_loss {
    double nll;           /* sum over the tokens, nats */
    double tokens, right; /* `right`: of them the model's first choice, each given the true ones before */
} answer_loss;

/* token[] are those that out->nll are of. */
answer_loss answer_losses(const task_output *out, const int32_t *token);

/* ---- The record ---- */

/* Adds "generated" to the object, as much of the text as fits, and writes it as one line; takes the reference.
 * Whatever happens, `record` holds a whole JSON object. */
void answer_record(json_t *object, const char *text, size_t size, char *record, size_t record_size);

#endif

/* Tokens of prompts and answers, the losses of an answer that was read, and the record of a sample.
 * Shared by the tasks whose samples end in a short answer. */
#include "tasks/answer/answer.h"

#include "harness/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void answer_tokens_free(answer_tokens *t)
{
    free(t->token);
    *t = (answer_tokens){0};
}

int answer_encode(const tokenizer *t, const char *text, size_t size, int start, answer_tokens *out, pal_error *err)
{
    *out = (answer_tokens){0};
    out->token = malloc((tokenizer_room(t, size) + 2) * sizeof *out->token);
    if (!out->token) return pal_fail(err, PAL_INTERNAL, "out of memory for a text of %zu bytes", size);
    if (start && tokenizer_adds_begin(t)) out->token[out->count++] = tokenizer_begin(t);
    int32_t *rest = out->token + out->count;
    out->count += start ? tokenizer_encode_start(t, text, size, rest) : tokenizer_encode(t, text, size, rest);
    int32_t *fitted = realloc(out->token, (out->count + 1) * sizeof *fitted);
    if (fitted) out->token = fitted;
    return PAL_OK;
}

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

int answer_encode_behind(const tokenizer *t, const char *prompt, size_t prompt_size, const char *text, size_t size,
                         answer_tokens *out, pal_error *err)
{
    const int joined = prompt_size == 0 || is_space(prompt[prompt_size - 1]) || (size && is_space(*text));
    if (joined) return answer_encode(t, text, size, 0, out, err);
    char *spaced = malloc(size + 1);
    *out = (answer_tokens){0};
    if (!spaced) return pal_fail(err, PAL_INTERNAL, "out of memory for an answer of %zu bytes", size);
    spaced[0] = ' ';
    memcpy(spaced + 1, text, size);
    const int code = answer_encode(t, spaced, size + 1, 0, out, err);
    free(spaced);
    return code;
}

/* A continuation may end within a character. */
static void make_valid(char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        int broken;
        at += utf8_valid(text + at, size - at, &broken);
        if (at < size) text[at++] = '?';
    }
}

char *answer_decode(const tokenizer *t, const int32_t *token, size_t count, size_t *size)
{
    *size = tokenizer_decode(t, token, count, NULL, 0);
    char *text = malloc(*size + 1);
    if (!text) return NULL;
    tokenizer_decode(t, token, count, text, *size + 1);
    make_valid(text, *size);
    return text;
}

answer_loss answer_losses(const task_output *out, const int32_t *token)
{
    answer_loss loss = {.tokens = (double)out->count};
    for (size_t i = 0; i < out->count; i++) {
        loss.nll += out->nll[i];
        loss.right += out->argmax[i] == token[i];
    }
    return loss;
}

void answer_record(json_t *object, const char *text, size_t size, char *record, size_t record_size)
{
    snprintf(record, record_size, "%s", record_size > 2 ? "{}" : "");
    while (object && json_object_set_new(object, "generated", json_stringn(text, size)) == 0) {
        char *line = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);
        const size_t length = line ? strlen(line) : 0;
        const int fits = line && length < record_size;
        if (fits) memcpy(record, line, length + 1);
        free(line);
        if (fits || !line || size == 0) break;
        const size_t cut = (length - record_size) / 6 + 1; /* an escape takes up to 6 bytes a byte */
        size = cut < size ? size - cut : 0;
        int broken;
        size = utf8_valid(text, size, &broken);
    }
    json_decref(object);
}

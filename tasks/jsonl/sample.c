/* One line of the file as a sample: the prompt, and the first accepted answer behind it; and what a continuation
 * scores. */
#include "tasks/jsonl/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const jsonl_value[JSONL_VALUES] = {[JSONL_RIGHT] = "right",
                                               [JSONL_ASKED] = "asked",
                                               [JSONL_ROUGE + ROUGE_1] = "rouge1",
                                               [JSONL_ROUGE + ROUGE_2] = "rouge2",
                                               [JSONL_ROUGE + ROUGE_L] = "rougeL",
                                               [JSONL_ROUGE + ROUGE_LSUM] = "rougeLsum",
                                               [JSONL_NLL] = "nll",
                                               [JSONL_TOKENS] = "tokens",
                                               [JSONL_TOKENS_RIGHT] = "tokens_right"};

/* ---- Opening ---- */

static int read_lines(jsonl_sample *s, pal_error *err)
{
    const prompt_file *file = s->run->file;
    const size_t count = prompt_file_count(file);
    const int swapped = s->run->request.control == CONTROL_SWAPPED;
    const size_t answers = swapped ? (s->index + 1) % count : s->index;
    s->answers_of = prompt_file_id(file, answers);
    PAL_TRY(prompt_file_read(file, s->index, &s->line, err));
    if (!swapped) return PAL_OK;
    prompt_line other;
    PAL_TRY(prompt_file_read(file, answers, &other, err));
    const prompt_line own = s->line;
    s->line.answer = other.answer;
    s->line.answers = other.answers;
    other.answer = own.answer;
    other.answers = own.answers;
    prompt_line_free(&other);
    return PAL_OK;
}

static int fill_sample(jsonl_sample *s, pal_error *err)
{
    const tokenizer *t = s->run->tokenizer;
    PAL_TRY(read_lines(s, err));
    const prompt_text *prompt = &s->line.prompt, *answer = &s->line.answer[0];
    PAL_TRY(answer_encode(t, prompt->text, prompt->size, 1, &s->prompt, err));
    if (s->prompt.count == 0)
        return pal_fail(err, PAL_DATA, "jsonl: %s: the tokenizer has no token for anything in the prompt of '%s'",
                        s->run->request.data, prompt_file_id(s->run->file, s->index));
    return answer_encode_behind(t, prompt->text, prompt->size, answer->text, answer->size, &s->answer, err);
}

int jsonl_open(const task_run *handle, const task_cell *cell, int64_t index, task_sample **out, pal_error *err)
{
    if (index < 0 || index >= cell->samples)
        return pal_fail(err, PAL_USAGE, "jsonl: %s has samples 0 to %lld, not %lld", cell->name,
                        (long long)cell->samples - 1, (long long)index);
    jsonl_sample *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "jsonl: out of memory for a sample");
    s->run = (const jsonl_run *)handle;
    s->index = (size_t)index;
    const int code = fill_sample(s, err);
    if (code == PAL_OK)
        *out = (task_sample *)s;
    else
        jsonl_close((task_sample *)s);
    return code;
}

void jsonl_close(task_sample *handle)
{
    jsonl_sample *s = (jsonl_sample *)handle;
    prompt_line_free(&s->line);
    answer_tokens_free(&s->prompt);
    answer_tokens_free(&s->answer);
    free(s);
}

/* ---- Reading ---- */

void jsonl_shape(const task_sample *handle, sample_shape *out)
{
    const jsonl_sample *s = (const jsonl_sample *)handle;
    out->tokens = s->prompt.count + s->answer.count;
    out->prompt = out->score_from = s->prompt.count;
    out->shared = s->run->shared;
    out->shared_id = hash_id(prompt_file_digest(s->run->file), HASH_HEX - 1);
    out->decoding = (task_decoding){.max_tokens = s->run->max_tokens, .stop = tokenizer_begin(s->run->tokenizer)};
}

int jsonl_read(task_sample *handle, int32_t *tokens, size_t max, size_t *got, pal_error *err)
{
    jsonl_sample *s = (jsonl_sample *)handle;
    (void)err;
    *got = 0;
    while (*got < max && s->at < s->prompt.count + s->answer.count) {
        const int behind = s->at >= s->prompt.count;
        const answer_tokens *from = behind ? &s->answer : &s->prompt;
        const size_t at = behind ? s->at - s->prompt.count : s->at, left = from->count - at, room = max - *got;
        const size_t more = left < room ? left : room;
        memcpy(tokens + *got, from->token + at, more * sizeof *tokens);
        s->at += more;
        *got += more;
    }
    return PAL_OK;
}

/* ---- Scores ---- */

/* Whether one of the answers is met; -1 without memory. */
static int is_right(const jsonl_sample *s, const char *text, size_t size)
{
    for (size_t i = 0; i < s->line.answers; i++) {
        const answer_text ref = {s->line.answer[i].text, s->line.answer[i].size};
        const int scorer = (int)s->run->request.scorer;
        const int right = scorer == SCORER_EXACT    ? answer_is_line(text, size, ref)
                          : scorer == SCORER_NUMBER ? answer_is_number(text, size, ref)
                                                    : answer_contains(text, size, ref);
        if (right) return right;
    }
    return 0;
}

/* NaN where no accepted answer has a token of ROUGE, and without memory. */
static void score_rouge(const jsonl_sample *s, const char *text, size_t size, double *value)
{
    pal_error err;
    rouge_result best = {.undefined = 1};
    for (size_t i = 0; i < s->line.answers; i++) {
        rouge_result one;
        const prompt_text *ref = &s->line.answer[i];
        if (rouge_score(ref->text, ref->size, text, size, 1, &one, &err) != PAL_OK || one.undefined) continue;
        for (int m = 0; m < ROUGE_METRICS; m++)
            if (best.undefined || one.metric[m].f > best.metric[m].f) best.metric[m] = one.metric[m];
        best.undefined = 0;
    }
    for (int m = 0; m < ROUGE_METRICS; m++) value[JSONL_ROUGE + m] = best.undefined ? NAN : best.metric[m].f;
}

static json_t *describe(const jsonl_sample *s, const task_output *out)
{
    const prompt_file *file = s->run->file;
    const prompt_text *answer = &s->line.answer[0];
    int shown = answer->size < 400 ? (int)answer->size : 400;
    while (shown < (int)answer->size && shown > 0 && (answer->text[shown] & 0xc0) == 0x80) shown--;
    return json_pack("{ss ss ss ss# sI sI sI}", "id", prompt_file_id(file, s->index), "cluster",
                     prompt_file_cluster(file, s->index), "answers_of", s->answers_of, "answer", answer->text,
                     shown, "prompt_tokens", (json_int_t)s->prompt.count, "answer_tokens",
                     (json_int_t)s->answer.count, "generated_tokens", (json_int_t)out->generated_count);
}

void jsonl_score(const task_sample *handle, const task_output *out, double *value, char *record,
                 size_t record_size)
{
    const jsonl_sample *s = (const jsonl_sample *)handle;
    const answer_loss loss = answer_losses(out, s->answer.token);
    const int rouge = s->run->request.scorer == SCORER_ROUGE;
    size_t size;
    char *text = answer_decode(s->run->tokenizer, out->generated, out->generated_count, &size);
    for (int i = 0; i < JSONL_VALUES; i++) value[i] = 0;
    for (int m = 0; m < ROUGE_METRICS; m++) value[JSONL_ROUGE + m] = NAN;
    value[JSONL_NLL] = loss.nll;
    value[JSONL_TOKENS] = loss.tokens;
    value[JSONL_TOKENS_RIGHT] = loss.right;
    if (text && rouge) score_rouge(s, text, size, value);
    const int right = text && !rouge ? is_right(s, text, size) : -1;
    value[JSONL_ASKED] = right >= 0;
    value[JSONL_RIGHT] = right > 0;
    answer_record(text ? describe(s, out) : NULL, text ? text : "", text ? size : 0, record, record_size);
    free(text);
}

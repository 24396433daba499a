/* What a continuation scores against the true summaries, and the record of it. */
#include "tasks/booksum/run.h"

#include "harness/base/utf8.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const booksum_value[BOOKSUM_VALUES] = {[BOOKSUM_ROUGE + ROUGE_1] = "rouge1",
                                                   [BOOKSUM_ROUGE + ROUGE_2] = "rouge2",
                                                   [BOOKSUM_ROUGE + ROUGE_L] = "rougeL",
                                                   [BOOKSUM_ROUGE + ROUGE_LSUM] = "rougeLsum",
                                                   [BOOKSUM_OVERALL] = "overall",
                                                   [BOOKSUM_NLL] = "nll",
                                                   [BOOKSUM_TOKENS] = "tokens",
                                                   [BOOKSUM_RIGHT] = "facts_right",
                                                   [BOOKSUM_FACTS] = "facts",
                                                   [BOOKSUM_GENERATED] = "generated"};

/* ---- ROUGE ---- */

static int compare(const booksum_sample *t, rouge_scorer *scorer, rouge_text *ref, const char *text, size_t size,
                   rouge_result *out, pal_error *err)
{
    rouge_text hyp = {0};
    for (size_t i = 0; i < t->book.summaries; i++)
        PAL_TRY(rouge_text_read(scorer, t->book.summary[i].text, t->book.summary[i].size, &ref[i], err));
    int code = rouge_text_read(scorer, text, size, &hyp, err);
    if (code == PAL_OK)
        code = rouge_compare_many(scorer, ref, t->book.summaries, &hyp, (rouge_policy)t->run->request.policy, out,
                                  err);
    rouge_text_free(&hyp);
    return code;
}

/* NaN where no summary has a token of ROUGE, as in a script without a-z; and without memory. */
static void score_text(const booksum_sample *t, const char *text, size_t size, double *value)
{
    pal_error err;
    rouge_result result;
    rouge_scorer *scorer = NULL;
    rouge_text *ref = calloc(t->book.summaries, sizeof *ref);
    int code = ref ? rouge_scorer_create(1, &scorer, &err) : PAL_INTERNAL;
    if (code == PAL_OK) code = compare(t, scorer, ref, text, size, &result, &err);
    const int known = code == PAL_OK && !result.undefined;
    for (int m = 0; m < ROUGE_METRICS; m++) value[BOOKSUM_ROUGE + m] = known ? result.metric[m].f : NAN;
    value[BOOKSUM_OVERALL] = known ? result.overall : NAN;
    for (size_t i = 0; ref && i < t->book.summaries; i++) rouge_text_free(&ref[i]);
    free(ref);
    rouge_scorer_destroy(scorer);
}

/* Facts that the text tells in the summary's words: those of its sentence but for the article. */
static int count_right(const int *fact, const char *text)
{
    int right = 0;
    for (int i = 0; i < STORY_SLOTS; i++) {
        char words[STORY_SENTENCE];
        snprintf(words, sizeof words, "%s%s.", strchr(story_cue(i), ' '), story_value(i, fact[i]));
        right += strstr(text, words) != NULL;
    }
    return right;
}

/* ---- The record ---- */

/* Bytes that are not UTF-8 become '?': a continuation may end within a character. */
static void make_valid(char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        int broken;
        at += utf8_valid(text + at, size - at, &broken);
        if (at < size) text[at++] = '?';
    }
}

static char *describe(const booksum_sample *t, const task_output *out, const char *text, size_t size)
{
    const booksum_file *file = t->run->file;
    const char *bid = file ? booksum_file_bid(file, t->place) : t->id;
    const char *id = file ? booksum_file_id(file, t->place) : t->id;
    json_t *object = json_pack("{ss ss sI sI sI ss#}", "bid", bid, "id", id, "input_tokens", (json_int_t)t->input,
                               "summary_tokens", (json_int_t)t->summary.count, "generated_tokens",
                               (json_int_t)out->generated_count, "generated", text, (int)size);
    char *line = object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(object);
    return line;
}

/* As much of the text as fits; generated_tokens tells of how much. */
static void put_record(const booksum_sample *t, const task_output *out, char *text, size_t size, char *record,
                       size_t record_size)
{
    snprintf(record, record_size, "{}");
    make_valid(text, size);
    for (;;) {
        char *line = describe(t, out, text, size);
        const size_t length = line ? strlen(line) : 0;
        const int fits = line && length < record_size;
        if (fits) memcpy(record, line, length + 1);
        free(line);
        if (fits || !line || size == 0) return;
        const size_t cut = (length - record_size) / 6 + 1; /* an escape takes up to 6 bytes a byte */
        size = cut < size ? size - cut : 0;
        int broken;
        size = utf8_valid(text, size, &broken);
    }
}

void booksum_score(const task_sample *handle, const task_output *out, double *value, char *record,
                   size_t record_size)
{
    const booksum_sample *s = (const booksum_sample *)handle;
    for (int i = 0; i < BOOKSUM_VALUES; i++) value[i] = 0;
    for (size_t i = 0; i < out->count; i++) value[BOOKSUM_NLL] += out->nll[i];
    value[BOOKSUM_TOKENS] = (double)out->count;
    value[BOOKSUM_GENERATED] = (double)out->generated_count;
    const size_t size = tokenizer_decode(s->run->tokenizer, out->generated, out->generated_count, NULL, 0);
    char *text = malloc(size + 1);
    if (!text) {
        for (int i = BOOKSUM_ROUGE; i <= BOOKSUM_OVERALL; i++) value[i] = NAN;
        snprintf(record, record_size, "{}");
        return;
    }
    tokenizer_decode(s->run->tokenizer, out->generated, out->generated_count, text, size + 1);
    score_text(s, text, size, value);
    if (!s->run->file) {
        value[BOOKSUM_RIGHT] = count_right(s->story.value, text);
        value[BOOKSUM_FACTS] = STORY_SLOTS;
    }
    put_record(s, out, text, size, record, record_size);
    free(text);
}

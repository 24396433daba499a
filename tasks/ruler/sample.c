/* One sample: head, haystack with its needles, question, answer; and what a continuation scores.
 * Answers are found in RULER's way: each that the text holds counts. */
#include "tasks/ruler/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

static int encode_head(ruler_sample *s, pal_error *err)
{
    char *text = malloc(2 * RULER_TEXT);
    if (!text) return pal_fail(err, PAL_INTERNAL, "ruler: out of memory for a sample");
    size_t size = ruler_example(s, text);
    size += ruler_head(s->form, text + size);
    /* Lines begin with what joins them. */
    if (s->form->kind == RULER_NIAH && s->form->hay != HAY_ESSAY) size--;
    const int code = answer_encode(s->run->tokenizer, text, size, 1, &s->hay.head, err);
    free(text);
    return code;
}

static int encode_tail(ruler_sample *s, pal_error *err)
{
    char text[RULER_TEXT + 1];
    size_t size = ruler_tail(s->form, s->facts.query, text + 1);
    text[0] = '\n';
    const int line = s->form->kind == RULER_NIAH; /* the others begin with a line feed of their own */
    return answer_encode(s->run->tokenizer, text + !line, size + (size_t)line, 0, &s->hay.tail, err);
}

/* " 1234567 7654321", or " 1. word 2. word" as CWE's example has it. */
static int encode_answer(ruler_sample *s, pal_error *err)
{
    char text[RULER_ANSWERS * (RULER_ITEM + 8)];
    size_t size = 0;
    for (int i = 0; i < s->facts.answers; i++) {
        if (s->form->kind == RULER_CWE) size += (size_t)snprintf(text + size, sizeof text - size, " %d.", i + 1);
        size += (size_t)snprintf(text + size, sizeof text - size, " %s", s->facts.answer[i]);
    }
    return answer_encode(s->run->tokenizer, text, size, 0, &s->hay.answer, err);
}

static int add_needles(ruler_sample *s, pal_error *err)
{
    const int essay = s->form->kind == RULER_VT || s->form->hay == HAY_ESSAY;
    s->hay.needle = calloc(RULER_NEEDLES, sizeof *s->hay.needle);
    if (!s->hay.needle) return pal_fail(err, PAL_INTERNAL, "ruler: out of memory for a sample");
    for (int i = 0; i < s->facts.needles; i++) {
        char text[4 * RULER_ITEM];
        const char *key = s->facts.key[i], *value = s->facts.value[i];
        if (s->run->request.control == CONTROL_ABSENT && s->facts.asked[i]) continue;
        haystack_needle *n = &s->hay.needle[s->hay.needles];
        n->place = s->facts.place[i];
        text[0] = essay ? ' ' : '\n';
        size_t size = 1;
        if (s->form->kind == RULER_NIAH)
            size += ruler_needle(s->form, key, value, text + 1, sizeof text - 1);
        else
            size +=
                (size_t)snprintf(text + 1, sizeof text - 1, i ? "VAR %s = VAR %s " : "VAR %s = %s", key, value);
        const int first = essay && s->hay.needles == 0 && n->place == 0;
        PAL_TRY(answer_encode(s->run->tokenizer, text + first, size - (size_t)first, 0, &n->text, err));
        s->hay.needles++;
    }
    return PAL_OK;
}

/* Tokens that head, question and answer take with the list as it is planned now. */
static int measure_rest(ruler_sample *s, int64_t index, int64_t *size, pal_error *err)
{
    char tail[RULER_TEXT];
    answer_tokens question = {0};
    ruler_draw(s, index, &s->facts);
    int code = encode_head(s, err);
    if (code == PAL_OK) code = encode_answer(s, err);
    if (code == PAL_OK)
        code = answer_encode(s->run->tokenizer, tail, ruler_tail(s->form, "", tail), 0, &question, err);
    *size = (int64_t)(s->hay.head.count + s->hay.answer.count + question.count);
    answer_tokens_free(&question);
    answer_tokens_free(&s->hay.head);
    answer_tokens_free(&s->hay.answer);
    return code;
}

/* A list must be planned before its answers and its example are known, and their size before it is planned: first
 * for all the room, then for what they leave. Once more where the example got shorter; it never gets longer. */
static int plan_list(ruler_sample *s, int64_t index, pal_error *err)
{
    const int64_t repeat = s->run->request.repeat;
    int64_t rest = 0;
    int seldom;
    if (s->form->kind != RULER_CWE && s->form->kind != RULER_FWE) return PAL_OK;
    PAL_TRY(ruler_plan_list(s, index, s->cell->length / repeat, 0, err));
    do {
        seldom = s->list.seldom;
        PAL_TRY(measure_rest(s, index, &rest, err));
        PAL_TRY(ruler_plan_list(s, index, (s->cell->length - rest) / repeat, seldom == 1, err));
    } while (s->list.seldom != seldom);
    return PAL_OK;
}

static int fill_sample(ruler_sample *s, pal_error *err)
{
    const ruler_run *run = s->run;
    haystack *h = &s->hay;
    *h = (haystack){.tokenizer = run->tokenizer,
                    .length = s->cell->length,
                    .passes = (int)run->request.repeat,
                    .filler = ruler_filler(s)};
    snprintf(s->domain, sizeof s->domain, "ruler/%s/%lld", s->form->name, (long long)s->cell->length);
    ruler_facts other = {0};
    if (run->request.control == CONTROL_SWAPPED) {
        PAL_TRY(plan_list(s, s->index + 1, err));
        ruler_draw(s, s->index + 1, &other);
    }
    PAL_TRY(plan_list(s, s->index, err));
    ruler_draw(s, s->index, &s->facts);
    if (other.answers) memcpy(s->facts.answer, other.answer, sizeof other.answer);
    if (run->prose && s->form->kind == RULER_NIAH && s->form->hay == HAY_ESSAY)
        PAL_TRY(prose_open(&s->prose, run->prose, run->document, err));
    PAL_TRY(encode_head(s, err));
    PAL_TRY(encode_tail(s, err));
    PAL_TRY(encode_answer(s, err));
    PAL_TRY(add_needles(s, err));
    pal_error why;
    const int code = haystack_begin(h, &why);
    return code == PAL_OK ? PAL_OK : pal_fail(err, code, "ruler: %s: %.4000s", s->cell->name, why.text);
}

int ruler_open(const task_run *handle, const task_cell *cell, int64_t index, task_sample **out, pal_error *err)
{
    const ruler_run *run = (const ruler_run *)handle;
    if (index < 0 || index >= cell->samples)
        return pal_fail(err, PAL_USAGE, "ruler: %s has samples 0 to %lld, not %lld", cell->name,
                        (long long)cell->samples - 1, (long long)index);
    ruler_sample *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "ruler: out of memory for a sample");
    s->run = run;
    s->cell = cell;
    s->index = index;
    s->form = run->form[cell - run->cell];
    const int code = fill_sample(s, err);
    if (code == PAL_OK)
        *out = (task_sample *)s;
    else
        ruler_close((task_sample *)s);
    return code;
}

void ruler_close(task_sample *handle)
{
    ruler_sample *s = (ruler_sample *)handle;
    haystack_free(&s->hay);
    prose_close(s->prose);
    free(s);
}

/* ---- Reading ---- */

/* Noise and essays begin alike in all samples of a form; VT's example, lists and filler needles do not. */
void ruler_shape(const task_sample *handle, sample_shape *out)
{
    const ruler_sample *s = (const ruler_sample *)handle;
    const int alike = s->form->kind == RULER_NIAH && s->form->hay != HAY_NEEDLES;
    char words[512];
    const int size = snprintf(words, sizeof words, "ruler %d %d %d %s %s %zu", (int)s->form->hay,
                              (int)s->form->value, s->form->values * s->form->queries,
                              tokenizer_digest(s->run->tokenizer), s->run->data, s->run->document);
    /* Where the first needle begins the essay, the essay's first sentence begins otherwise. */
    const int first = s->hay.needles && s->hay.needle[0].offset == (int64_t)s->hay.head.count;
    haystack_shape(&s->hay, alike && !first ? hash_id(words, (size_t)size) : 0, (size_t)s->form->generate, out);
}

int ruler_read(task_sample *s, int32_t *tokens, size_t max, size_t *got, pal_error *err)
{
    return haystack_read(&((ruler_sample *)s)->hay, tokens, max, got, err);
}

/* ---- Scores ---- */

static json_t *describe(const ruler_sample *s)
{
    char answer[RULER_ANSWERS * (RULER_ITEM + 2)] = "";
    json_t *offsets = json_array(), *depths = json_array();
    size_t used = 0;
    for (int i = 0; i < s->facts.answers; i++)
        used += (size_t)snprintf(answer + used, sizeof answer - used, "%s%s", i ? " " : "", s->facts.answer[i]);
    for (size_t i = 0; i < s->hay.needles; i++) {
        json_array_append_new(offsets, json_integer((json_int_t)s->hay.needle[i].offset));
        json_array_append_new(depths, json_real(100 * s->hay.needle[i].place));
    }
    /* How often the common words appear: which of RULER's two numbers fits. */
    if (s->form->kind == RULER_CWE)
        return json_pack("{ss sI so so}", "answer", answer, "repeats", (json_int_t)s->list.often, "needle_offsets",
                         offsets, "depths", depths);
    return json_pack("{ss ss so so}", "query", s->facts.query, "answer", answer, "needle_offsets", offsets,
                     "depths", depths);
}

void ruler_score(const task_sample *handle, const task_output *out, double *value, char *record,
                 size_t record_size)
{
    const ruler_sample *s = (const ruler_sample *)handle;
    const answer_loss loss = answer_losses(out, s->hay.answer.token);
    answer_text want[RULER_ANSWERS];
    size_t size;
    char *text = answer_decode(s->run->tokenizer, out->generated, out->generated_count, &size);
    for (int i = 0; i < s->facts.answers; i++)
        want[i] = (answer_text){s->facts.answer[i], strlen(s->facts.answer[i])};
    const int right = text ? answer_count_contained(text, size, want, (size_t)s->facts.answers) : -1;
    value[RULER_RIGHT] = right > 0 ? right : 0;
    value[RULER_ASKED] = right >= 0 ? s->facts.answers : 0;
    value[RULER_ALL_RIGHT] = right == s->facts.answers;
    value[RULER_NLL] = loss.nll;
    value[RULER_TOKENS] = loss.tokens;
    value[RULER_TOKENS_RIGHT] = loss.right;
    answer_record(text ? describe(s) : NULL, text ? text : "", text ? size : 0, record, record_size);
    free(text);
}

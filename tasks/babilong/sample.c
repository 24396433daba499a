/* One sample: instruction and examples, facts in their order among sentences of books, the question, the answer;
 * and what a continuation scores. */
#include "tasks/babilong/compare.h"
#include "tasks/babilong/prompts.h"
#include "tasks/babilong/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SENTENCE = 10, /* tokens of a sentence of the background, at least, as BABILong has it */
    GENERATE = 32  /* tokens of a continuation */
};

/* The next sentence that is long enough. The first one stands at the start of the context, unless a fact does. */
static int background_unit(void *self, int64_t index, char *text, size_t *size, pal_error *err)
{
    babilong_sample *s = self;
    int32_t token[HAYSTACK_UNIT];
    if (index == 0) prose_rewind(s->prose);
    text[0] = ' ';
    for (int short_ones = 0; short_ones < 100000; short_ones++) {
        PAL_TRY(prose_next(s->prose, text + 1, HAYSTACK_UNIT - 1, SENTENCE, size, err));
        if (tokenizer_encode(s->run->tokenizer, text + 1, *size, token) >= SENTENCE) {
            ++*size;
            return PAL_OK;
        }
    }
    return pal_fail(err, PAL_DATA, "babilong: prose=%s: no sentence has %d tokens; give other texts",
                    s->run->request.prose, SENTENCE);
}

/* ---- Opening ---- */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int add_facts(babilong_sample *s, rng *draws, pal_error *err)
{
    const babilong_request *r = &s->run->request;
    double place[BABI_FACTS];
    s->hay.needle = calloc(BABI_FACTS, sizeof *s->hay.needle);
    if (!s->hay.needle) return pal_fail(err, PAL_INTERNAL, "babilong: out of memory for a sample");
    for (int i = 0; i < s->story.facts; i++) place[i] = (r->from + (r->to - r->from) * rng_uniform(draws)) / 100;
    qsort(place, (size_t)s->story.facts, sizeof *place, ascending);
    for (int i = 0; r->control != CONTROL_ABSENT && i < s->story.facts; i++) {
        char text[BABI_TEXT + 1];
        const size_t size = (size_t)snprintf(text, sizeof text, " %s", s->story.fact[i]);
        haystack_needle *n = &s->hay.needle[s->hay.needles++];
        n->place = place[i];
        PAL_TRY(answer_encode(s->run->tokenizer, text, size, 0, &n->text, err));
    }
    return PAL_OK;
}

static int encode_all(babilong_sample *s, pal_error *err)
{
    const tokenizer *t = s->run->tokenizer;
    char text[4096];
    size_t size = (size_t)snprintf(text, sizeof text, "%s<context>\n", babilong_prompt[s->task]);
    PAL_TRY(answer_encode(t, text, size, 1, &s->hay.head, err));
    size = (size_t)snprintf(text, sizeof text, "\n</context>\nQuestion: %s\nAnswer:", s->story.question);
    PAL_TRY(answer_encode(t, text, size, 0, &s->hay.tail, err));
    size = (size_t)snprintf(text, sizeof text, " %s", s->story.told);
    return answer_encode(t, text, size, 0, &s->hay.answer, err);
}

static rng draws_of(const babilong_sample *s, const task_cell *cell, int64_t index, uint32_t what)
{
    char domain[64];
    snprintf(domain, sizeof domain, "babilong/qa%d/%lld", s->task + 1, (long long)cell->length);
    return rng_make((uint64_t)s->run->request.seed, domain, (uint64_t)index, what);
}

static int fill_sample(babilong_sample *s, const task_cell *cell, int64_t index, pal_error *err)
{
    const babilong_run *run = s->run;
    babi_story other;
    rng draws = draws_of(s, cell, index, 0), next = draws_of(s, cell, index + 1, 0),
        places = draws_of(s, cell, index, 1);
    s->hay = (haystack){.tokenizer = run->tokenizer,
                        .length = cell->length,
                        .passes = (int)run->request.repeat,
                        .filler = {.unit = background_unit, .self = s}};
    babi_make(s->task, &draws, &s->story);
    s->answer = s->story.answer;
    if (run->request.control == CONTROL_SWAPPED) {
        babi_make(s->task, &next, &other);
        s->answer = other.answer;
        memcpy(s->story.told, other.told, sizeof other.told);
    }
    PAL_TRY(encode_all(s, err));
    PAL_TRY(add_facts(s, &places, err));
    if (cell->length == 0) {
        s->hay.length = (int64_t)(s->hay.head.count + s->hay.tail.count + s->hay.answer.count);
        for (size_t i = 0; i < s->hay.needles; i++)
            s->hay.length += s->hay.passes * (int64_t)s->hay.needle[i].text.count;
    } else {
        PAL_TRY(prose_open(&s->prose, run->prose, run->document, err));
    }
    pal_error why;
    const int code = haystack_begin(&s->hay, &why);
    return code == PAL_OK ? PAL_OK
                          : pal_fail(err, code, "babilong: sample %lld of %s: %.4000s", (long long)index,
                                     cell->name, why.text);
}

int babilong_open(const task_run *handle, const task_cell *cell, int64_t index, task_sample **out, pal_error *err)
{
    const babilong_run *run = (const babilong_run *)handle;
    if (index < 0 || index >= cell->samples)
        return pal_fail(err, PAL_USAGE, "babilong: %s has samples 0 to %lld, not %lld", cell->name,
                        (long long)cell->samples - 1, (long long)index);
    babilong_sample *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "babilong: out of memory for a sample");
    s->run = run;
    s->task = run->task[cell - run->cell];
    const int code = fill_sample(s, cell, index, err);
    if (code == PAL_OK)
        *out = (task_sample *)s;
    else
        babilong_close((task_sample *)s);
    return code;
}

void babilong_close(task_sample *handle)
{
    babilong_sample *s = (babilong_sample *)handle;
    haystack_free(&s->hay);
    prose_close(s->prose);
    free(s);
}

/* ---- Reading and scores ---- */

/* Samples of a task read the same instruction and the same books, up to the first fact. */
void babilong_shape(const task_sample *handle, sample_shape *out)
{
    const babilong_sample *s = (const babilong_sample *)handle;
    char words[400];
    const int size = snprintf(words, sizeof words, "babilong %d %s %s %zu", s->task,
                              tokenizer_digest(s->run->tokenizer), s->run->data, s->run->document);
    haystack_shape(&s->hay, hash_id(words, (size_t)size), GENERATE, out);
}

int babilong_read(task_sample *s, int32_t *tokens, size_t max, size_t *got, pal_error *err)
{
    return haystack_read(&((babilong_sample *)s)->hay, tokens, max, got, err);
}

static json_t *describe(const babilong_sample *s)
{
    enum { SHOWN = 24 };
    json_t *offsets = json_array();
    for (size_t i = 0; i < s->hay.needles && i < SHOWN; i++)
        json_array_append_new(offsets, json_integer((json_int_t)s->hay.needle[i].offset));
    return json_pack("{ss ss sI so}", "question", s->story.question, "answer", s->answer, "facts",
                     (json_int_t)s->story.facts, "first_fact_offsets", offsets);
}

void babilong_score(const task_sample *handle, const task_output *out, double *value, char *record,
                    size_t record_size)
{
    const babilong_sample *s = (const babilong_sample *)handle;
    const answer_loss loss = answer_losses(out, s->hay.answer.token);
    const char *const *labels = babi_labels(s->task);
    size_t size = 0;
    char *text = answer_decode(s->run->tokenizer, out->generated, out->generated_count, &size);
    const char *made = text ? text : "";
    value[BABILONG_ONLY] = babilong_only_label(made, size, s->story.question, s->answer, labels);
    value[BABILONG_FIRST] = babilong_first_label(made, size, s->story.question, s->answer, labels);
    value[BABILONG_NLL] = loss.nll;
    value[BABILONG_TOKENS] = loss.tokens;
    value[BABILONG_TOKENS_RIGHT] = loss.right;
    answer_record(describe(s), made, size, record, record_size);
    free(text);
}

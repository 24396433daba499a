/* A book of lines, each a name and its number, and the line that is asked for. Lines are made while they are read.
 * Where a name has several lines, one is asked for by its rank. */
#include "tasks/phonebook/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBERS = 800000000, LINE = PHONEBOOK_NAME + PHONEBOOK_NUMBER + 8 };

/* "609-323-7777": the first digit is 2 to 9. */
static void number_at(const phonebook_sample *s, int64_t line, char out[PHONEBOOK_NUMBER])
{
    const uint64_t n = permutation_at(&s->numbers, (uint64_t)line), digits = n * 10 + (n * 7 + 3) % 10;
    snprintf(out, PHONEBOOK_NUMBER, "%u%02u-%03u-%04u", (unsigned)(2 + digits / 1000000000),
             (unsigned)(digits / 10000000 % 100), (unsigned)(digits / 10000 % 1000), (unsigned)(digits % 10000));
}

/* Which of the asked name's lines this is; -1: another's. */
static int64_t rank_of(const phonebook_sample *s, int64_t line)
{
    for (int64_t i = 0; i < s->form.same; i++)
        if (s->place[i] == line) return i;
    return -1;
}

/* The name of a line; the asked one's is number 0 of the order. */
static void name_at(const phonebook_sample *s, int64_t line, char out[PHONEBOOK_NAME])
{
    phonebook_name(permutation_at(&s->names, rank_of(s, line) >= 0 ? 0 : (uint64_t)line + 1), out);
}

static int line_unit(void *self, int64_t index, char *text, size_t *size, pal_error *err)
{
    const phonebook_sample *s = self;
    char name[PHONEBOOK_NAME], number[PHONEBOOK_NUMBER];
    int64_t line = index;
    (void)err;
    /* Lines that are left out are passed over. */
    if (s->run->request.control == CONTROL_ABSENT)
        for (int64_t i = 0; i < s->form.same; i++) line += s->place[i] <= line;
    name_at(s, line, name);
    number_at(s, line, number);
    *size = (size_t)snprintf(text, HAYSTACK_UNIT, "\n%s: %s", name, number);
    return PAL_OK;
}

/* ---- Opening ---- */

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Names, numbers and places of sample `index`. */
static void draw(phonebook_sample *s, int64_t index)
{
    char domain[96];
    snprintf(domain, sizeof domain, "phonebook/%lld/%lld", (long long)s->form.entries, (long long)s->form.same);
    rng draws = rng_make((uint64_t)s->run->request.seed, domain, (uint64_t)index, 0);
    s->names = permutation_make(phonebook_names(), &draws);
    s->numbers = permutation_make(NUMBERS, &draws);
    const permutation places = permutation_make((uint64_t)s->form.entries, &draws);
    for (int64_t i = 0; i < s->form.same; i++) s->place[i] = (int64_t)permutation_at(&places, (uint64_t)i);
    qsort(s->place, (size_t)s->form.same, sizeof *s->place, ascending);
    s->asked = rng_below(&draws, (uint64_t)s->form.same);
    name_at(s, s->place[0], s->name);
    number_at(s, s->place[s->asked], s->answer);
}

static const char *ordinal(int64_t number)
{
    const int64_t tens = number % 100;
    if (tens >= 11 && tens <= 13) return "th";
    return number % 10 == 1 ? "st" : number % 10 == 2 ? "nd" : number % 10 == 3 ? "rd" : "th";
}

/* Lines of the book as examples, then the asked one without its number. */
static int encode_tail(phonebook_sample *s, pal_error *err)
{
    char text[(PHONEBOOK_SHOTS + 2) * LINE + 200], name[PHONEBOOK_NAME], number[PHONEBOOK_NUMBER];
    size_t size = (size_t)snprintf(text, sizeof text, "\n\nNumbers that were asked for:");
    int64_t shown = 0;
    for (int64_t line = 0; line < s->form.entries && shown < s->run->request.shots; line++) {
        if (rank_of(s, line) >= 0) continue;
        name_at(s, line, name);
        number_at(s, line, number);
        shown++;
        size += (size_t)snprintf(text + size, sizeof text - size, "\n%s%s: %s",
                                 s->form.same > 1 ? "The 1st of " : "", name, number);
    }
    if (s->form.same > 1)
        size += (size_t)snprintf(text + size, sizeof text - size, "\nThe %lld%s of %s:", (long long)s->asked + 1,
                                 ordinal(s->asked + 1), s->name);
    else
        size += (size_t)snprintf(text + size, sizeof text - size, "\n%s:", s->name);
    return answer_encode(s->run->tokenizer, text, size, 0, &s->hay.tail, err);
}

/* Tokens of all lines. */
static int64_t measure(phonebook_sample *s, int64_t lines)
{
    char text[HAYSTACK_UNIT];
    int32_t token[HAYSTACK_UNIT];
    size_t size;
    pal_error unused;
    int64_t sum = 0;
    for (int64_t i = 0; i < lines; i++) {
        line_unit(s, i, text, &size, &unused);
        sum += (int64_t)tokenizer_encode(s->run->tokenizer, text, size, token);
    }
    return sum;
}

static int fill_sample(phonebook_sample *s, int64_t index, pal_error *err)
{
    static const char head[] = "A phone book:";
    const phonebook_request *r = &s->run->request;
    haystack *h = &s->hay;
    const tokenizer *t = s->run->tokenizer;
    char spaced[PHONEBOOK_NUMBER + 1] = " ", next[PHONEBOOK_NUMBER];
    if (r->control == CONTROL_SWAPPED) draw(s, index + 1);
    memcpy(next, s->answer, sizeof next);
    draw(s, index);
    if (r->control == CONTROL_SWAPPED) memcpy(s->answer, next, sizeof next);
    *h = (haystack){.tokenizer = t, .passes = (int)r->repeat, .filler = {.unit = line_unit, .self = s}};
    PAL_TRY(answer_encode(t, head, sizeof head - 1, 1, &h->head, err));
    PAL_TRY(encode_tail(s, err));
    strcat(spaced, s->answer);
    PAL_TRY(answer_encode(t, spaced, strlen(spaced), 0, &h->answer, err));
    const int64_t lines = s->form.entries - (r->control == CONTROL_ABSENT ? s->form.same : 0);
    h->length = (int64_t)(h->head.count + h->tail.count + h->answer.count) + r->repeat * measure(s, lines);
    return haystack_begin(h, err);
}

int phonebook_open(const task_run *handle, const task_cell *cell, int64_t index, task_sample **out, pal_error *err)
{
    const phonebook_run *run = (const phonebook_run *)handle;
    if (index < 0 || index >= cell->samples)
        return pal_fail(err, PAL_USAGE, "phonebook: %s has samples 0 to %lld, not %lld", cell->name,
                        (long long)cell->samples - 1, (long long)index);
    phonebook_sample *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "phonebook: out of memory for a sample");
    s->run = run;
    s->cell = cell;
    s->form = run->form[cell - run->cell];
    const int code = fill_sample(s, index, err);
    if (code == PAL_OK)
        *out = (task_sample *)s;
    else
        phonebook_close((task_sample *)s);
    return code;
}

void phonebook_close(task_sample *handle)
{
    phonebook_sample *s = (phonebook_sample *)handle;
    haystack_free(&s->hay);
    free(s);
}

/* ---- Reading and scores ---- */

void phonebook_shape(const task_sample *handle, sample_shape *out)
{
    const phonebook_sample *s = (const phonebook_sample *)handle;
    haystack_shape(&s->hay, 0, s->hay.answer.count + 2, out);
}

int phonebook_read(task_sample *s, int32_t *tokens, size_t max, size_t *got, pal_error *err)
{
    return haystack_read(&((phonebook_sample *)s)->hay, tokens, max, got, err);
}

/* Whether the continuation tells another line of the asked name. */
static int tells_other(const phonebook_sample *s, const char *text, size_t size)
{
    char number[PHONEBOOK_NUMBER];
    for (int64_t i = 0; i < s->form.same; i++) {
        number_at(s, s->place[i], number);
        if (strcmp(number, s->answer) != 0 &&
            answer_contains(text, size, (answer_text){number, strlen(number)}) > 0)
            return 1;
    }
    return 0;
}

void phonebook_score(const task_sample *handle, const task_output *out, double *value, char *record,
                     size_t record_size)
{
    const phonebook_sample *s = (const phonebook_sample *)handle;
    const answer_loss loss = answer_losses(out, s->hay.answer.token);
    size_t size = 0;
    char *text = answer_decode(s->run->tokenizer, out->generated, out->generated_count, &size);
    const answer_text want = {s->answer, strlen(s->answer)};
    /* The continuation may go on with another number behind the first. */
    const char *start = text ? text : "";
    while (size && (*start == ' ' || *start == '\n')) start++, size--;
    value[PHONEBOOK_RIGHT] = size >= want.size && memcmp(start, want.data, want.size) == 0;
    value[PHONEBOOK_OTHER] = tells_other(s, start, size);
    value[PHONEBOOK_NLL] = loss.nll;
    value[PHONEBOOK_TOKENS] = loss.tokens;
    value[PHONEBOOK_TOKENS_RIGHT] = loss.right;
    answer_record(json_pack("{ss ss sI sI sI}", "name", s->name, "answer", s->answer, "line",
                            (json_int_t)s->place[s->asked], "rank", (json_int_t)s->asked + 1, "prompt_tokens",
                            (json_int_t)(s->hay.length - (int64_t)s->hay.answer.count)),
                  start, size, record, record_size);
    free(text);
}

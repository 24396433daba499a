/* Sentences of a text, and extracts of them: the first words, drawn ones, and the best by ROUGE-2. */
#include "tasks/booksum/extracts.h"

#include "harness/base/array.h"
#include "tasks/rouge/rouge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

size_t extract_count_words(const char *text, size_t size)
{
    size_t words = 0;
    for (size_t i = 0; i < size; i++) words += !is_space(text[i]) && (i == 0 || is_space(text[i - 1]));
    return words;
}

/* ---- Sentences ---- */

/* Whether a sentence can end behind text[at]: a stop, with what closes around it. */
static int ends_sentence(const char *text, size_t start, size_t at)
{
    while (at > start && strchr("\"')]", text[at]) && text[at]) at--;
    return text[at] == '.' || text[at] == '!' || text[at] == '?';
}

static int blank_line(const char *text, size_t size, size_t at)
{
    int lines = 0;
    for (; at < size && is_space(text[at]); at++) lines += text[at] == '\n';
    return lines > 1;
}

int extract_split(const char *text, size_t size, extract_sentence **list, size_t *count, pal_error *err)
{
    size_t capacity = 0, at = 0;
    *list = NULL;
    *count = 0;
    for (;;) {
        while (at < size && is_space(text[at])) at++;
        if (at == size) return PAL_OK;
        size_t end = at + 1;
        while (end < size &&
               !(is_space(text[end]) && (ends_sentence(text, at, end - 1) || blank_line(text, size, end))))
            end++;
        const int code = array_room(list, &capacity, *count + 1, sizeof **list, "the sentences", err);
        if (code != PAL_OK) {
            free(*list);
            *list = NULL;
            return code;
        }
        (*list)[(*count)++] = (extract_sentence){at, end - at};
        at = end;
    }
}

static int by_place(const void *a, const void *b)
{
    const extract_sentence *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

/* Sorts list[count]. */
static int join(const char *text, extract_sentence *list, size_t count, booksum_string *out, pal_error *err)
{
    out->text = NULL;
    FILE *stream = open_memstream(&out->text, &out->size);
    if (!stream) return pal_fail(err, PAL_INTERNAL, "out of memory for an extract");
    if (count) qsort(list, count, sizeof *list, by_place);
    for (size_t i = 0; i < count; i++) {
        if (i) fputc('\n', stream);
        fwrite(text + list[i].at, 1, list[i].size, stream);
    }
    if (fclose(stream) == 0) return PAL_OK;
    free(out->text);
    out->text = NULL;
    return pal_fail(err, PAL_INTERNAL, "out of memory for an extract");
}

/* ---- Lead and random ---- */

int extract_lead(const char *text, size_t size, size_t words, booksum_string *out, pal_error *err)
{
    size_t at = 0;
    for (size_t seen = 0; seen < words && at < size; seen++) {
        while (at < size && is_space(text[at])) at++;
        while (at < size && !is_space(text[at])) at++;
    }
    return join(text, &(extract_sentence){0, at}, 1, out, err);
}

int extract_random(const char *text, size_t size, size_t words, rng *draws, booksum_string *out, pal_error *err)
{
    extract_sentence *list;
    size_t count, taken = 0;
    PAL_TRY(extract_split(text, size, &list, &count, err));
    for (size_t seen = 0; seen < words && taken < count; taken++) {
        const size_t drawn = taken + rng_below(draws, count - taken);
        const extract_sentence s = list[drawn];
        list[drawn] = list[taken];
        list[taken] = s;
        seen += extract_count_words(text + s.at, s.size);
    }
    const int code = join(text, list, taken, out, err);
    free(list);
    return code;
}

/* ---- Oracle ---- */

/* Two tokens of the reference in a row, how often they stand there, and how often in the extract so far. */
typedef struct bigram {
    uint64_t tokens;
    size_t wanted, held;
} bigram;

/* A sentence that shares bigrams with the reference: hit[first .. first + hits) are their places, sorted. */
typedef struct candidate {
    size_t sentence, first, hits, bigrams;
    int taken;
} candidate;

typedef struct oracle {
    const char *text;
    extract_sentence *sentence;
    size_t sentences;
    bigram *bigram;
    size_t distinct, total; /* of the reference */
    candidate *candidate;
    size_t candidates;
    size_t *hit, hits, hit_capacity;
} oracle;

static int by_tokens(const void *a, const void *b)
{
    const bigram *x = a, *y = b;
    return (x->tokens > y->tokens) - (x->tokens < y->tokens);
}

static int by_size(const void *a, const void *b)
{
    const size_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static uint64_t bigram_at(const rouge_text *t, size_t i)
{
    return (uint64_t)t->token[i] << 32 | t->token[i + 1];
}

static int count_reference(oracle *o, rouge_scorer *scorer, const booksum_string *ref, pal_error *err)
{
    rouge_text read;
    PAL_TRY(rouge_text_read(scorer, ref->text, ref->size, &read, err));
    o->total = read.count > 0 ? read.count - 1 : 0;
    o->bigram = calloc(o->total + 1, sizeof *o->bigram);
    for (size_t i = 0; o->bigram && i < o->total; i++) o->bigram[i] = (bigram){bigram_at(&read, i), 1, 0};
    rouge_text_free(&read);
    if (!o->bigram) return pal_fail(err, PAL_INTERNAL, "out of memory for a reference");
    qsort(o->bigram, o->total, sizeof *o->bigram, by_tokens);
    for (size_t i = 0; i < o->total; i++) {
        if (o->distinct && o->bigram[o->distinct - 1].tokens == o->bigram[i].tokens)
            o->bigram[o->distinct - 1].wanted++;
        else
            o->bigram[o->distinct++] = o->bigram[i];
    }
    return PAL_OK;
}

static int add_hits(oracle *o, const rouge_text *read, pal_error *err)
{
    PAL_TRY(array_room(&o->hit, &o->hit_capacity, o->hits + read->count, sizeof *o->hit, "an extract", err));
    for (size_t i = 0; i + 1 < read->count; i++) {
        const bigram key = {.tokens = bigram_at(read, i)};
        const bigram *found = bsearch(&key, o->bigram, o->distinct, sizeof key, by_tokens);
        if (found) o->hit[o->hits++] = (size_t)(found - o->bigram);
    }
    return PAL_OK;
}

static int list_candidates(oracle *o, rouge_scorer *scorer, pal_error *err)
{
    o->candidate = calloc(o->sentences + 1, sizeof *o->candidate);
    if (!o->candidate) return pal_fail(err, PAL_INTERNAL, "out of memory for an extract");
    for (size_t i = 0; i < o->sentences; i++) {
        rouge_text read;
        const size_t first = o->hits;
        PAL_TRY(rouge_text_read(scorer, o->text + o->sentence[i].at, o->sentence[i].size, &read, err));
        const int code = add_hits(o, &read, err);
        const size_t bigrams = read.count > 0 ? read.count - 1 : 0;
        rouge_text_free(&read);
        PAL_TRY(code);
        if (o->hits == first) continue;
        qsort(o->hit + first, o->hits - first, sizeof *o->hit, by_size);
        o->candidate[o->candidates++] = (candidate){i, first, o->hits - first, bigrams, 0};
    }
    return PAL_OK;
}

/* Bigrams that the reference has and the extract lacks, among the candidate's; `take` adds them to the extract. */
static size_t gain(oracle *o, const candidate *c, int take)
{
    size_t sum = 0;
    for (size_t i = 0, next; i < c->hits; i = next) {
        bigram *b = &o->bigram[o->hit[c->first + i]];
        for (next = i + 1; next < c->hits && o->hit[c->first + next] == o->hit[c->first + i];) next++;
        const size_t lacking = b->wanted > b->held ? b->wanted - b->held : 0, has = next - i;
        sum += has < lacking ? has : lacking;
        if (take) b->held += has;
    }
    return sum;
}

/* Moves the sentences that are chosen to the front of o->sentence; returns how many. */
static size_t choose(oracle *o)
{
    size_t count = 0, overlap = 0, bigrams = 0;
    double f = 0;
    for (;;) {
        candidate *best = NULL;
        for (size_t i = 0; i < o->candidates; i++) {
            candidate *c = &o->candidate[i];
            if (c->taken) continue;
            const double with =
                2.0 * (double)(overlap + gain(o, c, 0)) / (double)(o->total + bigrams + c->bigrams);
            if (with <= f) continue;
            f = with;
            best = c;
        }
        if (!best) break;
        overlap += gain(o, best, 1);
        bigrams += best->bigrams;
        best->taken = 1;
    }
    for (size_t i = 0; i < o->candidates; i++)
        if (o->candidate[i].taken) o->sentence[count++] = o->sentence[o->candidate[i].sentence];
    return count;
}

int extract_oracle(const char *text, size_t size, const booksum_string *ref, booksum_string *out, pal_error *err)
{
    oracle o = {.text = text};
    rouge_scorer *scorer = NULL;
    int code = rouge_scorer_create(1, &scorer, err);
    if (code == PAL_OK) code = extract_split(text, size, &o.sentence, &o.sentences, err);
    if (code == PAL_OK) code = count_reference(&o, scorer, ref, err);
    if (code == PAL_OK) code = list_candidates(&o, scorer, err);
    if (code == PAL_OK) code = join(text, o.sentence, choose(&o), out, err);
    free(o.sentence);
    free(o.bigram);
    free(o.candidate);
    free(o.hit);
    rouge_scorer_destroy(scorer);
    return code;
}

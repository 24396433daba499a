/* The units that haystacks are made of: noise, sentences of essays, needles that nobody asks for, and the words of
 * lists. Each begins with what joins it to the one before it. */
#include "tasks/ruler/run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHORT = 4096, /* tokens from which on lists repeat their words more often */
    TRIAL = 2000  /* units that are measured to guess how many fit */
};

static const char *joint(const ruler_sample *s, int64_t index)
{
    if (s->form->kind == RULER_NIAH && s->form->hay != HAY_ESSAY) return "\n";
    /* Before the first unit a head ends with a line feed, or the first needle stands. */
    const int first = index == 0 && s->form->kind != RULER_FWE;
    return first && !(s->hay.needles && s->hay.needle[0].place == 0) ? "" : " ";
}

static int noise_unit(void *self, int64_t index, char *text, size_t *size, pal_error *err)
{
    const ruler_sample *s = self;
    (void)err;
    *size = (size_t)snprintf(text, HAYSTACK_UNIT, "%s" RULER_NOISE "%s", joint(s, index),
                             s->form->kind == RULER_VT ? "\n" : "");
    return PAL_OK;
}

static int essay_unit(void *self, int64_t index, char *text, size_t *size, pal_error *err)
{
    ruler_sample *s = self;
    const char *before = joint(s, index);
    const size_t used = strlen(before);
    if (index == 0) prose_rewind(s->prose);
    memcpy(text, before, used);
    PAL_TRY(prose_next(s->prose, text + used, HAYSTACK_UNIT - used, 1, size, err));
    *size += used;
    return PAL_OK;
}

static int needle_unit(void *self, int64_t index, char *text, size_t *size, pal_error *err)
{
    const ruler_sample *s = self;
    char key[RULER_ITEM], value[RULER_ITEM];
    PAL_TRY(ruler_pair(s, RULER_NEEDLES + index, key, value, err));
    text[0] = '\n';
    *size = 1 + ruler_needle(s->form, key, value, text + 1, HAYSTACK_UNIT - 1);
    return PAL_OK;
}

/* ---- Lists ---- */

static int64_t fwe_count(const ruler_list *l, int64_t rank)
{
    const double k = (double)(rank + 1), zeta = 1.6449340668482264; /* zeta(2) */
    return (int64_t)(l->total / (k * k) / zeta);
}

/* The rank of an item, before the order is random. */
static int64_t rank_of(const ruler_sample *s, int64_t item)
{
    const ruler_list *l = &s->list;
    if (s->form->kind == RULER_CWE) {
        const int64_t common = (int64_t)l->common * l->often;
        return item < common ? item / l->often : l->common + (item - common) / l->seldom;
    }
    int64_t rank = 0;
    for (int64_t count; item >= (count = fwe_count(l, rank)); rank++) item -= count;
    return rank;
}

void ruler_list_word(const ruler_sample *s, int64_t rank, char out[WORD_TEXT])
{
    const ruler_list *l = &s->list;
    if (s->form->kind == RULER_CWE) {
        const uint64_t at = permutation_at(&l->words, (uint64_t)rank % l->words.size);
        if (l->words.size == words_single())
            words_single_at(at, out);
        else
            words_pair_at(at, out);
        return;
    }
    uint64_t code = permutation_at(&l->codes, (uint64_t)rank);
    snprintf(out, WORD_TEXT, "...");
    if (rank == 0) return;
    for (int k = 0; k < 6; k++, code /= 26) out[k] = (char)('a' + code % 26);
    out[6] = '\0';
}

static int list_unit(void *self, int64_t index, char *text, size_t *size, pal_error *err)
{
    const ruler_sample *s = self;
    const ruler_list *l = &s->list;
    char word[WORD_TEXT];
    (void)err;
    /* Behind the list words that are new fill up, or dots. */
    int64_t rank = index < l->items ? rank_of(s, (int64_t)permutation_at(&l->order, (uint64_t)index)) : 0;
    if (index >= l->items && s->form->kind == RULER_CWE)
        rank = rank_of(s, l->items - 1) + 1 + (index - l->items) / l->seldom;
    ruler_list_word(s, rank, word);
    if (s->form->kind == RULER_CWE)
        *size = (size_t)snprintf(text, HAYSTACK_UNIT, "%s%lld. %s", joint(s, index), (long long)index + 1, word);
    else
        *size = (size_t)snprintf(text, HAYSTACK_UNIT, "%s%s", joint(s, index), word);
    return PAL_OK;
}

/* Sets the list to about `items` words. */
static void set_items(ruler_sample *s, int64_t items, rng draws)
{
    ruler_list *l = &s->list;
    if (s->form->kind == RULER_CWE) {
        const int64_t words = l->common + (items - (int64_t)l->common * l->often) / l->seldom;
        const int pairs = words + 200 > (int64_t)words_single(); /* those of the example and of the filling too */
        l->words = permutation_make(pairs ? words_pairs() : words_single(), &draws);
        l->items = items;
    } else {
        l->total = (double)items;
        l->items = 0;
        for (int64_t k = 0; k < l->vocab && fwe_count(l, k) > 0; k++) l->items += fwe_count(l, k);
        l->codes = permutation_make(26u * 26 * 26 * 26 * 26 * 26, &draws);
    }
    l->order = permutation_make((uint64_t)(l->items > 0 ? l->items : 1), &draws);
}

/* Tokens of `count` units, each `stride` behind the last. */
static int64_t measure(ruler_sample *s, int64_t count, int64_t stride)
{
    char text[HAYSTACK_UNIT];
    int32_t token[HAYSTACK_UNIT];
    size_t size;
    pal_error unused;
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i++) {
        list_unit(s, i * stride, text, &size, &unused);
        sum += (int64_t)tokenizer_encode(s->run->tokenizer, text, size, token);
    }
    return sum;
}

/* Finds how many words fit; 0: fewer than `least`. */
static int fit_list(ruler_sample *s, int64_t room, int64_t least, const rng *draws)
{
    ruler_list *l = &s->list;
    int64_t items = room / 8 > least ? room / 8 : least;
    /* Larger lists have longer numbers, and perhaps longer words: some units from all over the list tell. */
    for (int i = 0; i < 3; i++) {
        set_items(s, items, *draws);
        const int64_t stride = 1 + l->items / TRIAL, trial = l->items / stride;
        items = (int64_t)(0.98 * (double)room * (double)trial / (double)measure(s, trial, stride));
        if (items < least) items = least;
    }
    for (; items >= least; items -= 1 + items / 50) {
        set_items(s, items, *draws);
        if (measure(s, l->items, 1) <= room) return 1;
    }
    return 0;
}

int ruler_plan_list(ruler_sample *s, int64_t index, int64_t room, int brief, pal_error *err)
{
    ruler_list *l = &s->list;
    const rng draws = rng_make((uint64_t)s->run->request.seed, s->domain, (uint64_t)index, 1);
    /* RULER's numbers; in short prompts, and where those do not fit, its smaller ones. */
    for (brief |= s->cell->length < SHORT; brief < 2; brief++) {
        *l = (ruler_list){.common = RULER_COMMON, .often = brief ? 6 : 30, .seldom = brief ? 1 : 3};
        l->vocab = s->cell->length / 50;
        const int64_t least = s->form->kind == RULER_CWE ? (int64_t)l->common * (l->often + 2 * l->seldom) : 120;
        if (room < least || !fit_list(s, room, least, &draws)) continue;
        if (s->form->kind == RULER_CWE || fwe_count(l, 3) > fwe_count(l, 4)) return PAL_OK;
    }
    return pal_fail(err, PAL_USAGE,
                    "ruler: len=%lld is too short for %s: its words do not fit often enough to be told apart",
                    (long long)s->cell->length, s->form->name);
}

haystack_filler ruler_filler(ruler_sample *s)
{
    haystack_filler f = {.self = s, .unit = noise_unit, .constant = 1};
    if (s->form->kind == RULER_CWE || s->form->kind == RULER_FWE) return (haystack_filler){list_unit, s, 0};
    if (s->form->kind == RULER_NIAH && s->form->hay == HAY_ESSAY) return (haystack_filler){essay_unit, s, 0};
    if (s->form->kind == RULER_NIAH && s->form->hay == HAY_NEEDLES) return (haystack_filler){needle_unit, s, 0};
    return f;
}

/* ---- Examples ---- */

typedef struct writer {
    char *out;
    size_t used;
} writer;

__attribute__((format(printf, 2, 3))) static void put(writer *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int size = vsnprintf(w->out + w->used, RULER_TEXT - w->used, format, args);
    va_end(args);
    if (size > 0) w->used += (size_t)size < RULER_TEXT - w->used ? (size_t)size : RULER_TEXT - w->used - 1;
}

/* A short list: 10 words ten times and 30 three times, or, in short prompts, three times and 10 once. */
static void put_list(const ruler_sample *s, writer *w, rng *draws)
{
    const int brief = s->list.seldom == 1, often = brief ? 3 : 10, seldom = brief ? 1 : 3, words = brief ? 20 : 40,
              items = RULER_COMMON * often + (words - RULER_COMMON) * seldom;
    int word[RULER_COMMON * 10 + 30 * 3];
    char text[WORD_TEXT];
    for (int i = 0; i < items; i++)
        word[i] = i < RULER_COMMON * often ? i / often : RULER_COMMON + (i - RULER_COMMON * often) / seldom;
    for (int i = 0; i < items; i++) {
        const int pick = i + (int)rng_below(draws, (uint64_t)(items - i)), taken = word[pick];
        word[pick] = word[i];
        word[i] = taken;
        /* Words from the far end of the order, which the sample's own list does not reach. */
        ruler_list_word(s, (int64_t)s->list.words.size - 1 - taken, text);
        put(w, "%s%d. %s", i ? " " : "", i + 1, text);
    }
}

static void put_chain(writer *w, rng *draws, char name[RULER_HOPS + 1][4], unsigned value)
{
    for (int i = 0; i <= RULER_HOPS; i++) {
        for (int k = 0; k < 3; k++) name[i][k] = (char)('A' + rng_below(draws, 26));
        name[i][3] = '\0';
        for (int j = 0; j < i; j++)
            if (strcmp(name[j], name[i]) == 0) i--, j = i; /* drawn again */
    }
    for (int i = 0; i <= RULER_HOPS; i++) {
        put(w, "%s" RULER_NOISE "\n", i ? " " : "");
        if (i)
            put(w, " VAR %s = VAR %s ", name[i], name[i - 1]);
        else
            put(w, " VAR %s = %u", name[i], value);
    }
}

size_t ruler_example(const ruler_sample *s, char out[RULER_TEXT])
{
    writer w = {out, 0};
    char text[RULER_TEXT], query[16] = "", word[WORD_TEXT], name[RULER_HOPS + 1][4];
    out[0] = '\0';
    if (s->form->kind != RULER_VT && s->form->kind != RULER_CWE) return 0;
    rng draws = rng_make((uint64_t)s->run->request.seed, s->domain, (uint64_t)s->index, 2);
    ruler_head(s->form, text);
    put(&w, "%s", text);
    if (s->form->kind == RULER_VT) {
        snprintf(query, sizeof query, "%u", 10000 + rng_below(&draws, 89999));
        put_chain(&w, &draws, name, (unsigned)strtoul(query, NULL, 10));
    } else {
        put_list(s, &w, &draws);
    }
    ruler_tail(s->form, query, text);
    put(&w, "%s", text);
    for (int i = 0; s->form->kind == RULER_VT && i <= RULER_HOPS; i++) put(&w, " %s", name[i]);
    for (int i = 0; s->form->kind == RULER_CWE && i < RULER_COMMON; i++) {
        ruler_list_word(s, (int64_t)s->list.words.size - 1 - i, word);
        put(&w, "%s%d. %s", i ? " " : "", i + 1, word);
    }
    put(&w, "%s", s->form->kind == RULER_VT ? "\n\n\n\n" : "\n");
    return w.used;
}

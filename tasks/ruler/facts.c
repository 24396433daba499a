/* What a sample hides and asks: keys, values, depths and answers, drawn from seed, task, length and index alone.
 * Nothing repeats within a sample: keys, numbers and names come from random orders of all there are. */
#include "tasks/ruler/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBERS = 9000000, NUMBER_FIRST = 1000000, LETTERS = 26, NAME_LETTERS = 5 };

/* Version 4 (RFC 9562): 122 random bits. */
static void put_uuid(uint64_t seed, int64_t number, uint32_t which, char out[RULER_ITEM])
{
    rng r = rng_make(seed, "ruler/uuid", (uint64_t)number, which);
    const uint32_t a = rng_u32(&r), b = rng_u32(&r), c = rng_u32(&r), d = rng_u32(&r);
    snprintf(out, RULER_ITEM, "%08x-%04x-4%03x-%04x-%04x%08x", a, b >> 16, b & 0xfff, (c >> 16 & 0x3fff) | 0x8000,
             c & 0xffff, d);
}

int ruler_pair(const ruler_sample *s, int64_t number, char *key, char *value, pal_error *err)
{
    const ruler_form *f = s->form;
    const int64_t key_number = number < f->keys * f->values ? number / f->values : number;
    if (f->key == TYPE_UUIDS) {
        put_uuid(s->uuid_seed, key_number, 0, key);
    } else {
        if ((uint64_t)key_number >= s->keys.size)
            return pal_fail(err, PAL_USAGE,
                            "ruler: %s has no more than %llu keys; ask for a shorter len=", s->cell->name,
                            (unsigned long long)s->keys.size);
        words_pair_at(permutation_at(&s->keys, (uint64_t)key_number), key);
    }
    if (f->value == TYPE_UUIDS)
        put_uuid(s->uuid_seed, number, 1, value);
    else
        snprintf(value, RULER_ITEM, "%llu",
                 (unsigned long long)(NUMBER_FIRST + permutation_at(&s->numbers, (uint64_t)number)));
    return PAL_OK;
}

/* ---- Needles ---- */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* In essays RULER's 40 depths, each at most once; elsewhere anywhere. */
static void draw_places(const ruler_form *f, ruler_facts *out, rng *draws)
{
    int depth[RULER_DEPTHS];
    for (int i = 0; i < RULER_DEPTHS; i++) depth[i] = i;
    for (int i = 0; i < out->needles; i++) {
        const int pick = i + (int)rng_below(draws, (uint64_t)(RULER_DEPTHS - i)), taken = depth[pick];
        depth[pick] = depth[i];
        out->place[i] = f->kind == RULER_NIAH && f->hay == HAY_ESSAY
                            ? round(100.0 * taken / (RULER_DEPTHS - 1)) / 100
                            : rng_uniform(draws);
    }
    qsort(out->place, (size_t)out->needles, sizeof *out->place, ascending);
}

static void join_query(ruler_facts *out, int number, int count, const char *key)
{
    const size_t used = strlen(out->query);
    const char *before = number == 0 ? "" : number + 1 == count ? ", and " : ", ";
    snprintf(out->query + used, sizeof out->query - used, "%s%s", before, key);
}

static void draw_niah(ruler_sample *s, ruler_facts *out, rng *draws)
{
    const ruler_form *f = s->form;
    pal_error unused;
    int order[RULER_NEEDLES], shuffled[RULER_NEEDLES];
    char key[RULER_NEEDLES][RULER_ITEM], value[RULER_NEEDLES][RULER_ITEM];
    out->needles = f->keys * f->values;
    for (int i = 0; i < out->needles; i++) {
        ruler_pair(s, i, key[i], value[i], &unused); /* the first keys are always there */
        order[i] = shuffled[i] = i;
    }
    for (int i = 0; i < out->needles; i++) {
        const int pick = i + (int)rng_below(draws, (uint64_t)(out->needles - i)), taken = shuffled[pick];
        shuffled[pick] = shuffled[i];
        shuffled[i] = taken;
    }
    for (int i = 0; i < f->queries; i++) {
        const int pick = i + (int)rng_below(draws, (uint64_t)(f->keys - i)), asked = order[pick];
        order[pick] = order[i];
        order[i] = asked;
        join_query(out, i, f->queries, key[asked * f->values]);
        for (int v = 0; v < f->values; v++)
            memcpy(out->answer[out->answers++], value[asked * f->values + v], RULER_ITEM);
    }
    for (int i = 0; i < out->needles; i++) {
        memcpy(out->key[i], key[shuffled[i]], RULER_ITEM);
        memcpy(out->value[i], value[shuffled[i]], RULER_ITEM);
        for (int q = 0; q < f->queries; q++) out->asked[i] |= order[q] == shuffled[i] / f->values;
    }
}

/* One chain of variables. */
static void draw_chain(ruler_facts *out, rng *draws)
{
    const permutation names = permutation_make(26u * 26 * 26 * 26 * 26, draws);
    snprintf(out->query, sizeof out->query, "%u", 10000 + rng_below(draws, 89999));
    out->needles = out->answers = RULER_HOPS + 1;
    for (int i = 0; i < out->needles; i++) {
        uint64_t name = permutation_at(&names, (uint64_t)i);
        for (int k = 0; k < NAME_LETTERS; k++, name /= LETTERS) out->key[i][k] = (char)('A' + name % LETTERS);
        memcpy(out->value[i], i ? out->key[i - 1] : out->query, RULER_ITEM);
        memcpy(out->answer[i], out->key[i], RULER_ITEM);
        out->asked[i] = 1;
    }
}

/* The sample's orders are set even where the answers alone are wanted: they belong to `index`. */
void ruler_draw(ruler_sample *s, int64_t index, ruler_facts *out)
{
    const uint64_t seed = (uint64_t)s->run->request.seed;
    *out = (ruler_facts){0};
    rng draws = rng_make(seed, s->domain, (uint64_t)index, 0);
    s->keys = permutation_make(words_pairs(), &draws);
    s->numbers = permutation_make(NUMBERS, &draws);
    s->uuid_seed = (uint64_t)rng_u32(&draws) << 32;
    s->uuid_seed |= rng_u32(&draws);
    if (s->form->kind == RULER_NIAH) {
        draw_niah(s, out, &draws);
        draw_places(s->form, out, &draws);
    } else if (s->form->kind == RULER_VT) {
        draw_chain(out, &draws);
        draw_places(s->form, out, &draws);
    } else {
        char word[WORD_TEXT];
        out->answers = s->form->kind == RULER_CWE ? RULER_COMMON : 3;
        for (int i = 0; i < out->answers; i++) {
            ruler_list_word(s, s->form->kind == RULER_CWE ? i : i + 1, word);
            snprintf(out->answer[i], RULER_ITEM, "%s", word);
        }
    }
}

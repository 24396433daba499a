/* Draws keys, values and the places where keys are asked for. The places are drawn one after the other without
 * replacement, in constant memory: a draw that falls on a taken place is thrown away. */
#include "tasks/mqar/pairs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXACT = 1024 /* terms of the power law's sum that are added one by one */ };

int64_t mqar_context(const mqar_form *f)
{
    return 2 * (f->pairs + f->updates);
}

int64_t mqar_least(const mqar_form *f)
{
    return mqar_context(f) + 2 * f->pairs;
}

int mqar_check(const mqar_form *f, pal_error *err)
{
    const int64_t most = f->vocab / 2 - 1;
    if (f->pairs < 1 || f->pairs > most)
        return pal_fail(err, PAL_USAGE, "mqar: pairs=%lld; a vocabulary of %lld tokens has 1 to %lld keys",
                        (long long)f->pairs, (long long)f->vocab, (long long)most);
    if (f->updates < 0 || f->updates > f->pairs)
        return pal_fail(err, PAL_USAGE, "mqar: updates=%lld; of %lld pairs at most so many can be rewritten",
                        (long long)f->updates, (long long)f->pairs);
    if (f->pairs + f->updates > f->vocab - f->vocab / 2)
        return pal_fail(err, PAL_USAGE, "mqar: %lld pairs and %lld updates need more values than %lld tokens have",
                        (long long)f->pairs, (long long)f->updates, (long long)f->vocab);
    if (f->length < mqar_least(f))
        return pal_fail(err, PAL_USAGE,
                        "mqar: len=%lld is too short for %lld pairs, which take %lld tokens with their questions",
                        (long long)f->length, (long long)f->pairs, (long long)mqar_least(f));
    return PAL_OK;
}

/* ---- The power law ---- */

typedef struct power_law {
    int64_t space;
    int64_t exact;     /* terms in `sum` */
    double sum[EXACT]; /* of j^(a - 1), j = 1 .. i + 1 */
    double all;
} power_law;

/* The sum beyond the exact terms, by the midpoint rule: off by less than one part in 10^7. */
static double tail_sum(const power_law *p, double to)
{
    const double from = (double)p->exact + 0.5;
    return (pow(to + 0.5, MQAR_POWER) - pow(from, MQAR_POWER)) / MQAR_POWER;
}

static void begin_law(power_law *p, int64_t space)
{
    p->space = space;
    p->exact = space < EXACT ? space : EXACT;
    double sum = 0;
    for (int64_t i = 0; i < p->exact; i++) p->sum[i] = sum += pow((double)(i + 1), MQAR_POWER - 1);
    p->all = sum + (space > p->exact ? tail_sum(p, (double)space) : 0);
}

/* A place 0 .. space - 1, `i` with a probability that is proportional to (i + 1)^(a - 1). */
static int64_t draw_place(const power_law *p, rng *draws)
{
    const double drawn = rng_uniform(draws) * p->all, known = p->sum[p->exact - 1];
    if (drawn >= known && p->space > p->exact) {
        const double from = (double)p->exact + 0.5;
        const double at = pow((drawn - known) * MQAR_POWER + pow(from, MQAR_POWER), 1 / MQAR_POWER) - 0.5;
        int64_t place = (int64_t)ceil(at) - 1;
        place = place < p->exact ? p->exact : place;
        return place < p->space ? place : p->space - 1;
    }
    int64_t low = 0, high = p->exact - 1;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (p->sum[middle] > drawn)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* ---- Drawing ---- */

/* The first `count` of a random order of first .. first + size - 1, into list[size]. */
static void draw_tokens(int32_t *list, int64_t first, int64_t size, int64_t count, rng *draws)
{
    for (int64_t i = 0; i < size; i++) list[i] = (int32_t)(first + i);
    for (int64_t i = 0; i < count; i++) {
        const int64_t pick = i + rng_below(draws, (uint64_t)(size - i));
        const int32_t taken = list[pick];
        list[pick] = list[i];
        list[i] = taken;
    }
}

static int by_place(const void *a, const void *b)
{
    const mqar_query *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

/* Distinct places of all keys; taken[space_bits] is 0. */
static int place_queries(const mqar_form *f, mqar_query *query, rng *draws)
{
    power_law *law = malloc(sizeof *law);
    const int64_t space = (f->length - mqar_context(f)) / 2;
    size_t slots = 4;
    while (slots < 4 * (size_t)f->pairs) slots *= 2;
    int64_t *taken = calloc(slots, sizeof *taken); /* a hash table of place + 1 */
    if (law && taken) begin_law(law, space);
    for (int64_t i = 0; law && taken && i < f->pairs;) {
        const int64_t place = draw_place(law, draws);
        size_t slot = (size_t)place * 0x9e3779b97f4a7c15u & (slots - 1);
        while (taken[slot] && taken[slot] != place + 1) slot = (slot + 1) & (slots - 1);
        if (taken[slot]) continue;
        taken[slot] = place + 1;
        query[i++].at = mqar_context(f) + 2 * place;
    }
    const int there = law && taken;
    free(law);
    free(taken);
    return there;
}

int mqar_draw(const mqar_form *f, rng *draws, mqar_sequence *out, pal_error *err)
{
    const int64_t keys = f->vocab / 2 - 1, values = f->vocab - f->vocab / 2, writes = f->pairs + f->updates;
    int32_t *list = malloc((size_t)(values > keys ? values : keys) * sizeof *list);
    *out = (mqar_sequence){.form = *f};
    out->write = calloc((size_t)writes, sizeof *out->write);
    out->query = calloc((size_t)f->pairs, sizeof *out->query);
    if (list && out->write && out->query) {
        draw_tokens(list, 1, keys, f->pairs, draws);
        for (int64_t i = 0; i < writes; i++) out->write[i].key = list[i < f->pairs ? i : i - f->pairs];
        draw_tokens(list, f->vocab / 2, values, writes, draws);
        for (int64_t i = 0; i < writes; i++) out->write[i].value = list[i];
    }
    if (!list || !out->write || !out->query || !place_queries(f, out->query, draws)) {
        free(list);
        mqar_free(out);
        return pal_fail(err, PAL_INTERNAL, "mqar: out of memory for a sequence");
    }
    free(list);
    /* Keys are in a random order already: the first ones are rewritten. */
    for (int64_t i = 0; i < f->pairs; i++) {
        const mqar_pair *last = &out->write[i < f->updates ? f->pairs + i : i];
        out->query[i].key = last->key;
        out->query[i].value = last->value;
    }
    qsort(out->query, (size_t)f->pairs, sizeof *out->query, by_place);
    return PAL_OK;
}

void mqar_free(mqar_sequence *s)
{
    free(s->write);
    free(s->query);
    *s = (mqar_sequence){0};
}

/* A generated story as tokens: when its facts are told, and what is told between them. */
#include "datasets/story/story.h"

#include <stdio.h>
#include <string.h>

enum {
    CHAPTER_LEAST = 40, /* sentences of a chapter: from this many to so many more */
    CHAPTER_MORE = 81,
    PARAGRAPH = 6,   /* one sentence in so many begins a paragraph */
    SPLIT_PARTS = 10 /* of the stories: one for validation, one for test, the rest for training */
};

/* ---- Facts ---- */

story_split story_split_of(const int value[STORY_SLOTS])
{
    static const uint32_t key[2] = {0x73746f72, 0x79}; /* any fixed number */
    uint32_t counter[4] = {0}, out[4];
    for (int i = 0; i < STORY_SLOTS; i++) counter[i / 2] = counter[i / 2] << 16 | (uint32_t)value[i];
    philox4x32(counter, key, out);
    const uint32_t part = out[0] % SPLIT_PARTS;
    return part == 0 ? STORY_TEST : part == 1 ? STORY_VALIDATION : STORY_TRAIN;
}

void story_facts(const story_key *key, int value[STORY_SLOTS])
{
    static const char *const domain[] = {"story/facts/train", "story/facts/validation", "story/facts/test"};
    rng draws = rng_make(key->seed, domain[key->split], key->index, key->sub);
    do {
        for (int i = 0; i < STORY_SLOTS; i++) value[i] = (int)rng_below(&draws, (uint64_t)story_choices(i));
    } while (story_split_of(value) != key->split);
}

size_t story_summary(const int value[STORY_SLOTS], char out[STORY_SUMMARY])
{
    size_t size = 0;
    for (int i = 0; i < STORY_SLOTS; i++) {
        const size_t start = size + (i > 0);
        size += (size_t)snprintf(out + size, STORY_SUMMARY - size, "%s%s%s.", i ? " " : "", story_cue(i),
                                 story_value(i, value[i]));
        out[start] = 'T'; /* every cue begins with "the" */
    }
    return size;
}

/* ---- Beginning ---- */

/* Tokens of `before` and a sentence. */
static int64_t encode(const story *s, const char *before, const char *sentence, int32_t out[STORY_UNIT])
{
    char text[STORY_UNIT];
    const int size = snprintf(text, sizeof text, "%s%s", before, sentence);
    return (int64_t)tokenizer_encode(s->tokenizer, text, (size_t)size, out);
}

void story_begin_idle(story *s, const tokenizer *t, const story_key *key, int64_t length)
{
    static const char *const domain[] = {"story/text/train", "story/text/validation", "story/text/test"};
    *s = (story){.tokenizer = t,
                 .draws = rng_make(key->seed, domain[key->split], key->index, key->sub),
                 .length = length,
                 .told = STORY_SLOTS};
}

int story_begin(story *s, const tokenizer *t, const story_key *key, int64_t length, double span, pal_error *err)
{
    story_begin_idle(s, t, key, length);
    story_facts(key, s->value);
    s->told = 0;
    for (int i = 0; i < STORY_SLOTS; i++) {
        const int j = (int)rng_below(&s->draws, (uint64_t)i + 1); /* Fisher and Yates, inside out */
        s->order[i] = s->order[j];
        s->order[j] = i;
    }
    for (int i = 0; i < STORY_SLOTS; i++) {
        char sentence[STORY_SENTENCE];
        const int slot = s->order[i];
        const int opening = (int)rng_below(&s->draws, (uint64_t)story_openings());
        story_tell(opening, slot, s->value[slot], sentence);
        s->fact_size[i] = encode(s, " ", sentence, s->fact[i]);
        s->untold += s->fact_size[i];
        s->place[i] = (int64_t)(((double)i + rng_uniform(&s->draws)) / STORY_SLOTS * span * (double)length);
    }
    if (s->untold <= length) return PAL_OK;
    return pal_fail(err, PAL_USAGE, "a story of %lld tokens is too short: its facts alone take %lld",
                    (long long)length, (long long)s->untold);
}

int64_t story_least(const tokenizer *t)
{
    const story s = {.tokenizer = t};
    int64_t least = 0;
    for (int slot = 0; slot < STORY_SLOTS; slot++) {
        int64_t most = 0;
        for (int choice = 0; choice < story_choices(slot); choice++) {
            for (int opening = 0; opening < story_openings(); opening++) {
                char sentence[STORY_SENTENCE];
                int32_t tokens[STORY_UNIT];
                story_tell(opening, slot, choice, sentence);
                const int64_t size = encode(&s, " ", sentence, tokens);
                if (size > most) most = size;
            }
        }
        least += most;
    }
    return least;
}

/* ---- Reading ---- */

/* A heading, or a sentence in which nothing is told. */
static void make_idle(story *s)
{
    char sentence[STORY_SENTENCE];
    if (s->chapter_left == 0) {
        snprintf(sentence, sizeof sentence, "Chapter %d", ++s->chapter);
        s->chapter_left = CHAPTER_LEAST + (int64_t)rng_below(&s->draws, CHAPTER_MORE);
        s->after_heading = 1;
        s->unit_size = encode(s, s->chapter > 1 ? "\n\n" : "", sentence, s->unit);
        return;
    }
    const int paragraph = rng_below(&s->draws, PARAGRAPH) == 0 || s->after_heading;
    story_idle(&s->draws, sentence);
    s->chapter_left--;
    s->after_heading = 0;
    s->unit_size = encode(s, paragraph ? "\n\n" : " ", sentence, s->unit);
}

/* The next sentence: a fact when it is due, or when the rest of the story would else be too short for it. */
static void make_unit(story *s)
{
    const int open = s->told < STORY_SLOTS;
    /* Not right after a heading, whose sentence begins a paragraph. */
    int fact = open && s->made >= s->place[s->told] && s->chapter > 0 && !s->after_heading;
    if (!fact) {
        make_idle(s);
        fact = open && s->made + s->unit_size + s->untold > s->length; /* that sentence is dropped */
    }
    if (fact) {
        s->unit_size = s->fact_size[s->told];
        memcpy(s->unit, s->fact[s->told], (size_t)s->unit_size * sizeof *s->unit);
        s->untold -= s->unit_size;
        s->told++;
    }
    if (s->unit_size > s->length - s->made) s->unit_size = s->length - s->made;
    s->made += s->unit_size;
    s->unit_at = 0;
}

size_t story_read(story *s, int32_t *tokens, size_t max)
{
    size_t got = 0;
    while (got < max && s->read < s->length) {
        if (s->unit_at == s->unit_size) make_unit(s);
        const int64_t left = s->unit_size - s->unit_at, room = (int64_t)(max - got);
        const int64_t count = left < room ? left : room;
        memcpy(tokens + got, s->unit + s->unit_at, (size_t)count * sizeof *tokens);
        s->unit_at += count;
        s->read += count;
        got += (size_t)count;
    }
    return got;
}

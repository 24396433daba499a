/* The words that stories are made of, and the summary of one. */
#include "datasets/story/story_text.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* Values of one kind begin with different letters: any tokenizer tells them apart by their first tokens. */
static const char *const names[] = {"Adam",  "Bella", "Clara", "David", "Emma",   "Frank", "George",
                                    "Helen", "Jack",  "Kate",  "Lucy",  "Mark",   "Nora",  "Oliver",
                                    "Peter", "Rose",  "Simon", "Tom",   "Victor", "Walter"};
static const char *const towns[] = {"Athens", "Bath",  "Cork", "Dover",  "Egypt",  "Florence", "Ghent",
                                    "Hull",   "India", "Kent", "London", "Milan",  "Naples",   "Oxford",
                                    "Paris",  "Rome",  "Troy", "Venice", "Warsaw", "York"};
static const char *const places[] = {"barn",   "cave",  "church", "farm",    "field",  "forest", "garden",
                                     "hall",   "inn",   "mill",   "orchard", "prison", "river",  "school",
                                     "stable", "tower", "valley", "village", "well",   "wood"};
static const char *const things[] = {"bucket", "basket", "blanket", "candle", "coat", "cup",
                                     "fiddle", "hammer", "hat",     "knife",  "lamp", "loaf",
                                     "mirror", "plate",  "rope",    "stool"};
static const char *const moods[] = {"angry", "calm",  "cheerful", "cold", "glad",  "happy",
                                    "proud", "quiet", "sad",      "shy",  "tired", "weary"};
static const char *const times[] = {"One day",       "That night",   "In the morning", "In the evening",
                                    "Before dawn",   "After supper", "One night",      "Some time later",
                                    "In the winter", "At noon",      "That summer",    "In those days"};

/* %n a name, %c a town, %p a place, %o a thing, %m a mood, %t a time. No name or town stands behind a word that
 * ends a cue. */
static const char *const idle[] = {
    "%t %n walked to the %p.",
    "%t %n came back from the %p with %n.",
    "%n looked for the %o, but it was not in the %p.",
    "%n was %m, and so was %n.",
    "%n gave an answer that made %n %m.",
    "%t there was rain over the %p.",
    "%n and %n talked in the %p until it was dark.",
    "\"I have never been so %m,\" said %n.",
    "\"Where is the %o?\" asked %n.",
    "\"It is in the %p,\" answered %n.",
    "%n did not believe %n.",
    "%t %n left the %o in the %p.",
    "The road beyond %c was long, and %n was %m.",
    "%n bought a %o and a %o.",
    "%t %n sang, and all who heard it were %m.",
    "Nobody had seen %n since they met in %c.",
    "%n thought of %n and was %m.",
    "The wind was cold, and %n stayed in the %p.",
    "%t %n and %n made a fire near the %p.",
    "%n lent %n the %o.",
    "\"You must wait for %n,\" said %n.",
    "%t the door of the %p stood open.",
    "%n told %n an old story about %c.",
    "%n smiled, took the %o and went away.",
    "The people of %c liked %n.",
    "%t %n slept badly and woke %m.",
    "%n wished to see %c again.",
    "%n and %n were friends once.",
    "%t they all ate together in the %p.",
    "%n asked %n for the %o, and %n laughed.",
    "It was a %m day, and %n did nothing at all.",
    "%n sat by the window and mended the %o.",
};

/* The word before the value differs from cue to cue. */
static const struct {
    const char *cue;
    int is_town;
} slots[STORY_SLOTS] = {
    {"the captain betrayed ", 0}, {"the child found ", 0},  {"the gold came from ", 1}, {"the king loved ", 0},
    {"the ship left ", 1},        {"the ring went to ", 0}, {"the army took ", 1},      {"the lady married ", 0},
};

int story_choices(int slot)
{
    return slots[slot].is_town ? COUNT(towns) : COUNT(names);
}

const char *story_cue(int slot)
{
    return slots[slot].cue;
}

const char *story_value(int slot, int choice)
{
    return slots[slot].is_town ? towns[choice] : names[choice];
}

static const char *drawn(const char *const *word, int count, rng *draws)
{
    return word[rng_below(draws, (uint64_t)count)];
}

int story_openings(void)
{
    return COUNT(times);
}

size_t story_tell(int opening, int slot, int choice, char out[STORY_SENTENCE])
{
    return (size_t)snprintf(out, STORY_SENTENCE, "%s %s%s.", times[opening], slots[slot].cue,
                            story_value(slot, choice));
}

/* *other: the name before, which is not drawn again. */
static const char *fill_in(char kind, rng *draws, const char **other)
{
    if (kind == 'n') {
        const char *name = *other;
        while (name == *other) name = drawn(names, COUNT(names), draws);
        return *other = name;
    }
    if (kind == 'c') return drawn(towns, COUNT(towns), draws);
    if (kind == 'p') return drawn(places, COUNT(places), draws);
    if (kind == 'o') return drawn(things, COUNT(things), draws);
    if (kind == 'm') return drawn(moods, COUNT(moods), draws);
    return drawn(times, COUNT(times), draws);
}

size_t story_idle(rng *draws, char out[STORY_SENTENCE])
{
    const char *other = NULL;
    size_t size = 0;
    for (const char *c = drawn(idle, COUNT(idle), draws); *c; c++) {
        if (*c != '%') {
            out[size++] = *c;
            continue;
        }
        const char *word = fill_in(*++c, draws, &other);
        const size_t length = strlen(word);
        memcpy(out + size, word, length);
        size += length;
    }
    out[size] = '\0';
    return size;
}

/* RULER's table of tasks and its texts. Where one thing is asked for, the words are in the singular, as RULER's
 * own replacements make them. */
#include "tasks/ruler/forms.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

const ruler_form ruler_forms[RULER_FORMS] = {
    {"niah_single_1", RULER_NIAH, 128, HAY_NOISE, TYPE_WORDS, TYPE_NUMBERS, 1, 1, 1},
    {"niah_single_2", RULER_NIAH, 128, HAY_ESSAY, TYPE_WORDS, TYPE_NUMBERS, 1, 1, 1},
    {"niah_single_3", RULER_NIAH, 128, HAY_ESSAY, TYPE_WORDS, TYPE_UUIDS, 1, 1, 1},
    {"niah_multikey_1", RULER_NIAH, 128, HAY_ESSAY, TYPE_WORDS, TYPE_NUMBERS, 4, 1, 1},
    {"niah_multikey_2", RULER_NIAH, 128, HAY_NEEDLES, TYPE_WORDS, TYPE_NUMBERS, 1, 1, 1},
    {"niah_multikey_3", RULER_NIAH, 128, HAY_NEEDLES, TYPE_UUIDS, TYPE_UUIDS, 1, 1, 1},
    {"niah_multivalue", RULER_NIAH, 128, HAY_ESSAY, TYPE_WORDS, TYPE_NUMBERS, 1, 4, 1},
    {"niah_multiquery", RULER_NIAH, 128, HAY_ESSAY, TYPE_WORDS, TYPE_NUMBERS, 4, 1, 4},
    {"vt", RULER_VT, 30, HAY_NOISE, TYPE_WORDS, TYPE_NUMBERS, 0, 0, 0},
    {"cwe", RULER_CWE, 120, HAY_NOISE, TYPE_WORDS, TYPE_WORDS, 0, 0, 0},
    {"fwe", RULER_FWE, 50, HAY_NOISE, TYPE_WORDS, TYPE_WORDS, 0, 0, 0},
};

const ruler_form *ruler_form_find(const char *name, size_t size)
{
    for (size_t i = 0; i < RULER_FORMS; i++)
        if (strlen(ruler_forms[i].name) == size && strncasecmp(ruler_forms[i].name, name, size) == 0)
            return &ruler_forms[i];
    return NULL;
}

/* "numbers" or "number". */
static const char *type_name(ruler_type type, int one)
{
    static const char *const name[][2] = {{"words", "word"}, {"numbers", "number"}, {"uuids", "uuid"}};
    return name[type][one];
}

static int asks_one(const ruler_form *f)
{
    return f->values * f->queries == 1;
}

size_t ruler_head(const ruler_form *f, char out[RULER_TEXT])
{
    const char *type = type_name(f->value, asks_one(f));
    switch (f->kind) {
    case RULER_NIAH:
        return (size_t)snprintf(
            out, RULER_TEXT,
            "%s special magic %s %s hidden within the following text. Make sure to memorize it. "
            "I will quiz you about the %s afterwards.\n",
            asks_one(f) ? "A" : "Some", type, asks_one(f) ? "is" : "are", type);
    case RULER_VT:
        return (size_t)snprintf(
            out, RULER_TEXT, "%s",
            "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n");
    case RULER_CWE:
        return (size_t)snprintf(out, RULER_TEXT, "%s",
                                "Below is a numbered list of words. In these words, some appear more often than "
                                "others. Memorize the ones that appear most often.\n");
    default:
        return (size_t)snprintf(
            out, RULER_TEXT, "%s",
            "Read the following coded text and track the frequency of each coded word. Find the "
            "three most frequently appeared coded words.");
    }
}

size_t ruler_tail(const ruler_form *f, const char *query, char out[RULER_TEXT])
{
    const char *type = type_name(f->value, asks_one(f)), *be = asks_one(f) ? "is" : "are";
    switch (f->kind) {
    case RULER_NIAH:
        return (size_t)snprintf(out, RULER_TEXT,
                                "What %s the special magic %s for %s mentioned in the provided text? The special "
                                "magic %s for %s mentioned in the provided text %s",
                                asks_one(f) ? "is" : "are all", type, query, type, query, be);
    case RULER_VT:
        return (size_t)snprintf(out, RULER_TEXT,
                                "\nQuestion: Find all variables that are assigned the value %s in the text above. "
                                "Answer: According to "
                                "the chain(s) of variable assignment in the text above, %d variables are assigned "
                                "the value %s, they are:",
                                query, RULER_HOPS + 1, query);
    case RULER_CWE:
        return (size_t)snprintf(
            out, RULER_TEXT, "%s",
            "\nQuestion: What are the 10 most common words in the above list? Answer: The top 10 "
            "words that appear most often in the list are:");
    default:
        return (size_t)snprintf(
            out, RULER_TEXT, "%s",
            "\nQuestion: Do not provide any explanation. Please ignore the dots '....'. What are "
            "the three most frequently appeared words in the above coded text? Answer: According "
            "to the coded text above, the three most frequently appeared words are:");
    }
}

size_t ruler_needle(const ruler_form *f, const char *key, const char *value, char *out, size_t room)
{
    return (size_t)snprintf(out, room, "One of the special magic %s for %s is: %s.", type_name(f->value, 0), key,
                            value);
}

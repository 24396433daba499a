/* RULER's tasks (Hsieh et al. 2024) but for question answering: what each hides and asks, and its texts.
 * The table is RULER's configuration; its texts are word for word those of NVIDIA/RULER. */
#ifndef PAL_RULER_FORMS_H
#define PAL_RULER_FORMS_H

#include <stddef.h>

typedef enum ruler_kind { RULER_NIAH, RULER_VT, RULER_CWE, RULER_FWE } ruler_kind;
typedef enum ruler_hay { HAY_NOISE, HAY_ESSAY, HAY_NEEDLES } ruler_hay;
typedef enum ruler_type { TYPE_WORDS, TYPE_NUMBERS, TYPE_UUIDS } ruler_type;

typedef struct ruler_form {
    const char *name;
    ruler_kind kind;
    int generate; /* tokens of a continuation */
    /* Of NIAH alone. */
    ruler_hay hay;
    ruler_type key, value;
    int keys, values, queries; /* keys that are told, values of each, keys that are asked */
} ruler_form;

enum {
    RULER_FORMS = 11,
    RULER_NEEDLES = 8,
    RULER_ANSWERS = 10,
    RULER_HOPS = 4,    /* of a chain of variables, which has one variable more */
    RULER_DEPTHS = 40, /* places of needles in essays, evenly from 0 to 100 % */
    RULER_COMMON = 10, /* words that appear more often */
};
extern const ruler_form ruler_forms[RULER_FORMS];
/* NULL: there is none of this name. */
const ruler_form *ruler_form_find(const char *name, size_t size);
/* "niah_single_1,...": all names, as the key tasks= takes them. */
#define RULER_ALL                                                                                                 \
    "niah_single_1,niah_single_2,niah_single_3,niah_multikey_1,niah_multikey_2,niah_multikey_3,niah_multivalue,"  \
    "niah_multiquery,vt,cwe,fwe"

/* One line of noise. */
#define RULER_NOISE "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."

enum { RULER_TEXT = 8192 /* bytes of a head or a tail, at most */ };
/* What stands before the haystack and behind it; `query` is what is asked, `count` how many answers there are.
 * Returns the size. */
size_t ruler_head(const ruler_form *f, char out[RULER_TEXT]);
size_t ruler_tail(const ruler_form *f, const char *query, char out[RULER_TEXT]);
/* The sentence of a needle. */
size_t ruler_needle(const ruler_form *f, const char *key, const char *value, char *out, size_t room);

#endif

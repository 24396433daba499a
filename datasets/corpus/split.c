/* How splits are spelled. The same list serves the option split=, folders and files of texts and of summaries. */
#include "datasets/corpus/split.h"

#include <strings.h>

enum { SPELLINGS = 4 };

static const char *const spelling[SPLITS][SPELLINGS] = {
    {"train"},
    {"validation", "valid", "val", "dev"},
    {"test"},
};

const char *split_name(size_t split)
{
    return spelling[split][0];
}

/* The row of a spelling, or SPLITS. */
static size_t find(const char *name)
{
    for (size_t i = 0; i < SPLITS; i++)
        for (size_t k = 0; k < SPELLINGS && spelling[i][k]; k++)
            if (strcasecmp(spelling[i][k], name) == 0) return i;
    return SPLITS;
}

const char *split_canonical(const char *name)
{
    const size_t split = find(name);
    return split < SPLITS ? spelling[split][0] : name;
}

const char *split_spelling(const char *name, size_t index)
{
    const size_t split = find(name);
    if (split == SPLITS) return index == 0 ? name : NULL;
    return index < SPELLINGS ? spelling[split][index] : NULL;
}

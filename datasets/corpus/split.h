/* The names of splits: train, validation and test, and what else validation is called. */
#ifndef PAL_SPLIT_H
#define PAL_SPLIT_H

#include <stddef.h>

/* All documents of a layout without splits. */
#define SPLIT_ALL "all"

enum { SPLITS = 3 };
/* Their names, in the usual order. */
const char *split_name(size_t split);
/* The usual name for a split's name in any spelling: "valid", "val" and "dev" are "validation". An unknown name is
 * returned as it is. */
const char *split_canonical(const char *name);
/* The spellings that files and folders of a split may have, in order of preference; NULL beyond the last. */
const char *split_spelling(const char *name, size_t index);

#endif

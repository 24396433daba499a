/* Arrays that grow: one rule for all of them. */
#ifndef PAL_ARRAY_H
#define PAL_ARRAY_H

#include "harness/base/error.h"

#include <stddef.h>

/* Make room for `need` elements of `size` bytes. `array` points to the pointer to them, which may move; *room says
 * how many fit. At least half as many again are added, and what is new is 0. PAL_INTERNAL: out of memory for
 * `what`; the array is then as it was. */
int array_room(void *array, size_t *room, size_t need, size_t size, const char *what, pal_error *err);

#endif

/* Growing by halves keeps the cost of an element constant.
 * The pointer is copied as bytes, so that it may be one to any type. */
#include "harness/base/array.h"

#include <stdlib.h>
#include <string.h>

int array_room(void *array, size_t *room, size_t need, size_t size, const char *what, pal_error *err)
{
    if (need <= *room) return PAL_OK;
    const size_t wanted = need + need / 2 + 8;
    void *old;
    memcpy(&old, array, sizeof old);
    char *grown = wanted <= (size_t)-1 / size ? realloc(old, wanted * size) : NULL;
    if (!grown) return pal_fail(err, PAL_INTERNAL, "out of memory for %s", what);
    memset(grown + *room * size, 0, (wanted - *room) * size);
    memcpy(array, &grown, sizeof grown);
    *room = wanted;
    return PAL_OK;
}

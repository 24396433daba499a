/* The tensors and mapped files that a reader collects: adding, sorting, finding, letting go. */
#include "models/import/foreign.h"

#include "harness/base/os.h"

#include <stdlib.h>
#include <string.h>

int foreign_map_file(foreign *f, const char *path, const void **data, size_t *size, pal_error *err)
{
    foreign_map *grown = realloc(f->map, (f->maps + 1) * sizeof *grown);
    if (!grown) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for its name", path);
    f->map = grown;
    foreign_map *added = &grown[f->maps];
    *added = (foreign_map){.path = strdup(path)};
    if (!added->path) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for its name", path);
    f->maps++;
    PAL_TRY(os_map_file(path, &added->data, &added->size, err));
    if (data) *data = added->data;
    if (size) *size = added->size;
    return PAL_OK;
}

int foreign_add(foreign *f, const char *name, const block_format *format, const void *data, size_t rows,
                size_t cols, const char *path, pal_error *err)
{
    if (strlen(name) >= sizeof f->tensor->name)
        return pal_fail(err, PAL_DATA, "%s: the tensor name \"%.40s...\" is longer than %zu characters", path,
                        name, sizeof f->tensor->name - 1);
    if (f->tensors == f->tensor_room) {
        const size_t room = f->tensor_room ? 2 * f->tensor_room : 64;
        foreign_tensor *grown = realloc(f->tensor, room * sizeof *grown);
        if (!grown) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for its tensors", path);
        f->tensor = grown;
        f->tensor_room = room;
    }
    foreign_tensor *t = &f->tensor[f->tensors++];
    *t = (foreign_tensor){.format = format, .data = data, .rows = rows, .cols = cols};
    memcpy(t->name, name, strlen(name));
    return PAL_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const foreign_tensor *)a)->name, ((const foreign_tensor *)b)->name);
}

int foreign_sort(foreign *f, pal_error *err)
{
    if (f->tensors) qsort(f->tensor, f->tensors, sizeof *f->tensor, by_name);
    for (size_t i = 1; i < f->tensors; i++)
        if (by_name(&f->tensor[i - 1], &f->tensor[i]) == 0)
            return pal_fail(err, PAL_DATA, "%s: the tensor \"%s\" stands twice; fetch the model again",
                            f->map[0].path, f->tensor[i].name);
    return PAL_OK;
}

const foreign_tensor *foreign_find(const foreign *f, const char *name)
{
    foreign_tensor wanted = {0};
    if (strlen(name) >= sizeof wanted.name || f->tensors == 0) return NULL;
    memcpy(wanted.name, name, strlen(name));
    return bsearch(&wanted, f->tensor, f->tensors, sizeof wanted, by_name);
}

void foreign_free(foreign *f)
{
    for (size_t i = 0; i < f->maps; i++) {
        os_unmap(f->map[i].data, f->map[i].size);
        free(f->map[i].path);
    }
    free(f->map);
    free(f->tensor);
    *f = (foreign){0};
}

#include "harness/train/lanes.h"

#include "harness/base/os.h"
#include "models/engine/arena.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { HEADER = 64 * ARENA_ALIGN, PATH = 2 * KV_TEXT_MAX };

static void path_of(const char *checkpoint, int64_t step, char path[PATH])
{
    snprintf(path, PATH, "%s.lanes-%lld", checkpoint, (long long)step);
}

int train_lanes_open(train_lanes_state *l, const decoder *d, size_t lanes, pal_error *err)
{
    *l = (train_lanes_state){.lanes = lanes, .state_bytes = decoder_state_bytes(d)};
    l->image_bytes = HEADER + lanes * l->state_bytes;
    l->image = aligned_alloc(ARENA_ALIGN, (l->image_bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN);
    l->state = malloc(lanes * sizeof *l->state);
    if (!l->image || !l->state)
        return pal_fail(err, PAL_INTERNAL, "out of memory for the states of %zu lanes; lower batch_tokens", lanes);
    memset(l->image, 0, l->image_bytes);
    for (size_t i = 0; i < lanes; i++) l->state[i] = l->image + HEADER + i * l->state_bytes;
    return PAL_OK;
}

void train_lanes_close(train_lanes_state *l)
{
    free(l->image);
    free(l->state);
    *l = (train_lanes_state){0};
}

static unsigned long crc_of(const char *data, size_t size)
{
    return crc32_z(crc32_z(0, NULL, 0), (const unsigned char *)data, size);
}

int train_lanes_save(train_lanes_state *l, const char *checkpoint, int64_t step, const task_module *task,
                     const task_source *source, pal_error *err)
{
    char place[HEADER - 128], path[PATH];
    PAL_TRY(task->source_save(source, place, sizeof place, err));
    if (!place[0]) return PAL_OK;
    memset(l->image, 0, HEADER);
    snprintf(l->image, HEADER, "palimpsest-lanes 1 step %lld crc %08lx\n%s\n", (long long)step,
             crc_of(l->image + HEADER, l->image_bytes - HEADER), place);
    path_of(checkpoint, step, path);
    return os_write_file(path, l->image, l->image_bytes, err);
}

static int take_image(train_lanes_state *l, const decoder *d, const char *data, size_t size, int64_t step,
                      const char *path, pal_error *err)
{
    long long its_step;
    unsigned long crc;
    if (size != l->image_bytes || !memchr(data, '\0', HEADER) ||
        sscanf(data, "palimpsest-lanes 1 step %lld crc %lx\n", &its_step, &crc) != 2 || its_step != step ||
        crc != crc_of(data + HEADER, size - HEADER))
        return pal_fail(err, PAL_DATA,
                        "%s is damaged or of another model; delete it and its checkpoint to start anew", path);
    memcpy(l->image, data, size);
    for (size_t i = 0; i < l->lanes; i++) PAL_TRY(decoder_state_check(d, l->state[i], err));
    return PAL_OK;
}

int train_lanes_restore(train_lanes_state *l, const decoder *d, const char *checkpoint, int64_t step,
                        const task_module *task, task_source *source, pal_error *err)
{
    char place[HEADER], path[PATH], *data;
    size_t size;
    PAL_TRY(task->source_save(source, place, sizeof place, err));
    if (!place[0]) return PAL_OK;
    path_of(checkpoint, step, path);
    PAL_TRY(os_read_file(path, &data, &size, err));
    const int code = take_image(l, d, data, size, step, path, err);
    free(data);
    PAL_TRY(code);
    char *line = strchr(l->image, '\n') + 1;
    snprintf(place, sizeof place, "%.*s", (int)strcspn(line, "\n"), line);
    return task->source_restore(source, place, err);
}

void train_lanes_remove_others(const char *checkpoint, int64_t step)
{
    char pattern[PATH], keep[PATH];
    snprintf(pattern, sizeof pattern, "%s.lanes-*", checkpoint);
    path_of(checkpoint, step, keep);
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0) return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        if (strcmp(found.gl_pathv[i], keep) != 0) unlink(found.gl_pathv[i]);
    globfree(&found);
}

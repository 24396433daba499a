/* The file of a training run's streaming states and of its source's place, beside the checkpoint.
 * All of it is under one SHA-256: a changed byte anywhere is refused. */
#include "harness/train/lanes.h"
#include "models/decoder/state.h"

#include "harness/base/hash.h"
#include "harness/base/os.h"
#include "models/engine/arena.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH = 2 * KV_TEXT_MAX, PLACE = 64 * ARENA_ALIGN - 32 };

/* How the file begins; then the states, [lanes, state_bytes], and the SHA-256 of all before it, in hex. */
typedef struct head {
    char magic[8];
    int64_t step;
    uint64_t lanes, state_bytes;
    char place[PLACE]; /* the source's, NUL-terminated and zero-filled */
} head;

_Static_assert(sizeof(head) % ARENA_ALIGN == 0, "states are aligned");

static const char magic[8] = "PALLANE2";

static void path_of(const char *checkpoint, int64_t step, char path[PATH])
{
    snprintf(path, PATH, "%s.lanes-%lld", checkpoint, (long long)step);
}

int train_lanes_open(train_lanes_state *l, const decoder *d, size_t lanes, pal_error *err)
{
    *l = (train_lanes_state){.lanes = lanes, .state_bytes = decoder_state_bytes(d)};
    l->body_bytes = sizeof(head) + lanes * l->state_bytes;
    l->image_bytes = l->body_bytes + HASH_HEX;
    l->image = os_allocate(l->image_bytes);
    l->state = malloc(lanes * sizeof *l->state);
    if (!l->image || !l->state)
        return pal_fail(err, PAL_INTERNAL, "out of memory for the states of %zu lanes; lower batch_tokens", lanes);
    memset(l->image, 0, l->image_bytes);
    for (size_t i = 0; i < lanes; i++) l->state[i] = l->image + sizeof(head) + i * l->state_bytes;
    return PAL_OK;
}

void train_lanes_close(train_lanes_state *l)
{
    free(l->image);
    free(l->state);
    *l = (train_lanes_state){0};
}

int train_lanes_save(train_lanes_state *l, const char *checkpoint, int64_t step, const task_module *task,
                     const task_source *source, pal_error *err)
{
    char path[PATH];
    head h = {.step = step, .lanes = l->lanes, .state_bytes = l->state_bytes};
    PAL_TRY(task->train->save(source, h.place, sizeof h.place, err));
    if (!h.place[0]) return PAL_OK;
    memset(h.place + strlen(h.place), 0, sizeof h.place - strlen(h.place));
    memcpy(h.magic, magic, sizeof magic);
    memcpy(l->image, &h, sizeof h);
    hash_hex(l->image, l->body_bytes, l->image + l->body_bytes);
    path_of(checkpoint, step, path);
    return os_write_file(path, l->image, l->image_bytes, err);
}

static int take_image(train_lanes_state *l, const decoder *d, const char *data, size_t size, int64_t step,
                      const char *path, pal_error *err)
{
    head h;
    char digest[HASH_HEX] = "";
    const int whole = size == l->image_bytes;
    if (whole) hash_hex(data, l->body_bytes, digest);
    if (!whole || memcmp(digest, data + l->body_bytes, HASH_HEX) != 0)
        return pal_fail(err, PAL_DATA,
                        "%s is damaged or of another model; delete it and its checkpoint to start anew", path);
    memcpy(&h, data, sizeof h);
    if (memcmp(h.magic, magic, sizeof magic) != 0 || h.step != step || h.lanes != l->lanes ||
        h.state_bytes != l->state_bytes || !memchr(h.place, '\0', sizeof h.place))
        return pal_fail(err, PAL_DATA,
                        "%s is of another step or version; delete it and its checkpoint to start anew", path);
    memcpy(l->image, data, size);
    for (size_t i = 0; i < l->lanes; i++) PAL_TRY(decoder_state_check(d, l->state[i], err));
    return PAL_OK;
}

int train_lanes_restore(train_lanes_state *l, const decoder *d, const char *checkpoint, int64_t step,
                        const task_module *task, task_source *source, pal_error *err)
{
    char place[PLACE], path[PATH], *data;
    size_t size;
    PAL_TRY(task->train->save(source, place, sizeof place, err));
    if (!place[0]) return PAL_OK;
    path_of(checkpoint, step, path);
    PAL_TRY(os_read_file(path, &data, &size, err));
    const int code = take_image(l, d, data, size, step, path, err);
    free(data);
    PAL_TRY(code);
    return task->train->restore(source, ((const head *)l->image)->place, err);
}

void train_lanes_remove_others(const char *checkpoint, int64_t step)
{
    char path[PATH], keep[PATH];
    path_of(checkpoint, step, keep);
    const char *slash = strrchr(checkpoint, '/'), *name = slash ? slash + 1 : checkpoint;
    const int directory = (int)(name - checkpoint);
    snprintf(path, sizeof path, "%.*s", directory, checkpoint);
    DIR *handle = opendir(directory ? path : ".");
    if (!handle) return;
    /* Names are compared, not matched: one with a star or brackets stands for itself. */
    for (struct dirent *entry; (entry = readdir(handle));) {
        const size_t length = strlen(name);
        if (strncmp(entry->d_name, name, length) != 0 || strncmp(entry->d_name + length, ".lanes-", 7) != 0)
            continue;
        snprintf(path, sizeof path, "%.*s%s", directory, checkpoint, entry->d_name);
        if (strcmp(path, keep) != 0) unlink(path);
    }
    closedir(handle);
}

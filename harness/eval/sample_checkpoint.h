/* Checkpoints inside samples: the streaming state at a position and the scores so far, so that a long sample that
 * is interrupted goes on where it was. One file a sample, replaced atomically, closed by a SHA-256. */
#ifndef PAL_PARTIAL_H
#define PAL_PARTIAL_H

#include "harness/base/error.h"
#include <stddef.h>
#include <stdint.h>

enum { PARTIAL_KEY = 40, PARTIAL_PATH = 640 };

typedef struct partial {
    uint64_t position; /* tokens read */
    double seconds;    /* spent so far */
    double read;       /* tokens that the model read in them: batch_result.read */
    const void *state; /* a snapshot of the stream */
    size_t state_bytes;
    const double *nll; /* [scored] */
    const int32_t *argmax;
    size_t scored;
    void *owned; /* what partial_load allocated */
} partial;

/* DIR/<hash of key and index>.state */
void partial_path(const char *dir, const char *key, int64_t index, char out[PARTIAL_PATH]);
int partial_save(const char *path, const char *key, int64_t index, const partial *p, pal_error *err);
/* PAL_DATA: not a whole checkpoint of this sample. */
int partial_load(const char *path, const char *key, int64_t index, partial *out, pal_error *err);
void partial_free(partial *p);
void partial_remove(const char *path);

#endif

/* What a training run carries from step to step beside weights and optimiser: the streaming state of every lane,
 * and where the task's source stands. It lies beside the checkpoint, in a file of its own that names the step. */
#ifndef PAL_TRAIN_LANES_H
#define PAL_TRAIN_LANES_H

#include "models/decoder/decoder.h"
#include "tasks/task.h"

typedef struct train_lanes_state {
    char *image; /* what the file holds: a header, the states, a SHA-256 of both */
    size_t image_bytes, body_bytes, lanes, state_bytes;
    void **state; /* [lanes], into the image */
} train_lanes_state;

/* Zero-filled states. */
int train_lanes_open(train_lanes_state *l, const decoder *d, size_t lanes, pal_error *err);
void train_lanes_close(train_lanes_state *l);

/* Write `checkpoint`.lanes-STEP. Nothing is written for a source whose place is an empty line: its sequences hang
 * on the step alone. */
int train_lanes_save(train_lanes_state *l, const char *checkpoint, int64_t step, const task_module *task,
                     const task_source *source, pal_error *err);
/* Read it back, the source's place too. PAL_DATA: missing or damaged, with what to do. */
int train_lanes_restore(train_lanes_state *l, const decoder *d, const char *checkpoint, int64_t step,
                        const task_module *task, task_source *source, pal_error *err);
/* Remove the files of all steps but `step` (-1: of all), whole or left unfinished by a crash. */
void train_lanes_remove_others(const char *checkpoint, int64_t step);

#endif

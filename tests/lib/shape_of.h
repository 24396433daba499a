/* The shape of a sample, with what a task leaves as a caller must set it. */
#ifndef PAL_TEST_SHAPE_OF_H
#define PAL_TEST_SHAPE_OF_H

#include "tasks/task.h"

static inline sample_shape shape_of(const task_module *of, const task_sample *s)
{
    sample_shape shape = {.tail = UINT64_MAX, .decoding = {.stop = -1}};
    of->eval->shape(s, &shape);
    return shape;
}

#endif

/* Trainings of seconds in a directory of their own, for the suites of training. */
#ifndef PAL_TEST_TRAIN_LAB_H
#define PAL_TEST_TRAIN_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/os.h"
#include "harness/train/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch[] = "/tmp/palimpsest-train-XXXXXX";

static inline int make_scratch(void **unused)
{
    (void)unused;
    return mkdtemp(scratch) ? 0 : -1;
}

static inline int remove_scratch(void **unused)
{
    (void)unused;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    return system(command);
}

static inline const char *path_of(const char *name)
{
    static char path[4][128];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", scratch, name);
    return p;
}

/* A recipe that trains in seconds; `extra` holds further "key = value" lines. */
static inline int train(const char *attention, const char *out, const char *extra, pal_error *err)
{
    char text[1200];
    snprintf(text, sizeof text,
             "attention = %s\nout = %s\nd_model = 32\nn_heads = 2\nd_head = 16\nd_ff = 64\nsegment = 64\n"
             "batch_tokens = 1K\ntrain_len = 256,512\ntrain_steps = 12,8\nwarmup = 4\nlog_every = 2\n"
             "checkpoint_every = 2\n%s",
             attention, path_of(out), extra);
    kv_pairs pairs = {0};
    int code = kv_pairs_parse(&pairs, text, "recipe", err);
    FILE *nowhere = fopen("/dev/null", "w");
    if (code == PAL_OK) code = train_run(&pairs, nowhere, err);
    fclose(nowhere);
    kv_pairs_free(&pairs);
    return code;
}

static inline void assert_same_file(const char *a, const char *b)
{
    pal_error err;
    char *data_a, *data_b;
    size_t size_a, size_b;
    if (os_read_file(path_of(a), &data_a, &size_a, &err) != PAL_OK) fail_msg("%s", err.text);
    if (os_read_file(path_of(b), &data_b, &size_b, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(size_a, size_b);
    assert_memory_equal(data_a, data_b, size_a);
    free(data_a);
    free(data_b);
}

#endif

/* A temporary folder with one weights file, and small models to write into it. */
#ifndef PAL_WEIGHTS_LAB_H
#define PAL_WEIGHTS_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/tiny_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char directory[64], path[96];

static inline int make_directory(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/palimpsest-weights-XXXXXX");
    if (!mkdtemp(directory)) return -1;
    snprintf(path, sizeof path, "%s/x.safetensors", directory);
    return 0;
}

static inline int remove_directory(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command);
}

#define must(call)                                                                                                \
    do {                                                                                                          \
        if ((call) != PAL_OK) fail_msg("%s: %s", #call, err.text);                                                \
    } while (0)

static inline decoder *make_decoder(const char *overrides, uint64_t seed)
{
    char text[1000];
    snprintf(text, sizeof text,
             "attention = local\nvocab = 11\nd_model = 8\nn_layers = 1\nn_heads = 1\nd_head = 8\nd_ff = 12\n"
             "segment = 16\ninit_std = 0.5\n%s",
             overrides);
    return tiny_model(text, seed);
}

static inline size_t weight_bytes(const decoder *d)
{
    return decoder_weight_reals(d) * sizeof(real);
}

static inline void write_bytes(const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
}

#endif

/* Tiny models for suites: made of lines of a config, with weights that a seed draws. */
#ifndef PAL_TINY_MODEL_H
#define PAL_TINY_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/decoder/config_keys.h"
#include "models/files/checkpoint.h"

/* The test fails where the config is refused. */
static inline decoder *tiny_model(const char *config, uint64_t seed)
{
    pal_error why;
    kv_pairs pairs = {0};
    model_config cfg;
    decoder *d = NULL;
    if (kv_pairs_parse(&pairs, config, "test", &why) != PAL_OK ||
        model_config_read(&cfg, &pairs, &why) != PAL_OK || decoder_create(&d, &cfg, &why) != PAL_OK)
        fail_msg("%s", why.text);
    decoder_init(d, seed);
    kv_pairs_free(&pairs);
    return d;
}

/* Saves it and lets it go; metadata NULL: none. Returns a status, as setups do. */
static inline int tiny_model_save(const char *path, decoder *d, const kv_pairs *metadata, pal_error *why)
{
    const int code = checkpoint_save(path, d, NULL, ST_F32, metadata, why);
    decoder_destroy(d);
    return code;
}

#endif

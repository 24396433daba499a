/* The keys of a model's configuration: reading them, and the text that checkpoints carry. */
#ifndef PAL_CONFIG_KEYS_H
#define PAL_CONFIG_KEYS_H

#include "models/config/config.h"

/* Build a config from pairs (attention first, then its options). Pairs with keys of other tables are ignored;
 * model_config_knows says which are the model's. PAL_USAGE: unknown attention, bad value, module's check failed.
 */
int model_config_read(model_config *cfg, const kv_pairs *pairs, pal_error *err);
/* Whether `key` belongs to the model part of a config with the given attention module. */
int model_config_knows(const struct attn_module *attention, const char *key);
/* The config as "key = value" lines, in table order: what checkpoints carry and hashes cover. Every key, but for
 * those at their default that are younger than models already trained. The string is malloc'ed; NULL when out of
 * memory. */
char *model_config_text(const model_config *cfg);
/* Whether a key is younger than models already trained: the text leaves it out at its default. */
int model_key_is_young(const char *key);
/* For help: the shared rows. */
const kv_spec *model_config_table(size_t *count);

#endif

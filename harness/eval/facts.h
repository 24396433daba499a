/* Facts about models, out of their weights' metadata. Tables, pictures and comparisons go by these alone, never by
 * the name of a file. */
#ifndef PAL_FACTS_H
#define PAL_FACTS_H

#include "harness/base/keyval.h"
#include "harness/journal/cells.h"
#include "models/config/config.h"

/* What config and metadata of a weights file say. */
model_facts facts_of(const model_config *cfg, const kv_pairs *metadata);

/* The order of models in tables: by the place of their module in attn_table, then those of unknown modules. As
 * strcmp. */
int facts_order(const model_facts *a, const model_facts *b);

/* Fill in the facts that older records of models lack, found by the SHA-256 of their weights: in the list
 * <dir>/facts.csv, or in the weights files of `dir`. A model that is in neither keeps none. PAL_DATA: the list is
 * damaged. */
int facts_complete(results *r, const char *dir, pal_error *err);

/* Read the journal of `r` and complete its facts. A file that does not exist holds nothing. */
int facts_read_journal(results *r, const char *dir, pal_error *err);

#endif

/* What the processes of one shared evaluation must agree on, as one file beside their journals. The first of them
 * writes it; one that would compute something else is refused by a line that names both. */
#ifndef PAL_SHARD_MANIFEST_H
#define PAL_SHARD_MANIFEST_H

#include "harness/shard/choose.h"
#include "harness/shard/deal.h"

#include <jansson.h>

/* The evaluation as this process sees it; `owner` is of deal_spread, or NULL where nothing is dealt beforehand. */
typedef struct manifest_view {
    const eval_whole *whole;
    const shard_choice *choice;
    const deal *deal;
    const uint32_t *owner;
} manifest_view;

/* Write the file, or compare with the one that is there. PAL_USAGE: they differ; PAL_DATA: it is damaged. */
int manifest_join(const char *path, const manifest_view *view, pal_error *err);

/* ---- For the merge ---- */

/* PAL_DATA: it is damaged. *out is dropped with json_decref. */
int manifest_read(const char *path, json_t **out, pal_error *err);
/* One of its cells. */
typedef struct manifest_cell {
    const char *key, *model, *name;
    int zeroed;
    int64_t asked;
    const json_t *dealt; /* of each part its samples, "0-4,7"; NULL: not dealt beforehand */
} manifest_cell;
size_t manifest_cells(const json_t *manifest);
/* 0: damaged. */
int manifest_cell_at(const json_t *manifest, size_t index, manifest_cell *out);
/* The part that has the sample, from 1; 0: none. */
size_t manifest_owner(const manifest_cell *cell, int64_t index);

#endif

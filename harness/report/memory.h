/* Table 1: what each method keeps, by the formulas of the Infini-attention paper's table 1, in numbers (entries)
 * and not bytes. */
#ifndef PAL_TABLES_MEMORY_H
#define PAL_TABLES_MEMORY_H

#include "models/config/config.h"

typedef enum memory_kind {
    MEMORY_TRANSFORMER_XL,
    MEMORY_COMPRESSIVE,
    MEMORY_MEMORIZING,
    MEMORY_RMT,
    MEMORY_AUTOCOMPRESSORS,
    MEMORY_INFINI,
    MEMORY_KINDS,
    MEMORY_NONE /* nothing is kept beyond the segment, or it has no bound */
} memory_kind;

typedef struct memory_shape {
    double d_key, d_value, d_model, heads, layers;
    double cache;      /* N: tokens that every layer caches */
    double remembered; /* N S: tokens in the memory of the one layer that has one */
    double prompts;    /* p: summary vectors */
    double compressed; /* c: compressed memories of a layer; NaN: the paper gives no size */
    double steps;      /* m: accumulated summaries; NaN likewise */
} memory_shape;

/* (d_k + d_v) H N l; d_model (c + N) l; (d_k + d_v) H N S in one layer, beside the cache of Transformer-XL in all;
 * 2 d_model p l; d_model p (m + 1) l; d_k (d_v + 1) H l. NaN where a size is not given. */
double memory_entries(memory_kind kind, const memory_shape *s);
/* The sizes of the paper's language models: 12 layers, 8 heads x 128, N = 2048, 65,000 entries, 100 prompts. */
memory_shape memory_paper_shape(void);
/* As the paper prints a size: millions with two digits at least. memory_rounded(1585152) = 1.6e6. */
double memory_rounded(double entries);
/* The formula and sizes of a model of ours; MEMORY_NONE for local and full attention. */
memory_kind memory_of_config(const model_config *cfg, memory_shape *out);

#endif

/* Table 1 of the Infini-attention paper: what each of its methods keeps, in numbers (entries) and not bytes. What
 * our models keep is said by their attention modules. */
#ifndef PAL_TABLES_MEMORY_H
#define PAL_TABLES_MEMORY_H

typedef enum memory_kind {
    MEMORY_TRANSFORMER_XL,
    MEMORY_COMPRESSIVE,
    MEMORY_MEMORIZING,
    MEMORY_RMT,
    MEMORY_AUTOCOMPRESSORS,
    MEMORY_INFINI,
    MEMORY_KINDS
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

#endif

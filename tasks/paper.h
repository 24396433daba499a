/* The numbers of the Infini-attention paper's tables (Munkhdalai et al. 2024, arXiv 2404.07143v2), to stand beside
 * ours. The row of a model is found by its attention module, and the task it was trained on. */
#ifndef PAL_PAPER_H
#define PAL_PAPER_H

#include "tasks/task.h"

/* Table 2, memory: entries as printed, and the ratio of those of Memorizing Transformers to them. NaN: not there.
 */
typedef enum paper_method {
    PAPER_TRANSFORMER_XL,
    PAPER_COMPRESSIVE,
    PAPER_MEMORIZING,
    PAPER_RMT,
    PAPER_AUTOCOMPRESSORS,
    PAPER_INFINI,
    PAPER_METHODS
} paper_method;
typedef struct paper_memory {
    const char *name;
    double entries, ratio;
} paper_memory;
const paper_memory *paper_memory_of(paper_method method);

/* Table 2: token-level perplexity. */
typedef struct paper_perplexity {
    const char *attention, *name; /* attention NULL: no row of ours */
    double pg19, math;
    paper_method method;
} paper_perplexity;
const paper_perplexity *paper_perplexity_rows(size_t *count);
const paper_perplexity *paper_perplexity_find(const model_facts *model);

/* Table 3: token-level accuracy in percent at 32K, 128K, 256K, 512K and 1M, and 0, 50 and 100 % depth; else NaN.
 * Models trained on the task stand beside the fine-tuned rows, those of another task beside the zero-shot ones. */
double paper_passkey(const model_facts *model, int64_t length, double depth);
/* The row's name there; "" where the model has none. */
const char *paper_passkey_name(const model_facts *model);

/* Table 4: ROUGE-1, -2, -L and Overall. */
typedef struct paper_rouge {
    const char *attention, *name;
    double value[4];
} paper_rouge;
const paper_rouge *paper_rouge_rows(size_t *count);
const paper_rouge *paper_rouge_find(const model_facts *model);

#endif

/* The numbers of the Infini-attention paper's tables (Munkhdalai et al. 2024, arXiv 2404.07143v2), to stand beside
 * ours. A model's row is found by the name of its module, after the task it was trained on: a name goes on as it
 * likes ("text-infini-delta-seed2"). */
#ifndef PAL_PAPER_H
#define PAL_PAPER_H

#include <stddef.h>
#include <stdint.h>

/* The name without "text-", "passkey-" or "booksum-". */
const char *paper_base(const char *model);

/* Table 2: token-level perplexity, memory in entries as printed and its ratio to that of Memorizing Transformers.
 */
typedef struct paper_perplexity {
    const char *model, *name; /* model NULL: no row of ours */
    double pg19, math, entries, ratio;
} paper_perplexity;
const paper_perplexity *paper_perplexity_rows(size_t *count);
const paper_perplexity *paper_perplexity_find(const char *model);

/* Table 3: token-level accuracy in percent at 32K, 128K, 256K, 512K and 1M, and 0, 50 and 100 % depth; else NaN.
 */
double paper_passkey(const char *model, int fine_tuned, int64_t length, double depth);
/* The row's name there; "" where the model has none. */
const char *paper_passkey_name(const char *model, int fine_tuned);

/* Table 4: ROUGE-1, -2, -L and Overall. */
typedef struct paper_rouge {
    const char *model, *name;
    double value[4];
} paper_rouge;
const paper_rouge *paper_rouge_rows(size_t *count);
const paper_rouge *paper_rouge_find(const char *model);

#endif

/* Longest common subsequences of token sequences, bit-parallel: one bit holds one step of a column of the table of
 * lengths (Crochemore, Iliopoulos, Pinzon & Reid 2001; Hyyro 2004). For texts of n >= m tokens the time is at most
 * n * m / 64 word operations and the memory O(m), besides four bytes for every token id up to the highest. */
#ifndef PAL_LCS_H
#define PAL_LCS_H

#include "harness/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Work space, grown as needed and used again by every call; for one thread at a time. */
typedef struct lcs lcs;

int lcs_create(lcs **out, pal_error *err);
void lcs_destroy(lcs *l);
/* What it holds now. */
size_t lcs_bytes(const lcs *l);

/* *length = that of the longest common subsequences of a and b. PAL_INTERNAL without memory, as below. */
int lcs_length(lcs *l, const uint32_t *a, size_t a_count, const uint32_t *b, size_t b_count, size_t *length,
               pal_error *err);

/* The union over the sentences of hyp of one LCS each with ref (Lin 2004, section 3.2): bit i % 64 of
 * chosen[i / 64] is set when ref[i] is in it, and no bit is cleared. Sentence k is hyp[end[k - 1]..end[k]).
 *
 * Of several LCS the one is taken that is met on the way back from the ends of both texts, by these rules: equal
 * tokens are paired; otherwise the last token of hyp is dropped when only that keeps the length; otherwise that of
 * ref. Which one it is matters to ROUGE-Lsum, and these are rouge_score's rules. */
int lcs_union(lcs *l, const uint32_t *ref, size_t ref_count, const uint32_t *hyp, const size_t *end,
              size_t sentences, uint64_t *chosen, pal_error *err);

#endif

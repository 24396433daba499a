/* ROUGE-1, -2, -L and -Lsum (Lin 2004) as google-research's rouge_score computes them, on any UTF-8 text.
 *
 * Tokens: the text in lower case, cut at everything but a-z and 0-9; with the stemmer, tokens of more than three
 * characters are stemmed. ROUGE-L takes the whole text as one sequence. ROUGE-Lsum takes its lines as sentences:
 * the union of the LCS of each reference sentence with all sentences of the hypothesis, every token counted no
 * more often than both texts hold it. A text without tokens scores 0. */
#ifndef PAL_ROUGE_H
#define PAL_ROUGE_H

#include "harness/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef enum rouge_metric { ROUGE_1, ROUGE_2, ROUGE_L, ROUGE_LSUM, ROUGE_METRICS } rouge_metric;

/* "rouge1", "rouge2", "rougeL", "rougeLsum". */
extern const char *const rouge_metric_name[ROUGE_METRICS];

/* What several references of one hypothesis come to, metric by metric: the scores with the reference of the
 * highest F (the earliest of equals; rouge_score's score_multi), the means of P, of R and of F, or the first
 * alone. A reference without tokens gives 0. */
typedef enum rouge_policy { ROUGE_MAX, ROUGE_MEAN, ROUGE_FIRST } rouge_policy;
#define ROUGE_POLICIES "max|mean|first" /* in the order of the enum */

typedef struct rouge_prf {
    double precision, recall, f; /* in [0, 1] */
} rouge_prf;

typedef struct rouge_result {
    rouge_prf metric[ROUGE_METRICS];
    double overall; /* geometric mean of the F of ROUGE-1, -2 and -L, as in the Infini-attention paper's table 4 */
    int undefined;  /* no reference has a token, as in a script without a-z: the values are 0 and mean nothing */
} rouge_result;

/* The vocabulary of all texts read so far, and work space. For one thread at a time. */
typedef struct rouge_scorer rouge_scorer;

/* A tokenised text. It belongs to the scorer that read it and can be compared any number of times. */
typedef struct rouge_text {
    uint32_t *token;
    size_t count;
    size_t *end; /* of each line that has tokens: sentence k is token[end[k - 1]..end[k]) */
    size_t sentences;
} rouge_text;

int rouge_scorer_create(int use_stemmer, rouge_scorer **out, pal_error *err);
void rouge_scorer_destroy(rouge_scorer *s);
/* Distinct words seen. Memory grows with them: rouge_scorer_forget empties the vocabulary, and every text read
 * before is then invalid (but still to be freed). */
size_t rouge_scorer_words(const rouge_scorer *s);
void rouge_scorer_forget(rouge_scorer *s);

/* Bytes that are not UTF-8 separate tokens. PAL_INTERNAL without memory, as in all functions here. */
int rouge_text_read(rouge_scorer *s, const char *text, size_t size, rouge_text *out, pal_error *err);
void rouge_text_free(rouge_text *t);

int rouge_compare(rouge_scorer *s, const rouge_text *ref, const rouge_text *hyp, rouge_result *out,
                  pal_error *err);
/* With several references; PAL_USAGE when there is none. */
int rouge_compare_many(rouge_scorer *s, const rouge_text *refs, size_t count, const rouge_text *hyp,
                       rouge_policy policy, rouge_result *out, pal_error *err);

/* All in one, for a single pair. */
int rouge_score(const char *ref, size_t ref_size, const char *hyp, size_t hyp_size, int use_stemmer,
                rouge_result *out, pal_error *err);

/* Geometric mean of the F of ROUGE-1, -2 and -L. */
double rouge_overall(double f1, double f2, double fl);

#endif

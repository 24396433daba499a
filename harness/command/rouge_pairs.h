/* Pairs of reference and hypothesis to score: two whole texts, or JSON lines. In JSON lines line i of one file
 * goes with line i of the other; a reference is a string, a list of strings, or either as "reference" in an
 * object; a hypothesis a string, or one as "hypothesis" or "prediction" in an object. Without a file of
 * hypotheses, every object holds both. An "id" in both objects must be the same. */
#ifndef PAL_ROUGE_PAIRS_H
#define PAL_ROUGE_PAIRS_H

#include "harness/base/error.h"

#include <jansson.h>
#include <stddef.h>

typedef struct rouge_pairs rouge_pairs;

/* What the last call of rouge_pairs_next found; it lives until the next one. */
typedef struct rouge_pair {
    size_t line;              /* 1, 2, ...; 1 for whole texts */
    const json_t *id;         /* NULL where there is none */
    const json_t *const *ref; /* [ref_count] strings */
    size_t ref_count;         /* at least 1 */
    const json_t *hyp;
} rouge_pair;

/* hyp_path "": JSON lines whose objects hold both. PAL_DATA: a file that cannot be opened. Keeps the paths. */
int rouge_pairs_open(rouge_pairs **out, const char *ref_path, const char *hyp_path, int json_lines,
                     pal_error *err);
/* *more 0 at the end. PAL_DATA with file and line: not JSON, not UTF-8, a missing field, files of different
 * lengths, ids that differ. */
int rouge_pairs_next(rouge_pairs *p, rouge_pair *out, int *more, pal_error *err);
void rouge_pairs_close(rouge_pairs *p);

#endif

/* The names that tables give to runs, and reading them back. "m" is a model; "m, memory zeroed" its control; where
 * a journal holds several runs of one name, "@" and the start of a hash follow: that of the run, or that of its
 * weights. Whatever a table prints can be typed. */
#ifndef PAL_LABELS_H
#define PAL_LABELS_H

#include "harness/journal/cells.h"

enum { LABEL_TEXT = KV_TEXT_MAX + 64 };
#define LABEL_ZEROED ", memory zeroed" /* behind the name of a control */

/* "m" or "m, memory zeroed". Returns out. */
const char *label_name(const result_cell *cell, char out[LABEL_TEXT]);
/* The hash that tells apart runs of one name: of weights, config, settings, BLAS core and tokenizer. */
void label_digest(const result_cell *cell, char out[HASH_HEX]);
/* Whether `label` names the cell's run. A model's plain name stands for all of its runs, with memory or without.
 */
int label_fits(const char *label, const result_cell *cell);

/* A label in its parts. */
typedef struct label_parts {
    char model[KV_TEXT_MAX];
    char hash[HASH_HEX]; /* "": none is given */
    int zeroed;          /* it names the control */
} label_parts;
/* 0: longer than a label can be. A model whose own name looks like a label with a hash is not told from one here:
 * try the whole text as a name first. */
int label_read(const char *text, label_parts *out);

#endif

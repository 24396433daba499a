/* Whether a journal tells the truth: some of its samples computed again, every value compared. */
#ifndef PAL_VERIFY_H
#define PAL_VERIFY_H

#include "harness/base/keyval.h"
#include "harness/cli/command.h"

#include <stdio.h>

typedef struct verify_options {
    char results[KV_TEXT_MAX];
    char task[KV_TEXT_MAX];    /* "": every task that has a journal there */
    char weights[KV_TEXT_MAX]; /* directory where the weights that the journal names by their digest are sought */
    char tokenizer[KV_TEXT_MAX]; /* as in an eval */
    int64_t k, seed, threads;
    int64_t trace; /* tokens of a sample that differs, to be compared layer by layer */
} verify_options;

/* Draw k finished samples of each journal by the seed and run them again from the words and the weights that it
 * names. Samples whose weights or texts are not here are skipped and counted. PAL_GATE: a value differs, by its
 * bits on the journal's BLAS core, by more than values_agree allows on another; which, and what was found of the
 * cause, was printed on `out`. PAL_UNSURE: every sample was skipped. PAL_DATA: texts, tokenizer or settings are
 * no longer the journal's. PAL_USAGE: there is nothing to verify. */
int verify_run(const verify_options *o, FILE *out, pal_error *err);

extern const pal_command verify_command;

#endif

/* The tables of results/README.md, written between markers from the journals, and checked against them:
 *   <!-- table passkey lengths=32K,1M models=passkey-* --> ... <!-- end --> */
#ifndef PAL_FINDINGS_H
#define PAL_FINDINGS_H

#include "harness/cli/command.h"

/* `page` with the text between its markers made anew, malloc'ed; `name` is used in messages,
 * `dir` holds the journals. Kinds of tables:
 *   passkey     models= lengths=           digits found, start / middle / end (n); the paper's in italics
 *   perplexity  models= corpora=           bits per byte, and the difference from Transformer-XL of size and seed
 *   lengths     models= lengths= corpus=   digits found, perplexity and bytes of state at each length
 *   booksum     corpus= lengths=           overall ROUGE and the share of facts
 *   claims                                 the audit's verdicts
 * A name in models= may end in '*'. results=DIR: another directory of journals for this table, not for claims.
 * PAL_DATA: a marker that is not understood, by line. */
int findings_fill(const char *page, const char *name, const char *dir, const char *claims, const char *weights,
                  char **out, pal_error *err);

extern const pal_command findings_command;

#endif

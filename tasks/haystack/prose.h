/* Sentences of a corpus, one document after the other and again from the start, white space as single spaces.
 * Read as a stream: memory does not grow with the documents. */
#ifndef PAL_HAYSTACK_PROSE_H
#define PAL_HAYSTACK_PROSE_H

#include "datasets/corpus/corpus.h"

typedef struct prose prose;

/* Begins with the first whole sentence of document `first`. Keeps the pointer to the corpus. */
int prose_open(prose **out, const corpus *c, size_t first, pal_error *err);
/* Start again. */
void prose_rewind(prose *p);
/* The next sentence of `least` bytes or more, into text[room] (room of 1024 or more): it ends with '.', '!' or
 * '?', what closes quotes and brackets behind it, and white space. One of 1 KiB is cut between words. PAL_DATA: no
 * document has one. */
int prose_next(prose *p, char *text, size_t room, size_t least, size_t *size, pal_error *err);
void prose_close(prose *p);

#endif

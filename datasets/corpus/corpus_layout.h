/* The layouts of a corpus: which documents a path holds, and where each stands. */
#ifndef PAL_CORPUS_LAYOUT_H
#define PAL_CORPUS_LAYOUT_H

#include "datasets/corpus/corpus.h"
#include "datasets/corpus/line_reader.h"

typedef struct corpus_entry {
    char *name;
    char *path;            /* of its file */
    uint64_t offset, size; /* JSON lines: the line, in bytes of the unpacked file */
    uint64_t line;         /* its number from 1, or 0 when the whole file is the document */
} corpus_entry;

struct corpus {
    corpus_entry *entry;
    size_t count, capacity;
    const char *split;  /* that was opened */
    line_reader *lines; /* of a corpus of JSON lines; kept open, for its index of places */
};

/* Append the documents of `path`; as corpus_open. */
int corpus_add_path(corpus *c, const char *path, const char *split, const char *usual, pal_error *err);

/* The text of one line, read again; text[size + 1] is malloc'ed. */
int corpus_line_text(const corpus *c, const corpus_entry *entry, char **text, size_t *size, pal_error *err);

#endif

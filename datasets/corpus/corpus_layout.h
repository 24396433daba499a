/* What corpus.c and its readers of layouts share. */
#ifndef PAL_CORPUS_LAYOUT_H
#define PAL_CORPUS_LAYOUT_H

#include "datasets/corpus/corpus.h"
#include "datasets/corpus/text_file.h"

typedef struct corpus_entry {
    char *name;
    char *path;            /* of its file */
    uint64_t offset, size; /* JSON lines: the line, in bytes of the unpacked file */
    uint64_t line;         /* its number from 1, or 0 when the whole file is the document */
} corpus_entry;

struct corpus {
    corpus_entry *entry;
    size_t count, capacity;
};

/* Append a document; the strings are copied. */
int corpus_add(corpus *c, const char *name, const char *path, const corpus_entry *place, pal_error *err);
/* Append a file that is one document. */
int corpus_add_file(corpus *c, const char *path, pal_error *err);
/* Append the documents of a folder's files. */
int corpus_add_folder(corpus *c, const char *path, pal_error *err);
/* Append the documents of a file of JSON lines; parses all of it once and keeps no text. */
int corpus_add_lines(corpus *c, const char *path, pal_error *err);
/* Whether the path is named .jsonl or .jsonl.gz. */
int corpus_is_lines(const char *path);

/* The text of one line, read again; text[size + 1] is malloc'ed. */
int corpus_line_text(const corpus_entry *entry, char **text, size_t *size, pal_error *err);

#endif

/* Long documents on disk. Four layouts, each file plain or gzip:
 *   a PG19 folder   PATH/{train,validation,test}/NAME.txt[.gz], metadata.csv beside them (names only; not needed)
 *   a folder        PATH/NAME.*, every file a document (split must be "all")
 *   JSON lines      PATH.jsonl[.gz], one object a line with a string "text" (split must be "all")
 *   one text file   PATH (split must be "all")
 * Documents are in the order of their names (JSON lines: of the file) and are read as a stream. */
#ifndef PAL_CORPUS_H
#define PAL_CORPUS_H

#include "harness/base/error.h"
#include "harness/base/hash.h"

#include <stddef.h>
#include <stdint.h>

typedef struct corpus corpus;
typedef struct document document;

/* PAL_DATA: nothing there, no document in the split, a line that is not JSON (file:line); the message names the
 * layouts or splits that were found. */
int corpus_open(corpus **out, const char *path, const char *split, pal_error *err);
void corpus_close(corpus *c);

/* Where the corpora of `make datasets` lie. */
#define CORPUS_TEXTS "datasets/text"
/* Open each of a comma-separated list of paths and of names under CORPUS_TEXTS, in turn, and hand it to `take`,
 * which owns it from then on. PAL_USAGE: an empty list or name, or nothing of that name. */
typedef int corpus_take(void *arg, corpus *c, const char *path, pal_error *err);
int corpus_open_list(const char *list, const char *split, corpus_take *take, void *arg, pal_error *err);
size_t corpus_count(const corpus *c);
/* The document's id: its file name without extensions, or the object's "id", or the line's number. */
const char *corpus_name(const corpus *c, size_t index);
/* SHA-256 over names and (unpacked) texts of the split: it identifies the data in a journal. Reads everything. */
int corpus_digest(const corpus *c, char hex[HASH_HEX], pal_error *err);

int document_open(const corpus *c, size_t index, document **out, pal_error *err);
/* Up to max (at least 4) bytes of valid UTF-8, never a part of a character; *got 0 at the end. PAL_DATA: not UTF-8
 * (file and byte offset), a broken gzip stream. */
int document_read(document *d, char *text, size_t max, size_t *got, pal_error *err);
void document_close(document *d);

#endif

/* Long documents on disk. Five layouts, each file plain or gzip:
 *   a PG19 folder     PATH/{train,validation,test}/NAME.txt[.gz], metadata.csv beside them (not read)
 *   split JSON lines  PATH/{train,validation,test}.jsonl[.gz]
 *   a folder          PATH/NAME.*, every file a document
 *   JSON lines        PATH.jsonl[.gz], one object a line with a string "text"
 *   one text file     PATH
 * The first two have splits (validation may also be called valid, val or dev); of the others all documents are
 * read. Documents are in the order of their names (JSON lines: of the file) and are read as a stream. A corpus and
 * its documents belong to one thread at a time. */
#ifndef PAL_CORPUS_H
#define PAL_CORPUS_H

#include "datasets/corpus/split.h"
#include "datasets/corpus/text_scan.h"
#include "harness/base/error.h"
#include "harness/base/hash.h"

#include <stddef.h>
#include <stdint.h>

typedef struct corpus corpus;
typedef struct document document;

enum { CORPUS_NAME = 256 /* bytes of a document's name, NUL included; a longer one is refused */ };

/* `split` is a split, SPLIT_ALL, or "" (unset): then a layout with splits gives `usual`, any other all documents.
 * PAL_DATA: nothing there, no document in the split, a line that is not JSON (file:line), a name that is not
 * UTF-8; the message names the layouts or splits that were found. */
int corpus_open(corpus **out, const char *path, const char *split, const char *usual, pal_error *err);
void corpus_close(corpus *c);

/* Where the corpora of `make datasets` lie. */
#define CORPUS_TEXTS "datasets/text"
/* Open each of a comma-separated list of paths and of names under CORPUS_TEXTS, in turn, and hand it to `take`,
 * which owns it from then on. PAL_USAGE: an empty list or name, or nothing of that name; the message says where
 * the corpora that this project names come from. */
typedef int corpus_take(void *arg, corpus *c, const char *path, pal_error *err);
int corpus_open_list(const char *list, const char *split, const char *usual, corpus_take *take, void *arg,
                     pal_error *err);
size_t corpus_count(const corpus *c);
/* The split that was opened: SPLIT_ALL in a layout without splits. */
const char *corpus_split(const corpus *c);
/* The document's id: its file name without extensions, or the object's "id", or the line's number. */
const char *corpus_name(const corpus *c, size_t index);
/* SHA-256 over names and (unpacked) texts of the split: it identifies the data in a journal. Reads everything, and
 * lets `scan` (may be NULL) see it. */
int corpus_digest(const corpus *c, char hex[HASH_HEX], text_scan *scan, pal_error *err);
/* packed_work of a file of JSON lines; 0 for other layouts. */
uint64_t corpus_work(const corpus *c);

int document_open(const corpus *c, size_t index, document **out, pal_error *err);
/* Up to max (at least 4) bytes of valid UTF-8, never a part of a character; *got 0 at the end. PAL_DATA: not UTF-8
 * (file and byte offset), a damaged gzip file. */
int document_read(document *d, char *text, size_t max, size_t *got, pal_error *err);
/* PAL_DATA: the document's text at byte `at` cannot be split into words of at most `most` bytes. */
int document_refuse_word(const document *d, uint64_t at, size_t most, pal_error *err);
void document_close(document *d);

#endif

/* Long texts with their summaries, in the layouts of BookSum (Kryscinski et al. 2022): JSON lines, plain or gzip.
 *   book level      {"bid", "title", "text", "summary": [{"source", "text", "analysis"}, ...]}
 *   chapter level   {"bid", "chapter_id" or "book_id", "chapter", "summary_text"}
 * Of these, title, source, analysis and the chapter's name may be missing, and members not named here are ignored.
 * The whole file is checked once and only places of lines are kept; a text is read again when it is asked for. */
#ifndef PAL_BOOKSUM_FILE_H
#define PAL_BOOKSUM_FILE_H

#include "harness/base/error.h"
#include "harness/base/hash.h"

#include <stddef.h>
#include <stdint.h>

typedef struct booksum_file booksum_file;

typedef struct booksum_string {
    char *text; /* NUL-terminated */
    size_t size;
} booksum_string;

typedef struct booksum_book {
    booksum_string text;
    booksum_string *summary; /* at least one */
    size_t summaries;
} booksum_book;

/* PAL_DATA with file:line: a line that is not JSON, a missing field, an empty text or summary; or a file that
 * cannot be read or has no line. */
int booksum_file_open(booksum_file **out, const char *path, pal_error *err);
void booksum_file_close(booksum_file *f);
size_t booksum_file_count(const booksum_file *f);
/* The "bid", which all chapters of a book share. */
const char *booksum_file_bid(const booksum_file *f, size_t index);
/* What tells the text from the others of its file: the "bid", for a chapter its own name; "" where it has none. */
const char *booksum_file_id(const booksum_file *f, size_t index);
/* SHA-256 over ids, texts and summaries. */
const char *booksum_file_digest(const booksum_file *f);
int booksum_file_read(const booksum_file *f, size_t index, booksum_book *out, pal_error *err);
void booksum_book_free(booksum_book *b);

#endif

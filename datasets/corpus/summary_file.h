/* Long texts with their summaries, in the layouts of BookSum (Kryscinski et al. 2022), plain or gzip:
 *   book level      JSON lines {"bid", "title", "text", "summary": [{"source", "text", "analysis"}, ...]}
 *   chapter level   JSON lines {"bid", "chapter_id" or "book_id", "chapter", "summary_text"}
 *   the hub's       a .csv with the columns bid, chapter and summary_text, and chapter_id or book_id
 * (kmfoda/booksum) Of these, title, source, analysis and the chapter's name may be missing, and members not named
 * here are ignored. A blank summary is left out, and so is a text that is blank or has no other summary; both are
 * counted. The whole file is checked once and only places are kept; a text is read again when it is asked for. */
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
    size_t blank_summaries; /* left out */
} booksum_book;

enum { BOOKSUM_NAME = 160 /* bytes of a bid or a chapter's name, NUL included; a longer one is refused */ };

/* PAL_DATA with file:line: a line that is not JSON, a missing field or column, a name that is too long; or a file
 * that cannot be read or holds no text with a summary. */
int booksum_file_open(booksum_file **out, const char *path, pal_error *err);
void booksum_file_close(booksum_file *f);
size_t booksum_file_count(const booksum_file *f);
/* What was left out, in words, into out[size]; 0 when nothing was. */
int booksum_file_note(const booksum_file *f, char *out, size_t size);
/* packed_work of the file. */
uint64_t booksum_file_work(const booksum_file *f);
/* The "bid", which all chapters of a book share. */
const char *booksum_file_bid(const booksum_file *f, size_t index);
/* What tells the text from the others of its file: the "bid", for a chapter its own name; "" where it has none. */
const char *booksum_file_id(const booksum_file *f, size_t index);
/* SHA-256 over ids, texts and summaries. */
const char *booksum_file_digest(const booksum_file *f);
/* For one thread at a time. */
int booksum_file_read(const booksum_file *f, size_t index, booksum_book *out, pal_error *err);
void booksum_book_free(booksum_book *b);

#endif

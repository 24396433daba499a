/* UTF-8 in one place: what is valid, names that are not, and text files with a byte order mark.
 *
 * The rule for every text that the program reads (.txt, .jsonl, .csv, .conf, tokenizer.json, claims): it is UTF-8.
 * A byte order mark at its beginning is no part of it and is left out; anywhere else it is a character like any
 * other. A name (of a file, a document, an argument) that is not UTF-8 is refused in its escaped form. */
#ifndef PAL_UTF8_H
#define PAL_UTF8_H

#include "harness/base/error.h"

#include <stddef.h>

enum { UTF8_MARK = 3, UTF8_ESCAPED = 400 /* room for the escaped form of a name in a message */ };

/* Bytes of text[size] that are whole, well-formed characters (Unicode 15, table 3-7: no overlong forms, surrogates
 * or values above U+10FFFF). *broken tells whether a malformed character follows; otherwise what follows is the
 * beginning of one, or nothing. */
size_t utf8_valid(const char *text, size_t size, int *broken);

/* Bytes of the well-formed character that text[size] begins with; 0: it begins with none. */
size_t utf8_character(const char *text, size_t size);

/* Bytes of the byte order mark that text[size] begins with: UTF8_MARK or 0. */
size_t utf8_mark(const char *text, size_t size);
/* PAL_DATA when text[size] begins with the byte order mark of UTF-16. */
int utf8_refuse_16(const char *path, const char *text, size_t size, pal_error *err);

/* The name in printable form: backslash, control characters and bytes that are not UTF-8 become "\xHH", so that
 * different names look different. Cut at a character's end where it does not fit out[room]. Returns `out`. */
char *utf8_escape(const char *name, char *out, size_t room);
/* Fails with `code` when the name is not UTF-8. `what` says what it names: "the file name", "the argument". */
int utf8_check_name(const char *what, const char *name, int code, pal_error *err);

/* Read a whole text file by the rule above; *text is malloc'ed and has a NUL beyond *size. PAL_DATA: not UTF-8
 * (with the byte offset in the file), or as os_read_file. */
int utf8_read_file(const char *path, char **text, size_t *size, pal_error *err);
/* The same for lines of text, which end at the first NUL. PAL_DATA also for a NUL byte inside. */
int utf8_read_text(const char *path, char **text, pal_error *err);

#endif

/* A plain or gzip file as a stream of UTF-8 text. */
#ifndef PAL_TEXT_FILE_H
#define PAL_TEXT_FILE_H

#include "harness/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct text_file text_file;

/* Bytes of text[size] that are whole, well-formed characters (Unicode 15, table 3-7: no overlong forms, surrogates
 * or values above U+10FFFF). *broken tells whether a malformed character follows; otherwise what follows is the
 * beginning of one, or nothing. */
size_t text_valid(const char *text, size_t size, int *broken);

/* PAL_DATA: cannot be opened, or is named .gz and is not gzip. The path is copied. */
int text_file_open(text_file **out, const char *path, pal_error *err);
/* Go to a byte offset of the unpacked text, where a character begins. In a gzip file all before it is unpacked. */
int text_file_seek(text_file *f, uint64_t offset, pal_error *err);
/* Up to max (at least 4) bytes, whole characters only; *got 0 at the end. PAL_DATA: not UTF-8 (file and byte
 * offset of the unpacked text), a broken or cut gzip stream. */
int text_file_read(text_file *f, char *text, size_t max, size_t *got, pal_error *err);
void text_file_close(text_file *f);

#endif

/* A plain or gzip file as a stream of UTF-8 text; a byte order mark at its beginning is no part of the text. */
#ifndef PAL_TEXT_FILE_H
#define PAL_TEXT_FILE_H

#include "datasets/corpus/packed_file.h"

typedef struct text_file text_file;

/* Errors are those of packed_open and packed_read; and PAL_DATA for UTF-16. The path is copied. */
int text_file_open(text_file **out, const char *path, packed_access access, pal_error *err);
/* Go to a byte offset of the text (of which the mark is no part), where a character begins. */
int text_file_seek(text_file *f, uint64_t offset, pal_error *err);
/* Up to max (at least 4) bytes, whole characters only; *got 0 at the end. PAL_DATA: not UTF-8 (file and byte
 * offset in the unpacked file), a damaged gzip file. */
int text_file_read(text_file *f, char *text, size_t max, size_t *got, pal_error *err);
const char *text_file_path(const text_file *f);
/* packed_work of the file. */
uint64_t text_file_work(const text_file *f);
void text_file_close(text_file *f);

#endif

/* A text file line by line, with where each line stands, so that it can be read again alone. */
#ifndef PAL_LINE_READER_H
#define PAL_LINE_READER_H

#include "datasets/corpus/text_file.h"

/* A line is held in memory; a longer one is refused. */
enum { LINE_BYTES_MAX = 64 << 20 };

typedef struct line_reader {
    text_file *file;
    char *text; /* text[used] is read; the current line is text[start .. start + size) */
    size_t start, size, used, capacity;
    uint64_t offset, number; /* of the current line: bytes of the text before it; from 1 */
    int any, end;            /* a line was read; nothing more is in the file */
} line_reader;

/* Errors are text_file's. */
int line_reader_open(line_reader *r, const char *path, packed_access access, pal_error *err);
/* The next line without its newline, valid until the next call; *found 0 at the end. PAL_DATA: it is longer than
 * LINE_BYTES_MAX (file:line). */
int line_reader_next(line_reader *r, int *found, const char **line, size_t *size, pal_error *err);
/* Let the line at this offset be the next; its number is then `number`. Lines that are asked for in the order of
 * the file are read in one pass. */
int line_reader_seek(line_reader *r, uint64_t offset, uint64_t number, pal_error *err);
/* Give the buffer's memory back and forget what was read ahead; a seek must follow. */
void line_reader_rest(line_reader *r);
void line_reader_close(line_reader *r);

/* Whether the line holds nothing but white space. */
int line_is_blank(const char *line, size_t size);

#endif

/* Records of a CSV file (RFC 4180) with a header line, plain or gzip, with where each stands. Fields in quotes may
 * hold commas, line ends and, doubled, quotes. Lines end with LF or CR LF. */
#ifndef PAL_CSV_READER_H
#define PAL_CSV_READER_H

#include "datasets/corpus/text_file.h"

enum { CSV_BYTES_MAX = 64 << 20, CSV_FIELDS_MAX = 256 };

typedef struct csv_reader {
    text_file *file;
    char chunk[1 << 16]; /* chunk[at .. used) is read but not parsed */
    size_t at, used;
    uint64_t next, line; /* of the next character: offset in the text, and line from 1 */
    char *text;          /* the record's fields, each with a NUL behind it */
    size_t size, capacity;
    size_t field[CSV_FIELDS_MAX + 1], fields; /* where each begins in `text`, and where the last one ends */
    uint64_t offset, number;                  /* of the record: where it begins, and its first line */
} csv_reader;

/* Errors are text_file's. */
int csv_reader_open(csv_reader *r, const char *path, packed_access access, pal_error *err);
/* The next record; *found 0 at the end. Empty lines are none. PAL_DATA with file:line: a quote that is never
 * closed, text behind a closing quote, more than CSV_FIELDS_MAX fields or CSV_BYTES_MAX bytes. */
int csv_reader_next(csv_reader *r, int *found, pal_error *err);
/* A field of the record; valid until the next call. */
const char *csv_reader_field(const csv_reader *r, size_t index, size_t *size);
/* Let the record at this offset, which begins on line `number`, be the next. */
int csv_reader_seek(csv_reader *r, uint64_t offset, uint64_t number, pal_error *err);
void csv_reader_close(csv_reader *r);

#endif

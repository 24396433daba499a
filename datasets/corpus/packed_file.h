/* The bytes of a plain or gzip file (RFC 1952, any number of members). Every byte of the file is accounted for: a
 * damaged or cut member, or anything behind the last one, is an error with its place. */
#ifndef PAL_PACKED_FILE_H
#define PAL_PACKED_FILE_H

#include "harness/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct packed_file packed_file;

/* Whether a gzip file keeps places to go back to, one for each MiB of text, at 32 KiB of memory each. */
typedef enum packed_access { PACKED_FORWARD, PACKED_RANDOM } packed_access;

/* PAL_DATA: no regular file, cannot be opened, or is named .gz and is not gzip. A file is gzip by its first two
 * bytes. The path is copied. */
int packed_open(packed_file **out, const char *path, packed_access access, pal_error *err);
/* Up to max bytes; *got 0 at the end. PAL_DATA: a gzip file that is damaged, with the places in file and text. */
int packed_read(packed_file *f, char *bytes, size_t max, size_t *got, pal_error *err);
/* Go to a byte of the unpacked bytes. PACKED_RANDOM unpacks at most about a MiB for it, once that place was read.
 */
int packed_seek(packed_file *f, uint64_t offset, pal_error *err);
/* Bytes read from the file and unpacked so far, all in all: what tests of linear time count. */
uint64_t packed_work(const packed_file *f);
const char *packed_path(const packed_file *f);
void packed_close(packed_file *f);

#endif

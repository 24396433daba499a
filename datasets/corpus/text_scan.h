/* What a reader of results should know of a text and no score tells: line ends of Windows, and the names of
 * special tokens as plain text. */
#ifndef PAL_TEXT_SCAN_H
#define PAL_TEXT_SCAN_H

#include <stddef.h>
#include <stdint.h>

enum { TEXT_SCAN_MARKERS = 512, TEXT_SCAN_BYTES = 64 };

typedef struct text_scan {
    uint64_t crlf;   /* pairs of CR and LF */
    uint64_t marked; /* places where a marker stands */
    size_t first;    /* the marker met first; meaningful when marked > 0 */
    const char *marker[TEXT_SCAN_MARKERS];
    size_t size[TEXT_SCAN_MARKERS], markers;
    unsigned char begins[256];  /* whether a marker begins with this byte */
    char tail[TEXT_SCAN_BYTES]; /* the last bytes fed, in which a marker may begin */
    size_t tail_size;
} text_scan;

/* Also look for this text of 1 to TEXT_SCAN_BYTES bytes, which is not copied. Returns 0 when there is no room. */
int text_scan_mark(text_scan *s, const char *marker, size_t size);
/* A new text begins. */
void text_scan_start(text_scan *s);
/* The text's next bytes. */
void text_scan_feed(text_scan *s, const char *text, size_t size);
/* The index-th remark about the texts called `name`, as one line; 0: there is none. */
int text_scan_note(const text_scan *s, const char *name, size_t index, char *out, size_t size);

#endif

/* Counts line ends and markers while a text goes by in pieces of any size.
 * The last bytes of a piece are kept, so that what is cut between two pieces is found too. */
#include "datasets/corpus/text_scan.h"

#include <stdio.h>
#include <string.h>

int text_scan_mark(text_scan *s, const char *marker, size_t size)
{
    if (s->markers == TEXT_SCAN_MARKERS || size == 0 || size > TEXT_SCAN_BYTES) return 0;
    s->marker[s->markers] = marker;
    s->size[s->markers++] = size;
    s->begins[(unsigned char)marker[0]] = 1;
    return 1;
}

void text_scan_start(text_scan *s)
{
    s->tail_size = 0;
}

/* Count what begins in text[0 .. to) and ends beyond `known`, before which all is counted already. */
static void scan(text_scan *s, const char *text, size_t size, size_t to, size_t known)
{
    for (size_t at = 0; at < to; at++) {
        s->crlf += text[at] == '\r' && at + 1 < size && text[at + 1] == '\n' && at + 2 > known;
        if (!s->begins[(unsigned char)text[at]]) continue;
        for (size_t m = 0; m < s->markers; m++) {
            const size_t end = at + s->size[m];
            if (end > size || end <= known || memcmp(text + at, s->marker[m], s->size[m]) != 0) continue;
            if (s->marked++ == 0) s->first = m;
            break;
        }
    }
}

void text_scan_feed(text_scan *s, const char *text, size_t size)
{
    char seam[2 * TEXT_SCAN_BYTES];
    const size_t head = size < TEXT_SCAN_BYTES ? size : TEXT_SCAN_BYTES, tail = s->tail_size;
    memcpy(seam, s->tail, tail);
    memcpy(seam + tail, text, head);
    scan(s, seam, tail + head, tail, tail);
    scan(s, text, size, size, 0);
    if (size >= TEXT_SCAN_BYTES) {
        s->tail_size = TEXT_SCAN_BYTES;
        memcpy(s->tail, text + size - TEXT_SCAN_BYTES, TEXT_SCAN_BYTES);
        return;
    }
    const size_t all = tail + head;
    s->tail_size = all < TEXT_SCAN_BYTES ? all : TEXT_SCAN_BYTES;
    memcpy(s->tail, seam + all - s->tail_size, s->tail_size);
}

int text_scan_note(const text_scan *s, const char *name, size_t index, char *out, size_t size)
{
    if (s->crlf > 0 && index-- == 0) {
        snprintf(out, size, "%s: lines that end with CR LF: %llu; both characters are scored", name,
                 (unsigned long long)s->crlf);
        return 1;
    }
    if (s->marked == 0 || index > 0) return 0;
    snprintf(out, size, "%s: names of special tokens in the text, such as %.*s: %llu; they are read as plain text",
             name, (int)s->size[s->first], s->marker[s->first], (unsigned long long)s->marked);
    return 1;
}

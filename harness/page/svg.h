/* Copy an SVG picture into a page: only drawing elements and attributes of a list pass.
 * A file with anything else is refused, so nothing in a picture can run a script or load a file. */
#ifndef PAL_SVG_H
#define PAL_SVG_H

#include "harness/base/error.h"

#include <stddef.h>
#include <stdio.h>

enum {
    SVG_LIMIT = 4 << 20, /* bytes of one file */
    SVG_TITLE = 256,
    SVG_ABOUT = 1024
};

/* A picture in memory. `body` is what stands inside <svg>, clean and well-formed; free it with svg_free. */
typedef struct svg_picture {
    double width, height;                    /* of the view box */
    double left, top;                        /* its origin */
    char title[SVG_TITLE], about[SVG_ABOUT]; /* its <title> and <desc>; "" where it has none of its own */
    int gnuplot; /* gnuplot drew it: black on a white ground, which a page can change */
    char *body;
    size_t size;
} svg_picture;

/* Read text[size]. Identifiers get `prefix`: a page has one name space for all its pictures.
 * PAL_DATA: the text is no SVG or holds something that is not in the list; err->text names the line and the thing.
 * PAL_INTERNAL: out of memory. */
int svg_read(const char *text, size_t size, const char *prefix, svg_picture *out, pal_error *err);
void svg_free(svg_picture *picture);

/* Write <svg role="img" aria-label=LABEL> with the picture in it. */
void svg_put(FILE *out, const svg_picture *picture, const char *label);

#endif

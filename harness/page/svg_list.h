/* What may be in a picture of a page: elements and attributes that draw, and values that only measure, paint or
 * name. svg.c copies what is listed here and refuses a file with anything else. */
#ifndef PAL_SVG_LIST_H
#define PAL_SVG_LIST_H

#include <stddef.h>

enum { SVG_NAME = 96 /* bytes of an identifier */ };

typedef enum svg_kind {
    SVG_DRAWS,     /* copied */
    SVG_HOLDS,     /* copied; a container */
    SVG_SAYS,      /* copied with its text */
    SVG_DESCRIBES, /* read, not copied: title, desc */
    SVG_IGNORED    /* left out with all that it holds: metadata draws nothing */
} svg_kind;

typedef struct svg_element {
    const char *name;
    svg_kind kind;
} svg_element;

/* NULL: it is not in the list. Names are those of the SVG name space, in their own case. */
const svg_element *svg_element_find(const char *name);
int svg_attribute_known(const char *name);
/* Known to do nothing in a page: read and left out. */
int svg_attribute_inert(const char *name);

/* Letters, digits and -_.: only, fewer than SVG_NAME: such an identifier needs no quoting anywhere. */
int svg_identifier(const char *text, size_t size);
/* Where the identifier of url(#x), url('#x') or url("#x") stands; NULL: it points out of the file. */
const char *svg_url_identifier(const char *call, size_t *size);
/* No escapes, no at-rules, and of functions those of the list alone, each written as there. */
int svg_value_safe(const char *value);

#endif

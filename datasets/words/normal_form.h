/* Unicode's normal form C, which some tokenizers ask for, and where a text can be cut so that its parts have the
 * form of the whole. By libunistring. */
#ifndef PAL_NORMAL_FORM_H
#define PAL_NORMAL_FORM_H

#include <stddef.h>

enum { NORMAL_FORM_GROWTH = 3 /* bytes that one byte can become, at most */ };

/* Whether the text has the form by the look of its bytes: all characters are below U+0300. */
int normal_form_plain(const char *text, size_t size);
/* Valid UTF-8 text[size] in form C, to out[NORMAL_FORM_GROWTH * size]; returns its size. */
size_t normal_form_compose(const char *text, size_t size, char *out);
/* Whether nothing before text[at] can change with what stands from there on: a character below U+0300 begins. */
int normal_form_border(const char *text, size_t at);

#endif

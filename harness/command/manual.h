/* The manual page and the completion for bash, both made of the commands' tables.
 * `make install` writes them beside the binary. */
#ifndef PAL_MANUAL_H
#define PAL_MANUAL_H

#include <stdio.h>

void manual_page(FILE *out);       /* troff, for man(1) */
void manual_completion(FILE *out); /* a script for bash */

#endif

/* Quoting: one function for each language that text from outside is written into. Names, texts and settings come
 * from files; none of their bytes may act as program text or markup where they are shown. */
#ifndef PAL_TEXT_H
#define PAL_TEXT_H

#include "harness/base/error.h"

#include <stddef.h>
#include <stdio.h>

/* One field of a CSV file (RFC 4180). Spreadsheets run a field that begins with = + - @, a tab or a carriage
 * return as a formula: such a field gets one leading apostrophe, and so does one that begins with an apostrophe.
 * To read a text field, remove one leading apostrophe. Only for text: numbers are written by text_number. */
void text_csv(FILE *out, const char *text);
/* The shortest decimal of ten digits; nothing for NaN and infinities. */
void text_number(FILE *out, double value);
/* Bytes for people: "1.5 MiB". */
void text_bytes(FILE *out, double bytes);
/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void text_json(FILE *out, const char *text);
/* One line of Markdown, inside a table or not: each character stands for itself. */
void text_markdown(FILE *out, const char *text);
void text_latex(FILE *out, const char *text);
/* Content or a quoted attribute of HTML or SVG; control characters become '?', but for tab and newline. */
void text_html(FILE *out, const char *text);
/* One word of a shell's command line, quoted only where it must be. A line that holds it can be typed. */
void text_shell(FILE *out, const char *text);
/* A quoted field of the tab-separated files that gnuplot reads. Control characters show as their Unicode pictures,
 * a double quote, which gnuplot cannot escape, as a typographic one. */
void text_plot(FILE *out, const char *text);

enum { TEXT_ID = 80 };
/* A file name's part for any name: letters, digits, '.', '_' and '-' stay, a single '/' becomes '-'. If anything
 * else had to change, the start of the name's SHA-256 follows, so that two names never share one. Returns out. */
char *text_id(const char *name, char out[TEXT_ID]);

/* Close a memory stream and write what it holds to `path`; frees *text. */
int text_finish(FILE *out, char **text, size_t *size, const char *path, pal_error *err);

#endif

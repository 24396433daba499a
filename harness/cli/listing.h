/* Rows on standard output in the form that format= asks for: aligned columns, Markdown, CSV, or a JSON object a
 * line. Rows can be written while they are computed; nothing is cut to a column's width. */
#ifndef PAL_LISTING_H
#define PAL_LISTING_H

#include <stddef.h>
#include <stdio.h>

/* In the order of LISTING_FORMATS, which is the `choices` of a KV_CHOICE row. */
typedef enum listing_format { LISTING_TEXT, LISTING_MARKDOWN, LISTING_CSV, LISTING_JSONL } listing_format;
#define LISTING_FORMATS "text|md|csv|jsonl"

typedef struct listing_column {
    const char *name;  /* of the CSV's column and of the JSON object's member: "seconds_for_cell" */
    const char *title; /* for people; NULL: the name */
    int width;         /* of the aligned columns; negative: left-aligned, as in printf */
} listing_column;

typedef struct listing {
    FILE *out;
    listing_format format;
    const listing_column *column;
    size_t count, at; /* columns, and the one that the next value belongs to */
} listing;

/* Write the head. Keeps the pointers. */
void listing_begin(listing *l, FILE *out, listing_format format, const listing_column *column, size_t count);
/* The row's next value. */
void listing_text(listing *l, const char *text);
/* A number: people see `shown` ("51 MB"), programs the value itself. NaN: none. NULL: the number as it is. */
void listing_number(listing *l, double value, const char *shown);
/* Whether a sentence for people may stand between the rows. */
int listing_for_people(const listing *l);

#endif

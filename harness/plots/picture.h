/* A picture of cells as a table row, and which rows of a report go into it. */
#ifndef PAL_PICTURE_H
#define PAL_PICTURE_H

#include "harness/plots/plots.h"

/* Pictures of one row: one, one for each cell, one for each set of texts, or one for each of these and each group.
 */
typedef enum picture_split { ONE_PICTURE, BY_CELL, BY_TEXTS, BY_TEXTS_AND_GROUP } picture_split;
typedef enum picture_group { NO_GROUP, BY_TRAINING, BY_SIZE } picture_group;
typedef enum picture_facet { ONE_PANEL, BY_DEPTH, BY_LENGTH, BY_MODEL, BY_ATTENTION } picture_facet;
typedef enum picture_axis {
    OF_LENGTH,   /* tokens of a sample */
    OF_DEPTH,    /* of the needle, percent */
    OF_DISTANCE, /* tokens from the needle to the end */
    OF_POSITION, /* middle of the range that a metric's name ends in: "token_ppl@4K" */
    OF_STATE     /* bytes of streaming state; 0: none */
} picture_axis;

/* Rows that a picture leaves out. */
enum { NO_ZEROED = 1, NO_VARIANTS = 2, NO_REFERENCES = 4, TRAINED_HERE = 8, NOT_AT_END = 16, NOT_ONE_LENGTH = 32 };

/* The metric of a picture whose y axis is the streaming state of a cell. */
#define STATE_BYTES_METRIC "state_bytes"

typedef struct picture {
    const char *script, *task;
    const char *metric; /* its name, what the names of a family begin with ("token_ppl@"), or STATE_BYTES_METRIC */
    picture_split split;
    picture_group group;
    picture_facet facet;
    picture_axis axis;
    int without;
} picture;

/* Rows of one picture and group. */
typedef struct rows {
    const report *rep;
    const picture *picture;
    const report_row **row;
    size_t count;
    char heading[64];
} rows;

/* Where a row stands on the x axis, in the metric of this name; NaN: nowhere. */
double picture_x(picture_axis axis, const result_cell *cell, const char *metric);
/* Whether two rows are of the same picture, the groups aside. */
int picture_joins(const picture *p, const report_row *a, const report_row *b);
int picture_takes(const report *rep, const picture *p, const report_row *row);
/* Groups are numbered: 0 trained on this task, 1 on another, 2 nobody knows; or classes of size from the smallest.
 * Without models of group 1 all stand in group 0: a foreign model beside what was made of it. */
int picture_group_of(const report *rep, const picture *p, const result_cell *cell);
/* Which panel of its group a row stands in, as text: equal texts, equal panels. */
void picture_facet_of(const picture *p, const report_row *row, char *out, size_t size);
/* Fill all->row, count and heading with the rows of a group; those that join `like`. */
void picture_choose(rows *all, const report_row *like, int group);

#endif

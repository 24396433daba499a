/* A progress line with rate and ETA: redrawn in place on a terminal, a quiet line every half minute elsewhere. */
#ifndef PAL_PROGRESS_H
#define PAL_PROGRESS_H

#include <stdint.h>
#include <stdio.h>

typedef struct progress {
    FILE *out;
    int terminal;
    double start, last; /* seconds */
    double total, base; /* units in all; units already done when this run began */
    const char *unit;
    char what[96];
} progress;

/* `base` units count as done but not as this run's speed (resume). */
void progress_start(progress *p, FILE *out, const char *what, double total, double base, const char *unit);
void progress_retitle(progress *p, const char *what);
/* `note` is appended ("loss 1.234"); NULL for none. */
void progress_update(progress *p, double done, const char *note);
/* Erase the terminal's line, so that a result can be printed in its place. */
void progress_clear(progress *p);

/* 3725 -> "1:02:05", 65 -> "1:05". `out` holds at least 24 bytes. Returns `out`. */
char *progress_time(double seconds, char *out);

#endif

/* How far a long run is: one line that rewrites itself on a terminal, a line every half minute elsewhere. */
#ifndef PAL_PROGRESS_H
#define PAL_PROGRESS_H

#include <stdio.h>

typedef struct progress {
    FILE *out;
    const char *name, *unit;
    double began, shown; /* seconds */
    double total, start, done;
    int terminal;
    int line_open; /* a line that must be wiped before anything else is printed */
} progress;

/* `total` and `done` count in units that take about equally long; `done` are there already. With a `unit`, units
 * per second are shown. `name` and `unit` must outlive the progress; either may be NULL. */
void progress_start(progress *p, FILE *out, const char *name, double total, double done, const char *unit);
/* Cheap enough for every few milliseconds: shows at most five times a second. `note` (may be NULL) ends the line.
 * `done` beyond the total, where more was to do than was expected, counts as the total. */
void progress_update(progress *p, double done, const char *note);
/* What is shown: at most 100 %, and a time left that is never negative; "?" while nothing tells it. */
void progress_format(const progress *p, double now, const char *note, char *out, size_t size);
/* Wipe the line: call before anything else is printed. */
void progress_clear(progress *p);

/* A number for people, in 24 bytes: "812", "31.5K", "31.5M", "2.1G"; followed by a unit where one is given:
 * human_count(9e11, "FLOP", out) is "900 GFLOP". Returns out. */
char *human_count(double value, const char *unit, char out[24]);

/* Seconds as "45 s", "3 min 20 s", "1 h 05 min". Returns out. */
char *progress_format_time(double seconds, char out[32]);

#endif

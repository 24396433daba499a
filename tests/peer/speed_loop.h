/* The side of a C program in `make peer`: a line with seconds on stdin gives the median speed of passes made in that
 * time. Shared by llama_speed.c and parts_speed.c. */
#ifndef PAL_SPEED_LOOP_H
#define PAL_SPEED_LOOP_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* pass: all of the work once; what it did, in units of the speed. */
static void serve_speed(double (*pass)(void *arg), void *arg)
{
    enum { LEAST_PASSES = 3, MOST_PASSES = 4096 };
    static double speed[MOST_PASSES];
    double seconds;
    fflush(stdout);
    while (scanf("%lf", &seconds) == 1) {
        size_t runs = 0;
        for (const double end = now() + seconds; runs < MOST_PASSES && (runs < LEAST_PASSES || now() < end); runs++) {
            const double begin = now(), units = pass(arg);
            speed[runs] = units / (now() - begin);
        }
        qsort(speed, runs, sizeof *speed, by_value);
        printf("%.4f\n", speed[runs / 2]);
        fflush(stdout);
    }
}

#endif

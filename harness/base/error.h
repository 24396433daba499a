/* Status codes and the one error record that every library function fills. Only main() prints or exits. */
#ifndef PAL_ERROR_H
#define PAL_ERROR_H

/* The values are also the process exit codes. */
enum {
    PAL_OK = 0,
    PAL_GATE = 1,     /* a gate (regression, verify, audit) failed */
    PAL_USAGE = 2,    /* the caller asked for something impossible */
    PAL_DATA = 3,     /* a file or its content is bad */
    PAL_INTERNAL = 4, /* out of memory, I/O failure, broken invariant */
    PAL_UNSURE = 5    /* a gate could not tell: there was nothing, or too little, to judge by */
};

typedef struct pal_error {
    int code;
    char text[8192]; /* one line: the file, the place and the fix */
} pal_error;

/* Fill *err with a formatted line and return `code`, so that callers can write `return pal_fail(...)`. */
__attribute__((format(printf, 3, 4))) int pal_fail(pal_error *err, int code, const char *format, ...);

/* Return early with the callee's code when `call` did not succeed. */
#define PAL_TRY(call)                                                                                             \
    do {                                                                                                          \
        int pal_try_code_ = (call);                                                                               \
        if (pal_try_code_ != PAL_OK) return pal_try_code_;                                                        \
    } while (0)

#endif

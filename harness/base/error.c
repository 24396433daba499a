/* The one way in which functions report a failure: a code and a line of text.
 * Whatever the text quotes, it stays one line. */
#include "harness/base/error.h"

#include <stdarg.h>
#include <stdio.h>

int pal_fail(pal_error *err, int code, const char *format, ...)
{
    err->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    /* A message is one line, whatever names and data it quotes; it must not steer a terminal either. */
    for (char *at = err->text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f) *at = '?';
    return code;
}

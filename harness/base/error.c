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
    return code;
}

/* The version string: the only file that is compiled again when the commit changes.
 * PAL_VERSION comes from the Makefile. */
#include "harness/base/version.h"

#ifndef PAL_VERSION
#error "the Makefile gives PAL_VERSION"
#endif

const char *pal_version(void)
{
    return PAL_VERSION;
}

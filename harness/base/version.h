/* The program's version, as `git describe` gave it when the program was built.
 * The Makefile passes it in; a source tree without git gives the last release. */
#ifndef PAL_VERSION_H
#define PAL_VERSION_H

/* Such as "v0.1.0-12-gabc1234", or "v0.1.0-12-gabc1234-dirty" for a changed source tree. Never empty. */
const char *pal_version(void);

#endif

/* The scalar of all model arithmetic. float in the shipped library; -DPAL_DOUBLE builds the same sources in
 * double, so that gradients can be checked against finite differences to 1e-6. */
#ifndef PAL_REAL_H
#define PAL_REAL_H

#include <stddef.h>
#include <stdint.h>

#ifdef PAL_DOUBLE
typedef double real;
#else
typedef float real;
#endif

#endif

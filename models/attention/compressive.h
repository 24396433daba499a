/* What transformer_xl.c needs to know of compressive.c. */
#ifndef PAL_ATTENTION_COMPRESSIVE_H
#define PAL_ATTENTION_COMPRESSIVE_H

#include "models/attention/attention.h"

/* Rows of the compressed memory. */
size_t compressive_len(const model_config *cfg);

#endif

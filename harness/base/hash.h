/* SHA-256 through libcrypto, in lower-case hex: what `sha256sum` prints. */
#ifndef PAL_HASH_H
#define PAL_HASH_H

#include <stddef.h>

enum { HASH_HEX = 65 };

void hash_hex(const void *data, size_t size, char out[HASH_HEX]);

#endif

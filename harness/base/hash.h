/* SHA-256 through libcrypto, in lower-case hex: what `sha256sum` prints. */
#ifndef PAL_HASH_H
#define PAL_HASH_H

#include <stddef.h>
#include <stdint.h>

enum { HASH_HEX = 65 };

void hash_hex(const void *data, size_t size, char out[HASH_HEX]);
/* Its first 64 bits, for names that stay within a process. */
uint64_t hash_id(const void *data, size_t size);

#endif

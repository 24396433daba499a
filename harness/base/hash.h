/* SHA-256 through libcrypto, in lower-case hex: what `sha256sum` prints.
 * Weights, configs, texts and files of results are named by it. */
#ifndef PAL_HASH_H
#define PAL_HASH_H

#include <stddef.h>
#include <stdint.h>

enum { HASH_HEX = 65, HASH_BASE64 = 45 };

void hash_hex(const void *data, size_t size, char out[HASH_HEX]);
/* The digest in base64, as the security policy of a web page names it. */
void hash_base64(const void *data, size_t size, char out[HASH_BASE64]);
/* Its first 64 bits, for names that stay within a process. */
uint64_t hash_id(const void *data, size_t size);

#endif

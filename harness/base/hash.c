#include "harness/base/hash.h"

#include <openssl/sha.h>
#include <stdlib.h>

void hash_hex(const void *data, size_t size, char out[HASH_HEX])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    if (!SHA256(data, size, digest)) abort(); /* libcrypto without SHA-256: nothing here could be trusted */
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    out[HASH_HEX - 1] = 0;
}

uint64_t hash_id(const void *data, size_t size)
{
    char digest[HASH_HEX];
    hash_hex(data, size, digest);
    digest[16] = 0;
    return strtoull(digest, NULL, 16);
}

/* SHA-256 through libcrypto: as hex digits, as base64, as a number.
 * The digest is the one that `sha256sum` prints. */
#include "harness/base/hash.h"

#include <openssl/evp.h>
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

void hash_base64(const void *data, size_t size, char out[HASH_BASE64])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    if (!SHA256(data, size, digest)) abort();
    EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest);
}

uint64_t hash_id(const void *data, size_t size)
{
    char digest[HASH_HEX];
    hash_hex(data, size, digest);
    digest[16] = 0;
    return strtoull(digest, NULL, 16);
}

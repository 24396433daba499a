/* SHA-256 through libcrypto: as hex digits, as base64, as a number.
 * The digest is the one that `sha256sum` prints. */
#include "harness/base/hash.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>

static void put_hex(const unsigned char digest[SHA256_DIGEST_LENGTH], char out[HASH_HEX])
{
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    out[HASH_HEX - 1] = 0;
}

void hash_hex(const void *data, size_t size, char out[HASH_HEX])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    if (!SHA256(data, size, digest)) abort(); /* libcrypto without SHA-256: nothing here could be trusted */
    put_hex(digest, out);
}

struct hash_state {
    EVP_MD_CTX *context;
};

hash_state *hash_begin(void)
{
    hash_state *h = malloc(sizeof *h);
    if (!h || !(h->context = EVP_MD_CTX_new()) || !EVP_DigestInit_ex(h->context, EVP_sha256(), NULL)) abort();
    return h;
}

void hash_add(hash_state *h, const void *data, size_t size)
{
    if (!EVP_DigestUpdate(h->context, data, size)) abort();
}

void hash_end(hash_state *h, char out[HASH_HEX])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    if (!EVP_DigestFinal_ex(h->context, digest, NULL)) abort();
    put_hex(digest, out);
    EVP_MD_CTX_free(h->context);
    free(h);
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

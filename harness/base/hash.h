/* SHA-256 through libcrypto, in lower-case hex: what `sha256sum` prints.
 * Weights, configs, texts and files of results are named by it. */
#ifndef PAL_HASH_H
#define PAL_HASH_H

#include <stddef.h>
#include <stdint.h>

enum { HASH_HEX = 65, HASH_BASE64 = 45 };

void hash_hex(const void *data, size_t size, char out[HASH_HEX]);
/* The same of what comes in pieces. hash_end frees the state. */
typedef struct hash_state hash_state;
hash_state *hash_begin(void);
void hash_add(hash_state *h, const void *data, size_t size);
void hash_end(hash_state *h, char out[HASH_HEX]);
/* The digest in base64, as the security policy of a web page names it. */
void hash_base64(const void *data, size_t size, char out[HASH_BASE64]);
/* Its first 64 bits, for names that stay within a process. */
uint64_t hash_id(const void *data, size_t size);

/* FNV-1a (Fowler, Noll & Vo), 64 bits: quick, for tables and seeds; no protection against forgers. */
#define HASH_FNV_BEGIN UINT64_C(14695981039346656037)
static inline uint64_t hash_fnv(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *byte = data;
    for (size_t i = 0; i < size; i++) hash = (hash ^ byte[i]) * UINT64_C(1099511628211);
    return hash;
}
/* The same over words of eight bytes, for large blocks; what is left over goes byte by byte. */
static inline uint64_t hash_quick(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *byte = data;
    size_t i = 0;
    for (uint64_t word; i + sizeof word <= size; i += sizeof word) {
        __builtin_memcpy(&word, byte + i, sizeof word);
        hash = (hash ^ word) * UINT64_C(1099511628211);
        hash ^= hash >> 29; /* high bits of a word reach low ones */
    }
    return hash_fnv(hash, byte + i, size - i);
}
/* The hash of a word for a table whose size is a power of two: the high half is folded in, since low bits choose.
 */
static inline size_t hash_words(const void *data, size_t size)
{
    const uint64_t hash = hash_fnv(HASH_FNV_BEGIN, data, size);
    return (size_t)(hash ^ hash >> 32);
}

#endif

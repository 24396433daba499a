/* Which keys belong to evaluation: a fixed bijection of all keys decides, so that training never sees them. */
#include "tasks/passkey/keys.h"

enum { FEISTEL_ROUNDS = 6 };

/* A product of two sides; a number of 0..left*right-1 is (number % left, number / left). */
typedef struct feistel {
    uint64_t seed;
    const char *domain;
    uint32_t left, right;
} feistel;

static const feistel key_split = {0, "passkey/split", 250, PASSKEY_KEYS / 250};

static uint32_t feistel_round(const feistel *f, int round, uint32_t side, uint32_t n)
{
    rng r = rng_make(f->seed, f->domain, side, (uint32_t)round);
    return rng_below(&r, n);
}

/* A bijection of 0..left*right-1 (Black and Rogaway's generalised Feistel network, CT-RSA 2002): each round adds
 * to one side a random function of the other. */
static uint32_t feistel_permute(const feistel *f, uint32_t number)
{
    uint32_t l = number % f->left, r = number / f->left;
    for (int round = 0; round < FEISTEL_ROUNDS; round += 2) {
        l = (l + feistel_round(f, round, r, f->left)) % f->left;
        r = (r + feistel_round(f, round + 1, l, f->right)) % f->right;
    }
    return l + f->left * r;
}

static uint32_t feistel_invert(const feistel *f, uint32_t number)
{
    uint32_t l = number % f->left, r = number / f->left;
    for (int round = FEISTEL_ROUNDS - 2; round >= 0; round -= 2) {
        r = (r + f->right - feistel_round(f, round + 1, l, f->right)) % f->right;
        l = (l + f->left - feistel_round(f, round, r, f->left)) % f->left;
    }
    return l + f->left * r;
}

int passkey_is_eval_key(int key)
{
    return feistel_permute(&key_split, (uint32_t)key) % (PASSKEY_KEYS / PASSKEY_EVAL_KEYS) == 0;
}

int passkey_eval_key(uint64_t seed, const char *domain, int64_t index)
{
    const feistel shuffle = {seed, domain, 100, PASSKEY_EVAL_KEYS / 100};
    const uint32_t rank = feistel_permute(&shuffle, (uint32_t)index);
    return (int)feistel_invert(&key_split, rank * (PASSKEY_KEYS / PASSKEY_EVAL_KEYS));
}

int passkey_train_key(rng *r)
{
    int key;
    do {
        key = (int)rng_below(r, PASSKEY_KEYS);
    } while (passkey_is_eval_key(key));
    return key;
}

/* The 100000 keys of five digits, split for good, whatever the seeds: a fixed bijection hashes a key, and those
 * whose hash is divisible by ten, exactly PASSKEY_EVAL_KEYS of them, belong to evaluation and never occur in
 * training. */
#ifndef PAL_PASSKEY_KEYS_H
#define PAL_PASSKEY_KEYS_H

#include "harness/base/rng.h"

enum { PASSKEY_DIGITS = 5, PASSKEY_KEYS = 100000, PASSKEY_EVAL_KEYS = PASSKEY_KEYS / 10 };

int passkey_is_eval_key(int key);
/* Key `index` (< PASSKEY_EVAL_KEYS) of the evaluation keys in the order that (seed, domain) shuffles them into:
 * different indices have different keys. */
int passkey_eval_key(uint64_t seed, const char *domain, int64_t index);
/* Any other key. */
int passkey_train_key(rng *r);

#endif

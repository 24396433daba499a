/* Checkpoints inside long samples: the state of a lane and the scores so far, in one file that says whose it is.
 */
#include "harness/eval/sample_checkpoint.h"

#include "harness/base/hash.h"
#include "harness/base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct head {
    char magic[8];
    char key[PARTIAL_KEY];
    int64_t index;
    uint64_t position, state_bytes, scored;
    double seconds, read;
} head;

static const char magic[8] = "PALPART2";

static size_t body_bytes(const head *h)
{
    return sizeof *h + h->scored * (sizeof(double) + sizeof(int32_t)) + h->state_bytes;
}

void partial_path(const char *dir, const char *key, int64_t index, char out[PARTIAL_PATH])
{
    char text[PARTIAL_KEY + 32], digest[HASH_HEX];
    const int size = snprintf(text, sizeof text, "%s\n%lld", key, (long long)index);
    hash_hex(text, (size_t)size, digest);
    snprintf(out, PARTIAL_PATH, "%s/%.32s.state", dir, digest);
}

int partial_save(const char *path, const char *key, int64_t index, const partial *p, pal_error *err)
{
    head h = {.index = index,
              .position = p->position,
              .state_bytes = p->state_bytes,
              .scored = p->scored,
              .seconds = p->seconds,
              .read = p->read};
    memcpy(h.magic, magic, sizeof magic);
    snprintf(h.key, sizeof h.key, "%s", key);
    const size_t body = body_bytes(&h), nll = p->scored * sizeof *p->nll, argmax = p->scored * sizeof *p->argmax;
    char *data = malloc(body + HASH_HEX), *at = data;
    if (!data) return pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    at = mempcpy(at, &h, sizeof h);
    if (p->scored) at = mempcpy(at, p->nll, nll);
    if (p->scored) at = mempcpy(at, p->argmax, argmax);
    memcpy(at, p->state, p->state_bytes);
    hash_hex(data, body, data + body);
    const int code = os_write_file(path, data, body + HASH_HEX, err);
    free(data);
    return code;
}

int partial_load(const char *path, const char *key, int64_t index, partial *out, pal_error *err)
{
    char *data;
    size_t size;
    PAL_TRY(os_read_file(path, &data, &size, err));
    head h = {.index = 0};
    if (size >= sizeof h) memcpy(&h, data, sizeof h);
    char digest[HASH_HEX];
    const size_t body = size >= sizeof h + HASH_HEX ? size - HASH_HEX : 0;
    const int known = body && memcmp(h.magic, magic, sizeof magic) == 0 &&
                      strncmp(h.key, key, sizeof h.key) == 0 && h.index == index && h.state_bytes <= size &&
                      h.scored <= size && body_bytes(&h) == body;
    if (known) hash_hex(data, body, digest);
    if (!known || memcmp(digest, data + body, HASH_HEX) != 0) {
        free(data);
        return pal_fail(err, PAL_DATA, "%s: not a whole checkpoint of this sample", path);
    }
    char *nll = data + sizeof h, *argmax = nll + h.scored * sizeof *out->nll;
    *out = (partial){.position = h.position,
                     .seconds = h.seconds,
                     .read = h.read,
                     .state = argmax + h.scored * sizeof *out->argmax,
                     .state_bytes = h.state_bytes,
                     .nll = (const double *)nll, /* the head is a multiple of 8 bytes */
                     .argmax = (const int32_t *)argmax,
                     .scored = h.scored,
                     .owned = data};
    return PAL_OK;
}

void partial_free(partial *p)
{
    free(p->owned);
    *p = (partial){0};
}

void partial_remove(const char *path)
{
    unlink(path);
}

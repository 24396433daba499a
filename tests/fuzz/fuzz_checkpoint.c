/* Weights: any bytes as a safetensors file. What loads must also run.
 * First byte 0: the file as it is; else the rest is the JSON header and two bytes say how much data follows it. */
#include "tests/fuzz/fuzz.h"

#include "models/engine/gemm.h"
#include "models/engine/pool.h"
#include "models/files/checkpoint.h"
#include "models/stream/stream.h"

enum { SMALL = 1 << 14, TOKENS = 70, BODY = 4 * SMALL + 4096, STREAM = 4 << 20 };

static const char *write_file(const uint8_t *data, size_t size)
{
    const unsigned mode = fuzz_byte(&data, &size);
    if (mode == 0) return fuzz_file("x.safetensors", data, size);
    const size_t low = fuzz_byte(&data, &size), asked = (low + 256 * fuzz_byte(&data, &size)) * 16;
    const size_t body = asked < BODY ? asked : BODY;
    char *file = calloc(1, 8 + size + body);
    if (!file) abort();
    const uint64_t header = size;
    memcpy(file, &header, 8);
    if (size) memcpy(file + 8, data, size);
    /* Small finite numbers, whatever the type. */
    memset(file + 8 + size, 0x3b, body);
    const char *path = fuzz_file("x.safetensors", file, 8 + size + body);
    free(file);
    return path;
}

static void run(const decoder *d)
{
    static pool *threads;
    pal_error err;
    int32_t token[TOKENS];
    stream *s;
    if (!threads && (gemm_setup(1, &err) != PAL_OK || pool_create(&threads, 1, &err) != PAL_OK)) abort();
    if (stream_bytes(d, 1, 1) > STREAM || stream_create(&s, d, threads, 1, &err) != PAL_OK) return;
    for (int i = 0; i < TOKENS; i++) token[i] = (int32_t)(i % decoder_config(d)->vocab);
    stream_feed(s, token, TOKENS, TOKENS, 0, NULL, NULL);
    stream_flush(s, 0, NULL, NULL);
    stream_destroy(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decoder *d = NULL;
    checkpoint_info info = {0};
    pal_error err = {0};
    const int code = checkpoint_load(write_file(data, size), &d, &info, &err);
    fuzz_check(code, &err);
    if (code != PAL_OK) return 0;
    if (decoder_parameters(d) < SMALL) run(d);
    decoder_destroy(d);
    checkpoint_info_free(&info);
    return 0;
}

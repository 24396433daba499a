/* State files: checkpoints inside samples and the lanes of a training run, with the checksum they need or without.
 * First byte: which file, which attention module, checksum or not. A state that is taken in must run on. */
#include "tests/fuzz/fuzz.h"

#include "harness/base/hash.h"
#include "harness/eval/sample_checkpoint.h"
#include "harness/train/lanes.h"
#include "models/decoder/config_keys.h"
#include "models/engine/gemm.h"
#include "models/engine/pool.h"
#include "models/stream/stream.h"

enum { MODELS = 5, LANES = 2, MORE = 40, KEY_INDEX = 3 };

static const char *const attention[MODELS] = {"local", "transformer-xl", "memorizing", "infini-delta",
                                              "infini-gated"};
static const char key[] = "0123456789abcdef0123456789abcdef";

static decoder *model(unsigned which)
{
    static decoder *made[MODELS];
    if (made[which]) return made[which];
    char text[256];
    kv_pairs pairs = {0};
    model_config cfg;
    pal_error err;
    snprintf(
        text, sizeof text,
        "attention = %s\nvocab = 16\nd_model = 8\nn_layers = 2\nn_heads = 2\nd_head = 4\nd_ff = 8\nsegment = 16\n"
        "init_std = 0.2\n%s",
        attention[which], which == 2 ? "knn_k = 4\nknn_entries = 16\n" : "");
    if (kv_pairs_parse(&pairs, text, "fuzz", &err) != PAL_OK || model_config_read(&cfg, &pairs, &err) != PAL_OK ||
        decoder_create(&made[which], &cfg, &err) != PAL_OK) {
        fprintf(stderr, "fuzz: %s\n", err.text);
        abort();
    }
    decoder_init(made[which], 1);
    kv_pairs_free(&pairs);
    return made[which];
}

static void in_vocab(void *arg, size_t lane, uint64_t position, double nll, int32_t argmax)
{
    (void)arg, (void)lane, (void)position, (void)nll;
    FUZZ_ASSERT(argmax >= 0 && argmax < 16);
}

static void go_on(stream *s)
{
    int32_t token[MORE];
    for (int i = 0; i < MORE; i++) token[i] = i % 16;
    stream_feed(s, token, MORE, MORE, 0, in_vocab, NULL);
    stream_flush(s, 0, in_vocab, NULL);
}

static stream *new_stream(const decoder *d)
{
    static pool *threads;
    pal_error err;
    stream *s;
    if (!threads && (gemm_setup(1, &err) != PAL_OK || pool_create(&threads, 1, &err) != PAL_OK)) abort();
    if (stream_create(&s, d, threads, 1, &err) != PAL_OK) abort();
    return s;
}

/* A whole file of a stream that read some tokens: the input then overwrites its beginning, middle or end. */
static void patch(char *file, size_t size, const uint8_t *data, size_t data_size)
{
    while (data_size >= 4) {
        const size_t at = (data[0] + 256u * data[1]) % size;
        const uint8_t count = data[2] % 16;
        data += 3, data_size -= 3;
        for (size_t i = 0; i < count && data_size && at + i < size; i++, data++, data_size--)
            file[at + i] = (char)*data;
    }
}

static void fuzz_partial(const decoder *d, int sealed, const uint8_t *data, size_t size)
{
    pal_error err = {0};
    stream *s = new_stream(d);
    const int32_t token[20] = {1, 2, 3};
    stream_feed(s, token, 20, 20, 0, NULL, NULL);
    const size_t bytes = stream_snapshot_bytes(s);
    char *snapshot = malloc(bytes), *file;
    double nll[20] = {0};
    int32_t argmax[20] = {0};
    if (!snapshot) abort();
    stream_save(s, 0, snapshot);
    const partial p = {
        .position = 20, .state = snapshot, .state_bytes = bytes, .nll = nll, .argmax = argmax, .scored = 20};
    const char *path = fuzz_path("x.state");
    size_t file_size;
    FUZZ_ASSERT(partial_save(path, key, KEY_INDEX, &p, &err) == PAL_OK);
    FUZZ_ASSERT(os_read_file(path, &file, &file_size, &err) == PAL_OK);
    patch(file, file_size, data, size);
    if (sealed && file_size > HASH_HEX) hash_hex(file, file_size - HASH_HEX, file + file_size - HASH_HEX);
    /* A short input cuts the file. */
    if (size % 7 == 3) file_size = file_size * (size % 64) / 64;
    fuzz_file("x.state", file, file_size);
    partial loaded;
    int code = partial_load(path, key, KEY_INDEX, &loaded, &err);
    fuzz_check(code, &err);
    if (code == PAL_OK) {
        if (loaded.state_bytes == bytes) {
            code = stream_restore(s, 0, loaded.state, &err);
            fuzz_check(code, &err);
            if (code == PAL_OK) go_on(s);
        }
        partial_free(&loaded);
    }
    free(file);
    free(snapshot);
    stream_destroy(s);
}

/* Raw bytes as the snapshot itself. */
static void fuzz_snapshot(const decoder *d, const uint8_t *data, size_t size)
{
    pal_error err = {0};
    stream *s = new_stream(d);
    const int32_t token[20] = {1, 2, 3};
    stream_feed(s, token, 20, 20, 0, NULL, NULL);
    const size_t bytes = stream_snapshot_bytes(s);
    char *snapshot = malloc(bytes);
    if (!snapshot) abort();
    stream_save(s, 0, snapshot);
    patch(snapshot, bytes, data, size);
    const int code = stream_restore(s, 0, snapshot, &err);
    fuzz_check(code, &err);
    if (code == PAL_OK) go_on(s);
    free(snapshot);
    stream_destroy(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned mode = fuzz_byte(&data, &size);
    const decoder *d = model(mode % MODELS);
    if (mode / MODELS % 3 == 0)
        fuzz_snapshot(d, data, size);
    else
        fuzz_partial(d, mode / MODELS % 3 == 1, data, size);
    return 0;
}

/* State files: checkpoints inside samples, with the checksum they need or without. First byte: which file, which
 * attention module, checksum or not. A state that is taken in must run on. */
#include "tests/fuzz/fuzz.h"

#include "harness/base/hash.h"
#include "harness/eval/sample_checkpoint.h"
#include "models/decoder/config_keys.h"
#include "models/engine/gemm.h"
#include "models/engine/pool.h"
#include "models/stream/stream.h"

enum { MODELS = 5, READ = 20, MORE = 14, KEY_INDEX = 3 };

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

/* One of each model for the whole process: a restored snapshot replaces all that it held. */
typedef struct subject {
    stream *stream;
    size_t bytes; /* of a snapshot */
    char *snapshot, *file;
    size_t file_size;
} subject;

static void go_on(stream *s)
{
    int32_t token[MORE];
    for (int i = 0; i < MORE; i++) token[i] = i % 16;
    stream_feed(s, token, MORE, MORE, 0, in_vocab, NULL);
    stream_flush(s, 0, in_vocab, NULL);
}

/* A stream that read some tokens, its snapshot, and the file of a sample at that place. */
static subject *subject_of(unsigned which)
{
    static pool *threads;
    static subject made[MODELS];
    subject *m = &made[which];
    pal_error err = {0};
    if (m->stream) return m;
    if (!threads && (gemm_setup(1, &err) != PAL_OK || pool_create(&threads, 1, &err) != PAL_OK)) abort();
    if (stream_create(&m->stream, model(which), threads, 1, &err) != PAL_OK) abort();
    const int32_t token[READ] = {1, 2, 3};
    stream_feed(m->stream, token, READ, READ, 0, NULL, NULL);
    m->bytes = stream_snapshot_bytes(m->stream);
    m->snapshot = malloc(m->bytes);
    if (!m->snapshot) abort();
    stream_save(m->stream, 0, m->snapshot);
    const double nll[READ] = {0};
    const int32_t argmax[READ] = {0};
    const partial p = {.position = READ,
                       .state = m->snapshot,
                       .state_bytes = m->bytes,
                       .nll = nll,
                       .argmax = argmax,
                       .scored = READ};
    const char *path = fuzz_path("x.state");
    FUZZ_ASSERT(partial_save(path, key, KEY_INDEX, &p, &err) == PAL_OK);
    FUZZ_ASSERT(os_read_file(path, &m->file, &m->file_size, &err) == PAL_OK);
    return m;
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

static char *copy_of(const char *bytes, size_t size)
{
    char *copy = malloc(size);
    if (!copy) abort();
    return memcpy(copy, bytes, size);
}

static void restore(const subject *m, const void *snapshot)
{
    pal_error err = {0};
    const int code = stream_restore(m->stream, 0, snapshot, &err);
    fuzz_check(code, &err);
    if (code == PAL_OK) go_on(m->stream);
}

static void fuzz_partial(const subject *m, int sealed, const uint8_t *data, size_t size)
{
    pal_error err = {0};
    size_t file_size = m->file_size;
    char *file = copy_of(m->file, file_size);
    patch(file, file_size, data, size);
    if (sealed && file_size > HASH_HEX) hash_hex(file, file_size - HASH_HEX, file + file_size - HASH_HEX);
    /* A short input cuts the file. */
    if (size % 7 == 3) file_size = file_size * (size % 64) / 64;
    const char *path = fuzz_file("x.state", file, file_size);
    partial loaded;
    const int code = partial_load(path, key, KEY_INDEX, &loaded, &err);
    fuzz_check(code, &err);
    if (code == PAL_OK) {
        if (loaded.state_bytes == m->bytes) restore(m, loaded.state);
        partial_free(&loaded);
    }
    free(file);
}

/* Raw bytes as the snapshot itself. */
static void fuzz_snapshot(const subject *m, const uint8_t *data, size_t size)
{
    char *snapshot = copy_of(m->snapshot, m->bytes);
    patch(snapshot, m->bytes, data, size);
    restore(m, snapshot);
    free(snapshot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned mode = fuzz_byte(&data, &size);
    const subject *m = subject_of(mode % MODELS);
    if (mode / MODELS % 3 == 0)
        fuzz_snapshot(m, data, size);
    else
        fuzz_partial(m, mode / MODELS % 3 == 1, data, size);
    return 0;
}

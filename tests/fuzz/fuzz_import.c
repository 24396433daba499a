/* Checkpoints of other programs: any bytes as each of their files, beside good ones. What opens must also load.
 * First byte: config.json, the index of several files, weights, GGUF, or llama2.c's file. */
#include "tests/fuzz/fuzz.h"

#include "models/import/foreign.h"
#include "models/import/import.h"

enum { MODE_CONFIG, MODE_INDEX, MODE_WEIGHTS, MODE_GGUF, MODE_LLAMA2C, MODE_SHAPE, MODES };
enum { SMALL = 1 << 16 };

static const char config[] =
    "{\"model_type\":\"llama\",\"vocab_size\":4,\"hidden_size\":4,\"intermediate_size\":4,\"num_hidden_layers\":1,"
    "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"max_position_embeddings\":64}";

/* The weights of that config, in BF16. */
static const char header[] =
    "{\"model.embed_tokens.weight\":{\"dtype\":\"BF16\",\"shape\":[4,4],\"data_offsets\":[0,32]},"
    "\"model.norm.weight\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[32,40]},"
    "\"model.layers.0.input_layernorm.weight\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[40,48]},"
    "\"model.layers.0.post_attention_layernorm.weight\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[48,56]"
    "},"
    "\"model.layers.0.self_attn.q_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[4,4],\"data_offsets\":[56,88]},"
    "\"model.layers.0.self_attn.k_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[2,4],\"data_offsets\":[88,104]},"
    "\"model.layers.0.self_attn.v_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[2,4],\"data_offsets\":[104,120]},"
    "\"model.layers.0.self_attn.o_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[4,4],\"data_offsets\":[120,152]},"
    "\"model.layers.0.mlp.gate_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[4,4],\"data_offsets\":[152,184]},"
    "\"model.layers.0.mlp.up_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[4,4],\"data_offsets\":[184,216]},"
    "\"model.layers.0.mlp.down_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[4,4],\"data_offsets\":[216,248]}}";

static void write_weights(const char *name, const void *head, size_t size, size_t body)
{
    char *file = calloc(1, 8 + size + body);
    const uint64_t length = size;
    if (!file) abort();
    memcpy(file, &length, 8);
    if (size) memcpy(file + 8, head, size);
    memset(file + 8 + size, 0x3b, body);
    fuzz_file(name, file, 8 + size + body);
    free(file);
}

/* The folder with all but the file of this mode. */
static const char *prepare(unsigned mode, const uint8_t *data, size_t size)
{
    static int good;
    if (!good) {
        fuzz_file("config.json", config, sizeof config - 1);
        write_weights("model.safetensors", header, sizeof header - 1, 248);
        write_weights("part.safetensors", header, sizeof header - 1, 248);
        good = 1;
    }
    switch (mode) {
    case MODE_CONFIG:
        fuzz_file("config.json", data, size);
        break;
    case MODE_INDEX:
        unlink(fuzz_path("model.safetensors"));
        fuzz_file("model.safetensors.index.json", data, size);
        break;
    case MODE_WEIGHTS:
        write_weights("model.safetensors", data, size, 248);
        break;
    case MODE_GGUF:
        return fuzz_file("x.gguf", data, size);
    default:
        return fuzz_file("x.bin", data, size);
    }
    good = 0; /* the next one mends it */
    return fuzz_dir();
}

static void mend(unsigned mode)
{
    if (mode == MODE_INDEX) unlink(fuzz_path("model.safetensors.index.json"));
}

/* Parsing alone, without a file. */
static int parse(const uint8_t *data, size_t size, pal_error *err)
{
    foreign_shape shape;
    kv_pairs keys = {0};
    int code = huggingface_shape(&shape, (const char *)data, size, "config.json", err);
    if (code == PAL_OK) code = foreign_keys(&shape, "config.json", &keys, err);
    kv_pairs_free(&keys);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned mode = fuzz_byte(&data, &size) % MODES;
    pal_error err = {0};
    decoder *d = NULL;
    checkpoint_info info = {0};
    if (mode == MODE_SHAPE) {
        fuzz_check(parse(data, size, &err), &err);
        return 0;
    }
    const char *path = prepare(mode, data, size);
    int code = model_describe(path, NULL, NULL, NULL, &d, NULL, &info, &err);
    fuzz_check(code, &err);
    if (code == PAL_OK && decoder_parameters(d) < SMALL) {
        code = model_read_weights(path, d, &err);
        fuzz_check(code, &err);
    }
    if (d) checkpoint_info_free(&info);
    decoder_destroy(d);
    mend(mode);
    return 0;
}

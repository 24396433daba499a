/* llama2.c's .bin (version 0): seven numbers, then all tensors in F32, layer upon layer, kind after kind.
 * The file names nothing: its size must be exactly what the seven numbers ask for. */
#include "models/import/foreign.h"

#include "harness/base/os.h"

#include <stdio.h>
#include <string.h>

enum { HEADER_NUMBERS = 7, HEADER_BYTES = HEADER_NUMBERS * 4 };

static int32_t number_at(const uint8_t *data, int index)
{
    const uint8_t *at = data + 4 * index;
    return (int32_t)((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);
}

/* Tensors in the file's order. name: in GGUF's spelling; NULL: numbers that nobody needs. */
typedef struct block {
    const char *name;
    int of_layer;
    size_t rows, cols;
} block;

enum { BLOCKS = 14 };

static void list_blocks(const foreign_shape *s, block out[BLOCKS])
{
    const size_t width = (size_t)s->width, inner = (size_t)s->inner, vocab = (size_t)s->vocab,
                 q = (size_t)(s->heads * s->head), kv = (size_t)(s->kv_heads * s->head),
                 angles = (size_t)(s->context * s->head / 2);
    const block list[BLOCKS] = {
        {"token_embd", 0, vocab, width},
        {"attn_norm", 1, width, 1},
        {"attn_q", 1, q, width},
        {"attn_k", 1, kv, width},
        {"attn_v", 1, kv, width},
        {"attn_output", 1, width, q},
        {"ffn_norm", 1, width, 1},
        {"ffn_gate", 1, inner, width},
        {"ffn_down", 1, width, inner},
        {"ffn_up", 1, inner, width},
        {"output_norm", 0, width, 1},
        {NULL, 0, angles, 1},
        {NULL, 0, angles, 1},
        {"output", 0, s->tied ? 0 : vocab, width},
    };
    memcpy(out, list, sizeof list);
}

static uint64_t expected_size(const foreign_shape *s, const block list[BLOCKS])
{
    uint64_t numbers = 0;
    for (int i = 0; i < BLOCKS; i++)
        numbers += (uint64_t)list[i].rows * list[i].cols * (list[i].of_layer ? (uint64_t)s->layers : 1);
    return HEADER_BYTES + 4 * numbers;
}

static int add_tensors(foreign *f, const block list[BLOCKS], const char *data, const char *path, pal_error *err)
{
    const block_format *f32 = block_format_find(BLOCK_F32);
    for (int i = 0; i < BLOCKS; i++) {
        const size_t bytes = 4 * list[i].rows * list[i].cols;
        for (int64_t layer = 0; layer < (list[i].of_layer ? f->shape.layers : 1); layer++, data += bytes) {
            char name[64], prefix[32] = "";
            if (!list[i].name || bytes == 0) continue;
            if (list[i].of_layer) snprintf(prefix, sizeof prefix, "blk.%lld.", (long long)layer);
            snprintf(name, sizeof name, "%s%s.weight", prefix, list[i].name);
            PAL_TRY(foreign_add(f, name, f32, data, list[i].rows, list[i].cols, path, err));
        }
    }
    return foreign_sort(f, err);
}

static void read_header(const uint8_t *data, foreign_shape *s)
{
    foreign_shape_begin(s, family_of_gguf("llama"));
    s->width = number_at(data, 0);
    s->inner = number_at(data, 1);
    s->layers = number_at(data, 2);
    s->heads = number_at(data, 3);
    s->kv_heads = number_at(data, 4);
    const int64_t vocab = number_at(data, 5); /* negative: the output's weights are its own */
    s->vocab = vocab < 0 ? -vocab : vocab;
    s->tied = vocab > 0;
    s->context = number_at(data, 6);
    s->head = s->heads > 0 ? s->width / s->heads : 0;
    s->eps = 1e-5;
}

static int read_model(foreign *f, const uint8_t *data, size_t size, const char *path, pal_error *err)
{
    static const char hint[] = "no model of llama2.c, which is what .bin files are read as";
    block list[BLOCKS];
    pal_error cause;
    if (size < HEADER_BYTES) return pal_fail(err, PAL_DATA, "%s: only %zu bytes: %s", path, size, hint);
    read_header(data, &f->shape);
    if (foreign_shape_check(&f->shape, "its header", &cause) != PAL_OK)
        return pal_fail(err, PAL_DATA, "%s: %s: %s", path, hint, cause.text);
    if (f->shape.width % f->shape.heads != 0)
        return pal_fail(err, PAL_DATA, "%s: %lld heads do not divide a width of %lld: %s", path,
                        (long long)f->shape.heads, (long long)f->shape.width, hint);
    list_blocks(&f->shape, list);
    const uint64_t expected = expected_size(&f->shape, list);
    if (expected != size)
        return pal_fail(err, PAL_DATA, "%s: its header asks for %llu bytes, the file has %zu: cut short, or %s",
                        path, (unsigned long long)expected, size, hint);
    return add_tensors(f, list, (const char *)data + HEADER_BYTES, path, err);
}

/* The usual name, in the model's folder. */
static void find_tokenizer(foreign *f, const char *path)
{
    const char *slash = strrchr(path, '/');
    char beside[KV_TEXT_MAX];
    const int used =
        snprintf(beside, sizeof beside, "%.*stokenizer.bin", slash ? (int)(slash + 1 - path) : 0, path);
    if (used < (int)sizeof beside && os_file_exists(beside)) memcpy(f->tokenizer, beside, (size_t)used + 1);
}

int llama2c_open(foreign *f, const char *path, pal_error *err)
{
    const void *data;
    size_t size;
    f->kind = "llama2.c";
    f->style = NAMES_GGUF;
    f->side_by_side = 1;
    PAL_TRY(foreign_map_file(f, path, &data, &size, err));
    find_tokenizer(f, path);
    return read_model(f, data, size, path, err);
}

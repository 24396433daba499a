/* The table of model families, and the table of tensor names in HuggingFace's and GGUF's spelling.
 * Sources: the models' classes in `transformers`; llama.cpp's list of tensors. */
#include "models/import/family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const family families[] = {
    {.name = "llama",
     .gguf = "llama",
     .bias = BIAS_BY_KEY,
     .mlp_bias = 1,
     .gguf_side_by_side = 1,
     .context = 2048,
     .eps = 1e-6},
    {.name = "mistral", .gguf = "", .bias = BIAS_NONE, .window = WINDOW_BY_SIZE, .context = 131072, .eps = 1e-6},
    {.name = "qwen2", .gguf = "qwen2", .bias = BIAS_QKV, .window = WINDOW_BY_FLAG, .context = 32768, .eps = 1e-6},
    {.name = "qwen3",
     .gguf = "qwen3",
     .bias = BIAS_BY_KEY,
     .qk_norm = QK_NORM_RMS,
     .window = WINDOW_BY_FLAG,
     .context = 32768,
     .eps = 1e-6},
};

enum { FAMILIES = sizeof families / sizeof families[0] };

const family *family_of_type(const char *model_type)
{
    for (size_t i = 0; i < FAMILIES; i++)
        if (strcmp(families[i].name, model_type) == 0) return &families[i];
    return NULL;
}

const family *family_of_gguf(const char *architecture)
{
    for (size_t i = 0; i < FAMILIES; i++)
        if (families[i].gguf[0] && strcmp(families[i].gguf, architecture) == 0) return &families[i];
    return NULL;
}

const char *family_names(char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < FAMILIES && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", families[i].name);
    return out;
}

/* ---- Names of tensors ---- */

enum { PARTS = 3 };

/* Without ".weight" and ".bias", which are the same everywhere. Of a layer: what follows "layers.L.". */
typedef struct name_row {
    const char *ours;
    const char *theirs[2][PARTS]; /* by name_style */
} name_row;

static const name_row whole_rows[] = {
    {"word_emb.emb_layers.0", {{"model.embed_tokens"}, {"token_embd"}}},
    {"final_norm", {{"model.norm"}, {"output_norm"}}},
    {"crit.out_layers.0", {{"lm_head"}, {"output"}}},
};

static const name_row layer_rows[] = {
    {"dec_attn.layer_norm", {{"input_layernorm"}, {"attn_norm"}}},
    {"dec_attn.qkv_net",
     {{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, {"attn_q", "attn_k", "attn_v"}}},
    {"dec_attn.o_net", {{"self_attn.o_proj"}, {"attn_output"}}},
    {"dec_attn.q_norm", {{"self_attn.q_norm"}, {"attn_q_norm"}}},
    {"dec_attn.k_norm", {{"self_attn.k_norm"}, {"attn_k_norm"}}},
    {"pos_ff.layer_norm", {{"post_attention_layernorm"}, {"ffn_norm"}}},
    {"pos_ff.CoreNet.0", {{"mlp.up_proj"}, {"ffn_up"}}},
    {"pos_ff.gate", {{"mlp.gate_proj"}, {"ffn_gate"}}},
    {"pos_ff.CoreNet.3", {{"mlp.down_proj"}, {"ffn_down"}}},
};

static const char *const layer_prefix[] = {[NAMES_HUGGINGFACE] = "model.layers", [NAMES_GGUF] = "blk"};

static const name_row *find_row(const name_row *table, size_t rows, const char *stem, size_t length)
{
    for (size_t i = 0; i < rows; i++)
        if (strlen(table[i].ours) == length && memcmp(table[i].ours, stem, length) == 0) return &table[i];
    return NULL;
}

size_t foreign_names(name_style style, const char *name, char out[][128], size_t most)
{
    const char *dot = strrchr(name, '.'), *stem = name;
    if (!dot) return 0;
    char prefix[48] = "";
    const name_row *row;
    if (strncmp(name, "layers.", 7) == 0) {
        char *end;
        const unsigned long layer = strtoul(name + 7, &end, 10);
        if (*end != '.') return 0;
        stem = end + 1;
        if (stem > dot) return 0;
        snprintf(prefix, sizeof prefix, "%s.%lu.", layer_prefix[style], layer);
        row = find_row(layer_rows, sizeof layer_rows / sizeof layer_rows[0], stem, (size_t)(dot - stem));
    } else
        row = find_row(whole_rows, sizeof whole_rows / sizeof whole_rows[0], stem, (size_t)(dot - stem));
    size_t count = 0;
    for (; row && count < PARTS && count < most && row->theirs[style][count]; count++)
        snprintf(out[count], sizeof out[count], "%s%s%s", prefix, row->theirs[style][count], dot);
    return count;
}

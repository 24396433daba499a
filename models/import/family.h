/* The families of models that can be read, one row each, and how the tensors of a model are called in their files.
 */
#ifndef PAL_IMPORT_FAMILY_H
#define PAL_IMPORT_FAMILY_H

#include "models/config/config.h"

/* How config.json and tensors of a model say whether projections have biases. */
typedef enum bias_rule {
    BIAS_BY_KEY, /* attention_bias: q, k, v and the output's, or none */
    BIAS_NONE,
    BIAS_QKV /* always q, k and v */
} bias_rule;

typedef enum window_rule {
    WINDOW_NEVER,   /* the family knows no sliding window */
    WINDOW_BY_SIZE, /* sliding_window, unless it is null */
    WINDOW_BY_FLAG  /* sliding_window where use_sliding_window is true */
} window_rule;

typedef struct family {
    const char *name; /* model_type of config.json */
    const char *gguf; /* general.architecture */
    bias_rule bias;
    qk_norm_kind qk_norm;
    window_rule window;
    int mlp_bias;          /* the family knows the key mlp_bias */
    int gguf_side_by_side; /* GGUF files hold rotary pairs of q and k side by side */
    int64_t context;       /* what config.json means where it names none */
    double eps;
} family;

/* The row of a model_type or of a general.architecture; NULL: it cannot be read. */
const family *family_of_type(const char *model_type);
const family *family_of_gguf(const char *architecture);
/* "llama, mistral, qwen2, ..." into out[size]. */
const char *family_names(char *out, size_t size);

typedef enum name_style { NAMES_HUGGINGFACE, NAMES_GGUF } name_style;

/* The names in a file of what is our tensor `name` ("layers.3.dec_attn.qkv_net.weight"): up to `most` of them into
 * out[], in the order in which they stand on top of each other. Returns how many; 0: no other program has it. */
size_t foreign_names(name_style style, const char *name, char out[][128], size_t most);

#endif

/* Every row of attn_table, every layer, in several configurations: what the property suite runs over. */
#ifndef PAL_TEST_ATTENTION_ROWS_H
#define PAL_TEST_ATTENTION_ROWS_H

#include "tests/lib/attention_lab.h"

/* Sizes at which a module's memory fills, wraps and drops within a few segments of 16 tokens. */
#define SHARED "n_heads = 4\nn_kv_heads = 2\n"

typedef struct variant {
    const char *module, *settings;
} variant;

/* Several blocks of rows. */
#define LARGER "segment = 80\nd_model = 68\nd_head = 34\n"

static const variant variants[] = {
    {"transformer-xl", SHARED "mem_len = 9\n"},
    {"memorizing", SHARED "knn_entries = 21\nknn_k = 5\nxl_len = 7\n"},
    {"infini-linear", SHARED "xl_len = 7\n"},
    {"infini-delta", "memory_map = head\nmemory_mix = add\nmemory_key = previous\n"},
    {"infini-delta", SHARED},
    {"infini-gated", SHARED "memory_key = previous\n"},
    {"window", SHARED "window = 9\nsinks = 3\n"},
    {"full", SHARED "context = 96\n"},
    {"transformer-xl", "mem_len = 0\n"},
    {"transformer-xl", "mem_len = 5\nclamp_len = 3\n"},
    {"transformer-xl", "mem_len = 40\nsame_length = 1\n"},
    {"transformer-xl", "mem_len = 24\nclamp_len = 12\n"},
    {"memorizing", "segment = 272\nknn_entries = 600\nknn_k = 3\n"},
    {"memorizing", "knn_entries = 9\nknn_k = 9\nxl_len = 7\n"},
    {"memorizing", "knn_entries = 21\nknn_k = 5\nxl_len = 20\n"},
    {"memorizing", "knn_entries = 40\nknn_k = 40\n"},
    {"memorizing", SHARED "knn_entries = 40\nknn_k = 40\nxl_len = 7\nknn_mix = softmax\n"},
    {"memorizing", "knn_entries = 9\nknn_k = 4\nxl_len = 12\nknn_mix = softmax\n"},
    {"memorizing", "knn_entries = 60\nknn_k = 5\nknn_mix = softmax\n"},
    {"memorizing", "knn_entries = 40\nknn_k = 40\n"},
    {"infini-linear", "xl_len = 7\n"},
    {"infini-delta", "memory_key = previous\n"},
    {"infini-linear", SHARED "local_sinks = 3\nmemory_from = 1\n"},
    {"infini-delta", "xl_len = 7\nlocal_sinks = 20\n"},
    {"infini-gated", LARGER "xl_len = 5\nlocal_sinks = 4\n"},
    {"infini-delta", "xl_len = 20\n"},
    {"infini-gated", "memory_map = head\nmemory_layers = 1\n"},
    {"infini-gated", "write_from = 5\nwrite_offset = 0.4\nmemory_key = previous\n"},
    {"infini-gated", SHARED "read_gate = token\nread_gate_init = 0.5\nmemory_map = head\nmemory_mix = add\n"},
    {"infini-gated", LARGER "read_gate = token\nmemory_from = 1\nxl_len = 5\n"},
    {"infini-gated", "memory_key = previous\nmemory_from = 1\n"},
    {"infini-linear", "xl_len = 7\nmemory_from = 1\n"},
    {"infini-gated", "xl_len = 3\nmemory_key = previous\n"},
    {"infini-gated", "memory_empty = unwritten\n"},
    {"infini-gated", "xl_len = 40\n"},
    {"window", "window = 1\nsinks = 0\n"},
    {"window", "window = 7\nsinks = 0\nwindow_positions = absolute\n"},
    {"window", "window = 20\nsinks = 19\nwindow_positions = absolute\n"},
    {"window", "window = 5\nsinks = 40\nwindow_slides = segment\n"},
    {"window", LARGER "window = 70\nsinks = 2\nwindow_positions = absolute\n"},
    {"window", "window = 6\nsinks = 3\nwindow_positions = absolute\nwindow_slides = segment\n"},
    {"window", "window = 6\nsinks = 3\n"},
    {"compressive", SHARED "mem_len = 9\ncompressed_len = 5\ncompress_rate = 3\n"},
    {"compressive", "mem_len = 20\ncompressed_len = 3\ncompress_rate = 5\n"},
    {"compressive", "mem_len = 24\ncompressed_len = 40\ncompress_rate = 1\n"},
    {"deltanet", SHARED "conv_width = 3\nexpand_v = 2\n"},
    {"deltanet", "segment = 144\nconv_width = 1\n"},
    {"gated-deltanet", SHARED "segment = 48\nconv_width = 20\n"},
    {"gated-deltanet", "segment = 144\nd_head = 10\nexpand_v = 3\n"},
    {"full", "context = 96\n"},
    {"full", "context = 400\nsegment = 80\n"},
};

typedef void property(const model_config *cfg, size_t layer);

static inline void run_layers(property *check, const char *module, const char *settings)
{
    const model_config cfg = lab_config(module, settings);
    const size_t used = strlen(label);
    for (size_t layer = 0; layer < (size_t)cfg.n_layers; layer++) {
        snprintf(label + used, sizeof label - used, "(layer %zu)", layer);
        check(&cfg, layer);
    }
}

/* Each choice of each option, on top of `settings`. */
static inline void run_choices(property *check, const attn_module *m, const char *settings)
{
    for (size_t i = 0; i < m->option_count; i++) {
        const kv_spec *option = &m->options[i];
        if (option->type != KV_CHOICE) continue;
        for (const char *c = option->choices; *c;) {
            char all[300];
            const size_t length = strcspn(c, "|");
            snprintf(all, sizeof all, "%s%s = %.*s\n", settings, option->key, (int)length, c);
            run_layers(check, m->name, all);
            c += length + (c[length] == '|');
        }
    }
}

/* Defaults, a larger model, the variants above, and the last of these with each choice of each option. */
static inline void for_every_row(property *check)
{
    for (const attn_module *const *m = attn_table; *m; m++) {
        const char *last = "";
        run_layers(check, (*m)->name, "");
        run_layers(check, (*m)->name, LARGER);
        for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
            if (strcmp(variants[i].module, (*m)->name) != 0) continue;
            last = variants[i].settings;
            run_layers(check, (*m)->name, last);
        }
        run_choices(check, *m, last);
    }
}

#endif

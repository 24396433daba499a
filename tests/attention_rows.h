/* Every row of attn_table, every layer, in several configurations: what the property suite runs over. */
#ifndef PAL_TEST_ATTENTION_ROWS_H
#define PAL_TEST_ATTENTION_ROWS_H

#include "tests/attention_lab.h"

/* Sizes at which a module's memory fills, wraps and drops within a few segments of 16 tokens. `jumps`: the output
 * is not continuous in the weights, and steps of single-precision finite differences would cross the jumps. */
typedef struct variant {
    const char *module, *settings;
    int jumps;
} variant;

/* Several blocks of rows. */
#define LARGER "segment = 80\nd_model = 68\nd_head = 34\n"

static const variant variants[] = {
    {"transformer-xl", "mem_len = 0\n", 0},
    {"transformer-xl", "mem_len = 5\nclamp_len = 3\n", 0},
    {"transformer-xl", "mem_len = 40\nsame_length = 1\n", 0},
    {"transformer-xl", "mem_len = 24\nclamp_len = 12\n", 0},
    {"memorizing", "", 1},
    {"memorizing", LARGER, 1},
    {"memorizing", "segment = 272\nknn_entries = 600\nknn_k = 3\n", 1},
    {"memorizing", "knn_entries = 9\nknn_k = 9\nxl_len = 7\n", 0},
    {"memorizing", "knn_entries = 21\nknn_k = 5\nxl_len = 20\n", 1},
    {"memorizing", "knn_entries = 40\nknn_k = 40\n", 0},
    {"full", "context = 96\n", 0},
    {"full", "context = 400\nsegment = 80\n", 0},
};

enum { VARIANTS = sizeof variants / sizeof variants[0] };

static inline int jumps(const char *module, const char *settings)
{
    for (size_t i = 0; i < VARIANTS; i++)
        if (strcmp(variants[i].module, module) == 0 &&
            strncmp(variants[i].settings, settings, strlen(settings)) == 0)
            return variants[i].jumps;
    return 0;
}

typedef void property(const model_config *cfg, size_t layer, int jumps);

static inline void run_layers(property *check, const char *module, const char *settings, int jump)
{
    const model_config cfg = lab_config(module, settings);
    const size_t used = strlen(label);
    for (size_t layer = 0; layer < (size_t)cfg.n_layers; layer++) {
        snprintf(label + used, sizeof label - used, "(layer %zu)", layer);
        check(&cfg, layer, jump);
    }
}

/* Defaults, a larger model, the variants above, and the last of these with each choice of each option. */
static inline void for_every_row(property *check)
{
    for (const attn_module *const *m = attn_table; *m; m++) {
        const char *name = (*m)->name, *last = "";
        int last_jumps = jumps(name, "");
        run_layers(check, name, "", last_jumps);
        run_layers(check, name, LARGER, jumps(name, LARGER));
        for (size_t i = 0; i < VARIANTS; i++) {
            if (strcmp(variants[i].module, name) != 0) continue;
            last = variants[i].settings;
            last_jumps = variants[i].jumps;
            run_layers(check, name, last, last_jumps);
        }
        for (size_t i = 0; i < (*m)->option_count; i++) {
            const kv_spec *option = &(*m)->options[i];
            if (option->type != KV_CHOICE) continue;
            for (const char *c = option->choices; c && *c;) {
                char settings[300];
                const size_t length = strcspn(c, "|");
                snprintf(settings, sizeof settings, "%s%s = %.*s\n", last, option->key, (int)length, c);
                run_layers(check, name, settings, last_jumps);
                c += length + (c[length] == '|');
            }
        }
    }
}

#endif

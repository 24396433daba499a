#include "harness/base/os.h"
#include "harness/command/commands.h"
#include "harness/eval/request.h"
#include "models/attention/attention.h"
#include "models/engine/gemm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int list_weights(const char *dir, pal_error *err)
{
    weights_file *files = NULL;
    size_t count = 0;
    pal_error none;
    printf("\nWeights in %s (model=NAME):\n", dir);
    if (weights_resolve("all", dir, &files, &count, &none) != PAL_OK) printf("  none\n");
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < count; i++) {
        decoder *d = NULL;
        checkpoint_info info;
        code = checkpoint_load(files[i].path, &d, &info, err);
        if (code != PAL_OK) break;
        const model_config *cfg = decoder_config(d);
        char segment[24];
        printf("  %-28s %s, %zu parameters, %zu bytes of state, segment %s\n  %-28s sha256 %s\n", files[i].name,
               cfg->attention->name, decoder_parameters(d), decoder_memory_bytes(d),
               kv_format_size(cfg->segment, segment), "", info.digest);
        decoder_destroy(d);
        checkpoint_info_free(&info);
    }
    free(files);
    return code;
}

int cmd_list(int argc, char **argv, pal_error *err)
{
    static const kv_spec key = {"weights", KV_TEXT, 0, WEIGHTS_DIR, 0, 0, NULL, NULL};
    char dir[KV_TEXT_MAX];
    kv_pairs words = {0};
    int code = kv_pairs_args(&words, argc, argv, err);
    if (code == PAL_OK) code = kv_defaults(&key, 1, dir, err);
    if (code == PAL_OK) code = kv_apply(&key, 1, dir, &words, err);
    for (size_t i = 0; code == PAL_OK && i < words.count; i++)
        if (!kv_find(&key, 1, words.pair[i].key))
            code = pal_fail(err, PAL_USAGE, "%s: list has no such key; it takes weights=DIRECTORY",
                            words.pair[i].key);
    kv_pairs_free(&words);
    if (code != PAL_OK) return code;
    printf("Attention modules (attention = NAME in a config):\n");
    for (size_t i = 0; attn_table[i]; i++) printf("  %-22s %s\n", attn_table[i]->name, attn_table[i]->summary);
    printf("\nTasks (task=NAME):\n");
    for (size_t i = 0; task_table[i]; i++) printf("  %-22s %s\n", task_table[i]->name, task_table[i]->summary);
    PAL_TRY(gemm_setup(1, err));
    printf("\nBLAS core: %s\n", gemm_core());
    return list_weights(dir, err);
}

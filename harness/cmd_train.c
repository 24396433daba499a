#include "harness/commands.h"

#include "harness/base/os.h"
#include "harness/train.h"

#include <stdlib.h>

/* `config=FILE` brings a recipe; the other words override it. */
int cmd_train(int argc, char **argv, pal_error *err)
{
    kv_pairs words = {0}, recipe = {0};
    char *text = NULL;
    size_t size;
    int code = kv_pairs_args(&words, argc, argv, err);
    const char *config = code == PAL_OK ? kv_pairs_value(&words, "config") : NULL;
    if (config) {
        code = os_read_file(config, &text, &size, err);
        if (code == PAL_OK) code = kv_pairs_parse(&recipe, text, config, err);
    }
    for (size_t i = 0; code == PAL_OK && i < words.count; i++) {
        const kv_pair *p = &words.pair[i];
        if (kv_find(&(kv_spec){.key = "config"}, 1, p->key)) continue;
        code = kv_pairs_add(&recipe, p->key, p->value, p->where, err);
    }
    if (code == PAL_OK) code = train_run(&recipe, stdout, err);
    free(text);
    kv_pairs_free(&words);
    kv_pairs_free(&recipe);
    return code;
}

#include "harness/command/commands.h"

#include "harness/base/utf8.h"
#include "harness/train/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int read_config(const char *path, kv_pairs *recipe, pal_error *err)
{
    char *text;
    size_t size;
    PAL_TRY(utf8_read_file(path, &text, &size, err));
    const int code = kv_pairs_parse(recipe, text, path, err);
    free(text);
    return code;
}

/* `config=A,B` brings recipes, of which the later ones override the earlier; the other words override them all. */
int cmd_train(int argc, char **argv, pal_error *err)
{
    kv_pairs words = {0}, recipe = {0};
    char files[KV_TEXT_MAX] = "", *rest = files;
    int code = kv_pairs_args(&words, argc, argv, err);
    const char *config = code == PAL_OK ? kv_pairs_value(&words, "config") : NULL;
    if (config) snprintf(files, sizeof files, "%s", config);
    for (char *path; code == PAL_OK && (path = strtok_r(rest, ",", &rest));)
        code = read_config(path, &recipe, err);
    for (size_t i = 0; code == PAL_OK && i < words.count; i++) {
        const kv_pair *p = &words.pair[i];
        if (strcasecmp(p->key, "config") == 0) continue;
        code = kv_pairs_add(&recipe, p->key, p->value, p->where, err);
    }
    if (code == PAL_OK) code = train_run(&recipe, stdout, err);
    kv_pairs_free(&words);
    kv_pairs_free(&recipe);
    return code;
}

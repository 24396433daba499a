/* Recipes: any bytes as a file of sections. Every recipe that is listed must be readable by its name, with a task,
 * an attention, and a place for its weights and its log. */
#include "tests/fuzz/fuzz.h"

#include "harness/train/recipes.h"

static int visit(void *arg, const char *name, const char *task, const char *attention, const char *init,
                 pal_error *err)
{
    const char *path = arg;
    char from[KV_TEXT_MAX], weights[KV_TEXT_MAX];
    kv_pairs pairs = {0};
    FUZZ_ASSERT(name[0] && task && attention && init);
    int code = recipe_read(name, path, &pairs, err);
    fuzz_check(code, err);
    if (code == PAL_OK) {
        FUZZ_ASSERT(strcmp(kv_pairs_value(&pairs, "task"), task) == 0);
        FUZZ_ASSERT(kv_pairs_value(&pairs, "out") && kv_pairs_value(&pairs, "log"));
        FUZZ_ASSERT(recipe_init(name, path, from, err) == PAL_OK);
        FUZZ_ASSERT(recipe_weights(name, path, weights, err) == PAL_OK && weights[0]);
    }
    kv_pairs_free(&pairs);
    return PAL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[32] = "";
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    pal_error err = {0};
    kv_pairs pairs = {0};
    char *path = (char *)fuzz_file("x.conf", data, size);
    fuzz_check(recipe_each(path, visit, path, &err), &err);
    /* A name out of the file itself, a recipe or not. */
    if (end && data[0] == '[' && end - data > 2 && end - data < 30)
        memcpy(name, data + 1, (size_t)(end - data) - 2);
    fuzz_check(recipe_read(name, path, &pairs, &err), &err);
    kv_pairs_free(&pairs);
    return 0;
}

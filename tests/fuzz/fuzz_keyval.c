/* Settings: any bytes as a config file, applied to every table of keys. A value that is accepted must be written
 * back as a text that is read as the same value. */
#include "tests/fuzz/fuzz.h"

#include "harness/base/keyval.h"
#include "harness/train/train.h"
#include "models/decoder/config_keys.h"
#include "tasks/task.h"

static void apply(const kv_spec *table, size_t count, size_t bytes, const kv_pairs *pairs)
{
    pal_error err = {0};
    char *base = calloc(1, bytes), *again = calloc(1, bytes), text[KV_OUT_MAX], back[KV_OUT_MAX];
    if (!base || !again) abort();
    FUZZ_ASSERT(kv_defaults(table, count, base, &err) == PAL_OK);
    const int code = kv_apply(table, count, base, pairs, &err);
    fuzz_check(code, &err);
    for (size_t i = 0; code == PAL_OK && i < count; i++) {
        kv_get(&table[i], base, text, sizeof text);
        FUZZ_ASSERT(kv_set(&table[i], again, text, &err) == PAL_OK);
        kv_get(&table[i], again, back, sizeof back);
        FUZZ_ASSERT(strcmp(text, back) == 0);
    }
    free(base);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    kv_pairs pairs = {0};
    pal_error err = {0};
    if (!text) abort();
    const int code = kv_pairs_parse(&pairs, text, "fuzz.conf", &err);
    fuzz_check(code, &err);
    if (code == PAL_OK) {
        size_t count;
        const kv_spec *table = train_config_table(&count);
        apply(table, count, sizeof(train_config), &pairs);
        for (size_t i = 0; task_table[i]; i++) {
            apply(task_table[i]->eval->request_table, task_table[i]->eval->request_count,
                  task_table[i]->eval->request_bytes, &pairs);
            const task_train *train = task_table[i]->train;
            if (train) apply(train->table, train->count, train->bytes, &pairs);
        }
        model_config cfg;
        const int read = model_config_read(&cfg, &pairs, &err);
        fuzz_check(read, &err);
        if (read == PAL_OK) free(model_config_text(&cfg));
    }
    kv_pairs_free(&pairs);
    free(text);
    return 0;
}

/* GGUF files: any bytes. Every entry, array item and tensor of a file that opens is looked at, to the last byte.
 */
#include "tests/fuzz/fuzz.h"

#include "models/files/gguf.h"

static unsigned long sum;

static void look_at(const gguf_value *value)
{
    gguf_value item;
    if (value->kind == GGUF_TEXT)
        for (size_t i = 0; i < value->text.size; i++) sum += (unsigned char)value->text.data[i];
    if (value->kind != GGUF_ARRAY) return;
    for (gguf_items items = gguf_items_of(value); gguf_next(&items, &item);)
        if (item.kind != GGUF_ARRAY) look_at(&item);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gguf_file f;
    pal_error err = {0};
    /* A copy of the exact size: a read beyond it is seen. */
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    const int code = gguf_parse(&f, copy, size, "fuzz.gguf", &err);
    fuzz_check(code, &err);
    if (code == PAL_OK) {
        for (size_t i = 0; i < f.entries; i++) look_at(&f.entry[i].value);
        for (size_t i = 0; i < f.tensors; i++) {
            const gguf_tensor *t = &f.tensor[i];
            for (uint64_t b = 0; b < t->bytes; b++) sum += ((const unsigned char *)t->data)[b];
            FUZZ_ASSERT(gguf_find_tensor(&f, t->name));
        }
        gguf_close(&f);
    }
    free(copy);
    return 0;
}

/* Merging: any run.json, any main journal and journals of shards, which NUL bytes part. First byte: the task, and
 * whether lines get the checksums they need. After a refusal the main journal is what it was. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/records.h"

#include "harness/shard/merge.h"

enum { MOST_PARTS = 5 };

static void put_file(const char *name, const char *data, size_t size, int sealed)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out) abort();
    if (sealed)
        seal(out, data, size);
    else
        fwrite(data, 1, size, out);
    fclose(out);
    fuzz_file(name, text, length);
    free(text);
}

static char *slurp(const char *path, size_t *size)
{
    pal_error ignored;
    char *data = NULL;
    *size = 0;
    if (os_read_file(path, &data, size, &ignored) != PAL_OK) return NULL;
    return data;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned mode = fuzz_byte(&data, &size);
    const task_module *task = task_of(mode / 2);
    char name[80], folder[64], journal[64];
    pal_error err = {0};
    merge_outcome out;
    int found;
    snprintf(folder, sizeof folder, "shards/%s", task->name);
    snprintf(journal, sizeof journal, "%s-journal.jsonl", task->name);
    if (os_make_dirs(fuzz_path(folder), &err) != PAL_OK) abort();
    unlink(fuzz_path(journal));
    const char *rest = (const char *)data;
    for (int part = 0; part < MOST_PARTS; part++) {
        const char *end = size ? memchr(rest, '\0', size) : NULL;
        const size_t length = end ? (size_t)(end - rest) : size;
        if (part == 0)
            snprintf(name, sizeof name, "%s/run.json", folder);
        else if (part == 1)
            snprintf(name, sizeof name, "%s", journal);
        else
            snprintf(name, sizeof name, "%s/%d.jsonl", folder, part);
        put_file(name, rest, length, part > 0 && mode % 2);
        rest += length + (end != NULL);
        size -= length + (end != NULL);
    }
    size_t before, after;
    char *old = slurp(fuzz_path(journal), &before);
    const int code = merge_task(fuzz_dir(), task, fuzz_sink(), &found, &out, &err);
    fuzz_check(code, &err);
    char *now = slurp(fuzz_path(journal), &after);
    /* A damaged last record is cut off as by any run; all before it stays. */
    if (code != PAL_OK && old && now) FUZZ_ASSERT(after <= before && memcmp(old, now, after) == 0);
    if (code == PAL_OK) FUZZ_ASSERT(out.missing >= 0 && out.taken >= 0 && out.twice >= 0);
    free(old);
    free(now);
    return 0;
}

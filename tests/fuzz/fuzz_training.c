/* What a training run finds when it goes on: its log, and the file of its lanes with the place of its source.
 * First byte: which, and whether the lanes get the checksum they need. */
#include "tests/fuzz/fuzz.h"

#include "harness/base/hash.h"
#include "harness/train/lanes.h"
#include "harness/train/log.h"
#include "models/decoder/config_keys.h"
#include "models/decoder/state.h"
#include "tasks/task.h"

#include <stddef.h>

enum { LANES = 2, STEP = 7, LENGTH = 16 };

static const char texts[] = "A text of one line, and\nanother line of it: seventy bytes or so, in all.\n";

static decoder *model(void)
{
    static decoder *made;
    if (made) return made;
    kv_pairs pairs = {0};
    model_config cfg;
    pal_error err;
    const char text[] =
        "attention = infini-gated\nvocab = 256\nd_model = 4\nn_layers = 1\nn_heads = 1\nd_head = 4\n"
        "d_ff = 4\nsegment = 16\n";
    if (kv_pairs_parse(&pairs, text, "fuzz", &err) != PAL_OK || model_config_read(&cfg, &pairs, &err) != PAL_OK ||
        decoder_create(&made, &cfg, &err) != PAL_OK)
        abort();
    decoder_init(made, 1);
    kv_pairs_free(&pairs);
    return made;
}

/* The source of the task that reads texts: its place says where each lane stands in them. */
static task_source *source(const task_module *task)
{
    static task_source *made;
    static tokenizer *bytes;
    static void *keys;
    pal_error err = {0};
    if (!made) {
        keys = calloc(1, task->train->bytes);
        const kv_spec *data = kv_find(task->train->table, task->train->count, "data");
        if (!keys || !data || tokenizer_load(&bytes, "bytes", &err) != PAL_OK ||
            kv_defaults(task->train->table, task->train->count, keys, &err) != PAL_OK ||
            kv_set(data, keys, fuzz_file("texts.txt", texts, sizeof texts - 1), &err) != PAL_OK ||
            task->train->open(keys, bytes, 1, &made, &err) != PAL_OK) {
            fprintf(stderr, "fuzz: %s\n", err.text);
            abort();
        }
    }
    if (task->train->phase(made, LANES, LENGTH, &err) != PAL_OK) abort();
    return made;
}

/* The input overwrites the file's head; what is left of it goes to the first state. */
static void fuzz_lanes(int sealed, const uint8_t *data, size_t size)
{
    static train_lanes_state lanes;
    static char *whole, *path;
    static size_t whole_size;
    const task_module *task = task_find("perplexity");
    pal_error err = {0};
    task_source *s = source(task);
    if (!whole) {
        char checkpoint[FUZZ_PATH], name[FUZZ_PATH + 16];
        snprintf(checkpoint, sizeof checkpoint, "%s", fuzz_path("x.resume"));
        snprintf(name, sizeof name, "%s.lanes-%d", checkpoint, STEP);
        path = strdup(name);
        if (!path || train_lanes_open(&lanes, model(), LANES, &err) != PAL_OK) abort();
        for (int i = 0; i < LANES; i++) decoder_state_reset(model(), lanes.state[i]);
        FUZZ_ASSERT(train_lanes_save(&lanes, checkpoint, STEP, task, s, &err) == PAL_OK);
        FUZZ_ASSERT(os_read_file(path, &whole, &whole_size, &err) == PAL_OK);
    }
    char *file = malloc(whole_size);
    if (!file) abort();
    memcpy(file, whole, whole_size);
    /* The place begins at byte 32 of the head: most inputs are places. */
    const size_t at = size && data[0] & 1 ? 0 : 32, count = size < whole_size - at ? size : whole_size - at;
    memcpy(file + at, data, count);
    if (sealed) hash_hex(file, whole_size - HASH_HEX, file + whole_size - HASH_HEX);
    fuzz_file(strrchr(path, '/') + 1, file, size % 31 == 5 ? size % whole_size : whole_size);
    const int code = train_lanes_restore(&lanes, model(), fuzz_path("x.resume"), STEP, task, s, &err);
    fuzz_check(code, &err);
    if (code == PAL_OK) { /* it must go on from there */
        int32_t tokens[LENGTH], targets[LENGTH];
        float weight[LENGTH];
        int fresh;
        for (int lane = 0; lane < LANES; lane++)
            fuzz_check(task->train->fill(s, STEP, lane, tokens, targets, weight, &fresh, &err), &err);
    }
    free(file);
}

/* Rows up to the step stay as they were; nothing else does. */
static void fuzz_log(train_log_format format, int validates, const uint8_t *data, size_t size)
{
    pal_error err = {0};
    train_log l;
    char *kept;
    size_t left;
    const char *path = fuzz_file("log", data, size);
    const int code = train_log_open(&l, path, "", format, validates, model(), STEP, &err);
    fuzz_check(code, &err);
    if (code == PAL_OK) {
        train_row row = {.steps = 1, .step = STEP + 1};
        FUZZ_ASSERT(os_read_file(path, &kept, &left, &err) == PAL_OK);
        if (left <= size && memcmp(kept, data, left) == 0)
            FUZZ_ASSERT(left == 0 || kept[left - 1] == '\n');
        else
            FUZZ_ASSERT(format == LOG_CSV && left && kept[left - 1] == '\n'); /* a new head */
        FUZZ_ASSERT(train_log_write(&l, &row, model(), &err) == PAL_OK);
        free(kept);
    }
    train_log_close(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned mode = fuzz_byte(&data, &size);
    if (mode % 4 < 2)
        fuzz_lanes(mode % 4 == 1, data, size);
    else
        fuzz_log(mode % 4 == 2 ? LOG_CSV : LOG_JSONL, mode / 4 % 2, data, size);
    return 0;
}

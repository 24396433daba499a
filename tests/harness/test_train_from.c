/* Training that starts from another program's model, with its own attention and with others: the shape comes from
 * the model, shared tensors keep their bits until a step changes them, new ones start as their module says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/os.h"
#include "harness/eval/model_files.h"
#include "harness/train/train.h"
#include "models/decoder/config_keys.h"
#include "models/import/adapter.h"
#include "models/import/export.h"
#include "models/import/import.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char scratch[] = "/tmp/palimpsest-from-XXXXXX", folder[64];
static pal_error err;

static const char *path_of(const char *name)
{
    static char path[4][128];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", scratch, name);
    return p;
}

/* A small Llama for bytes as a HuggingFace folder. */
static int setup(void **unused)
{
    (void)unused;
    static const char text[] =
        "attention = full\ncontext = 2K\nvocab = 256\nd_model = 32\nn_layers = 2\nn_heads = 4\n"
        "n_kv_heads = 2\nd_head = 8\nd_ff = 48\nnorm = rms\nfeed_forward = gated\n"
        "activation = silu\nff_bias = 0\nrope_base = 777\n";
    const export_options o = {.dtype = ST_F32, .begin = -1, .end = -1};
    kv_pairs pairs = {0};
    model_config cfg;
    decoder *d = NULL;
    if (!mkdtemp(scratch)) return -1;
    snprintf(folder, sizeof folder, "%s/hub", scratch);
    int code = kv_pairs_parse(&pairs, text, "test", &err);
    if (code == PAL_OK) code = model_config_read(&cfg, &pairs, &err);
    if (code == PAL_OK) code = decoder_create(&d, &cfg, &err);
    if (code == PAL_OK) decoder_init(d, 3);
    if (code == PAL_OK) code = export_huggingface(d, folder, &o, &err);
    decoder_destroy(d);
    kv_pairs_free(&pairs);
    return code;
}

static int teardown(void **unused)
{
    char command[64];
    (void)unused;
    snprintf(command, sizeof command, "rm -r %s", scratch);
    return system(command);
}

static int train(const char *out, const char *more)
{
    char text[800];
    snprintf(text, sizeof text,
             "init = %s\nout = %s\ntask = passkey\nsegment = 64\nbatch_tokens = 512\ntrain_len = 256\n"
             "train_steps = 1\nwarmup = 0\nlog_every = 1\nthreads = 1\n%s",
             folder, path_of(out), more);
    kv_pairs pairs = {0};
    int code = kv_pairs_parse(&pairs, text, "recipe", &err);
    FILE *nowhere = fopen("/dev/null", "w");
    if (code == PAL_OK) code = train_run(&pairs, nowhere, &err);
    fclose(nowhere);
    kv_pairs_free(&pairs);
    return code;
}

static const decoder_param *find(const decoder *d, const char *name)
{
    for (size_t i = 0; i < decoder_param_count(d); i++)
        if (strcmp(decoder_param_at(d, i)->name, name) == 0) return decoder_param_at(d, i);
    return NULL;
}

/* Compare the result of a training with the folder: how many tensors are new, and how many differ. */
static void compare(const char *out, size_t *fresh, size_t *moved)
{
    decoder *was = NULL, *is = NULL;
    checkpoint_info info = {0};
    if (model_load(folder, NULL, &was, NULL, NULL, &err) != PAL_OK) fail_msg("%s", err.text);
    if (model_load(path_of(out), NULL, &is, NULL, &info, &err) != PAL_OK) fail_msg("%s", err.text);
    *fresh = *moved = 0;
    assert_non_null(kv_pairs_value(&info.metadata, "init_sha256"));
    for (size_t i = 0; i < decoder_param_count(is); i++) {
        const decoder_param *p = decoder_param_at(is, i), *q = find(was, p->name);
        if (!q) {
            ++*fresh;
            continue;
        }
        *moved += memcmp(decoder_weights(is) + p->offset, decoder_weights(was) + q->offset,
                         decoder_param_elements(p) * sizeof(real)) != 0;
    }
    checkpoint_info_free(&info);
    decoder_destroy(was);
    decoder_destroy(is);
}

static void any_attention_trains(void **unused)
{
    (void)unused;
    static const struct {
        const char *name, *settings;
        size_t fresh;
    } runs[] = {
        {"own", "", 0},
        {"local", "attention = local\n", 0},
        {"window", "attention = window\nwindow = 48\nsinks = 2\n", 0},
        {"delta", "attention = infini-delta\n", 2},
        {"gated", "attention = infini-gated\nxl_len = 16\n", 6},
        {"knn", "attention = memorizing\nknn_entries = 256\nknn_k = 8\n", 2},
        {"xl", "attention = transformer-xl\n", 4},
    };
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        char still[32], settings[200];
        size_t fresh, moved;
        snprintf(still, sizeof still, "%s-still", runs[i].name);
        snprintf(settings, sizeof settings, "%slr = 0\n", runs[i].settings);
        if (train(still, settings) != PAL_OK) fail_msg("%s: %s", runs[i].name, err.text);
        compare(still, &fresh, &moved);
        assert_int_equal(fresh, runs[i].fresh);
        assert_int_equal(moved, 0);
        snprintf(settings, sizeof settings, "%slr = 1e-3\n", runs[i].settings);
        if (train(runs[i].name, settings) != PAL_OK) fail_msg("%s: %s", runs[i].name, err.text);
        compare(runs[i].name, &fresh, &moved);
        assert_true(moved > 10);
    }
}

/* ---- Adapters ---- */

static const char retrofit[] = "attention = infini-gated\nmemory_layers = 1\nmemory_mix = add\nmemory_map = head\n"
                               "trains = new\n";

static size_t size_of_file(const char *path)
{
    char *data;
    size_t size;
    if (os_read_file(path, &data, &size, &err) != PAL_OK) fail_msg("%s", err.text);
    free(data);
    return size;
}

/* Only what is new is in the file, and one path loads it with its base: the base's bits, and what a whole file
 * that is written from them holds. */
static void adapter_round_trip(void **unused)
{
    (void)unused;
    if (train("adapter", retrofit) != PAL_OK) fail_msg("%s", err.text);
    size_t fresh, moved;
    compare("adapter", &fresh, &moved);
    assert_int_equal(fresh, 5);
    assert_int_equal(moved, 0);
    st_file f;
    assert_int_equal(st_open(path_of("adapter"), &f, &err), PAL_OK);
    assert_int_equal(f.count, 5);
    st_free(&f);
    decoder *both = NULL, *whole = NULL;
    checkpoint_info info = {0};
    if (model_load(path_of("adapter"), NULL, &both, NULL, &info, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(checkpoint_save(path_of("whole"), both, NULL, ST_F32, NULL, &err), PAL_OK);
    assert_true(size_of_file(path_of("whole")) > 2 * size_of_file(path_of("adapter")));
    assert_int_equal(checkpoint_load(path_of("whole"), &whole, NULL, &err), PAL_OK);
    assert_memory_equal(decoder_weights(both), decoder_weights(whole), decoder_weight_reals(both) * sizeof(real));
    checkpoint_info_free(&info);
    decoder_destroy(both);
    decoder_destroy(whole);
}

/* Stopped after the first length and gone on: the same file. A next stage starts from an adapter, with its base.
 */
static void adapters_go_on(void **unused)
{
    (void)unused;
    char settings[600];
    snprintf(settings, sizeof settings, "%strain_len = 256, 384\ntrain_steps = 2, 2\ncheckpoint_every = 1\n",
             retrofit);
    if (train("in-one-go", settings) != PAL_OK) fail_msg("%s", err.text);
    /* Killed later and later until one gets through by itself. */
    for (useconds_t wait = 10000; !os_file_exists(path_of("killed")); wait += 10000) {
        const pid_t child = fork();
        if (child == 0) _exit(train("killed", settings));
        usleep(wait);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    if (train("killed", settings) != PAL_OK) fail_msg("%s", err.text);
    char *a, *b;
    size_t size_a, size_b;
    assert_int_equal(os_read_file(path_of("in-one-go"), &a, &size_a, &err), PAL_OK);
    assert_int_equal(os_read_file(path_of("killed"), &b, &size_b, &err), PAL_OK);
    assert_int_equal(size_a, size_b);
    assert_memory_equal(a, b, size_a);
    free(a);
    free(b);
    snprintf(settings, sizeof settings, "%sinit = %s\n", retrofit, path_of("killed"));
    if (train("next", settings) != PAL_OK) fail_msg("%s", err.text);
    adapter_base base;
    assert_int_equal(adapter_find_base(path_of("next"), &base, &err), PAL_OK);
    assert_string_equal(base.path, folder);
    size_t fresh, moved;
    compare("next", &fresh, &moved);
    assert_int_equal(fresh, 5);
    assert_int_equal(moved, 0);
}

/* A lead before every segment changes what is learned; killed and gone on, it gives the same file. */
static void leads_before_segments(void **unused)
{
    (void)unused;
    static const char leads[] = "xl_len = 128\nmemory_empty = unwritten\nlead_len = 128\nlead_count = 3\n"
                                "passkey_lead = 0.5\ntrain_len = 256\ntrain_steps = 2\ncheckpoint_every = 1\n";
    char settings[700], *file[3];
    size_t size[3];
    snprintf(settings, sizeof settings, "%s%s", retrofit, leads);
    if (train("once", settings) != PAL_OK) fail_msg("%s", err.text);
    snprintf(settings, sizeof settings, "%s%slead_before = segment\n", retrofit, leads);
    if (train("each", settings) != PAL_OK) fail_msg("%s", err.text);
    for (useconds_t wait = 10000; !os_file_exists(path_of("each-killed")); wait += 10000) {
        const pid_t child = fork();
        if (child == 0) _exit(train("each-killed", settings));
        usleep(wait);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    static const char *const names[] = {"once", "each", "each-killed"};
    decoder *d[3];
    for (int i = 0; i < 3; i++) {
        if (model_load(path_of(names[i]), NULL, &d[i], NULL, NULL, &err) != PAL_OK) fail_msg("%s", err.text);
        assert_int_equal(os_read_file(path_of(names[i]), &file[i], &size[i], &err), PAL_OK);
    }
    const size_t bytes = decoder_weight_reals(d[0]) * sizeof(real);
    assert_memory_not_equal(decoder_weights(d[0]), decoder_weights(d[1]), bytes);
    assert_int_equal(size[1], size[2]);
    assert_memory_equal(file[1], file[2], size[1]);
    for (int i = 0; i < 3; i++) {
        decoder_destroy(d[i]);
        free(file[i]);
    }
    snprintf(settings, sizeof settings, "%slead_before = segment\n", retrofit);
    assert_int_equal(train("no", settings), PAL_USAGE);
    assert_non_null(strstr(err.text, "lead_len=0"));
    assert_int_equal(train("no", "attention = infini-gated\nlead_before = segment\nlead_len = 64\n"), PAL_USAGE);
    assert_non_null(strstr(err.text, "trains=new"));
}

/* Without its base an adapter is what its own file says, and no part of "all". */
static void check_listed(const char *name)
{
    char command[300];
    weights_file *file = NULL;
    size_t count = 0;
    decoder *d = NULL;
    checkpoint_info info = {0};
    snprintf(command, sizeof command, "mkdir %s/weights; cp %s %s/weights/lost.safetensors", scratch,
             path_of(name), scratch);
    assert_int_equal(system(command), 0);
    assert_int_equal(weights_resolve("all", path_of("weights"), &file, &count, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "adapters"));
    assert_int_equal(weights_resolve("*", path_of("weights"), &file, &count, &err), PAL_OK);
    assert_int_equal(count, 1);
    if (adapter_outline(file[0].path, &d, &info, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_string_equal(decoder_config(d)->attention->name, "infini-gated");
    assert_string_equal(kv_pairs_value(&info.metadata, "task"), "passkey");
    checkpoint_info_free(&info);
    decoder_destroy(d);
    free(file);
}

static void adapters_refuse(void **unused)
{
    (void)unused;
    assert_int_equal(train("no", "trains = new\n"), PAL_USAGE); /* full attention has nothing new */
    assert_non_null(strstr(err.text, "nothing would learn"));
    assert_int_equal(train("no", "trains = new\ninit =\n"), PAL_USAGE);
    if (train("lost", retrofit) != PAL_OK) fail_msg("%s", err.text);
    /* Another base in its place, and none. */
    char command[600];
    snprintf(
        command, sizeof command,
        "mv %s %s-kept; cp -r %s-kept %s; sed -i 's/\"rope_theta\": *777/\"rope_theta\": 778/' %s/config.json",
        folder, folder, folder, folder, folder);
    assert_int_equal(system(command), 0);
    decoder *d = NULL;
    assert_int_equal(model_load(path_of("lost"), NULL, &d, NULL, NULL, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "SHA-256"));
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(model_load(path_of("lost"), NULL, &d, NULL, NULL, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "is not there"));
    check_listed("lost");
    snprintf(command, sizeof command, "mv %s-kept %s", folder, folder);
    assert_int_equal(system(command), 0);
}

static void refusals(void **unused)
{
    (void)unused;
    assert_int_equal(train("no", "attention = full\nd_model = 48\n"), PAL_DATA);
    assert_int_equal(train("no", "attention = local\nwindow = 9\n"), PAL_USAGE);
    assert_non_null(strstr(err.text, "window"));
    assert_int_equal(train("no", "train_len = 4K\n"), PAL_USAGE); /* longer than its context */
    assert_non_null(strstr(err.text, "context"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_attention_trains), cmocka_unit_test(adapter_round_trip),
        cmocka_unit_test(adapters_go_on),       cmocka_unit_test(leads_before_segments),
        cmocka_unit_test(adapters_refuse),      cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

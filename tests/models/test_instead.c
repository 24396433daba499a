/* Checkpoints read with another attention: what the two share keeps its bits, what is new starts as the module
 * says, and a file that is not whole is refused all the same. */
#include "tests/lib/batch_lab.h"

#include "harness/base/os.h"
#include "models/files/checkpoint.h"

#include <unistd.h>

static char path[] = "/tmp/palimpsest-instead-XXXXXX";

static decoder *saved(const char *attention, const char *more)
{
    decoder *d = make_model_with(attention, more);
    assert_int_equal(checkpoint_save(path, d, NULL, ST_F32, NULL, &err), PAL_OK);
    return d;
}

static int load(const char *text, decoder **out, instead_made *made)
{
    instead_words words = {0};
    checkpoint_info info = {0};
    int code = instead_parse(text, &words.own, &err);
    if (code == PAL_OK) code = checkpoint_load_instead(path, &words, NULL, out, made, &info, &err);
    instead_words_free(&words);
    checkpoint_info_free(&info);
    return code;
}

static const decoder_param *find(const decoder *d, const char *name)
{
    for (size_t i = 0; i < decoder_param_count(d); i++)
        if (strcmp(decoder_param_at(d, i)->name, name) == 0) return decoder_param_at(d, i);
    return NULL;
}

/* The tensors of the same name have the same bits; the others are as a model that was just begun has them. */
static void compare(decoder *own, decoder *d, size_t fresh)
{
    decoder *begun = NULL;
    size_t added = 0;
    assert_int_equal(decoder_create(&begun, decoder_config(d), &err), PAL_OK);
    decoder_init(begun, INSTEAD_SEED);
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i), *there = find(own, p->name);
        const real *want = there ? decoder_weights(own) + there->offset : decoder_weights(begun) + p->offset;
        assert_memory_equal(decoder_weights(d) + p->offset, want, decoder_param_elements(p) * sizeof(real));
        added += !there;
    }
    assert_int_equal(added, fresh);
    decoder_destroy(begun);
}

static void replaced(const char *from, const char *more, const char *to, size_t fresh, size_t unused)
{
    decoder *own = saved(from, more), *d = NULL;
    instead_made made;
    if (load(to, &d, &made) != PAL_OK) fail_msg("%s -> %s: %s", from, to, err.text);
    assert_int_equal(made.new_tensors, fresh);
    assert_int_equal(made.unused, unused);
    compare(own, d, fresh);
    decoder_destroy(own);
    decoder_destroy(d);
}

static void shared_tensors_keep_their_bits(void **state)
{
    (void)state;
    replaced("local", "", "full:context=96", 0, 0);
    replaced("full", "n_kv_heads = 1\n", "window:window=7:sinks=2", 0, 0);
    replaced("infini-gated", "", "local", 0, 6);
    replaced("infini-gated", "", "infini-delta", 0, 4);
    replaced("local", "", "infini-gated:new_tensors=start", 6, 0);
    replaced("local", "n_kv_heads = 1\nqk_norm = rms\nattn_bias = qkv\n", "infini-delta:new_tensors=start", 2, 0);
    replaced("transformer-xl", "", "window:window_slides=segment", 0, 4);
    replaced("local", "", "transformer-xl:new_tensors=start", 4, 0);
    replaced("local", "", "memorizing:knn_entries=1K:new_tensors=start", 2, 0);
}

/* Keys that both attentions have stay what they were; those of the old one alone go. */
static void keys_that_stay(void **state)
{
    (void)state;
    instead_made made;
    decoder *own = saved("infini-delta", "rope_base = 500\nxl_len = 9\nsegment = 48\n"), *d = NULL;
    assert_int_equal(load("window", &d, &made), PAL_OK);
    const kv_spec *base =
        kv_find(decoder_config(d)->attention->options, decoder_config(d)->attention->option_count, "rope_base");
    assert_true(*(const double *)((const char *)decoder_config(d) + base->offset) == 500);
    assert_int_equal(decoder_config(d)->segment, 48);
    assert_string_equal(made.text, "window");
    decoder_destroy(d);
    assert_int_equal(load("infini-linear:segment=64:rope_scaling=linear:rope_factor=4", &d, &made), PAL_OK);
    assert_string_equal(made.text, "infini-linear:segment=64:rope_scaling=linear:rope_factor=4");
    decoder_destroy(d);
    assert_int_equal(load("infini-delta:xl_len=9", &d, &made), PAL_OK);
    assert_string_equal(made.text, "");
    decoder_destroy(d);
    decoder_destroy(own);
}

static void refused(const char *text, int code, const char *named)
{
    decoder *d = NULL;
    instead_made made;
    assert_int_equal(load(text, &d, &made), code);
    if (!strstr(err.text, named)) fail_msg("\"%s\" does not name %s", err.text, named);
    assert_null(d);
}

static void refusals(void **state)
{
    (void)state;
    decoder *own = saved("local", "");
    refused("infini-gated", PAL_USAGE, "6 tensors that are not there: layers.*.dec_attn.gate [2] = 0");
    refused("full:d_model=16", PAL_USAGE, "another model");
    refused("full:rope_layout=interleaved", PAL_USAGE, "another model");
    refused("full:sinks=3", PAL_USAGE, "attention full has no such key");
    refused("nothing", PAL_USAGE, "attention=nothing");
    decoder_destroy(own);

    /* A tensor of the file's own model that is missing does not pass for a new one. */
    own = saved("infini-delta", "");
    char *file, *gate;
    size_t size;
    assert_int_equal(os_read_file(path, &file, &size, &err), PAL_OK);
    assert_non_null(gate = memmem(file, size, "dec_attn.gate", 13));
    memcpy(gate, "dec_attn.gote", 13);
    assert_int_equal(os_write_file(path, file, size, &err), PAL_OK);
    free(file);
    refused("local", PAL_DATA, "dec_attn.gate");
    decoder_destroy(own);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(instead_find("m+local:segment=5"), "+local:segment=5");
    assert_string_equal(instead_find("a+b+FULL"), "+FULL");
    assert_null(instead_find("m+locals"));
    assert_null(instead_find("+local"));
    assert_null(instead_find("m"));
}

static int setup(void **state)
{
    (void)state;
    const int file = mkstemp(path);
    return file < 0 || close(file);
}

static int teardown(void **state)
{
    (void)state;
    return remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_tensors_keep_their_bits),
        cmocka_unit_test(keys_that_stay),
        cmocka_unit_test(refusals),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

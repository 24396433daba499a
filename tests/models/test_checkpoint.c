/* Checkpoints: what is written is read back to the same bits; damage of any kind is refused with one clear line.
 */
#include "tests/lib/weights_lab.h"

#include "harness/base/os.h"
#include "harness/base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

/* ---- Round trips. ---- */

static void test_weights_round_trip(void **state)
{
    (void)state;
    pal_error err;
    for (const attn_module *const *m = attn_table; *m; m++) {
        char attention[100];
        snprintf(attention, sizeof attention, "attention = %s\nd_ff = 20\nn_layers = 2\n", (*m)->name);
        decoder *d = make_decoder(attention, 3), *back = NULL;
        kv_pairs metadata = {0};
        checkpoint_info info;
        must(kv_pairs_add(&metadata, "seed", "3", "test", &err));
        must(kv_pairs_add(&metadata, "note", "\"quoted\" \\ naïve", "test", &err));
        must(checkpoint_save(path, d, NULL, ST_F32, &metadata, &err));
        must(checkpoint_load(path, &back, &info, &err));
        assert_memory_equal(decoder_weights(back), decoder_weights(d), weight_bytes(d));
        char *config = model_config_text(decoder_config(d)),
             *config_back = model_config_text(decoder_config(back));
        assert_string_equal(config, config_back);
        assert_int_equal(info.metadata.count, 2);
        assert_string_equal(kv_pairs_value(&info.metadata, "seed"), "3");
        assert_string_equal(kv_pairs_value(&info.metadata, "note"), "\"quoted\" \\ naïve");
        free(config);
        free(config_back);
        kv_pairs_free(&metadata);
        checkpoint_info_free(&info);
        decoder_destroy(d);
        decoder_destroy(back);
    }
}

/* The digest is what the header file promises: SHA-256 with its own characters as '0'. */
static void test_digest_can_be_recomputed(void **state)
{
    (void)state;
    pal_error err;
    decoder *d = make_decoder("", 3), *back = NULL;
    checkpoint_info info;
    char *data, hex[HASH_HEX];
    size_t size;
    must(checkpoint_save(path, d, NULL, ST_F32, NULL, &err));
    must(checkpoint_load(path, &back, &info, &err));
    must(os_read_file(path, &data, &size, &err));
    char *place = memmem(data, size, info.digest, HASH_HEX - 1);
    assert_non_null(place);
    memset(place, '0', HASH_HEX - 1);
    hash_hex(data, size, hex);
    assert_string_equal(hex, info.digest);
    free(data);
    checkpoint_info_free(&info);

    /* The same weights make the same file; one other bit makes another digest. */
    char first[HASH_HEX];
    strcpy(first, info.digest);
    must(checkpoint_save(path, back, NULL, ST_F32, NULL, &err));
    decoder_destroy(back);
    must(checkpoint_load(path, &back, &info, &err));
    assert_string_equal(info.digest, first);
    checkpoint_info_free(&info);
    decoder_weights(back)[0] += 1;
    must(checkpoint_save(path, back, NULL, ST_F32, NULL, &err));
    decoder_destroy(back);
    must(checkpoint_load(path, &back, &info, &err));
    assert_string_not_equal(info.digest, first);
    checkpoint_info_free(&info);
    decoder_destroy(back);
    decoder_destroy(d);
}

static void test_bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    static const double known[][2] = {
        {1, 1},
        {1 + 0x1p-8, 1},                   /* tie: down to even */
        {1 + 0x3p-8, 1 + 0x1p-6},          /* tie: up to even */
        {1 + 0x1.01p-8, 1 + 0x1p-7},       /* above the tie */
        {-(1 + 0x1.01p-8), -(1 + 0x1p-7)}, /* sign does not matter */
        {1 + 0x0.ffp-8, 1},                /* below the tie */
        {0x1.fffffep127, INFINITY},        /* overflow */
        {0x1.fep127, 0x1.fep127},          /* the largest */
        {0x1p-133, 0x1p-133},              /* the smallest subnormal */
        {0x1p-134, 0},                     /* tie: to zero */
        {INFINITY, INFINITY},
    };
    enum { KNOWN = sizeof known / sizeof *known };
    pal_error err;
    decoder *d = make_decoder("", 3), *back = NULL;
    for (int i = 0; i < KNOWN; i++) decoder_weights(d)[i] = (real)known[i][0];
    const uint32_t low_payload = 0x7f800001; /* cut off, it would turn this NaN into infinity */
    float nan;
    memcpy(&nan, &low_payload, sizeof nan);
    decoder_weights(d)[KNOWN] = (real)nan;
    must(checkpoint_save(path, d, NULL, ST_BF16, NULL, &err));
    st_file f;
    must(st_read(path, &f, &err));
    const st_tensor *first = st_find(&f, decoder_param_at(d, 0)->name);
    for (size_t i = 0; i < KNOWN; i++) assert_true(st_value(first, i) == known[i][1]);
    assert_true(isnan(st_value(first, KNOWN)));
    st_free(&f);

    for (int i = 0; i <= KNOWN; i++)
        if (!isfinite((float)decoder_weights(d)[i]) || !isfinite(known[i < KNOWN ? i : 0][1]))
            decoder_weights(d)[i] = 1;
    must(checkpoint_save(path, d, NULL, ST_BF16, NULL, &err));
    must(checkpoint_load(path, &back, NULL, &err));
    for (size_t i = KNOWN + 1; i < decoder_weight_reals(d); i++) {
        const double w = (double)decoder_weights(d)[i], b = (double)decoder_weights(back)[i];
        assert_true(fabs(w - b) <= fabs(w) * 0x1p-8);
    }
    /* What fits is not changed again. */
    decoder *again = NULL;
    must(checkpoint_save(path, back, NULL, ST_BF16, NULL, &err));
    must(checkpoint_load(path, &again, NULL, &err));
    assert_memory_equal(decoder_weights(again), decoder_weights(back), weight_bytes(d));
    decoder_destroy(again);
    decoder_destroy(back);
    decoder_destroy(d);
}

static void test_save_refuses(void **state)
{
    (void)state;
    pal_error err;
    decoder *d = make_decoder("", 3);
    static const char *const reserved[] = {"sha256", "config", "format", "optimiser.step"};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
        kv_pairs metadata = {0};
        must(kv_pairs_add(&metadata, reserved[i], "1", "test", &err));
        assert_int_equal(checkpoint_save(path, d, NULL, ST_F32, &metadata, &err), PAL_USAGE);
        assert_non_null(strstr(err.text, reserved[i]));
        kv_pairs_free(&metadata);
    }
    kv_pairs metadata = {0};
    must(kv_pairs_add(&metadata, "note", "\xff\xfe", "test", &err));
    assert_int_equal(checkpoint_save(path, d, NULL, ST_F32, &metadata, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "\"note\" is not UTF-8"));
    kv_pairs_free(&metadata);
    assert_int_equal(checkpoint_save(path, d, NULL, ST_I32, NULL, &err), PAL_USAGE);
    decoder_destroy(d);
}

static ssize_t full_disk(int fd, const void *data, size_t size)
{
    (void)fd, (void)data, (void)size;
    errno = ENOSPC;
    return -1;
}

static void test_failed_save_keeps_the_old_file(void **state)
{
    (void)state;
    pal_error err;
    decoder *d = make_decoder("", 3), *other = make_decoder("", 4), *back = NULL;
    must(checkpoint_save(path, d, NULL, ST_F32, NULL, &err));
    os_table table = os_system;
    table.write = full_disk;
    os_use(&table);
    const int code = checkpoint_save(path, other, NULL, ST_F32, NULL, &err);
    os_use(NULL);
    assert_int_equal(code, PAL_INTERNAL);
    assert_non_null(strstr(err.text, "No space left on device"));
    must(checkpoint_load(path, &back, NULL, &err));
    assert_memory_equal(decoder_weights(back), decoder_weights(d), weight_bytes(d));
    decoder_destroy(back);
    decoder_destroy(other);
    decoder_destroy(d);
}

/* ---- Damage. ---- */

static void assert_refused(void)
{
    pal_error err;
    st_file f;
    decoder *d = NULL;
    err.text[0] = 0;
    assert_int_equal(st_read(path, &f, &err), PAL_DATA);
    assert_non_null(strstr(err.text, path));
    assert_null(strchr(err.text, '\n'));
    assert_int_equal(checkpoint_load(path, &d, NULL, &err), PAL_DATA);
    assert_null(d);
}

static void test_every_flipped_byte_is_refused(void **state)
{
    (void)state;
    pal_error err;
    decoder *d = make_decoder("", 3), *back = NULL;
    kv_pairs metadata = {0};
    char *data;
    size_t size;
    must(kv_pairs_add(&metadata, "seed", "3", "test", &err));
    must(checkpoint_save(path, d, NULL, ST_BF16, &metadata, &err));
    must(os_read_file(path, &data, &size, &err));
    const int fd = open(path, O_WRONLY);
    for (size_t i = 0; i < size; i++) {
        /* Every bit of the header's beginning, where the digest and the keys that demand it stand. */
        for (int bit = 0; bit < 8; bit++) {
            if (i >= 160 && bit != (int)(i % 8)) continue;
            const char flipped = (char)(data[i] ^ (1 << bit));
            assert_int_equal(pwrite(fd, &flipped, 1, (off_t)i), 1);
            assert_refused();
        }
        assert_int_equal(pwrite(fd, &data[i], 1, (off_t)i), 1);
    }
    close(fd);
    must(checkpoint_load(path, &back, NULL, &err)); /* all bytes are back */
    decoder_destroy(back);
    decoder_destroy(d);
    kv_pairs_free(&metadata);
    free(data);
}

static void test_truncated_and_longer_files_are_refused(void **state)
{
    (void)state;
    pal_error err;
    decoder *d = make_decoder("", 3);
    char *data;
    size_t size;
    must(checkpoint_save(path, d, NULL, ST_F32, NULL, &err));
    must(os_read_file(path, &data, &size, &err)); /* has one byte beyond its size */
    for (size_t length = 0; length < size; length += length < 100 || length + 100 > size ? 1 : 61) {
        write_bytes(data, length);
        assert_refused();
    }
    write_bytes(data, size + 1);
    assert_refused();
    free(data);
    decoder_destroy(d);
}

static void test_digest_message(void **state)
{
    (void)state;
    pal_error err;
    decoder *d = make_decoder("", 3), *back = NULL;
    char *data, expected[300];
    size_t size;
    must(checkpoint_save(path, d, NULL, ST_F32, NULL, &err));
    must(os_read_file(path, &data, &size, &err));
    data[size - 1] ^= 1;
    write_bytes(data, size);
    assert_int_equal(checkpoint_load(path, &back, NULL, &err), PAL_DATA);
    snprintf(expected, sizeof expected,
             "%s: content does not match its SHA-256 (a flipped byte or a torn copy); fetch or train it again",
             path);
    assert_string_equal(err.text, expected);
    free(data);
    decoder_destroy(d);
}

/* ---- Resume. ---- */

typedef struct run {
    decoder *d;
    optimiser o;
    pool *pool;
} run;

static run make_run(const char *overrides, int64_t kind, uint64_t seed)
{
    pal_error err;
    run r = {.d = make_decoder(overrides, seed)};
    const optimiser_config cfg = {.kind = kind,
                                  .beta1 = 0.9,
                                  .beta2 = 0.99,
                                  .eps = 1e-8,
                                  .weight_decay = 0.1,
                                  .clip = 1,
                                  .gate_lr_scale = 1};
    must(pool_create(&r.pool, 1, &err));
    must(optimiser_create(&r.o, &cfg, r.d, &err));
    return r;
}

static void end_run(run *r)
{
    optimiser_destroy(&r->o);
    pool_destroy(r->pool);
    decoder_destroy(r->d);
}

static void train(run *r, int steps)
{
    real *grad = calloc(decoder_weight_reals(r->d), sizeof *grad);
    for (int i = 0; i < steps; i++) {
        for (size_t k = 0; k < decoder_param_count(r->d); k++) {
            const decoder_param *p = decoder_param_at(r->d, k);
            rng g = rng_make(9, p->name, (uint64_t)r->o.step, 0);
            for (size_t j = 0; j < decoder_param_elements(p); j++) grad[p->offset + j] = (real)rng_normal(&g);
        }
        optimiser_step(&r->o, r->d, r->pool, grad, 0.01);
    }
    free(grad);
}

static void test_resume_to_the_same_bits(void **state)
{
    (void)state;
    pal_error err;
    for (int64_t kind = 0; kind < 2; kind++) {
        run straight = make_run("", kind, 3), resumed = make_run("", kind, 4);
        kv_pairs metadata = {0};
        checkpoint_info info;
        train(&straight, 3);
        must(kv_pairs_add(&metadata, "loss", "1.5", "test", &err));
        must(checkpoint_save(path, straight.d, &straight.o, ST_F32, &metadata, &err));
        must(checkpoint_resume(path, resumed.d, &resumed.o, &info, &err));
        assert_int_equal(info.metadata.count, 1);
        assert_string_equal(kv_pairs_value(&info.metadata, "loss"), "1.5");
        assert_int_equal(resumed.o.step, 3);
        train(&straight, 2);
        train(&resumed, 2);
        assert_int_equal(resumed.o.step, 5);
        assert_memory_equal(decoder_weights(resumed.d), decoder_weights(straight.d), weight_bytes(straight.d));
        assert_memory_equal(resumed.o.second, straight.o.second, straight.o.second_reals * sizeof(real));

        decoder *loaded = NULL; /* an evaluation does not mind the optimiser */
        must(checkpoint_load(path, &loaded, NULL, &err));
        decoder_destroy(loaded);
        checkpoint_info_free(&info);
        kv_pairs_free(&metadata);
        end_run(&straight);
        end_run(&resumed);
    }
}

static void assert_resume_refused(const char *overrides, int64_t kind, const char *message)
{
    pal_error err;
    run r = make_run(overrides, kind, 5);
    char *before = malloc(weight_bytes(r.d));
    memcpy(before, decoder_weights(r.d), weight_bytes(r.d));
    assert_int_equal(checkpoint_resume(path, r.d, &r.o, NULL, &err), PAL_DATA);
    if (!strstr(err.text, message)) fail_msg("%s\nshould say: %s", err.text, message);
    assert_memory_equal(before, decoder_weights(r.d), weight_bytes(r.d));
    assert_int_equal(r.o.step, 0);
    free(before);
    end_run(&r);
}

static void test_resume_mismatches(void **state)
{
    (void)state;
    pal_error err;
    run r = make_run("", 0, 3);
    train(&r, 1);
    must(checkpoint_save(path, r.d, &r.o, ST_F32, NULL, &err));
    assert_resume_refused("d_ff = 24\n", 0, "was trained with d_ff = 12, this run has 24; resume with the same");
    assert_resume_refused("attention = full\nd_ff = 24\n", 0,
                          "was trained with attention = local, this run has full");
    assert_resume_refused("norm_eps = 1e-6\n", 0, "was trained with norm_eps = 1e-05, this run has 1e-06");
    assert_resume_refused("", 1, "was trained with adamw, this run has adafactor; resume with the same optimiser");
    must(checkpoint_save(path, r.d, NULL, ST_F32, NULL, &err));
    assert_resume_refused("", 0, "holds weights without an optimiser; it can be evaluated, not resumed");
    end_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_round_trip),
        cmocka_unit_test(test_digest_can_be_recomputed),
        cmocka_unit_test(test_bf16_rounds_to_nearest_even),
        cmocka_unit_test(test_save_refuses),
        cmocka_unit_test(test_failed_save_keeps_the_old_file),
        cmocka_unit_test(test_every_flipped_byte_is_refused),
        cmocka_unit_test(test_truncated_and_longer_files_are_refused),
        cmocka_unit_test(test_digest_message),
        cmocka_unit_test(test_resume_to_the_same_bits),
        cmocka_unit_test(test_resume_mismatches),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, make_directory, remove_directory);
}

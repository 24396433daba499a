/* Checkpoints inside samples: interrupted, resumed, damaged. */
#include "models/decoder/state.h"
#include "tests/lib/batch_lab.h"
#include "tests/lib/use_blas.h"

#include "harness/base/hash.h"
#include "harness/base/os.h"
#include "harness/base/rng.h"
#include "harness/eval/sample_checkpoint.h"
#include "models/stream/stream.h"

static char partial_dir[] = "/tmp/palimpsest-batch-XXXXXX";

static uint64_t saved_position(int64_t index)
{
    char path[PARTIAL_PATH];
    partial p;
    partial_path(partial_dir, "key", index, path);
    if (!os_file_exists(path)) return 0;
    if (partial_load(path, "key", index, &p, &err) != PAL_OK) fail_msg("%s", err.text);
    const uint64_t position = p.position;
    partial_free(&p);
    return position;
}

/* Interrupted and taken up again from checkpoints, with fewer lanes: same bits, not read again. */
static void test_resume(void **state)
{
    (void)state;
    for (int zeroed = 0; zeroed <= 1; zeroed++) {
        for (size_t m = 0; attn_table[m]; m++) {
            if (strcmp(attn_table[m]->name, "full") == 0) continue; /* does not hold so many tokens */
            decoder *d = make_model(attn_table[m]->name);
            toy_run run = {.stop = -1};
            seen whole[SAMPLES];
            how h = {.zeroed = zeroed, .partial = partial_dir};
            uint64_t left = 0;
            for (int i = 0; i < SAMPLES; i++) {
                run.length[i] = run.prompt[i] = 1300 + 400 * (i % 2);
                run.first[i] = 1 + 100 * i;
            }
            run_alone(d, &run, zeroed, whole);
            run.fail_after = 1000;
            assert_int_equal(run_toy(d, &run, h, 0, SAMPLES), PAL_DATA);
            run.fail_after = 0;
            for (int i = 0; i < SAMPLES; i++) {
                h.resume[i] = saved_position(i);
                assert_true(h.resume[i] > 0 && h.resume[i] <= 1024);
                left += (uint64_t)run.length[i] - h.resume[i];
            }
            h.lanes = 2;
            check_all(d, &run, h, whole);
            assert_int_equal(progress_tokens, left);
            for (int i = 0; i < SAMPLES; i++) assert_int_equal(saved_position(i), 0); /* removed */
            assert_int_equal(notes, 0);
            decoder_destroy(d);
        }
    }
}

/* A checkpoint that is damaged, of something else or gone does not stop anything. */
static void test_bad_checkpoints(void **state)
{
    (void)state;
    decoder *d = make_model("infini-linear"), *other = make_model("transformer-xl");
    char path[PARTIAL_PATH], *data;
    size_t size;
    partial p;
    toy_run run = even_run();
    seen whole[SAMPLES];
    run.length[0] = run.prompt[0] = 1500;
    run.generate[0] = 0;
    run_alone(d, &run, 0, whole);
    partial_path(partial_dir, "key", 0, path);

    run.fail_after = 1000;
    assert_int_equal(run_toy(other, &run, (how){.partial = partial_dir}, 0, 1), PAL_DATA);
    run.fail_after = 0;
    how h = {.partial = partial_dir, .resume = {saved_position(0)}};
    assert_true(h.resume[0] > 0);
    assert_int_equal(partial_load(path, "key", 1, &p, &err), PAL_DATA);
    assert_int_equal(partial_load(path, "kez", 0, &p, &err), PAL_DATA);
    assert_int_equal(os_read_file(path, &data, &size, &err), PAL_OK);

    notes = 0;
    assert_int_equal(run_toy(d, &run, h, 0, 1), PAL_OK); /* another model's state */
    assert_int_equal(notes, 1);
    assert_memory_equal(&seen_of[0], &whole[0], sizeof whole[0]);
    assert_false(os_file_exists(path));

    for (size_t at = 0; at < size; at += size / 11) {
        data[at] ^= 4;
        assert_int_equal(os_write_file(path, data, size, &err), PAL_OK);
        data[at] ^= 4;
        assert_int_equal(partial_load(path, "key", 0, &p, &err), PAL_DATA);
    }
    assert_int_equal(os_write_file(path, data, size - 1, &err), PAL_OK);
    assert_int_equal(run_toy(d, &run, h, 0, 1), PAL_OK);
    assert_int_equal(run_toy(d, &run, h, 0, 1), PAL_OK); /* gone */
    assert_int_equal(notes, 3);
    notes = 0;
    free(data);
    decoder_destroy(d);
    decoder_destroy(other);
}

/* Make a changed checkpoint pass for a whole one: its SHA-256 is computed again. */
static void seal(char *data, size_t size)
{
    hash_hex(data, size - HASH_HEX, data + size - HASH_HEX);
}

/* Numbers that a forger would try, in the fields that are sizes, positions, tokens and times. */
static void test_forged_checkpoints(void **state)
{
    (void)state;
    static const uint64_t nan = 0x7ff8000000000000, minus_one = 0xbff0000000000000;
    const uint64_t wild[] = {0,    1,         63,         64,        65,         255, 256,
                             1024, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX, nan, minus_one};
    enum { FIELDS = 80, FLIPS = 100 };
    static const char *const modules[] = {"infini-delta", "memorizing", "transformer-xl", "local"};
    may_diverge = 1;
    for (size_t m = 0; m < sizeof modules / sizeof *modules; m++) {
        decoder *d = make_model(modules[m]);
        char path[PARTIAL_PATH], *data;
        size_t size;
        toy_run run = even_run();
        seen whole[SAMPLES];
        run.length[0] = run.prompt[0] = 1500;
        run.first[0] = 900;
        run.generate[0] = 0;
        run_alone(d, &run, 0, whole);
        partial_path(partial_dir, "key", 0, path);
        run.fail_after = 1000;
        assert_int_equal(run_toy(d, &run, (how){.partial = partial_dir}, 0, 1), PAL_DATA);
        run.fail_after = 0;
        const how h = {.partial = partial_dir, .resume = {saved_position(0)}};
        assert_int_equal(os_read_file(path, &data, &size, &err), PAL_OK);
        rng r = rng_make(7, "forge", m, 0);
        int taken = 0;
        for (int i = 0; i < FIELDS + FLIPS; i++) {
            char *forged = malloc(size);
            memcpy(forged, data, size);
            if (i < FIELDS) { /* the file's own head, then the snapshot's at its end of the scores */
                const size_t place =
                    i % 2 ? 48 + 8 * (size_t)rng_below(&r, 8) : size - HASH_HEX - 8 * (size_t)rng_below(&r, 64);
                if (place + 8 <= size - HASH_HEX)
                    memcpy(forged + place, &wild[rng_below(&r, sizeof wild / sizeof *wild)], 8);
            } else {
                for (int k = 0; k < 1 + i % 3; k++)
                    forged[rng_below(&r, (uint64_t)(size - HASH_HEX))] ^= (char)(1u << rng_below(&r, 8));
            }
            seal(forged, size);
            assert_int_equal(os_write_file(path, forged, size, &err), PAL_OK);
            free(forged);
            notes = 0;
            if (run_toy(d, &run, h, 0, 1) != PAL_OK) fail_msg("%s", err.text);
            if (notes == 0)
                taken++;
            else
                assert_memory_equal(&seen_of[0], &whole[0], sizeof whole[0]); /* refused: started anew */
        }
        assert_true(taken < FIELDS + FLIPS);
        free(data);
        decoder_destroy(d);
    }
    may_diverge = 0;
    notes = 0;
}

/* Each of the fields, by itself. */
static void test_forged_snapshots(void **state)
{
    (void)state;
    decoder *d = make_model("infini-linear");
    pool *one;
    stream *s;
    assert_int_equal(pool_create(&one, 1, &err), PAL_OK);
    assert_int_equal(stream_create(&s, d, one, 1, &err), PAL_OK);
    const uint64_t n = (uint64_t)decoder_config(d)->segment;
    int32_t tokens[400];
    for (int i = 0; i < 400; i++) tokens[i] = i % 7;
    stream_feed(s, tokens, 400, (size_t)n + 5, UINT64_MAX, NULL, NULL);
    const size_t size = stream_snapshot_bytes(s);
    char *good = malloc(size), *bad = malloc(size);
    stream_save(s, 0, good);
    assert_int_equal(stream_restore(s, 0, good, &err), PAL_OK);
    const size_t state_at = size - decoder_state_bytes(d);
    const int32_t vocab = (int32_t)stream_vocab(s);
    const struct {
        size_t at, size;
        uint64_t value;
        const char *said;
    } cases[] = {
        {0, 8, n + 6, "buffer is damaged"},
        {0, 8, 4, "buffer is damaged"},
        {0, 8, 0, "buffer is damaged"},
        {8, 8, 6, "buffer is damaged"},
        {8, 8, n + 5, "buffer is damaged"},
        {8, 8, UINT64_MAX - n + 6, "buffer is damaged"},
        {16, 4, (uint32_t)-1, "holds token -1"},
        {16 + 16, 4, (uint32_t)vocab, "the snapshot holds token"},
        {16 + 16, 4, INT32_MAX, "the snapshot holds token"},
        {state_at + offsetof(state_header, seen), 8, n + 1, "counts more tokens"},
        {state_at + offsetof(state_header, seen), 8, UINT64_MAX, "counts more tokens"},
        {state_at + offsetof(state_header, bytes), 8, 64, "belongs to another model"},
        {state_at + offsetof(state_header, shape), 8, 64, "belongs to another model"},
        {state_at, 8, 64, "header is damaged"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(bad, good, size);
        memcpy(bad + cases[i].at, &cases[i].value, cases[i].size);
        assert_int_equal(stream_restore(s, 0, bad, &err), PAL_DATA);
        if (!strstr(err.text, cases[i].said)) fail_msg("case %zu: %s", i, err.text);
        memset(bad, 0, size);
        stream_save(s, 0, bad);
        assert_memory_equal(good, bad, size); /* the stream is as it was */
    }
    free(good);
    free(bad);
    stream_destroy(s);
    pool_destroy(one);
    decoder_destroy(d);
}

static int setup(void **state)
{
    (void)state;
    use_blas();
    return mkdtemp(partial_dir) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", partial_dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_bad_checkpoints),
        cmocka_unit_test(test_forged_snapshots),
        cmocka_unit_test(test_forged_checkpoints),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

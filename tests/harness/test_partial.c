/* Checkpoints inside samples: interrupted, resumed, damaged. */
#include "tests/lib/batch_lab.h"
#include "tests/lib/use_blas.h"

#include "harness/base/os.h"
#include "harness/eval/sample_checkpoint.h"

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
            task_run run = {.stop = -1};
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
    task_run run = even_run();
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
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

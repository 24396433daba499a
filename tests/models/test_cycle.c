/* Streams that come back to a state they had: what is passed over leaves every bit as it was, and is found where
 * it can be. */
#include "tests/lib/stream_pair.h"
#include "tests/lib/use_blas.h"

enum { PERIOD = 24, STEPS = 120 };

/* Ours, with all that a state can hold. */
static decoder *gated_model(void)
{
    return make_model_with("infini-gated", "xl_len = 16\nmemory_key = previous\n");
}

/* Open (20) or shut (-20) every write gate. */
static void set_write_gates(decoder *d, double bias)
{
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        if (!strstr(p->name, "write_gate.bias")) continue;
        for (size_t k = 0; k < decoder_param_elements(p); k++) decoder_weights(d)[p->offset + k] = (real)bias;
    }
}

/* Memories that were written and then shut: whatever is done to the streams, and wherever in a cycle. */
static void check_same_bits(decoder *d)
{
    pool *threads;
    assert_int_equal(pool_create(&threads, 2, &err), PAL_OK);
    for (size_t lanes = 1; lanes <= LANES; lanes += LANES - 1) {
        pair p;
        rng draws = rng_make(4, "test/cycle", lanes, 0);
        uint64_t passed = 0;
        open_pair(&p, d, threads, lanes, PERIOD);
        set_write_gates(d, 20);
        feed_pair(&p, &draws, 5 * SEGMENT, 0, 0);
        set_write_gates(d, -20);
        for (int step = 0; step < STEPS; step++) {
            const uint64_t before = stream_passed(p.s[0], 0);
            feed_pair(&p, &draws, 1 + rng_below(&draws, MOST), 1, 0);
            passed += stream_passed(p.s[0], 0) > before;
            switch (rng_below(&draws, 12)) {
            case 0:
                feed_pair(&p, &draws, 1 + rng_below(&draws, 5), 0, 0);
                break;
            case 1:
                feed_pair(&p, &draws, 1 + rng_below(&draws, 20), 1, 1);
                break;
            case 2:
                compare_snapshots(&p);
                break;
            case 3:
                compare_predictions(&p);
                break;
            case 4:
                for (int i = 0; i < 2; i++) stream_zero_lane(p.s[i], lanes - 1);
                break;
            case 5:
                copy_lane(&p, 0, lanes - 1);
                break;
            default:
                break;
            }
            assert_int_equal(stream_position(p.s[0]), stream_position(p.s[1]));
        }
        compare_snapshots(&p);
        assert_true(passed > STEPS / 10);
        assert_int_equal(stream_passed(p.s[1], 0), 0);
        close_pair(&p);
    }
    pool_destroy(threads);
    decoder_destroy(d);
}

static void test_same_bits(void **state)
{
    (void)state;
    check_same_bits(gated_model());
    check_same_bits(make_model("infini-gated")); /* the state stays */
    check_same_bits(make_model_with("window", "window = 20\nsinks = 2\n"));
}

/* All but the first segments are passed over: the caches of two layers fill in three, the first anchor after them
 * is dropped at the fourth, and 24 tokens come round with segments of 16 every third one. */
static void test_counts(void **state)
{
    (void)state;
    enum { SEGMENTS = 200 };
    decoder *d = gated_model();
    pool *threads;
    assert_int_equal(pool_create(&threads, 1, &err), PAL_OK);
    pair p;
    rng draws = rng_make(4, "test/cycle", 9, 0);
    set_write_gates(d, -20);
    open_pair(&p, d, threads, 2, PERIOD);
    for (int i = 0; i < SEGMENTS; i++) feed_pair(&p, &draws, SEGMENT, 1, 0);
    feed_pair(&p, &draws, 1, 1, 0); /* the stream reads a segment when the token after it is there */
    const uint64_t passed = stream_passed(p.s[0], 0) / SEGMENT;
    assert_int_equal(passed, SEGMENTS - 4 - 3);
    compare_snapshots(&p);
    assert_in_range(stream_passed(p.s[0], 0) / SEGMENT, passed - 2, passed); /* the broken cycle is read again */
    close_pair(&p);

    /* A state that stays as it is while the tokens come round: the anchor, and every segment once. */
    decoder_destroy(d);
    d = make_model("infini-gated");
    set_write_gates(d, -20);
    open_pair(&p, d, threads, 2, PERIOD);
    for (int i = 0; i < SEGMENTS; i++) feed_pair(&p, &draws, SEGMENT, 1, 0);
    feed_pair(&p, &draws, 1, 1, 0);
    assert_int_equal(stream_passed(p.s[0], 0) / SEGMENT, SEGMENTS - 1 - 3);
    compare_snapshots(&p);
    close_pair(&p);

    /* Lanes come round by themselves. */
    open_pair(&p, d, threads, 2, PERIOD);
    p.wild = 2;
    for (int i = 0; i < SEGMENTS; i++) feed_pair(&p, &draws, SEGMENT, 1, 0);
    feed_pair(&p, &draws, 1, 1, 0);
    assert_int_equal(stream_passed(p.s[0], 0) / SEGMENT, SEGMENTS - 1 - 3);
    assert_int_equal(stream_passed(p.s[0], 1), 0);
    compare_snapshots(&p);
    close_pair(&p);

    /* Caches of ten layers fill in ten segments, three later hashes tell, and three later the anchor's state is
     * there. */
    decoder_destroy(d);
    d = make_model_with("window",
                        "segment = 16\nn_layers = 10\nwindow = 16\nsinks = 0\nwindow_slides = segment\n");
    open_pair(&p, d, threads, 1, PERIOD);
    for (int i = 0; i < SEGMENTS; i++) feed_pair(&p, &draws, SEGMENT, 1, 0);
    feed_pair(&p, &draws, 1, 1, 0);
    assert_int_equal(stream_passed(p.s[0], 0) / SEGMENT, SEGMENTS - 10 - 3 - 3);
    compare_snapshots(&p);
    close_pair(&p);

    /* Other tokens, gates that are open, or a state that does not say it all: nothing is passed over. */
    decoder_destroy(d);
    d = gated_model();
    set_write_gates(d, -20);
    open_pair(&p, d, threads, 2, PERIOD);
    for (int i = 0; i < SEGMENTS; i++) feed_pair(&p, &draws, SEGMENT, 0, 0);
    assert_int_equal(stream_passed(p.s[0], 0), 0);
    close_pair(&p);
    decoder_destroy(d);
    static const char *const names[] = {"infini-linear", "infini-gated", "transformer-xl", "memorizing"};
    for (size_t m = 0; m < sizeof names / sizeof *names; m++) {
        d = make_model(names[m]);
        open_pair(&p, d, threads, 1, PERIOD);
        for (int i = 0; i < SEGMENTS; i++) feed_pair(&p, &draws, SEGMENT, 1, 0);
        assert_int_equal(stream_passed(p.s[0], 0), 0);
        compare_snapshots(&p);
        close_pair(&p);
        decoder_destroy(d);
    }
    pool_destroy(threads);
}

/* Samples in batches: the scores and continuations of reading everything, and a count of what was really read. */
static void test_batches(void **state)
{
    (void)state;
    decoder *d = gated_model();
    set_write_gates(d, -20);
    const toy_run run = long_run(PERIOD);
    seen alone[SAMPLES];
    run_alone(d, &run, 0, alone);
    for (int i = 0; i < SAMPLES; i++) assert_true(read_of[i] == (double)run.length[i]);
    for (size_t lanes = 1; lanes <= SAMPLES; lanes += 2) {
        check_all(d, &run, (how){.share = 1, .lanes = lanes, .threads = 2}, alone);
        for (int i = 0; i < SAMPLES; i++) assert_in_range(read_of[i], 100, 400);
        assert_int_equal(progress_tokens, 5 * 4000 + 7 * 10);
    }
    decoder_destroy(d);
}

int main(void)
{
    use_blas();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

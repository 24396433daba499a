/* Layers below the first memory, over texts that repeat: known rows leave every bit as it was, are found where
 * they can be, and take no more memory than was said. */
#include "tests/lib/stream_pair.h"
#include "tests/lib/use_blas.h"

#include "models/decoder/state.h"
#include "models/stream/reuse.h"

enum { PERIOD = 24, STEPS = 80, SEGMENTS = 200 };

static pool *one, *two;

static int open_pools(void **state)
{
    (void)state;
    return pool_create(&one, 1, &err) || pool_create(&two, 2, &err);
}

static int close_pools(void **state)
{
    (void)state;
    pool_destroy(one);
    pool_destroy(two);
    return 0;
}

/* Memories of every kind above layers with and without caches of their own. */
static const char *const models[][2] = {
    {"infini-linear", "n_layers = 4\nmemory_layers = 2\n"},
    {"infini-delta", "n_layers = 3\nmemory_from = 1\nmemory_key = previous\n"},
    {"infini-delta", "n_layers = 4\nmemory_layers = 2.3\nxl_len = 8\nmemory_mix = add\nmemory_map = head\n"},
    {"infini-gated", "n_layers = 3\nmemory_from = 2\nxl_len = 16\n"},
    {"infini-delta", "n_layers = 3\nmemory_from = 2\nlocal_sinks = 4\n"},
    {"memorizing", "n_layers = 4\nknn_entries = 4K\n"},
    {"memorizing", "n_layers = 4\nknn_entries = 4K\nxl_len = 4\nknn_mix = softmax\n"},
};
enum { MODELS = sizeof models / sizeof *models };

/* Something that happens to both streams between two stretches of filler. */
static void disturb(pair *p, rng *draws)
{
    switch (rng_below(draws, 10)) {
    case 0:
        feed_pair(p, draws, 1 + rng_below(draws, 40), 0, 0);
        break;
    case 1:
        feed_pair(p, draws, 1 + rng_below(draws, 20), 1, 1);
        break;
    case 2:
        compare_snapshots(p);
        break;
    case 3:
        compare_predictions(p);
        break;
    case 4:
        for (int i = 0; i < 2; i++) stream_zero_lane(p->s[i], p->lanes - 1);
        break;
    case 5:
        copy_lane(p, 0, p->lanes - 1);
        break;
    default:
        break;
    }
}

static void test_same_bits(void **state)
{
    (void)state;
    for (size_t m = 0; m < MODELS; m++) {
        decoder *d = make_model_with(models[m][0], models[m][1]);
        for (size_t lanes = 1; lanes <= LANES; lanes++) {
            for (int threads = 1; threads <= 2; threads++) {
                pair p;
                rng draws = rng_make(4, "test/reuse", lanes, (uint32_t)m);
                open_pair(&p, d, threads == 1 ? one : two, lanes, PERIOD);
                p.alike = lanes == 2;
                for (int step = 0; step < STEPS; step++) {
                    feed_pair(&p, &draws, 1 + rng_below(&draws, MOST), 1, 0);
                    disturb(&p, &draws);
                }
                compare_snapshots(&p);
                assert_true(stream_reused(p.s[0], 0) > SEGMENT * STEPS / 10);
                assert_true(stream_reused(p.s[1], 0) == 0);
                close_pair(&p);
            }
        }
        decoder_destroy(d);
    }
}

/* Segments of a lane that were known, of SEGMENTS read. */
static double known_segments(const decoder *d, size_t lanes, size_t period, size_t layers)
{
    double below = 0;
    pair p;
    rng draws = rng_make(4, "test/reuse", 9, 0);
    open_pair(&p, d, one, lanes, period);
    p.alike = 1;
    for (int i = 0; i < SEGMENTS; i++) feed_pair(&p, &draws, SEGMENT, 1, 0);
    feed_pair(&p, &draws, 1, 1, 0); /* the stream reads a segment when the token after it is there */
    for (size_t l = 0; l < layers; l++) below += decoder_layer_flops(d, l, SEGMENT / 2);
    const double known = stream_reused(p.s[0], 0) / SEGMENT * decoder_flops(d, SEGMENT / 2, 0) / below;
    compare_snapshots(&p);
    close_pair(&p);
    return known;
}

/* All but the stream's first segment and the first of each kind; with caches it takes a segment more until what a
 * layer holds is what it will hold again. */
static void test_counts(void **state)
{
    (void)state;
    decoder *d = make_model_with("infini-linear", "n_layers = 4\nmemory_layers = 2\n");
    assert_true(fabs(known_segments(d, 1, PERIOD, 2) - (SEGMENTS - 1 - 3)) < 1e-6);
    assert_true(fabs(known_segments(d, 2, PERIOD, 2) - (SEGMENTS - 1 - 3)) < 1e-6);
    assert_true(fabs(known_segments(d, 1, 31, 2) - (SEGMENTS - 1 - 31)) < 1e-6);
    assert_true(fabs(known_segments(d, 1, 37, 2)) < 1e-6); /* more kinds than are kept */
    decoder_destroy(d);
    d = make_model_with("infini-linear", "n_layers = 4\nmemory_layers = 2\nxl_len = 8\n");
    assert_true(fabs(known_segments(d, 1, PERIOD, 2) - (SEGMENTS - 2 - 3)) < 1e-6);
    decoder_destroy(d);
}

static decoder *describe(const char *text)
{
    kv_pairs pairs = {0};
    model_config cfg;
    decoder *d = NULL;
    assert_int_equal(kv_pairs_parse(&pairs, text, "test", &err), PAL_OK);
    assert_int_equal(model_config_read(&cfg, &pairs, &err), PAL_OK);
    assert_int_equal(decoder_describe(&d, &cfg, &err), PAL_OK);
    kv_pairs_free(&pairs);
    return d;
}

static reuse measure(const decoder *d, size_t *bytes)
{
    arena a = {0};
    reuse u;
    reuse_carve(&u, d, &a);
    *bytes = a.used;
    return u;
}

/* Memory has a bound, and models without such layers, or with segments too large for it, take none. */
static void test_bytes(void **state)
{
    (void)state;
    static const int64_t segments[] = {16, 512, 2048, 4096, 16384};
    static const size_t count[] = {32, 31, 7, 0, 0};
    size_t bytes;
    for (size_t i = 0; i < sizeof segments / sizeof *segments; i++) {
        char text[300];
        snprintf(text, sizeof text,
                 "attention = infini-delta\nvocab = 64\nd_model = 512\nn_layers = 4\nn_heads = 8\nd_head = 64\n"
                 "d_ff = 512\nmemory_from = 2\nsegment = %lld\n",
                 (long long)segments[i]);
        decoder *d = describe(text);
        const reuse u = measure(d, &bytes);
        assert_int_equal(u.count, count[i]);
        assert_int_equal(u.layers, count[i] ? 2 : 0);
        assert_in_range(bytes, count[i] ? 1 : 0, count[i] ? REUSE_BYTES + REUSE_SEGMENTS * 512 : 0);
        decoder_destroy(d);
    }
    for (const attn_module *const *m = attn_table; *m; m++) {
        decoder *d = make_model((*m)->name);
        const reuse u = measure(d, &bytes);
        assert_int_equal(u.layers, strcmp((*m)->name, "memorizing") == 0); /* the memory is in the second of two */
        assert_int_equal(bytes > 0, u.layers > 0);
        decoder_destroy(d);
    }
}

/* Equal hashes are not taken for equal segments, nor for equal states. */
static void test_hashes_prove_nothing(void **state)
{
    (void)state;
    decoder *d = make_model_with("infini-linear", "memory_from = 1\nxl_len = 8\n");
    arena a = {0};
    reuse u;
    reuse_carve(&u, d, &a);
    assert_int_equal(arena_allocate(&a, "the test", &err), PAL_OK);
    reuse_carve(&u, d, &a);
    int32_t tokens[SEGMENT] = {1, 2, 3};
    char *lane = aligned_alloc(64, decoder_state_bytes(d));
    memset(lane, 0, decoder_state_bytes(d));
    decoder_state_skip(d, lane, SEGMENT);
    real *made = calloc(u.n * u.width, sizeof *made);
    real *cache = (real *)(lane + ((const char *)decoder_layer_state(d, lane, 0) - lane));
    int known;
    reuse_begin(&u);
    reuse_entry *first = reuse_claim(&u, tokens, lane, &known);
    assert_true(first && !known);
    reuse_store(&u, first, made, lane);
    reuse_begin(&u);
    assert_ptr_equal(reuse_claim(&u, tokens, lane, &known), first);
    assert_int_equal(known, 1);
    for (int other = 0; other < 2; other++) {
        tokens[5] = other == 0 ? 7 : 0;
        cache[3] = (real)other;
        reuse_begin(&u);
        reuse_entry *e = reuse_claim(&u, tokens, lane, &known);
        assert_int_equal(known, 0);
        first->hash = e->hash;
        e->used = 0;
        reuse_begin(&u);
        assert_ptr_not_equal(reuse_claim(&u, tokens, lane, &known), first);
        assert_int_equal(known, 0);
    }
    free(made);
    free(lane);
    arena_free(&a);
    decoder_destroy(d);
}

/* Samples in batches: the scores of reading everything, and a count of what was really read. */
static void test_batches(void **state)
{
    (void)state;
    decoder *d = make_model_with("infini-linear", "n_layers = 4\nmemory_layers = 2\n");
    const double part = (decoder_layer_flops(d, 0, 8) + decoder_layer_flops(d, 1, 8)) / decoder_flops(d, 8, 0);
    const toy_run run = long_run(PERIOD);
    seen alone[SAMPLES];
    run_alone(d, &run, 0, alone);
    for (int i = 0; i < SAMPLES; i++) assert_true(read_of[i] == (double)run.length[i]);
    for (size_t lanes = 1; lanes <= SAMPLES; lanes += 2) {
        check_all(d, &run, (how){.share = 1, .lanes = lanes, .threads = 2}, alone);
        /* All but a few segments of what is not scored are known. */
        for (int i = 0; i < SAMPLES; i++)
            assert_in_range((uint64_t)read_of[i], (uint64_t)(4000 - 4000 * part), (uint64_t)(4150 - 3600 * part));
    }
    decoder_destroy(d);
}

int main(void)
{
    use_blas();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_counts),
        cmocka_unit_test(test_bytes),     cmocka_unit_test(test_hashes_prove_nothing),
        cmocka_unit_test(test_batches),
    };
    return cmocka_run_group_tests(tests, open_pools, close_pools);
}

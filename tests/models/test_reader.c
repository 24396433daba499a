/* However many workers share the reading, and whether they share lanes, layers or operators: the same bits. */
#include "tests/lib/batch_lab.h"
#include "tests/lib/use_blas.h"

#include "models/stream/stream.h"

#include <malloc.h>

enum { LANES = 4, TEXT = 1100, UNSCORED = 100 };

typedef struct seen_by {
    double nll[LANES][TEXT];
    int32_t argmax[LANES][TEXT];
    size_t count[LANES];
    real next[LANES][VOCAB]; /* logits after the text */
    char *state[LANES];      /* snapshots */
    size_t bytes;
} seen_by;

static void collect(void *arg, size_t lane, uint64_t position, double nll, int32_t argmax)
{
    seen_by *s = arg;
    /* In order, each position once. */
    assert_int_equal(position, s->count[lane] ? UNSCORED + s->count[lane] : UNSCORED);
    s->nll[lane][position] = nll;
    s->argmax[lane][position] = argmax;
    s->count[lane]++;
}

static int32_t token_of(size_t lane, size_t i)
{
    rng draw = rng_make(11, "reader", lane, (uint32_t)i);
    return (int32_t)rng_below(&draw, VOCAB);
}

/* Lanes `first` to `first + lanes` - 1, in pieces of random lengths up to `longest`. */
static void read_text(const decoder *d, int threads, size_t first, size_t lanes, size_t longest, seen_by *out)
{
    static int32_t tokens[LANES * TEXT];
    pool *p = NULL;
    stream *s = NULL;
    rng draw = rng_make(12, "pieces", longest, (uint32_t)threads);
    assert_int_equal(pool_create(&p, threads, &err), PAL_OK);
    assert_int_equal(stream_create(&s, d, p, lanes, &err), PAL_OK);
    assert_int_equal(stream_allow_writing(s, &err), PAL_OK);
    memset(out, 0, sizeof *out);
    for (size_t lane = 0; lane < lanes; lane++)
        for (size_t i = 0; i < TEXT; i++) tokens[lane * TEXT + i] = token_of(first + lane, i);
    for (size_t done = 0; done < TEXT;) {
        const size_t wanted = 1 + rng_below(&draw, longest), take = wanted < TEXT - done ? wanted : TEXT - done;
        stream_feed(s, tokens + done, TEXT, take, UNSCORED, collect, out);
        done += take;
    }
    size_t stride;
    const real *logits = stream_predict(s, &stride);
    out->bytes = stream_snapshot_bytes(s);
    for (size_t lane = 0; lane < lanes; lane++) {
        memcpy(out->next[lane], logits + lane * stride, sizeof out->next[lane]);
        out->state[lane] = calloc(1, out->bytes);
        stream_save(s, lane, out->state[lane]);
    }
    stream_flush(s, UNSCORED, collect, out);
    for (size_t lane = 0; lane < lanes; lane++) assert_int_equal(out->count[lane], TEXT - UNSCORED);
    stream_destroy(s);
    pool_destroy(p);
}

static void forget(seen_by *s)
{
    for (size_t lane = 0; lane < LANES; lane++) free(s->state[lane]);
}

static void same(const seen_by *want, size_t at, const seen_by *got, size_t lane)
{
    assert_memory_equal(want->nll[at], got->nll[lane], sizeof want->nll[at]);
    assert_memory_equal(want->argmax[at], got->argmax[lane], sizeof want->argmax[at]);
    assert_memory_equal(want->next[at], got->next[lane], sizeof want->next[at]);
    assert_memory_equal(want->state[at], got->state[lane], want->bytes);
}

static void compare_all(const decoder *d, int most_threads)
{
    static seen_by want, got;
    read_text(d, 1, 0, LANES, 200, &want);
    for (int threads = 2; threads <= most_threads; threads++) {
        for (size_t lanes = 1; lanes <= LANES; lanes++) {
            read_text(d, threads, LANES - lanes, lanes, lanes % 2 ? TEXT : 40, &got);
            for (size_t lane = 0; lane < lanes; lane++) same(&want, LANES - lanes + lane, &got, lane);
            forget(&got);
        }
    }
    forget(&want);
}

static void two_workers_give_the_same_bits(void **state)
{
    (void)state;
    for (const attn_module *const *m = attn_table; *m; m++) {
        decoder *d = make_model_with((*m)->name, "n_layers = 3\nn_heads = 1\n");
        compare_all(d, 2);
        decoder_destroy(d);
    }
}

/* More workers than lanes, and than layers; segments that are not whole tiles of scores. */
static void any_shape_gives_the_same_bits(void **state)
{
    (void)state;
    static const char *const shape[] = {"n_layers = 1\n", "n_layers = 2\n", "n_layers = 5\n", "segment = 80\n",
                                        "segment = 208\n"};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        decoder *d = make_model_with("infini-delta", shape[i]);
        compare_all(d, 3);
        decoder_destroy(d);
    }
}

/* What is said of memory before a run is what malloc then gives; checkers with a malloc of their own say nothing.
 */
static void bytes_are_as_planned(void **state)
{
    (void)state;
    static const char *const model[][2] = {{"infini-linear", "n_layers = 3\n"},
                                           {"infini-linear", "n_layers = 3\nmemory_from = 1\nxl_len = 8\n"},
                                           {"transformer-xl", "n_layers = 3\n"}};
    for (size_t m = 0; m < sizeof model / sizeof *model; m++) {
        decoder *d = make_model_with(model[m][0], model[m][1]);
        for (int threads = 1; threads <= 3; threads++) {
            pool *p = NULL;
            assert_int_equal(pool_create(&p, threads, &err), PAL_OK);
            for (size_t lanes = 1; lanes <= 7; lanes++) {
                stream *s = NULL;
                const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
                const int writes = lanes % 2;
                assert_int_equal(stream_create(&s, d, p, lanes, &err), PAL_OK);
                if (writes) assert_int_equal(stream_allow_writing(s, &err), PAL_OK);
                const size_t used = mallinfo2().uordblks + mallinfo2().hblkhd - before;
                const size_t planned = stream_bytes(d, (size_t)threads, lanes) +
                                       (writes ? stream_writing_bytes(d, (size_t)threads, lanes) : 0);
                if (used > 0) assert_in_range(used, planned, planned + planned / 20 + 8192);
                stream_destroy(s);
            }
            pool_destroy(p);
        }
        decoder_destroy(d);
    }
}

int main(void)
{
    use_blas();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_workers_give_the_same_bits),
        cmocka_unit_test(any_shape_gives_the_same_bits),
        cmocka_unit_test(bytes_are_as_planned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

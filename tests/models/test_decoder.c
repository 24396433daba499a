/* The decoder as a whole: gradients through a window of segments, streaming, state, determinism. Runs for every
 * row of attn_table. */
#include "models/attention/modules.h"
#include "models/decoder/state.h"
#include "tests/lib/decoder_lab.h"

/* Modules whose state carries a gradient are differentiable through the whole window. The others stop it at the
 * cache on purpose; test_attention.c checks those within its borders. */
static void gradients_through_three_segments(void **unused)
{
    (void)unused;
    for (const attn_module *const *m = attn_table; *m; m++) {
        const model_config cfg = small_config((*m)->name);
        int stops = 0;
        for (size_t l = 0; l < (size_t)cfg.n_layers; l++)
            stops |= attn_sizes_of(&cfg, l, 1).state > 0 && attn_sizes_of(&cfg, l, 1).state_grad == 0;
        /* armt takes the share of a key that is new for a constant; test_field.c has its gradient. */
        if (stops || *m == &attn_armt) continue;
        bench b;
        open_bench(&b, &cfg, 2, 0);
        check_gradients(&b);
        close_bench(&b);
    }
}

static void recompute_threads_same_bits(void **unused)
{
    (void)unused;
    for (const attn_module *const *m = attn_table; *m; m++) {
        const model_config cfg = small_config((*m)->name);
        bench a, b;
        open_bench(&a, &cfg, 1, 0);
        open_bench(&b, &cfg, 2, 1);
        const attn_penalty penalty = {.weight = 0.1};
        const double loss_a = run_window(&a, penalty), loss_b = run_window(&b, penalty);
        assert_memory_equal(&loss_a, &loss_b, sizeof loss_a);
        assert_memory_equal(a.nll, b.nll, sizeof a.nll);
        for (size_t i = 0; i < decoder_param_count(a.d); i++) {
            const decoder_param *p = decoder_param_at(a.d, i);
            if (memcmp(a.grad + p->offset, b.grad + p->offset, decoder_param_elements(p) * sizeof(real)) != 0)
                fail_msg("%s: gradient of %s differs", (*m)->name, p->name);
        }
        for (int lane = 0; lane < LANES; lane++)
            assert_memory_equal(a.state[lane], b.state[lane], decoder_state_bytes(a.d));
        close_bench(&a);
        close_bench(&b);
    }
}

static void zero_weights_are_uniform(void **unused)
{
    (void)unused;
    const model_config cfg = small_config("local");
    bench b;
    open_bench(&b, &cfg, 1, 0);
    memset(decoder_weights(b.d), 0, decoder_weight_reals(b.d) * sizeof(real));
    run_window(&b, no_penalty);
    for (int i = 0; i < LANES * SEGMENTS * N; i++)
        assert_float_equal(b.nll[i], log(VOCAB), probability_tolerance * 10);
    close_bench(&b);
}

static void weighted_loss_is_the_mean(void **unused)
{
    (void)unused;
    const model_config cfg = small_config("infini-linear");
    bench b;
    open_bench(&b, &cfg, 1, 0);
    const double loss = run_window(&b, no_penalty);
    double sum = 0, total = 0;
    for (int i = 0; i < LANES * SEGMENTS * N; i++) {
        sum += (double)b.weight[i] * b.nll[i];
        total += (double)b.weight[i];
    }
    assert_float_equal(loss, sum / total, 1e-5);
    close_bench(&b);
}

/* ---- streams ---- */

enum { STREAM_TOKENS = 5 * N + 7 };

typedef struct scores {
    double nll[LANES][STREAM_TOKENS];
    int32_t argmax[LANES][STREAM_TOKENS];
    int count[LANES];
} scores;

static void collect(void *arg, size_t lane, uint64_t position, double nll, int32_t argmax)
{
    scores *s = arg;
    s->nll[lane][position] = nll;
    s->argmax[lane][position] = argmax;
    s->count[lane]++;
}

static void read_text(int32_t *tokens)
{
    rng r = rng_make(4, "test/text", 0, 0);
    for (int i = 0; i < LANES * STREAM_TOKENS; i++) tokens[i] = (int32_t)rng_below(&r, VOCAB);
}

static void run_stream(const decoder *d, pool *p, size_t lanes, const int32_t *tokens, size_t piece, uint64_t from,
                       scores *out)
{
    pal_error err;
    stream *s;
    assert_int_equal(stream_create(&s, d, p, lanes, &err), PAL_OK);
    memset(out, 0, sizeof *out);
    for (size_t done = 0; done < STREAM_TOKENS; done += piece) {
        const size_t take = STREAM_TOKENS - done < piece ? STREAM_TOKENS - done : piece;
        stream_feed(s, tokens + done, STREAM_TOKENS, take, from, collect, out);
    }
    stream_flush(s, from, collect, out);
    stream_destroy(s);
}

static void stream_bits_do_not_depend_on_cuts_lanes_or_scoring(void **unused)
{
    (void)unused;
    int32_t tokens[LANES * STREAM_TOKENS];
    read_text(tokens);
    for (const attn_module *const *m = attn_table; *m; m++) {
        const model_config cfg = small_config((*m)->name);
        bench b;
        open_bench(&b, &cfg, 2, 0);
        scores *whole = malloc(sizeof *whole), *other = malloc(sizeof *other);
        run_stream(b.d, b.pool, LANES, tokens, STREAM_TOKENS, 1, whole);
        assert_int_equal(whole->count[0], STREAM_TOKENS - 1);
        for (size_t piece = 1; piece < 40; piece += 6) {
            run_stream(b.d, b.pool, LANES, tokens, piece, 1, other);
            assert_memory_equal(whole, other, sizeof *whole);
        }
        run_stream(b.d, b.pool, 1, tokens, 11, 1, other);
        assert_memory_equal(whole->nll[0], other->nll[0], sizeof whole->nll[0]);
        const uint64_t from = STREAM_TOKENS - 9; /* segments before it are read without output */
        run_stream(b.d, b.pool, LANES, tokens, 13, from, other);
        assert_int_equal(other->count[0], 9);
        assert_memory_equal(whole->nll[0] + from, other->nll[0] + from, 9 * sizeof(double));
        free(whole);
        free(other);
        close_bench(&b);
    }
}

/* The stream's losses are those of the training window over the same tokens. */
static void stream_equals_window(void **unused)
{
    (void)unused;
    for (const attn_module *const *m = attn_table; *m; m++) {
        const model_config cfg = small_config((*m)->name);
        bench b;
        open_bench(&b, &cfg, 2, 0);
        for (int lane = 0; lane < LANES; lane++)
            for (int i = 0; i + 1 < SEGMENTS * N; i++)
                b.targets[lane * SEGMENTS * N + i] = b.tokens[lane * SEGMENTS * N + i + 1];
        run_window(&b, no_penalty);
        pal_error err;
        stream *s;
        scores *out = calloc(1, sizeof *out);
        assert_int_equal(stream_create(&s, b.d, b.pool, LANES, &err), PAL_OK);
        stream_feed(s, b.tokens, SEGMENTS * N, SEGMENTS * N, 1, collect, out);
        stream_flush(s, 1, collect, out);
        for (int lane = 0; lane < LANES; lane++)
            assert_memory_equal(out->nll[lane] + 1, b.nll + lane * SEGMENTS * N,
                                (SEGMENTS * N - 1) * sizeof(double));
        stream_destroy(s);
        free(out);
        close_bench(&b);
    }
}

static void snapshot_resumes_to_the_same_bits(void **unused)
{
    (void)unused;
    int32_t tokens[LANES * STREAM_TOKENS];
    read_text(tokens);
    for (const attn_module *const *m = attn_table; *m; m++) {
        const model_config cfg = small_config((*m)->name);
        bench b;
        open_bench(&b, &cfg, 1, 0);
        pal_error err;
        stream *s;
        scores *whole = malloc(sizeof *whole), *other = calloc(1, sizeof *other);
        run_stream(b.d, b.pool, LANES, tokens, STREAM_TOKENS, 1, whole);
        assert_int_equal(stream_create(&s, b.d, b.pool, LANES, &err), PAL_OK);
        assert_int_equal(stream_allow_writing(s, &err), PAL_OK);
        const size_t cut = 2 * N + 5;
        stream_feed(s, tokens, STREAM_TOKENS, cut, 1, collect, other);
        char *kept[LANES];
        for (size_t lane = 0; lane < LANES; lane++)
            stream_save(s, lane, kept[lane] = malloc(stream_snapshot_bytes(s)));
        int32_t ahead[LANES * 20];
        stream_generate(s, 20, ahead); /* must leave no trace after the restore */
        stream_reset(s);
        for (size_t lane = 0; lane < LANES; lane++)
            assert_int_equal(stream_restore(s, lane, kept[lane], &err), PAL_OK);
        stream_feed(s, tokens + cut, STREAM_TOKENS, STREAM_TOKENS - cut, 1, collect, other);
        stream_flush(s, 1, collect, other);
        assert_memory_equal(whole, other, sizeof *whole);
        kept[0][2 * sizeof(uint64_t) + (N + 1) * sizeof(int32_t)] ^= 1;
        assert_int_equal(stream_restore(s, 0, kept[0], &err), PAL_DATA);
        for (size_t lane = 0; lane < LANES; lane++) free(kept[lane]);
        stream_destroy(s);
        free(whole);
        free(other);
        close_bench(&b);
    }
}

/* A greedy continuation is what scoring it afterwards calls the model's own choice. */
static void generation_agrees_with_scoring(void **unused)
{
    (void)unused;
    enum { PROMPT = 2 * N + 11, EXTRA = 12 };
    int32_t text[LANES * STREAM_TOKENS];
    read_text(text);
    for (const attn_module *const *m = attn_table; *m; m++) {
        const model_config cfg = small_config((*m)->name);
        bench b;
        open_bench(&b, &cfg, 1, 0);
        pal_error err;
        stream *s;
        int32_t out[LANES * EXTRA], both[LANES * (PROMPT + EXTRA)];
        assert_int_equal(stream_create(&s, b.d, b.pool, LANES, &err), PAL_OK);
        assert_int_equal(stream_allow_writing(s, &err), PAL_OK);
        stream_feed(s, text, STREAM_TOKENS, PROMPT, 0, NULL, NULL);
        stream_generate(s, EXTRA, out);
        assert_int_equal(stream_position(s), PROMPT + EXTRA);
        for (size_t lane = 0; lane < LANES; lane++) {
            memcpy(both + lane * (PROMPT + EXTRA), text + lane * STREAM_TOKENS, PROMPT * sizeof *both);
            memcpy(both + lane * (PROMPT + EXTRA) + PROMPT, out + lane * EXTRA, EXTRA * sizeof *both);
        }
        scores *check = calloc(1, sizeof *check);
        stream_reset(s);
        stream_feed(s, both, PROMPT + EXTRA, PROMPT + EXTRA, PROMPT, collect, check);
        stream_flush(s, PROMPT, collect, check);
        for (size_t lane = 0; lane < LANES; lane++)
            assert_memory_equal(check->argmax[lane] + PROMPT, out + lane * EXTRA, EXTRA * sizeof *out);
        free(check);
        stream_destroy(s);
        close_bench(&b);
    }
}

static void zeroed_memory_is_an_empty_one(void **unused)
{
    (void)unused;
    int32_t tokens[LANES * STREAM_TOKENS];
    read_text(tokens);
    const model_config cfg = small_config("infini-delta");
    bench b;
    open_bench(&b, &cfg, 1, 0);
    pal_error err;
    stream *s;
    scores *zeroed = calloc(1, sizeof *zeroed), *fresh = calloc(1, sizeof *fresh);
    assert_int_equal(stream_create(&s, b.d, b.pool, LANES, &err), PAL_OK);
    stream_feed(s, tokens, STREAM_TOKENS, 2 * N + 1, 0, NULL, NULL); /* two segments, one token buffered */
    stream_zero_memory(s);
    stream_feed(s, tokens + 2 * N + 1, STREAM_TOKENS, 2 * N, 0, collect, zeroed);
    stream_reset(s);
    stream_feed(s, tokens + 2 * N, STREAM_TOKENS, 2 * N + 1, 0, collect, fresh);
    assert_memory_equal(zeroed->nll[0] + 2 * N + 1, fresh->nll[0] + 1, 2 * N * sizeof(double));
    stream_destroy(s);
    free(zeroed);
    free(fresh);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_through_three_segments),
        cmocka_unit_test(recompute_threads_same_bits),
        cmocka_unit_test(zero_weights_are_uniform),
        cmocka_unit_test(weighted_loss_is_the_mean),
        cmocka_unit_test(stream_bits_do_not_depend_on_cuts_lanes_or_scoring),
        cmocka_unit_test(stream_equals_window),
        cmocka_unit_test(snapshot_resumes_to_the_same_bits),
        cmocka_unit_test(generation_agrees_with_scoring),
        cmocka_unit_test(zeroed_memory_is_an_empty_one),
    };
    return cmocka_run_group_tests_name("decoder", tests, NULL, NULL);
}

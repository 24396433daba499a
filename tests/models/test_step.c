/* Writing token by token: logits of steps against those of whole segments, for every attention and what may stand
 * around it; and what their bits may not depend on. */
#include "models/attention/modules.h"
#include "models/decoder/pass.h"
#include "models/decoder/step.h"
#include "tests/lib/decoder_lab.h"

enum { TEXT = 4 * N + 5, MOST_LANES = 3 };

#ifdef PAL_DOUBLE
static const double tolerance = 1e-11;
#else
static const double tolerance = 1e-4;
#endif

static pal_error err;

/* What models may have: settings of the config, beside each attention. */
static const char *const shapes[] = {
    "",
    "n_heads = 4\nn_kv_heads = 2\nqk_norm = rms\nnorm = rms\nfeed_forward = gated\nactivation = silu\ntied = 0\n",
    "n_heads = 4\nn_kv_heads = 1\nattn_bias = all\nff_bias = 1\noutput_bias = 1\nfinal_norm = 0\n",
    "attn_bias = qkv\nrope_scaling = yarn\nrope_factor = 4\nrope_original = 16\nrope_layout = interleaved\n",
    "rope_scaling = llama3\nrope_factor = 8\nrope_original = 32\nembed_scale = sqrt_d_model\nd_model = 44\nd_ff = "
    "37\n",
};

/* Keys of an attention's own that lead to other code. */
static const struct {
    const char *attention, *settings;
} variants[] = {
    {"window", "window = 9\nsinks = 3\n"},
    {"window", "window = 21\nsinks = 5\nwindow_positions = absolute\n"},
    {"window", "window = 12\nsinks = 0\n"},
    {"window", "window = 12\nsinks = 4\nwindow_slides = segment\n"},
    {"window", "window = 40\nsinks = 20\n"},
    {"infini-linear", "xl_len = 7\nmemory_z_init = 1\nfirst_segment = gated\nmemory_feature = relu\n"},
    {"infini-gated", "xl_len = 16\nmemory_empty = unwritten\nmemory_from = 1\nmemory_key = previous\n"},
    {"infini-gated", "xl_len = 5\nlocal_sinks = 3\nmemory_from = 1\n"},
    {"infini-linear", "local_sinks = 20\n"},
    {"infini-delta", "memory_z_rule = gamma\n"},
    {"memorizing", "knn_k = 3\nknn_entries = 20\nxl_len = 8\n"},
    {"memorizing", "knn_k = 4\nknn_entries = 24\nxl_len = 6\nknn_mix = softmax\n"},
    {"memorizing", "first_segment = gated\n"},
    {"transformer-xl", "mem_len = 5\nclamp_len = 9\n"},
    {"transformer-xl", "mem_len = 24\nsame_length = 1\nuntie_r = 1\n"},
    {"transformer-xl", "mem_len = 0\n"},
    {"full", "context = 40\n"},
    {"compressive", "mem_len = 9\ncompressed_len = 7\ncompress_rate = 3\n"},
};

static bench open_model(const char *attention, const char *settings, int threads)
{
    bench b;
    const model_config cfg = small_config_with(attention, settings);
    open_bench(&b, &cfg, threads, 0);
    return b;
}

static void draw_text(int32_t *tokens)
{
    rng r = rng_make(21, "test/step", 0, 0);
    for (int i = 0; i < MOST_LANES * TEXT; i++) tokens[i] = (int32_t)rng_below(&r, VOCAB);
}

/* out[lanes, TEXT, VOCAB]: logits after every token, from whole segments, the last one padded. */
static void read_segments(const bench *b, const int32_t *tokens, size_t lanes, real *out)
{
    pass *p;
    void *state[MOST_LANES];
    int32_t segment[MOST_LANES * N];
    size_t valid[MOST_LANES];
    assert_int_equal(pass_create(&p, b->d, b->pool, lanes, 0, &err), PAL_OK);
    for (size_t lane = 0; lane < lanes; lane++) {
        state[lane] = aligned_alloc(64, decoder_state_bytes(b->d));
        memset(state[lane], 0, decoder_state_bytes(b->d));
        decoder_state_reset(b->d, state[lane]);
    }
    for (size_t at = 0; at < TEXT; at += N) {
        const size_t count = TEXT - at < N ? TEXT - at : N;
        memset(segment, 0, sizeof segment);
        for (size_t lane = 0; lane < lanes; lane++) {
            memcpy(segment + lane * N, tokens + lane * TEXT + at, count * sizeof *tokens);
            valid[lane] = count;
        }
        pass_forward(p, 0, segment, valid, state, 1);
        const real *logits = pass_logits(p, 0);
        for (size_t lane = 0; lane < lanes; lane++)
            memcpy(out + (lane * TEXT + at) * VOCAB, logits + lane * N * VOCAB, count * VOCAB * sizeof *out);
    }
    for (size_t lane = 0; lane < lanes; lane++) free(state[lane]);
    pass_destroy(p);
}

/* The same by predictions, after every `every`-th token and after the last; the other rows stay 0. */
static void read_steps(const bench *b, const int32_t *tokens, size_t lanes, size_t every, real *out,
                       void *snapshot)
{
    stream *s;
    size_t stride;
    assert_int_equal(stream_create(&s, b->d, b->pool, lanes, &err), PAL_OK);
    assert_null(stream_predict(s, &stride));
    assert_int_equal(stream_allow_writing(s, &err), PAL_OK);
    memset(out, 0, MOST_LANES * TEXT * VOCAB * sizeof *out);
    for (size_t i = 0; i < TEXT; i++) {
        stream_feed(s, tokens + i, TEXT, 1, UINT64_MAX, NULL, NULL);
        if (i % every != 0 && i + 1 < TEXT) continue;
        const real *logits = stream_predict(s, &stride);
        assert_int_equal(stride, VOCAB);
        for (size_t lane = 0; lane < lanes; lane++)
            memcpy(out + (lane * TEXT + i) * VOCAB, logits + lane * VOCAB, VOCAB * sizeof *out);
    }
    if (snapshot) stream_save(s, 0, snapshot);
    stream_destroy(s);
}

static size_t largest(const real *logits)
{
    size_t most = 0;
    for (size_t i = 1; i < VOCAB; i++)
        if (logits[i] > logits[most]) most = i;
    return most;
}

static void compare_rows(const char *what, const real *want, const real *got, size_t count)
{
    for (size_t row = 0; row < count; row++, want += VOCAB, got += VOCAB) {
        double scale = 0;
        for (size_t i = 0; i < VOCAB; i++) scale = fmax(scale, fabs((double)want[i]));
        for (size_t i = 0; i < VOCAB; i++)
            if (!(fabs((double)want[i] - (double)got[i]) <= tolerance * scale))
                fail_msg("%s: row %zu, token %zu: %.9g, a segment says %.9g", what, row, i, (double)got[i],
                         (double)want[i]);
        const size_t a = largest(want), b = largest(got);
        if (a != b && (double)want[a] - (double)want[b] > tolerance * scale)
            fail_msg("%s: row %zu: choice %zu, a segment says %zu", what, row, b, a);
    }
}

static void check_model(const char *attention, const char *settings)
{
    static real want[MOST_LANES * TEXT * VOCAB], got[MOST_LANES * TEXT * VOCAB];
    int32_t tokens[MOST_LANES * TEXT];
    char what[512];
    draw_text(tokens);
    bench b = open_model(attention, settings, 2);
    assert_true(stepper_serves(b.d));
    for (size_t lanes = 1; lanes <= MOST_LANES; lanes += 2) {
        snprintf(what, sizeof what, "%s, %zu lanes, %s", attention, lanes, settings);
        read_segments(&b, tokens, lanes, want);
        read_steps(&b, tokens, lanes, 1, got, NULL);
        compare_rows(what, want, got, lanes * TEXT);
    }
    close_bench(&b);
}

static void steps_agree_with_segments(void **unused)
{
    (void)unused;
    for (const attn_module *const *m = attn_table; *m; m++)
        for (size_t i = 0; (*m)->step && i < sizeof shapes / sizeof *shapes; i++) {
            const int norms = strstr(shapes[i], "qk_norm") != NULL;
            if (norms && (*m == &attn_transformer_xl || *m == &attn_compressive)) continue; /* they have none */
            check_model((*m)->name, shapes[i]);
        }
}

static void own_keys_agree_with_segments(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        check_model(variants[i].attention, variants[i].settings);
        if (strcmp(variants[i].attention, "transformer-xl") == 0) continue;
        char shared[256];
        snprintf(shared, sizeof shared, "n_heads = 4\nn_kv_heads = 2\n%s", variants[i].settings);
        check_model(variants[i].attention, shared);
    }
}

/* When predictions are asked for, how many threads and lanes there are: no bit. Nor does a state change. */
static void bits_do_not_depend_on_the_way(void **unused)
{
    (void)unused;
    static real want[MOST_LANES * TEXT * VOCAB], got[MOST_LANES * TEXT * VOCAB];
    int32_t tokens[MOST_LANES * TEXT];
    draw_text(tokens);
    for (const attn_module *const *m = attn_table; *m; m++) {
        bench one = open_model((*m)->name, "", 1), two = open_model((*m)->name, "", 2);
        stream *s;
        assert_int_equal(stream_create(&s, one.d, one.pool, 1, &err), PAL_OK);
        stream_feed(s, tokens, TEXT, TEXT, UINT64_MAX, NULL, NULL);
        const size_t bytes = stream_snapshot_bytes(s);
        char *a = calloc(1, bytes), *b = calloc(1, bytes);
        stream_save(s, 0, a);
        stream_destroy(s);
        read_steps(&one, tokens, MOST_LANES, 1, want, b);
        assert_memory_equal(a, b, bytes);
        for (size_t every = 1; every < 3 * N; every = 2 * every + 1)
            for (size_t lanes = 1; lanes <= MOST_LANES; lanes += 2) {
                read_steps(every % 3 ? &one : &two, tokens, lanes, every, got, NULL);
                for (size_t row = 0; row < lanes * TEXT; row++)
                    if (row % TEXT % every == 0 || row % TEXT == TEXT - 1)
                        assert_memory_equal(want + row * VOCAB, got + row * VOCAB, VOCAB * sizeof *got);
            }
        free(a);
        free(b);
        close_bench(&one);
        close_bench(&two);
    }
}

/* Wherever a prompt ends, in feeds or in a snapshot, the text goes on the same. */
static void text_goes_on_the_same_however_it_was_cut(void **unused)
{
    (void)unused;
    enum { PROMPT = N + 9, WRITTEN = 2 * N };
    int32_t tokens[MOST_LANES * TEXT], want[WRITTEN], got[WRITTEN];
    draw_text(tokens);
    for (const attn_module *const *m = attn_table; *m; m++) {
        bench b = open_model((*m)->name, "", 2);
        stream *s;
        assert_int_equal(stream_create(&s, b.d, b.pool, 1, &err), PAL_OK);
        assert_int_equal(stream_allow_writing(s, &err), PAL_OK);
        stream_feed(s, tokens, TEXT, PROMPT, UINT64_MAX, NULL, NULL);
        stream_generate(s, WRITTEN, want);
        char *kept = malloc(stream_snapshot_bytes(s));
        for (size_t cut = 1; cut < PROMPT; cut += 5) {
            stream_reset(s);
            stream_feed(s, tokens, TEXT, cut, UINT64_MAX, NULL, NULL);
            size_t stride;
            assert_non_null(stream_predict(s, &stride));
            stream_feed(s, tokens + cut, TEXT, PROMPT - cut, UINT64_MAX, NULL, NULL);
            stream_generate(s, cut, got);
            stream_save(s, 0, kept);
            stream_generate(s, 3, got + cut); /* is forgotten */
            assert_int_equal(stream_restore(s, 0, kept, &err), PAL_OK);
            stream_generate(s, WRITTEN - cut, got + cut);
            assert_memory_equal(want, got, sizeof want);
        }
        free(kept);
        stream_destroy(s);
        close_bench(&b);
    }
}

/* A memory that is taken away is taken away from what is written too. */
static void a_zeroed_lane_is_written_anew(void **unused)
{
    (void)unused;
    int32_t tokens[MOST_LANES * TEXT];
    draw_text(tokens);
    bench b = open_model("infini-delta", "", 1);
    stream *s;
    size_t stride;
    real before[VOCAB], after[VOCAB];
    assert_int_equal(stream_create(&s, b.d, b.pool, 1, &err), PAL_OK);
    assert_int_equal(stream_allow_writing(s, &err), PAL_OK);
    stream_feed(s, tokens, TEXT, 2 * N + 3, UINT64_MAX, NULL, NULL);
    memcpy(before, stream_predict(s, &stride), sizeof before);
    stream_zero_memory(s);
    memcpy(after, stream_predict(s, &stride), sizeof after);
    assert_memory_not_equal(before, after, sizeof before);
    stream_reset(s);
    stream_feed(s, tokens + 2 * N, TEXT, 3, UINT64_MAX, NULL, NULL);
    assert_memory_equal(after, stream_predict(s, &stride), sizeof after);
    stream_destroy(s);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_agree_with_segments),
        cmocka_unit_test(own_keys_agree_with_segments),
        cmocka_unit_test(bits_do_not_depend_on_the_way),
        cmocka_unit_test(text_goes_on_the_same_however_it_was_cut),
        cmocka_unit_test(a_zeroed_lane_is_written_anew),
    };
    return cmocka_run_group_tests_name("step", tests, NULL, NULL);
}

/* Samples side by side through a model, against the model run by hand, one sample at a time. */
#include "models/decoder/pass.h"
#include "models/decoder/state.h"
#include "tests/lib/batch_lab.h"
#include "tests/lib/use_blas.h"

#include <math.h>

/* ---- Against the model by hand ---- */

/* The logits of every position of `tokens`, a segment at a time, from an empty state. */
static void by_hand(const decoder *d, const int32_t *tokens, size_t count, real *logits)
{
    pool *p = NULL;
    pass *one = NULL;
    void *state = calloc(1, decoder_state_bytes(d));
    assert_int_equal(pool_create(&p, 1, &err), PAL_OK);
    assert_int_equal(pass_create(&one, d, p, 1, 0, &err), PAL_OK);
    decoder_state_reset(d, state);
    for (size_t at = 0; at < count; at += SEGMENT) {
        int32_t segment[SEGMENT] = {0};
        const size_t valid = count - at < SEGMENT ? count - at : SEGMENT;
        memcpy(segment, tokens + at, valid * sizeof *segment);
        pass_forward(one, 0, segment, &valid, &state, 1);
        memcpy(logits + at * VOCAB, pass_logits(one, 0), valid * VOCAB * sizeof *logits);
    }
    free(state);
    pass_destroy(one);
    pool_destroy(p);
}

static int32_t largest(const real *logits)
{
    int32_t best = 0;
    for (int32_t t = 1; t < VOCAB; t++)
        if (logits[t] > logits[best]) best = t;
    return best;
}

static double loss_of(const real *row, int32_t target)
{
    double sum = 0;
    for (int v = 0; v < VOCAB; v++) sum += exp((double)row[v] - (double)row[target]);
    return log(sum);
}

static void check_by_hand(const decoder *d, const toy_run *run, int64_t i)
{
    int32_t tokens[512];
    static real logits[512 * VOCAB];
    const int64_t length = run->length[i], prompt = run->prompt[i];
    const seen *s = &seen_of[i];
    for (int64_t t = 0; t < length; t++) tokens[t] = token_at(run, i, t);
    by_hand(d, tokens, (size_t)length, logits);
    for (int64_t t = run->first[i]; t < length; t++) {
        const real *row = logits + (size_t)(t - 1) * VOCAB;
        assert_true(fabs(s->nll[t - run->first[i]] - loss_of(row, tokens[t])) < 1e-5);
        assert_int_equal(s->argmax[t - run->first[i]], largest(row));
    }
    for (size_t g = 0; g < run->generate[i]; g++) {
        by_hand(d, tokens, (size_t)prompt + g, logits);
        tokens[(size_t)prompt + g] = largest(logits + ((size_t)prompt + g - 1) * VOCAB);
        assert_int_equal(s->generated[g], tokens[(size_t)prompt + g]);
    }
}

static void test_against_hand(void **state)
{
    (void)state;
    static const char *const names[] = {"infini-linear", "transformer-xl", "full"};
    const toy_run runs[] = {even_run(), ragged_run()};
    for (size_t m = 0; m < sizeof names / sizeof *names; m++) {
        decoder *d = make_model(names[m]);
        for (int r = 0; r < 2; r++) {
            if (run_toy(d, &runs[r], (how){.threads = 2}, 0, SAMPLES) != PAL_OK) fail_msg("%s", err.text);
            for (int64_t i = 0; i < SAMPLES; i++) check_by_hand(d, &runs[r], i);
        }
        decoder_destroy(d);
    }
}

/* Every module: a sample's bits depend neither on what runs beside it (samples of other lengths among them), nor
 * on its lane, nor on the number of threads. */
static void test_neighbours_and_threads(void **state)
{
    (void)state;
    const toy_run runs[] = {even_run(), ragged_run()};
    for (size_t m = 0; attn_table[m]; m++) {
        decoder *d = make_model(attn_table[m]->name);
        for (int r = 0; r < 2; r++) {
            seen alone[SAMPLES];
            run_alone(d, &runs[r], 0, alone);
            check_all(d, &runs[r], (how){.threads = 1}, alone);
            check_all(d, &runs[r], (how){.threads = 2, .lanes = 3}, alone);
        }
        decoder_destroy(d);
    }
}

/* Every module: reading a shared start once gives the bits of reading it in every sample, wherever it ends
 * relative to segments, scores, prompts and the place where the control forgets. */
static void test_shared_prefix(void **state)
{
    (void)state;
    for (size_t m = 0; attn_table[m]; m++) {
        decoder *d = make_model(attn_table[m]->name);
        for (int zeroed = 0; zeroed <= 1; zeroed++) {
            static const int64_t shared[] = {1, 16, 33, 75};
            for (size_t k = 0; k < sizeof shared / sizeof *shared; k++) {
                toy_run run = even_run();
                seen alone[SAMPLES];
                run.length[4] = 90;
                run.shared = shared[k];
                run.forget = zeroed ? 15 : 0; /* in the first segment: nothing can be skipped */
                run_alone(d, &run, zeroed, alone);
                check_all(d, &run, (how){.share = 0, .zeroed = zeroed}, alone);
                const uint64_t all = progress_tokens;
                check_all(d, &run, (how){.share = 1, .zeroed = zeroed}, alone);
                if (decoder_reach(d) < 75) continue; /* then starts are passed over instead */
                /* Three samples of one id and two of the other. */
                const int64_t usable = zeroed && shared[k] > 15 ? 15 : shared[k] > 60 ? 60 : shared[k];
                assert_int_equal(progress_tokens, all - 3 * (uint64_t)usable);
                check_all(d, &run, (how){.share = 1, .zeroed = zeroed, .lanes = 2}, alone);
                check_all(d, &run, (how){.share = 1, .zeroed = zeroed, .lanes = 1}, alone);
            }
        }
        decoder_destroy(d);
    }
}

static void test_cut(void **state)
{
    (void)state;
    static const task_cell cell = {.name = "toy"};
    /* id, shared, tokens, resume */
    static const uint64_t given[][4] = {{1, 900, 1000, 0}, {1, 10, 1000, 0},  {1, 905, 1000, 0}, {2, 500, 1000, 0},
                                        {1, 30, 1000, 0},  {0, 0, 800, 0},    {0, 0, 300, 0},    {0, 0, 1000, 64},
                                        {0, 0, 1000, 64},  {1, 50, 1000, 128}};
    enum { ROWS = sizeof given / sizeof *given };
    decoder *d = make_model("infini-linear");
    batch_item item[ROWS];
    batch_group group[ROWS];
    for (int i = 0; i < ROWS; i++)
        item[i] = (batch_item){.cell = &cell,
                               .index = i,
                               .tokens = given[i][2],
                               .prompt = given[i][2],
                               .first = given[i][2] - 5,
                               .shared = given[i][1],
                               .shared_id = given[i][0],
                               .tail = UINT64_MAX,
                               .resume = given[i][3]};
    /* Resumed ones first, by position; the lonely id 2 shares nothing; a far longer prefix opens a group. */
    static const struct {
        int64_t index[4];
        uint64_t start, once;
    } expected[] = {{{9, -1}, 128, 0},
                    {{7, 8, -1}, 64, 0},
                    {{6, 5, 3, -1}, 0, 0},
                    {{1, 4, -1}, 10, 10},
                    {{0, 2, -1}, 900, 890}};
    const size_t groups = batch_cut(d, item, ROWS, 4, 1, 0, group);
    assert_int_equal(groups, 5);
    for (size_t g = 0; g < groups; g++) {
        size_t n = 0;
        for (; expected[g].index[n] >= 0; n++)
            assert_int_equal(item[group[g].first + n].index, expected[g].index[n]);
        assert_int_equal(group[g].count, n);
        assert_int_equal(group[g].start, expected[g].start);
        assert_int_equal(group[g].once, expected[g].once);
    }
    decoder_destroy(d);
}

/* ---- The control that forgets ---- */

/* Forgotten at a place, what follows is as if the stream had begun at the border of that place's segment. */
static void test_forget(void **state)
{
    (void)state;
    static const char *const names[] = {"infini-linear", "infini-delta", "transformer-xl", "memorizing"};
    for (size_t m = 0; m < sizeof names / sizeof *names; m++) {
        decoder *d = make_model(names[m]);
        static const int64_t places[] = {20, 31, 32, 33, 59};
        for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
            toy_run run = even_run();
            int32_t tokens[75];
            static real logits[75 * VOCAB];
            run.forget = places[k];
            assert_int_equal(run_toy(d, &run, (how){.zeroed = 1}, 0, SAMPLES), PAL_OK);
            const int64_t border = places[k] / SEGMENT * SEGMENT;
            assert_int_equal(progress_tokens, SAMPLES * (75 - border)); /* what it forgets is not even read */
            for (int64_t t = 0; t < 75; t++) tokens[t] = token_at(&run, 0, t);
            by_hand(d, tokens + border, (size_t)(75 - border), logits);
            for (int64_t t = run.first[0]; t < 75; t++)
                assert_true(fabs(seen_of[0].nll[t - run.first[0]] -
                                 loss_of(logits + (size_t)(t - border - 1) * VOCAB, tokens[t])) < 1e-5);
        }
        decoder_destroy(d);
    }
}

/* Samples that forget at different places are skipped to each its own. */
static void test_forget_apart(void **state)
{
    (void)state;
    decoder *d = make_model("infini-linear");
    toy_run run = even_run();
    seen alone[SAMPLES];
    run.forget = 36;
    run.forget_step = 20;
    run_alone(d, &run, 1, alone);
    check_all(d, &run, (how){.zeroed = 1}, alone);
    assert_int_equal(progress_tokens, 3 * (75 - 32) + 2 * (75 - 48));
    decoder_destroy(d);
}

/* Forgetting at every segment changes nothing where nothing is carried over, and something where it is. */
static void test_forget_always(void **state)
{
    (void)state;
    toy_run run = ragged_run();
    for (int kept = 0; kept <= 1; kept++) {
        decoder *d = make_model(kept ? "infini-linear" : "local");
        seen usual[SAMPLES];
        run_alone(d, &run, 0, usual);
        assert_int_equal(run_toy(d, &run, (how){.zeroed = 1}, 0, SAMPLES), PAL_OK);
        if (kept)
            assert_memory_not_equal(seen_of, usual, sizeof usual);
        else
            assert_memory_equal(seen_of, usual, sizeof usual);
        seen zeroed[SAMPLES];
        memcpy(zeroed, seen_of, sizeof zeroed);
        check_all(d, &run, (how){.zeroed = 1, .lanes = 2, .share = 1}, zeroed);
        decoder_destroy(d);
    }
}

/* ---- Bounded reach ---- */

/* What lies beyond a model's reach is passed over, and the bits are those of reading it: a ring that is
 * overwritten in the middle, caches of less, exactly and more than a segment, samples whose ends differ. */
static void test_reach(void **state)
{
    (void)state;
    static const struct {
        const char *attention, *more;
        uint64_t reach; /* of two layers */
    } model[] = {{"local", "", 0},
                 {"transformer-xl", "mem_len = 16\n", 2 * 16},
                 {"transformer-xl", "mem_len = 5\n", 2 * 16},
                 {"transformer-xl", "mem_len = 40\n", 2 * 48},
                 {"compressive", "mem_len = 16\ncompressed_len = 4\ncompress_rate = 4\n", 2 * 48},
                 {"memorizing", "knn_entries = 72\nknn_k = 8\nxl_len = 16\n", 16 + 80},
                 {"memorizing", "knn_entries = 50\nknn_k = 8\nknn_layer = 0\n", 64},
                 {"infini-delta", "", UINT64_MAX},
                 {"full", "", UINT64_MAX}};
    toy_run run = even_run();
    for (int i = 0; i < SAMPLES; i++) {
        run.length[i] = 230 + 16 * (i % 2) + 3 * i;
        run.prompt[i] = run.length[i] - 6;
        run.first[i] = run.length[i] - 6 - 9 * i;
    }
    run.first[2] = 1; /* everything counts */
    for (size_t m = 0; m < sizeof model / sizeof *model; m++) {
        decoder *d = make_model_with(model[m].attention, model[m].more);
        seen alone[SAMPLES];
        uint64_t whole = 0, saved = 0;
        assert_int_equal(decoder_reach(d), model[m].reach);
        for (int i = 0; i < SAMPLES; i++) {
            const uint64_t counts = (uint64_t)(run.first[i] - 1) / SEGMENT * SEGMENT;
            whole += (uint64_t)run.length[i];
            if (counts > model[m].reach) saved += counts - model[m].reach;
        }
        assert_true((saved > 0) == (model[m].reach != UINT64_MAX));
        run_alone(d, &run, 0, alone);
        check_all(d, &run, (how){.share = 0, .lanes = 2}, alone);
        assert_int_equal(progress_tokens, whole);
        check_all(d, &run, (how){.share = 1, .threads = 2}, alone);
        assert_int_equal(progress_tokens, whole - saved);
        decoder_destroy(d);
    }
}

/* Samples whose starts are passed over share what follows where their texts agree there, or still agree: read
 * once, it gives the bits of reading it in every sample. */
static void test_shared_tail(void **state)
{
    (void)state;
    static const struct {
        const char *attention, *more;
        uint64_t reach;
    } model[] = {{"local", "", 0},
                 {"transformer-xl", "mem_len = 16\n", 32},
                 {"memorizing", "knn_entries = 72\nknn_k = 8\nxl_len = 16\n", 96},
                 {"infini-linear", "", UINT64_MAX}};
    /* Shared from the start, and from here to the end. The first token that counts is in the segment of 208. */
    static const uint64_t agree[][2] = {{0, 100}, {0, 112}, {0, 113}, {0, 176}, {150, 200}, {200, 210}, {90, 218}};
    toy_run run = even_run();
    for (int i = 0; i < SAMPLES; i++) {
        run.length[i] = 230;
        run.prompt[i] = 221;
        run.first[i] = 219;
    }
    for (size_t m = 0; m < sizeof model / sizeof *model; m++) {
        decoder *d = make_model_with(model[m].attention, model[m].more);
        for (size_t k = 0; k < sizeof agree / sizeof *agree; k++) {
            seen alone[SAMPLES];
            const uint64_t passed = model[m].reach < 208 ? 208 - model[m].reach : 0;
            const uint64_t end = passed >= agree[k][1] ? 219 : agree[k][0];
            const uint64_t shared = end > passed ? end - passed : 0;
            run.shared = (int64_t)agree[k][0];
            run.tail = (int64_t)agree[k][1];
            run.forget = 0;
            run_alone(d, &run, 0, alone);
            check_all(d, &run, (how){.share = 1, .threads = 2}, alone);
            /* Three samples of one kind and two of the other. */
            assert_int_equal(progress_tokens, SAMPLES * (230 - passed) - 3 * shared);
            check_all(d, &run, (how){.share = 1, .lanes = 2}, alone);
            check_all(d, &run, (how){.share = 1, .lanes = 1}, alone);
            run.forget = 197;
            run_alone(d, &run, 1, alone);
            check_all(d, &run, (how){.share = 1, .zeroed = 1, .lanes = 2}, alone);
        }
        decoder_destroy(d);
    }
}

/* ---- Long samples ---- */

/* Samples that end long before the others are dropped from the stream: same bits, fewer tokens. */
static void test_dropping(void **state)
{
    (void)state;
    decoder *d = make_model("infini-linear");
    toy_run run = even_run();
    seen alone[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) run.first[i] = 1;
    run.length[1] = run.prompt[1] = LONGEST;
    run.generate[1] = 0;
    run_alone(d, &run, 0, alone);
    check_all(d, &run, (how){.threads = 1}, alone);
    assert_true(progress_tokens < LONGEST + SAMPLES * 2048);
    decoder_destroy(d);
}

/* ---- Other ---- */

static void test_stop_token(void **state)
{
    (void)state;
    decoder *d = make_model("local");
    toy_run run = even_run();
    assert_int_equal(run_toy(d, &run, (how){.lanes = 0}, 0, SAMPLES), PAL_OK);
    const seen first = seen_of[0];
    run.stop = first.generated[5];
    size_t expected = 0;
    while (first.generated[expected] != run.stop) expected++;
    assert_int_equal(run_toy(d, &run, (how){.lanes = 0}, 0, SAMPLES), PAL_OK);
    assert_int_equal(seen_of[0].generated_count, expected);
    assert_memory_equal(seen_of[0].generated, first.generated, expected * sizeof(int32_t));
    decoder_destroy(d);
}

static void test_bad_tasks(void **state)
{
    (void)state;
    decoder *d = make_model("local");
    toy_run run = even_run();
    const how h = {.threads = 1};
    run.end_after = 74;
    assert_int_equal(run_toy(d, &run, h, 0, SAMPLES), PAL_INTERNAL);
    assert_non_null(strstr(err.text, "ends before"));
    run.end_after = 0;
    run.bias = VOCAB;
    assert_int_equal(run_toy(d, &run, h, 0, SAMPLES), PAL_USAGE);
    assert_non_null(strstr(err.text, "vocabulary"));
    run.bias = 0;
    run.first[3] = 76;
    assert_int_equal(run_toy(d, &run, h, 0, SAMPLES), PAL_INTERNAL);
    assert_non_null(strstr(err.text, "contradict"));
    decoder_destroy(d);
}

static int setup(void **state)
{
    (void)state;
    use_blas();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_hand),  cmocka_unit_test(test_neighbours_and_threads),
        cmocka_unit_test(test_shared_prefix), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_forget),        cmocka_unit_test(test_forget_apart),
        cmocka_unit_test(test_forget_always), cmocka_unit_test(test_dropping),
        cmocka_unit_test(test_reach),         cmocka_unit_test(test_shared_tail),
        cmocka_unit_test(test_stop_token),    cmocka_unit_test(test_bad_tasks),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}

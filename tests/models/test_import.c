/* Checkpoints of other programs against what `transformers` makes of them: logits, gradients, and the same model
 * out of every kind of file. Golden files: tests/peer/tiny_checkpoints.py. */
#include "datasets/tokenizer/tokenizer.h"
#include "harness/base/os.h"
#include "models/import/import.h"
#include "models/stream/stream.h"
#include "models/training/window.h"
#include "tests/lib/use_blas.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models/decoder/state.h"

#define GOLDEN "tests/golden/checkpoints/"

static pool *threads;

static decoder *load_with(const char *path, const char *settings, checkpoint_info *info)
{
    pal_error err;
    decoder *d;
    instead_words instead = {0};
    assert_int_equal(kv_pairs_parse(&instead.common, settings, "test", &err), PAL_OK);
    if (model_load(path, &instead, &d, NULL, info, &err) != PAL_OK) fail_msg("%s", err.text);
    instead_words_free(&instead);
    return d;
}

/* ---- What another program made of a model ---- */

typedef struct expected {
    st_file file;
    int32_t *token;
    size_t count, vocab;
    const float *logits;
} expected;

static void read_expected(expected *e, const char *path)
{
    pal_error err;
    if (st_read(path, &e->file, &err) != PAL_OK) fail_msg("%s", err.text);
    const st_tensor *tokens = st_find(&e->file, "tokens"), *logits = st_find(&e->file, "logits");
    assert_non_null(tokens);
    assert_non_null(logits);
    e->count = st_elements(tokens);
    e->token = malloc(e->count * sizeof *e->token);
    for (size_t i = 0; i < e->count; i++) e->token[i] = (int32_t)st_value(tokens, i);
    assert_int_equal(logits->dim[0], e->count);
    e->vocab = logits->dim[1];
    e->logits = logits->data;
}

static void free_expected(expected *e)
{
    free(e->token);
    st_free(&e->file);
}

/* ---- Logits ---- */

typedef struct difference {
    double logit, nll; /* the largest of logits; the mean of losses */
} difference;

/* The loss of `target` under logits[vocab]. */
static double loss_of(const float *logits, size_t vocab, int32_t target)
{
    double most = (double)logits[0], sum = 0;
    for (size_t i = 1; i < vocab; i++) most = fmax(most, (double)logits[i]);
    for (size_t i = 0; i < vocab; i++) sum += exp((double)logits[i] - most);
    return most + log(sum) - (double)logits[target];
}

static void compare_row(const expected *e, size_t position, const real *logits, float *room, difference *out)
{
    const float *theirs = e->logits + position * e->vocab;
    for (size_t i = 0; i < e->vocab; i++) {
        room[i] = (float)logits[i];
        out->logit = fmax(out->logit, fabs((double)room[i] - (double)theirs[i]));
    }
    if (position + 1 == e->count) return;
    const int32_t next = e->token[position + 1];
    out->nll += fabs(loss_of(room, e->vocab, next) - loss_of(theirs, e->vocab, next)) / (double)(e->count - 1);
}

/* What is done with the logits [valid, vocab] of tokens `at` and following. */
typedef void take_logits(void *arg, size_t at, size_t valid, const real *logits);

static void each_segment(const decoder *d, const expected *e, take_logits *take, void *arg)
{
    pal_error err;
    pass *p;
    const size_t n = (size_t)decoder_config(d)->segment;
    int32_t *segment = calloc(n, sizeof *segment);
    void *state = aligned_alloc(64, (decoder_state_bytes(d) + 63) / 64 * 64);
    assert_int_equal(decoder_config(d)->vocab, e->vocab);
    assert_int_equal(pass_create(&p, d, threads, 1, 0, &err), PAL_OK);
    memset(state, 0, decoder_state_bytes(d));
    decoder_state_reset(d, state);
    for (size_t at = 0; at < e->count; at += n) {
        const size_t valid = e->count - at < n ? e->count - at : n;
        memset(segment, 0, n * sizeof *segment);
        memcpy(segment, e->token + at, valid * sizeof *segment);
        pass_forward(p, 0, segment, &valid, &state, 1);
        take(arg, at, valid, pass_logits(p, 0));
    }
    pass_destroy(p);
    free(state);
    free(segment);
}

typedef struct comparison {
    const expected *e;
    float *room;
    difference out;
} comparison;

static void compare_segment(void *arg, size_t at, size_t valid, const real *logits)
{
    comparison *c = arg;
    for (size_t i = 0; i < valid; i++) compare_row(c->e, at + i, logits + i * c->e->vocab, c->room, &c->out);
}

static difference compare_logits(const decoder *d, const expected *e)
{
    comparison c = {.e = e, .room = malloc(e->vocab * sizeof(float))};
    each_segment(d, e, compare_segment, &c);
    free(c.room);
    return c.out;
}

typedef struct copy {
    real *to;
    size_t vocab;
} copy;

static void copy_segment(void *arg, size_t at, size_t valid, const real *logits)
{
    const copy *c = arg;
    memcpy(c->to + at * c->vocab, logits, valid * c->vocab * sizeof *logits);
}

static real *all_logits(const decoder *d, const expected *e)
{
    copy c = {malloc(e->count * e->vocab * sizeof(real)), e->vocab};
    each_segment(d, e, copy_segment, &c);
    return c.to;
}

static difference compare_file(const char *path, const char *settings, const char *wanted)
{
    expected e;
    read_expected(&e, wanted);
    decoder *d = load_with(path, settings, NULL);
    const difference out = compare_logits(d, &e);
    decoder_destroy(d);
    free_expected(&e);
    return out;
}

static const char *const models[] = {"llama",        "llama-untied", "llama-wide-head", "llama3", "llama3-hub",
                                     "llama-linear", "llama-yarn",   "qwen2",           "qwen3",  "mistral"};
enum { MODELS = sizeof models / sizeof models[0] };

static void test_logits(void **unused)
{
    (void)unused;
    static const char *const settings[] = {"segment = 16", "segment = 32"};
    for (size_t i = 0; i < MODELS; i++)
        for (size_t s = 0; s < 2; s++) {
            char path[200], wanted[200];
            snprintf(path, sizeof path, GOLDEN "%s", models[i]);
            snprintf(wanted, sizeof wanted, GOLDEN "%s/expected.safetensors", models[i]);
            const difference is = compare_file(path, settings[s], wanted);
            if (!(is.logit < 1e-5 && is.nll < 1e-6))
                fail_msg("%s, %s: logits differ by %g, losses by %g", models[i], settings[s], is.logit, is.nll);
        }
}

/* ---- Gradients ---- */

/* How far a gradient of ours is from rows of theirs, relative to their length. */
static double gradient_error(const expected *e, const char *name, const real *ours, size_t count)
{
    char full[160];
    snprintf(full, sizeof full, "grad.%s", name);
    const st_tensor *t = st_find(&e->file, full);
    if (!t) fail_msg("%s is not among the golden gradients", full);
    assert_int_equal(st_elements(t), count);
    double apart = 0, length = 0;
    for (size_t i = 0; i < count; i++) {
        const double theirs = st_value(t, i);
        apart += ((double)ours[i] - theirs) * ((double)ours[i] - theirs);
        length += theirs * theirs;
    }
    return sqrt(apart / length);
}

/* The names in a HuggingFace folder of what one tensor of ours holds, with the rows of each. */
static void check_gradient(const decoder *d, const expected *e, const decoder_param *p, const real *grad,
                           const char *model)
{
    static const char *const names[][4] = {
        {"word_emb.emb_layers.0", "model.embed_tokens"},
        {"final_norm", "model.norm"},
        {"crit.out_layers.0", "lm_head"},
        {"dec_attn.layer_norm", "input_layernorm"},
        {"dec_attn.qkv_net", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
        {"dec_attn.o_net", "self_attn.o_proj"},
        {"dec_attn.q_norm", "self_attn.q_norm"},
        {"dec_attn.k_norm", "self_attn.k_norm"},
        {"pos_ff.layer_norm", "post_attention_layernorm"},
        {"pos_ff.CoreNet.0", "mlp.up_proj"},
        {"pos_ff.gate", "mlp.gate_proj"},
        {"pos_ff.CoreNet.3", "mlp.down_proj"}};
    const model_config *cfg = decoder_config(d);
    char prefix[32] = "";
    int layer = -1, used = 0;
    if (sscanf(p->name, "layers.%d.%n", &layer, &used) == 1)
        snprintf(prefix, sizeof prefix, "model.layers.%d.", layer);
    const char *stem = p->name + used, *dot = strrchr(stem, '.');
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i][0]) != (size_t)(dot - stem) || memcmp(names[i][0], stem, (size_t)(dot - stem)) != 0)
            continue;
        const size_t cols = p->rows == 1 ? 1 : p->cols, kv = (size_t)(cfg->n_kv_heads * cfg->d_head),
                     part[3] = {(size_t)(cfg->n_heads * cfg->d_head), kv, kv};
        for (size_t k = 1; k < 4 && names[i][k]; k++) {
            char name[128];
            const size_t count = names[i][2] ? part[k - 1] * cols : decoder_param_elements(p);
            snprintf(name, sizeof name, "%s%s%s", prefix, names[i][k], dot);
            const double error = gradient_error(e, name, grad, count);
            if (!(error < 1e-4)) fail_msg("%s: the gradient of %s is %g away", model, name, error);
            grad += count;
        }
        return;
    }
    fail_msg("%s has no name in HuggingFace's folder", p->name);
}

static void check_gradients_of(const char *model)
{
    pal_error err;
    expected e;
    char path[200];
    snprintf(path, sizeof path, GOLDEN "%s/expected.safetensors", model);
    read_expected(&e, path);
    snprintf(path, sizeof path, GOLDEN "%s", model);
    decoder *d = load_with(path, "segment = 48", NULL);
    window *w;
    assert_int_equal(window_create(&w, d, threads, 1, 1, 0, &err), PAL_OK);
    int32_t target[48] = {0};
    float weight[48];
    double nll[48];
    assert_int_equal(e.count, 48);
    for (size_t i = 0; i < 48; i++) {
        weight[i] = i < 47;
        if (i < 47) target[i] = e.token[i + 1];
    }
    real *grad = aligned_alloc(64, (decoder_weight_reals(d) * sizeof *grad + 63) / 64 * 64);
    void *state = aligned_alloc(64, (decoder_state_bytes(d) + 63) / 64 * 64);
    memset(grad, 0, decoder_weight_reals(d) * sizeof *grad);
    memset(state, 0, decoder_state_bytes(d));
    decoder_state_reset(d, state);
    const scored_tokens t = {.tokens = e.token, .targets = target, .weight = weight, .nll = nll};
    window_step(w, 1, &t, &state, grad, (attn_penalty){0});
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        check_gradient(d, &e, p, grad + p->offset, model);
    }
    free(state);
    free(grad);
    window_destroy(w);
    decoder_destroy(d);
    free_expected(&e);
}

static void test_gradients(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < MODELS; i++) check_gradients_of(models[i]);
}

/* ---- Other kinds of files ---- */

static const struct {
    const char *folder, *file, *architecture;
} files[] = {
    {"llama", "llama.gguf", "llama"},
    {"qwen2", "qwen2.gguf", "qwen2"},
    {"qwen3", "qwen3.gguf", "qwen3"},
    {"llama-yarn", "llama-yarn.gguf", "llama"},
    {"llama3-hub", "llama3-hub.gguf", "llama"},
    {"llama", "llama2c.bin", "llama"},
    {"llama-untied", "llama2c-untied.bin", "llama"},
};
enum { FILES = sizeof files / sizeof files[0] };

static void check_same_weights(const decoder *a, decoder *b, const char *file)
{
    assert_int_equal(decoder_weight_reals(a), decoder_weight_reals(b));
    for (size_t k = 0; k < decoder_param_count(a); k++) {
        const decoder_param *p = decoder_param_at(a, k);
        assert_string_equal(p->name, decoder_param_at(b, k)->name);
        if (memcmp(decoder_weights((decoder *)a) + p->offset, decoder_weights(b) + p->offset,
                   decoder_param_elements(p) * sizeof(real)) != 0)
            fail_msg("%s: %s is another than in the folder", file, p->name);
    }
}

/* The same weights in the same order, to the bit, and the same logits. llama2.c's rotary base is fixed: it has the
 * weights alone. */
static void test_other_files_hold_the_same(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < FILES; i++) {
        char folder[200], file[200], wanted[240];
        snprintf(folder, sizeof folder, GOLDEN "%s", files[i].folder);
        snprintf(file, sizeof file, GOLDEN "%s", files[i].file);
        snprintf(wanted, sizeof wanted, "%s/expected.safetensors", folder);
        checkpoint_info info;
        decoder *a = load_with(folder, "segment = 16", NULL), *b = load_with(file, "segment = 16", &info);
        check_same_weights(a, b, file);
        assert_string_equal(kv_pairs_value(&info.metadata, "architecture"), files[i].architecture);
        checkpoint_info_free(&info);
        decoder_destroy(a);
        decoder_destroy(b);
        const difference is =
            compare_file(file, strstr(file, ".bin") ? "segment = 16\nrope_base = 100" : "segment = 16", wanted);
        if (!(is.logit < 1e-5)) fail_msg("%s: logits differ by %g", file, is.logit);
    }
}

/* The test above would pass over a wrong order of rotary pairs if order did not matter: it does. */
static void test_rotary_order_matters(void **unused)
{
    (void)unused;
    const difference wrong = compare_file(GOLDEN "llama", "segment = 16\nrope_layout = interleaved",
                                          GOLDEN "llama/expected.safetensors");
    assert_true(wrong.logit > 1e-2);
    const difference right =
        compare_file(GOLDEN "llama.gguf", "segment = 16", GOLDEN "llama/expected.safetensors");
    assert_true(right.logit < 1e-5);
}

/* ---- The context: as long as asked for ---- */

/* Full attention's cache takes memory by its length, and no bit of a result may hang on it. */
static void test_context_changes_no_bit(void **unused)
{
    (void)unused;
    static const char *const settings[] = {"segment = 16\ncontext = 48", "segment = 16\ncontext = 64",
                                           "segment = 16\ncontext = 4096"};
    real *first = NULL;
    for (size_t s = 0; s < 3; s++) {
        expected e;
        read_expected(&e, GOLDEN "llama3/expected.safetensors");
        decoder *d = load_with(GOLDEN "llama3", settings[s], NULL);
        real *logits = all_logits(d, &e);
        if (first && memcmp(first, logits, e.count * e.vocab * sizeof *logits) != 0)
            fail_msg("logits hang on %s", settings[s]);
        free(first);
        first = logits;
        decoder_destroy(d);
        free_expected(&e);
    }
    free(first);
}

/* ---- A real model, by hand: what tests/peer/real_model.py made of it ---- */

/* stories260K of llama2.c: its documented text, greedily, from the begin token on. */
static void test_stories(void **unused)
{
    (void)unused;
    enum { TOKENS = 200 };
    const char *folder = getenv("PALIMPSEST_STORIES");
    if (!folder) {
        print_message("SKIPPED: PALIMPSEST_STORIES names no folder of stories260K.bin, tok512.bin, greedy.txt\n");
        skip();
    }
    char path[500], text[4096], *wanted;
    pal_error err;
    tokenizer *t;
    stream *s;
    size_t size;
    int32_t token[TOKENS];
    snprintf(path, sizeof path, "%s/stories260K.bin", folder);
    decoder *d = load_with(path, "", NULL);
    snprintf(path, sizeof path, "%s/tok512.bin", folder);
    if (tokenizer_load(&t, path, &err) != PAL_OK) fail_msg("%s", err.text);
    snprintf(path, sizeof path, "%s/greedy.txt", folder);
    if (os_read_file(path, &wanted, &size, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(stream_create(&s, d, threads, 1, &err), PAL_OK);
    assert_int_equal(stream_allow_writing(s, &err), PAL_OK);
    const int32_t begin = 1;
    stream_feed(s, &begin, 1, 1, 0, NULL, NULL);
    stream_generate(s, TOKENS, token);
    const size_t made = tokenizer_decode(t, token, TOKENS, text, sizeof text);
    assert_true(made > TOKENS && made <= size);
    /* The space that SentencePiece begins a text with is no part of it. */
    assert_memory_equal(text + 1, wanted, made - 1);
    free(wanted);
    stream_destroy(s);
    tokenizer_destroy(t);
    decoder_destroy(d);
}

static void test_real_model(void **unused)
{
    (void)unused;
    const char *model = getenv("PALIMPSEST_REAL_MODEL"), *wanted = getenv("PALIMPSEST_REAL_EXPECTED");
    if (!model || !wanted) {
        print_message("SKIPPED: PALIMPSEST_REAL_MODEL and PALIMPSEST_REAL_EXPECTED name no model "
                      "(tests/peer/real_model.py)\n");
        skip();
    }
    const difference is = compare_file(model, "", wanted);
    print_message("%s: max |difference of logits| %.3g, mean |difference of losses| %.3g nats\n", model, is.logit,
                  is.nll);
    assert_true(is.logit <= 1e-3);
    assert_true(is.nll <= 1e-5);
}

int main(void)
{
    pal_error err;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_other_files_hold_the_same),
        cmocka_unit_test(test_rotary_order_matters),
        cmocka_unit_test(test_context_changes_no_bit),
        cmocka_unit_test(test_stories),
        cmocka_unit_test(test_real_model),
    };
    use_blas();
    if (pool_create(&threads, 2, &err) != PAL_OK) return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pool_destroy(threads);
    return failed;
}

/* Training some tensors of a model and no others: their gradients are those of the whole model, nothing is kept of
 * the rest, and what is not scored is not computed. */
#include "models/training/optimiser.h"
#include "tests/lib/decoder_lab.h"

static int is_of_memory(void *arg, const decoder_param *p)
{
    (void)arg;
    return strstr(p->name, "dec_attn.gate") || strstr(p->name, "write_gate") || strstr(p->name, "memory_");
}

static int is_ff_up(void *arg, const decoder_param *p)
{
    (void)arg;
    return strstr(p->name, "layers.1.pos_ff.CoreNet.0") != NULL;
}

static int is_embedding(void *arg, const decoder_param *p)
{
    (void)arg;
    return strstr(p->name, "word_emb") != NULL;
}

static const char retrofit[] = "n_layers = 4\nmemory_layers = 1.2\nmemory_mix = add\nmemory_map = head\n"
                               "memory_key = previous\nnorm = rms\nfeed_forward = gated\nn_kv_heads = 1\n";

static void finite_differences(void **unused)
{
    (void)unused;
    static const struct {
        const char *attention, *settings;
        int (*trains)(void *, const decoder_param *);
    } runs[] = {{"infini-gated", retrofit, is_of_memory},
                {"infini-delta", "memory_layers = 1\n", is_of_memory},
                {"infini-linear", "", is_ff_up},
                {"infini-linear", "tied = 0\n", is_embedding},
                {"local", "final_norm = 0\n", is_ff_up}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        const model_config cfg = small_config_with(runs[i].attention, runs[i].settings);
        bench b;
        open_frozen_bench(&b, &cfg, 2, 0, runs[i].trains);
        check_gradients(&b);
        close_bench(&b);
    }
}

/* No module asks for the gradient of a tensor that does not learn: here those of the last feed-forward alone do.
 */
static void every_module_can_stay(void **unused)
{
    (void)unused;
    for (const attn_module *const *m = attn_table; *m; m++) {
        const model_config cfg = small_config((*m)->name);
        bench b;
        open_frozen_bench(&b, &cfg, 2, 0, is_ff_up);
        check_gradients(&b);
        close_bench(&b);
    }
}

/* Forget what is asked of segment s. */
static void unscore(bench *b, size_t s)
{
    for (size_t lane = 0; lane < LANES; lane++)
        memset(b->weight + (lane * SEGMENTS + s) * N, 0, N * sizeof *b->weight);
}

static double distance(const bench *a, const bench *b, const decoder_param *p, const decoder_param *q)
{
    double square = 0, whole = 1e-12;
    for (size_t i = 0; i < decoder_param_elements(p); i++) {
        const double x = (double)a->grad[p->grad + i], y = (double)b->grad[q->grad + i];
        square += (x - y) * (x - y);
        whole += y * y;
    }
    return sqrt(square / whole);
}

/* The same gradients as when all learn, whichever segments are scored, with activations kept or made again. */
static void same_gradients_as_the_whole(void **unused)
{
    (void)unused;
    for (int recompute = 0; recompute <= 1; recompute++)
        for (size_t silent = 0; silent <= SEGMENTS; silent++) {
            const model_config cfg = small_config_with("infini-gated", retrofit);
            bench part, all;
            size_t compared = 0;
            open_frozen_bench(&part, &cfg, 1, recompute, is_of_memory);
            open_bench(&all, &cfg, 2, 0);
            for (size_t s = 0; s < silent && s + 1 < SEGMENTS; s++) {
                unscore(&part, s);
                unscore(&all, s);
            }
            const attn_penalty penalty = {.weight = 0.1};
            const double loss = run_window(&part, penalty), want = run_window(&all, penalty);
            assert_true(fabs(loss - want) < 1e-5 * want);
            for (size_t i = 0; i < decoder_param_count(all.d); i++) {
                const decoder_param *p = decoder_param_at(part.d, i), *q = decoder_param_at(all.d, i);
                if (p->grad == PARAM_FROZEN) continue;
                if (distance(&part, &all, p, q) > 1e-4)
                    fail_msg("%s: off by %g with %zu silent segments", p->name, distance(&part, &all, p, q),
                             silent);
                compared++;
            }
            assert_int_equal(compared, 10); /* two layers of gate, write gate's two and two maps */
            for (int lane = 0; lane < LANES; lane++)
                assert_memory_equal(part.state[lane], all.state[lane], decoder_state_bytes(all.d));
            close_bench(&part);
            close_bench(&all);
        }
}

/* A gradient and moments take room for what learns alone, padded to cache lines, and activations below the lowest
 * layer that learns are not kept. */
static void bytes_by_formula(void **unused)
{
    (void)unused;
    const model_config cfg = small_config_with("infini-gated", retrofit);
    const size_t line = ARENA_ALIGN / sizeof(real), d = 8, heads = 3;
    const size_t size[] = {heads, 24, 1, heads * d * d, d * d};
    pal_error err;
    decoder *part, *all;
    optimiser o;
    size_t reals = 0, numbers = 0;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        numbers += 2 * size[i];
        reals += 2 * ((size[i] + line - 1) / line * line);
    }
    assert_int_equal(decoder_create(&part, &cfg, &err), PAL_OK);
    assert_int_equal(decoder_create(&all, &cfg, &err), PAL_OK);
    assert_int_equal(decoder_grad_reals(part), decoder_weight_reals(part));
    assert_int_equal(decoder_train_only(part, is_of_memory, NULL), 10);
    assert_int_equal(decoder_grad_reals(part), reals);
    assert_int_equal(decoder_trained(part), numbers);
    assert_int_equal(decoder_trained(all), decoder_parameters(all));
    const optimiser_config adamw = {.kind = OPTIMISER_ADAMW, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8};
    assert_int_equal(optimiser_create(&o, &adamw, part, &err), PAL_OK);
    assert_int_equal(o.first_reals, reals);
    assert_int_equal(o.second_reals, reals);
    optimiser_destroy(&o);
    const optimiser_config adafactor = {.kind = OPTIMISER_ADAFACTOR};
    assert_int_equal(optimiser_create(&o, &adafactor, part, &err), PAL_OK);
    assert_int_equal(o.second_reals, 2 * (heads + 24 + 1 + (heads * d + d) + (d + d)));
    optimiser_destroy(&o);
    assert_true(window_bytes(part, 1, LANES, SEGMENTS, 0) < window_bytes(all, 1, LANES, SEGMENTS, 0));
    decoder_destroy(part);
    decoder_destroy(all);
}

/* A step moves what learns as it does when all learn, and no other bit. */
static void a_step_moves_what_learns(void **unused)
{
    (void)unused;
    for (int kind = OPTIMISER_ADAMW; kind <= OPTIMISER_ADAFACTOR; kind++) {
        const model_config cfg = small_config_with("infini-gated", retrofit);
        const optimiser_config how = {.kind = kind, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8, .gate_lr_scale = 10};
        pal_error err;
        bench part, all;
        optimiser o, whole;
        open_frozen_bench(&part, &cfg, 1, 0, is_of_memory);
        open_bench(&all, &cfg, 1, 0);
        const size_t bytes = decoder_weight_reals(part.d) * sizeof(real);
        real *before = malloc(bytes);
        memcpy(before, decoder_weights(part.d), bytes);
        assert_int_equal(optimiser_create(&o, &how, part.d, &err), PAL_OK);
        assert_int_equal(optimiser_create(&whole, &how, all.d, &err), PAL_OK);
        run_window(&part, no_penalty);
        run_window(&all, no_penalty);
        for (size_t i = 0; i < decoder_param_count(all.d);
             i++) { /* the same gradients: rounding is not the matter */
            const decoder_param *p = decoder_param_at(part.d, i), *q = decoder_param_at(all.d, i);
            if (p->grad != PARAM_FROZEN)
                memcpy(part.grad + p->grad, all.grad + q->grad, decoder_param_elements(p) * sizeof(real));
        }
        optimiser_step(&o, part.d, part.pool, part.grad, 1e-2);
        optimiser_step(&whole, all.d, all.pool, all.grad, 1e-2);
        for (size_t i = 0; i < decoder_param_count(part.d); i++) {
            const decoder_param *p = decoder_param_at(part.d, i);
            const int learns = p->grad != PARAM_FROZEN;
            const real *want = learns ? decoder_weights(all.d) + p->offset : before + p->offset;
            assert_memory_equal(decoder_weights(part.d) + p->offset, want,
                                decoder_param_elements(p) * sizeof(real));
            if (learns)
                assert_memory_not_equal(want, before + p->offset, decoder_param_elements(p) * sizeof(real));
        }
        free(before);
        optimiser_destroy(&o);
        optimiser_destroy(&whole);
        close_bench(&part);
        close_bench(&all);
    }
}

/* ---- Caches put before segments ---- */

static const char behind[] = "n_layers = 4\nmemory_layers = 1.2\nmemory_mix = add\nmemory_map = head\n"
                             "memory_key = previous\nmemory_empty = unwritten\nnorm = rms\nfeed_forward = gated\n"
                             "n_kv_heads = 1\nxl_len = 16\n";

/* N tokens for each segment of each lane to stand behind, their states, and an empty one. */
typedef struct leads {
    int32_t token[LANES * SEGMENTS][N];
    void *state[LANES * SEGMENTS + 1];
} leads;

static void read_leads(const bench *b, leads *l)
{
    pal_error err;
    pass *reader;
    const size_t valid = N;
    rng r = rng_make(4, "test/leads", 0, 0);
    assert_int_equal(pass_create(&reader, b->d, b->pool, 1, 0, &err), PAL_OK);
    for (size_t i = LANES * SEGMENTS + 1; i-- > 0;) {
        l->state[i] = aligned_alloc(64, decoder_state_bytes(b->d));
        memset(l->state[i], 0, decoder_state_bytes(b->d));
        decoder_state_reset(b->d, l->state[i]);
        if (i == LANES * SEGMENTS) continue;
        for (size_t t = 0; t < N; t++) l->token[i][t] = (int32_t)rng_below(&r, VOCAB);
        pass_forward(reader, 0, l->token[i], &valid, &l->state[i], 0);
        decoder_state_copy_memory(b->d, l->state[i], l->state[LANES * SEGMENTS]);
    }
    pass_destroy(reader);
}

static void free_leads(leads *l)
{
    for (size_t i = 0; i <= LANES * SEGMENTS; i++) free(l->state[i]);
}

static void shut_gates(decoder *d)
{
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        if (strstr(p->name, "write_gate.bias")) decoder_weights(d)[p->offset] = -1000;
    }
}

/* The loss of one sequence: twice as long segments without caches, the first halves of which are the leads. */
static double loss_of_long(const bench *b, const leads *l, const model_config *cfg)
{
    pal_error err;
    decoder *d;
    window *w;
    int32_t tokens[2 * LANES * SEGMENTS * N] = {0}, targets[2 * LANES * SEGMENTS * N] = {0};
    float weight[2 * LANES * SEGMENTS * N] = {0};
    assert_int_equal(decoder_create(&d, cfg, &err), PAL_OK);
    memcpy(decoder_weights(d), decoder_weights(b->d), decoder_weight_reals(d) * sizeof(real));
    assert_int_equal(window_create(&w, d, b->pool, LANES, SEGMENTS, 0, &err), PAL_OK);
    for (size_t i = 0; i < LANES * SEGMENTS; i++) {
        memcpy(tokens + 2 * i * N, l->token[i], sizeof l->token[i]);
        memcpy(tokens + (2 * i + 1) * N, b->tokens + i * N, N * sizeof *tokens);
        memcpy(targets + (2 * i + 1) * N, b->targets + i * N, N * sizeof *targets);
        memcpy(weight + (2 * i + 1) * N, b->weight + i * N, N * sizeof *weight);
    }
    void *state[LANES];
    for (size_t lane = 0; lane < LANES; lane++) {
        state[lane] = aligned_alloc(64, decoder_state_bytes(d));
        memset(state[lane], 0, decoder_state_bytes(d));
        decoder_state_reset(d, state[lane]);
    }
    real *grad = calloc(decoder_weight_reals(d), sizeof *grad);
    const scored_tokens t = {.tokens = tokens, .targets = targets, .weight = weight};
    const double loss = window_step(w, SEGMENTS, &t, state, grad, no_penalty);
    for (size_t lane = 0; lane < LANES; lane++) free(state[lane]);
    free(grad);
    window_destroy(w);
    decoder_destroy(d);
    return loss;
}

/* Behind a lead's caches a short segment is the end of a long one, and the memory's gradients are what they should
 * be, with activations kept or made again. */
static void caches_stand_before_segments(void **unused)
{
    (void)unused;
    for (int recompute = 0; recompute <= 1; recompute++) {
        const model_config cfg = small_config_with("infini-gated", behind);
        char text[400];
        snprintf(text, sizeof text, "%sxl_len = 0\nsegment = 32\n", behind);
        const model_config twice = small_config_with("infini-gated", text);
        bench b;
        leads l;
        open_frozen_bench(&b, &cfg, 1, recompute, is_of_memory);
        read_leads(&b, &l);
        const double alone = run_window(&b, no_penalty);
        window_put_caches(b.window, l.state);
        check_gradients(&b);
        shut_gates(b.d);
        const double loss = run_window(&b, no_penalty), want = loss_of_long(&b, &l, &twice);
        assert_true(fabs(loss - want) < 1e-5 * want);
        assert_true(fabs(loss - alone) > 1e-3 * alone);
        free_leads(&l);
        close_bench(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finite_differences),          cmocka_unit_test(every_module_can_stay),
        cmocka_unit_test(same_gradients_as_the_whole), cmocka_unit_test(bytes_by_formula),
        cmocka_unit_test(a_step_moves_what_learns),    cmocka_unit_test(caches_stand_before_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Layers over processes, which talk through pipes: the bits of one process, whatever is asked of a stream. Every
 * process has its own layers' weights alone; the others are no numbers. */
#include "tests/lib/batch_lab.h"
#include "tests/lib/use_blas.h"

#include "models/decoder/step.h"
#include "models/stream/relay.h"
#include "models/stream/stream.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LANES = 2, TEXT = 700, UNSCORED = 150, WRITTEN = 20, RANKS = 4 };

/* ---- Pipes ---- */

static int line[RANKS][RANKS][2]; /* from, to */

static int send_bytes(void *arg, size_t to, const void *data, size_t bytes, pal_error *why)
{
    const size_t *rank = arg;
    const char *at = data;
    while (bytes > 0) {
        const ssize_t put = write(line[*rank][to][1], at, bytes);
        if (put <= 0) return pal_fail(why, PAL_INTERNAL, "the pipe to rank %zu is closed", to);
        at += put;
        bytes -= (size_t)put;
    }
    return PAL_OK;
}

static int receive_bytes(void *arg, size_t from, void *data, size_t bytes, pal_error *why)
{
    const size_t *rank = arg;
    char *at = data;
    while (bytes > 0) {
        const ssize_t got = read(line[from][*rank][0], at, bytes);
        if (got <= 0) return pal_fail(why, PAL_INTERNAL, "rank %zu is gone", from);
        at += got;
        bytes -= (size_t)got;
    }
    return PAL_OK;
}

/* ---- Processes ---- */

static size_t self;
static pid_t child[RANKS];

static void take_layers(decoder *d, size_t rank, size_t count)
{
    assert_int_equal(relay_take_layers(d, rank, count, "tiny", &err), PAL_OK);
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        for (size_t k = 0; !decoder_takes(d, i) && k < decoder_param_elements(p); k++)
            decoder_weights(d)[p->offset + k] = (real)NAN;
    }
}

static _Noreturn void serve(decoder *d, size_t rank, size_t count)
{
    relay *r = NULL;
    pool *p = NULL;
    self = rank;
    for (size_t a = 0; a < RANKS; a++)
        for (size_t b = 0; b < RANKS; b++)
            if (a != rank) close(line[a][b][1]);
    const relay_link link = {rank, count, send_bytes, receive_bytes, &self};
    take_layers(d, rank, count);
    if (pool_create(&p, 1 + (int)rank % 2, &err) != PAL_OK || relay_create(&r, &link, &d, 1, &err) != PAL_OK)
        _exit(9);
    const int code = relay_serve(r, p, &err);
    if (code != PAL_OK) fprintf(stderr, "rank %zu: %s\n", rank, err.text);
    _exit(code);
}

static relay *begin(decoder *d, size_t count)
{
    relay *r = NULL;
    for (size_t a = 0; a < RANKS; a++)
        for (size_t b = 0; b < RANKS; b++) assert_int_equal(pipe(line[a][b]), 0);
    fflush(NULL);
    for (size_t rank = 1; rank < count; rank++) {
        child[rank] = fork();
        assert_true(child[rank] >= 0);
        if (child[rank] == 0) serve(d, rank, count);
    }
    for (size_t a = 1; a < RANKS; a++)
        for (size_t b = 0; b < RANKS; b++) close(line[a][b][1]);
    self = 0;
    const relay_link link = {0, count, send_bytes, receive_bytes, &self};
    take_layers(d, 0, count);
    assert_int_equal(relay_create(&r, &link, &d, 1, &err), PAL_OK);
    return r;
}

/* Returns how many ended well. */
static size_t end(relay *r, size_t count)
{
    size_t well = 0;
    relay_destroy(r);
    for (size_t rank = 1; rank < count; rank++) {
        int status = -1;
        waitpid(child[rank], &status, 0);
        well += status == 0;
    }
    for (size_t a = 0; a < RANKS; a++)
        for (size_t b = 0; b < RANKS; b++) {
            close(line[a][b][0]);
            if (a == 0) close(line[a][b][1]);
        }
    return well;
}

/* ---- What is asked of a stream ---- */

typedef struct seen_by {
    double nll[LANES][TEXT], again[LANES][TEXT];
    int32_t argmax[LANES][TEXT], written[LANES][WRITTEN];
    real next[LANES][VOCAB];
    char *state[LANES];
    size_t bytes;
    int finite;
} seen_by;

typedef struct sink {
    double (*nll)[TEXT];
    int32_t (*argmax)[TEXT];
} sink;

static void collect(void *arg, size_t lane, uint64_t position, double nll, int32_t argmax)
{
    const sink *s = arg;
    s->nll[lane][position % TEXT] = nll;
    if (s->argmax) s->argmax[lane][position % TEXT] = argmax;
}

static const int32_t *text(void)
{
    static int32_t tokens[LANES * TEXT];
    for (size_t i = 0; i < LANES * TEXT; i++) {
        rng draw = rng_make(21, "relay", 0, (uint32_t)i);
        tokens[i] = (int32_t)rng_below(&draw, VOCAB);
    }
    return tokens;
}

/* Reads, looks ahead, saves; goes on from a snapshot in another stream with lanes swapped, after one forgot;
 * writes. */
static void ask_all(const decoder *d, int threads, seen_by *out)
{
    pool *p = NULL;
    stream *s = NULL, *t = NULL;
    size_t stride;
    const int32_t *tokens = text();
    memset(out, 0, sizeof *out);
    sink first = {out->nll, out->argmax}, second = {out->again, NULL};
    assert_int_equal(pool_create(&p, threads, &err), PAL_OK);
    assert_int_equal(stream_create(&s, d, p, LANES, &err), PAL_OK);
    assert_int_equal(stream_allow_writing(s, &err), PAL_OK);
    rng draw = rng_make(22, "pieces", 0, 0);
    for (size_t done = 0; done < TEXT;) {
        const size_t wanted = 1 + rng_below(&draw, 300), take = wanted < TEXT - done ? wanted : TEXT - done;
        stream_feed(s, tokens + done, TEXT, take, UNSCORED, collect, &first);
        done += take;
    }
    const real *logits = stream_predict(s, &stride);
    for (size_t lane = 0; lane < LANES; lane++)
        memcpy(out->next[lane], logits + lane * stride, sizeof out->next[lane]);
    out->bytes = stream_snapshot_bytes(s);
    for (size_t lane = 0; lane < LANES; lane++) {
        out->state[lane] = calloc(1, out->bytes);
        stream_save(s, lane, out->state[lane]);
        out->finite += stream_finite(s, lane);
    }
    stream_flush(s, UNSCORED, collect, &first);

    assert_int_equal(stream_create(&t, d, p, LANES, &err), PAL_OK);
    assert_int_equal(stream_allow_writing(t, &err), PAL_OK);
    stream_skip(t, 0, 1);
    for (size_t lane = 0; lane < LANES; lane++)
        assert_int_equal(stream_restore(t, lane, out->state[LANES - 1 - lane], &err), PAL_OK);
    stream_zero_lane(t, 1);
    stream_feed(t, tokens + 100, TEXT, 300, 0, collect, &second);
    stream_generate(t, WRITTEN, out->written[0]);
    stream_reset(s);
    stream_feed(s, tokens, TEXT, 200, 0, collect, &second);
    stream_flush(s, 0, collect, &second);
    assert_int_equal(stream_check(s, &err), PAL_OK);
    stream_destroy(s);
    stream_destroy(t);
    pool_destroy(p);
}

static void same(const seen_by *a, const seen_by *b)
{
    assert_memory_equal(a->nll, b->nll, sizeof a->nll);
    assert_memory_equal(a->argmax, b->argmax, sizeof a->argmax);
    assert_memory_equal(a->next, b->next, sizeof a->next);
    assert_memory_equal(a->again, b->again, sizeof a->again);
    assert_memory_equal(a->written, b->written, sizeof a->written);
    assert_int_equal(a->bytes, b->bytes);
    for (size_t lane = 0; lane < LANES; lane++) assert_memory_equal(a->state[lane], b->state[lane], a->bytes);
    assert_int_equal(a->finite, LANES);
    assert_int_equal(b->finite, LANES);
}

static void forget(seen_by *s)
{
    for (size_t lane = 0; lane < LANES; lane++) free(s->state[lane]);
}

static void compare(const char *attention, const char *more, size_t count)
{
    static seen_by want, got;
    decoder *d = make_model_with(attention, more);
    if (stepper_serves(d)) {
        decoder *copy = make_model_with(attention, more);
        ask_all(copy, 1, &want);
        decoder_destroy(copy);
        relay *r = begin(d, count);
        ask_all(d, 2, &got);
        assert_int_equal(end(r, count), count - 1);
        same(&want, &got);
        forget(&want);
        forget(&got);
    }
    decoder_destroy(d);
}

static void ranks_give_the_same_bits(void **state)
{
    (void)state;
    for (const attn_module *const *m = attn_table; *m; m++) compare((*m)->name, "n_layers = 3\nn_heads = 1\n", 2);
    for (size_t count = 2; count <= RANKS; count++) compare("infini-delta", "n_layers = 5\n", count);
    compare("full", "n_layers = 4\nsegment = 80\n", 3);
}

/* Tensors: each is somebody's, and none of a layer is two ranks'. */
static void layers_are_shared_out(void **state)
{
    (void)state;
    decoder *d = make_model_with("infini-delta", "n_layers = 5\n");
    size_t taken = 0;
    for (size_t rank = 0; rank < 3; rank++) {
        size_t from, to;
        assert_int_equal(relay_take_layers(d, rank, 3, "tiny", &err), PAL_OK);
        decoder_taken_layers(d, &from, &to);
        assert_true(from < to);
        for (size_t i = 0; i < decoder_param_count(d); i++) taken += decoder_takes(d, i) != 0;
    }
    assert_true(taken >= decoder_param_count(d));
    assert_true(taken <= decoder_param_count(d) + 2); /* tied output weights */
    assert_int_equal(relay_take_layers(d, 0, 6, "tiny", &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "tiny has 5 layers, which 6 ranks cannot share"));
    decoder_destroy(d);
}

/* A rank that is gone is an error that names it, not a wait. */
static void a_dead_rank_is_named(void **state)
{
    (void)state;
    decoder *d = make_model_with("infini-delta", "n_layers = 3\n");
    pool *p = NULL;
    stream *s = NULL;
    double nll[LANES][TEXT] = {{0}};
    sink unread = {nll, NULL};
    signal(SIGPIPE, SIG_IGN);
    relay *r = begin(d, 2);
    assert_int_equal(pool_create(&p, 1, &err), PAL_OK);
    assert_int_equal(stream_create(&s, d, p, LANES, &err), PAL_OK);
    close(line[0][1][0]);
    kill(child[1], SIGKILL);
    waitpid(child[1], NULL, 0);
    stream_feed(s, text(), TEXT, 300, 0, collect, &unread);
    assert_int_equal(stream_check(s, &err), PAL_INTERNAL);
    assert_non_null(strstr(err.text, "rank 1"));
    stream_destroy(s);
    pool_destroy(p);
    assert_int_equal(end(r, 2), 0);
    decoder_destroy(d);
}

int main(void)
{
    use_blas();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_give_the_same_bits),
        cmocka_unit_test(layers_are_shared_out),
        cmocka_unit_test(a_dead_rank_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

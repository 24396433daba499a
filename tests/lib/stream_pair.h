/* Two streams over the same tokens, of which the second computes everything. */
#ifndef PAL_TEST_STREAM_PAIR_H
#define PAL_TEST_STREAM_PAIR_H

#include "tests/lib/batch_lab.h"

#include "models/stream/stream.h"

enum { LANES = 3, MOST = 200 };

/* Two streams that are treated alike; the second computes everything. */
typedef struct pair {
    stream *s[2];
    size_t lanes, period, place[LANES]; /* of the filler, and in it */
    double nll[2][LANES][MOST + SEGMENT + 1];
    size_t scores[2], at;
    int alike;     /* all lanes read the same filler */
    unsigned wild; /* lanes that never do, as bits */
} pair;

static inline void open_pair(pair *p, const decoder *d, pool *threads, size_t lanes, size_t period)
{
    *p = (pair){.lanes = lanes, .period = period};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stream_create(&p->s[i], d, threads, lanes, &err), PAL_OK);
        assert_int_equal(stream_allow_writing(p->s[i], &err), PAL_OK);
    }
    stream_read_all(p->s[1]);
}

static inline void close_pair(pair *p)
{
    stream_destroy(p->s[0]);
    stream_destroy(p->s[1]);
}

static inline void keep(void *arg, size_t lane, uint64_t position, double nll, int32_t argmax)
{
    pair *p = arg;
    (void)lane, (void)position, (void)argmax; /* both streams deliver in one order */
    assert_true(p->scores[p->at] < sizeof p->nll[0] / sizeof(double));
    ((double *)p->nll[p->at])[p->scores[p->at]++] = nll;
}

/* `count` tokens to each lane: filler, each lane's of another phase, or random ones. */
static inline void feed_pair(pair *p, rng *draws, size_t count, int filler, int score)
{
    static int32_t tokens[LANES * MOST];
    for (size_t lane = 0; lane < p->lanes; lane++)
        for (size_t i = 0; i < count; i++)
            tokens[lane * MOST + i] =
                (int32_t)(filler && !(p->wild >> lane & 1)
                              ? (p->place[lane]++ % p->period + (p->alike ? 0 : lane)) % VOCAB
                              : rng_below(draws, VOCAB));
    for (p->at = 0; p->at < 2; p->at++) {
        p->scores[p->at] = 0;
        stream_feed(p->s[p->at], tokens, MOST, count, score ? 0 : UINT64_MAX, score ? keep : NULL, p);
    }
    assert_int_equal(p->scores[0], p->scores[1]);
    assert_memory_equal(p->nll[0], p->nll[1], p->scores[0] * sizeof(double));
}

static inline void compare_snapshots(pair *p)
{
    const size_t bytes = stream_snapshot_bytes(p->s[0]);
    char *a = malloc(bytes), *b = malloc(bytes);
    for (size_t lane = 0; lane < p->lanes; lane++) {
        stream_save(p->s[0], lane, a);
        stream_save(p->s[1], lane, b);
        assert_memory_equal(a, b, bytes);
    }
    free(a);
    free(b);
}

static inline void compare_predictions(pair *p)
{
    size_t stride = 0;
    const real *a = stream_predict(p->s[0], &stride), *b = stream_predict(p->s[1], &stride);
    for (size_t lane = 0; a && lane < p->lanes; lane++)
        assert_memory_equal(a + lane * stride, b + lane * stride, VOCAB * sizeof(real));
}

/* A lane takes over the state of another one. */
static inline void copy_lane(pair *p, size_t from, size_t to)
{
    char *snapshot = malloc(stream_snapshot_bytes(p->s[0]));
    for (int i = 0; i < 2; i++) {
        stream_save(p->s[i], from, snapshot);
        assert_int_equal(stream_restore(p->s[i], to, snapshot, &err), PAL_OK);
    }
    free(snapshot);
}

#endif

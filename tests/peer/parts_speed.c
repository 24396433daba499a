/* Speed of parts of ours for `make peer`: nearest neighbours, tokens of a text, ROUGE. parts_peer.py makes the
 * files and does the same in other programs. Both print a check of their answers, which must be equal.
 *
 * parts_speed knn DIR THREADS | tokenizer DIR TOKENIZER.json | rouge DIR; a line with seconds on stdin gives a
 * speed. */
#include "datasets/tokenizer/tokenizer.h"
#include "harness/base/error.h"
#include "models/attention/knn.h"
#include "models/engine/pool.h"
#include "tasks/rouge/rouge.h"
#include "tests/peer/speed_loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES = 65536, QUERIES = 512, WIDTH = 64, NEIGHBOURS = 32, LISTS = QUERIES / KNN_QUERIES };
enum { CHECKED = 200 }; /* pairs of ROUGE, whose other program is slow */

/* One pass over all of the work; what it did, in units of the speed that is printed. */
typedef struct work {
    double (*pass)(void *arg);
    void *arg;
} work;

static void stop(const char *what, const char *why)
{
    fprintf(stderr, "parts_speed: %s: %s\n", what, why);
    exit(1);
}

static char *read_file(const char *dir, const char *name, size_t *size)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    if (!f) stop(path, "cannot be opened");
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    char *data = malloc(*size + 1);
    if (!data || fread(data, 1, *size, f) != *size) stop(path, "cannot be read");
    fclose(f);
    return data;
}

/* Texts of a file, each with a NUL behind it. */
typedef struct texts {
    char **text;
    size_t *size, count, bytes;
} texts;

static texts read_texts(const char *dir, const char *name)
{
    size_t size;
    char *data = read_file(dir, name, &size);
    texts t = {0};
    for (size_t i = 0; i < size; i++) t.count += data[i] == 0;
    t.text = malloc(t.count * sizeof *t.text);
    t.size = malloc(t.count * sizeof *t.size);
    if (!t.text || !t.size) stop(name, "no memory");
    for (size_t i = 0; i < t.count; i++, data += t.size[i - 1] + 1) {
        t.text[i] = data;
        t.size[i] = strlen(data);
        t.bytes += t.size[i];
    }
    return t;
}

/* ---- Nearest neighbours: all queries, each thread with lists of its own ---- */

typedef struct knn_work {
    pool *workers;
    const real *keys, *queries;
    real score[LISTS][KNN_QUERIES * NEIGHBOURS], *scratch[LISTS];
    uint32_t index[LISTS][KNN_QUERIES * NEIGHBOURS];
} knn_work;

static void knn_task(void *arg, int task, int worker)
{
    (void)worker;
    knn_work *k = arg;
    knn_list list = {KNN_QUERIES, NEIGHBOURS, 0, k->score[task], k->index[task]};
    knn_search(&list, k->queries + (size_t)task * KNN_QUERIES * WIDTH, WIDTH, WIDTH, k->keys, ENTRIES, 0,
               k->scratch[task]);
}

static double knn_pass(void *arg)
{
    knn_work *k = arg;
    pool_run(k->workers, LISTS, knn_task, k);
    return QUERIES;
}

static work knn_make(const char *dir, int threads)
{
    static knn_work k;
    size_t size;
    pal_error err = {0};
    k.keys = (const real *)(const void *)read_file(dir, "knn.f32", &size);
    if (size != (ENTRIES + QUERIES) * WIDTH * sizeof(real)) stop("knn.f32", "has another size");
    k.queries = k.keys + (size_t)ENTRIES * WIDTH;
    for (int i = 0; i < LISTS; i++)
        if (!(k.scratch[i] = aligned_alloc(64, (knn_scratch(WIDTH) * sizeof(real) + 63) / 64 * 64)))
            stop("knn", "no memory");
    if (pool_create(&k.workers, threads, &err) != PAL_OK) stop("knn", err.text);
    knn_pass(&k);
    double check = 0;
    for (int i = 0; i < LISTS; i++)
        for (size_t j = 0; j < KNN_QUERIES * NEIGHBOURS; j++) check += k.index[i][j];
    printf("ready %.0f\n", check);
    return (work){knn_pass, &k};
}

/* ---- Tokens ---- */

typedef struct token_work {
    tokenizer *t;
    texts x;
    int32_t *out;
    double check;
} token_work;

static double token_pass(void *arg)
{
    token_work *k = arg;
    k->check = 0;
    for (size_t i = 0; i < k->x.count; i++) {
        const size_t count = tokenizer_encode_start(k->t, k->x.text[i], k->x.size[i], k->out);
        for (size_t j = 0; j < count; j++) k->check += k->out[j] + 1;
    }
    return 1e-6 * (double)k->x.bytes;
}

static work token_make(const char *dir, const char *file)
{
    static token_work k;
    pal_error err = {0};
    k.x = read_texts(dir, "texts.bin");
    size_t longest = 0;
    for (size_t i = 0; i < k.x.count; i++) longest = k.x.size[i] > longest ? k.x.size[i] : longest;
    if (tokenizer_load(&k.t, file, &err) != PAL_OK) stop(file, err.text);
    if (!(k.out = malloc(tokenizer_room(k.t, longest) * sizeof *k.out))) stop(file, "no memory");
    token_pass(&k);
    printf("ready %.0f\n", k.check);
    return (work){token_pass, &k};
}

/* ---- ROUGE: texts in pairs, reference first ---- */

typedef struct rouge_work {
    texts x;
    double check;
} rouge_work;

static double rouge_pass(void *arg)
{
    rouge_work *k = arg;
    pal_error err = {0};
    rouge_scorer *s = NULL;
    k->check = 0;
    if (rouge_scorer_create(1, &s, &err) != PAL_OK) stop("rouge", err.text);
    for (size_t i = 0; i + 1 < k->x.count; i += 2) {
        rouge_text ref, hyp;
        rouge_result r;
        if (rouge_text_read(s, k->x.text[i], k->x.size[i], &ref, &err) != PAL_OK ||
            rouge_text_read(s, k->x.text[i + 1], k->x.size[i + 1], &hyp, &err) != PAL_OK ||
            rouge_compare(s, &ref, &hyp, &r, &err) != PAL_OK)
            stop("rouge", err.text);
        for (int m = 0; m < ROUGE_METRICS && i < 2 * CHECKED; m++) k->check += r.metric[m].f;
        rouge_text_free(&ref);
        rouge_text_free(&hyp);
    }
    rouge_scorer_destroy(s);
    return (double)(k->x.count / 2);
}

static work rouge_make(const char *dir)
{
    static rouge_work k;
    k.x = read_texts(dir, "pairs.bin");
    rouge_pass(&k);
    printf("ready %.6f\n", k.check);
    return (work){rouge_pass, &k};
}

int main(int argc, char **argv)
{
    work w = {0};
    if (argc == 4 && strcmp(argv[1], "knn") == 0)
        w = knn_make(argv[2], atoi(argv[3]));
    else if (argc == 4 && strcmp(argv[1], "tokenizer") == 0)
        w = token_make(argv[2], argv[3]);
    else if (argc == 3 && strcmp(argv[1], "rouge") == 0)
        w = rouge_make(argv[2]);
    else
        stop("usage", "parts_speed knn DIR THREADS | tokenizer DIR FILE | rouge DIR");
    serve_speed(w.pass, w.arg);
    return 0;
}

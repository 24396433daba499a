/* `palimpsest generate`: text out of a model, from a streaming state of constant size.
 * The same seed gives the same bytes, whatever the number of threads. */
#include "harness/base/os.h"
#include "harness/base/utf8.h"
#include "harness/cli/progress.h"
#include "harness/eval/decode.h"
#include "harness/eval/model_files.h"
#include "harness/eval/request.h"
#include "harness/inspect/inspect.h"
#include "models/attention/attention.h"
#include "models/engine/gemm.h"
#include "models/import/import.h"

#include "datasets/tokenizer/tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct generate_options {
    char model[KV_TEXT_MAX], weights[KV_TEXT_MAX], prompt[KV_TEXT_MAX], prompt_file[KV_TEXT_MAX],
        tokenizer[KV_TEXT_MAX];
    int64_t max_tokens, top_k, seed, threads, echo, hold; /* hold: weights_form */
    double temperature, top_p;
} generate_options;

#define AT(field) offsetof(generate_options, field)

static const kv_spec options_table[] = {
    {"model", KV_TEXT, AT(model), "text-transformer-xl", 0, 0, NULL, "a model's name, or the path of its weights"},
    {"prompt", KV_TEXT, AT(prompt), "", 0, 0, NULL, "the text that it goes on with"},
    {"prompt_file", KV_TEXT, AT(prompt_file), "", 0, 0, NULL, "a file that holds it, of any length"},
    {"max_tokens", KV_SIZE, AT(max_tokens), "200", 1, 1 << 30, NULL, "tokens to write at most"},
    {"temperature", KV_REAL, AT(temperature), "0.8", 0, 100, NULL, "0: always the likeliest token"},
    {"top_k", KV_INT, AT(top_k), "0", 0, 1 << 24, NULL, "draw from so many likeliest tokens; 0: from all"},
    {"top_p", KV_REAL, AT(top_p), "1", 0, 1, NULL, "and of them from those that have so much of the probability"},
    {"seed", KV_INT, AT(seed), "1", 0, 9007199254740992.0, NULL, "of the draws"},
    {"echo", KV_CHOICE, AT(echo), "1", 0, 0, "0|1", "print the prompt first"},
    {"hold", KV_CHOICE, AT(hold), "auto", 0, 0, FORM_CHOICES,
     "form of another program's weights in memory, which bounds the speed: f32; stored, as they lie in the file; "
     "bf16, rounded; auto: f32 where that takes at most half of the free memory"},
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, KV_HOME, "directory of the shipped models"},
    {"tokenizer", KV_TEXT, AT(tokenizer), "", 0, 0, NULL,
     "\"bytes\" or the path of a tokenizer.json; empty: the one that the model was trained with"},
    {"threads", KV_INT, AT(threads), "0", 0, POOL_MAX_THREADS, NULL,
     "0: all processors; the text does not depend on it"},
};

typedef struct writer {
    const generate_options *o;
    decoder *model;
    checkpoint_info info;
    tokenizer *tokenizer;
    pool *pool;
    stream *stream;
    char *prompt;
    size_t prompt_size;
    real *logits; /* [vocab], those not among the top_k taken out */
    continuation_choice *choice;
} writer;

static void close_writer(writer *w)
{
    stream_destroy(w->stream);
    pool_destroy(w->pool);
    decoder_destroy(w->model);
    checkpoint_info_free(&w->info);
    tokenizer_destroy(w->tokenizer);
    free(w->prompt);
    free(w->logits);
    free(w->choice);
}

/* ---- Opening ---- */

static int open_model(writer *w, pal_error *err)
{
    weights_file *file = NULL;
    size_t count = 0;
    /* A token is at least a byte, but for a few that begin a text. */
    const uint64_t longest = w->prompt_size + (uint64_t)w->o->max_tokens + 16;
    PAL_TRY(weights_resolve_for("perplexity", w->o->model, w->o->weights, &file, &count, err));
    int code = PAL_OK;
    if (count != 1)
        code = pal_fail(err, PAL_USAGE, "model=%s: %zu models; generate takes one, such as %s", w->o->model, count,
                        file[0].name);
    if (code == PAL_OK) code = weights_load(&file[0], (weights_form)w->o->hold, longest, &w->model, &w->info, err);
    free(file);
    PAL_TRY(code);
    const char *own = kv_pairs_value(&w->info.metadata, "tokenizer"),
               *digest = kv_pairs_value(&w->info.metadata, "tokenizer_sha256");
    const char *path = w->o->tokenizer[0] ? w->o->tokenizer : own && own[0] ? own : "bytes";
    PAL_TRY(eval_tokenizer_load(&w->tokenizer, path, err));
    if (!w->o->tokenizer[0] && digest && strcmp(digest, tokenizer_digest(w->tokenizer)) != 0)
        return pal_fail(err, PAL_DATA,
                        "%s: its digest is %.12s, but the model was trained with one of digest %.12s", path,
                        tokenizer_digest(w->tokenizer), digest);
    if (tokenizer_vocab(w->tokenizer) > (size_t)decoder_config(w->model)->vocab)
        return pal_fail(err, PAL_USAGE,
                        "tokenizer=%s has %zu tokens, the model's vocabulary %lld; name the model's own", path,
                        tokenizer_vocab(w->tokenizer), (long long)decoder_config(w->model)->vocab);
    return PAL_OK;
}

static int read_prompt(writer *w, pal_error *err)
{
    const generate_options *o = w->o;
    if (o->prompt[0] && o->prompt_file[0])
        return pal_fail(err, PAL_USAGE, "give prompt= or prompt_file=, not both");
    if (o->prompt_file[0]) return utf8_read_file(o->prompt_file, &w->prompt, &w->prompt_size, err);
    w->prompt = strdup(o->prompt);
    w->prompt_size = strlen(o->prompt);
    return w->prompt ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the prompt");
}

static int open_stream(writer *w, pal_error *err)
{
    const int threads = w->o->threads ? (int)w->o->threads : os_processors();
    PAL_TRY(gemm_setup(threads, err));
    PAL_TRY(pool_create(&w->pool, threads, err));
    PAL_TRY(stream_create(&w->stream, w->model, w->pool, 1, err));
    PAL_TRY(stream_allow_writing(w->stream, err));
    const size_t vocab = stream_vocab(w->stream);
    w->logits = calloc(vocab, sizeof *w->logits);
    w->choice = calloc(2 * vocab, sizeof *w->choice);
    return w->logits && w->choice ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for %zu logits", vocab);
}

/* ---- Reading the prompt ---- */

enum { PIECE = 4096 /* tokens of a prompt between two looks at the clock */ };

static void read_tokens(writer *w, const int32_t *token, size_t count)
{
    progress bar;
    progress_start(&bar, stderr, "prompt", (double)count, 0, "tokens");
    for (size_t done = 0; done < count; done += PIECE) {
        const size_t take = count - done < PIECE ? count - done : PIECE;
        stream_feed(w->stream, token + done, take, take, UINT64_MAX, NULL, NULL);
        progress_update(&bar, (double)(done + take), NULL);
    }
    progress_clear(&bar);
}

/* A stream begins with the tokenizer's begin token, as in training. */
static int feed_prompt(writer *w, pal_error *err)
{
    int32_t *token = calloc(tokenizer_room(w->tokenizer, w->prompt_size) + 1, sizeof *token);
    if (!token) return pal_fail(err, PAL_INTERNAL, "out of memory for the tokens of the prompt");
    token[0] = tokenizer_begin(w->tokenizer);
    const size_t count = 1 + tokenizer_encode_start(w->tokenizer, w->prompt, w->prompt_size, token + 1);
    const model_config *cfg = decoder_config(w->model);
    const int64_t most = attn_sizes_of(cfg, 0, 1).max_tokens;
    int code = PAL_OK;
    if (most && (int64_t)count + w->o->max_tokens > most)
        code = pal_fail(err, PAL_USAGE, "%s holds %lld tokens; the prompt takes %zu and max_tokens %lld",
                        w->o->model, (long long)most, count, (long long)w->o->max_tokens);
    if (code == PAL_OK) read_tokens(w, token, count);
    free(token);
    return code;
}

/* ---- Writing ---- */

static int by_size(const void *a, const void *b)
{
    const real x = *(const real *)a, y = *(const real *)b;
    return (x < y) - (x > y);
}

/* Take out all but the top_k largest logits; of equals at the border all stay. */
static void keep_top(real *logits, size_t vocab, size_t top_k, real *sorted)
{
    memcpy(sorted, logits, vocab * sizeof *sorted);
    qsort(sorted, vocab, sizeof *sorted, by_size);
    const real least = sorted[top_k - 1];
    for (size_t i = 0; i < vocab; i++)
        if (logits[i] < least) logits[i] = -INFINITY;
}

static int next_token(writer *w, rng *draws, real *sorted, int32_t *token, pal_error *err)
{
    size_t stride;
    const size_t vocab = stream_vocab(w->stream), top_k = (size_t)w->o->top_k;
    const real *logits = stream_predict(w->stream, &stride);
    for (size_t i = 0; i < vocab; i++)
        if (!isfinite((double)logits[i]))
            return pal_fail(err, PAL_DATA, "model=%s: a logit is not finite at token %llu", w->o->model,
                            (unsigned long long)stream_position(w->stream));
    memcpy(w->logits, logits, vocab * sizeof *logits);
    if (top_k > 0 && top_k < vocab) keep_top(w->logits, vocab, top_k, sorted);
    *token = w->o->temperature > 0
                 ? continuation_draw(w->logits, vocab, w->o->temperature, w->o->top_p, draws, w->choice)
                 : stream_choice(w->stream, logits);
    return PAL_OK;
}

/* A model may write bytes that steer a terminal: there they are shown as '?'. */
static void print_bytes(const char *text, size_t size)
{
    const int terminal = isatty(STDOUT_FILENO);
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        putchar(terminal && ((c < ' ' && c != '\n' && c != '\t') || c == 0x7f) ? '?' : c);
    }
}

/* On a terminal, below the text: what was written, and how fast. */
static void tell_speed(uint64_t tokens, double seconds)
{
    if (isatty(STDERR_FILENO) && tokens > 0 && seconds > 0)
        fprintf(stderr, "%llu tokens, %.1f tokens/s\n", (unsigned long long)tokens, (double)tokens / seconds);
}

/* Text that goes elsewhere than to a terminal does not show how far it is. */
static int write_text(writer *w, pal_error *err)
{
    progress bar;
    const int shown = isatty(STDOUT_FILENO);
    const double began = os_now();
    const uint64_t prompt = stream_position(w->stream);
    progress_start(&bar, stderr, "writing", (double)w->o->max_tokens, 0, "tokens");
    const int32_t end = tokenizer_begin(w->tokenizer);
    real *sorted = calloc(stream_vocab(w->stream), sizeof *sorted);
    rng draws = rng_make((uint64_t)w->o->seed, "generate", 0, 0);
    int code = sorted ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the logits");
    char text[1024], byte[1];
    for (int64_t i = 0; code == PAL_OK && i < w->o->max_tokens; i++) {
        int32_t token = 0;
        code = next_token(w, &draws, sorted, &token, err);
        if (code != PAL_OK) break;
        /* <|endoftext|> ends a text; with bytes alone there is no such token. */
        if (token == end && tokenizer_token_text(w->tokenizer, end, byte, sizeof byte) == 0) break;
        const size_t size = tokenizer_token_text(w->tokenizer, token, text, sizeof text);
        print_bytes(text, size < sizeof text ? size : 0);
        fflush(stdout);
        stream_feed(w->stream, &token, 1, 1, UINT64_MAX, NULL, NULL);
        if (!shown) progress_update(&bar, (double)(i + 1), NULL);
    }
    progress_clear(&bar);
    free(sorted);
    putchar('\n');
    fflush(stdout);
    if (code == PAL_OK) tell_speed(stream_position(w->stream) - prompt, os_now() - began);
    return code;
}

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    (void)rest;
    writer w = {.o = options};
    int code = read_prompt(&w, err);
    if (code == PAL_OK) code = open_model(&w, err);
    if (code == PAL_OK) code = open_stream(&w, err);
    if (code == PAL_OK) code = feed_prompt(&w, err);
    if (code == PAL_OK && w.o->echo) print_bytes(w.prompt, w.prompt_size);
    if (code == PAL_OK) code = write_text(&w, err);
    close_writer(&w);
    return code;
}

const pal_command generate_command = {
    .name = "generate",
    .summary = "text out of a model",
    .examples = "generate model=text-transformer-xl prompt='It was a'\n"
                "generate model=text-local prompt_file=a.txt --no-echo temperature=0\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(generate_options),
    .run = run,
};

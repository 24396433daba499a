/* `palimpsest tokenizer train ...` makes a tokenizer.json, `stats` measures one, `encode` shows the tokens. */
#include "datasets/corpus/corpus.h"
#include "datasets/tokenizer/bpe_train.h"
#include "datasets/tokenizer/token_reader.h"
#include "harness/base/os.h"
#include "harness/cli/progress.h"
#include "harness/command/commands.h"
#include "harness/eval/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct tokenizer_options {
    char data[KV_TEXT_MAX], split[KV_TEXT_MAX], tokenizer[KV_TEXT_MAX], out[KV_TEXT_MAX];
    int64_t action, vocab, special;
} tokenizer_options;

#define AT(field) offsetof(tokenizer_options, field)
static const kv_spec tokenizer_table[] = {
    {"action", KV_CHOICE, AT(action), "stats", 0, 0, "train|stats|encode",
     "train: learn a tokenizer from data= and write it to out=; stats: encode data= and count; encode: print a "
     "line of tokens for every document"},
    {"data", KV_TEXT, AT(data), "", 0, 0, NULL, "corpora, comma-separated"},
    {"split", KV_TEXT, AT(split), "", 0, 0, NULL,
     "of every corpus: train, validation or test; unset: train where it has splits, else all of it"},
    {"vocab", KV_SIZE, AT(vocab), "2048", BPE_VOCAB_MIN, BPE_VOCAB_MAX, NULL,
     "train: tokens, the 256 bytes and <|endoftext|> among them"},
    {"out", KV_TEXT, AT(out), "", 0, 0, NULL, "train: the tokenizer.json to write"},
    {"tokenizer", KV_TEXT, AT(tokenizer), "bytes", 0, 0, NULL,
     "stats, encode: bytes, a tokenizer.json, llama2.c's tokenizer.bin, or a model's .gguf"},
    {"special", KV_CHOICE, AT(special), "text", 0, 0, "text|token",
     "stats, encode: names of special tokens in a text are text like any other, or become the tokens"},
};
enum { MOST_CORPORA = 64 };

/* ---- The corpora of data=. ---- */

typedef struct corpora {
    corpus *corpus[MOST_CORPORA];
    char path[MOST_CORPORA][KV_TEXT_MAX];
    size_t count, documents;
} corpora;

static int take_corpus(void *arg, corpus *taken, const char *path, pal_error *err)
{
    corpora *c = arg;
    if (c->count == MOST_CORPORA) {
        corpus_close(taken);
        return pal_fail(err, PAL_USAGE, "data= names more than %d corpora", MOST_CORPORA);
    }
    snprintf(c->path[c->count], sizeof c->path[0], "%s", path);
    c->documents += corpus_count(taken);
    c->corpus[c->count++] = taken;
    return PAL_OK;
}

static void corpora_close(corpora *c)
{
    for (size_t i = 0; i < c->count; i++) corpus_close(c->corpus[i]);
}

/* ---- train ---- */

static int count_words(const corpora *c, bpe_words *words, pal_error *err)
{
    progress p;
    size_t done = 0;
    int code = PAL_OK;
    progress_start(&p, stderr, "reading", (double)c->documents, 0, "documents");
    for (size_t i = 0; code == PAL_OK && i < c->count; i++)
        for (size_t k = 0; code == PAL_OK && k < corpus_count(c->corpus[i]); k++) {
            document *d;
            code = document_open(c->corpus[i], k, &d, err);
            if (code != PAL_OK) break;
            code = bpe_words_add_document(words, d, BPE_SINGLE_DIGITS, err);
            document_close(d);
            progress_update(&p, (double)++done, NULL);
        }
    progress_clear(&p);
    return code;
}

static void show_training(void *arg, size_t vocab)
{
    progress_update(arg, (double)vocab, NULL);
}

static int train_on(const corpora *c, const tokenizer_options *o, bpe_words *words, pal_error *err)
{
    const double start = os_now();
    PAL_TRY(count_words(c, words, err));
    const double counted = os_now();
    uint64_t bytes = 0;
    for (size_t i = 0; i < words->count; i++) bytes += (uint64_t)words->word[i].times * words->word[i].size;
    progress p;
    progress_start(&p, stderr, "merging", (double)o->vocab, BPE_BYTES, "tokens");
    bpe *model;
    const int code = bpe_train(&model, words, (size_t)o->vocab, show_training, &p, err);
    progress_clear(&p);
    PAL_TRY(code);
    tokenizer *t;
    PAL_TRY(bpe_tokenizer(&t, model, err));
    const int saved = tokenizer_save(t, o->out, err);
    if (saved == PAL_OK)
        printf("%s: %zu tokens from %zu documents, %llu bytes, %zu different words; read in %.1f s, merged in "
               "%.1f s\n"
               "digest %s\n",
               o->out, tokenizer_vocab(t), c->documents, (unsigned long long)bytes, words->count, counted - start,
               os_now() - counted, tokenizer_digest(t));
    tokenizer_destroy(t);
    return saved;
}

static int run_train(const corpora *c, const tokenizer_options *o, pal_error *err)
{
    if (!o->out[0]) return pal_fail(err, PAL_USAGE, "out= is missing; name the file to write: out=FILE.json");
    bpe_words words = {0};
    const int code = train_on(c, o, &words, err);
    bpe_words_free(&words);
    return code;
}

/* The tokenizer that stats and encode ask for. */
static int open_tokenizer(tokenizer **out, const tokenizer_options *o, pal_error *err)
{
    PAL_TRY(eval_tokenizer_load(out, o->tokenizer, err));
    const int code = o->special ? tokenizer_match_special(*out, err) : PAL_OK;
    if (code != PAL_OK) tokenizer_destroy(*out);
    return code;
}

/* ---- stats ---- */

typedef struct tally {
    uint64_t bytes, words, tokens;
    double seconds;
} tally;

static int tally_document(tally *sum, const corpus *c, size_t index, const tokenizer *t, pal_error *err)
{
    int32_t tokens[1024];
    const double start = os_now();
    token_reader *r;
    PAL_TRY(token_reader_open(&r, c, index, t, err));
    size_t got;
    int code;
    while ((code = token_reader_read(r, tokens, sizeof tokens / sizeof tokens[0], &got, err)) == PAL_OK && got)
        sum->tokens += got;
    sum->tokens--; /* the begin token */
    sum->bytes += token_reader_bytes(r);
    sum->words += token_reader_words(r);
    sum->seconds += os_now() - start;
    token_reader_close(r);
    return code;
}

static void print_tally(const char *path, const tally *s)
{
    printf("| %-28s | %11llu | %9llu | %10llu | %11.4f | %10.4f | %6.1f |\n", path, (unsigned long long)s->bytes,
           (unsigned long long)s->words, (unsigned long long)s->tokens,
           (double)s->bytes / (double)(s->tokens ? s->tokens : 1),
           (double)s->tokens / (double)(s->words ? s->words : 1), (double)s->bytes / s->seconds / 1e6);
}

static int run_stats(const corpora *c, const tokenizer_options *o, pal_error *err)
{
    tokenizer *t;
    PAL_TRY(open_tokenizer(&t, o, err));
    printf("%s: vocabulary %zu, digest %s\n", o->tokenizer, tokenizer_vocab(t), tokenizer_digest(t));
    printf("A stream begins with token %d%s\n", (int)tokenizer_begin(t),
           tokenizer_adds_begin(t) ? ", by the tokenizer's own rules."
                                   : ", so that a text's first token is predicted too.");
    if (tokenizer_missing_bytes(t))
        printf("%d of the 256 bytes have no token; characters of them are left out.\n",
               tokenizer_missing_bytes(t));
    putchar('\n');
    printf("| %-28s |       bytes |     words |     tokens | bytes/token | token/word |   MB/s |\n"
           "|------------------------------|------------:|----------:|-----------:|------------:|-----------:|----"
           "---:|\n",
           o->split);
    tally total = {0};
    int code = PAL_OK;
    progress p;
    size_t done = 0;
    progress_start(&p, stderr, "reading", (double)c->documents, 0, "documents");
    for (size_t i = 0; code == PAL_OK && i < c->count; i++) {
        tally one = {0};
        for (size_t k = 0; code == PAL_OK && k < corpus_count(c->corpus[i]); k++) {
            code = tally_document(&one, c->corpus[i], k, t, err);
            progress_update(&p, (double)++done, NULL);
        }
        if (code != PAL_OK) break;
        progress_clear(&p);
        print_tally(c->path[i], &one);
        total = (tally){total.bytes + one.bytes, total.words + one.words, total.tokens + one.tokens,
                        total.seconds + one.seconds};
    }
    progress_clear(&p);
    if (code == PAL_OK && c->count > 1) print_tally("all", &total);
    tokenizer_destroy(t);
    return code;
}

/* ---- encode ---- */

/* One line of token ids. */
static int print_document(const corpus *c, size_t index, const tokenizer *t, pal_error *err)
{
    int32_t tokens[1024];
    token_reader *r;
    PAL_TRY(token_reader_open(&r, c, index, t, err));
    size_t got;
    int code = token_reader_read(r, tokens, 1, &got, err); /* the begin token is not of the text */
    const char *between = "";
    while (code == PAL_OK) {
        code = token_reader_read(r, tokens, sizeof tokens / sizeof tokens[0], &got, err);
        if (code != PAL_OK || got == 0) break;
        for (size_t i = 0; i < got; i++, between = " ") printf("%s%d", between, (int)tokens[i]);
    }
    putchar('\n');
    token_reader_close(r);
    return code;
}

static int run_encode(const corpora *c, const tokenizer_options *o, pal_error *err)
{
    tokenizer *t;
    PAL_TRY(open_tokenizer(&t, o, err));
    int code = PAL_OK;
    for (size_t i = 0; i < c->count; i++)
        for (size_t k = 0; code == PAL_OK && k < corpus_count(c->corpus[i]); k++)
            code = print_document(c->corpus[i], k, t, err);
    tokenizer_destroy(t);
    return code;
}

/* ---- The command. ---- */

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    static int (*const actions[])(const corpora *c, const tokenizer_options *o,
                                  pal_error *err) = {run_train, run_stats, run_encode};
    (void)rest;
    const tokenizer_options *o = options;
    corpora *c = calloc(1, sizeof *c);
    if (!c) return pal_fail(err, PAL_INTERNAL, "out of memory for the corpora");
    int code = corpus_open_list(o->data, o->split, "train", take_corpus, c, err);
    if (code == PAL_OK) code = actions[o->action](c, o, err);
    corpora_close(c);
    free(c);
    return code;
}

static const char *const places[] = {"action", NULL};

const pal_command tokenizer_command = {
    .name = "tokenizer",
    .summary = "train a byte-level BPE tokenizer, or measure one",
    .note = "Words are split by GPT-2's rule, with every number a word of its own; letters and numbers are those "
            "of Unicode " TOKENIZER_UNICODE ". Names of special tokens in a text, such as <|endoftext|>, are "
            "encoded as plain text; `eval` says how many there are.",
    .examples = "tokenizer train data=books vocab=4K out=my.json\n"
                "tokenizer stats data=books split=test tokenizer=my.json\n"
                "tokenizer encode data=note.txt tokenizer=my.json\n",
    .options = tokenizer_table,
    .count = sizeof tokenizer_table / sizeof *tokenizer_table,
    .bytes = sizeof(tokenizer_options),
    .words = places,
    .run = run,
};

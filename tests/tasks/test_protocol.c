/* How documents are cut by the protocols of other programs: the arithmetic by hand and against a plain loop, and
 * through the binary against corpora that hold the same pieces as documents of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/perplexity/protocol.h"
#include "tests/lib/program.h"

#include <jansson.h>
#include <math.h>

/* ---- Arithmetic ---- */

static void check_piece(const protocol *p, uint64_t tokens, uint64_t index, uint64_t from, uint64_t score_from,
                        uint64_t end)
{
    const protocol_piece at = protocol_piece_at(p, tokens, index);
    if (at.from != from || at.score_from != score_from || at.end != end)
        fail_msg("piece %d of %d tokens: [%d, %d, %d)", (int)index, (int)tokens, (int)at.from, (int)at.score_from,
                 (int)at.end);
}

static void test_by_hand(void **state)
{
    (void)state;
    const protocol windows = {PROTOCOL_WINDOW, 4, 2}, apart = {PROTOCOL_WINDOW, 4, 4},
                   chunks = {PROTOCOL_LLAMA_CPP, 8, 0}, odd = {PROTOCOL_LLAMA_CPP, 7, 0},
                   whole = {PROTOCOL_STREAM, 0, 0};
    assert_int_equal(protocol_pieces(&windows, 9), 4);
    check_piece(&windows, 9, 0, 0, 1, 4);
    check_piece(&windows, 9, 1, 2, 4, 6);
    check_piece(&windows, 9, 2, 4, 6, 8);
    check_piece(&windows, 9, 3, 6, 8, 9);
    assert_int_equal(protocol_pieces(&windows, 4), 1);
    assert_int_equal(protocol_pieces(&windows, 3), 1);
    check_piece(&windows, 3, 0, 0, 1, 3);
    /* Windows that do not overlap: nothing predicts the first token of one. */
    assert_int_equal(protocol_pieces(&apart, 9), 3);
    check_piece(&apart, 9, 1, 4, 5, 8);
    check_piece(&apart, 9, 2, 8, 9, 9);
    /* llama.cpp takes the logits of positions 4 to 6, which predict tokens 5 to 7. */
    assert_int_equal(protocol_pieces(&chunks, 23), 2);
    check_piece(&chunks, 23, 0, 0, 5, 8);
    check_piece(&chunks, 23, 1, 8, 13, 16);
    assert_int_equal(protocol_end(&chunks, 23), 16);
    check_piece(&odd, 14, 1, 7, 11, 14);
    assert_int_equal(protocol_pieces(&chunks, 7), 1);
    check_piece(&chunks, 7, 0, 0, 1, 1);
    assert_int_equal(protocol_end(&chunks, 7), 1);
    check_piece(&whole, 9, 0, 0, 1, 9);
    check_piece(&whole, 0, 0, 0, 0, 0);
}

/* The loop of HuggingFace's guide, and llama.cpp's count, for many sizes. */
static void test_against_loops(void **state)
{
    (void)state;
    for (uint64_t context = 4; context < 20; context++)
        for (uint64_t stride = 1; stride <= context; stride++)
            for (uint64_t tokens = 1; tokens < 70; tokens++) {
                const protocol p = {PROTOCOL_WINDOW, context, stride};
                uint64_t before = 0, pieces = 0, scored = 0;
                for (uint64_t begin = 0; begin < tokens; begin += stride) {
                    const uint64_t end = begin + context < tokens ? begin + context : tokens;
                    const uint64_t first = before > begin ? before : begin + 1;
                    check_piece(&p, tokens, pieces++, begin, first < end ? first : end, end);
                    scored += end > first ? end - first : 0;
                    before = end;
                    if (end == tokens) break;
                }
                assert_int_equal(protocol_pieces(&p, tokens), pieces);
                if (stride < context) assert_int_equal(scored, tokens - 1);
                const protocol chunks = {PROTOCOL_LLAMA_CPP, context, 0};
                const uint64_t count = tokens / context;
                assert_int_equal(protocol_pieces(&chunks, tokens), count ? count : 1);
                for (uint64_t i = 0; i < count; i++) {
                    const protocol_piece at = protocol_piece_at(&chunks, tokens, i);
                    assert_int_equal(at.end - at.score_from, context - context / 2 - 1);
                    assert_true(at.end <= tokens);
                }
            }
}

/* ---- Through the binary ---- */

enum { CONTEXT = 513, STRIDE = 256, PIECES = 5, SIZE = CONTEXT + (PIECES - 1) * STRIDE };

/* A text whose windows begin with a line feed, as a stream of bytes does. */
static void make_text(char text[SIZE])
{
    static const char words[] = "a whale swims; the ship sails on and the sea is wide. ";
    rng draw = rng_make(5, "text", 0, 0);
    for (size_t i = 0; i < SIZE; i++)
        text[i] = i % STRIDE == 0 ? '\n' : words[(i + rng_below(&draw, 3)) % (sizeof words - 1)];
}

/* Pieces of the text as documents of a corpus: `size` bytes from each multiple of `step` on. */
static void put_pieces(const char *corpus, const char *text, size_t step, size_t size, size_t count)
{
    char name[64];
    snprintf(name, sizeof name, "%s/test", corpus);
    assert_int_equal(os_make_dirs(path_of(name), &err), PAL_OK);
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s/test/%zu.txt", corpus, i);
        assert_int_equal(os_write_file(path_of(name), text + i * step, size, &err), PAL_OK);
    }
}

static void evaluate_with(const char *model, const char *tokens, const char *corpus, const char *const words[3],
                          const char *results)
{
    char data[200], tokenizer[200];
    snprintf(data, sizeof data, "data=%s", path_of(corpus));
    snprintf(tokenizer, sizeof tokenizer, "tokenizer=%s", tokens);
    check_success(RUN("eval", "perplexity", data, model, weights_word, tokenizer, "references=0", "plots=0",
                      results_word(results), words[0], words[1], words[2]));
}

/* With a tokenizer of bytes, whose rules add no begin token. */
static void evaluate(const char *corpus, const char *const words[3], const char *results)
{
    evaluate_with("model=infini-linear", "bytes", corpus, words, results);
}

/* The sum of a value over the samples of a run; *count: how many. */
static double sum_of(const char *results, const char *value, int *count)
{
    char name[64];
    double sum = 0;
    snprintf(name, sizeof name, "%s/perplexity-journal.jsonl", results);
    char *journal = slurp(path_of(name)), *rest = NULL;
    *count = 0;
    for (char *line = strtok_r(journal, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        json_t *object = json_loads(line, 0, NULL), *values = json_object_get(object, "values");
        if (values) sum += json_real_value(json_object_get(values, value));
        *count += values != NULL;
        json_decref(object);
    }
    free(journal);
    return sum;
}

#define WORDS(...) ((const char *const[3]){__VA_ARGS__})

/* Each window is what a document of its tokens is: all of the first one is scored, then the last 256 of each. */
static void test_windows(void **state)
{
    (void)state;
    char text[SIZE];
    int samples, documents, one;
    make_text(text);
    put_pieces("long", text, 0, SIZE, 1);
    put_pieces("first", text + 1, 0, CONTEXT - 1, 1);
    put_pieces("pieces", text + 1, STRIDE, CONTEXT - 1, PIECES);
    evaluate("long", WORDS("protocol=window", "context=513", "stride=256"), "r-window");
    evaluate("first", WORDS("batch=1"), "r-first");
    evaluate("pieces", WORDS("batch=3"), "r-pieces");
    const double got = sum_of("r-window", "nll", &samples);
    const double expected = sum_of("r-pieces", "nll@256", &documents) + sum_of("r-first", "nll@0", &one);
    assert_int_equal(samples, PIECES);
    assert_int_equal(documents, PIECES);
    assert_true(sum_of("r-window", "tokens", &samples) == SIZE - 1);
    assert_true(sum_of("r-window", "bytes", &samples) == SIZE - 1);
    assert_true(fabs(got - expected) < 1e-9 * expected);
    /* The state is empty at each: the loss of the whole stream is another. */
    evaluate("long", WORDS("batch=1"), "r-stream");
    assert_true(fabs(got - sum_of("r-stream", "nll", &one)) > 1e-6 * expected);
    assert_true(sum_of("r-window", "words", &samples) == sum_of("r-stream", "words", &one));
}

/* A chunk is read as it is. */
static void test_chunks(void **state)
{
    (void)state;
    char text[SIZE];
    int samples, documents;
    make_text(text);
    put_pieces("long", text, 0, SIZE, 1);
    put_pieces("chunks", text + 1, 512, 511, SIZE / 512);
    evaluate("long", WORDS("protocol=llama.cpp"), "r-llama");
    evaluate("chunks", WORDS("batch=1"), "r-chunks");
    const double got = sum_of("r-llama", "nll", &samples);
    assert_int_equal(samples, SIZE / 512);
    assert_true(sum_of("r-llama", "tokens", &samples) == SIZE / 512 * 255);
    assert_true(got == sum_of("r-chunks", "nll@256", &documents));
    assert_int_equal(documents, samples);
}

/* ---- A tokenizer whose rules begin every text with <|endoftext|> ---- */

/* One token a byte, by GPT-2's letters for bytes, and the begin token. */
static void save_tokenizer(void)
{
    json_t *vocab = json_object();
    for (int byte = 0, others = 0; byte < 256; byte++) {
        const int own = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
        const int letter = own ? byte : 256 + others++;
        char name[3] = {(char)letter};
        if (letter >= 128) {
            name[0] = (char)(0xC0 | letter >> 6);
            name[1] = (char)(0x80 | (letter & 63));
        }
        assert_int_equal(json_object_set_new(vocab, name, json_integer(byte)), 0);
    }
    static const char end[] = "<|endoftext|>";
    json_t *all = json_pack(
        "{s:s, s:[{s:i, s:s, s:b, s:b, s:b, s:b, s:b}], s:n, s:{s:s, s:b, s:b, s:b}, s:{s:s, s:[{s:{s:s, s:i}}, "
        "{s:{s:s, s:i}}], s:[], s:{s:{s:s, s:[i], s:[s]}}}, s:{s:s, s:b, s:b, s:b}, s:{s:s, s:o, s:[]}}",
        "version", "1.0", "added_tokens", "id", 256, "content", end, "special", 1, "single_word", 0, "lstrip", 0,
        "rstrip", 0, "normalized", 0, "normalizer", "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0,
        "trim_offsets", 1, "use_regex", 1, "post_processor", "type", "TemplateProcessing", "single",
        "SpecialToken", "id", end, "type_id", 0, "Sequence", "id", "A", "type_id", 0, "pair", "special_tokens",
        end, "id", end, "ids", 256, "tokens", end, "decoder", "type", "ByteLevel", "add_prefix_space", 0,
        "trim_offsets", 1, "use_regex", 1, "model", "type", "BPE", "vocab", vocab, "merges");
    assert_non_null(all);
    assert_int_equal(json_dump_file(all, path_of("begins.json"), 0), 0);
    json_decref(all);
    static const char config[] =
        "attention = infini-linear\nvocab = 257\nd_model = 32\nn_layers = 2\nn_heads = 2\n"
        "d_head = 16\nd_ff = 48\nsegment = 64\ninit_std = 0.2\n";
    kv_pairs pairs = {0}, none = {0};
    model_config cfg;
    decoder *d = NULL;
    assert_int_equal(kv_pairs_parse(&pairs, config, "test", &err), PAL_OK);
    assert_int_equal(model_config_read(&cfg, &pairs, &err), PAL_OK);
    assert_int_equal(decoder_create(&d, &cfg, &err), PAL_OK);
    decoder_init(d, 4);
    assert_int_equal(checkpoint_save(path_of("w/begins.safetensors"), d, NULL, ST_F32, &none, &err), PAL_OK);
    decoder_destroy(d);
    kv_pairs_free(&pairs);
}

static void evaluate_begun(const char *corpus, const char *const words[3], const char *results)
{
    evaluate_with("model=begins", path_of("begins.json"), corpus, words, results);
}

static void test_one_window_is_the_stream(void **state)
{
    (void)state;
    int samples;
    save_tokenizer();
    evaluate_begun("sea", WORDS("protocol=window", "context=1M"), "r-wide");
    evaluate_begun("sea", WORDS("batch=2"), "r-sea");
    assert_true(sum_of("r-wide", "nll", &samples) == sum_of("r-sea", "nll", &samples));
    assert_true(sum_of("r-wide", "tokens", &samples) == 3000 + 200 + 9000 + 40000);
    assert_int_equal(samples, 4);
}

/* The begin token stands in place of the first token of every chunk. */
static void test_chunks_begin(void **state)
{
    (void)state;
    char text[SIZE];
    int samples, documents;
    make_text(text);
    put_pieces("long", text, 0, SIZE, 1);
    put_pieces("begun", text, 512, 511, (SIZE + 1) / 512);
    evaluate_begun("long", WORDS("protocol=llama.cpp"), "r-llama-begun");
    evaluate_begun("begun", WORDS("batch=1"), "r-begun");
    const double got = sum_of("r-llama-begun", "nll", &samples);
    assert_true(got == sum_of("r-begun", "nll@256", &documents));
    assert_int_equal(samples, (SIZE + 1) / 512);
    assert_int_equal(documents, samples);
}

/* A journal tells them apart, and the first protocol's records are as they were before there were others. */
static void test_records(void **state)
{
    (void)state;
    char *window = slurp(path_of("r-window/perplexity-journal.jsonl")),
         *stream = slurp(path_of("r-stream/perplexity-journal.jsonl"));
    assert_non_null(strstr(window, "\"variant\":\"window=513/256\""));
    assert_non_null(strstr(window, "\"cell\":\"long/test:window=513/256\""));
    assert_non_null(
        strstr(window, "\"settings\":\"split=test max_tokens=0 protocol=window context=513 stride=256\""));
    assert_non_null(strstr(stream, "\"settings\":\"split=test max_tokens=0\""));
    assert_null(strstr(stream, "protocol"));
    free(window);
    free(stream);
}

/* What is left out is said, and what cannot be is refused. */
static void test_words(void **state)
{
    (void)state;
    char data[200];
    snprintf(data, sizeof data, "data=%s", path_of("sea"));
#define EVAL(...)                                                                                                 \
    RUN("eval", "perplexity", data, "model=infini-linear", weights_word, "tokenizer=bytes", "references=0",       \
        "plots=0", results_word("r-words"), __VA_ARGS__)
    check_refusal(PAL_USAGE, EVAL("context=512"), "context=512");
    check_refusal(PAL_USAGE, EVAL("stride=2"), "protocol=window");
    check_refusal(PAL_USAGE, EVAL("protocol=llama.cpp", "stride=2"), "protocol=window");
    check_refusal(PAL_USAGE, EVAL("protocol=window", "context=8", "stride=9"), "would be lost");
    check_refusal(PAL_USAGE, EVAL("protocol=window", "context=3"), "too short");
    check_refusal(PAL_USAGE, EVAL("protocol=slide"), "protocol");
    check_success(EVAL("protocol=llama.cpp", "context=4K"));
    char *said = slurp(err_path), *shown = slurp(out_path);
    /* Documents of 3000, 200, 9000 and 40000 bytes. */
    if (!strstr(said, "7142 tokens behind") && !strstr(shown, "7142 tokens behind"))
        fail_msg("nothing of the 7142 tokens:\n%s%s", said, shown);
    free(said);
    free(shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),      cmocka_unit_test(test_against_loops),
        cmocka_unit_test(test_windows),      cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_records),      cmocka_unit_test(test_one_window_is_the_stream),
        cmocka_unit_test(test_chunks_begin), cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}

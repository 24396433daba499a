/* Requests: which models and which tokenizer an evaluation is with, and what of it names a result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "datasets/tokenizer/bpe_train.h"
#include "harness/base/os.h"
#include "harness/base/rng.h"
#include "harness/eval/plan.h"
#include "tests/lib/tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 512 };

static char dir[] = "/tmp/palimpsest-eval-XXXXXX";
static char digest[2][HASH_HEX];
static pal_error err;

static const char *path_of(const char *name)
{
    static char path[4][160];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[0], "%s/%s", dir, name);
    return path[next];
}

/* A tokenizer trained on random letters, and its digest. */
static int save_tokenizer(const char *name, uint64_t seed, char out[HASH_HEX])
{
    bpe_words words = {0};
    bpe *b = NULL;
    tokenizer *t = NULL;
    static char text[60000];
    rng r = rng_make(seed, "letters", 0, 0);
    for (size_t i = 0; i < sizeof text; i++) text[i] = rng_below(&r, 6) ? (char)('a' + rng_below(&r, 8)) : ' ';
    int code = bpe_words_add(&words, text, sizeof text, BPE_SINGLE_DIGITS, &err);
    if (code == PAL_OK) code = bpe_train(&b, &words, VOCAB, NULL, NULL, &err);
    if (code == PAL_OK) code = bpe_tokenizer(&t, b, &err);
    if (code == PAL_OK) code = tokenizer_save(t, path_of(name), &err);
    if (code == PAL_OK) strcpy(out, tokenizer_digest(t));
    tokenizer_destroy(t);
    bpe_words_free(&words);
    return code;
}

static int save_model(const char *name, int vocab, const char *task, const char *path, const char *sha256)
{
    char text[256];
    snprintf(text, sizeof text,
             "attention = local\nvocab = %d\nd_model = 16\nn_layers = 1\nn_heads = 1\nd_head = 16\nd_ff = 16\n"
             "segment = 32\n",
             vocab);
    kv_pairs metadata = {0};
    int code = PAL_OK;
    if (task) code = kv_pairs_add(&metadata, "task", task, "test", &err);
    if (code == PAL_OK && path) code = kv_pairs_add(&metadata, "tokenizer", path, "test", &err);
    if (code == PAL_OK && sha256) code = kv_pairs_add(&metadata, "tokenizer_sha256", sha256, "test", &err);
    if (code == PAL_OK) code = tiny_model_save(path_of(name), tiny_model(text, 1), &metadata, &err);
    kv_pairs_free(&metadata);
    return code;
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir) || os_make_dirs(path_of("w"), &err) || os_make_dirs(path_of("sea/test"), &err) ||
        os_write_file(path_of("sea/test/a.txt"), "abc abd abe 12", 14, &err) ||
        save_tokenizer("one.json", 1, digest[0]) || save_tokenizer("two.json", 2, digest[1]))
        return -1;
    char one[160];
    snprintf(one, sizeof one, "%s", path_of("one.json"));
    return save_model("w/a-bytes.safetensors", 256, "passkey", NULL, NULL) ||
           save_model("w/b-one.safetensors", VOCAB, "perplexity", one, digest[0]) ||
           save_model("w/c-one.safetensors", VOCAB, "perplexity", one, digest[0]) ||
           save_model("two.safetensors", VOCAB, "perplexity", path_of("two.json"), digest[1]) ||
           save_model("stale.safetensors", VOCAB, "perplexity", one, digest[1]) ||
           save_model("mute.safetensors", VOCAB, NULL, NULL, NULL);
}

static int teardown(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

/* Read a perplexity request with these words; "@" stands for the scratch directory. */
static int read_request(eval_request *r, const char *words)
{
    char text[1000], *list[16], *rest = text;
    int count = 0;
    size_t used =
        (size_t)snprintf(text, sizeof text, "task=perplexity data=%s/sea weights=%s/w results=none ", dir, dir);
    for (const char *c = words; *c; c++)
        used += (size_t)*c == '@' ? snprintf(text + used, sizeof text - used, "%s", dir)
                                  : snprintf(text + used, sizeof text - used, "%c", *c);
    while (count < 16 && (list[count] = strtok_r(rest, " ", &rest))) count++;
    return eval_request_read(r, count, list, 1, &err);
}

static void refused(const char *words, int code, const char *named, const char *also)
{
    eval_request r;
    assert_int_equal(read_request(&r, words), code);
    if (!strstr(err.text, named) || !strstr(err.text, also))
        fail_msg("\"%s\" does not name %s, %s", err.text, named, also);
}

static void accepted(const char *words, size_t models, const char *tokenizer_sha256)
{
    eval_request r;
    if (read_request(&r, words) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(r.model_count, models);
    assert_string_equal(tokenizer_digest(r.tokenizer), tokenizer_sha256);
    eval_request_free(&r);
}

static void test_tokenizers(void **state)
{
    (void)state;
    tokenizer *bytes;
    assert_int_equal(tokenizer_create_bytes(&bytes, &err), PAL_OK);
    accepted("model=b-one", 1, digest[0]);
    accepted("model=b-one,c-one", 2, digest[0]);
    accepted("model=a-bytes", 1, tokenizer_digest(bytes));
    accepted("model=@/mute.safetensors", 1, tokenizer_digest(bytes));
    accepted("model=@/mute.safetensors tokenizer=@/two.json", 1, digest[1]);
    accepted("model=@/two.safetensors tokenizer=@/two.json", 1, digest[1]);
    refused("model=b-one,@/two.safetensors", PAL_USAGE, "two reads", "separate runs");
    refused("model=b-one,a-bytes", PAL_USAGE, "a-bytes reads", "separate runs");
    refused("model=a-bytes,b-one", PAL_USAGE, "b-one reads", "separate runs");
    refused("model=b-one tokenizer=@/two.json", PAL_USAGE, "b-one", "two.json");
    refused("model=b-one tokenizer=bytes", PAL_USAGE, "b-one", "bytes");
    refused("model=a-bytes tokenizer=@/one.json", PAL_USAGE, "a-bytes", "vocabulary of 256");
    refused("model=@/stale.safetensors", PAL_DATA, "one.json", "stale.safetensors");
    refused("model=b-one tokenizer=@/none.json", PAL_DATA, "none.json", "");
    tokenizer_destroy(bytes);
}

/* "all" takes those trained on the task; where there are none, everything. */
static void test_all(void **state)
{
    (void)state;
    eval_request r;
    accepted("", 2, digest[0]);
    const char *words[] = {"task=passkey", "len=1K", "results=none"};
    char weights[80];
    snprintf(weights, sizeof weights, "weights=%s/w", dir);
    char *list[] = {(char *)words[0], (char *)words[1], (char *)words[2], weights};
    assert_int_equal(eval_request_read(&r, 4, list, 1, &err), PAL_OK);
    assert_int_equal(r.model_count, 1);
    assert_string_equal(r.model[0].file.name, "a-bytes");
    eval_request_free(&r);
}

static void test_words(void **state)
{
    (void)state;
    eval_request r;
    char text[RESULT_TEXT];
    assert_int_equal(read_request(&r, "docs=7 max_tokens=2K memory=both"), PAL_OK);
    assert_int_equal(eval_cell_settings(&r, &r.cell[0], 0, text, sizeof text, &err), PAL_OK);
    assert_string_equal(text, "split=test max_tokens=2K"); /* unset in the request: the layout's own */
    assert_int_equal(eval_cell_settings(&r, &r.cell[0], 1, text, sizeof text, &err), PAL_OK);
    assert_string_equal(text, "split=test max_tokens=2K memory=zeroed");
    assert_int_equal(eval_request_words(&r, 0, text, sizeof text, &err), PAL_OK);
    assert_non_null(strstr(text, "/sea split= docs=7 max_tokens=2K"));
    assert_int_equal(eval_request_words(&r, 0, text, 20, &err), PAL_USAGE);
    eval_request_free(&r);
}

/* Two models, each with and without memory; lanes as asked for; all tokens counted. */
static void test_plan(void **state)
{
    (void)state;
    eval_request r;
    plan p;
    assert_int_equal(read_request(&r, "memory=both batch=3"), PAL_OK);
    assert_int_equal(plan_make(&p, &r, NULL, NULL, NULL, &err), PAL_OK);
    assert_int_equal(p.count, 4);
    for (size_t i = 0; i < p.count; i++) {
        const plan_part *part = &p.part[i];
        assert_ptr_equal(part->model, &r.model[i / 2]);
        assert_int_equal(part->zeroed, i % 2);
        assert_int_equal(part->count, 1);
        assert_int_equal(part->lanes, 1);
        assert_true(part->tokens > 1 && part->all_tokens == (double)part->tokens);
        assert_true(part->work == part->all_tokens);
        assert_true(part->flops > 0);
        assert_int_equal(part->scored, part->tokens - 1);
    }
    plan_free(&p);
    eval_request_free(&r);
}

/* The plan of one text through one model: a group of one sample, with room for a second. */
static plan_part *plan_one(eval_request *r, plan *p, const char *words)
{
    assert_int_equal(read_request(r, words), PAL_OK);
    assert_int_equal(plan_make(p, r, NULL, NULL, NULL, &err), PAL_OK);
    return &p->part[0];
}

/* A stream that comes round computes so many tokens at its start and no more, beside what is scored. */
static void test_plan_round(void **state)
{
    (void)state;
    eval_request r;
    plan p;
    plan_part *part = plan_one(&r, &p, "");
    const double work = part->work, flops = part->flops;
    part->item[0].first = part->item[0].tokens - 1; /* as if the rest were only read */
    plan_part_round(part, 2);
    assert_true(part->work == 3);
    assert_true(part->work < work && part->flops < flops);
    plan_part_round(part, 0);
    assert_true(part->work == work);

    /* Each lane comes round anew behind its own needle. */
    part->item[0].shared = 3;
    part->item[1] = part->item[0];
    part->item[1].shared = 6;
    part->group[0].count = 2;
    plan_part_round(part, 2);
    assert_true(part->work == 2 * (2 + 2 + 1));
    plan_free(&p);
    eval_request_free(&r);
}

/* What one lane does by itself is told apart: all of a group of one, and the end of a sample that outlasts the
 * others by so much that their lanes are dropped. */
static void test_plan_alone(void **state)
{
    (void)state;
    eval_request r;
    plan p;
    plan_part *part = plan_one(&r, &p, "attention=infini-linear new_tensors=start");
    assert_true(part->alone.scored > 0 && part->many.scored == 0 && part->many.read == 0);
    part->item[1] = part->item[0];
    part->group[0].count = 2;
    plan_part_round(part, 0);
    assert_true(part->many.scored > 0 && part->alone.scored == 0 && part->alone.read == 0);
    const uint64_t tokens = part->item[0].tokens;
    part->item[1].tokens = tokens + 30000;
    part->item[1].first = tokens + 29990; /* 30,000 alone, of which ten are scored */
    plan_part_round(part, 0);
    const decoder *d = part->model->decoder;
    const double context = (double)part->item[1].tokens / 2;
    assert_true(fabs(part->alone.read / decoder_flops(d, context, 0) - 29990) < 1e-6);
    assert_true(fabs(part->alone.scored / decoder_flops(d, context, 1) - 10) < 1e-6);
    assert_true(part->work == (double)(2 * tokens + 30000));
    plan_free(&p);
    eval_request_free(&r);
}

/* Every attention is a row of its own: another name, another config, the same weights. What comes to the model's
 * own is its own row, and what comes to one that is there already is none. */
static void test_attentions(void **state)
{
    (void)state;
    eval_request r;
    assert_int_equal(read_request(&r, "model=b-one attention=own,full,local,local:segment=48,window window=9"),
                     PAL_OK);
    assert_int_equal(r.model_count, 4);
    static const char *const names[] = {"b-one", "b-one+full", "b-one+local:segment=48", "b-one+window:window=9"};
    static const char *const kinds[] = {"local", "full", "local", "window"};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(r.model[i].file.name, names[i]);
        assert_string_equal(r.model[i].facts.attention, kinds[i]);
        assert_string_equal(r.model[i].facts.instead, i ? names[i] + strlen("b-one+") : "");
        assert_string_equal(r.model[i].info.digest, r.model[0].info.digest);
        for (size_t k = 0; k < i; k++) assert_string_not_equal(r.model[i].config, r.model[k].config);
    }
    eval_request_free(&r);

    /* A label of a table names its row; keys alone change the model's own attention. */
    assert_int_equal(read_request(&r, "model=c-one+local:segment=48,c-one"), PAL_OK);
    assert_int_equal(r.model_count, 2);
    assert_string_equal(r.model[0].file.name, "c-one+local:segment=48");
    assert_string_equal(r.model[1].file.name, "c-one");
    eval_request_free(&r);
    assert_int_equal(
        read_request(&r, "model=@/w/c-one.safetensors+full:context=64 rope_scaling=linear rope_factor=2"), PAL_OK);
    assert_string_equal(r.model[0].file.name, "c-one+full:rope_scaling=linear:rope_factor=2:context=64");
    eval_request_free(&r);
    assert_int_equal(read_request(&r, "model=b-one,c-one segment=64"), PAL_OK);
    assert_string_equal(r.model[1].file.name, "c-one+local:segment=64");
    eval_request_free(&r);

    assert_int_equal(read_request(&r, "model=b-one attention=infini-delta new_tensors=start"), PAL_OK);
    assert_string_equal(r.model[0].file.name, "b-one+infini-delta:new_tensors=start");
    assert_int_equal(r.model[0].made.new_tensors, 1);
    eval_request_free(&r);
    refused("model=b-one attention=infini-delta", PAL_USAGE, "layers.*.dec_attn.gate [1] = 0",
            "new_tensors=start");
    refused("model=b-one attention=fulll", PAL_USAGE, "fulll", "window");
    refused("model=b-one attention=full window=9", PAL_USAGE, "window=9", "none of the models");
    refused("model=b-one attention=full:window=9", PAL_USAGE, "window=9", "it has context");
    refused("model=b-one attention=full:d_ff=9", PAL_USAGE, "d_ff=9", "another model");
    refused("model=b-one attention=full:context", PAL_USAGE, "context", "KEY=VALUE");
    refused("model=b-one d_ff=9", PAL_USAGE, "d_ff", "no such key");
    refused("model=b-one segment=9", PAL_USAGE, "segment=9", "16");
    refused("model=b-one+full attention=local", PAL_USAGE, "b-one+full", "already");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenizers), cmocka_unit_test(test_all),        cmocka_unit_test(test_words),
        cmocka_unit_test(test_plan),       cmocka_unit_test(test_plan_round), cmocka_unit_test(test_plan_alone),
        cmocka_unit_test(test_attentions),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

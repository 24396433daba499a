/* Facts about models: from metadata, journals and the list of weights; a renamed file gets the same report. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/eval/facts.h"
#include "harness/eval/model_files.h"
#include "models/decoder/config_keys.h"
#include "models/files/checkpoint.h"
#include "tests/lib/journal_lab.h"

static const task_module *task_of(const char *name)
{
    const task_module *task = task_find(name);
    assert_non_null(task);
    return task;
}

static model_config config_of(const char *text)
{
    kv_pairs pairs = {0};
    model_config cfg;
    assert_int_equal(kv_pairs_parse(&pairs, text, "test", &err), PAL_OK);
    assert_int_equal(model_config_read(&cfg, &pairs, &err), PAL_OK);
    kv_pairs_free(&pairs);
    return cfg;
}

static void test_metadata(void **state)
{
    (void)state;
    const model_config cfg = config_of("attention = memorizing\nxl_len = 8\nsegment = 16\n");
    kv_pairs metadata = {0};
    model_facts facts = facts_of(&cfg, &metadata);
    assert_string_equal(facts.attention, "memorizing");
    assert_string_equal(facts.trained_on, "");
    assert_int_equal(facts.train_seed, MODEL_SEED_UNKNOWN);
    assert_int_equal(facts.xl_len, 8);
    assert_false(facts.fine_tuned);
    assert_int_equal(kv_pairs_add(&metadata, "task", "PassKey", "test", &err), PAL_OK);
    assert_int_equal(kv_pairs_add(&metadata, "seed", "12", "test", &err), PAL_OK);
    assert_int_equal(kv_pairs_add(&metadata, "init_sha256", "00", "test", &err), PAL_OK);
    facts = facts_of(&cfg, &metadata);
    assert_string_equal(facts.trained_on, "passkey");
    assert_int_equal(facts.train_seed, 12);
    assert_true(facts.fine_tuned);
    kv_pairs_free(&metadata);
}

static void test_order(void **state)
{
    (void)state;
    const model_facts linear = {.attention = "infini-linear"}, local = {.attention = "local"},
                      strange = {.attention = "of another program"}, none = {.attention = ""};
    assert_true(facts_order(&linear, &local) < 0);
    assert_true(facts_order(&strange, &local) > 0);
    assert_int_equal(facts_order(&strange, &none), 0);
}

/* What was written comes back, whatever the names say. */
static void test_journal(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_of("passkey"));
    result_cell cell = lab_cell(j, "text-infini-linear", "len=1024,depth=50,absent", 1024, 50, "seed=1", 1);
    cell.facts =
        (model_facts){.attention = "full", .trained_on = "booksum", .train_seed = 7, .xl_len = 3, .fine_tuned = 1};
    cell.memory = RESULT_ZEROED;
    strcpy(cell.variant, "upside down");
    lab_announce(j, &cell, 1);
    result_cell plain = lab_cell(j, "nobody", "len=1024,depth=50", 1024, 50, "seed=1", 1);
    lab_announce(j, &plain, 1);
    lab_close(j);

    results r;
    char path[160];
    snprintf(path, sizeof path, "%s/passkey-journal.jsonl", dir);
    results_init(&r, task_of("passkey"), path);
    assert_int_equal(journal_read(path, results_visit, &r, &err), PAL_OK);
    assert_int_equal(r.count, 2);
    const result_cell *c = &r.cell[0];
    assert_memory_equal(&c->facts, &cell.facts, sizeof cell.facts);
    assert_int_equal(c->kind, RESULT_MODEL);
    assert_int_equal(c->memory, RESULT_ZEROED);
    assert_int_equal(c->extent, RESULT_LENGTH);
    assert_string_equal(c->variant, "upside down");
    assert_true(result_described(c));
    assert_false(result_described(&r.cell[1]));
    results_free(&r);
    unlink(path);
}

/* ---- Older journals ---- */

/* The line of a cell as it was before facts were journaled. */
static void put_old(FILE *out, const char *model, const char *weights, const char *name, const char *more)
{
    fprintf(
        out,
        "{\"kind\":\"cell\",\"task\":\"passkey\",\"task_version\":%d,\"scorer_version\":%d,\"key\":\"%.20s%.8s\","
        "\"model\":\"%s\",\"weights\":\"%s\",\"config\":\"c\",\"cell\":\"%s\",\"depth\":50.0,\"length\":1024,"
        "\"request\":\"n=1\",\"parameters\":1,\"state_bytes\":1,\"asked\":1,\"tokenizer\":\"t\",\"data\":\"\"%s}"
        "\n",
        task_of("passkey")->version, task_of("passkey")->scorer_version, model, weights, model, weights, name,
        more);
}

static int take(results *r, char *text)
{
    int code = PAL_OK;
    for (char *line = strtok(text, "\n"); line && code == PAL_OK; line = strtok(NULL, "\n"))
        code = results_visit(r, line, strlen(line), 1, &err);
    return code;
}

static void save_model(const char *path, char digest[HASH_HEX])
{
    const model_config cfg =
        config_of("attention = infini-delta\nsegment = 16\nd_model = 16\nn_heads = 1\nd_head = 16\nd_ff = 16\n");
    kv_pairs metadata = {0};
    decoder *d = NULL;
    st_file f;
    assert_int_equal(kv_pairs_add(&metadata, "task", "passkey", "test", &err), PAL_OK);
    assert_int_equal(kv_pairs_add(&metadata, "seed", "5", "test", &err), PAL_OK);
    assert_int_equal(decoder_create(&d, &cfg, &err), PAL_OK);
    decoder_init(d, 1);
    assert_int_equal(checkpoint_save(path, d, NULL, ST_F32, &metadata, &err), PAL_OK);
    assert_int_equal(st_read(path, &f, &err), PAL_OK);
    memcpy(digest, f.digest, HASH_HEX);
    st_free(&f);
    decoder_destroy(d);
    kv_pairs_free(&metadata);
}

static void test_old_records(void **state)
{
    (void)state;
    char path[160], list[160], digest[HASH_HEX], listed[HASH_HEX], absent[HASH_HEX], *text = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/plain name.safetensors", dir);
    snprintf(list, sizeof list, "%s/facts.csv", dir);
    save_model(path, digest);
    hash_hex("a", 1, listed);
    hash_hex("b", 1, absent);
    FILE *out = fopen(list, "w");
    assert_non_null(out);
    fprintf(out,
            "sha256,attention,trained_on,train_seed,xl_len,fine_tuned,parameters,name\n"
            "%s,memorizing,perplexity,2,256,1,10,\"a name, with a comma\"\n",
            listed);
    fclose(out);

    out = open_memstream(&text, &size);
    const char plain[] = ",\"settings\":\"seed=1\",\"blas_core\":\"Zen\"";
    put_old(out, "here", digest, "len=1024,depth=50,keys=4,prose",
            ",\"settings\":\"seed=1 memory=zeroed\",\"blas_core\":\"Zen\"");
    put_old(out, "text-infini-linear", listed, "len=1024,depth=50", plain);
    put_old(out, "gone", absent, "len=1024,depth=50", plain);
    put_old(out, "xz", "x", "len=1024,depth=50", ",\"settings\":\"seed=1\",\"blas_core\":\"none\"");
    fclose(out);
    results r;
    results_init(&r, task_of("passkey"), "old");
    assert_int_equal(take(&r, text), PAL_OK);
    assert_int_equal(facts_complete(&r, dir, &err), PAL_OK);
    assert_int_equal(r.count, 4);
    assert_string_equal(r.cell[0].facts.attention, "infini-delta");
    assert_string_equal(r.cell[0].facts.trained_on, "passkey");
    assert_int_equal(r.cell[0].facts.train_seed, 5);
    assert_string_equal(r.cell[0].variant, "keys=4,prose");
    assert_int_equal(r.cell[0].memory, RESULT_ZEROED);
    assert_string_equal(r.cell[1].facts.attention, "memorizing");
    assert_string_equal(r.cell[1].facts.trained_on, "perplexity");
    assert_int_equal(r.cell[1].facts.train_seed, 2);
    assert_int_equal(r.cell[1].facts.xl_len, 256);
    assert_true(r.cell[1].facts.fine_tuned);
    assert_string_equal(r.cell[1].variant, "");
    assert_false(result_described(&r.cell[2]));
    assert_int_equal(r.cell[3].kind, RESULT_REFERENCE);
    assert_true(result_described(&r.cell[3]));
    results_free(&r);
    free(text);

    /* A damaged list is no list without models. */
    out = fopen(list, "w");
    assert_non_null(out);
    fprintf(out, "sha256,attention,trained_on\n%s,memorizing\n", listed);
    fclose(out);
    text = NULL;
    out = open_memstream(&text, &size);
    put_old(out, "gone", absent, "len=1024,depth=50", plain);
    fclose(out);
    results_init(&r, task_of("passkey"), "old");
    assert_int_equal(take(&r, text), PAL_OK);
    assert_int_equal(facts_complete(&r, dir, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "facts.csv: row 2"));
    results_free(&r);
    free(text);
    unlink(list);
    unlink(path);
}

static void test_strange_word(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    put_old(out, "m", "w", "len=1024,depth=50",
            ",\"settings\":\"\",\"blas_core\":\"Zen\",\"memory\":\"swapped out\"");
    fclose(out);
    results r;
    results_init(&r, task_of("passkey"), "old");
    assert_int_equal(take(&r, text), PAL_DATA);
    results_free(&r);
    free(text);
}

/* ---- What is committed ---- */

/* The list agrees with every shipped file, and knows every model of the reference journals. */
static void test_shipped_list(void **state)
{
    (void)state;
    weights_file *file = NULL;
    size_t count = 0;
    assert_int_equal(weights_resolve("all", WEIGHTS_DIR, &file, &count, &err), PAL_OK);
    for (size_t i = 0; i < count; i++) {
        st_file f;
        kv_pairs pairs = {0};
        model_config cfg;
        result_cell cell = {.kind = RESULT_MODEL};
        results one = {.cell = &cell, .count = 1};
        assert_int_equal(st_read(file[i].path, &f, &err), PAL_OK);
        assert_int_equal(kv_pairs_parse(&pairs, f.config, "test", &err), PAL_OK);
        assert_int_equal(model_config_read(&cfg, &pairs, &err), PAL_OK);
        const model_facts truth = facts_of(&cfg, &f.metadata);
        memcpy(cell.weights, f.digest, sizeof cell.weights);
        assert_int_equal(facts_complete(&one, WEIGHTS_DIR, &err), PAL_OK);
        if (memcmp(&cell.facts, &truth, sizeof truth) != 0) fail_msg("%s", file[i].name);
        kv_pairs_free(&pairs);
        st_free(&f);
    }
    free(file);
    for (size_t t = 0; task_table[t]; t++) {
        results r;
        char path[160];
        snprintf(path, sizeof path, "results/reference/%s-journal.jsonl", task_table[t]->name);
        results_init(&r, task_table[t], path);
        assert_int_equal(facts_read_journal(&r, WEIGHTS_DIR, &err), PAL_OK);
        for (size_t i = 0; i < r.count; i++)
            if (!result_described(&r.cell[i])) fail_msg("%s: nothing is known of %s", path, r.cell[i].model);
        results_free(&r);
    }
}

/* ---- A renamed file ---- */

static void shell(const char *script)
{
    const char *binary = getenv("PALIMPSEST") ? getenv("PALIMPSEST") : "build/palimpsest";
    setenv("P", binary, 1);
    setenv("D", dir, 1);
    if (system(script) != 0) fail_msg("failed: %s", script);
}

/* Evaluate under shipped names and under others: tables, comparisons and the paper's rows are the same. */
static void test_renamed(void **state)
{
    (void)state;
    shell(
        "set -e; mkdir -p $D/a $D/b $D/ra $D/rb $D/pg19/test\n"
        "for i in 1 2 3; do head -c 3000 README.md | tail -c 1500 | sed \"s/e/$i/\" > $D/pg19/test/$i.txt; done\n"
        "cp models/weights/text-300k-infini-delta.safetensors models/weights/text-300k-transformer-xl.safetensors"
        " $D/a\n"
        "cp $D/a/text-300k-infini-delta.safetensors $D/b/mine.safetensors\n"
        "cp $D/a/text-300k-transformer-xl.safetensors $D/b/theirs.safetensors\n"
        "for s in a b; do for t in 'perplexity split=test memory=both references=0 data='$D/pg19 \\\n"
        "    'passkey len=1K n=2'; do\n"
        "  set -- $t; task=$1; shift; $P eval task=$task \"$@\" weights=$D/$s results=$D/r$s plots=0 >/dev/null\n"
        "done; $P tables results=$D/r$s out=$D/r$s weights=$D/$s >/dev/null\n"
        "rm $D/r$s/*-cost.csv $D/r$s/*-journal.jsonl; rm -rf $D/r$s/.partial; done\n"
        "sed -i 's/text-300k-infini-delta/mine/g; s/text-300k-transformer-xl/theirs/g' $D/ra/*\n"
        "sed -i 's/| [0-9]* |$/|/' $D/r?/*-table.md\n"
        "diff -r $D/ra $D/rb");
    char *pairs = lab_slurp("rb/perplexity-paired.csv"), *cells = lab_slurp("rb/perplexity-cells.csv"),
         *table = lab_slurp("rb/table2-perplexity.md");
    lab_check_has(pairs, "mine,theirs,bits_per_byte");
    lab_check_has(pairs, "\"mine, memory zeroed\",mine,");
    lab_check_has(cells, "Infini-Transformer (Linear + Delta)");
    lab_check_has(table, "11.88"); /* Transformer-XL's perplexity in the paper */
    free(pairs);
    free(cells);
    free(table);
}

/* A label that a table prints can be given to model=: the control, and a hash of weights or of a run. */
static void test_labels(void **state)
{
    (void)state;
    shell("set -e; cp models/weights/text-300k-local.safetensors $D/b/mine,2.safetensors; r=$D/labels; mkdir $r\n"
          "run() { $P eval task=passkey len=1K n=1 depths=0 weights=$D/b results=$r plots=0 \"$@\"; }\n"
          "run model=mine >/dev/null\n"
          "run 'model=mine, memory zeroed' | grep -q '^mine, memory zeroed  *1K'\n"
          "if run 'model=mine,2' >/dev/null 2>&1; then exit 1; fi\n" /* a comma is written \, */
          "run 'model=mine\\,2' >/dev/null\n"
          "cp $D/b/mine.safetensors $D/b/kept.safetensors; cp $D/b/theirs.safetensors $D/b/mine.safetensors\n"
          "run model=mine >/dev/null\n"
          "for label in $(sed -n 's/.*,\\(mine@[0-9a-f]*\\),.*/\\1/p' $r/passkey-cells.csv | sort -u); do\n"
          "  run \"model=$label\" | grep -q 'samples to do 0'; done; test -n \"$label\"\n"
          "if run model=mine@000000000 2>$D/said; then exit 1; fi; grep -q 'have that hash' $D/said\n"
          "if run 'model=mine, memory zeroed,theirs' 2>$D/said; then exit 1; fi; grep -q 'memory=both' $D/said");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metadata),     cmocka_unit_test(test_order),
        cmocka_unit_test(test_journal),      cmocka_unit_test(test_old_records),
        cmocka_unit_test(test_strange_word), cmocka_unit_test(test_shipped_list),
        cmocka_unit_test(test_renamed),      cmocka_unit_test(test_labels),
    };
    return cmocka_run_group_tests(tests, lab_make_dir, lab_remove_dir);
}

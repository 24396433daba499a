/* The top of the page, which chooses main models and columns by facts, and the samples inside the page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/page/headline.h"
#include "harness/page/samples.h"
#include "harness/report/evidence.h"

#include <jansson.h>
#include <math.h>
#include <openssl/evp.h>
#include <zlib.h>

#include "tests/lib/journal_lab.h"

/* ---- Reading what the lab wrote ---- */

static evidence *read_evidence(void)
{
    evidence *e = malloc(sizeof *e);
    assert_non_null(e);
    assert_int_equal(evidence_read(e, task_table, dir, &err), PAL_OK);
    return e;
}

static void drop(evidence *e)
{
    evidence_free(e);
    free(e);
}

static const evidence_task *part(const evidence *e, const char *task)
{
    for (size_t t = 0; t < e->count; t++)
        if (strcmp(e->task[t].rep.task->name, task) == 0) return &e->task[t];
    fail_msg("no task %s", task);
    return NULL;
}

/* A cell of n passkey samples with `hits` right, of a model of this size that was trained on `trained_on`. */
static void add_model(lab_journal *j, const char *model, const char *trained_on, uint64_t parameters,
                      int64_t length, double depth, int64_t hits)
{
    char name[64];
    snprintf(name, sizeof name, "len=%d,depth=%g", (int)length, depth);
    result_cell cell = lab_cell(j, model, name, length, depth, "seed=1", 10);
    snprintf(cell.facts.trained_on, sizeof cell.facts.trained_on, "%s", trained_on);
    strcpy(cell.facts.attention, "local");
    cell.parameters = parameters;
    lab_announce(j, &cell, 10);
    for (int64_t i = 0; i < 10; i++) {
        const double right = i < hits;
        lab_sample(j, &cell, i, (double[TASK_VALUES]){right, right, right, 1 - right}, 0.01);
    }
}

/* ---- The headline ---- */

static void test_headline(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("passkey"));
    for (int d = 0; d <= 100; d += 50) {
        add_model(j, "any name", "passkey", 1000, 1024, d, 4);
        add_model(j, "any name", "passkey", 1000, 32768, d, d == 0 ? 1 : 4);
        add_model(j, "another", "passkey", 1010, 1024, d, 10);
        add_model(j, "another", "passkey", 1010, 32768, d, 10);
        add_model(j, "of another size", "passkey", 4000, 32768, d, 10);
        add_model(j, "untrained", "perplexity", 1000, 32768, d, 0);
    }
    add_model(j, "another", "passkey", 1010, 32768, 25, 0); /* a depth that the other column has not */
    add_model(j, "another", "passkey", 1010, 65536, 0, 0);
    lab_passkey(j, "another", 2048, 0, "seed=1 memory=zeroed", 0, 10);
    lab_close(j);
    evidence *e = read_evidence();
    const headline h = headline_of(&part(e, "passkey")->rep);
    assert_int_equal(h.rows, 2);
    assert_string_equal(h.row[0]->label, "another"); /* the better one */
    assert_string_equal(h.row[1]->label, "any name");
    assert_int_equal(h.columns, 2); /* 64K is of one model, which has not its depths either */
    assert_string_equal(h.column[0], "1K");
    assert_string_equal(h.column[1], "32K");
    assert_int_equal(h.main, 1);
    assert_int_equal(h.depths, 3);
    assert_true(h.value[0] == 1 && h.value[1] == 1);
    assert_true(fabs(h.value[2] - 0.4) < 1e-12 && fabs(h.value[3] - 0.3) < 1e-12);
    assert_true(h.least == 10 && h.most == 10);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    html_headline(out, &h);
    fclose(out);
    lab_check_has(text, "<b>another</b> is first at 32K with 100.0 %, any name last with 30.0 %.");
    lab_check_has(text, "<td class=\"n h3\">30.0</td>");
    lab_check_has(text, "Means over the depths 0, 50 and 100 %. n = 10 a cell.");
    free(text);
    drop(e);
}

/* Lower is better; documents are ordered by the numbers in their names. */
static void test_documents(void **state)
{
    (void)state;
    const double low[] = {2, 2, 2}, high[] = {3, 3, 3};
    static const char *const names[] = {"a/test:256K", "a/test:16K"};
    lab_journal *j = lab_open(task_find("perplexity"));
    for (int i = 0; i < 2; i++) {
        lab_perplexity(j, "one", names[i], "split=test", 1000, high, 3);
        lab_perplexity(j, "two", names[i], "split=test", 1000, low, 3);
    }
    lab_close(j);
    evidence *e = read_evidence();
    const headline h = headline_of(&part(e, "perplexity")->rep);
    assert_int_equal(h.rows, 2);
    assert_string_equal(h.row[0]->label, "two");
    assert_string_equal(h.column[0], "a/test:16K");
    assert_string_equal(h.column[1], "a/test:256K");
    assert_int_equal(h.metric->kind, METRIC_BITS);
    assert_true(h.value[0] < h.value[2]);
    drop(e);
}

static void test_nothing(void **state)
{
    (void)state;
    evidence *e = read_evidence();
    const headline h = headline_of(&part(e, "passkey")->rep);
    assert_int_equal(h.rows, 0);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    html_headline(out, &h);
    fclose(out);
    assert_int_equal(size, 0);
    free(text);
    drop(e);
}

/* ---- Samples ---- */

static json_t *unpack(const char *base64, size_t size)
{
    enum { MOST = 16 << 20, GZIP = 16 };
    unsigned char *packed = malloc(size), *text = malloc(MOST);
    assert_int_equal(strspn(base64, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="), size);
    assert_true(EVP_DecodeBlock(packed, (const unsigned char *)base64, (int)size) > 0);
    z_stream z = {.next_in = packed, .avail_in = (unsigned)size, .next_out = text, .avail_out = MOST};
    assert_int_equal(inflateInit2(&z, GZIP + MAX_WBITS), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    inflateEnd(&z);
    json_t *root = json_loadb((char *)text, z.total_out, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    free(packed);
    free(text);
    return root;
}

/* The JSON of the block that the page holds. */
static json_t *read_block(const evidence_task *task)
{
    char *text = NULL;
    size_t size;
    records all;
    assert_int_equal(records_read(&all, &task->held, &err), PAL_OK);
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(html_samples(out, &task->rep, &all, &err), PAL_OK);
    fclose(out);
    records_free(&all);
    char *from = strchr(text, '>') + 1, *end = strstr(from, "</script>");
    assert_non_null(end);
    assert_string_equal(end, "</script>\n"); /* nothing in it ends it sooner */
    json_t *root = unpack(from, (size_t)(end - from));
    free(text);
    return root;
}

static void add_with_record(lab_journal *j, const result_cell *cell, int64_t index, const char *generated)
{
    json_t *record = json_pack("{ss sI ss ss si}", "key", "12345", "needle_offset", (json_int_t)(100 + index),
                               "generated", generated, "same", "in all", "also", 7);
    char *text = json_dumps(record, JSON_COMPACT);
    result_sample sample = {.seconds = 1, .tokens = 10, .read = 10, .value = {0.4, 0, 0, 1.23456789}};
    assert_int_equal(results_add(&j->held, j->file, cell->key, index, &sample, text, &err), PAL_OK);
    json_decref(record);
    free(text);
}

static const json_t *field(const json_t *root, int64_t sample, const char *column)
{
    const json_t *names = json_object_get(root, "columns");
    const json_t *samples = json_object_get(json_array_get(json_object_get(root, "cells"), 0), "samples");
    for (size_t i = 0; i < json_array_size(names); i++)
        if (strcmp(json_string_value(json_array_get(names, i)), column) == 0)
            return json_array_get(json_array_get(samples, (size_t)sample), i + 1);
    return NULL;
}

static void test_samples(void **state)
{
    (void)state;
    char longer[400];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    memcpy(longer + 159, "\xe2\x82\xac", 3); /* a character across the cut */
    const char *const generated[] = {"</script><script>alert(1)</script>", "<!-- \\u003c", longer};
    lab_journal *j = lab_open(task_find("passkey"));
    const result_cell cell = lab_cell(j, "m", "len=1024,depth=0", 1024, 0, "seed=1", 3);
    lab_announce(j, &cell, 3);
    for (int i = 0; i < 3; i++) add_with_record(j, &cell, i, generated[i]);
    lab_close(j);
    evidence *e = read_evidence();
    json_t *root = read_block(part(e, "passkey"));
    assert_string_equal(json_string_value(field(root, 0, "generated")), generated[0]);
    assert_string_equal(json_string_value(field(root, 1, "generated")), generated[1]);
    const char *cut = json_string_value(field(root, 2, "generated"));
    assert_int_equal(strlen(cut), 159 + 3);
    assert_string_equal(cut + 159, "\xe2\x80\xa6");
    assert_int_equal(json_integer_value(field(root, 2, "needle_offset")), 102);
    assert_true(json_number_value(field(root, 0, "answer_nll")) == 1.23457);
    assert_null(field(root, 0, "same")); /* what all samples share tells none apart */
    assert_null(field(root, 0, "key"));
    const json_t *first = json_array_get(json_object_get(root, "cells"), 0);
    assert_int_equal(json_integer_value(json_object_get(first, "left")), 0);
    assert_string_equal(json_string_value(json_object_get(first, "show")),
                        "build/palimpsest show task=passkey tokenizer=t0 len=1K depths=0 seed=1 index=");
    json_decref(root);
    drop(e);
}

/* Where all samples would make the page too large, each cell has its first ones and counts the others. */
static void test_many_samples(void **state)
{
    (void)state;
    enum { SAMPLES = 9000 };
    char text[HASH_HEX];
    lab_journal *j = lab_open(task_find("passkey"));
    const result_cell cell = lab_cell(j, "m", "len=1024,depth=0", 1024, 0, "seed=1", SAMPLES);
    lab_close(j);
    /* In memory: the journal's writes are synced one by one. */
    char *lines = NULL, path[160];
    size_t bytes;
    snprintf(path, sizeof path, "%s/passkey-journal.jsonl", dir);
    results held;
    results_init(&held, task_find("passkey"), path);
    held.cell = calloc(1, sizeof *held.cell);
    held.count = held.capacity = 1;
    held.cell[0] = cell;
    held.cell[0].count = held.cell[0].capacity = SAMPLES;
    held.cell[0].sample = calloc(SAMPLES, sizeof *held.cell[0].sample);
    held.cell[0].asked = malloc(sizeof *held.cell[0].asked);
    held.cell[0].asked[0] = SAMPLES;
    held.cell[0].asked_count = 1;
    for (int64_t i = 0; i < SAMPLES; i++) held.cell[0].sample[i].index = i;
    sample_record *record = calloc(SAMPLES, sizeof *record);
    for (int64_t i = 0; i < SAMPLES; i++) {
        hash_hex(&i, sizeof i, text); /* nothing that packs well */
        record[i] = (sample_record){0, i, (size_t)i, json_pack("{ss}", "generated", text)};
    }
    records all = {.of = &held, .record = record, .count = SAMPLES, .capacity = SAMPLES};
    report rep;
    assert_int_equal(report_create(&rep, &held, &err), PAL_OK);
    FILE *out = open_memstream(&lines, &bytes);
    assert_int_equal(html_samples(out, &rep, &all, &err), PAL_OK);
    fclose(out);
    assert_true(bytes < 200 * 1024 && bytes > 10000);
    const char *from = strchr(lines, '>') + 1;
    json_t *root = unpack(from, (size_t)(strchr(from, '<') - from));
    const json_t *first = json_array_get(json_object_get(root, "cells"), 0);
    const json_int_t left = json_integer_value(json_object_get(first, "left"));
    assert_int_equal(left + (json_int_t)json_array_size(json_object_get(first, "samples")), SAMPLES);
    assert_true(left > 0 && left < SAMPLES - 100);
    json_decref(root);
    free(lines);
    report_free(&rep);
    records_free(&all);
    results_free(&held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_headline, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_documents, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_nothing, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_samples, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_many_samples, lab_make_dir, lab_remove_dir),
    };
    return cmocka_run_group_tests_name("page_parts", tests, NULL, NULL);
}

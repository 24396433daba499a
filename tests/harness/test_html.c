/* The page: tags that balance, tables that have rows, nothing that is loaded from elsewhere, nothing that a name
 * or a picture brings in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/eval/references.h"
#include "harness/eval/request.h"
#include "harness/page/lm_eval.h"
#include "harness/page/page.h"

#include <ctype.h>
#include <math.h>

#include "tests/lib/journal_lab.h"
#include "tests/lib/tiny_model.h"

/* ---- A reader of tags ---- */

typedef struct page {
    char open[64][16]; /* names of the elements that are open */
    size_t depth, tables, rows, figures, details;
    size_t table_rows[64]; /* of the open tables' bodies, by depth */
    char broken[200];      /* what is wrong with it first; "" */
} page;

static void broken(page *p, const char *what, const char *at)
{
    if (!p->broken[0]) snprintf(p->broken, sizeof p->broken, "%s: %.120s", what, at);
}

static int is(const char *name, const char *other)
{
    return strcmp(name, other) == 0;
}

static void open_tag(page *p, const char *name, const char *at)
{
    if (p->depth == 64) {
        broken(p, "too deep", at);
        return;
    }
    strcpy(p->open[p->depth], name);
    p->table_rows[p->depth] = 0;
    p->depth++;
    p->tables += is(name, "table");
    p->figures += is(name, "figure");
    p->details += is(name, "details");
    if (!is(name, "tr") || p->depth < 3 || !is(p->open[p->depth - 2], "tbody")) return;
    p->rows++;
    p->table_rows[p->depth - 3]++;
}

static void close_tag(page *p, const char *name, const char *at)
{
    if (p->depth == 0 || !is(p->open[p->depth - 1], name)) {
        broken(p, "a tag closes what is not open", at);
        return;
    }
    p->depth--;
    if (is(name, "table") && p->table_rows[p->depth] == 0) broken(p, "a table without rows", at);
}

/* Attributes that make a browser fetch something. */
static void check_loads(page *p, const char *tag, size_t size)
{
    static const char *const attribute[] = {" src=", " href=", "xlink:href=", " srcset=", " data=", " action="};
    for (size_t i = 0; i < sizeof attribute / sizeof *attribute; i++) {
        const char *at = memmem(tag, size, attribute[i], strlen(attribute[i]));
        if (at && at[strlen(attribute[i]) + 1] != '#') broken(p, "an address", tag);
    }
}

static int is_raw(const char *at, const char *tag)
{
    return strncmp(at, tag, strlen(tag)) == 0;
}

static page read_page(const char *text)
{
    page p = {.depth = 0};
    for (const char *at = text; (at = strchr(at, '<')); at++) {
        char name[16] = "";
        if (strncmp(at, "<!--", 4) == 0) {
            at = strstr(at, "-->");
            assert_non_null(at);
            continue;
        }
        if (at[1] == '!') continue;
        /* What stands in these is no markup. */
        if (is_raw(at, "<style>") || is_raw(at, "<script")) {
            const char *end = strstr(at, at[2] == 't' ? "</style>" : "</script>");
            assert_non_null(end);
            at = end;
            continue;
        }
        const size_t size = strcspn(at, ">");
        const int closes = at[1] == '/';
        const size_t length =
            strspn(at + 1 + closes, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ123456");
        if (at[size] != '>' || length == 0 || length >= sizeof name) {
            broken(&p, "not a tag", at);
            continue;
        }
        memcpy(name, at + 1 + closes, length);
        check_loads(&p, at, size);
        if (closes)
            close_tag(&p, name, at);
        else if (at[size - 1] != '/')
            open_tag(&p, name, at);
    }
    if (p.depth) broken(&p, "never closed", p.open[p.depth - 1]);
    return p;
}

/* How often a word occurs. */
static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word)) count++;
    return count;
}

/* Every place that is pointed to is there, once. */
static void check_places(page *p, const char *text)
{
    static const char *const pointer[] = {" href=\"#", " aria-labelledby=\"", " id=\""};
    for (size_t i = 0; i < sizeof pointer / sizeof *pointer; i++) {
        for (const char *at = text; (at = strstr(at, pointer[i]));) {
            char place[200];
            at += strlen(pointer[i]);
            snprintf(place, sizeof place, " id=\"%.*s\"", (int)strcspn(at, "\""), at);
            if (count_of(text, place) != 1) broken(p, "a place that is missing or not the only one", place);
        }
    }
}

/* The reader itself can fail. */
static void test_reader(void **state)
{
    (void)state;
    static const char *const bad[] = {"<p><b></p></b>",
                                      "<p>",
                                      "</p>",
                                      "<table><thead><tr><th>x</th></tr></thead><tbody></tbody></table>",
                                      "<img src=\"https://example.org/x.png\"/>",
                                      "<a href=\"http://example.org\">x</a>",
                                      "<use xlink:href='x.svg#a'/>"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!read_page(bad[i]).broken[0]) fail_msg("accepted: %s", bad[i]);
    static const char *const bad_places[] = {"<a href=\"#x\">x</a>", "<p id=\"x\"></p><p id=\"x\"></p>",
                                             "<table aria-labelledby=\"x\"></table>"};
    for (size_t i = 0; i < sizeof bad_places / sizeof *bad_places; i++) {
        page p = {0};
        check_places(&p, bad_places[i]);
        if (!p.broken[0]) fail_msg("accepted: %s", bad_places[i]);
    }
    const page good =
        read_page("<!DOCTYPE html><table><tbody><tr><td>1</td></tr><tr><td>2</td></tr></tbody></table>"
                  "<br/><a href=\"#x\">y</a>");
    assert_string_equal(good.broken, "");
    assert_int_equal(good.rows, 2);
}

/* ---- The page ---- */

static const char plot[] =
    "<?xml version=\"1.0\"?>\n<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" "
    "\"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd\">\n"
    "<svg width=\"9\" height=\"9\" xmlns=\"http://www.w3.org/2000/svg\">\n<title>Gnuplot</title>"
    "<defs><circle id='dot' r='1'/></defs>\n<use href='#dot'/><rect fill=\"url(#dot)\"/></svg>\n";

static void put_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(os_write_file(path, text, strlen(text), &err), PAL_OK);
}

/* A row that took no model, and one of the weights that are in the directory. */
static void add_special_rows(lab_journal *j)
{
    char path[128];
    st_file weights;
    result_cell cell = lab_cell(j, "xz -9e", "novels/test", 0, NAN, "split=test", 1);
    const double value[TASK_VALUES] = {300, 100, 50, 400, 300};
    strcpy(cell.request, "split=test docs=1");
    strcpy(cell.blas_core, REFERENCES_CORE);
    lab_describe(&cell);
    result_cell_identify(j->task, &cell);
    lab_announce(j, &cell, 1);
    lab_sample(j, &cell, 0, value, 0.01);

    snprintf(path, sizeof path, "%s/text-infini-linear.safetensors", dir);
    assert_int_equal(st_read(path, &weights, &err), PAL_OK);
    cell = lab_cell(j, "shipped", "books/test", 0, NAN, "split=test", 1);
    strcpy(cell.request, "split=test docs=1");
    memcpy(cell.weights, weights.digest, sizeof cell.weights);
    st_free(&weights);
    result_cell_identify(j->task, &cell);
    lab_announce(j, &cell, 1);
    lab_sample(j, &cell, 0, value, 0.01);
}

static void save_weights(void)
{
    decoder *d = tiny_model("attention = infini-linear\nvocab = 11\nd_model = 8\nn_layers = 1\nn_heads = 1\n"
                            "d_head = 8\nd_ff = 12\nsegment = 16\n",
                            1);
    char path[128];
    for (int copy = 0; copy < 2; copy++) { /* the same bytes twice */
        snprintf(path, sizeof path, "%s/text-infini-linear%s.safetensors", dir, copy ? "-copy" : "");
        assert_int_equal(checkpoint_save(path, d, NULL, ST_F32, NULL, &err), PAL_OK);
    }
    decoder_destroy(d);
}

static void fill(void)
{
    const double low[] = {2, 2.1, 2.2}, high[] = {2.3, 2.4, 2.5};
    save_weights();
    lab_journal *j = lab_open(task_find("passkey"));
    lab_passkey(j, "passkey-infini-<b>&\"delta", 32768, 0, "seed=1", 19, 20);
    lab_passkey(j, "text-local", 32768, 0, "seed=1", 0, 20);
    lab_close(j);
    j = lab_open(task_find("perplexity"));
    lab_perplexity(j, "text-infini-linear", "novels/test", "split=test", 1000, low, 3);
    lab_perplexity(j, "text-transformer-xl", "novels/test", "split=test memory=zeroed", 64000, high, 3);
    add_special_rows(j);
    lab_close(j);
    put_file("a.svg", plot);
    put_file("passkey-accuracy.svg", plot);
    put_file("perplexity-state-x<y.svg", plot);
    put_file("passkey-heatmap-named.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1000\" height=\"9\">"
                                          "<title>Its &lt;own&gt; title?</title><desc>And words.</desc></svg>");
    put_file("runs.svg",
             "<svg xmlns=\"http://www.w3.org/2000/svg\"\nonload=\"stolen()\" width=\"9\" height=\"9\"/>");
    put_file("claims.conf", "[sizes]\nsource = s <1>\nclaim = c & c\ndiffers = d\nrule = formula\nmodel = infini\n"
                            "against = memorizing\nvalue = 114\ntolerance = 0.01\n");
}

static void run(const char *weights)
{
    html_options o;
    snprintf(o.results, sizeof o.results, "%s", dir);
    snprintf(o.out, sizeof o.out, "%s/report.html", dir);
    snprintf(o.json, sizeof o.json, "%s/results.json", dir);
    snprintf(o.claims, sizeof o.claims, "%s/claims.conf", dir);
    snprintf(o.weights, sizeof o.weights, "%s", weights);
    snprintf(o.lm_eval, sizeof o.lm_eval, "%s/lm-eval", dir);
    strcpy(o.date, LM_EVAL_DATE);
    char path[128];
    snprintf(path, sizeof path, "%s/log", dir);
    FILE *log = fopen(path, "w");
    assert_non_null(log);
    if (html_run(&o, task_table, log, &err) != PAL_OK) fail_msg("%s", err.text);
    fclose(log);
}

/* What the page says of how a cell is made again can be asked for. Left out are names of models that HTML writes
 * in another way. */
static void check_commands(const char *text)
{
    static const char begin[] = "<code>build/palimpsest eval ";
    size_t checked = 0;
    for (const char *at = text; (at = strstr(at, begin));) {
        char line[1024], *word[64], *rest = line;
        int words = 0;
        at += strlen(begin);
        snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "<"), at);
        if (strchr(line, '&')) continue;
        for (char *next; words < 64 && (next = strsep(&rest, " "));) word[words++] = next;
        eval_request r;
        if (eval_request_read(&r, words, word, 0, &err) != PAL_OK) fail_msg("%s", err.text);
        eval_request_free(&r);
        checked++;
    }
    assert_int_equal(checked, 5);
}

static void test_page(void **state)
{
    (void)state;
    fill();
    run(dir);
    char *text = lab_slurp("report.html");
    page p = read_page(text);
    check_places(&p, text);
    if (p.broken[0]) fail_msg("%s", p.broken);
    assert_true(p.tables >= 7); /* tables 1 to 3, runs, two lists of cells */
    assert_int_equal(count_of(text, "<div class=\"wide\"><table class=\"data\" aria-labelledby="), p.tables);
    assert_int_equal(p.figures, 4);
    assert_int_equal(count_of(text, "<svg role=\"img\" aria-label=\""), p.figures);
    assert_int_equal(count_of(text, "<figcaption><b>Figure "), p.figures);
    assert_true(p.details >= 5); /* evidence, two lists of cells, two configs */
    static const char *const words[] = {
        "prefers-color-scheme: dark",
        "<nav aria-label=\"Contents\">",
        "<li><a href=\"#table1-shipped\">",
        "<li><a href=\"#cells-perplexity\">perplexity</a></li>",
        "passkey-infini-&lt;b&gt;&amp;&quot;delta",
        "<span class=\"yes\">reproduced</span>",
        "c &amp; c",
        "Source: s &lt;1&gt;",
        "build/palimpsest eval task=passkey model=text-local seed=1 n=20",
        "build/palimpsest eval task=perplexity model=text-transformer-xl split=test memory=zeroed docs=3",
        "build/palimpsest eval task=perplexity references=1 split=test docs=1",
        "</code> <small>Core, 2 threads, 4 side by side</small>",
        "</code> <small>no model, 2 threads",
        "<th scope=\"col\" class=\"n\">32K <small>n=20</small></th>",
        "95.0 <small>[75.1, 99.9]</small>",
        "attention = infini-linear",
        "id=\"f1-dot\"",
        "href=\"#f2-dot\"",
        "url(#f2-dot)",
        "<figure id=\"figure-1\" class=\"foreign\">",
        "<code>a.svg</code></figcaption>",
        "<svg role=\"img\" aria-label=\"a.svg\"",
        "<svg role=\"img\" aria-label=\"Its &lt;own&gt; title?\"",
        " Its &lt;own&gt; title?</b> And words. <code>passkey-heatmap-named.svg</code></figcaption>",
        "default-src 'none'; script-src 'sha256-",
        "perplexity-state-x&lt;y.svg",
        "<footer>Made by Palimpsest v",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) lab_check_has(text, words[i]);
    /* Weights that are there are linked to; the page's other weights are not. */
    assert_int_equal(count_of(text, " id=\"weights-"), 1);
    assert_int_equal(count_of(text, "<a href=\"#weights-"), 1);
    check_commands(text);
    lab_check_lacks(text, "stolen");
    assert_int_equal(count_of(text, "<script>"), 1);
    lab_check_lacks(text, "<link");
    lab_check_lacks(text, "@import");
    lab_check_lacks(text, "DTD");
    char *log = lab_slurp("log");
    lab_check_has(log, "runs.svg: line 1: attribute onload");
    free(log);

    run(dir);
    char *again = lab_slurp("report.html");
    assert_string_equal(text, again);
    free(again);
    free(text);
}

/* Thousands apart; a value over its interval; nothing where there is no value. */
static void test_fields(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    html_count(out, 7);
    html_count(out, 123);
    html_count(out, 1234);
    html_count(out, 1234567);
    html_value(out, "1.5 [1.0, 2.0]");
    html_value(out, "1.5");
    html_value(out, "-");
    fclose(out);
    assert_string_equal(text, "<td class=\"n\">7</td><td class=\"n\">123</td><td class=\"n\">1,234</td>"
                              "<td class=\"n\">1,234,567</td><td class=\"n\">1.5 <small>[1.0, 2.0]</small></td>"
                              "<td class=\"n\">1.5</td><td class=\"n\"></td>");
    free(text);
}

/* Without journals, weights, plots or claims there is still a page. */
static void test_empty(void **state)
{
    (void)state;
    run("/nonexistent");
    char *text = lab_slurp("report.html");
    page p = read_page(text);
    check_places(&p, text);
    if (p.broken[0]) fail_msg("%s", p.broken);
    assert_int_equal(p.figures, 0);
    lab_check_has(text, "Complete cells: none");
    lab_check_has(text, "There are no weights here");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reader),
        cmocka_unit_test(test_fields),
        cmocka_unit_test_setup_teardown(test_page, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_empty, lab_make_dir, lab_remove_dir),
    };
    return cmocka_run_group_tests_name("html", tests, NULL, NULL);
}

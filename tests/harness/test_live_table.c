/* The table of a running evaluation: its rows, their order, its width, its forms, and samples that are not finite.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/os.h"
#include "harness/report/live_table.h"
#include "tests/lib/tiny_model.h"

#include <math.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static char dir[] = "/tmp/palimpsest-live-XXXXXX";
static pal_error err;

static const char *path_of(const char *name)
{
    static char path[4][160];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[0], "%s/%s", dir, name);
    return path[next];
}

/* A model of bytes whose weights are `scale` times what they begin with. */
static int save_model(const char *name, const char *attention, real scale)
{
    char text[256];
    snprintf(text, sizeof text,
             "attention = %s\nvocab = 256\nd_model = 16\nn_layers = 2\nn_heads = 1\nd_head = 16\nd_ff = 16\n"
             "segment = 32\n",
             attention);
    decoder *d = tiny_model(text, 1);
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        real *weight = decoder_weights(d) + p->offset;
        for (size_t k = 0; k < decoder_param_elements(p); k++) weight[k] *= scale;
    }
    return tiny_model_save(path_of(name), d, NULL, &err);
}

static int setup(void **state)
{
    (void)state;
    return !mkdtemp(dir) || os_make_dirs(path_of("w"), &err) ||
           save_model("w/good.safetensors", "infini-linear", 1) || save_model("w/near.safetensors", "local", 1) ||
           save_model("huge.safetensors", "infini-linear", 1e13F);
}

static int teardown(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

/* Run with the words up to NULL; what it prints goes to `out`. */
static int run(FILE *out, FILE *log, const char *const *more)
{
    char into[200], weights[200];
    snprintf(into, sizeof into, "results=%s", path_of("results"));
    snprintf(weights, sizeof weights, "weights=%s", path_of("w"));
    char *words[24] = {"task=passkey", "tokenizer=bytes", "len=1K", "n=2", "seed=3", into, weights};
    int count = 7;
    for (; *more; more++) words[count++] = (char *)*more;
    eval_request r;
    int code = eval_request_read(&r, count, words, 1, &err);
    if (code != PAL_OK) return code;
    code = live_table_run(&r, NULL, out, log, &err);
    eval_request_free(&r);
    return code;
}

static char *printed(int expected, const char *const *more, char **log)
{
    char *text = NULL, *aside = NULL;
    size_t size = 0, aside_size = 0;
    FILE *out = open_memstream(&text, &size), *to = open_memstream(&aside, &aside_size);
    const int code = run(out, to, more);
    fclose(out);
    fclose(to);
    if (code != expected) fail_msg("%d: %s\n%s%s", code, err.text, text, aside);
    if (log)
        *log = aside;
    else
        free(aside);
    return text;
}

#define PRINTED(code, ...) printed(code, (const char *const[]){__VA_ARGS__, NULL}, NULL)

static void check_has(const char *text, const char *word)
{
    if (!strstr(text, word)) fail_msg("without \"%s\":\n%s", word, text);
}

/* The model that takes less work comes first, its cells in the request's order, whichever sample ends first. */
static void test_order(void **state)
{
    (void)state;
    char *text = PRINTED(PAL_OK, "model=good,near", "depths=0,50,100");
    const char *at = text;
    static const char *const rows[] = {"\nnear   1K         0%     2  ", "\nnear   1K        50%     2  ",
                                       "\nnear   1K       100%     2  ", "\ngood   1K         0%     2  ",
                                       "\ngood   1K        50%     2  ", "\ngood   1K       100%     2  "};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        at = strstr(at, rows[i]);
        if (!at) fail_msg("%s is not in its place:\n%s", rows[i], text);
    }
    check_has(text, "seconds  computed  tokens/s");
    check_has(text, "where no work was shared");
    free(text);
}

/* Programs get rows alone, numbers whole, and a speed only where nothing was shared. */
static void test_forms(void **state)
{
    (void)state;
    char *log = NULL;
    char *text = printed(PAL_OK, (const char *const[]){"model=good", "depths=0", "format=csv", NULL}, &log);
    assert_memory_equal(text, "model,length,depth,n,token_accuracy,token_accuracy_lo,token_accuracy_hi,", 71);
    check_has(text, "\ngood,1024,0,2,");
    check_has(text, ",\"len=1024,depth=0\",,kept,infini-linear,,model,");
    check_has(log, "passkey: models 1");
    check_has(log, "wrote ");
    assert_null(strstr(text, "wrote "));
    free(text);
    free(log);
    text = PRINTED(PAL_OK, "model=good", "depths=0", "format=jsonl");
    check_has(text, "{\"model\": \"good\", \"length\": 1024, \"depth\": 0, \"n\": 2, ");
    check_has(text, "\"tokens_per_s_unshared\": null");
    free(text);
    text = PRINTED(PAL_OK, "model=good", "depths=25", "format=jsonl", "share=0");
    check_has(text, "\"tokens_computed\": 2048, \"tokens_per_s_unshared\": ");
    assert_null(strstr(text, "\"tokens_per_s_unshared\": null"));
    free(text);
    text = PRINTED(PAL_OK, "model=good", "depths=0", "format=md");
    check_has(text, "| model | length | depth | n |");
    free(text);
}

/* On a terminal no row is wider than it, and what is left out is counted. */
static void test_width(void **state)
{
    (void)state;
    for (unsigned short width = 80; width <= 160; width += 40) {
        int host, guest;
        char text[8192];
        struct winsize size = {.ws_row = 24, .ws_col = width};
        assert_int_equal(openpty(&host, &guest, NULL, NULL, &size), 0);
        FILE *out = fdopen(guest, "w"), *log = fopen("/dev/null", "w");
        assert_non_null(out);
        assert_non_null(log);
        assert_int_equal(run(out, log, (const char *const[]){"model=good,near", "depths=0", NULL}), PAL_OK);
        fflush(out);
        const ssize_t got = read(host, text, sizeof text - 1);
        assert_true(got > 0);
        text[got] = '\0';
        fclose(out);
        fclose(log);
        close(host);
        check_has(text, "token_accuracy");
        check_has(text, "seconds");
        assert_int_equal(strstr(text, "answer_nll") != NULL, width == 160);
        assert_int_equal(strstr(text, "do not fit") != NULL, width < 160);
        for (char *line = strtok(text, "\r\n"); line; line = strtok(NULL, "\r\n"))
            if (strncmp(line, "wrote", 5) != 0 && strncmp(line, "passkey:", 8) != 0 && strlen(line) > width)
                fail_msg("wider than %d: %s", width, line);
    }
}

/* A model whose activations overflow has no score: exit code 1, a null in the journal, a dash in the tables. */
static void test_not_finite(void **state)
{
    (void)state;
    char model[200];
    snprintf(model, sizeof model, "model=%s", path_of("huge.safetensors"));
    for (int again = 0; again <= 1; again++) { /* a resumed run says it again */
        char *text = PRINTED(PAL_GATE, model, "depths=0", "checkpoint=0");
        check_has(text, "huge   1K         0%     2  2 not finite  ");
        check_has(text, "2 of the 2 samples of this cell are not finite");
        check_has(err.text, "2 of 2 samples are not finite");
        free(text);
    }
    char *records = NULL;
    size_t size;
    assert_int_equal(os_read_file(path_of("results/passkey-journal.jsonl"), &records, &size, &err), PAL_OK);
    check_has(records, "\"values\":{\"token_accuracy\":null,\"exact_match\":null,");
    check_has(records, "\"not_finite\":true");
    free(records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_width),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* Comparison from files to exit codes, with names of any kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/os.h"
#include "harness/command/commands.h"
#include "harness/gate/compare.h"
#include "harness/report/report.h"
#include "tests/lib/compare_lab.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[64];
static pal_error err;

static const char *path_of(const char *name)
{
    static char path[4][128];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[0], "%s/%s", dir, name);
    return path[next];
}

/* A cell with n samples of the same value. */
static void add_cell(results *r, journal *j, const task_module *task, result_cell cell, int64_t n, double value)
{
    result_cell_identify(task, &cell);
    assert_int_equal(results_announce(r, j, &cell, n, &err), PAL_OK);
    for (int64_t i = 0; i < n; i++) {
        result_sample sample = {.seconds = 1};
        for (size_t v = 0; v < task->value_count; v++) sample.value[v] = value;
        assert_int_equal(results_add(r, j, cell.key, i, &sample, "{}", &err), PAL_OK);
    }
}

/* <name>/<task>-journal.jsonl with one cell of n samples whose values are all `value`. */
static void write_cell(const char *name, const char *cell_name, int64_t n, double value)
{
    const task_module *task = task_table[0];
    char file[200];
    snprintf(file, sizeof file, "%s/%s-journal.jsonl", path_of(name), task->name);
    results r;
    journal *j;
    size_t cut;
    results_init(&r, task, file);
    assert_int_equal(journal_open(&j, file, results_visit, &r, &cut, &err), PAL_OK);
    add_cell(&r, j, task, lab_run_cell("m", name, cell_name), n, value);
    journal_close(j);
    results_free(&r);
}

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/palimpsest-compare-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    write_cell("good", "x", 30, 1);
    write_cell("bad", "x", 30, 0);
    write_cell("other", "y", 30, 1);
    return os_make_dirs(path_of("empty"), &err);
}

static int remove_dir(void **state)
{
    (void)state;
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s", dir);
    return system(line);
}

static int run(const char *a, const char *b, const char *task)
{
    compare_options o = {.alpha = 0.05, .margin = 0.5, .points = 5};
    strcpy(o.a, path_of(a));
    strcpy(o.b, path_of(b));
    strcpy(o.task, task);
    FILE *quiet = fopen("/dev/null", "w");
    err.text[0] = '\0';
    const int code = compare_run(&o, quiet, &err);
    fclose(quiet);
    return code;
}

static void test_run(void **state)
{
    (void)state;
    char file[64];
    snprintf(file, sizeof file, "bad/%s-journal.jsonl", task_table[0]->name);
    assert_int_equal(run("good", "good", ""), PAL_OK);
    assert_int_equal(run("good", "bad", ""), PAL_GATE);
    assert_non_null(strstr(err.text, "significantly worse"));
    assert_int_equal(run("good", file, task_table[0]->name), PAL_GATE);
    assert_int_equal(run(file, file, ""), PAL_OK);
    assert_int_equal(run("good", "other", ""), PAL_UNSURE);
    assert_non_null(strstr(err.text, "1 only in A, 1 only in B"));
    assert_int_equal(run("good", "empty", ""), PAL_USAGE);
    assert_non_null(strstr(err.text, "no journal of the same task"));
    assert_int_equal(run("good", "nowhere", ""), PAL_USAGE);
    assert_non_null(strstr(err.text, "nowhere"));
    assert_int_equal(run("good", "bad", "nope"), PAL_USAGE);
    assert_int_equal(os_write_file(path_of("words"), "words\n", 6, &err), PAL_OK);
    assert_int_equal(run("good", "words", ""), PAL_DATA);
    assert_non_null(strstr(err.text, "words"));
}

/* ---- Names of any kind ---- */

static const char *const hostile[] = {
    "run 7 (best)", "it's", "a\"b", "$(touch x)", "`touch x`", "a;b", "a\nb",     "a,b",
    "a|b",          "a&b",  "=1+1", "-rf",        "<b>",       "k=v", "m@a24551", "a b, memory zeroed"};
enum { HOSTILE = sizeof hostile / sizeof *hostile };

/* Each name with two weights, the first of them with a control, in a directory whose name is no better. */
static const char hostile_dir[] = "two 'dirs'; $(touch x)";

static void write_hostile(results *r)
{
    const task_module *task = task_table[0];
    char file[300], digest[2][HASH_HEX];
    journal *j;
    size_t cut;
    snprintf(file, sizeof file, "%s/%s-journal.jsonl", path_of(hostile_dir), task->name);
    results_init(r, task, file);
    assert_int_equal(journal_open(&j, file, results_visit, r, &cut, &err), PAL_OK);
    for (size_t i = 0; i < HOSTILE; i++) {
        char text[96];
        for (int w = 0; w < 2; w++) hash_hex(text, (size_t)sprintf(text, "%s %d", hostile[i], w), digest[w]);
        for (int w = 0; w < 2; w++) add_cell(r, j, task, lab_run_cell(hostile[i], digest[w], "x"), 2, w);
        result_cell control = lab_run_cell(hostile[i], digest[0], "x");
        strcpy(control.settings, "seed=1 memory=zeroed");
        control.memory = RESULT_ZEROED;
        add_cell(r, j, task, control, 2, 0);
    }
    journal_close(j);
}

/* The command with these words, its table thrown away. */
static int compare_words(int count, char **words)
{
    fflush(stdout);
    const int kept = dup(1), quiet = open("/dev/null", O_WRONLY);
    dup2(quiet, 1);
    const int code = command_run(&compare_command, count, words, &err);
    fflush(stdout);
    dup2(kept, 1);
    close(kept);
    close(quiet);
    return code;
}

/* What the message offers, "choose with KEY=NAME@HASH or KEY=NAME@HASH", is what a shell makes of it. */
static void check_choices(const char *model)
{
    char script[2 * sizeof err.text], got[KV_TEXT_MAX] = "";
    const char *offer = strstr(err.text, "choose with ");
    assert_non_null(offer);
    if (strchr(model, '\n')) return; /* a message is one line */
    snprintf(script, sizeof script, "set -- %s\nprintf %%s \"$1\"\n", offer + strlen("choose with "));
    assert_int_equal(os_write_file(path_of("offer.sh"), script, strlen(script), &err), PAL_OK);
    snprintf(script, sizeof script, "cd '%s' && sh offer.sh", dir);
    FILE *in = popen(script, "r");
    got[fread(got, 1, sizeof got - 1, in)] = '\0';
    assert_int_equal(pclose(in), 0);
    static const char key[] = "model_b=";
    const size_t size = strlen(model);
    if (strncmp(got, key, strlen(key)) != 0 || strncmp(got + strlen(key), model, size) != 0 ||
        got[strlen(key) + size] != '@')
        fail_msg("%s, not model_b=%s@", got, model);
}

/* Every label that a table prints names a run, and one alone. */
static void test_labels(void **state)
{
    (void)state;
    results r;
    report rep;
    write_hostile(&r);
    assert_int_equal(report_create(&rep, &r, &err), PAL_OK);
    assert_int_equal(rep.count, 3 * HOSTILE);
    for (size_t i = 0; i < rep.count; i++) {
        char a[160], b[160], model_a[REPORT_LABEL + 16], *words[] = {a, b, model_a};
        snprintf(a, sizeof a, "a=%s", path_of(hostile_dir));
        snprintf(b, sizeof b, "b=%s", path_of(hostile_dir));
        snprintf(model_a, sizeof model_a, "model_a=%s", rep.row[i].label);
        comparison c = {.alpha = 0.05};
        assert_int_equal(compare_add(&c, &r, &r, (compare_models){rep.row[i].label, rep.row[i].label}, &err),
                         PAL_OK);
        if (c.count == 0 || strcmp(c.row[0].model_a, rep.row[i].cell->model) != 0)
            fail_msg("%s: no comparison, or another model's", rep.row[i].label);
        compare_free(&c);
        const int code = compare_words(3, words); /* the other side holds several runs of the name */
        if (code == PAL_OK) continue;
        assert_int_equal(code, PAL_USAGE);
        check_choices(rep.row[i].cell->model);
    }
    report_free(&rep);
    results_free(&r);
    assert_false(os_file_exists(path_of("x")));
}

/* Samples that differ, but so few that no test could call it significant, are no "not worse". */
static void test_unsure(void **state)
{
    (void)state;
    write_cell("few-good", "x", 2, 1);
    write_cell("few-bad", "x", 2, 0);
    assert_int_equal(run("few-good", "few-bad", ""), PAL_UNSURE);
    assert_non_null(strstr(err.text, "cannot tell"));
    assert_non_null(strstr(err.text, "evaluate about "));
    assert_int_equal(run("few-good", "few-good", ""), PAL_OK);
}

static void test_words(void **state)
{
    (void)state;
    char *three[] = {"one", "two", "three"}, *unknown[] = {"one", "two", "modle_a=m"}, *one[] = {"a=/tmp"};
    char *level[] = {"alpha=0", "/tmp", "/tmp"};
    assert_int_equal(command_run(&compare_command, 3, three, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "three"));
    assert_int_equal(command_run(&compare_command, 3, unknown, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "modle_a"));
    assert_int_equal(command_run(&compare_command, 1, one, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "b is missing"));
    assert_int_equal(command_run(&compare_command, 3, level, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "alpha"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_unsure),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_labels),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

/* Pictures: hostile names of models, texts, folders and logs are all drawn and nothing is run; what the tables for
 * gnuplot hold; which rows a picture takes; colours by attention module whatever the file is called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/csv.h"
#include "harness/base/process.h"
#include "harness/plots/plots.h"
#include "tests/lib/journal_lab.h"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>

/* Each would leave the file $PWN behind if a shell, gnuplot or make read it as program text. */
static const char *const hostile[] = {"two words (best)",
                                      "it's;touch $PWN;'",
                                      "say \"x\";touch $PWN;\"",
                                      "$(touch $PWN)",
                                      "`touch $PWN`",
                                      "a;touch $PWN",
                                      "two\nlines",
                                      "a, b, \"c, d\"",
                                      "|touch $PWN",
                                      "&touch $PWN&",
                                      "lr=1",
                                      "-e touch",
                                      "<touch $PWN",
                                      "@x ^{b}_1&{y}\\n%s#9"};
enum { HOSTILE = sizeof hostile / sizeof *hostile };

static char home[64], scripts[PATH_MAX], pwned[128], started[PATH_MAX];

static int set_up(void **state)
{
    assert_non_null(realpath("plots", scripts));
    assert_non_null(getcwd(started, sizeof started));
    assert_int_equal(lab_make_dir(state), 0);
    strcpy(home, dir);
    snprintf(pwned, sizeof pwned, "%s/pwned", home);
    setenv("PWN", pwned, 1);
    return chdir(home);
}

static int tear_down(void **state)
{
    strcpy(dir, home);
    return chdir(started) | lab_remove_dir(state);
}

static int no_gnuplot(void)
{
    static const char *const word[] = {"gnuplot", "--version", NULL};
    char said[64];
    int status;
    return process_run(word, NULL, &status, said, sizeof said, &err) != PAL_OK || status != 0;
}

/* What the run said on its log; the caller frees it. */
static char *draw(const char *folder, const char *keep)
{
    static const task_module *none_but[] = {NULL, NULL, NULL, NULL};
    plots_options o = {.weights = "no-such-folder"};
    char *text = NULL;
    size_t size = 0, count = 0;
    static const char *const names[] = {"passkey", "perplexity", "booksum"};
    for (size_t i = 0; i < 3; i++) none_but[count++] = task_find(names[i]);
    snprintf(o.results, sizeof o.results, "%s", folder);
    snprintf(o.scripts, sizeof o.scripts, "%.*s", (int)sizeof o.scripts - 1, scripts);
    snprintf(o.keep, sizeof o.keep, "%s", keep);
    FILE *log = open_memstream(&text, &size);
    if (plots_run(&o, none_but, log, &err) != PAL_OK) fail_msg("%s: %s", folder, err.text);
    fclose(log);
    if (strstr(text, "no plots")) fail_msg("%s", text);
    return text;
}

static void write_file(const char *path, const char *text)
{
    if (os_write_file(path, text, strlen(text), &err) != PAL_OK) fail_msg("%s", err.text);
}

static void check_picture(const char *folder, const char *name)
{
    static const char *const kind[] = {"svg", "png"};
    for (int k = 0; k < 2; k++) {
        char path[512];
        struct stat found;
        snprintf(path, sizeof path, "%s/%s.%s", folder, name, kind[k]);
        if (stat(path, &found) != 0 || found.st_size == 0) fail_msg("no picture %s", path);
    }
}

/* As a picture shows a name: gnuplot's fields cannot hold a double quote, and XML no '<'. */
static void check_shown(const char *svg, const char *name)
{
    char *shown = NULL, plain[300] = "";
    size_t size = 0, used = 0;
    FILE *out = open_memstream(&shown, &size);
    text_plot(out, name);
    fclose(out);
    for (const char *c = shown + 1; c[1]; c++) {
        if (*c == '\\') c++; /* gnuplot reads the escape */
        static const char *const entity[] = {"<&lt;", ">&gt;", "&&amp;"};
        const char *put = NULL;
        for (int i = 0; i < 3; i++)
            if (*c == entity[i][0]) put = entity[i] + 1;
        /* gnuplot leaves '>' as it is, which XML allows */
        used += (size_t)snprintf(plain + used, sizeof plain - used, put && *c != '>' ? "%s" : "%.1s",
                                 put && *c != '>' ? put : c);
    }
    if (!strstr(svg, plain)) fail_msg("no name \"%s\" in the picture", plain);
    free(shown);
}

static char *read_picture(const char *folder, const char *name)
{
    char path[512], *svg = NULL;
    size_t size;
    snprintf(path, sizeof path, "%s/%s.svg", folder, name);
    assert_int_equal(os_read_file(path, &svg, &size, &err), PAL_OK);
    return svg;
}

static void test_hostile_names(void **state)
{
    (void)state;
    if (no_gnuplot()) skip();
    snprintf(dir, sizeof dir, "all");
    assert_int_equal(mkdir("all", 0777), 0);
    assert_int_equal(mkdir("all/training", 0777), 0);
    lab_journal *passkey = lab_open(task_find("passkey"));
    for (int i = 0; i < HOSTILE; i++)
        for (int depth = 0; depth <= 100; depth += 50)
            for (int length = 1024; length <= 4096; length *= 2)
                lab_passkey(passkey, hostile[i], length, depth, "seed=1", i, 20);
    lab_close(passkey);
    static const double nll[] = {4.0, 4.1, 4.2, 4.3};
    lab_journal *perplexity = lab_open(task_find("perplexity"));
    for (int i = 0; i < HOSTILE; i++)
        lab_perplexity(perplexity, hostile[i], hostile[i], "split=test", 4096, nll, 4);
    lab_close(perplexity);
    for (int i = 0; i < HOSTILE; i++) {
        char path[200];
        snprintf(path, sizeof path, "all/training/%s.csv", hostile[i]);
        write_file(path, "step,length,tokens,loss\n1,1,1000000,5\n2,1,2000000,4\n3,1,3000000,3\n4,1,4000000,2\n5,"
                         "1,5000000,1\n");
        snprintf(path, sizeof path, "all/training/%s-gates.csv", hostile[i]);
        write_file(path, "step,gate,head,open\n5,layers.0.dec_attn.gate,0,0.5\n5,layers.1.dec_attn.gate,0,0.25\n");
    }
    FILE *imprint = fopen("all/passkey-imprint.csv", "w");
    fputs("model,weights_sha256,length,depth,segments,layer,part,n,norm,difference,lo,hi\n", imprint);
    for (int i = 0; i < HOSTILE; i++) {
        for (int segments = 1; segments <= 10; segments *= 10) {
            text_csv(imprint, hostile[i]);
            fprintf(imprint, ",%d,512,0,%d,0,M,3,2962,0.7,0.6,0.8\n", i, segments);
            text_csv(imprint, hostile[i]);
            fprintf(imprint, ",%d,512,0,%d,0,z,3,2962,0.7,0.6,0.8\n", i, segments);
        }
    }
    fclose(imprint);

    free(draw("all", ""));

    assert_int_equal(access(pwned, F_OK), -1);
    static const char *const pictures[] = {"passkey-accuracy", "passkey-heatmap",     "passkey-writes",
                                           "passkey-cost",     "passkey-imprint",     "training-loss-other",
                                           "passkey-state",    "training-gates-other"};
    for (size_t p = 0; p < sizeof pictures / sizeof *pictures; p++) {
        check_picture("all", pictures[p]);
        char *svg = read_picture("all", pictures[p]);
        for (int i = 0; i < HOSTILE; i++) check_shown(svg, hostile[i]);
        free(svg);
    }
    for (int i = 0; i < HOSTILE; i++) {
        char name[200], id[TEXT_ID];
        snprintf(name, sizeof name, "perplexity-state-%s", text_id(hostile[i], id));
        check_picture("all", name);
    }
}

static void test_hostile_folders(void **state)
{
    (void)state;
    if (no_gnuplot()) skip();
    for (int i = 0; i < HOSTILE; i++) {
        char path[200];
        assert_int_equal(mkdir(hostile[i], 0777), 0);
        snprintf(dir, sizeof dir, "%s", hostile[i]);
        lab_journal *passkey = lab_open(task_find("passkey"));
        lab_passkey(passkey, "passkey-local", 1024, 0, "seed=1", 3, 20);
        lab_close(passkey);
        snprintf(path, sizeof path, "%s/kept \"tables\"", hostile[i]);
        free(draw(hostile[i], path));
        check_picture(hostile[i], "passkey-accuracy");
        check_picture(hostile[i], "passkey-heatmap");
        assert_int_equal(access(pwned, F_OK), -1);
    }
    /* Nothing is left in the folder for temporary files. */
    assert_int_equal(mkdir("<tmp $(touch $PWN)", 0777), 0);
    setenv("TMPDIR", "<tmp $(touch $PWN)", 1);
    free(draw(hostile[0], ""));
    unsetenv("TMPDIR");
    assert_int_equal(rmdir("<tmp $(touch $PWN)"), 0);
    assert_int_equal(access(pwned, F_OK), -1);
}

/* ---- What is drawn ---- */

static csv_table read_tsv(const char *path)
{
    csv_table t;
    char *text;
    size_t size;
    assert_int_equal(os_read_file(path, &text, &size, &err), PAL_OK);
    for (char *c = text; *c; c++) *c = *c == '\t' ? ',' : *c;
    write_file("table.csv", text);
    free(text);
    assert_int_equal(csv_read(&t, "table.csv", &err), PAL_OK);
    return t;
}

static const char *field(const csv_table *t, size_t row, const char *column)
{
    const size_t c = csv_column(t, column);
    assert_true(c < t->columns && row < t->rows);
    return csv_text(t, row, c);
}

static void lab_shared(lab_journal *j, const char *model, int64_t length, int shared)
{
    char name[64];
    snprintf(name, sizeof name, "len=%d,depth=0", (int)length);
    const result_cell cell = lab_cell(j, model, name, length, 0, "seed=1", 2);
    lab_announce(j, &cell, 2);
    for (int64_t i = 0; i < 2; i++) {
        const double value[TASK_VALUES] = {1, 1, 1, 0};
        result_sample sample = {.seconds = 0.5,
                                .tokens = length,
                                .read = (double)(shared ? length / 2 : length),
                                .threads = 1,
                                .batch = 1,
                                .peak_rss = 64 << 20};
        for (size_t v = 0; v < j->task->value_count; v++) sample.value[v] = value[v];
        assert_int_equal(results_add(&j->held, j->file, cell.key, i, &sample, "{}", &err), PAL_OK);
    }
}

/* The colour follows the attention module, whatever the file's name; rows of another run, controls and variants
 * stay out. */
static void test_what_is_drawn(void **state)
{
    (void)state;
    if (no_gnuplot()) skip();
    snprintf(dir, sizeof dir, "drawn");
    assert_int_equal(mkdir("drawn", 0777), 0);
    lab_journal *j = lab_open(task_find("passkey"));
    result_cell mine = lab_cell(j, "mine", "len=1024,depth=0", 1024, 0, "seed=1", 2);
    mine.facts = lab_facts("passkey-infini-delta");
    lab_announce(j, &mine, 2);
    const double value[TASK_VALUES] = {1, 1, 1, 0};
    for (int i = 0; i < 2; i++) lab_sample(j, &mine, i, value, 1);
    lab_passkey(j, "text-local", 1024, 0, "seed=1", 1, 4);
    lab_passkey(j, "passkey-infini-linear", 1024, 0, "seed=1", 1, 4);
    lab_passkey(j, "passkey-infini-linear", 1024, 0, "seed=1 memory=zeroed", 1, 4);
    lab_passkey(j, "passkey-infini-linear", 1048576, 100, "seed=1", 1, 4);
    lab_close(j);
    free(draw("drawn", "drawn/keep"));

    csv_table looks = read_tsv("drawn/keep/passkey_accuracy/looks.tsv"),
              panels = read_tsv("drawn/keep/passkey_accuracy/panels.tsv"),
              points = read_tsv("drawn/keep/passkey_accuracy/points.tsv");
    int ours = 0, papers = 0;
    for (size_t r = 0; r < looks.rows; r++) {
        if (strcmp(field(&looks, r, "label"), "mine") == 0) {
            ours++;
            assert_string_equal(field(&looks, r, "attention"), "infini-delta");
            assert_string_equal(field(&looks, r, "variant"), "0");
        }
        assert_string_equal(field(&looks, r, "zeroed"), "0");
        papers += strcmp(field(&looks, r, "kind"), "paper") == 0;
    }
    assert_int_equal(ours, 1);
    assert_int_equal(papers, 1); /* at 1M the paper has fine-tuned Linear's value, at 1K none */
    assert_int_equal(panels.rows, 3);
    assert_string_equal(field(&panels, 0, "heading"), "trained on this task");
    assert_string_equal(field(&panels, 2, "heading"), "not trained on this task");
    int whole = 0;
    for (size_t r = 0; r < points.rows; r++) whole += strcmp(field(&points, r, "y"), "100") == 0;
    assert_true(whole >= 1); /* shares are in percent */
    csv_free(&looks);
    csv_free(&panels);
    csv_free(&points);

    char *svg = read_picture("drawn", "passkey-accuracy");
    lab_check_has(svg, " role=\"img\">\n<title>Passkey: digits found, by the length of the input</title>");
    lab_check_has(svg, "<desc>Share of the key");
    lab_check_lacks(svg, "Gnuplot");
    lab_check_lacks(svg, "GNUPLOT");
    lab_check_lacks(svg, "<title>gnuplot_plot");
    free(svg);
}

/* A model with another attention in its place, at two lengths of some state each. */
static void lab_instead(lab_journal *j, const char *model, const char *instead, const uint64_t state[2])
{
    for (int i = 0; i < 2; i++) {
        char name[64];
        const int64_t length = 1024 << i;
        snprintf(name, sizeof name, "len=%d,depth=50", (int)length);
        result_cell cell = lab_cell(j, model, name, length, 50, "seed=1", 1);
        cell.facts = (model_facts){.train_seed = MODEL_SEED_UNKNOWN};
        snprintf(cell.facts.attention, sizeof cell.facts.attention, "%s", instead);
        snprintf(cell.facts.instead, sizeof cell.facts.instead, "%s", instead);
        cell.state_bytes = state[i];
        lab_announce(j, &cell, 1);
        lab_sample(j, &cell, 0, (double[TASK_VALUES]){1, 1, 1, 0}, 1);
    }
}

/* State by length: one point for all depths of a length, zero where there is none; controls and variants stay out.
 * A foreign model stands in the panels of what was made of it, and its name is said once. */
static void test_state_by_length(void **state)
{
    (void)state;
    if (no_gnuplot()) skip();
    snprintf(dir, sizeof dir, "state");
    assert_int_equal(mkdir("state", 0777), 0);
    lab_journal *j = lab_open(task_find("passkey"));
    lab_passkey(j, "passkey-infini-delta", 1024, 50, "seed=1", 1, 4);
    lab_passkey(j, "passkey-infini-delta", 1024, 50, "seed=1 memory=zeroed", 1, 4);
    lab_close(j);
    write_file("state/passkey-state.svg", "old");
    free(draw("state", ""));
    assert_int_equal(access("state/passkey-state.svg", F_OK), -1); /* one length shows no growth */

    j = lab_open(task_find("passkey"));
    lab_passkey(j, "passkey-infini-delta", 2048, 50, "seed=1", 1, 4);
    lab_passkey(j, "passkey-infini-delta", 2048, 0, "seed=1", 1, 4);
    lab_instead(j, "base+full", "full", (const uint64_t[]){1 << 20, 1 << 21});
    lab_instead(j, "base+local", "local", (const uint64_t[]){0, 0});
    lab_close(j);
    free(draw("state", "state/keep"));
    check_picture("state", "passkey-state");
    csv_table points = read_tsv("state/keep/passkey_state/points.tsv"),
              looks = read_tsv("state/keep/passkey_state/looks.tsv"),
              panels = read_tsv("state/keep/passkey_accuracy/panels.tsv");
    static const char *const names[] = {"passkey-infini-delta", "full", "local"}, *const bytes[][2] = {
                                                                                      {"4096", "4096"},
                                                                                      {"1048576", "2097152"},
                                                                                      {"0", "0"}};
    assert_int_equal(looks.rows, 3);
    assert_int_equal(points.rows, 6);
    for (size_t k = 0; k < 3; k++) {
        size_t r = 0;
        while (r < 3 && strcmp(field(&looks, r, "label"), names[k]) != 0) r++;
        assert_in_range(r, 0, 2);
        for (size_t i = 0; i < 2; i++) {
            assert_string_equal(field(&points, 2 * r + i, "x"), i ? "2048" : "1024");
            assert_string_equal(field(&points, 2 * r + i, "y"), bytes[k][i]);
        }
    }
    /* Nothing here is known to be trained on something else: no headings. The start, though it is the later cell,
     * stands before the middle. */
    assert_int_equal(panels.rows, 2);
    for (size_t r = 0; r < panels.rows; r++) {
        assert_string_equal(field(&panels, r, "heading"), "");
        assert_string_equal(field(&panels, r, "title"), r ? "needle in the middle" : "needle at the start");
    }
    csv_free(&points);
    csv_free(&looks);
    csv_free(&panels);
    char *svg = read_picture("state", "passkey-state");
    lab_check_has(svg, "Attention without a model&#39;s name stands in base.</desc>");
    free(svg);

    /* Of two such models each keeps its name. */
    j = lab_open(task_find("passkey"));
    lab_instead(j, "other+local", "local", (const uint64_t[]){0, 0});
    lab_close(j);
    free(draw("state", "state/keep"));
    looks = read_tsv("state/keep/passkey_state/looks.tsv");
    int named = 0;
    for (size_t r = 0; r < looks.rows; r++) named += strstr(field(&looks, r, "label"), "+local") != NULL;
    assert_int_equal(named, 2);
    csv_free(&looks);

    /* One that is also read with its own attention keeps its name, and the other's need not be said. */
    j = lab_open(task_find("passkey"));
    lab_passkey(j, "other", 1024, 50, "seed=1", 1, 4);
    lab_close(j);
    free(draw("state", "state/keep"));
    looks = read_tsv("state/keep/passkey_state/looks.tsv");
    int whole = 0, short_names = 0;
    for (size_t r = 0; r < looks.rows; r++) {
        whole += strcmp(field(&looks, r, "label"), "other+local") == 0;
        short_names += strcmp(field(&looks, r, "label"), "local") == 0;
    }
    assert_int_equal(whole, 1);
    assert_int_equal(short_names, 1);
    csv_free(&looks);
}

/* Documents cut to several lengths: a picture by memory for each, and the longest alone by position. */
static void test_cut_documents(void **state)
{
    (void)state;
    if (no_gnuplot()) skip();
    snprintf(dir, sizeof dir, "cut");
    assert_int_equal(mkdir("cut", 0777), 0);
    lab_journal *j = lab_open(task_find("perplexity"));
    static const double nll[] = {4.0, 4.1, 4.2, 4.3};
    lab_perplexity(j, "text-local", "books/test:1K", "split=test max_tokens=1K", 0, nll, 4);
    lab_perplexity(j, "text-local", "books/test:2K", "split=test max_tokens=2K", 0, nll, 4);
    lab_close(j);
    free(draw("cut", "cut/keep"));
    char picture[200], id[TEXT_ID];
    for (int i = 1; i <= 2; i++) {
        char name[32], subject[64], path[200];
        snprintf(name, sizeof name, "books/test:%dK", i);
        snprintf(picture, sizeof picture, "perplexity-state-%s", text_id(name, id));
        check_picture("cut", picture);
        snprintf(path, sizeof path, "cut/keep/perplexity_state-%s/picture.tsv", id);
        csv_table t = read_tsv(path);
        snprintf(subject, sizeof subject, "books, test split, %dK", i);
        assert_true(t.rows == 1);
        assert_string_equal(field(&t, 0, "subject"), subject);
        csv_free(&t);
    }
    csv_table looks;
    snprintf(picture, sizeof picture, "cut/keep/perplexity_state-%s/looks.tsv", id);
    looks = read_tsv(picture);
    assert_int_equal(looks.rows, 1);
    assert_string_equal(field(&looks, 0, "label"), "text-local"); /* no "(run ...)" */
    csv_free(&looks);
}

/* Of the needles of an imprint those nearest to the start are drawn. */
static void test_imprint_depth(void **state)
{
    (void)state;
    if (no_gnuplot()) skip();
    snprintf(dir, sizeof dir, "imprint");
    assert_int_equal(mkdir("imprint", 0777), 0);
    lab_journal *j = lab_open(task_find("passkey"));
    lab_passkey(j, "passkey-infini-delta", 1024, 0, "seed=1", 1, 4);
    lab_close(j);
    write_file("imprint/passkey-imprint.csv",
               "model,weights_sha256,length,depth,segments,layer,part,n,norm,difference,lo,hi\n"
               "m,0,512,50,1,0,M,3,2,0.5,,\nm,0,512,10,1,0,M,3,2,0.25,,\nm,0,1024,10,3,0,M,3,2,0.125,,\n"
               "m,0,512,10,1,0,z,3,4,0.25,,\nm,0,1024,10,3,0,z,3,8,0.25,,\nm,0,1024,10,3,1,M,3,0,0,,\n");
    free(draw("imprint", "imprint/keep"));
    csv_table points = read_tsv("imprint/keep/passkey_imprint/points.tsv");
    static const char *const y[] = {"0.25", "0.125", "4", "8"};
    assert_int_equal(points.rows, 4);
    for (size_t r = 0; r < 4; r++) assert_string_equal(field(&points, r, "y"), y[r]);
    csv_free(&points);
}

/* The cost picture holds cells whose samples shared nothing; without any the old picture goes, and the log says
 * why. */
static void test_cost_of_what_was_not_shared(void **state)
{
    (void)state;
    if (no_gnuplot()) skip();
    snprintf(dir, sizeof dir, "cost");
    assert_int_equal(mkdir("cost", 0777), 0);
    lab_journal *j = lab_open(task_find("passkey"));
    lab_shared(j, "passkey-local", 1024, 1);
    lab_close(j);
    write_file("cost/passkey-cost.svg", "old");
    write_file("cost/passkey-cost.png", "old");
    char *log = draw("cost", "");
    lab_check_has(log, "no cost picture of passkey: all samples shared work");
    free(log);
    assert_int_equal(access("cost/passkey-cost.svg", F_OK), -1);
    assert_int_equal(access("cost/passkey-cost.png", F_OK), -1);

    j = lab_open(task_find("passkey"));
    lab_shared(j, "passkey-infini-linear", 1024, 0);
    lab_shared(j, "passkey-infini-linear", 2048, 1);
    lab_close(j);
    log = draw("cost", "cost/keep");
    lab_check_lacks(log, "no cost picture");
    free(log);
    check_picture("cost", "passkey-cost");
    csv_table points = read_tsv("cost/keep/passkey_cost/points.tsv");
    assert_int_equal(points.rows, 2); /* time and memory of the one cell */
    assert_string_equal(field(&points, 0, "x"), "1024");
    assert_string_equal(field(&points, 0, "y"), "488.28125"); /* 1 s for 2048 tokens, in microseconds */
    assert_string_equal(field(&points, 1, "y"), "64");        /* MiB */
    csv_free(&points);
}

/* A task of somebody's own has no scripts: nothing is drawn, and nothing fails. */
static void test_task_without_pictures(void **state)
{
    (void)state;
    task_module mine = *task_find("passkey");
    mine.name = "mine";
    snprintf(dir, sizeof dir, "mine");
    assert_int_equal(mkdir("mine", 0777), 0);
    lab_journal *j = lab_open(&mine);
    lab_shared(j, "passkey-local", 1024, 0);
    lab_close(j);
    const task_module *const only[] = {&mine, NULL};
    char *text = NULL;
    size_t size = 0;
    plots_options o = {.weights = "no-such-folder", .results = "mine"};
    snprintf(o.scripts, sizeof o.scripts, "%.*s", (int)sizeof o.scripts - 1, scripts);
    FILE *log = open_memstream(&text, &size);
    if (plots_run(&o, only, log, &err) != PAL_OK) fail_msg("%s", err.text);
    fclose(log);
    lab_check_has(text, "no pictures");
    free(text);
}

/* Losses are means of five rows, losses on held-out text stand by themselves; what is no log, or damaged, is left
 * out. */
static void test_training_logs(void **state)
{
    (void)state;
    if (no_gnuplot()) skip();
    assert_int_equal(mkdir("logs", 0777), 0);
    assert_int_equal(mkdir("logs/training", 0777), 0);
    write_file("logs/training/mine.csv",
               "step,length,tokens,loss,answer_nll,other_nll,grad_norm,lr,val_loss\n"
               "1,1,1000000,5,7,1,0,0,\n2,1,2000000,4,7,1,0,0,6.5\n3,1,3000000,3,7,1,0,0,\n"
               "4,1,4000000,2,7,1,0,0,\n5,1,5000000,1,2,1,0,0,\n6,1,6000000,9,9,9,0,0,\n");
    write_file("logs/training/sweep.csv", "module,lr,tokens,loss_at_the_end\nlocal,1e-3,10,5\n");
    write_file("logs/training/torn.csv", "step,length,tokens,loss\n1,1,1000000,5\n2,1\n");
    char *log = draw("logs", "logs/keep");
    lab_check_has(log,
                  "left out of the pictures: logs/training/torn.csv: row 3: 2 fields where the first row has 4");
    free(log);
    csv_table points = read_tsv("logs/keep/training_loss-other/points.tsv"),
              panels = read_tsv("logs/keep/training_loss-other/panels.tsv");
    assert_int_equal(panels.rows, 1);
    assert_string_equal(field(&panels, 0, "title"), "mine");
    assert_int_equal(points.rows, 2);
    assert_string_equal(field(&points, 0, "x"), "5");
    assert_string_equal(field(&points, 0, "y"), "6"); /* of the answers, (7 + 7 + 7 + 7 + 2) / 5 */
    assert_string_equal(field(&points, 1, "x"), "2");
    assert_string_equal(field(&points, 1, "y"), "6.5");
    assert_string_equal(field(&points, 1, "z"), "1");
    csv_free(&points);
    csv_free(&panels);
}

static void test_no_gnuplot(void **state)
{
    (void)state;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", getenv("PATH"));
    snprintf(dir, sizeof dir, "bare");
    assert_int_equal(mkdir("bare", 0777), 0);
    lab_journal *j = lab_open(task_find("passkey"));
    lab_passkey(j, "passkey-local", 1024, 0, "seed=1", 3, 20);
    lab_close(j);
    setenv("PATH", "/nowhere", 1);
    figure_output out = {.scripts = scripts, .dir = "bare", .keep = ""};
    evidence *e = malloc(sizeof *e);
    static const task_module *one[2];
    one[0] = task_find("passkey");
    assert_int_equal(evidence_read(e, one, "bare", &err), PAL_OK);
    assert_int_equal(plots_cells(&e->task[0].rep, &out, &err), PAL_OK);
    setenv("PATH", path, 1);
    assert_string_equal(out.note, "gnuplot is not installed; type: make deps WITH=plots");
    assert_int_equal(out.drawn, 0);
    evidence_free(e);
    free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_names),         cmocka_unit_test(test_hostile_folders),
        cmocka_unit_test(test_what_is_drawn),         cmocka_unit_test(test_cost_of_what_was_not_shared),
        cmocka_unit_test(test_training_logs),         cmocka_unit_test(test_no_gnuplot),
        cmocka_unit_test(test_task_without_pictures), cmocka_unit_test(test_state_by_length),
        cmocka_unit_test(test_cut_documents),         cmocka_unit_test(test_imprint_depth),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

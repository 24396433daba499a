/* The training loop end to end, in a scratch directory: same bits with 1 or 2 threads and after kill -9, learning,
 * refusals. */
#include "tests/lib/train_lab.h"

#include "harness/base/lock.h"
#include "harness/base/rng.h"
#include "harness/train/lanes.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>

static void threads_and_recomputation_keep_the_bits(void **unused)
{
    (void)unused;
    pal_error err;
    static const char *const modules[] = {"infini-gated", "infini-delta", "transformer-xl", "memorizing"};
    for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++) {
        char extra[64] = "", one[40], two[40], csv_one[48], csv_two[48];
        if (strcmp(modules[i], "memorizing") == 0) snprintf(extra, sizeof extra, "knn_entries = 256\nknn_k = 8\n");
        snprintf(one, sizeof one, "%s-1", modules[i]);
        snprintf(two, sizeof two, "%s-2", modules[i]);
        snprintf(csv_one, sizeof csv_one, "%s.csv", one);
        snprintf(csv_two, sizeof csv_two, "%s.csv", two);
        char lines[160];
        snprintf(lines, sizeof lines, "%sthreads = 1\nrecompute = no\n", extra);
        if (train(modules[i], one, lines, &err) != PAL_OK) fail_msg("%s", err.text);
        snprintf(lines, sizeof lines, "%sthreads = 2\nrecompute = yes\n", extra);
        if (train(modules[i], two, lines, &err) != PAL_OK) fail_msg("%s", err.text);
        assert_same_file(one, two);
        assert_same_file(csv_one, csv_two);
    }
}

/* The numbers of the last row of a log; returns how many. */
static int last_row(const char *name, double *value, int most)
{
    pal_error err;
    char *data;
    size_t size;
    int count = 0;
    if (os_read_file(path_of(name), &data, &size, &err) != PAL_OK) fail_msg("%s", err.text);
    data[size - 1] = '\0';
    for (char *at = strrchr(data, '\n') + 1; at && count < most; count++) {
        value[count] = strtod(at, NULL);
        at = strchr(at, ',');
        if (at) at++;
    }
    free(data);
    return count;
}

/* Gradients in parts are those of the whole but for rounding, and hang on no thread. */
static void gradients_in_parts(void **unused)
{
    (void)unused;
    pal_error err;
    double whole[16], parts[16];
    if (train("infini-gated", "parts-1", "threads = 1\n", &err) != PAL_OK) fail_msg("%s", err.text);
    if (train("infini-gated", "parts-2", "threads = 1\ngrad_parts = 2\n", &err) != PAL_OK)
        fail_msg("%s", err.text);
    if (train("infini-gated", "parts-2b", "threads = 2\ngrad_parts = 2\nrecompute = yes\n", &err) != PAL_OK)
        fail_msg("%s", err.text);
    assert_same_file("parts-2", "parts-2b");
    const int count = last_row("parts-1.csv", whole, 16);
    assert_int_equal(last_row("parts-2.csv", parts, 16), count);
    for (int i = 0; i < count; i++)
        if (fabs(whole[i] - parts[i]) > 2e-3 * fabs(whole[i]))
            fail_msg("column %d: %g, %g", i, whole[i], parts[i]);
    assert_int_equal(train("infini-gated", "parts-3", "grad_parts = 3\n", &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "no power of two"));
    assert_int_equal(train("infini-gated", "parts-4", "grad_parts = 4\n", &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "does not divide the 2 sequences"));
    setenv("PMI_SIZE", "2", 1);
    assert_int_equal(train("infini-gated", "ranks", "", &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "make MPI=1"));
    unsetenv("PMI_SIZE");
}

static void killed_and_resumed_gives_the_same_bits(void **unused)
{
    (void)unused;
    pal_error err;
    if (train("infini-gated", "whole", "threads = 1\n", &err) != PAL_OK) fail_msg("%s", err.text);
    /* Kill runs later and later until one gets through by itself. */
    int kills = 0;
    for (useconds_t wait = 20000; !os_file_exists(path_of("killed")); wait += 30000) {
        const pid_t child = fork();
        if (child == 0) _exit(train("infini-gated", "killed", "threads = 1\n", &err));
        usleep(wait);
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        kills += WIFSIGNALED(status);
    }
    assert_true(kills > 0);
    /* The last child may have been killed between the final rename and the removal of the resume file. */
    if (train("infini-gated", "killed", "threads = 1\n", &err) != PAL_OK) fail_msg("%s", err.text);
    assert_same_file("whole", "killed");
    assert_same_file("whole.csv", "killed.csv");
}

/* Nine documents of a few hundred words each, drawn from few words: something to learn, and borders to cross. */
static void write_corpus(const char *folder)
{
    static const char *const words[] = {"memory ", "segment ", "forgets ", "what ",
                                        "the ",    "page ",    "held.\n",  "again "};
    char path[200], text[4096];
    snprintf(path, sizeof path, "%s/train", folder);
    pal_error err;
    assert_int_equal(os_make_dirs(path, &err), PAL_OK);
    unsigned draw = 7;
    for (int document = 0; document < 9; document++) {
        size_t used = 0;
        while (used < 900 + 200 * (size_t)document) {
            draw = draw * 1103515245u + 12345u;
            used += (size_t)snprintf(text + used, sizeof text - used, "%s", words[draw >> 16 & 7]);
        }
        snprintf(path, sizeof path, "%s/train/%d.txt", folder, document);
        assert_int_equal(os_write_file(path, text, used, &err), PAL_OK);
    }
}

static int train_text(const char *attention, const char *out, const char *more, pal_error *err)
{
    char extra[600];
    snprintf(extra, sizeof extra, "task = perplexity\ndata = %s\nseed = 3\n%s%s", path_of("corpus"), more,
             strcmp(attention, "memorizing") == 0 ? "knn_entries = 256\nknn_k = 8\n" : "");
    return train(attention, out, extra, err);
}

static void documents_carry_their_state(void **unused)
{
    (void)unused;
    pal_error err;
    write_corpus(path_of("corpus"));
    static const char *const modules[] = {"infini-delta", "transformer-xl", "memorizing"};
    for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++) {
        char whole[40], killed[40], csv[2][48];
        snprintf(whole, sizeof whole, "%s-text", modules[i]);
        snprintf(killed, sizeof killed, "%s-killed", modules[i]);
        snprintf(csv[0], sizeof csv[0], "%s.csv", whole);
        snprintf(csv[1], sizeof csv[1], "%s.csv", killed);
        if (train_text(modules[i], whole, "threads = 2\n", &err) != PAL_OK) fail_msg("%s", err.text);
        for (useconds_t wait = 30000; !os_file_exists(path_of(killed)); wait += 40000) {
            const pid_t child = fork();
            if (child == 0) _exit(train_text(modules[i], killed, "threads = 1\n", &err));
            usleep(wait);
            kill(child, SIGKILL);
            waitpid(child, NULL, 0);
        }
        if (train_text(modules[i], killed, "threads = 1\n", &err) != PAL_OK) fail_msg("%s", err.text);
        assert_same_file(whole, killed);
        assert_same_file(csv[0], csv[1]);
    }
    /* Nothing of the resume files stays behind. */
    char command[160];
    snprintf(command, sizeof command, "test -z \"$(ls %s | grep -E 'lanes|resume|tmp')\"", scratch);
    assert_int_equal(system(command), 0);
}

static void a_document_longer_than_the_context_is_refused(void **unused)
{
    (void)unused;
    pal_error err;
    write_corpus(path_of("corpus"));
    assert_int_equal(train_text("full", "full", "context = 512\n", &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "context"));
}

static void finished_work_is_not_repeated_or_overwritten(void **unused)
{
    (void)unused;
    pal_error err;
    if (train("local", "done", "", &err) != PAL_OK) fail_msg("%s", err.text);
    char *before, *after;
    size_t size;
    assert_int_equal(os_read_file(path_of("done.csv"), &before, &size, &err), PAL_OK);
    assert_int_equal(unlink(path_of("done.csv")), 0);
    if (train("local", "done", "", &err) != PAL_OK) fail_msg("%s", err.text);
    assert_false(os_file_exists(path_of("done.csv"))); /* nothing was trained again */
    assert_int_equal(train("local", "done", "lr = 1e-3\n", &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "lr"));
    assert_int_equal(os_read_file(path_of("done"), &after, &size, &err), PAL_OK);
    free(before);
    free(after);
}

/* ---- Two runs, one file ---- */

static void two_runs_never_share_a_file(void **unused)
{
    (void)unused;
    pal_error err;
    static const char *const held[] = {"twice", "twice.csv", "twice-gates.csv"};
    for (size_t i = 0; i < sizeof held / sizeof held[0]; i++) {
        file_lock lock = {0};
        assert_int_equal(lock_take(&lock, path_of(held[i]), &err), PAL_OK);
        assert_int_equal(train("infini-gated", "twice", "", &err), PAL_USAGE);
        char said[300];
        snprintf(said, sizeof said, "%s is being written by another run, process %d; ", path_of(held[i]),
                 (int)getpid());
        if (!strstr(err.text, said)) fail_msg("%s", err.text);
        assert_false(os_file_exists(path_of("twice")));
        lock_release(&lock);
        char name[80];
        snprintf(name, sizeof name, "%s.lock", held[i]);
        assert_false(os_file_exists(path_of(name)));
    }
    /* One that was killed holds nothing. */
    const pid_t child = fork();
    if (child == 0) {
        file_lock lock = {0};
        if (lock_take(&lock, path_of("twice"), &err) == PAL_OK) kill(getpid(), SIGKILL);
        _exit(1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
    assert_true(os_file_exists(path_of("twice.lock")));
    if (train("infini-gated", "twice", "", &err) != PAL_OK) fail_msg("%s", err.text);
    assert_false(os_file_exists(path_of("twice.lock")));
}

/* ---- The file of lanes ---- */

static const char *no_rename_to;

static int rename_but_one(const char *from, const char *to)
{
    if (strcmp(to, no_rename_to) != 0) return rename(from, to);
    errno = EIO;
    return -1;
}

/* A run whose disk fails when the final weights are written: its checkpoint and lanes stay. */
static void stop_at_the_end(const char *name, const char *recipe)
{
    pal_error err;
    os_table failing = os_system;
    failing.rename = rename_but_one;
    char path[200];
    snprintf(path, sizeof path, "%s", path_of(name));
    no_rename_to = path;
    os_use(&failing);
    const int code = train_text("infini-delta", name, recipe, &err);
    os_use(NULL);
    assert_int_equal(code, PAL_INTERNAL);
}

/* Any changed byte is refused: header, place, states, digest. */
static void damaged_lanes_are_refused(void **unused)
{
    (void)unused;
    pal_error err;
    write_corpus(path_of("corpus"));
    char lanes[200], *data;
    size_t size;
    const char *recipe = "threads = 1\n";
    stop_at_the_end("stopped", recipe);
    snprintf(lanes, sizeof lanes, "%s", path_of("stopped.resume.lanes-20"));
    assert_int_equal(os_read_file(lanes, &data, &size, &err), PAL_OK);
    rng r = rng_make(3, "lanes", 0, 0);
    for (int i = 0; i < 120; i++) {
        const size_t at = i < 80 ? (size_t)i * 2 : i < 90 ? size - 1 - (size_t)i % 64 : rng_below(&r, size);
        const char kept = data[at];
        data[at] ^= (char)(1 << rng_below(&r, 8));
        assert_int_equal(os_write_file(lanes, data, size, &err), PAL_OK);
        data[at] = kept;
        assert_int_equal(train_text("infini-delta", "stopped", recipe, &err), PAL_DATA);
        assert_null(strchr(err.text, '\n'));
        if (!strstr(err.text, lanes)) fail_msg("byte %zu: %s", at, err.text);
    }
    const size_t sizes[] = {0, 1, 40, 4096, size / 2, size - 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(os_write_file(lanes, data, sizes[i], &err), PAL_OK);
        assert_int_equal(train_text("infini-delta", "stopped", recipe, &err), PAL_DATA);
    }
    assert_int_equal(unlink(lanes), 0);
    assert_int_equal(train_text("infini-delta", "stopped", recipe, &err), PAL_DATA);
    /* As it was, it goes on to its end. */
    assert_int_equal(os_write_file(lanes, data, size, &err), PAL_OK);
    if (train_text("infini-delta", "stopped", recipe, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_true(os_file_exists(path_of("stopped")));
    assert_false(os_file_exists(lanes));
    free(data);
}

/* A name with a star or brackets stands for itself. */
static void only_a_runs_own_files_are_removed(void **unused)
{
    (void)unused;
    pal_error err;
    static const char *const names[] = {"a*.resume.lanes-3",   "a*.resume.lanes-4",     "ab.resume.lanes-3",
                                        "[ab].resume.lanes-3", "a*.resume.lanes-4.tmp", "b.resume.lanes-3"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(os_write_file(path_of(names[i]), "x", 1, &err), PAL_OK);
    train_lanes_remove_others(path_of("a*.resume"), 3);
    static const int left[] = {1, 0, 1, 1, 0, 1};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(os_file_exists(path_of(names[i])), left[i]);
    train_lanes_remove_others(path_of("[ab].resume"), -1);
    assert_false(os_file_exists(path_of("[ab].resume.lanes-3")));
    assert_true(os_file_exists(path_of("b.resume.lanes-3")));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(path_of(names[i]));
}

static void bad_recipes_are_refused(void **unused)
{
    (void)unused;
    pal_error err;
    static const char *const bad[][2] = {
        {"no_such_key = 1\n", "no_such_key"},
        {"train_len = 250,512\n", "segment"},
        {"train_steps = 5\n", "train_len"},
        {"lr = fast\n", "lr"},
        {"batch_tokens = 12Q\n", "12Q"},
        {"init = /nonexistent\n", "/nonexistent"},
        {"task = chess\n", "chess"},
        {"task = perplexity\ndata = /nonexistent\n", "/nonexistent"},
        {"tokenizer = /nonexistent\n", "/nonexistent"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const int code = train("infini-linear", "bad", bad[i][0], &err);
        assert_true(code == PAL_USAGE || code == PAL_DATA);
        if (!strstr(err.text, bad[i][1])) fail_msg("`%s` does not name %s", err.text, bad[i][1]);
        assert_null(strchr(err.text, '\n'));
        assert_false(os_file_exists(path_of("bad")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_and_recomputation_keep_the_bits),
        cmocka_unit_test(gradients_in_parts),
        cmocka_unit_test(killed_and_resumed_gives_the_same_bits),
        cmocka_unit_test(documents_carry_their_state),
        cmocka_unit_test(a_document_longer_than_the_context_is_refused),
        cmocka_unit_test(finished_work_is_not_repeated_or_overwritten),
        cmocka_unit_test(two_runs_never_share_a_file),
        cmocka_unit_test(damaged_lanes_are_refused),
        cmocka_unit_test(only_a_runs_own_files_are_removed),
        cmocka_unit_test(bad_recipes_are_refused),
    };
    return cmocka_run_group_tests_name("train", tests, make_scratch, remove_scratch);
}

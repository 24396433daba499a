/* The training loop end to end, in a scratch directory: same bits with 1 or 2 threads and after kill -9, learning,
 * refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/os.h"
#include "harness/train/train.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char scratch[] = "/tmp/palimpsest-train-XXXXXX";

static int make_scratch(void **unused)
{
    (void)unused;
    return mkdtemp(scratch) ? 0 : -1;
}

static int remove_scratch(void **unused)
{
    (void)unused;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    return system(command);
}

static const char *path_of(const char *name)
{
    static char path[4][128];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", scratch, name);
    return p;
}

/* A recipe that trains in seconds; `extra` holds further "key = value" lines. */
static int train(const char *attention, const char *out, const char *extra, pal_error *err)
{
    char text[1200];
    snprintf(text, sizeof text,
             "attention = %s\nout = %s\nd_model = 32\nn_heads = 2\nd_head = 16\nd_ff = 64\nsegment = 64\n"
             "batch_tokens = 1K\ntrain_len = 256,512\ntrain_steps = 12,8\nwarmup = 4\nlog_every = 2\n"
             "checkpoint_every = 2\n%s",
             attention, path_of(out), extra);
    kv_pairs pairs = {0};
    int code = kv_pairs_parse(&pairs, text, "recipe", err);
    FILE *nowhere = fopen("/dev/null", "w");
    if (code == PAL_OK) code = train_run(&pairs, nowhere, err);
    fclose(nowhere);
    kv_pairs_free(&pairs);
    return code;
}

static void assert_same_file(const char *a, const char *b)
{
    pal_error err;
    char *data_a, *data_b;
    size_t size_a, size_b;
    if (os_read_file(path_of(a), &data_a, &size_a, &err) != PAL_OK) fail_msg("%s", err.text);
    if (os_read_file(path_of(b), &data_b, &size_b, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(size_a, size_b);
    assert_memory_equal(data_a, data_b, size_a);
    free(data_a);
    free(data_b);
}

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
        cmocka_unit_test(killed_and_resumed_gives_the_same_bits),
        cmocka_unit_test(documents_carry_their_state),
        cmocka_unit_test(a_document_longer_than_the_context_is_refused),
        cmocka_unit_test(finished_work_is_not_repeated_or_overwritten),
        cmocka_unit_test(bad_recipes_are_refused),
    };
    return cmocka_run_group_tests_name("train", tests, make_scratch, remove_scratch);
}

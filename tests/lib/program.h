/* The binary itself, run by a suite: a scratch directory with two tiny untrained models and a corpus, and checks
 * of exit codes, output and refusals. PALIMPSEST names the binary. */
#ifndef TEST_PROGRAM_H
#define TEST_PROGRAM_H

#include "harness/base/os.h"
#include "harness/base/rng.h"
#include "models/attention/attention.h"
#include "tests/lib/tiny_model.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char scratch[] = "/tmp/palimpsest-cli-XXXXXX";
static char out_path[64], err_path[64], weights_word[64];
static pal_error err;

enum { MOST_WORDS = 16 };

/* ---- Running it ---- */

/* Start it with the words up to NULL, its output going to out_path and err_path. */
static inline pid_t start(const char *const *words)
{
    const char *binary = getenv("PALIMPSEST") ? getenv("PALIMPSEST") : "build/palimpsest";
    const char *argv[MOST_WORDS + 2] = {binary};
    for (int i = 0; words[i]; i++) argv[i + 1] = words[i];
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(open(out_path, O_WRONLY | O_CREAT | O_TRUNC, 0666), STDOUT_FILENO);
        dup2(open(err_path, O_WRONLY | O_CREAT | O_TRUNC, 0666), STDERR_FILENO);
        execv(binary, (char **)argv);
        _exit(99);
    }
    return child;
}

static inline int run(const char *const *words)
{
    int status;
    const pid_t child = start(words);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static inline char *slurp(const char *path)
{
    char *data = NULL;
    size_t size;
    assert_int_equal(os_read_file(path, &data, &size, &err), PAL_OK);
    return data;
}

/* A failed run: this exit code, and exactly one line on standard error that holds `word` and no result. */
static inline void check_refusal(int expected, int code, const char *word)
{
    char *text = slurp(err_path);
    if (code != expected || !strstr(text, word) || strchr(text, '\n') != text + strlen(text) - 1)
        fail_msg("exit code %d (expected %d), standard error without one line naming \"%s\":\n%s", code, expected,
                 word, text);
    free(text);
}

static inline void check_output_has(const char *word)
{
    char *text = slurp(out_path);
    if (!strstr(text, word)) fail_msg("standard output without \"%s\":\n%s", word, text);
    free(text);
}

static inline void check_success(int code)
{
    if (code == PAL_OK) return;
    char *text = slurp(err_path);
    fail_msg("exit code %d:\n%s", code, text);
}

/* ---- The scratch directory: weights of two tiny untrained models ---- */

static inline const char *path_of(const char *name)
{
    static char path[8][128];
    static int next;
    next = (next + 1) % 8;
    snprintf(path[next], sizeof path[0], "%s/%s", scratch, name);
    return path[next];
}

static inline const char *results_word(const char *name)
{
    static char word[8][160];
    static int next;
    next = (next + 1) % 8;
    snprintf(word[next], sizeof word[0], "results=%s/%s", scratch, name);
    return word[next];
}

static inline int save_model(const char *name, const char *attention)
{
    char text[256];
    snprintf(text, sizeof text,
             "attention = %s\nd_model = 32\nn_layers = 2\nn_heads = 2\nd_head = 16\nd_ff = 48\nsegment = 64\n"
             "init_std = 0.2\n",
             attention);
    return tiny_model_save(path_of(name), tiny_model(text, 3), NULL, &err);
}

/* A corpus of PG19's layout whose documents differ in length. */
static inline int save_texts(void)
{
    static const char words[] = "the whale swam round the ship and the ship sailed on; ";
    static const size_t sizes[] = {3000, 200, 9000, 40000};
    int code = os_make_dirs(path_of("sea/test"), &err);
    for (size_t d = 0; code == PAL_OK && d < sizeof sizes / sizeof *sizes; d++) {
        char name[64], *text = malloc(sizes[d]);
        rng draw = rng_make(d, "text", 0, 0);
        if (!text) return PAL_INTERNAL;
        for (size_t i = 0; i < sizes[d]; i++) text[i] = words[(i + rng_below(&draw, 3)) % (sizeof words - 1)];
        snprintf(name, sizeof name, "sea/test/%zu.txt", d);
        code = os_write_file(path_of(name), text, sizes[d], &err);
        free(text);
    }
    return code;
}

static inline int make_scratch(void **unused)
{
    (void)unused;
    if (!mkdtemp(scratch)) return -1;
    snprintf(out_path, sizeof out_path, "%s/out", scratch);
    snprintf(err_path, sizeof err_path, "%s/err", scratch);
    snprintf(weights_word, sizeof weights_word, "weights=%s/w", scratch);
    if (os_make_dirs(path_of("w"), &err) != PAL_OK) return -1;
    return save_texts() || save_model("w/infini-linear.safetensors", "infini-linear") ||
           save_model("w/transformer-xl.safetensors", "transformer-xl") || save_model("full.safetensors", "full");
}

static inline int remove_scratch(void **unused)
{
    (void)unused;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    return system(command);
}

/* Longest line of standard output, in bytes. */
static inline size_t widest_line(void)
{
    char *text = slurp(out_path);
    size_t widest = 0;
    for (const char *at = text; *at; at += strcspn(at, "\n") + (at[strcspn(at, "\n")] == '\n'))
        if (strcspn(at, "\n") > widest) widest = strcspn(at, "\n");
    free(text);
    return widest;
}

static inline void check_output_lacks(const char *word)
{
    char *text = slurp(out_path);
    if (strstr(text, word)) fail_msg("standard output with \"%s\":\n%s", word, text);
    free(text);
}

#endif

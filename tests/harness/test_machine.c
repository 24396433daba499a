/* The binary on machines that are not ours: closed descriptors, little address space, no BLAS or a broken one.
 * Each ends with one line and the exit code of its kind, and never hangs. PALIMPSEST names the binary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/os.h"
#include "models/attention/attention.h"
#include "tests/lib/tiny_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static char scratch[] = "/tmp/palimpsest-machine-XXXXXX";

static const char *in_scratch(const char *name)
{
    static char path[8][160];
    static int next;
    next = (next + 1) % 8;
    snprintf(path[next], sizeof path[0], "%s/%s", scratch, name);
    return path[next];
}

static int make_scratch(void **unused)
{
    (void)unused;
    if (!mkdtemp(scratch)) return -1;
    pal_error err;
    decoder *d = tiny_model("attention = infini-linear\nvocab = 256\nd_model = 32\nn_layers = 1\nn_heads = 2\n"
                            "d_head = 16\nd_ff = 64\nsegment = 64\n",
                            1);
    return tiny_model_save(in_scratch("tiny.safetensors"), d, NULL, &err);
}

static int remove_scratch(void **unused)
{
    (void)unused;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    return system(command);
}

/* Run `command` by a shell in which $P is the binary and $D the scratch directory; standard error goes to D/err
 * unless the command says otherwise. Returns its exit code; 124 when it took longer than 60 s. */
static int shell(const char *command)
{
    const char *binary = getenv("PALIMPSEST") ? getenv("PALIMPSEST") : "build/palimpsest";
    char line[1600];
    snprintf(line, sizeof line, "D=%s P=%s timeout 60 sh -c '%s' >%s/out 2>%s/err", scratch, binary, command,
             scratch, scratch);
    const int status = system(line);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static char *slurp(const char *name)
{
    char *data = NULL;
    size_t size;
    pal_error err;
    if (os_read_file(in_scratch(name), &data, &size, &err) != PAL_OK) fail_msg("%s", err.text);
    return data;
}

#define EVAL "$P eval task=passkey model=$D/tiny.safetensors len=1K n=1 depths=0 plots=0 threads=2 results=$D/"

/* A failed run: its code, and one line on standard error that holds `word`. */
static void check_refused(int code, const char *word)
{
    char *text = slurp("err");
    if (code != PAL_INTERNAL || !strstr(text, word) || strchr(text, '\n') != text + strlen(text) - 1)
        fail_msg("exit code %d, standard error without one line naming \"%s\":\n%s", code, word, text);
    free(text);
}

/* Files of ours never get the numbers of standard input, output or error. */
static void closed_descriptors_lose_nothing(void **unused)
{
    (void)unused;
    static const char *const closed[] = {"<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"};
    assert_int_equal(shell(EVAL "open"), PAL_OK);
    char *expected = slurp("open/passkey-cells.csv");
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
        char command[400], journal[64];
        snprintf(command, sizeof command, EVAL "closed%zu %s", i, closed[i]);
        assert_int_equal(shell(command), PAL_OK);
        snprintf(journal, sizeof journal, "closed%zu/passkey-journal.jsonl", i);
        char *text = slurp(journal);
        /* Records alone, each a line of JSON. */
        size_t lines = 0;
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++)
            if (line[0] != '{' || line[strlen(line) - 1] != '}')
                fail_msg("%s: a foreign line: %s", closed[i], line);
        assert_true(lines > 0);
        free(text);
        /* What stands in it can be read again: nothing is left to compute. */
        snprintf(command, sizeof command, "%s", EVAL);
        snprintf(command, sizeof command, EVAL "closed%zu", i);
        assert_int_equal(shell(command), PAL_OK);
        char *out = slurp("out");
        assert_non_null(strstr(out, "samples to do 0"));
        free(out);
    }
    free(expected);
}

/* An error's line goes nowhere when standard error is closed, not into a file. */
static void closed_descriptors_keep_exit_codes(void **unused)
{
    (void)unused;
    assert_int_equal(shell("$P eval task=chess <&- >&- 2>&-"), PAL_USAGE);
    assert_int_equal(shell("$P help <&- 2>&-"), PAL_OK);
}

static void little_address_space_never_hangs(void **unused)
{
    (void)unused;
    if (SANITIZED) skip(); /* shadow memory needs terabytes of addresses */
    int refused = 0, good = 0;
    for (int mib = 16; mib <= 1024; mib += mib < 256 ? 16 : 128) {
        char command[300];
        snprintf(command, sizeof command, "ulimit -v %d; exec " EVAL "limited", mib << 10);
        const int code = shell(command);
        if (code == 127) continue; /* not even the C library fits: the loader says so */
        if (code == PAL_OK) {
            good++;
            assert_int_equal(shell("rm -r $D/limited"), 0);
            continue;
        }
        check_refused(code, "palimpsest: ");
        refused++;
    }
    assert_true(refused > 5 && good > 0);
    assert_int_equal(shell("ulimit -v 120000; exec " EVAL "limited"), PAL_INTERNAL);
    check_refused(PAL_INTERNAL,
                  "too little address space: OpenBLAS maps 128 MiB for each of 2 threads and ulimit -v is "
                  "120000 KiB");
    /* Commands that do not multiply need no room for it. */
    assert_int_equal(shell("ulimit -v 80000; exec $P help"), PAL_OK);
}

static void a_core_that_is_none_is_refused(void **unused)
{
    (void)unused;
    check_refused(shell("OPENBLAS_CORETYPE=nonsense exec " EVAL "core"), "OPENBLAS_CORETYPE=nonsense");
    check_refused(shell("OPENBLAS_CORETYPE=nonsense exec $P list weights=/"), "no such core");
    assert_int_equal(shell("OPENBLAS_CORETYPE= exec $P list weights=/"), PAL_OK);
    assert_int_equal(shell("OPENBLAS_CORETYPE=nonsense exec $P help"), PAL_OK);
    assert_int_equal(shell("OPENBLAS_CORETYPE=prescott exec $P list weights=/"), PAL_OK);
    char *out = slurp("out");
    assert_non_null(strstr(out, "BLAS core: Prescott"));
    free(out);
}

/* ---- Other libraries in OpenBLAS's place ---- */

static void put_blas(const char *fault)
{
    char command[400];
    snprintf(command, sizeof command,
             "mkdir -p $D/lib && ${CC:-cc} -shared -fPIC -O1 -DFAULT=%s -o $D/lib/libopenblas.so.0 "
             "tests/harness/fake_blas.c",
             fault);
    if (shell(command) != 0) {
        char *text = slurp("err");
        fail_msg("%s", text);
    }
}

#define OTHER "unset OPENBLAS_CORETYPE; LD_LIBRARY_PATH=$D/lib exec "

static void broken_libraries_are_named(void **unused)
{
    (void)unused;
    static const struct {
        const char *fault, *said;
    } cases[] = {
        {"FAULT_WRONG", "computes wrong: its product of"},
        {"FAULT_NAN", "computes wrong: its product of"},
        {"FAULT_ILLEGAL", "instructions that this processor lacks"},
        {"FAULT_ENDLESS", "did not end a small product in 10 s"},
        {"FAULT_CRASH", "crashed in a small product"},
        {"FAULT_MISSING", "is not OpenBLAS (it has no cblas_sgemm)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_blas(cases[i].fault);
        check_refused(shell(OTHER EVAL "other"), cases[i].said);
        assert_false(os_file_exists(in_scratch("other"))); /* nothing was begun */
        assert_int_equal(shell(OTHER "$P help"), PAL_OK);
    }
    assert_int_equal(shell("printf junk > $D/lib/libopenblas.so.0"), 0);
    check_refused(shell(OTHER EVAL "other"), "cannot load OpenBLAS: ");
}

/* A right library of any make will do, and one that does not know the processor is told what it is. */
static void a_right_library_is_taken(void **unused)
{
    (void)unused;
    put_blas("FAULT_NONE");
    assert_int_equal(shell(OTHER EVAL "right"), PAL_OK);
    assert_int_equal(shell(OTHER "$P list weights=/"), PAL_OK);
    const char *expected = "Prescott";
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) expected = "Haswell";
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        expected = "SkylakeX";
#endif
    char *out = slurp("out"), said[48];
    snprintf(said, sizeof said, "BLAS core: %s\n", expected);
    assert_non_null(strstr(out, said));
    free(out);
}

/* ---- Names that are no regular files ---- */

static void whatever_is_no_file_is_refused_at_once(void **unused)
{
    (void)unused;
    assert_int_equal(shell("mkfifo $D/fifo && mkdir $D/folder && ln -s fifo $D/link.safetensors"), 0);
    static const char *const places[] = {"$D/fifo", "$D/link.safetensors", "/dev/zero", "$D/folder"};
    static const char *const commands[] = {
        "$P eval task=passkey len=1K n=1 depths=0 results=$D/none model=%s",
        "$P eval task=passkey len=1K n=1 depths=0 results=$D/none model=$D/tiny.safetensors tokenizer=%s",
        "$P train config=%s out=$D/none",
        "$P train attention=local out=%s",
        "$P train attention=local train_len=256 train_steps=1 batch_tokens=256 out=$D/made.%d log=%s",
        "$P train attention=local out=$D/none init=%s",
        "$P tokenizer check=%s",
        "$P rouge ref=%s hyp=%s",
    };
    for (size_t c = 0; c < sizeof commands / sizeof *commands; c++) {
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            char command[500], *at = command;
            for (const char *from = commands[c]; *from; from++) {
                if (from[0] == '%' && from[1] == 's')
                    at = stpcpy(at, places[i]);
                else if (from[0] == '%' && from[1] == 'd')
                    at += sprintf(at, "%zu", i);
                else
                    *at++ = *from;
                if (*from == '%') from++;
            }
            *at = '\0';
            const int code = shell(command);
            char *text = slurp("err");
            if ((code != PAL_DATA && code != PAL_USAGE) || strchr(text, '\n') != text + strlen(text) - 1)
                fail_msg("%s: exit code %d:\n%s", command, code, text);
            free(text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_descriptors_lose_nothing),
        cmocka_unit_test(closed_descriptors_keep_exit_codes),
        cmocka_unit_test(little_address_space_never_hangs),
        cmocka_unit_test(a_core_that_is_none_is_refused),
        cmocka_unit_test(broken_libraries_are_named),
        cmocka_unit_test(a_right_library_is_taken),
        cmocka_unit_test(whatever_is_no_file_is_refused_at_once),
    };
    return cmocka_run_group_tests_name("machine", tests, make_scratch, remove_scratch);
}

/* Shared evaluations: which part a process takes, how work is dealt, leases, and merging, through the binary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/shard/choose.h"
#include "harness/shard/deal.h"
#include "harness/shard/dealer.h"
#include "harness/shard/lease.h"
#include "models/engine/gemm.h"
#include "tests/lib/program.h"

#include <signal.h>
#include <unistd.h>
#include <zlib.h>

/* ---- Which part ---- */

static const char *const launchers[] = {
    "SLURM_ARRAY_TASK_ID",
    "SLURM_ARRAY_TASK_COUNT",
    "SLURM_ARRAY_TASK_MIN",
    "SLURM_ARRAY_TASK_STEP",
    "SLURM_PROCID",
    "SLURM_STEP_NUM_TASKS",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_SIZE",
    "PMI_RANK",
    "PMI_SIZE",
};

/* Set the launchers' variables as in "A=1 B=2", and no others. */
static void set_variables(const char *words)
{
    char text[256], *rest = text;
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) unsetenv(launchers[i]);
    snprintf(text, sizeof text, "%s", words);
    for (char *word; (word = strtok_r(rest, " ", &rest));) {
        char *value = strchr(word, '=');
        *value = '\0';
        setenv(word, value + 1, 1);
    }
}

static void test_choice(void **state)
{
    (void)state;
    static const struct {
        const char *word, *variables;
        shard_kind kind;
        int64_t index, count;
        const char *from;
    } cases[] = {
        {"2/4", "", SHARD_FIXED, 1, 4, ""},
        {"1/1", "", SHARD_FIXED, 0, 1, ""},
        {"auto", "PMI_RANK=1 PMI_SIZE=2", SHARD_AUTO, 0, 1, ""},
        {"none", "PMI_RANK=1 PMI_SIZE=2", SHARD_NONE, 0, 1, ""},
        {"env", "", SHARD_NONE, 0, 1, ""},
        {"env", "PMI_RANK=1 PMI_SIZE=2", SHARD_FIXED, 1, 2, "PMI_RANK"},
        {"env", "OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_SIZE=4", SHARD_FIXED, 3, 4, "OMPI_COMM_WORLD_RANK"},
        {"env", "OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=1", SHARD_NONE, 0, 1, "OMPI"},
        {"env", "SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_COUNT=8 SLURM_ARRAY_TASK_MIN=1", SHARD_FIXED, 2, 8,
         "SLURM_ARRAY_TASK_ID"},
        {"env", "SLURM_ARRAY_TASK_ID=6 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_STEP=2",
         SHARD_FIXED, 3, 4, "SLURM_ARRAY_TASK_ID"},
        /* A batch script without srun is one process, however many tasks the job has. */
        {"env", "SLURM_PROCID=0", SHARD_NONE, 0, 1, ""},
        {"env", "SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2", SHARD_FIXED, 1, 2, "SLURM_PROCID"},
        {"env", "SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_COUNT=3 SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2",
         SHARD_FIXED, 5, 6, "SLURM_PROCID"},
        {"env", "SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_COUNT=3 OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2",
         SHARD_FIXED, 2, 3, "SLURM_ARRAY_TASK_ID"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        shard_choice c;
        set_variables(cases[i].variables);
        if (shard_choose(cases[i].word, &c, &err) != PAL_OK) fail_msg("case %zu: %s", i, err.text);
        if (c.kind != cases[i].kind || c.index != cases[i].index || c.count != cases[i].count ||
            !strstr(c.from, cases[i].from))
            fail_msg("case %zu: %d, %lld/%lld, %s", i, (int)c.kind, (long long)c.index, (long long)c.count,
                     c.from);
    }
    set_variables("");
}

static void test_bad_choice(void **state)
{
    (void)state;
    static const struct {
        const char *word, *variables, *said;
    } cases[] = {
        {"5/4", "", "no such part"},
        {"0/4", "", "no such part"},
        {"-1/4", "", "say I/N"},
        {"1/", "", "say I/N"},
        {"/4", "", "say I/N"},
        {"1/4x", "", "say I/N"},
        {"1/0", "", "no such part"},
        {"half", "", "say I/N"},
        {"1/99999", "", "more than"},
        {"env", "PMI_RANK=2 PMI_SIZE=2", "no such part"},
        {"env", "PMI_RANK=x PMI_SIZE=2", "PMI_RANK=x"},
        {"env", "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=1", "say shard=I/N"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        shard_choice c;
        set_variables(cases[i].variables);
        assert_int_equal(shard_choose(cases[i].word, &c, &err), PAL_USAGE);
        if (!strstr(err.text, cases[i].said)) fail_msg("case %zu: %s", i, err.text);
    }
    set_variables("");
}

/* ---- The deal ---- */

/* Every sample has one owner, parts are about equal, and little is read twice. */
static void test_deal(void **state)
{
    (void)state;
    char *words[] = {"task=passkey", "len=2K,8K", "n=10", "depths=0,50,100",
                     "model=passkey-infini-delta,passkey-local"};
    eval_request r;
    plan p;
    deal d;
    assert_int_equal(eval_request_read(&r, 5, words, 1, &err), PAL_OK);
    assert_int_equal(plan_list(&p, &r, NULL, &err), PAL_OK);
    const eval_whole whole = {.request = &r, .plan = &p};
    for (size_t shards = 1; shards <= 8; shards *= 2) {
        double load[8], most = 0, sum = 0;
        size_t samples = 0;
        assert_int_equal(deal_make(&d, &whole, shards, &err), PAL_OK);
        uint32_t *owner = calloc(d.count, sizeof *owner);
        size_t *seen = calloc(d.count, sizeof *seen);
        assert_int_equal(deal_spread(&d, shards, owner, load, &err), PAL_OK);
        for (size_t i = 0; i < p.count; i++)
            for (size_t c = 0; c < p.part[i].cell_count; c++)
                for (int64_t k = 0; k < plan_samples(&p.part[i], c); k++) {
                    const size_t unit = deal_unit_of(&d, i, c, k);
                    assert_true(unit < d.count && owner[unit] < shards && d.unit[unit].part == i);
                    seen[unit]++;
                }
        for (size_t u = 0; u < d.count; u++) {
            assert_int_equal(seen[u], d.unit[u].count);
            samples += d.unit[u].count;
        }
        assert_int_equal(samples, 2 * 2 * 3 * 10);
        for (size_t s = 0; s < shards; s++) {
            sum += load[s];
            if (load[s] > most) most = load[s];
        }
        assert_true(most <= 1.25 * d.flops / (double)shards);
        assert_true(sum <= (shards <= 4 ? 1.02 : 1.05) * d.flops);
        assert_true(sum >= 0.999 * d.flops); /* starts are counted where they are read */
        free(owner);
        free(seen);
        deal_free(&d);
    }
    plan_free(&p);
    eval_request_free(&r);
}

/* ---- What is taken next ---- */

static unit_state state_in(const void *arg, size_t unit)
{
    return ((const unit_state *)arg)[unit];
}

/* What a process shares with the unit in hand; else the family with most left for each that is at work on it. */
static void test_pick(void **state)
{
    (void)state;
    deal_unit unit[] = {{.own = 4, .family = 0},
                        {.own = 4, .family = 0},
                        {.own = 3, .family = 1},
                        {.own = 3, .family = 1},
                        {.own = 3, .family = 1}};
    const deal d = {.unit = unit, .count = 5, .families = 2};
    unit_state at[5] = {UNIT_FREE};
    assert_int_equal(deal_pick(&d, 5, state_in, at), 2);
    at[2] = UNIT_HELD;
    assert_int_equal(deal_pick(&d, 5, state_in, at), 0);
    assert_int_equal(deal_pick(&d, 2, state_in, at), 3);
    at[2] = UNIT_DONE; /* nobody is at work on the rest: 8 against 6 */
    assert_int_equal(deal_pick(&d, 5, state_in, at), 0);
    unit[1].own = 1; /* 5 against 6, and 5 against 3 for each of two */
    assert_int_equal(deal_pick(&d, 5, state_in, at), 3);
    at[4] = UNIT_HELD;
    assert_int_equal(deal_pick(&d, 5, state_in, at), 0);
    for (size_t i = 0; i < 5; i++) at[i] = i % 2 ? UNIT_DONE : UNIT_HELD;
    assert_int_equal(deal_pick(&d, 0, state_in, at), 5);
}

/* Every unit that has something left, once. */
static void test_dealer(void **state)
{
    (void)state;
    deal_unit unit[] = {{.own = 4, .family = 0}, {.own = 4, .family = 0}, {.own = 3, .family = 1}};
    const deal d = {.unit = unit, .count = 3, .families = 2};
    const size_t left[3] = {2, 0, 1};
    const ranks alone = {0, 1};
    dealer *s = NULL;
    size_t seen[3] = {0}, at;
    int more = 1;
    assert_int_equal(dealer_open(&s, &alone, &d, left, &err), PAL_OK);
    for (;;) {
        assert_int_equal(dealer_next(s, &at, &more, &err), PAL_OK);
        if (!more) break;
        assert_true(at < 3);
        seen[at]++;
    }
    assert_int_equal(seen[0] * 100 + seen[1] * 10 + seen[2], 101);
    dealer_close(s, 0);
}

/* ---- Leases ---- */

static void test_leases(void **state)
{
    (void)state;
    leases *a, *b;
    int taken, from, lost;
    assert_int_equal(leases_open(&a, path_of("leases"), 3, 60, &err), PAL_OK);
    assert_int_equal(leases_open(&b, path_of("leases"), 3, 60, &err), PAL_OK);
    assert_int_equal(leases_take(a, 0, &taken, &from, &err), PAL_OK);
    assert_true(taken && !from);
    /* Another that has not looked since does not get it either. */
    assert_int_equal(leases_take(b, 0, &taken, &from, &err), PAL_OK);
    assert_false(taken);
    assert_int_equal(leases_look(b, &err), PAL_OK);
    assert_int_equal(leases_state(b, 0), LEASE_HELD);
    assert_int_equal(leases_state(b, 1), LEASE_FREE);
    assert_int_equal(leases_done(a, &lost, &err), PAL_OK);
    assert_false(lost);
    assert_int_equal(leases_take(b, 0, &taken, &from, &err), PAL_OK); /* still not looked: done all the same */
    assert_false(taken);
    assert_int_equal(leases_look(b, &err), PAL_OK);
    assert_int_equal(leases_state(b, 0), LEASE_DONE);
    /* What is given back is free at once. */
    assert_int_equal(leases_take(a, 1, &taken, &from, &err), PAL_OK);
    leases_close(a);
    assert_int_equal(leases_look(b, &err), PAL_OK);
    assert_int_equal(leases_state(b, 1), LEASE_FREE);
    assert_int_equal(leases_take(b, 1, &taken, &from, &err), PAL_OK);
    assert_true(taken && from);
    leases_close(b);
}

/* One that gives no sign loses its unit, and is told so; one whose process is gone loses it at once. */
static void test_stale_leases(void **state)
{
    (void)state;
    leases *a, *b;
    int taken, from, lost;
    char holder[HOST_PROCESS + 16];
    FILE *file;
    assert_int_equal(os_make_dirs(path_of("stale"), &err), PAL_OK);
    /* Of another machine, and of a process that cannot run here. */
    file = fopen(path_of("stale/0.1"), "w");
    fprintf(file, "node7 elsewhere 12 34\n");
    fclose(file);
    assert_int_equal(leases_open(&b, path_of("stale"), 3, 0.4, &err), PAL_OK);
    assert_int_equal(leases_state(b, 0), LEASE_HELD);
    assert_string_equal(leases_holder(b, 0, holder), "node7, process 12");
    usleep(500000);
    assert_int_equal(leases_look(b, &err), PAL_OK);
    assert_int_equal(leases_state(b, 0), LEASE_FREE);
    assert_int_equal(leases_take(b, 0, &taken, &from, &err), PAL_OK);
    assert_true(taken && from);

    /* A holder that works is touched: it stays alive well beyond the time. */
    assert_int_equal(leases_open(&a, path_of("stale"), 3, 0.4, &err), PAL_OK);
    for (int i = 0; i < 10; i++) {
        usleep(100000);
        assert_int_equal(leases_look(a, &err), PAL_OK);
        assert_int_equal(leases_state(a, 0), LEASE_HELD);
    }
    /* Somebody took it over nevertheless. */
    file = fopen(path_of("stale/0.3"), "w");
    fclose(file);
    assert_int_equal(leases_done(b, &lost, &err), PAL_OK);
    assert_true(lost);

    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        leases *c;
        if (leases_open(&c, path_of("stale"), 3, 60, &err) == PAL_OK) leases_take(c, 2, &taken, &from, &err);
        kill(getpid(), SIGKILL);
    }
    waitpid(child, NULL, 0);
    assert_int_equal(leases_look(a, &err), PAL_OK);
    assert_int_equal(leases_state(a, 2), LEASE_FREE);
    leases_close(a);
    leases_close(b);
}

/* ---- The binary ---- */

#define EVAL(...)                                                                                                 \
    RUN("eval", weights_word, "len=1K", "n=4", "depths=0,50", "plots=0", "threads=1", "references=0", __VA_ARGS__)

static void check_same(const char *a, const char *b, const char *name)
{
    char path[2][200];
    snprintf(path[0], sizeof path[0], "%s/%s/%s", scratch, a, name);
    snprintf(path[1], sizeof path[1], "%s/%s/%s", scratch, b, name);
    char *x = slurp(path[0]), *y = slurp(path[1]);
    assert_string_equal(x, y);
    free(x);
    free(y);
}

static void check_whole(const char *name)
{
    check_same("one", name, "passkey-cells.csv");
    check_same("one", name, "passkey-table.md");
    char path[200];
    snprintf(path, sizeof path, "%s/%s/shards", scratch, name);
    assert_false(os_file_exists(path));
}

static void test_shards(void **state)
{
    (void)state;
    check_success(EVAL(results_word("one")));
    check_success(EVAL(results_word("cut"), "shard=1/3"));
    check_output_has("shard 1/3 is done");
    check_success(EVAL(results_word("cut"), "shard=3/3"));
    /* Holes are named, with who has them; what is there is taken in. */
    assert_int_equal(RUN("merge", results_word("cut"), "plots=0"), PAL_GATE);
    check_output_has("; shard 2/3 has to do");
    char *said = slurp(err_path);
    assert_non_null(strstr(said, "samples are missing; run those shards again"));
    free(said);
    assert_true(os_file_exists(path_of("cut/shards/passkey/3-of-3.jsonl")));
    /* Holes that lie side by side are of different parts. */
    check_success(EVAL(results_word("holes"), "shard=1/4"));
    assert_int_equal(RUN("merge", results_word("holes"), "plots=0"), PAL_GATE);
    for (int part = 2; part <= 4; part++) {
        char who[40];
        snprintf(who, sizeof who, "shard %d/4 has to do", part);
        check_output_has(who);
    }
    said = slurp(out_path);
    assert_null(strstr(said, " missing\n")); /* a hole that is nobody's */
    free(said);
    check_success(EVAL(results_word("cut"), "shard=2/3"));
    check_success(RUN("merge", results_word("cut"), "plots=0"));
    check_output_has("none missing");
    check_whole("cut");
    /* A late one finds nothing to do, and leaves nothing. */
    check_success(EVAL(results_word("cut"), "shard=2/3"));
    check_output_has("nothing is left to do");
    check_whole("cut");
    check_refusal(PAL_DATA, RUN("merge", results_word("cut")), "no shards there");
    check_refusal(PAL_USAGE, EVAL(results_word("cut"), "shard=5/4"), "no such part");
    check_refusal(PAL_USAGE, EVAL(results_word("cut"), "ranks=layers"), "there are no ranks; type mpirun");
}

static void test_auto(void **state)
{
    (void)state;
    check_success(EVAL(results_word("auto"), "shard=auto"));
    assert_true(os_file_exists(path_of("auto/shards/passkey/leases/0.done")));
    /* Its journal lost, all is free again. */
    char command[200];
    snprintf(command, sizeof command, "rm %s/auto/shards/passkey/*.jsonl", scratch);
    assert_int_equal(system(command), 0);
    check_success(EVAL(results_word("auto"), "shard=auto"));
    check_success(RUN("merge", results_word("auto"), "plots=0"));
    check_whole("auto");
}

/* What would compute something else is refused, by a line that names both. */
static void test_unlike(void **state)
{
    (void)state;
    check_success(EVAL(results_word("unlike"), "shard=1/2"));
    check_refusal(PAL_USAGE, EVAL(results_word("unlike"), "shard=2/2", "seed=7"), "the request");
    check_refusal(PAL_USAGE, EVAL(results_word("unlike"), "shard=2/3"), "a run in 2 shards");
    check_refusal(PAL_USAGE, EVAL(results_word("unlike"), "shard=auto"), "a run in 2 shards");
    check_refusal(PAL_USAGE, EVAL(results_word("unlike"), "shard=2/2", "model=infini-linear"), "the model");
    char core[64];
    snprintf(core, sizeof core, "%s", strcmp(gemm_core(), "Haswell") == 0 ? "Sandybridge" : "Haswell");
    setenv("OPENBLAS_CORETYPE", core, 1);
    check_refusal(PAL_USAGE, EVAL(results_word("unlike"), "shard=2/2"), core);
    unsetenv("OPENBLAS_CORETYPE");
    /* Another file under the same name. */
    assert_int_equal(rename(path_of("w/infini-linear.safetensors"), path_of("kept")), 0);
    char text[256] = "attention = infini-linear\nd_model = 32\nn_layers = 2\nn_heads = 2\nd_head = 16\nd_ff = 48\n"
                     "segment = 64\ninit_std = 0.2\n";
    assert_int_equal(tiny_model_save(path_of("w/infini-linear.safetensors"), tiny_model(text, 4), NULL, &err), 0);
    const int code = EVAL(results_word("unlike"), "shard=2/2");
    assert_int_equal(rename(path_of("kept"), path_of("w/infini-linear.safetensors")), 0);
    check_refusal(PAL_USAGE, code, "the weights");
}

/* Put `more` behind the first `mark` of a file's first sample, and make the record's checksum again. */
static void forge(const char *path, const char *mark, const char *more)
{
    static char text[200000];
    FILE *in = fopen(path, "r");
    text[fread(text, 1, sizeof text - 1, in)] = '\0';
    fclose(in);
    char *record = strstr(text, "\"kind\":\"sample\"");
    assert_non_null(record);
    while (record > text && record[-1] != '\n') record--;
    char *at = strstr(record, mark), *close = strstr(record, ",\"crc32\":"), *rest = strchr(record, '\n');
    assert_non_null(at);
    at += strlen(mark);
    char *line = NULL;
    const int body = asprintf(&line, "%.*s%s%.*s", (int)(at - record), record, more, (int)(close - at), at);
    const unsigned long crc = crc32(crc32(0, NULL, 0), (const Bytef *)line, (uInt)body);
    FILE *out = fopen(path, "w");
    fprintf(out, "%.*s%s,\"crc32\":\"%08lx\"}%s", (int)(record - text), text, line, crc, rest);
    fclose(out);
    free(line);
}

static size_t count_samples(const char *name)
{
    char path[200];
    size_t count = 0;
    snprintf(path, sizeof path, "%s/%s/passkey-journal.jsonl", scratch, name);
    char *text = slurp(path);
    for (const char *at = text; (at = strstr(at, "\"kind\":\"sample\"")); at++) count++;
    free(text);
    return count;
}

static void test_contradiction(void **state)
{
    (void)state;
    check_success(EVAL(results_word("clash"), "shard=1/2"));
    check_success(EVAL(results_word("clash"), "shard=2/2"));
    char *data = slurp(path_of("clash/shards/passkey/1-of-2.jsonl"));
    assert_int_equal(os_write_file(path_of("clash/shards/passkey/old.jsonl"), data, strlen(data), &err), PAL_OK);
    free(data);
    forge(path_of("clash/shards/passkey/old.jsonl"), "\"values\":{", "\"none\":1,");
    check_refusal(PAL_DATA, RUN("merge", results_word("clash"), "plots=0"), "hold different results");
    assert_true(os_file_exists(path_of("clash/shards/passkey/2-of-2.jsonl")));
    /* Nor is a journal of another run taken in. */
    check_success(EVAL(results_word("strange"), "shard=1/2", "seed=7"));
    data = slurp(path_of("strange/shards/passkey/1-of-2.jsonl"));
    assert_int_equal(os_write_file(path_of("clash/shards/passkey/old.jsonl"), data, strlen(data), &err), PAL_OK);
    free(data);
    check_refusal(PAL_DATA, RUN("merge", results_word("clash"), "plots=0"), "is not of the run");
    /* The same ones twice are no contradiction, and a record of a kind that tables do not know is passed over. */
    data = slurp(path_of("clash/shards/passkey/1-of-2.jsonl"));
    assert_int_equal(os_write_file(path_of("clash/shards/passkey/old.jsonl"), data, strlen(data), &err), PAL_OK);
    free(data);
    forge(path_of("clash/shards/passkey/old.jsonl"), "\"kind\":\"sample", "x");
    check_success(RUN("merge", results_word("clash"), "plots=0"));
    check_output_has("there twice and alike");
    check_whole("clash");
    assert_int_equal(count_samples("clash"), count_samples("one"));
}

/* A full disk: the shard says so, and the rerun goes on. The limit stands for the disk. */
static void test_full_disk(void **state)
{
    (void)state;
    char command[600];
    const char *binary = getenv("PALIMPSEST") ? getenv("PALIMPSEST") : "build/palimpsest";
    snprintf(command, sizeof command,
             "trap '' XFSZ; ulimit -f 12; exec %s eval %s len=1K n=4 depths=0,50 plots=0 threads=1 references=0 "
             "results=%s/full shard=1/2 >/dev/null 2>%s",
             binary, weights_word, scratch, err_path);
    const int status = system(command);
    check_refusal(PAL_INTERNAL, WEXITSTATUS(status), "1-of-2.jsonl");
    check_success(EVAL(results_word("full"), "shard=1/2"));
    check_success(EVAL(results_word("full"), "shard=2/2"));
    /* A merge that finds no room changes nothing. */
    snprintf(command, sizeof command,
             "trap '' XFSZ; ulimit -f 12; exec %s merge results=%s/full plots=0 >/dev/null 2>%s", binary, scratch,
             err_path);
    check_refusal(PAL_INTERNAL, WEXITSTATUS(system(command)), "passkey-journal.jsonl");
    assert_true(os_file_exists(path_of("full/shards/passkey/1-of-2.jsonl")));
    check_success(RUN("merge", results_word("full"), "plots=0"));
    check_whole("full");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),        cmocka_unit_test(test_bad_choice),
        cmocka_unit_test(test_deal),          cmocka_unit_test(test_pick),
        cmocka_unit_test(test_dealer),        cmocka_unit_test(test_leases),
        cmocka_unit_test(test_stale_leases),  cmocka_unit_test(test_shards),
        cmocka_unit_test(test_auto),          cmocka_unit_test(test_unlike),
        cmocka_unit_test(test_contradiction), cmocka_unit_test(test_full_disk),
    };
    set_variables("");
    return gemm_setup(1, &err) || cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}

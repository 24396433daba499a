/* What training measures on held-out sequences, and its log, which says so: weights do not depend on them. */
#include "tests/lib/train_lab.h"

#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>

/* The last number of the last row of a CSV. */
static double last_number(const char *name)
{
    pal_error err;
    char *data;
    size_t size;
    assert_int_equal(os_read_file(path_of(name), &data, &size, &err), PAL_OK);
    assert_true(size > 1 && data[size - 1] == '\n');
    data[size - 1] = '\0';
    const char *comma = strrchr(data, ',');
    const double value = strtod(comma + 1, NULL);
    free(data);
    return value;
}

static size_t count_lines(const char *name, const char *ending)
{
    pal_error err;
    char *data;
    size_t size, count = 0;
    assert_int_equal(os_read_file(path_of(name), &data, &size, &err), PAL_OK);
    for (char *line = strtok(data, "\n"); line; line = strtok(NULL, "\n")) {
        const size_t length = strlen(line), end = strlen(ending);
        count += length >= end && strcmp(line + length - end, ending) == 0;
    }
    free(data);
    return count;
}

/* Weights do not depend on it, its values not on threads or kills; it is measured when it is due. */
static void validation_leaves_the_weights_alone(void **unused)
{
    (void)unused;
    pal_error err;
    const char *validating = "threads = 1\nval_every = 4\nval_tokens = 1500\n";
    if (train("infini-gated", "plain", "threads = 2\n", &err) != PAL_OK) fail_msg("%s", err.text);
    if (train("infini-gated", "valid", validating, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_same_file("plain", "valid");
    /* Rows every 2 steps, 20 steps; five of them measured. */
    assert_int_equal(count_lines("valid.csv", ""), 11);
    assert_int_equal(count_lines("valid.csv", ","), 5);
    assert_int_equal(count_lines("plain.csv", ",lr"), 1);
    assert_int_equal(count_lines("valid.csv", ",lr,val_loss"), 1);
    assert_true(last_number("valid.csv") > 0 && last_number("valid.csv") < 7);
    for (useconds_t wait = 30000; !os_file_exists(path_of("valid-killed")); wait += 30000) {
        const pid_t child = fork();
        if (child == 0)
            _exit(train("infini-gated", "valid-killed", "threads = 2\nval_every = 4\nval_tokens = 1500\n", &err));
        usleep(wait);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    if (train("infini-gated", "valid-killed", validating, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_same_file("valid.csv", "valid-killed.csv");
}

static void write_document(const char *folder, const char *split, unsigned draw, size_t size)
{
    char path[200], text[4096];
    pal_error err;
    snprintf(path, sizeof path, "%s/%s", path_of(folder), split);
    assert_int_equal(os_make_dirs(path, &err), PAL_OK);
    for (size_t i = 0; i < size; i++) {
        draw = draw * 1103515245u + 12345u;
        text[i] = (char)('a' + (draw >> 16) % 11);
    }
    snprintf(path, sizeof path, "%s/%s/only.txt", path_of(folder), split);
    assert_int_equal(os_write_file(path, text, size, &err), PAL_OK);
}

/* With weights that stand still, and the same document to train on and to validate with, the losses are the same.
 */
static void validation_loss_is_the_loss(void **unused)
{
    (void)unused;
    pal_error err;
    write_document("same", "train", 5, 2049);
    write_document("same", "validation", 5, 2049);
    write_document("other", "train", 5, 2049);
    write_document("other", "validation", 6, 2049);
    static const char *const modules[] = {"infini-delta", "transformer-xl", "local"};
    for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++) {
        for (int other = 0; other < 2; other++) {
            char lines[500], out[64], csv[80];
            snprintf(lines, sizeof lines,
                     "task = perplexity\ndata = %s\nlr = 0\nlr_floor = 0\nweight_decay = 0\nbatch_tokens = 256\n"
                     "train_len = 256\ntrain_steps = 8\nlog_every = 8\ncheckpoint_every = 8\nval_every = 8\n"
                     "val_tokens = 2K\n",
                     path_of(other ? "other" : "same"));
            snprintf(out, sizeof out, "still-%s-%d", modules[i], other);
            snprintf(csv, sizeof csv, "%s.csv", out);
            if (train(modules[i], out, lines, &err) != PAL_OK) fail_msg("%s", err.text);
            char *data;
            size_t size;
            assert_int_equal(os_read_file(path_of(csv), &data, &size, &err), PAL_OK);
            double loss = 0;
            assert_int_equal(sscanf(strchr(data, '\n') + 1, "8,256,2048,%lf", &loss), 1);
            free(data);
            const double difference = fabs(last_number(csv) - loss);
            assert_true(other ? difference > 1e-4 : difference < 2e-5);
        }
    }
}

/* The two settings lead to other weights. */
static void check_matters(const char *name, const char *one, const char *other)
{
    pal_error err;
    char a[48], b[48], lines[2][200], *data[2];
    size_t size[2];
    snprintf(a, sizeof a, "%s-a", name);
    snprintf(b, sizeof b, "%s-b", name);
    snprintf(lines[0], sizeof lines[0], "threads = 1\n%s", one);
    snprintf(lines[1], sizeof lines[1], "threads = 1\n%s", other);
    if (train("infini-linear", a, lines[0], &err) != PAL_OK) fail_msg("%s", err.text);
    if (train("infini-linear", b, lines[1], &err) != PAL_OK) fail_msg("%s", err.text);
    strcat(a, ".csv");
    strcat(b, ".csv");
    assert_int_equal(os_read_file(path_of(a), &data[0], &size[0], &err), PAL_OK);
    assert_int_equal(os_read_file(path_of(b), &data[1], &size[1], &err), PAL_OK);
    if (size[0] == size[1] && memcmp(data[0], data[1], size[0]) == 0) fail_msg("%s changes nothing", name);
    free(data[0]);
    free(data[1]);
}

static void settings_reach_the_step(void **unused)
{
    (void)unused;
    check_matters("floor", "lr = 2e-3\nlr_floor = 1e-4\n", "lr = 2e-3\nlr_floor = 2e-3\n");
    check_matters("times", "lead_len = 64\nlead_times = 1\n", "lead_len = 64\nlead_times = 2000\n");
    check_matters("lead", "lead_len = 0\n", "lead_len = 64\nlead_times = 1\n");
}

static void validation_says_what_it_lacks(void **unused)
{
    (void)unused;
    pal_error err;
    write_document("lone", "train", 5, 2049);
    char lines[400];
    snprintf(lines, sizeof lines, "task = perplexity\ndata = %s\nval_every = 4\n", path_of("lone"));
    const int code = train("local", "lacking", lines, &err);
    assert_true(code == PAL_USAGE || code == PAL_DATA);
    assert_non_null(strstr(err.text, "val_every=4: "));
    assert_non_null(strstr(err.text, "val_split="));
    assert_int_equal(train("local", "lacking", "val_every = 3\n", &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "not a multiple of log_every=2, whose rows carry it; use 4"));
}

static double member(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    if (!json_is_number(value)) fail_msg("no number \"%s\"", key);
    return json_number_value(value);
}

/* JSON lines with the same numbers, also of a run that was killed. */
static void log_as_json_lines(void **unused)
{
    (void)unused;
    pal_error err;
    const char *lines = "threads = 1\nval_every = 4\nval_tokens = 1500\nlog_format = jsonl\n";
    for (useconds_t wait = 60000; !os_file_exists(path_of("lined")); wait += 60000) {
        const pid_t child = fork();
        if (child == 0) _exit(train("infini-gated", "lined", lines, &err));
        usleep(wait);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    if (train("infini-gated", "lined", lines, &err) != PAL_OK) fail_msg("%s", err.text);
    FILE *file = fopen(path_of("lined.jsonl"), "r"), *csv = fopen(path_of("valid.csv"), "r");
    assert_non_null(file);
    assert_non_null(csv); /* of validation_leaves_the_weights_alone: the same recipe */
    char line[1000], expected[1000];
    assert_non_null(fgets(expected, sizeof expected, csv));
    int rows = 0;
    while (fgets(line, sizeof line, file)) {
        json_t *row = json_loads(line, 0, NULL);
        assert_non_null(row);
        assert_non_null(fgets(expected, sizeof expected, csv));
        double step, length, tokens, loss, lr, validation;
        assert_int_equal(sscanf(expected, "%lf,%lf,%lf,%lf,%*f,%*f,%*f,%lf", &step, &length, &tokens, &loss, &lr),
                         5);
        assert_true(member(row, "step") == step && member(row, "length") == length);
        assert_true(member(row, "tokens") == tokens && member(row, "loss") == loss && member(row, "lr") == lr);
        assert_true(member(row, "seconds") >= 0);
        if (sscanf(strrchr(expected, ',') + 1, "%lf", &validation) == 1)
            assert_true(member(row, "val_loss") == validation);
        else
            assert_null(json_object_get(row, "val_loss"));
        json_decref(row);
        rows++;
    }
    assert_int_equal(rows, 10);
    fclose(file);
    fclose(csv);
    assert_true(os_file_exists(path_of("lined-gates.jsonl")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(validation_leaves_the_weights_alone),
        cmocka_unit_test(validation_loss_is_the_loss),
        cmocka_unit_test(validation_says_what_it_lacks),
        cmocka_unit_test(settings_reach_the_step),
        cmocka_unit_test(log_as_json_lines),
    };
    return cmocka_run_group_tests_name("train_validation", tests, make_scratch, remove_scratch);
}

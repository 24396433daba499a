/* The passkey scores and records. */
#include "tests/lib/passkey_lab.h"
#include "tests/lib/shape_of.h"

#include "datasets/tokenizer/bytes.h"
#include <math.h>

static void values_and_metrics(void **state)
{
    (void)state;
    const char *const names[VALUES] = {"token_accuracy", "exact_match", "first_integer", "answer_nll",
                                       "swapped_accuracy"};
    assert_int_equal(task()->value_count, VALUES);
    assert_int_equal(task()->metric_count, VALUES);
    for (int i = 0; i < VALUES; i++) {
        const task_metric *m = &task()->metric[i];
        assert_string_equal(task()->value[i], names[i]);
        assert_string_equal(m->name, names[i]);
        assert_int_equal(m->value, i);
        assert_int_equal(m->over, -1);
        assert_int_equal(m->kind, i == ANSWER_NLL ? METRIC_RATIO : METRIC_SHARE);
        assert_int_equal(m->higher_is_better, i != ANSWER_NLL);
        assert_int_equal(m->samples, i == EXACT_MATCH || i == FIRST_INTEGER ? METRIC_HITS
                                     : i == ANSWER_NLL                      ? METRIC_NUMBERS
                                                                            : METRIC_COUNTS);
        assert_int_equal(m->detail, i == SWAPPED_ACCURACY);
    }
}

static void digits_right_and_wrong(void **state)
{
    (void)state;
    planned p = plan(bytes, WORDS("len=400", "depths=50", "n=1"));
    task_sample *s = open_sample(&p, 0, 0);
    double value[VALUES];
    char record[RECORD], key[6], choice[6], generated[16], expected[64];
    snprintf(key, sizeof key, "%05d", sample_key(&p, 0, 0));
    snprintf(generated, sizeof generated, " %s", key); /* as many tokens as are asked for */
    task_decoding decoding;
    decoding = shape_of(task(), s).decoding;
    assert_int_equal(decoding.max_tokens, 6);
    assert_true(decoding.temperature == 0);
    assert_int_equal(decoding.stop, -1);
    memcpy(choice, key, sizeof choice);
    for (int wrong = 0; wrong <= 5; wrong++) {
        if (wrong) choice[wrong - 1] = key[wrong - 1] == '9' ? '0' : key[wrong - 1] + 1;
        score(&p, s, choice, generated, value, record);
        assert_true(value[TOKEN_ACCURACY] == (5 - wrong) / 5.0);
        assert_true(value[EXACT_MATCH] == (wrong == 0));
        assert_true(value[FIRST_INTEGER] == 1); /* the generated text alone counts */
        assert_true(value[ANSWER_NLL] == 1);
        assert_true(value[SWAPPED_ACCURACY] == 1); /* nothing was swapped */
        snprintf(expected, sizeof expected, "{\"key\":\"%s\",", key);
        assert_ptr_equal(strstr(record, expected), record);
        snprintf(expected, sizeof expected, "\"argmax\":\"%s\",\"generated\":\"%s\"}", choice, generated);
        assert_non_null(strstr(record, expected));
    }
    task()->eval->close(s);
    drop(&p);
}

/* With "12" as one token: accuracy is of digits, exact match of the string. */
static void grouped_digits(void **state)
{
    (void)state;
    tokenizer *t = bpe_of_one_merge('1', '2');
    planned p = plan(t, WORDS("len=400", "depths=50", "n=400"));
    static sample_text sample;
    int grouped = 0;
    for (int64_t index = 0; index < 400; index++) {
        task_sample *s = open_sample(&p, 0, index);
        const sample_shape shape = shape_of(task(), s);
        read_sample(&p, s, 4096, &sample);
        const int32_t *truth = sample.token + shape.score_from;
        const size_t count = (size_t)(shape.tokens - shape.score_from);
        assert_int_equal(shape.decoding.max_tokens, count + 1); /* a space and the digits */
        const double nll[5] = {1, 1, 1, 1, 1};
        int32_t choice[5];
        double value[VALUES];
        char record[RECORD], counted[32];
        memcpy(choice, truth, count * sizeof *choice);
        task_output out = {shape.score_from, count, nll, choice, sample.token + shape.prompt, count + 1};
        task()->eval->score(s, &out, value, record, sizeof record);
        assert_true(value[TOKEN_ACCURACY] == 1 && value[EXACT_MATCH] == 1 && value[FIRST_INTEGER] == 1);
        assert_true(value[ANSWER_NLL] == (double)count / 5 && value[SWAPPED_ACCURACY] == 1);
        snprintf(counted, sizeof counted, "\"answer_tokens\":%zu,", count);
        assert_non_null(strstr(record, counted));
        /* A wrong choice costs the digits that its token holds in their places. */
        for (size_t i = 0; i < count; i++) {
            const int two = truth[i] == 256;
            grouped += two;
            choice[i] = two ? '1' : truth[i] == 'x' ? 'y' : 'x'; /* "1" is half of "12" */
            task()->eval->score(s, &out, value, record, sizeof record);
            assert_true(value[TOKEN_ACCURACY] == 4 / 5.0 && value[EXACT_MATCH] == 0 && value[FIRST_INTEGER] == 1);
            choice[i] = truth[i];
        }
        task()->eval->close(s);
    }
    assert_true(grouped > 0);
    drop(&p);
    tokenizer_destroy(t);
}

static void first_integer_of_the_generated_text(void **state)
{
    (void)state;
    planned p = plan(bytes, WORDS("len=400", "depths=50", "n=1000"));
    int leading_zero = 0;
    for (int64_t index = 0; index < 1000; index++) {
        const int key = sample_key(&p, 0, index);
        if (key == 0) continue; /* 00 is still zero */
        leading_zero += key < 10000;
        task_sample *s = open_sample(&p, 0, index);
        char text[9][9], record[RECORD];
        double value[VALUES];
        snprintf(text[0], 9, "%05d", key);
        snprintf(text[1], 9, " 0%05d", key);
        snprintf(text[2], 9, "is %d", key);
        snprintf(text[3], 9, "\n%05d.1", key);
        snprintf(text[4], 9, "no idea");
        snprintf(text[5], 9, "1 %05d", key);
        snprintf(text[6], 9, "%05d0", key);
        snprintf(text[7], 9, "7%05d", key);
        text[8][0] = '\0';
        for (int i = 0; i < 9; i++) {
            score(&p, s, "?????", text[i], value, record);
            assert_true(value[FIRST_INTEGER] == (key == 1 && i == 5 ? 1 : i < 4));
        }
        task()->eval->close(s);
    }
    assert_true(leading_zero > 50);
    drop(&p);
}

/* ---- JSON ---- */

/* The end of a JSON string that starts at text[0] == '"', or NULL; its bytes (all \u are below 256) in out. */
static const char *json_string(const char *text, unsigned char *out, size_t *size)
{
    *size = 0;
    if (*text++ != '"') return NULL;
    while (*text != '"') {
        const unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c >= 0x80) return NULL; /* ASCII alone is UTF-8 in any case */
        unsigned code = c;
        if (c == '\\' && (text[1] == '"' || text[1] == '\\')) {
            code = (unsigned char)text[1];
            text += 2;
        } else if (c == '\\') {
            int used = 0;
            if (sscanf(text, "\\u%4x%n", &code, &used) != 1 || used != 6 || code > 255) return NULL;
            text += 6;
        } else {
            text++;
        }
        out[(*size)++] = (unsigned char)code;
    }
    return text + 1;
}

/* A flat object of strings and numbers; the value of "generated" in out. Returns 0 where it is not valid. */
static int json_generated(const char *record, unsigned char *out, size_t *size)
{
    unsigned char name[256];
    size_t name_size;
    if (*record++ != '{') return 0;
    if (strcmp(record, "}") == 0) return 1;
    for (;;) {
        if (!(record = json_string(record, name, &name_size)) || *record++ != ':') return 0;
        name[name_size] = '\0';
        if (*record == '"') {
            unsigned char value[256];
            size_t value_size;
            if (!(record = json_string(record, value, &value_size))) return 0;
            if (strcmp((const char *)name, "generated") == 0) {
                memcpy(out, value, value_size);
                *size = value_size;
            }
        } else {
            char *end;
            strtod(record, &end);
            if (end == record) return 0;
            record = end;
        }
        if (*record == '}') return record[1] == '\0';
        if (*record++ != ',') return 0;
    }
}

static void records_are_json_whatever_is_generated(void **state)
{
    (void)state;
    planned p = plan(bytes, WORDS("len=300", "depths=33.3333333333", "n=1"));
    task_sample *s = open_sample(&p, 0, 0);
    const double nll[5] = {0, 1, INFINITY, NAN, 1};
    for (int32_t first = -8; first <= 260; first++) {
        int32_t made[8];
        unsigned char back[64] = {0};
        size_t size = 0;
        double value[VALUES];
        char record[RECORD];
        for (int i = 0; i < 8; i++) made[i] = first + i;
        const task_output out = {shape_of(task(), s).score_from, 5, nll, made, made, 8};
        task()->eval->score(s, &out, value, record, sizeof record);
        assert_true(json_generated(record, back, &size));
        assert_int_equal(size, 8);
        for (int i = 0; i < 8; i++) assert_int_equal(back[i], made[i] < 0 || made[i] > 255 ? '?' : made[i]);
        const size_t needed = strlen(record) + 1;
        assert_true(needed <= 1500);

        /* Too little room: never half an object, never a byte beyond. */
        for (size_t room = 1; room <= needed; room++) {
            char *small = malloc(room);
            task()->eval->score(s, &out, value, small, room);
            assert_true(small[0] == '\0' || json_generated(small, back, &size));
            if (room == needed) assert_string_equal(small, record);
            free(small);
        }
    }
    task()->eval->close(s);
    drop(&p);
}

/* Positions scored may start before the answer. */
static void score_of_a_longer_output(void **state)
{
    (void)state;
    planned p = plan(bytes, WORDS("len=300", "depths=0", "n=1"));
    char key[6], record[RECORD];
    double value[VALUES];
    snprintf(key, sizeof key, "%05d", sample_key(&p, 0, 0));
    task_sample *s = open_sample(&p, 0, 0);
    int32_t choice[8] = {' ', 'i', 's'};
    const double nll[8] = {100, 100, 100, 2, 2, 2, 2, 2};
    bytes_encode(key, 5, choice + 3);
    const task_output out = {shape_of(task(), s).score_from - 3, 8, nll, choice, choice, 0};
    task()->eval->score(s, &out, value, record, sizeof record);
    assert_true(value[TOKEN_ACCURACY] == 1 && value[EXACT_MATCH] == 1 && value[ANSWER_NLL] == 2);
    task()->eval->close(s);
    drop(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_metrics),
        cmocka_unit_test(digits_right_and_wrong),
        cmocka_unit_test(grouped_digits),
        cmocka_unit_test(first_integer_of_the_generated_text),
        cmocka_unit_test(records_are_json_whatever_is_generated),
        cmocka_unit_test(score_of_a_longer_output),
    };
    return cmocka_run_group_tests_name("passkey_score", tests, open_bytes, close_bytes);
}

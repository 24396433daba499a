/* The passkey evaluation: text built to the token, needle depth, keys, scores and records. */
#include "tests/passkey_parse.h"

#include "tasks/passkey_text.h"
#include "tasks/task.h"
#include <math.h>

enum { TEXT_MAX = 65536, RECORD = 512 };

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* A request and its cells. */
typedef struct planned {
    void *request;
    task_cell *cells;
    size_t count;
} planned;

static const task_module *task(void)
{
    return task_find("passkey");
}

static planned plan(const char *const *words)
{
    planned p = {settings(task()->request_table, task()->request_count, task()->request_bytes, words), NULL, 0};
    pal_error err = {0};
    assert_int_equal(task()->plan(p.request, &p.cells, &p.count, &err), PAL_OK);
    return p;
}

static void drop(planned *p)
{
    free(p->request);
    free(p->cells);
}

static task_sample *open_sample(const planned *p, size_t cell, int64_t index)
{
    pal_error err = {0};
    task_sample *s = NULL;
    assert_int_equal(task()->open(p->request, &p->cells[cell], index, &s, &err), PAL_OK);
    return s;
}

/* The whole text in reads of `chunk` tokens; its size. */
static int64_t read_text(task_sample *s, size_t chunk, char *text)
{
    static int32_t tokens[TEXT_MAX];
    int64_t size = 0;
    for (size_t got; (got = task()->read(s, tokens, chunk)) > 0; size += (int64_t)got) {
        assert_true(got <= chunk && size + (int64_t)got < TEXT_MAX);
        bytes_decode(tokens, got, text + size);
    }
    assert_int_equal(task()->read(s, tokens, chunk), 0);
    return size;
}

/* Score as if the model had chosen `argmax` (5 digits, 1 nat each) and generated the bytes of `generated`. */
static void score(const task_sample *s, const char *argmax, const char *generated, double *metric, char *record)
{
    int32_t choice[5], made[8];
    const double nll[5] = {0, 0.5, 1, 1.5, 2};
    bytes_encode(argmax, 5, choice);
    bytes_encode(generated, strlen(generated), made);
    const task_output out = {task()->score_from(s), 5, nll, choice, made, strlen(generated)};
    task()->score(s, &out, metric, record, RECORD);
}

static double record_number(const char *record, const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *found = strstr(record, quoted);
    assert_non_null(found);
    return atof(found + strlen(quoted));
}

static void exact_length_and_paper_text(void **state)
{
    (void)state;
    static char text[TEXT_MAX];
    static parsed got;
    for (int64_t length = 400; length <= 1200; length++) {
        char word[32], record[RECORD];
        double metric[TASK_METRICS];
        snprintf(word, sizeof word, "len=%lld", (long long)length);
        planned p = plan(WORDS(word, "depths=0,10,50,90,100", "n=2"));
        assert_int_equal(p.count, 5);
        for (size_t c = 0; c < p.count; c++) {
            task_sample *s = open_sample(&p, c, length % 2);
            assert_int_equal(task()->prompt_tokens(s), length - 6);
            assert_int_equal(task()->score_from(s), length - 5);
            assert_int_equal(read_text(s, 100, text), length);
            parse_passkey(text, length, &got);
            assert_true(got.header);
            assert_int_equal(got.questions, 1);
            assert_int_equal(got.answer[0], length - 5);

            const int64_t header = (int64_t)strlen(HEADER), before = got.needle - header;
            const double room = (double)(before + got.gap[0]), depth = p.cells[c].depth;
            const double jitter = depth > 0 && depth < 100 ? 0.02 * room : 0;
            assert_true(fabs((double)before - room * depth / 100) <= jitter + 22);
            if (depth == 0) assert_true(before < 22);
            if (depth == 100) assert_int_equal(got.gap[0], 0);

            score(s, got.key, got.key, metric, record);
            assert_true(record_number(record, "needle_offset") == (double)got.needle);
            assert_true(record_number(record, "depth") == depth);
            assert_true(fabs(record_number(record, "depth_actual") - 100 * (double)before / room) < 1e-6);
            task()->close(s);
        }
        drop(&p);
    }
}

static void long_samples_have_their_length(void **state)
{
    (void)state;
    static int32_t tokens[4096];
    planned p = plan(WORDS("len=32K,1M", "depths=50", "n=1"));
    const int64_t lengths[] = {32768, 1048576};
    for (size_t c = 0; c < 2; c++) {
        task_sample *s = open_sample(&p, c, 0);
        int64_t size = 0, keys = 0;
        for (size_t got; (got = task()->read(s, tokens, 4096)) > 0; size += (int64_t)got)
            for (size_t i = 0; i < got; i++) keys += tokens[i] == '?' || (tokens[i] >= '0' && tokens[i] <= '9');
        assert_int_equal(size, lengths[c]);
        assert_int_equal(keys, 1 + 3 * 5); /* one question, the key three times */
        task()->close(s);
    }
    drop(&p);
}

static void chunked_reads_agree(void **state)
{
    (void)state;
    static char whole[TEXT_MAX], text[TEXT_MAX];
    planned p = plan(WORDS("len=777", "depths=33"));
    const size_t chunks[] = {1, 2, 3, 7, 64, 151, 776, 777, 5000};
    task_sample *s = open_sample(&p, 0, 4);
    assert_int_equal(read_text(s, 777, whole), 777);
    task()->close(s);
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        s = open_sample(&p, 0, 4);
        assert_int_equal(read_text(s, chunks[i], text), 777);
        assert_memory_equal(whole, text, 777);
        task()->close(s);
    }
    drop(&p);
}

static void interior_depths_vary(void **state)
{
    (void)state;
    static char text[TEXT_MAX];
    static parsed got;
    for (int with = 0; with < 2; with++) {
        planned p = plan(WORDS("len=32K", "depths=50", "n=60", with ? "jitter=2" : "jitter=0"));
        int seen[128] = {0}, distinct = 0;
        for (int64_t i = 0; i < 60; i++) {
            task_sample *s = open_sample(&p, 0, i);
            const int64_t size = read_text(s, 4096, text);
            parse_passkey(text, size, &got);
            const double room = (double)(size - 251);
            assert_true(fabs((double)got.needle - 149 - room / 2) <= 0.02 * room * with + 22);
            distinct += !seen[got.needle % 128]++;
            task()->close(s);
        }
        assert_true(with ? distinct > 30 : distinct == 1);
        drop(&p);
    }
}

/* The key of a sample, from its text. */
static int sample_key(const planned *p, size_t cell, int64_t index)
{
    static char text[TEXT_MAX];
    task_sample *s = open_sample(p, cell, index);
    const int64_t size = read_text(s, 4096, text);
    task()->close(s);
    return atoi(text + size - 5);
}

static void keys_unique_and_apart_from_training(void **state)
{
    (void)state;
    static char used[PASSKEY_KEYS];
    memset(used, 0, sizeof used);
    int all = 0, digit[5][10] = {{0}};
    for (int key = 0; key < PASSKEY_KEYS; key++) all += passkey_is_eval_key(key);
    assert_int_equal(all, PASSKEY_EVAL_KEYS);

    planned p = plan(WORDS("len=251,252", "depths=0", "n=10000"));
    planned other = plan(WORDS("len=251", "depths=0", "n=10000", "seed=2"));
    int same_cell = 0, same_seed = 0;
    for (int64_t i = 0; i < 10000; i++) {
        const int key = sample_key(&p, 0, i);
        assert_true(passkey_is_eval_key(key));
        assert_false(used[key]);
        used[key] = 1;
        for (int d = 0, rest = key; d < 5; d++, rest /= 10) digit[d][rest % 10]++;
        same_cell += key == sample_key(&p, 1, i);
        same_seed += key == sample_key(&other, 0, i);
    }
    /* about 1000 of each digit in each place, standard deviation 30 */
    for (int d = 0; d < 5; d++)
        for (int v = 0; v < 10; v++) assert_in_range(digit[d][v], 850, 1150);
    assert_true(same_cell < 10 && same_seed < 10); /* 1 expected */
    drop(&p);
    drop(&other);
}

static void first_keys_of_a_cell_look_random(void **state)
{
    (void)state;
    /* Independent of the 10000 together: the first 20 of each of 50 seeds. */
    int digit[5][10] = {{0}};
    for (int seed = 0; seed < 50; seed++) {
        char word[32];
        snprintf(word, sizeof word, "seed=%d", seed);
        planned p = plan(WORDS("len=400", "depths=50", "n=20", word));
        for (int64_t i = 0; i < 20; i++)
            for (int d = 0, rest = sample_key(&p, 0, i); d < 5; d++, rest /= 10) digit[d][rest % 10]++;
        drop(&p);
    }
    for (int d = 0; d < 5; d++)
        for (int v = 0; v < 10; v++) assert_in_range(digit[d][v], 60, 145);
}

static void samples_depend_on_their_index_only(void **state)
{
    (void)state;
    planned p = plan(WORDS("len=600,700", "depths=0,50", "n=10"));
    planned more = plan(WORDS("len=700", "depths=50,100", "n=500"));
    int forward[10];
    for (int64_t i = 0; i < 10; i++) forward[i] = sample_key(&p, 3, i);
    for (int64_t i = 9; i >= 0; i--) {
        assert_int_equal(sample_key(&p, 3, i), forward[i]);
        assert_int_equal(sample_key(&more, 0, i), forward[i]); /* same cell of a larger request */
    }
    drop(&p);
    drop(&more);
}

enum { TOKEN_ACCURACY, EXACT_MATCH, FIRST_INTEGER, ANSWER_NLL, METRICS };

static void metrics_and_their_directions(void **state)
{
    (void)state;
    const char *const names[METRICS] = {"token_accuracy", "exact_match", "first_integer", "answer_nll"};
    assert_int_equal(task()->metric_count, METRICS);
    for (int i = 0; i < METRICS; i++) {
        assert_string_equal(task()->metric[i].name, names[i]);
        assert_int_equal(task()->metric[i].higher_is_better, i != ANSWER_NLL);
        assert_int_equal(task()->metric[i].binomial, i == EXACT_MATCH || i == FIRST_INTEGER);
    }
}

static void digits_right_and_wrong(void **state)
{
    (void)state;
    planned p = plan(WORDS("len=400", "depths=50", "n=1"));
    task_sample *s = open_sample(&p, 0, 0);
    double metric[TASK_METRICS];
    char record[RECORD], key[6], choice[6], generated[16], expected[64];
    snprintf(key, sizeof key, "%05d", sample_key(&p, 0, 0));
    snprintf(generated, sizeof generated, " %s. ", key);
    assert_int_equal(task()->generate(s), 6);
    memcpy(choice, key, sizeof choice);
    for (int wrong = 0; wrong <= 5; wrong++) {
        if (wrong) choice[wrong - 1] = key[wrong - 1] == '9' ? '0' : key[wrong - 1] + 1;
        score(s, choice, generated, metric, record);
        assert_true(metric[TOKEN_ACCURACY] == (5 - wrong) / 5.0);
        assert_true(metric[EXACT_MATCH] == (wrong == 0));
        assert_true(metric[FIRST_INTEGER] == 1); /* the generated text alone counts */
        assert_true(metric[ANSWER_NLL] == 1);
        snprintf(expected, sizeof expected, "{\"key\":\"%s\",", key);
        assert_ptr_equal(strstr(record, expected), record);
        snprintf(expected, sizeof expected, "\"argmax\":\"%s\",\"generated\":\"%s\"}", choice, generated);
        assert_non_null(strstr(record, expected));
    }
    task()->close(s);
    drop(&p);
}

static void first_integer_of_the_generated_text(void **state)
{
    (void)state;
    planned p = plan(WORDS("len=400", "depths=50", "n=1000"));
    int leading_zero = 0;
    for (int64_t index = 0; index < 1000; index++) {
        const int key = sample_key(&p, 0, index);
        if (key == 0) continue; /* 00 is still zero */
        leading_zero += key < 10000;
        task_sample *s = open_sample(&p, 0, index);
        char text[9][9], record[RECORD];
        double metric[TASK_METRICS];
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
            score(s, "?????", text[i], metric, record);
            assert_true(metric[FIRST_INTEGER] == (key == 1 && i == 5 ? 1 : i < 4));
        }
        task()->close(s);
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
    planned p = plan(WORDS("len=300", "depths=33.3333333333", "n=1"));
    task_sample *s = open_sample(&p, 0, 0);
    const double nll[5] = {0, 1, INFINITY, NAN, 1};
    for (int32_t first = -8; first <= 260; first++) {
        int32_t made[8];
        unsigned char back[64] = {0};
        size_t size = 0;
        double metric[TASK_METRICS];
        char record[RECORD];
        for (int i = 0; i < 8; i++) made[i] = first + i;
        const task_output out = {task()->score_from(s), 5, nll, made, made, 8};
        task()->score(s, &out, metric, record, sizeof record);
        assert_true(json_generated(record, back, &size));
        assert_int_equal(size, 8);
        for (int i = 0; i < 8; i++) assert_int_equal(back[i], made[i] < 0 || made[i] > 255 ? '?' : made[i]);
        const size_t needed = strlen(record) + 1;
        assert_true(needed <= 300);

        /* Too little room: never half an object, never a byte beyond. */
        for (size_t room = 1; room <= needed; room++) {
            char *small = malloc(room);
            task()->score(s, &out, metric, small, room);
            assert_true(small[0] == '\0' || json_generated(small, back, &size));
            if (room == needed) assert_string_equal(small, record);
            free(small);
        }
    }
    task()->close(s);
    drop(&p);
}

/* Positions scored may start before the answer. */
static void score_of_a_longer_output(void **state)
{
    (void)state;
    planned p = plan(WORDS("len=300", "depths=0", "n=1"));
    char key[6], record[RECORD];
    double metric[TASK_METRICS];
    snprintf(key, sizeof key, "%05d", sample_key(&p, 0, 0));
    task_sample *s = open_sample(&p, 0, 0);
    int32_t choice[8] = {' ', 'i', 's'};
    const double nll[8] = {100, 100, 100, 2, 2, 2, 2, 2};
    bytes_encode(key, 5, choice + 3);
    const task_output out = {task()->score_from(s) - 3, 8, nll, choice, choice, 0};
    task()->score(s, &out, metric, record, sizeof record);
    assert_true(metric[TOKEN_ACCURACY] == 1 && metric[EXACT_MATCH] == 1 && metric[ANSWER_NLL] == 2);
    task()->close(s);
    drop(&p);
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    const kv_spec *table = task()->request_table;
    pal_error err = {0};
    task_cell *cells = NULL;
    size_t count = 0;
    char *request = settings(table, task()->request_count, task()->request_bytes, WORDS("n=1"));
    kv_list *length = (kv_list *)(request + kv_find(table, task()->request_count, "len")->offset);
    kv_list *depths = (kv_list *)(request + kv_find(table, task()->request_count, "depths")->offset);
    int64_t *samples = (int64_t *)(request + kv_find(table, task()->request_count, "n")->offset);

    length->value[0] = 250;
    assert_int_equal(task()->plan(request, &cells, &count, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "250"));
    assert_non_null(strstr(err.text, "251"));
    length->value[0] = 251;
    assert_int_equal(task()->plan(request, &cells, &count, &err), PAL_OK);
    assert_int_equal(count, 3);
    assert_string_equal(cells[1].name, "len=251,depth=50");
    task_sample *s = NULL;
    assert_int_equal(task()->open(request, &cells[0], 1, &s, &err), PAL_USAGE);
    assert_int_equal(task()->open(request, &cells[0], -1, &s, &err), PAL_USAGE);
    free(cells);

    depths->value[1] = 100;
    assert_int_equal(task()->plan(request, &cells, &count, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "len=251,depth=100"));
    depths->value[1] = 101;
    assert_int_equal(task()->plan(request, &cells, &count, &err), PAL_USAGE);
    depths->value[1] = NAN;
    assert_int_equal(task()->plan(request, &cells, &count, &err), PAL_USAGE);
    depths->count = 0;
    assert_int_equal(task()->plan(request, &cells, &count, &err), PAL_USAGE);
    depths->count = 1;
    *samples = 10001;
    assert_int_equal(task()->plan(request, &cells, &count, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "10000"));
    *samples = 0;
    assert_int_equal(task()->plan(request, &cells, &count, &err), PAL_USAGE);
    free(request);
}

static void values_of_the_paper(void **state)
{
    (void)state;
    const char *row = NULL;
    planned p = plan(WORDS("len=32K,128K,1M,8K", "depths=0,50,100,25", "n=1"));
    assert_true(task()->paper(&p.cells[0], "token_accuracy", "infini-linear", &row) == 1);
    assert_string_equal(row, "Infini FT Linear");
    assert_true(task()->paper(&p.cells[8], "token_accuracy", "infini-linear", &row) == 0.96);
    assert_true(task()->paper(&p.cells[9], "token_accuracy", "infini-linear-x", &row) == 0.94);
    assert_true(task()->paper(&p.cells[6], "token_accuracy", "infini-delta", &row) == 0.99);
    assert_string_equal(row, "Infini FT Linear + Delta");
    assert_true(isnan(task()->paper(&p.cells[3], "token_accuracy", "infini-delta", &row)));
    assert_true(isnan(task()->paper(&p.cells[12], "token_accuracy", "infini-delta", &row)));
    assert_true(isnan(task()->paper(&p.cells[0], "exact_match", "infini-delta", &row)));
    assert_true(isnan(task()->paper(&p.cells[0], "token_accuracy", "memorizing", &row)));
    drop(&p);
}

static void the_table_finds_tasks(void **state)
{
    (void)state;
    assert_ptr_equal(task_find("passkey"), task_table[0]);
    assert_ptr_equal(task_find("PassKey"), task_table[0]);
    assert_null(task_find("passkeys"));
    assert_null(task_find(""));
}

static void bytes_there_and_back(void **state)
{
    (void)state;
    char text[256], back[257];
    int32_t tokens[256];
    for (int i = 0; i < 256; i++) text[i] = (char)i;
    bytes_encode(text, 256, tokens);
    for (int i = 0; i < 256; i++) assert_int_equal(tokens[i], i);
    bytes_decode(tokens, 256, back);
    assert_memory_equal(text, back, 256);
    assert_int_equal(back[256], '\0');
    const int32_t outside[] = {-1, 256, 'a', INT32_MIN};
    bytes_decode(outside, 4, back);
    assert_string_equal(back, "??a?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_there_and_back),
        cmocka_unit_test(the_table_finds_tasks),
        cmocka_unit_test(exact_length_and_paper_text),
        cmocka_unit_test(long_samples_have_their_length),
        cmocka_unit_test(chunked_reads_agree),
        cmocka_unit_test(interior_depths_vary),
        cmocka_unit_test(keys_unique_and_apart_from_training),
        cmocka_unit_test(first_keys_of_a_cell_look_random),
        cmocka_unit_test(samples_depend_on_their_index_only),
        cmocka_unit_test(metrics_and_their_directions),
        cmocka_unit_test(digits_right_and_wrong),
        cmocka_unit_test(first_integer_of_the_generated_text),
        cmocka_unit_test(score_of_a_longer_output),
        cmocka_unit_test(records_are_json_whatever_is_generated),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(values_of_the_paper),
    };
    return cmocka_run_group_tests_name("passkey", tests, NULL, NULL);
}

/* The jsonl task: every fault of a file is named with its line and field, what counts as right, and the samples
 * through the binary. */
#include "tests/lib/task_lab.h"

#include "tasks/answer/answer.h"

extern const task_module jsonl_task;
static tokenizer *kind[2]; /* bytes, BPE */

static const char capitals[] =
    "{\"prompt\": \"Q: capital of France?\\nA:\", \"answer\": \"Paris\"}\r\n"
    "{\"id\": \"it\", \"cluster\": \"south\", \"prompt\": \"Q: capital of Italy?\\nA:\", "
    "\"answer\": [\"Rome\", \"Roma\"], \"other\": 1}\r\n"
    "\r\n"
    "{\"id\": 7, \"cluster\": \"south\", \"prompt\": \"Q: capital of Gr\\u00e8ce?\\nA: \", "
    "\"answer\": \"\\u0391\\u03b8\\u03ae\\u03bd\\u03b1\"}";

static char *data_word(const char *name)
{
    static char word[2][400];
    static int turn;
    turn = !turn;
    snprintf(word[turn], sizeof word[0], "data=%s", at(name));
    return word[turn];
}

static int open_lab(void **state)
{
    if (make_dir(state) != 0) return -1;
    char marked[sizeof capitals + 3] = "\xef\xbb\xbf";
    strcat(marked, capitals);
    put("capitals.jsonl", capitals, strlen(capitals));
    put("marked.jsonl.gz", marked, strlen(marked));
    kind[1] = load_tokens(TEXT_2K);
    return tokenizer_create_bytes(&kind[0], &err);
}

static int close_lab(void **state)
{
    tokenizer_destroy(kind[0]);
    tokenizer_destroy(kind[1]);
    return remove_dir(state);
}

/* ---- The file ---- */

static void check_file(const char *text, const char *message)
{
    put("bad.jsonl", text, strlen(text));
    check_refused(&jsonl_task, kind[0], WORDS(data_word("bad.jsonl")), PAL_DATA, message);
}

static void test_faults(void **state)
{
    (void)state;
#define GOOD "{\"prompt\":\"p\",\"answer\":\"a\"}\n"
    check_file(GOOD "\n{\"prompt\":\"p\",\"anwser\":\"a\"}\n", "bad.jsonl:3: there is no \"answer\"");
    check_file(GOOD "{\"answer\":\"a\"}\n", "bad.jsonl:2: there is no \"prompt\"");
    check_file("{\"prompt\":5,\"answer\":\"a\"}\n", "bad.jsonl:1: \"prompt\" is no string");
    check_file("{\"prompt\":\" \\n\",\"answer\":\"a\"}\n", "bad.jsonl:1: \"prompt\" is blank");
    check_file("{\"prompt\":\"p\",\"answer\":\"\"}\n", "bad.jsonl:1: \"answer\" is blank");
    check_file("{\"prompt\":\"p\",\"answer\":[]}\n", "bad.jsonl:1: \"answer\" is an empty list");
    check_file("{\"prompt\":\"p\",\"answer\":[\"a\",null]}\n", "bad.jsonl:1: \"answer[1]\" is no string");
    check_file("{\"prompt\":\"p\",\"answer\":\"a\",\"id\":[]}\n", "bad.jsonl:1: \"id\" is neither");
    check_file("{\"prompt\":\"p\",\"answer\":\"a\",\"cluster\":1.5}\n", "bad.jsonl:1: \"cluster\" is neither");
    check_file(GOOD "[]\n", "bad.jsonl:2: each line must be an object");
    check_file(GOOD GOOD "{\"prompt\":\n", "bad.jsonl:3: not JSON");
    check_file("{\"prompt\":\"p\",\"prompt\":\"q\",\"answer\":\"a\"}\n", "bad.jsonl:1: not JSON: duplicate");
    check_file("{\"prompt\":\"p\",\"answer\":\"a\",\"id\":\"x\"}\n" GOOD
               "{\"prompt\":\"p\",\"answer\":\"a\",\"id\":\"x\"}\n",
               "bad.jsonl:3: the \"id\" 'x' is that of line 1 too");
    /* A line without an id is called by its number. */
    check_file(GOOD "{\"prompt\":\"p\",\"answer\":\"a\",\"id\":1}\n",
               "bad.jsonl:2: the \"id\" '1' is that of line 1");
    check_file("\n\n", "bad.jsonl: there is no line in it");
    check_file(GOOD "{\"prompt\":\"\xff\",\"answer\":\"a\"}\n", "UTF-8");
    check_refused(&jsonl_task, kind[0], WORDS("scorer=exact"), PAL_USAGE, "data= is missing");
    check_refused(&jsonl_task, kind[0], WORDS("data=/nowhere.jsonl"), PAL_DATA, "/nowhere.jsonl");
    put("bad.jsonl", GOOD, strlen(GOOD));
    check_refused(&jsonl_task, kind[0], WORDS(data_word("bad.jsonl"), "scorer=first-number"), PAL_DATA,
                  "bad.jsonl:1: \"answer\" holds no number");
    check_refused(&jsonl_task, kind[0], WORDS(data_word("bad.jsonl"), "control=swapped"), PAL_USAGE, "two lines");
}

/* Windows' line ends, a byte order mark and gzip change nothing. */
static void test_file(void **state)
{
    (void)state;
    planned p = plan(&jsonl_task, kind[0], WORDS(data_word("capitals.jsonl"))),
            q = plan(&jsonl_task, kind[0], WORDS(data_word("marked.jsonl.gz"), "n=2"));
    assert_string_equal(p.cells[0].name, "capitals:contains");
    assert_string_equal(q.cells[0].name, "marked:contains");
    assert_string_equal(p.cells[0].data, q.cells[0].data);
    assert_int_equal(p.cells[0].samples, 3);
    assert_int_equal(q.cells[0].samples, 2);
    read_text first = read_sample(&p, 0, 0, 4096), third = read_sample(&p, 0, 2, 4096),
              again = read_sample(&q, 0, 0, 5);
    assert_string_equal(first.text, "Q: capital of France?\nA: Paris");
    assert_string_equal(again.text, first.text);
    assert_string_equal(third.text, "Q: capital of Gr\xc3\xa8"
                                    "ce?\nA: \xce\x91\xce\xb8\xce\xae\xce\xbd\xce\xb1");
    assert_int_equal(first.prompt, strlen("Q: capital of France?\nA:"));
    assert_int_equal(first.shape.decoding.max_tokens,
                     10 + 16); /* the Greek answer, behind the prompt's own space */
    drop_text(&first);
    drop_text(&third);
    drop_text(&again);
    drop(&p);
    drop(&q);
}

/* Tokens are those of the whole prompt, the start that all prompts have is shared, and reads may have any size. */
static void test_tokens(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        planned p = plan(&jsonl_task, kind[k], WORDS(data_word("capitals.jsonl"), "max_tokens=9"));
        for (int64_t i = 0; i < 3; i++) {
            read_text r = read_sample(&p, 0, i, 4096);
            int32_t want[200];
            const char *end = strstr(r.text, "A:") + 2;
            if (i < 2) {
                assert_int_equal(tokenizer_encode_start(kind[k], r.text, (size_t)(end - r.text), want), r.prompt);
                assert_memory_equal(want, r.token, r.prompt * sizeof *want);
            }
            assert_int_equal(r.shape.decoding.max_tokens, 9);
            assert_true(r.shape.shared >= 5);
            check_any_reads(&p, 0, i);
            drop_text(&r);
        }
        check_shared(&p, 0, 3);
        drop(&p);
    }
}

/* ---- What counts as right ---- */

static double right_of(const char *scorer, const char *answer, const char *text)
{
    char line[400], word[64];
    snprintf(line, sizeof line, "{\"prompt\":\"p\",\"answer\":%s}\n", answer);
    put("one.jsonl", line, strlen(line));
    snprintf(word, sizeof word, "scorer=%s", scorer);
    planned p = plan(&jsonl_task, kind[0], WORDS(data_word("one.jsonl"), word));
    const double right = value_of(&p, 0, 0, text, "right");
    drop(&p);
    return right;
}

static void test_scorers(void **state)
{
    (void)state;
    static const struct {
        const char *scorer, *answer, *text;
        int right;
    } row[] = {
        {"contains", "\"Paris\"", " It is PARIS.", 1},
        {"contains", "\"Paris\"", " It is Pari", 0},
        {"contains", "[\"x\",\"\\u00c9t\\u00e9\"]", "un \xc3\xa9t\xc3\x89", 1},
        {"contains", "\"a\"", "", 0},
        {"exact", "\" Paris \"", "\n  Paris\t\nand more", 1},
        {"exact", "\"Paris\"", " paris", 0},
        {"exact", "\"Paris\"", " Paris is", 0},
        {"exact", "[\"Rome\",\"Roma\"]", "Roma", 1},
        {"first-number", "\"42\"", " The answer is 42, not 43.", 1},
        {"first-number", "\"42\"", " 43 or 42", 0},
        {"first-number", "\"1234567\"", "$1,234,567.00!", 1},
        {"first-number", "\"-7.5\"", "it is -07.50.", 1},
        {"first-number", "\"7\"", "it is -7", 0},
        {"first-number", "\"5\"", "no-5", 1},
        {"first-number", "\"1\"", "1,2", 1},
        {"first-number", "\"0\"", "-0.0", 1},
        {"first-number", "\"12\"", "1,2345", 0},
        {"first-number", "\"7\"", "none", 0},
        {"first-number", "\"12345678901234567890\"", "12345678901234567891", 0},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if ((int)right_of(row[i].scorer, row[i].answer, row[i].text) != row[i].right)
            fail_msg("%s: %s in \"%s\" is not %d", row[i].scorer, row[i].answer, row[i].text, row[i].right);
}

static void test_rouge(void **state)
{
    (void)state;
    static const char line[] = "{\"prompt\":\"p\",\"answer\":[\"the dog\",\"a cat sat down\"]}\n"
                               "{\"prompt\":\"p\",\"answer\":\"\\u0391\"}\n";
    double value[TASK_VALUES];
    put("rouge.jsonl", line, strlen(line));
    planned p = plan(&jsonl_task, kind[0], WORDS(data_word("rouge.jsonl"), "scorer=rouge"));
    assert_true(fabs(value_of(&p, 0, 0, "a cat sat", "rouge1") - 6.0 / 7) < 1e-12);
    assert_true(value_of(&p, 0, 0, "a cat sat", "asked") == 0); /* no accuracy beside it */
    assert_true(isnan(value_of(&p, 0, 1, "a", "rouge1")));      /* no token of ROUGE in the answer */
    json_decref(score_sample(&p, 0, 0, 0, "", value));
    assert_true(value[0] == 0 && value[2] == 0);
    drop(&p);
}

/* The losses of the first accepted answer, the record, and answers of the next line. */
static void test_record(void **state)
{
    (void)state;
    double value[TASK_VALUES];
    planned p = plan(&jsonl_task, kind[0], WORDS(data_word("capitals.jsonl"))),
            swapped = plan(&jsonl_task, kind[0], WORDS(data_word("capitals.jsonl"), "control=swapped"));
    json_t *record = score_sample(&p, 0, 1, 1, " Roma \xff", value);
    assert_true(value[0] == 1 && value[1] == 1);
    assert_string_equal(json_string_value(json_object_get(record, "id")), "it");
    assert_string_equal(json_string_value(json_object_get(record, "cluster")), "south");
    assert_string_equal(json_string_value(json_object_get(record, "answer")), "Rome");
    assert_string_equal(json_string_value(json_object_get(record, "generated")), " Roma ?");
    json_decref(record);
    assert_true(value_of(&p, 0, 1, "", "nll") == 5); /* a space and four letters, at a nat each */
    assert_true(value_of(&p, 0, 1, "", "tokens_right") == 5);
    record = score_sample(&p, 0, 0, 0, "x", value);
    assert_string_equal(json_string_value(json_object_get(record, "cluster")), "1");
    json_decref(record);
    assert_string_equal(swapped.cells[0].name, "capitals:contains,swapped");
    assert_true(value_of(&swapped, 0, 0, "paris", "right") == 0);
    assert_true(value_of(&swapped, 0, 0, "roma", "right") == 1);
    assert_true(value_of(&swapped, 0, 2, "paris", "right") == 1); /* the last line's next is the first */
    /* A long continuation is cut so that the record stays whole. */
    char many[9000];
    memset(many, '"', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    record = score_sample(&p, 0, 0, 1, many, value);
    assert_true(json_string_length(json_object_get(record, "generated")) > 100);
    assert_non_null(json_object_get(record, "id"));
    json_decref(record);
    drop(&p);
    drop(&swapped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),  cmocka_unit_test(test_file),  cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_scorers), cmocka_unit_test(test_rouge), cmocka_unit_test(test_record),
    };
    return cmocka_run_group_tests(tests, open_lab, close_lab);
}

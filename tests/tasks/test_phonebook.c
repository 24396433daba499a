/* Phone books: every line is a name and a number of its own, the asked one stands where the record says, and of
 * several lines of one name the question tells which. */
#include "tests/lib/task_lab.h"

extern const task_module phonebook_task;
static tokenizer *kind[2]; /* bytes, BPE */

static int open_lab(void **state)
{
    (void)state;
    kind[1] = load_tokens(TEXT_2K);
    return tokenizer_create_bytes(&kind[0], &err);
}

static int close_lab(void **state)
{
    (void)state;
    tokenizer_destroy(kind[0]);
    tokenizer_destroy(kind[1]);
    return 0;
}

enum { LINES = 64 };

typedef struct book {
    char name[LINES][64], number[LINES][16];
    int lines;
    const char *rest; /* behind the book */
} book;

static book parse(const char *text)
{
    static const char head[] = "A phone book:\n";
    book b = {.lines = 0};
    assert_int_equal(strncmp(text, head, strlen(head)), 0);
    for (text += strlen(head); *text != '\n'; b.lines++) {
        assert_true(b.lines < LINES);
        assert_int_equal(sscanf(text, "%63[^:]: %12[0-9-]\n", b.name[b.lines], b.number[b.lines]), 2);
        const char *n = b.number[b.lines];
        assert_true(strlen(n) == 12 && n[3] == '-' && n[7] == '-' && n[0] >= '2');
        text = strchr(text, '\n') + 1;
    }
    b.rest = text;
    return b;
}

static void check(int k, const char *entries, const char *same, int lines, int often)
{
    planned p = plan(&phonebook_task, kind[k], WORDS(entries, same, "n=12"));
    int ranks = 0;
    for (int64_t i = 0; i < 12; i++) {
        double value[TASK_VALUES];
        read_text r = read_sample(&p, 0, i, 4096);
        json_t *record = score_sample(&p, 0, i, 1, "", value);
        const char *name = json_string_value(json_object_get(record, "name")),
                   *answer = json_string_value(json_object_get(record, "answer"));
        const int64_t line = json_integer_value(json_object_get(record, "line")),
                      rank = json_integer_value(json_object_get(record, "rank"));
        const book b = parse(r.text);
        assert_int_equal(b.lines, lines);
        assert_string_equal(b.name[line], name);
        assert_string_equal(b.number[line], answer);
        int count = 0;
        for (int l = 0; l < b.lines; l++) {
            count += strcmp(b.name[l], name) == 0;
            if (l == line) assert_int_equal(count, rank);
            for (int j = 0; j < l; j++) {
                assert_string_not_equal(b.number[j], b.number[l]);
                assert_true(strcmp(b.name[j], b.name[l]) != 0 || strcmp(b.name[l], name) == 0);
            }
        }
        assert_int_equal(count, often);
        ranks |= 1 << rank;
        char end[160];
        static const char *const of[] = {"", "The 1st of ", "The 2nd of ", "The 3rd of ", "The 4th of "};
        snprintf(end, sizeof end, "\n%s%s: %s", of[often > 1 ? rank : 0], name, answer);
        assert_string_equal(r.text + strlen(r.text) - strlen(end), end);
        /* Two others are asked and answered before, each right. */
        const char *at = strstr(b.rest, "Numbers that were asked for:\n");
        assert_non_null(at);
        for (int s = 0; s < 2; s++) {
            char shown[64], number[16];
            at = strchr(at, '\n') + 1 + strlen(of[often > 1]);
            assert_int_equal(sscanf(at, "%63[^:]: %12[0-9-]\n", shown, number), 2);
            int found = 0;
            for (int l = 0; l < b.lines; l++) found |= !strcmp(b.name[l], shown) && !strcmp(b.number[l], number);
            assert_true(found && strcmp(shown, name) != 0);
        }
        check_any_reads(&p, 0, i);
        /* The whole text has these tokens. */
        int32_t *again = malloc((strlen(r.text) + 1) * sizeof *again);
        assert_int_equal(tokenizer_encode_start(kind[k], r.text, strlen(r.text), again), r.count);
        assert_memory_equal(again, r.token, r.count * sizeof *again);
        free(again);
        json_decref(record);
        drop_text(&r);
    }
    assert_int_equal(ranks, often == 1 ? 2 : 14);
    drop(&p);
}

static void test_books(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        check(k, "entries=30", "same=1", 30, 1);
        check(k, "entries=12", "same=3", 12, 3);
    }
}

static void test_controls(void **state)
{
    (void)state;
    planned p = plan(&phonebook_task, kind[1], WORDS("entries=20", "same=3")),
            absent = plan(&phonebook_task, kind[1], WORDS("entries=20", "same=3", "control=absent")),
            swapped = plan(&phonebook_task, kind[1], WORDS("entries=20", "same=3", "control=swapped")),
            twice = plan(&phonebook_task, kind[1], WORDS("entries=20", "same=3", "repeat=2"));
    assert_string_equal(absent.cells[0].name, "entries=20,same=3,absent");
    assert_string_equal(twice.cells[0].name, "entries=20,same=3,twice");
    double value[TASK_VALUES];
    json_t *record = score_sample(&p, 0, 2, 1, "", value), *next = score_sample(&p, 0, 3, 1, "", value),
           *other = score_sample(&swapped, 0, 2, 1, "", value);
    const char *answer = json_string_value(json_object_get(record, "answer"));
    const char *name = json_string_value(json_object_get(record, "name"));
    assert_string_equal(json_string_value(json_object_get(next, "answer")),
                        json_string_value(json_object_get(other, "answer")));
    read_text a = read_sample(&absent, 0, 2, 4096), t = read_sample(&twice, 0, 2, 4096),
              r = read_sample(&p, 0, 2, 4096);
    const book b = parse(a.text), whole = parse(r.text);
    assert_int_equal(b.lines, 17);
    for (int l = 0; l < b.lines; l++) assert_string_not_equal(b.name[l], name);
    int count = 0;
    for (const char *at = t.text; (at = strstr(at, answer)); at++) count++;
    assert_int_equal(count, 3); /* twice in the book, once as the answer */
    check_any_reads(&twice, 0, 2);
    /* Scores: the number itself, and which other line was taken for it. */
    char text[64];
    snprintf(text, sizeof text, "\n %s.", answer);
    assert_true(value_of(&p, 0, 2, text, "right") == 1 && value_of(&p, 0, 2, text, "other") == 0);
    snprintf(text, sizeof text, "It is %s", answer);
    assert_true(value_of(&p, 0, 2, text, "right") == 0);
    int others = 0;
    for (int l = 0; l < whole.lines; l++) {
        snprintf(text, sizeof text, " %s", whole.number[l]);
        others += value_of(&p, 0, 2, text, "other") > 0;
        assert_true((value_of(&p, 0, 2, text, "right") > 0) == (strcmp(whole.number[l], answer) == 0));
    }
    assert_int_equal(others, 2);
    json_decref(record);
    json_decref(next);
    json_decref(other);
    drop_text(&a);
    drop_text(&t);
    drop_text(&r);
    drop(&p);
    drop(&absent);
    drop(&swapped);
    drop(&twice);
}

static void test_requests(void **state)
{
    (void)state;
    planned p = plan(&phonebook_task, kind[1], WORDS("entries=10,40000", "n=1"));
    assert_string_equal(p.cells[0].name, "entries=10");
    task_sample *s = open_sample(&p, 1, 0);
    const uint64_t size = shape_of(&phonebook_task, s).tokens;
    assert_true(size > 40000 * 10);
    phonebook_task.eval->close(s);
    drop(&p);
    check_refused(&phonebook_task, kind[0], WORDS("entries=3", "same=2"), PAL_USAGE, "no room for same=2");
    check_refused(&phonebook_task, kind[0], WORDS("entries=9,9"), PAL_USAGE, "asked for twice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_books),
        cmocka_unit_test(test_controls),
        cmocka_unit_test(test_requests),
    };
    return cmocka_run_group_tests(tests, open_lab, close_lab);
}

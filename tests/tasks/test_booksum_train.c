/* BookSum training sequences: laid out as the evaluation's samples are, and functions of the step and lane alone.
 */
#include "tests/lib/booksum_lab.h"

#include "tasks/booksum/text.h"
#include "tasks/booksum/train.h"

enum { LENGTH = 1024, LONGEST = 2048 };

typedef struct sequence {
    int32_t tokens[LONGEST], targets[LONGEST];
    float weight[LONGEST];
} sequence;

static booksum_train options(const char *format, const char *name)
{
    char words[500];
    kv_pairs pairs = {0};
    booksum_train train;
    snprintf(words, sizeof words, format, at(name));
    succeed(kv_pairs_parse(&pairs, words, "test", &err));
    succeed(kv_defaults(task->train->table, task->train->count, &train, &err));
    succeed(kv_apply(task->train->table, task->train->count, &train, &pairs, &err));
    kv_pairs_free(&pairs);
    return train;
}

static task_source *opened(const booksum_train *train, const tokenizer *t, uint64_t seed, int64_t length)
{
    task_source *s = NULL;
    succeed(task->train->open(train, t, seed, &s, &err));
    succeed(task->train->phase(s, 4, length, &err));
    return s;
}

static void fill(task_source *s, int64_t step, int64_t lane, sequence *out)
{
    int fresh = 0;
    memset(out, 0x55, sizeof *out);
    succeed(task->train->fill(s, step, lane, out->tokens, out->targets, out->weight, &fresh, &err));
    assert_int_equal(fresh, 1);
}

/* targets are tokens one place on; weights are `lm` before the summary and 1 on it and its end. With summary -1
 * the weights are not looked at. */
static void check_sequence(const sequence *q, int64_t length, int64_t used, int64_t summary, float lm)
{
    for (int64_t i = 0; i < length; i++) {
        if (i + 1 < length) assert_int_equal(q->targets[i], q->tokens[i + 1]);
        if (summary >= 0) assert_true(q->weight[i] == (i + 1 >= used ? 0 : i + 1 >= summary ? 1 : lm));
    }
}

/* begin, a story with all its facts, separator, its own summary, begin. */
static void test_stories(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        const booksum_train train = options("booksum_lm_weight = 0.25 #%s", "");
        task_source *source = opened(&train, kind[k], 6, LENGTH);
        for (int64_t step = 0; step < 20; step++) {
            static sequence q;
            const int64_t lane = step % 3;
            story s;
            char text[STORY_SUMMARY];
            int32_t expected[LENGTH + 1], summary[STORY_SUMMARY], separator[16];
            int value[STORY_SLOTS];
            const story_key key = {6, STORY_TRAIN, (uint64_t)step, (uint32_t)lane};
            fill(source, step, lane, &q);
            story_facts(&key, value);
            const size_t told = tokenizer_encode(kind[k], text, story_summary(value, text), summary);
            const size_t parting = tokenizer_encode(kind[k], "\n\nSummary:\n", 11, separator);
            const size_t room = LENGTH + 1 - 2 - told - parting;
            expected[0] = tokenizer_begin(kind[k]);
            succeed(story_begin(&s, kind[k], &key, (int64_t)room, STORY_SPAN, &err));
            assert_int_equal(story_read(&s, expected + 1, room), room);
            memcpy(expected + 1 + room, separator, parting * sizeof *separator);
            memcpy(expected + 1 + room + parting, summary, told * sizeof *summary);
            expected[LENGTH] = tokenizer_begin(kind[k]);
            assert_memory_equal(q.tokens, expected, LENGTH * sizeof *expected);
            assert_int_equal(q.targets[LENGTH - 1], expected[LENGTH]);
            check_sequence(&q, LENGTH, LENGTH + 1, (int64_t)(1 + room + parting), 0.25f);
        }
        task->train->close(source);
    }
}

/* The same from a source that made other sequences before, or of another number of lanes; nothing is saved. */
static void test_determinism(void **state)
{
    (void)state;
    static sequence a, b;
    char saved[64];
    for (int real = 0; real < 2; real++) {
        const booksum_train train =
            options(real ? "data = %s\nsplit = test\nbooksum_start = random" : "#%s", "fox");
        task_source *one = opened(&train, kind[1], 1, LENGTH), *two = opened(&train, kind[1], 1, LENGTH);
        fill(one, 7, 2, &a);
        for (int64_t step = 0; step < 7; step++) fill(two, step, step % 2, &b);
        succeed(task->train->phase(two, 9, 512, &err));
        fill(two, 7, 1, &b);
        succeed(task->train->phase(two, 1, LENGTH, &err));
        succeed(task->train->save(two, saved, sizeof saved, &err));
        assert_string_equal(saved, "");
        succeed(task->train->restore(two, saved, &err));
        fill(two, 7, 2, &b);
        assert_memory_equal(&a, &b, sizeof a);
        fill(two, 7, 3, &b);
        if (!real) assert_memory_not_equal(&a, &b, sizeof a);
        task->train->close(one);
        task->train->close(two);
    }
}

/* No story of training is one of evaluation. */
static void test_splits(void **state)
{
    (void)state;
    static const char *const split[] = {"train", "validation", "test"};
    for (int k = 0; k < 3; k++) {
        char words[64];
        snprintf(words, sizeof words, "split = %s #%%s", split[k]);
        const booksum_train train = options(words, "");
        task_source *source = opened(&train, kind[0], 3, LENGTH);
        for (int64_t step = 0; step < 30; step++) {
            static sequence q;
            char text[LENGTH + 1];
            int value[STORY_SLOTS];
            fill(source, step, 0, &q);
            tokenizer_decode(kind[0], q.tokens, LENGTH, text, sizeof text);
            const char *summary = strstr(text, "\nSummary:\n");
            assert_non_null(summary);
            for (int i = 0; i < STORY_SLOTS; i++) {
                const char *at_cue = strstr(summary, strchr(story_cue(i), ' '));
                assert_non_null(at_cue);
                const char *told = at_cue + strlen(strchr(story_cue(i), ' '));
                for (value[i] = 0; strncmp(told, story_value(i, value[i]), strcspn(told, ".")) != 0;) value[i]++;
            }
            assert_int_equal(story_split_of(value), k);
        }
        task->train->close(source);
    }
}

/* Behind the summary's end the story's facts again, in any order, until the sequence is full; what is asked for
 * weighs 1 and nothing else of it. */
static void test_quiz(void **state)
{
    (void)state;
    int asked[STORY_SLOTS] = {0};
    for (int k = 0; k < 2; k++) {
        const booksum_train train = options("booksum_quiz = 0.3 #%s", "");
        task_source *source = opened(&train, kind[k], 2, LENGTH);
        for (int64_t step = 0; step < 10; step++) {
            static sequence q;
            int value[STORY_SLOTS];
            int64_t from = LENGTH;
            char text[8 * LENGTH], *rest = text;
            fill(source, step, 0, &q);
            check_sequence(&q, LENGTH, LENGTH + 1, -1, 0);
            while (q.tokens[from - 1] != tokenizer_begin(kind[k])) from--;
            assert_in_range(LENGTH - from, 0.3 * LENGTH - 2, 0.3 * LENGTH + 2);
            story_facts(&(story_key){2, STORY_TRAIN, (uint64_t)step, 0}, value);
            tokenizer_decode(kind[k], q.targets + from - 1, (size_t)(LENGTH + 1 - from), text, sizeof text);
            int64_t position = from - 1;
            while (*rest) {
                int slot = -1;
                char told[STORY_SENTENCE];
                for (int i = 0; i < STORY_SLOTS; i++) {
                    snprintf(told, sizeof told, " The%s%s.", story_cue(i) + 3, story_value(i, value[i]));
                    if (strncmp(rest, told, strlen(rest) < strlen(told) ? strlen(rest) : strlen(told)) == 0)
                        slot = i;
                }
                assert_true(slot >= 0);
                asked[slot]++;
                snprintf(told, sizeof told, " The%s%s.", story_cue(slot) + 3, story_value(slot, value[slot]));
                const size_t cue = strlen(story_cue(slot));
                for (size_t at = 0; at < strlen(told) && position < LENGTH; position++) {
                    char piece[64];
                    assert_true(q.weight[position] == (at >= cue ? 1 : 0.02f));
                    at += tokenizer_token_text(kind[k], q.targets[position], piece, sizeof piece);
                }
                rest += strlen(rest) < strlen(told) ? strlen(rest) : strlen(told);
            }
            assert_int_equal(position, LENGTH);
        }
        task->train->close(source);
    }
    for (int i = 0; i < STORY_SLOTS; i++) assert_true(asked[i] > 10);
}

/* All facts are told in the part of the story that was asked for. */
static void test_span(void **state)
{
    (void)state;
    const booksum_train train = options("booksum_span = 0.4 #%s", "");
    task_source *source = opened(&train, kind[0], 2, LONGEST);
    for (int64_t step = 0; step < 20; step++) {
        static sequence q;
        char text[LONGEST + 1];
        fill(source, step, 0, &q);
        tokenizer_decode(kind[0], q.tokens, LONGEST, text, sizeof text);
        const size_t story_size = (size_t)(strstr(text, "\n\nSummary:") - text);
        for (int i = 0; i < STORY_SLOTS; i++)
            assert_true((double)(strstr(text, story_cue(i)) - text) < 0.4 * (double)story_size + STORY_UNIT);
    }
    task->train->close(source);
}

/* ---- Books ---- */

/* Both books and all their summaries are drawn; a short one leaves the rest unscored. */
static void test_books(void **state)
{
    (void)state;
    static const char *const texts[] = {book, book, "Too short."};
    static const char *const summaries[] = {"A fox escapes.\nA hound is late.", "The fox ran over a hill.",
                                            "Short."};
    int seen[3] = {0};
    const booksum_train train = options("data = %s\nsplit = test\nbooksum_lm_weight = 0.5", "fox");
    task_source *source = opened(&train, kind[1], 1, 256);
    for (int64_t step = 0; step < 60; step++) {
        static sequence q;
        int match = -1;
        fill(source, step, 0, &q);
        for (int i = 0; i < 3; i++) {
            int32_t expected[600];
            size_t used = 1;
            expected[0] = tokenizer_begin(kind[1]);
            used += tokenizer_encode(kind[1], texts[i], strlen(texts[i]), expected + used);
            used += tokenizer_encode(kind[1], "\n\nSummary:\n", 11, expected + used);
            const size_t from = used;
            used += tokenizer_encode(kind[1], summaries[i], strlen(summaries[i]), expected + used);
            expected[used++] = tokenizer_begin(kind[1]);
            if (memcmp(q.tokens, expected, used * sizeof *expected) != 0) continue;
            match = i;
            for (size_t k = 0; k < 256; k++) {
                assert_true(q.weight[k] == (k + 1 >= used ? 0 : k + 1 >= from ? 1 : 0.5f));
                assert_int_equal(q.targets[k], k + 1 < used ? expected[k + 1] : 0);
                if (k >= used) assert_int_equal(q.tokens[k], 0);
            }
        }
        assert_true(match >= 0);
        seen[match]++;
    }
    for (int i = 0; i < 3; i++) assert_true(seen[i] > 0);
    task->train->close(source);
}

/* The books of all the files of a list are drawn. */
static void test_list(void **state)
{
    (void)state;
    char both[600];
    int foxes = 0;
    put_text("hen-test.jsonl", "{\"bid\":\"h\",\"text\":\"A hen sat down.\",\"summary\":[{\"text\":\"Hen.\"}]}\n");
    snprintf(both, sizeof both, "fox, %s", at("hen"));
    booksum_train train = options("data = %s\nsplit = test", both);
    task_source *source = opened(&train, kind[0], 1, 128);
    for (int64_t step = 0; step < 90; step++) {
        static sequence q;
        fill(source, step, 0, &q);
        foxes += q.tokens[1] != 'A'; /* two of three */
    }
    assert_in_range(foxes, 45, 75);
    task->train->close(source);
    train = options("data = %s,\nsplit = test", "fox");
    assert_int_equal(task->train->open(&train, kind[0], 1, &source, &err), PAL_USAGE);
    assert_said("an empty name");
}

/* A book longer than its room is cut; a summary longer than half of a sequence too, without an end. */
static void test_cuts(void **state)
{
    (void)state;
    enum { SHORT = 64, LONG = 3000 };
    char line[2 * LONG + 200], *end = line + sprintf(line, "{\"bid\":\"n\",\"text\":\"");
    for (int i = 0; i < LONG; i++) *end++ = (char)('a' + i % 26);
    end += sprintf(end, "\",\"summary\":[{\"text\":\"");
    for (int i = 0; i < LONG; i++) *end++ = (char)('A' + i % 26);
    strcpy(end, "\"}]}");
    put_text("long-train.jsonl", line);
    const int separator = 11, room = SHORT + 1 - 1 - separator - SHORT / 2;
    int starts[26] = {0}, different = 0;
    for (int random = 0; random < 2; random++) {
        const booksum_train train =
            options(random ? "data = %s\nbooksum_start = random" : "data = %s\nbooksum_start = first", "long");
        task_source *source = opened(&train, kind[0], 1, SHORT);
        for (int64_t step = 0; step < 50; step++) {
            static sequence q;
            fill(source, step, 0, &q);
            assert_int_equal(q.tokens[0], '\n');
            const int first = q.tokens[1];
            if (!random) assert_int_equal(first, 'a');
            starts[first - 'a']++;
            for (int i = 0; i < room; i++) assert_int_equal(q.tokens[1 + i], 'a' + (first - 'a' + i) % 26);
            for (int i = 0; i < SHORT / 2; i++) {
                assert_int_equal(q.targets[room + separator + i], 'A' + i % 26);
                assert_true(q.weight[room + separator + i] == 1);
            }
            assert_true(q.weight[room + separator - 1] < 0.5f);
        }
        task->train->close(source);
    }
    for (int i = 0; i < 26; i++) different += starts[i] > 0;
    assert_true(different > 10);
}

/* ---- Leads ---- */

/* Sequences without the begin token as often as is asked for; what comes before them tells nothing, or is the book
 * that they go on with. */
static void test_lead(void **state)
{
    (void)state;
    enum { STEPS = 200, LEAD = 300 };
    static sequence q;
    int32_t lead[LEAD];
    char text[LEAD * 8];
    int without = 0;
    booksum_train train = options("booksum_lead = 0.3 #%s", "");
    task_source *source = opened(&train, kind[1], 1, 512);
    for (int64_t step = 0; step < STEPS; step++) {
        fill(source, step, 0, &q);
        without += q.tokens[0] != tokenizer_begin(kind[1]);
        assert_int_equal(q.targets[511], tokenizer_begin(kind[1]));
        task->train->lead(source, step, 0, lead, LEAD);
        tokenizer_decode(kind[1], lead, LEAD, text, sizeof text);
        for (int i = 0; i < STORY_SLOTS; i++) assert_null(strstr(text, story_cue(i)));
        static sequence again;
        fill(source, step, 0, &again);
        assert_memory_equal(&q, &again, sizeof q);
    }
    assert_in_range(without, 0.3 * STEPS - 30, 0.3 * STEPS + 30);
    task->train->close(source);

    train = options("data = %s\nsplit = test\nbooksum_lead = 1\nbooksum_start = random", "fox");
    source = opened(&train, kind[0], 1, 64);
    for (int64_t step = 0; step < 40; step++) {
        fill(source, step, 0, &q);
        task->train->lead(source, step, 0, lead, 8);
        char start[12];
        for (int i = 0; i < 10; i++) start[i] = (char)(i < 8 ? lead[i] : q.tokens[i - 8]);
        start[10] = '\0';
        char twice[2 * sizeof book];
        snprintf(twice, sizeof twice, "%s%s", book, book);
        assert_true(strstr(twice, start) || strstr("Too short.Too short.Too short.", start));
    }
    task->train->close(source);
}

/* ---- What does not go ---- */

static void test_bad_options(void **state)
{
    (void)state;
    task_source *s;
    booksum_train train = options("data = %s", "absent");
    assert_int_equal(task->train->open(&train, kind[0], 1, &s, &err), PAL_USAGE);
    assert_said("absent-train.jsonl");
    train = options("data = %s\nsplit = test", "bad");
    assert_int_equal(task->train->open(&train, kind[0], 1, &s, &err), PAL_DATA);
    assert_said("bad-test.jsonl:1: ");
    train = options("split = all #%s", "");
    assert_int_equal(task->train->open(&train, kind[0], 1, &s, &err), PAL_USAGE);
    for (int real = 0; real < 2; real++) {
        train = options(real ? "data = %s" : "#%s", "fox");
        succeed(task->train->open(&train, kind[0], 1, &s, &err));
        assert_int_equal(task->train->phase(s, 1, 16, &err), PAL_USAGE);
        assert_said("train_len=16");
        task->train->close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories),     cmocka_unit_test(test_determinism), cmocka_unit_test(test_splits),
        cmocka_unit_test(test_quiz),        cmocka_unit_test(test_span),        cmocka_unit_test(test_books),
        cmocka_unit_test(test_list),        cmocka_unit_test(test_cuts),        cmocka_unit_test(test_lead),
        cmocka_unit_test(test_bad_options),
    };
    return cmocka_run_group_tests(tests, open_lab, close_lab);
}

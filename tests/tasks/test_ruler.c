/* RULER's form field by field: texts, needles, keys, values, depths, lists and answers of every task, as the
 * public generator makes them; then lengths, offsets, controls and scores. */
#include "tests/lib/task_lab.h"

#include "tasks/haystack/haystack.h"
#include "tasks/haystack/permutation.h"
#include "tasks/haystack/prose.h"

extern const task_module ruler_task;
static tokenizer *kind[2]; /* bytes, BPE */

#define NOISE "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."

static int open_lab(void **state)
{
    kind[1] = load_tokens(TEXT_2K);
    return tokenizer_create_bytes(&kind[0], &err) != PAL_OK || make_dir(state) != 0;
}

static int close_lab(void **state)
{
    tokenizer_destroy(kind[0]);
    tokenizer_destroy(kind[1]);
    return remove_dir(state);
}

static planned plan_of(int k, const char *task, const char *length, const char *more)
{
    char tasks[80], len[40];
    snprintf(tasks, sizeof tasks, "tasks=%s", task);
    snprintf(len, sizeof len, "len=%s", length);
    return plan(&ruler_task, kind[k], WORDS(tasks, len, "n=40", more));
}

static char *field(const planned *p, int64_t index, const char *name)
{
    double value[TASK_VALUES];
    json_t *record = score_sample(p, 0, index, 1, "", value);
    char *text = strdup(json_string_value(json_object_get(record, name)));
    json_decref(record);
    return text;
}

static int count_of(const char *text, const char *word)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word)) count++;
    return count;
}

static void expect_start(const char *text, const char *start)
{
    if (strncmp(text, start, strlen(start)) != 0) fail_msg("not \"%s\" at: %.200s", start, text);
}

static void expect_end(const char *text, const char *end)
{
    const size_t size = strlen(text), want = strlen(end);
    if (size < want || strcmp(text + size - want, end) != 0)
        fail_msg("not \"%s\" at the end: %s", end, text + (size > 400 ? size - 400 : 0));
}

/* ---- Needles in a haystack ---- */

static int is_number(const char *text, size_t size)
{
    return size == 7 && strspn(text, "0123456789") >= 7 && text[0] != '0';
}

static int is_uuid(const char *text, size_t size)
{
    if (size != 36 || text[14] != '4' || !strchr("89ab", text[19])) return 0;
    for (int i = 0; i < 36; i++)
        if ((i == 8 || i == 13 || i == 18 || i == 23) != (text[i] == '-') ||
            (text[i] != '-' && !strchr("0123456789abcdef", text[i])))
            return 0;
    return 1;
}

static int is_pair(const char *text, size_t size)
{
    size_t dashes = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '-')
            dashes++;
        else if (text[i] < 'a' || text[i] > 'z')
            return 0;
    }
    return dashes == 1 && text[0] != '-' && text[size - 1] != '-';
}

typedef struct niah {
    const char *task, *type; /* of values */
    char hay;                /* noise, essay, needles */
    int uuid_keys, keys, values, queries;
} niah;

/* num_needle_k, num_needle_v, num_needle_q, type_needle_k, type_needle_v and type_haystack of RULER's
 * synthetic.yaml. */
static const niah table[] = {
    {"niah_single_1", "number", 'r', 0, 1, 1, 1},   {"niah_single_2", "number", 'e', 0, 1, 1, 1},
    {"niah_single_3", "uuid", 'e', 0, 1, 1, 1},     {"niah_multikey_1", "number", 'e', 0, 4, 1, 1},
    {"niah_multikey_2", "number", 'n', 0, 1, 1, 1}, {"niah_multikey_3", "uuid", 'n', 1, 1, 1, 1},
    {"niah_multivalue", "number", 'e', 0, 1, 4, 1}, {"niah_multiquery", "number", 'e', 0, 4, 1, 4},
};
enum { NIAH = sizeof table / sizeof *table };

/* The haystack without head and tail holds needles of this form only, each right, and the asked ones with their
 * values; *needles: how many there are. */
static void check_needles(const niah *f, const char *text, const char *query, const char *answers, int *needles)
{
    char start[80];
    int asked = 0;
    snprintf(start, sizeof start, "One of the special magic %ss for ", f->type);
    *needles = 0;
    for (const char *at = text; (at = strstr(at, start));) {
        const char *key = at + strlen(start), *is = strstr(key, " is: "), *end;
        if (!is) break;                              /* cut by the end of the haystack */
        if (memchr(key, '\n', (size_t)(is - key))) { /* cut, with the asked needle behind it */
            at = key;
            continue;
        }
        const size_t key_size = (size_t)(is - key);
        const char *value = is + 5;
        end = strchr(value, '.');
        const char *line = strchr(value, '\n');
        if (!end || (line && end > line)) break;
        if (!(f->uuid_keys ? is_uuid(key, key_size) : is_pair(key, key_size)))
            fail_msg("%s: key of %.90s", f->task, at);
        assert_true(strcmp(f->type, "uuid") == 0 ? is_uuid(value, (size_t)(end - value))
                                                 : is_number(value, (size_t)(end - value)));
        char one[64], told[64];
        snprintf(one, sizeof one, "%.*s", (int)key_size, key);
        snprintf(told, sizeof told, "%.*s", (int)(end - value), value);
        assert_int_equal(strstr(query, one) != NULL, strstr(answers, told) != NULL);
        asked += strstr(query, one) != NULL;
        ++*needles;
        at = end;
    }
    assert_int_equal(asked, f->values * f->queries);
}

static void check_niah(const niah *f, int k)
{
    planned p = plan_of(k, f->task, k ? "1500" : "6000", "repeat=1");
    const int one = f->values * f->queries == 1;
    for (int64_t i = 0; i < 6; i++) {
        read_text r = read_sample(&p, 0, i, 4096);
        char *query = field(&p, i, "query"), *answers = field(&p, i, "answer"), text[700];
        /* The template, and its singular. */
        snprintf(
            text, sizeof text,
            "%s special magic %s%s %s hidden within the following text. Make sure to memorize it. I will quiz you "
            "about the %s%s afterwards.\n",
            one ? "A" : "Some", f->type, one ? "" : "s", one ? "is" : "are", f->type, one ? "" : "s");
        expect_start(r.text, text);
        char *body = r.text + strlen(text);
        snprintf(text, sizeof text,
                 "\nWhat %s the special magic %s%s for %s mentioned in the provided text? The special magic %s%s "
                 "for %s "
                 "mentioned in the provided text %s %s",
                 one ? "is" : "are all", f->type, one ? "" : "s", query, f->type, one ? "" : "s", query,
                 one ? "is" : "are", answers);
        expect_end(r.text, text);
        body[strlen(body) - strlen(text)] = '\0';
        /* "a, b, c, and d" */
        assert_int_equal(count_of(query, ", "), f->queries - 1);
        assert_int_equal(count_of(query, ", and "), f->queries > 1);
        assert_int_equal(count_of(answers, " "), f->values * f->queries - 1);
        int needles;
        check_needles(f, body, query, answers, &needles);
        if (f->hay != 'n') assert_int_equal(needles, f->keys * f->values);
        if (f->hay == 'n') assert_true(needles >= 10 && strstr(body, ".\nOne of the"));
        if (f->hay == 'r') {
            assert_true(count_of(body, NOISE "\n") >= 10);
            expect_start(strstr(body, "One of") == body ? strchr(body, '\n') + 1 : body, NOISE "\n");
        }
        if (f->hay == 'e') assert_null(strstr(body, "The grass is green"));
        check_any_reads(&p, 0, i);
        free(query);
        free(answers);
        drop_text(&r);
    }
    check_shared(&p, 0, 6);
    drop(&p);
}

static void test_niah(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < NIAH; i++) check_niah(&table[i], k);
}

/* Offsets are where the needles stand; in essays depths are among RULER's 40, none twice; samples ask for keys and
 * values of their own. */
static void test_places(void **state)
{
    (void)state;
    static const char *const task[] = {"niah_single_1", "niah_multikey_1", "niah_multikey_2"};
    for (int t = 0; t < 3; t++)
        for (int k = 0; k < 2; k++) {
            planned p = plan_of(k, task[t], "5K", "repeat=1");
            char seen[40][40];
            for (int64_t i = 0; i < 40; i++) {
                double value[TASK_VALUES];
                read_text r = read_sample(&p, 0, i, 4096);
                json_t *record = score_sample(&p, 0, i, 1, "", value), *depths = json_object_get(record, "depths"),
                       *offsets = json_object_get(record, "needle_offsets");
                assert_int_equal(json_array_size(offsets), t == 1 ? 4 : 1);
                double last = -1;
                for (size_t n = 0; n < json_array_size(offsets); n++) {
                    const json_int_t offset = json_integer_value(json_array_get(offsets, n));
                    const double depth = json_real_value(json_array_get(depths, n));
                    char text[200];
                    tokenizer_decode(kind[k], r.token + offset, k ? 20 : 60, text, sizeof text);
                    expect_start(text + strspn(text, " \n"), "One of the special magic numbers for ");
                    if (t == 1) {
                        const double step = depth * 39 / 100;
                        assert_true(fabs(depth - round(100 * round(step) / 39)) < 1e-9 && depth > last);
                        last = depth;
                    }
                    /* Within a unit of its place. */
                    const double at = 100.0 * (double)offset / (double)r.prompt;
                    if (fabs(at - depth) > 12) fail_msg("%s: depth %g stands at %g", task[t], depth, at);
                    if (n == 0) assert_true(t == 2 || r.shape.shared == (uint64_t)offset || r.shape.shared == 0);
                }
                snprintf(seen[i], sizeof seen[i], "%.39s", json_string_value(json_object_get(record, "answer")));
                for (int64_t j = 0; j < i; j++) assert_string_not_equal(seen[j], seen[i]);
                json_decref(record);
                drop_text(&r);
            }
            drop(&p);
        }
}

/* Pieces that are encoded on their own give the tokens of the whole text. */
static void test_tokens(void **state)
{
    (void)state;
    static const char *const task[] = {"niah_single_1", "niah_single_2", "niah_multikey_2", "vt", "cwe", "fwe"};
    for (size_t t = 0; t < 6; t++) {
        planned p = plan_of(1, task[t], "3K", "repeat=1");
        read_text r = read_sample(&p, 0, 0, 4096);
        int32_t *again = malloc((strlen(r.text) + 1) * sizeof *again);
        const size_t count = tokenizer_encode_start(kind[1], r.text, strlen(r.text), again);
        size_t front = 0, back = 0;
        while (front < count && front < r.count && again[front] == r.token[front]) front++;
        while (back < count && back < r.count && again[count - 1 - back] == r.token[r.count - 1 - back]) back++;
        /* All but those around the place where the haystack is cut to the length. */
        if (front + back + 4 < r.count)
            fail_msg("%s: %d + %d of %d tokens", task[t], (int)front, (int)back, (int)r.count);
        free(again);
        drop_text(&r);
        drop(&p);
    }
}

/* ---- Chains of variables ---- */

static void test_chain(void **state)
{
    (void)state;
    planned p = plan_of(1, "vt", "2K", "repeat=1");
    for (int64_t i = 0; i < 5; i++) {
        read_text r = read_sample(&p, 0, i, 4096);
        char *query = field(&p, i, "query"), *answers = field(&p, i, "answer"), text[400], name[5][8];
        static const char head[] =
            "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n";
        expect_start(r.text, head);
        assert_int_equal(count_of(r.text, head), 2); /* one example */
        snprintf(text, sizeof text,
                 "\nQuestion: Find all variables that are assigned the value %s in the text above. Answer: "
                 "According to "
                 "the chain(s) of variable assignment in the text above, 5 variables are assigned the value %s, "
                 "they are: %s",
                 query, query, answers);
        expect_end(r.text, text);
        char *own = strstr(r.text + 1, head);
        assert_int_equal(strlen(query), 5);
        assert_int_equal(sscanf(answers, "%5s %5s %5s %5s %5s", name[0], name[1], name[2], name[3], name[4]), 5);
        const char *at = own;
        for (int v = 0; v < 5; v++) {
            assert_int_equal(strspn(name[v], "ABCDEFGHIJKLMNOPQRSTUVWXYZ"), 5);
            snprintf(text, sizeof text, v ? "VAR %s = VAR %s " : "VAR %s = %s", name[v], v ? name[v - 1] : query);
            at = strstr(at, text); /* in this order */
            assert_non_null(at);
        }
        assert_int_equal(count_of(own, "VAR "), 9);
        assert_true(count_of(own, NOISE "\n") > 20);
        /* The example's answer is right there, and its chain another. */
        const char *value = strstr(r.text, "VAR ");
        char first[8], number[8];
        assert_int_equal(sscanf(value, "VAR %3s = %5s", first, number), 2);
        snprintf(text, sizeof text, "assigned the value %s, they are: %s ", number, first);
        assert_non_null(strstr(r.text, text));
        check_any_reads(&p, 0, i);
        free(query);
        free(answers);
        drop_text(&r);
    }
    drop(&p);
}

/* ---- Lists ---- */

/* How often " word" stands in the numbered list that begins at `text`. */
static int appears(const char *text, const char *word)
{
    char numbered[400];
    int count = 0;
    snprintf(numbered, sizeof numbered, ". %s", word);
    for (const char *at = text; (at = strstr(at, numbered)); at++) {
        const char end = at[strlen(numbered)];
        count += end == ' ' || end == '\n';
    }
    return count;
}

static void check_common(const char *length, int often, int seldom)
{
    planned p = plan_of(1, "cwe", length, "repeat=1");
    static const char head[] =
        "Below is a numbered list of words. In these words, some appear more often than others. "
        "Memorize the ones that appear most often.\n",
                      question[] =
                          "\nQuestion: What are the 10 most common words in the above list? Answer: The top 10 "
                          "words that appear most often in the list are:";
    for (int64_t i = 0; i < 2; i++) {
        read_text r = read_sample(&p, 0, i, 4096);
        char *answers = field(&p, i, "answer"), word[10][32];
        expect_start(r.text, head);
        assert_int_equal(count_of(r.text, head), 2);
        assert_int_equal(count_of(r.text, question), 2);
        char *own = strstr(r.text + 1, head) + strlen(head), *end = strstr(own, question);
        expect_start(own, "1. ");
        expect_start(end + strlen(question), " 1. ");
        *end = '\0';
        assert_int_equal(sscanf(answers, "%31s %31s %31s %31s %31s %31s %31s %31s %31s %31s", word[0], word[1],
                                word[2], word[3], word[4], word[5], word[6], word[7], word[8], word[9]),
                         10);
        int items = 0, most = 0;
        for (int w = 0; w < 10; w++) assert_int_equal(appears(own, word[w]), often);
        for (char *at = own, *next; *at; at = next, items++) {
            int number;
            char text[64];
            if (sscanf(at, "%d. %63s", &number, text) < 2) break; /* the last one may be cut */
            assert_int_equal(number, items + 1);
            next = strchr(strchr(at, ' ') + 1, ' ');
            if (!next) break;
            next++;
            int common = 0;
            for (int w = 0; w < 10; w++) common |= strcmp(word[w], text) == 0;
            if (!common && appears(own, text) > most) most = appears(own, text);
        }
        assert_int_equal(most, seldom);
        assert_true(items > 10 * often + 20);
        /* They are spread over the list, not only at its start. */
        assert_true(appears(own + 3 * strlen(own) / 4, word[0]) + appears(own + 3 * strlen(own) / 4, word[1]) +
                        appears(own + 3 * strlen(own) / 4, word[2]) + appears(own + 3 * strlen(own) / 4, word[3]) >
                    0);
        free(answers);
        drop_text(&r);
    }
    check_any_reads(&p, 0, 1);
    drop(&p);
}

static void test_common(void **state)
{
    (void)state;
    check_common("2K", 6, 1);
    check_common("8K", 30, 3);
    check_common("4K", 6, 1); /* 30 times do not fit with so few words in the vocabulary */
}

static void test_frequent(void **state)
{
    (void)state;
    planned p = plan_of(1, "fwe", "4K", "repeat=1");
    static const char head[] =
        "Read the following coded text and track the frequency of each coded word. Find the three "
        "most frequently appeared coded words. ",
                      question[] =
                          "\nQuestion: Do not provide any explanation. Please ignore the dots '....'. What are "
                          "the three most frequently appeared words in the above coded text? Answer: According "
                          "to the coded text above, the three most frequently appeared words are: ";
    for (int64_t i = 0; i < 3; i++) {
        read_text r = read_sample(&p, 0, i, 4096);
        char *answers = field(&p, i, "answer"), word[3][8], *end = strstr(r.text, question);
        expect_start(r.text, head);
        assert_non_null(end);
        assert_string_equal(end + strlen(question), answers);
        *end = '\0';
        assert_int_equal(sscanf(answers, "%6s %6s %6s", word[0], word[1], word[2]), 3);
        /* Ranks 2, 3 and 4 of a zeta distribution with alpha 2: 1/4, 1/9 and 1/16 of the first. */
        const int a = count_of(r.text, word[0]), b = count_of(r.text, word[1]), c = count_of(r.text, word[2]);
        assert_true(a > b && b > c && c > 5);
        if (fabs(a * 4.0 - b * 9.0) > 13 || fabs(b * 9.0 - c * 16.0) > 25)
            fail_msg("%d, %d and %d times", a, b, c);
        /* No other word as often; the dots are most of it. */
        const char *at = r.text + strlen(head);
        for (size_t size; *at; at += size + (at[size] == ' ')) {
            char other[32];
            size = strcspn(at, " ");
            snprintf(other, sizeof other, "%.*s", (int)(size < 31 ? size : 31), at);
            if (size != 6 || strstr(answers, other)) continue;
            assert_int_equal(strspn(other, "abcdefghijklmnopqrstuvwxyz"), 6);
            assert_true(count_of(r.text, other) < c);
        }
        assert_true(count_of(r.text, " ...") > 3 * a);
        free(answers);
        drop_text(&r);
    }
    check_any_reads(&p, 0, 1);
    drop(&p);
}

/* ---- Controls, scores, requests ---- */

static void test_controls(void **state)
{
    (void)state;
    static const char *const task[] = {"niah_single_2", "niah_multikey_1", "niah_multiquery", "vt"};
    for (int t = 0; t < 4; t++) {
        planned p = plan_of(1, task[t], "2K", "repeat=1"), absent = plan_of(1, task[t], "2K", "control=absent"),
                swapped = plan_of(1, task[t], "2K", "control=swapped"),
                twice = plan_of(1, task[t], "3K", "repeat=2");
        char *query = field(&p, 3, "query"), *answers = field(&p, 3, "answer"), *next = field(&p, 4, "answer"),
             *other = field(&swapped, 3, "answer"), first[64];
        snprintf(first, sizeof first, "%.*s", (int)strcspn(answers, " "), answers);
        read_text r = read_sample(&p, 0, 3, 4096), a = read_sample(&absent, 0, 3, 4096),
                  s = read_sample(&swapped, 0, 3, 4096), d = read_sample(&twice, 0, 3, 4096);
        assert_string_equal(other, next);
        assert_int_equal(count_of(r.text, first),
                         t == 3 ? 3 : 2); /* told, once more in a chain, and as the answer */
        assert_int_equal(count_of(a.text, first), 1);
        assert_int_equal(count_of(s.text, first), t == 3 ? 2 : 1);
        if (t < 2) assert_int_equal(count_of(a.text, query), 2); /* both in the question */
        char *again = field(&twice, 3, "answer");
        snprintf(first, sizeof first, "%.*s", (int)strcspn(again, " "), again);
        assert_int_equal(count_of(d.text, first), t == 3 ? 5 : 3);
        check_any_reads(&twice, 0, 3);
        free(query);
        free(answers);
        free(next);
        free(other);
        free(again);
        drop_text(&r);
        drop_text(&a);
        drop_text(&s);
        drop_text(&d);
        drop(&p);
        drop(&absent);
        drop(&swapped);
        drop(&twice);
    }
    planned p = plan_of(1, "cwe", "2K", "repeat=1"), swapped = plan_of(1, "cwe", "2K", "control=swapped");
    char *next = field(&p, 4, "answer"), *other = field(&swapped, 3, "answer");
    assert_string_equal(next, other);
    free(next);
    free(other);
    drop(&p);
    drop(&swapped);
}

static void test_scores(void **state)
{
    (void)state;
    planned p = plan_of(0, "niah_multiquery", "3K", "repeat=1"), v = plan_of(0, "vt", "6K", "repeat=1");
    char *answers = field(&p, 0, "answer"), *names = field(&v, 0, "answer"), text[200];
    assert_true(value_of(&p, 0, 0, answers, "right") == 4 && value_of(&p, 0, 0, answers, "all_right") == 1);
    snprintf(text, sizeof text, "It is %.7s, I think.", answers);
    assert_true(value_of(&p, 0, 0, text, "right") == 1 && value_of(&p, 0, 0, text, "asked") == 4);
    assert_true(value_of(&p, 0, 0, "", "right") == 0 && value_of(&p, 0, 0, text, "all_right") == 0);
    for (char *c = names; *c; c++) *c = *c == ' ' ? ',' : (char)(*c | 0x20);
    assert_true(value_of(&v, 0, 0, names, "right") == 5); /* upper and lower case alike */
    assert_true(value_of(&p, 0, 0, "", "nll") == 32);     /* four times a space and seven digits */
    free(answers);
    free(names);
    drop(&p);
    drop(&v);
    planned all = plan(&ruler_task, kind[1], WORDS("len=4K,8K"));
    static const int generate[] = {128, 128, 128, 128, 128, 128, 128, 128, 30, 120, 50};
    assert_int_equal(all.count, 22);
    for (size_t i = 0; i < 11; i++) {
        task_sample *s = open_sample(&all, 2 * i, 0);
        assert_int_equal(shape_of(&ruler_task, s).decoding.max_tokens, generate[i]);
        ruler_task.eval->close(s);
    }
    drop(&all);
}

static void test_refusals(void **state)
{
    (void)state;
    check_refused(&ruler_task, kind[0], WORDS("tasks=niah"), PAL_USAGE, "niah_single_1,niah_single_2");
    check_refused(&ruler_task, kind[0], WORDS("tasks=qa_1"), PAL_USAGE, "tasks=qa_1");
    check_refused(&ruler_task, kind[0], WORDS("tasks=vt", "len=500"), PAL_USAGE, "at least");
    check_refused(&ruler_task, kind[0], WORDS("tasks=cwe", "len=1200"), PAL_USAGE, "too short for cwe");
    check_refused(&ruler_task, kind[0], WORDS("tasks=fwe", "len=700"), PAL_USAGE, "too short for fwe");
    check_refused(&ruler_task, kind[0], WORDS("tasks=cwe", "len=8K", "control=absent"), PAL_USAGE, "swapped");
    check_refused(&ruler_task, kind[0], WORDS("tasks=vt,vt", "len=8K"), PAL_USAGE, "asked for twice");
}

/* ---- The engine ---- */

static void test_permutation(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 2, 3, 5, 64, 1000, 4097};
    for (size_t i = 0; i < 7; i++) {
        uint8_t seen[5000] = {0};
        rng draws = rng_make(1, "permutation", i, 0), others = rng_make(2, "permutation", i, 0);
        const permutation p = permutation_make(sizes[i], &draws), q = permutation_make(sizes[i], &others);
        uint64_t same = 0;
        for (uint64_t k = 0; k < sizes[i]; k++) {
            const uint64_t at = permutation_at(&p, k);
            assert_true(at < sizes[i] && !seen[at]);
            seen[at] = 1;
            same += at == permutation_at(&q, k);
        }
        if (sizes[i] >= 64) assert_true(same < sizes[i] / 8);
    }
}

/* Sentences end where they should, white space is single, long ones are cut between words, and nothing is lost. */
static void test_prose(void **state)
{
    (void)state;
    char text[9000] = "One  two.\nThree (four!) \"Five?\" six\n\nseven. ", got[1100];
    for (int i = 0; i < 300; i++) strcat(text, "\xc3\xa4\xc3\xb6\xc3\xbc ");
    for (int i = 0; i < 900; i++) strcat(text, "\xe6\xbc\xa2");
    corpus *c;
    prose *p;
    size_t size, total = 0;
    put("prose/test/a.txt", text, strlen(text));
    assert_int_equal(corpus_open(&c, at("prose"), "", "test", &err), PAL_OK);
    assert_int_equal(prose_open(&p, c, 0, &err), PAL_OK);
    static const char *const want[] = {"One two.", "Three (four!)", "\"Five?\"", "six seven."};
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++) {
            assert_int_equal(prose_next(p, got, sizeof got, 1, &size, &err), PAL_OK);
            got[size] = '\0';
            assert_string_equal(got, want[i]);
        }
        total = 0;
        do {
            int broken;
            assert_int_equal(prose_next(p, got, sizeof got, 1, &size, &err), PAL_OK);
            assert_true(size <= 1024 && utf8_valid(got, size, &broken) == size);
            for (size_t k = 0; k < size; k++) total += got[k] != ' ';
        } while (total < 300 * 6 + 900 * 3);
        assert_int_equal(total, 300 * 6 + 900 * 3);
        if (round == 0) prose_rewind(p); /* and at the end it goes on from the start */
    }
    assert_int_equal(prose_next(p, got, sizeof got, 1, &size, &err), PAL_OK);
    got[size] = '\0';
    assert_string_equal(got, "One two.");
    assert_int_equal(prose_next(p, got, sizeof got, 99999, &size, &err), PAL_DATA);
    prose_close(p);
    corpus_close(c);
}

/* A million tokens, read without holding them. */
static void test_long(void **state)
{
    (void)state;
    static const char *const task[] = {"niah_single_1", "niah_single_2", "niah_multikey_2", "cwe"};
    for (int t = 0; t < 4; t++) {
        planned p = plan_of(1, task[t], "1M", "repeat=1");
        task_sample *s = open_sample(&p, 0, 0);
        static int32_t token[65536];
        size_t got = 1, sum = 0;
        for (; got; sum += got) assert_int_equal(ruler_task.eval->read(s, token, 65536, &got, &err), PAL_OK);
        assert_int_equal(sum, 1048576);
        ruler_task.eval->close(s);
        drop(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_niah),        cmocka_unit_test(test_places), cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_chain),       cmocka_unit_test(test_common), cmocka_unit_test(test_frequent),
        cmocka_unit_test(test_controls),    cmocka_unit_test(test_scores), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_permutation), cmocka_unit_test(test_prose),  cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, open_lab, close_lab);
}

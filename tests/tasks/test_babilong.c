/* BABILong: a reader of its own answers every question from the facts alone; facts stand in their order inside
 * whole sentences of the books; and BABILong's comparison of answers on continuations that are hard to tell. */
#include "tests/lib/task_lab.h"

#include "tasks/babilong/compare.h"
#include "tasks/babilong/world.h"

extern const task_module babilong_task;
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

/* ---- A reader of facts, who knows no more than the text ---- */

enum { PEOPLE = 8, THINGS = 3, HISTORY = 64 };
static const char *const people[PEOPLE] = {"John", "Mary", "Sandra", "Daniel", "Bill", "Fred", "Jeff", NULL};
static const char *const things[THINGS] = {"apple", "football", "milk"};

typedef struct reader {
    char at[PEOPLE][16];   /* "": unknown */
    int holder[THINGS];    /* -1: nobody */
    char lies[THINGS][16]; /* where it was put down */
    char was[THINGS][HISTORY][16];
    int places[THINGS];
    int giver[THINGS], taker[THINGS]; /* of the last gift of each */
    int gift[PEOPLE][PEOPLE];         /* the last thing that one gave the other */
    char side[4][2][16];              /* "a is north of b": by direction */
    char fact[4][2][16];
    int facts;
} reader;

static int person(const char *text)
{
    for (int i = 0; people[i]; i++)
        if (strncmp(text, people[i], strlen(people[i])) == 0) return i;
    return -1;
}

static int thing_in(const char *text)
{
    for (int i = 0; i < THINGS; i++)
        if (strstr(text, things[i])) return i;
    return -1;
}

static const char *place_of(const reader *r, int thing)
{
    return r->holder[thing] >= 0 ? r->at[r->holder[thing]] : r->lies[thing];
}

static void read_fact(reader *r, const char *fact)
{
    const int who = person(fact), thing = thing_in(fact);
    const char *to = strstr(fact, " to ");
    if (who < 0) { /* The A is north of the B. */
        char side[8];
        assert_int_equal(
            sscanf(fact, "The %15s is %7s of the %15[a-z].", r->fact[r->facts][0], side, r->fact[r->facts][1]), 3);
        strcpy(r->side[r->facts++][0], side);
        return;
    }
    if (thing < 0) {
        assert_non_null(to);
        assert_int_equal(sscanf(to, " to the %15[a-z].", r->at[who]), 1);
    } else if (to) {
        const int other = person(to + 4);
        assert_true(r->holder[thing] == who && other >= 0 && other != who);
        r->holder[thing] = other;
        r->giver[thing] = who;
        r->taker[thing] = other;
        r->gift[who][other] = thing;
    } else if (strstr(fact, " got ") || strstr(fact, " took ") || strstr(fact, " grabbed ") ||
               strstr(fact, " picked up ")) {
        assert_int_equal(r->holder[thing], -1);
        r->holder[thing] = who;
    } else {
        assert_true(strstr(fact, " dropped ") || strstr(fact, " put down ") || strstr(fact, " discarded ") ||
                    strstr(fact, " left "));
        assert_int_equal(r->holder[thing], who);
        r->holder[thing] = -1;
        strcpy(r->lies[thing], r->at[who]);
    }
    for (int i = 0; i < THINGS; i++) {
        const char *place = place_of(r, i);
        if (!place[0] || (r->places[i] && strcmp(r->was[i][r->places[i] - 1], place) == 0)) continue;
        strcpy(r->was[i][r->places[i]++], place);
    }
}

static const char *opposite(const char *side)
{
    static const char *const pair[4][2] = {
        {"north", "south"}, {"south", "north"}, {"east", "west"}, {"west", "east"}};
    for (int i = 0; i < 4; i++)
        if (strcmp(pair[i][0], side) == 0) return pair[i][1];
    fail_msg("%s", side);
    return "";
}

/* What lies on this side of the place. */
static const char *beside(const reader *r, const char *side, const char *place)
{
    for (int i = 0; i < r->facts; i++) {
        if (strcmp(r->fact[i][1], place) == 0 && strcmp(r->side[i][0], side) == 0) return r->fact[i][0];
        if (strcmp(r->fact[i][0], place) == 0 && strcmp(r->side[i][0], opposite(side)) == 0) return r->fact[i][1];
    }
    return "nothing";
}

static const char *answer_of(const reader *r, const char *question)
{
    static char place[16];
    char side[16];
    const int thing = thing_in(question);
    if (sscanf(question, "What is the %15s %15s of?", place, side) == 2) return beside(r, opposite(side), place);
    if (sscanf(question, "What is %15s of the %15[a-z]?", side, place) == 2) return beside(r, side, place);
    if (strncmp(question, "Where was ", 10) == 0) {
        assert_true(r->places[thing] >= 2);
        assert_non_null(strstr(question, r->was[thing][r->places[thing] - 1]));
        return r->was[thing][r->places[thing] - 2];
    }
    if (strncmp(question, "Where is the ", 13) == 0) return place_of(r, thing);
    if (strncmp(question, "Where is ", 9) == 0) return r->at[person(question + 9)];
    if (strncmp(question, "What did ", 9) == 0)
        return things[r->gift[person(question + 9)][person(strstr(question, " to ") + 4)]];
    if (strncmp(question, "Who gave ", 9) == 0) {
        const char *to = strstr(question, " to ");
        if (to) assert_int_equal(person(to + 4), r->taker[thing]);
        return people[r->giver[thing]];
    }
    if (strncmp(question, "Who did ", 8) == 0) assert_int_equal(person(question + 8), r->giver[thing]);
    return people[r->taker[thing]];
}

static void test_world(void **state)
{
    (void)state;
    static const int most[] = {10, 100, 150, 2, 150};
    for (int task = 0; task < BABI_TASKS; task++) {
        int answers[BABI_LABELS] = {0}, least = BABI_FACTS, largest = 0;
        const char *const *label = babi_labels(task);
        for (uint64_t i = 0; i < 400; i++) {
            static babi_story s;
            rng draws = rng_make(7, "world", i, (uint32_t)task);
            babi_make(task, &draws, &s);
            reader r = {.holder = {-1, -1, -1}};
            for (int f = 0; f < s.facts; f++) read_fact(&r, s.fact[f]);
            char known[16];
            snprintf(known, sizeof known, "%s", answer_of(&r, s.question));
            known[0] = (char)(known[0] | 0x20);
            if (strcmp(known, s.answer) != 0)
                fail_msg("qa%d: %s is %s, not %s", task + 1, s.question, known, s.answer);
            assert_true(babilong_only_label(s.told, strlen(s.told), s.question, s.answer, label));
            if (s.facts < least) least = s.facts;
            if (s.facts > largest) largest = s.facts;
            for (int l = 0; label[l]; l++) answers[l] += strcmp(label[l], s.answer) == 0;
        }
        for (int l = 0; label[l]; l++) assert_true(answers[l] > 15);
        assert_true(least >= 2 && largest <= most[task] && (task == 3 || largest >= 10));
    }
}

/* ---- The text ---- */

static void check_text(int k, int task, const char *length)
{
    char name[24], len[24];
    snprintf(name, sizeof name, "tasks=qa%d", task + 1);
    snprintf(len, sizeof len, "len=%s", length);
    planned p = plan(&babilong_task, kind[k], WORDS(name, len, "n=6", "from=10", "to=90"));
    for (int64_t i = 0; i < 6; i++) {
        static babi_story s;
        char domain[64], want[300];
        snprintf(domain, sizeof domain, "babilong/qa%d/%lld", task + 1, (long long)p.cells[0].length);
        rng draws = rng_make(1, domain, (uint64_t)i, 0);
        babi_make(task, &draws, &s);
        read_text r = read_sample(&p, 0, i, 4096);
        snprintf(want, sizeof want, "\n</context>\nQuestion: %s\nAnswer: %s", s.question, s.told);
        assert_string_equal(r.text + strlen(r.text) - strlen(want), want);
        const char *at = strstr(r.text, "<context>\n"), *first = NULL;
        assert_non_null(at);
        for (int f = 0; f < s.facts; f++) {
            snprintf(want, sizeof want, " %s", s.fact[f]);
            const char *next = strstr(at, want);
            if (!next) fail_msg("qa%d, %s: \"%s\" is not there, or not in its order", task + 1, length, want);
            /* Behind a whole sentence, of the book or of the facts. */
            if (next > r.text && !strchr(".!?\"')_\n\x9d", next[-1])) fail_msg("\"%.60s\"", next - 30);
            if (!first) first = next;
            at = next + 1;
        }
        assert_true(r.shape.shared <= r.prompt);
        check_any_reads(&p, 0, i);
        drop_text(&r);
    }
    check_shared(&p, 0, 6);
    drop(&p);
}

static void test_text(void **state)
{
    (void)state;
    for (int task = 0; task < BABI_TASKS; task++)
        for (int k = 0; k < 2; k++) {
            check_text(k, task, "0");
            check_text(k, task, k ? "8K" : "24K");
        }
}

static void test_controls(void **state)
{
    (void)state;
    planned p = plan(&babilong_task, kind[1], WORDS("tasks=qa2", "len=4K", "n=9")),
            absent = plan(&babilong_task, kind[1], WORDS("tasks=qa2", "len=4K", "n=9", "control=absent")),
            swapped = plan(&babilong_task, kind[1], WORDS("tasks=qa2", "len=4K", "n=9", "control=swapped")),
            twice = plan(&babilong_task, kind[1], WORDS("tasks=qa2", "len=9K", "n=9", "repeat=2"));
    static babi_story s;
    rng draws = rng_make(1, "babilong/qa2/4096", 2, 0);
    babi_make(1, &draws, &s);
    read_text r = read_sample(&p, 0, 2, 4096), a = read_sample(&absent, 0, 2, 4096),
              t = read_sample(&twice, 0, 2, 4096);
    for (int f = 0; f < s.facts; f++) {
        assert_non_null(strstr(r.text, s.fact[f]));
        assert_null(strstr(strstr(a.text, "<context>"), s.fact[f]));
    }
    draws = rng_make(1, "babilong/qa2/9216", 2, 0);
    babi_make(1, &draws, &s);
    const char *once = strstr(t.text, s.fact[0]), *last = once;
    for (const char *at = once; (at = strstr(at + 1, s.fact[0]));) last = at;
    assert_true(once && last > once + 1000);
    check_any_reads(&twice, 0, 2);
    int others = 0;
    for (int64_t i = 0; i < 8; i++) {
        double value[TASK_VALUES];
        json_t *next = score_sample(&p, 0, i + 1, 1, "", value),
               *other = score_sample(&swapped, 0, i, 1, "", value), *own = score_sample(&p, 0, i, 1, "", value);
        const char *answer = json_string_value(json_object_get(other, "answer"));
        assert_string_equal(answer, json_string_value(json_object_get(next, "answer")));
        assert_string_equal(json_string_value(json_object_get(other, "question")),
                            json_string_value(json_object_get(own, "question")));
        others += strcmp(answer, json_string_value(json_object_get(own, "answer"))) != 0;
        assert_true(value_of(&swapped, 0, i, answer, "only_label") == 1);
        json_decref(next);
        json_decref(other);
        json_decref(own);
    }
    assert_true(others > 3);
    assert_string_equal(absent.cells[0].name, "len=4096,qa2,absent");
    drop_text(&r);
    drop_text(&a);
    drop_text(&t);
    drop(&p);
    drop(&absent);
    drop(&swapped);
    drop(&twice);
    check_refused(&babilong_task, kind[0], WORDS("tasks=qa6"), PAL_USAGE, "qa1 to qa5");
    check_refused(&babilong_task, kind[0], WORDS("len=100"), PAL_USAGE, "at least");
    check_refused(&babilong_task, kind[0], WORDS("from=60", "to=50"), PAL_USAGE, "behind");
    check_refused(&babilong_task, kind[0], WORDS("tasks=qa1,qa1"), PAL_USAGE, "asked for twice");
}

/* ---- Answers: the values of the public rule, in the order only label, first label ---- */

static void test_compare(void **state)
{
    (void)state;
    static const struct {
        int task;
        const char *answer, *text, *question;
        int only, first;
    } row[] = {
        {0, "kitchen", " The most recent location of John is kitchen.", "Where is John?", 1, 1},
        {0, "kitchen", " KITCHEN", "Where is John?", 1, 1},
        {0, "kitchen", " garden. No, the kitchen.", "Where is John?", 0, 0},
        {0, "kitchen", " kitchen. Mary is in the garden.", "Where is John?", 1, 1},
        {0, "kitchen", " kitchen or garden", "Where is John?", 0, 1},
        {0, "kitchen", " not the garden but the kitchen", "Where is John?", 0, 0},
        {0, "kitchen", ". kitchen", "Where is John?", 0, 1}, /* the first sentence is empty */
        {0, "kitchen", "", "Where is John?", 0, 0},
        {0, "kitchen", " kitchen <example> garden", "Where is John?", 1, 1},
        {0, "kitchen", " <context> kitchen", "Where is John?", 0, 1},
        {0, "kitchen", " kitchen\nQuestion: is it the office?", "Where is John?", 0,
         1},                                                        /* the cut at Question never acts */
        {0, "kitchen", " the kitchenette", "Where is John?", 1, 1}, /* a part of a word will do */
        {2, "garden", " Before the kitchen the apple was in the garden.",
         "Where was the apple before the kitchen?", 1, 1},
        {2, "garden", " kitchen", "Where was the apple before the kitchen?", 0, 0},
        {3, "office", " office", "What is the bedroom south of?", 1, 1},
        {3, "office", " The bedroom is south of the office", "What is the bedroom south of?", 1, 1},
        {4, "fred", " Fred", "Who received the football?", 1, 1},
        {4, "fred", " Fred received the football from Bill", "Who received the football?", 0, 1},
        {4, "milk", " Bill gave Fred the milk", "What did Bill give to Fred?", 1, 1},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const char *const *label = babi_labels(row[i].task);
        const size_t size = strlen(row[i].text);
        const int only = babilong_only_label(row[i].text, size, row[i].question, row[i].answer, label),
                  first = babilong_first_label(row[i].text, size, row[i].question, row[i].answer, label);
        if (only != row[i].only || first != row[i].first) fail_msg("\"%s\": %d and %d", row[i].text, only, first);
    }
    static const char *const place[] = {"bathroom", "bedroom", "garden", "hallway", "kitchen", "office", NULL};
    for (int i = 0; place[i]; i++) assert_string_equal(babi_labels(0)[i], place[i]);
}

static void test_long(void **state)
{
    (void)state;
    planned p = plan(&babilong_task, kind[1], WORDS("tasks=qa3", "len=1M", "n=1"));
    task_sample *s = open_sample(&p, 0, 0);
    static int32_t token[65536];
    size_t got = 1, sum = 0;
    for (; got; sum += got) assert_int_equal(babilong_task.eval->read(s, token, 65536, &got, &err), PAL_OK);
    assert_int_equal(sum, 1048576);
    babilong_task.eval->close(s);
    drop(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world),   cmocka_unit_test(test_text), cmocka_unit_test(test_controls),
        cmocka_unit_test(test_compare), cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, open_lab, close_lab);
}

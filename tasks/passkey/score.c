/* The scores of a passkey sample, and the record of it. */
#include "tasks/passkey/run.h"

#include <stdio.h>
#include <string.h>

const char *const passkey_value[PASSKEY_VALUES] = {
    [TOKEN_ACCURACY] = "token_accuracy",    /* share of the 5 digits, given the true ones before */
    [EXACT_MATCH] = "exact_match",          /* all 5 of them */
    [FIRST_INTEGER] = "first_integer",      /* the first integer generated is the key, as a number */
    [ANSWER_NLL] = "answer_nll",            /* mean nats per digit */
    [SWAPPED_ACCURACY] = "swapped_accuracy" /* share of the 5 digits of the told key that were generated */
};

const task_metric passkey_metric[PASSKEY_VALUES] = {
    {"token_accuracy", METRIC_SHARE, TOKEN_ACCURACY, -1, 1, METRIC_COUNTS, 0, PASSKEY_DIGITS},
    {"exact_match", METRIC_SHARE, EXACT_MATCH, -1, 1, METRIC_HITS, 0, 0},
    {"first_integer", METRIC_SHARE, FIRST_INTEGER, -1, 1, METRIC_HITS, 0, 0},
    {"answer_nll", METRIC_RATIO, ANSWER_NLL, -1, 0, METRIC_NUMBERS, 0, 0},
    {"swapped_accuracy", METRIC_SHARE, SWAPPED_ACCURACY, -1, 1, METRIC_COUNTS, 1, PASSKEY_DIGITS},
};

enum { ARGMAX_MAX = 64, GENERATED_MAX = 128 }; /* bytes of text, NUL included */

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Whether the first run of digits in `text` is the number `key` (a string of digits). */
static int first_integer_is(const char *text, size_t size, const char *key)
{
    size_t from = 0;
    while (from < size && !is_digit(text[from])) from++;
    size_t to = from;
    while (to < size && is_digit(text[to])) to++;
    if (from == to) return 0;
    while (from + 1 < to && text[from] == '0') from++;
    while (key[0] == '0' && key[1]) key++;
    return to - from == strlen(key) && memcmp(text + from, key, to - from) == 0;
}

/* How many of token[count] are the digits of `key` in their places. */
static int digits_right(const passkey_text *text, const int32_t *token, size_t count, int key)
{
    char digits[PASSKEY_DIGITS + 1];
    passkey_digits(key, digits);
    int right = 0;
    for (size_t i = 0; i < PASSKEY_DIGITS && i < count; i++) right += token[i] == text->digit[digits[i] - '0'];
    return right;
}

/* The same of grouped digits: how many of them the tokens hold in their places, each token beside the true one,
 * whose text is compared from its first byte. *same: whether all texts are equal. */
static int grouped_right(const passkey_text *text, const int32_t *token, size_t count, int key, int *same)
{
    int32_t answer[PASSKEY_PIECE];
    const size_t size = (size_t)passkey_tell(text, &text->answer, key, answer);
    const int32_t *truth = answer + size - (size_t)passkey_digit_tokens(text, key);
    int right = 0;
    *same = 1;
    for (size_t i = 0; i < count; i++) {
        char want[GENERATED_MAX], have[GENERATED_MAX];
        const size_t wanted = tokenizer_token_text(text->tokenizer, truth[i], want, sizeof want);
        size_t had = tokenizer_token_text(text->tokenizer, token[i], have, sizeof have);
        if (had > sizeof have) had = 0; /* not written; no token of an answer is as long */
        if (had != wanted || memcmp(have, want, wanted) != 0) *same = 0;
        for (size_t k = 0; k < wanted && k < had; k++) right += is_digit(want[k]) && have[k] == want[k];
    }
    return right;
}

/* How many digits of `key` the first digits in the text are, place by place. */
static int text_digits_right(const char *text, size_t size, int key)
{
    char digits[PASSKEY_DIGITS + 1];
    size_t from = 0;
    int right = 0;
    passkey_digits(key, digits);
    while (from < size && !is_digit(text[from])) from++;
    for (size_t i = 0; i < PASSKEY_DIGITS && from + i < size; i++) right += text[from + i] == digits[i];
    return right;
}

/* As many of the tokens as have room, as text that may hold NUL bytes; returns its size. */
static size_t decode(const passkey_text *text, const int32_t *token, size_t count, char *out, size_t room)
{
    size_t size;
    while ((size = tokenizer_decode(text->tokenizer, token, count, out, room)) >= room) count--;
    return size;
}

/* Any bytes as the inside of a JSON string. Bytes that are not printable ASCII become \u0000 to \u00ff, so the
 * record is valid whatever the model made and still tells every byte. `out` holds 6 * size + 1 bytes. */
static void json_escape(const char *text, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            out += sprintf(out, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            out += sprintf(out, "\\u%04x", c);
        else
            *out++ = (char)c;
    }
    *out = '\0';
}

static void write_record(const passkey_facts *facts, const char *argmax, const char *generated, char *record,
                         size_t record_size)
{
    char key[PASSKEY_DIGITS + 1], told[PASSKEY_DIGITS + 1] = "", name[64] = "", tokens[48] = "";
    passkey_digits(facts->key, key);
    if (facts->told >= 0) passkey_digits(facts->told, told);
    if (facts->name) snprintf(name, sizeof name, "\"name\":\"%s\",", facts->name);
    if (facts->text->grouped)
        snprintf(tokens, sizeof tokens, "\"answer_tokens\":%lld,",
                 (long long)passkey_digit_tokens(facts->text, facts->key));
    const int size = snprintf(record, record_size,
                              "{\"key\":\"%s\",\"told\":\"%s\",%s%s\"needle_offset\":%lld,\"depth\":%.10g,"
                              "\"depth_actual\":%.10g,\"argmax\":\"%s\",\"generated\":\"%s\"}",
                              key, told, name, tokens, (long long)facts->offset, facts->depth, facts->depth_actual,
                              argmax, generated);
    /* Half an object would break the journal that holds it. */
    if ((size_t)size >= record_size) snprintf(record, record_size, "%s", record_size > 2 ? "{}" : "");
}

void passkey_score(const task_sample *s, const task_output *out, double *value, char *record, size_t record_size)
{
    const passkey_facts facts = passkey_sample_facts(s);
    sample_shape shape = {0};
    passkey_shape(s, &shape);
    const size_t from = (size_t)(shape.score_from - out->first);
    const passkey_text *text = facts.text;
    const size_t count = (size_t)passkey_digit_tokens(text, facts.key);
    int hits, exact;
    if (text->grouped) {
        hits = grouped_right(text, out->argmax + from, count, facts.key, &exact);
    } else {
        hits = digits_right(text, out->argmax + from, count, facts.key);
        exact = hits == PASSKEY_DIGITS;
    }
    double nll = 0;
    for (size_t i = 0; i < count; i++) nll += out->nll[from + i];

    char key[PASSKEY_DIGITS + 1], argmax[ARGMAX_MAX], generated[GENERATED_MAX];
    char argmax_json[6 * ARGMAX_MAX], generated_json[6 * GENERATED_MAX];
    passkey_digits(facts.key, key);
    size_t size = decode(text, out->argmax + from, count, argmax, sizeof argmax);
    json_escape(argmax, size, argmax_json);
    size = decode(text, out->generated, out->generated_count, generated, sizeof generated);
    json_escape(generated, size, generated_json);

    /* The answers that are read are wrong in control=swapped, so only what was generated can tell the told key. */
    const size_t lead = (size_t)text->answer.mention[0];
    int made = 0;
    if (facts.told >= 0 && text->grouped)
        made = text_digits_right(generated, size, facts.told);
    else if (facts.told >= 0 && out->generated_count > lead)
        made = digits_right(text, out->generated + lead, out->generated_count - lead, facts.told);
    value[TOKEN_ACCURACY] = (double)hits / PASSKEY_DIGITS;
    value[EXACT_MATCH] = exact;
    value[FIRST_INTEGER] = first_integer_is(generated, size, key);
    value[ANSWER_NLL] = nll / PASSKEY_DIGITS;
    value[SWAPPED_ACCURACY] = (double)made / PASSKEY_DIGITS;
    write_record(&facts, argmax_json, generated_json, record, record_size);
}

/* The pieces of the prompt as tokens, checked against the tokens of the whole text, and the filler's cycle. */
#include "tasks/passkey/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE_KEY "01234" /* in the texts that are encoded; its digits are exchanged for those of other keys */

enum {
    TEXT_MAX = PASSKEY_PIECE,
    KEY_STEP = 7 /* of the keys whose digits are counted when they come in groups */
};

static const char header[] = "There is an important info hidden inside a lot of irrelevant text. Find it and "
                             "memorize them. I will quiz you about the important information there.";
static const char *const sentence[PASSKEY_SENTENCES] = {
    " The grass is green.", " The sky is blue.", " The sun is yellow.", " Here we go.", " There and back again."};

/* Common words of one short form each. */
static const char *const names[PASSKEY_NAMES] = {
    "river",  "garden", "window", "table", "bread",  "horse",  "winter", "silver", "letter",  "bridge", "castle",
    "forest", "music",  "paper",  "stone", "water",  "mother", "summer", "school", "doctor",  "market", "island",
    "church", "candle", "mirror", "apple", "corner", "engine", "flower", "hammer", "kitchen", "village"};

const char *passkey_name(int name)
{
    return names[name];
}

void passkey_digits(int key, char out[PASSKEY_DIGITS + 1])
{
    for (int d = PASSKEY_DIGITS - 1; d >= 0; d--, key /= 10) out[d] = (char)('0' + key % 10);
    out[PASSKEY_DIGITS] = '\0';
}

/* ---- The texts ---- */

static void needle_text(int name, const char *key, char out[TEXT_MAX])
{
    const char *of = name == PASSKEY_NAMELESS ? "" : " of ", *who = name == PASSKEY_NAMELESS ? "" : names[name];
    snprintf(out, TEXT_MAX, " The pass key%s%s is %s. Remember it. %s is the pass key%s%s.", of, who, key, key, of,
             who);
}

static void question_text(int name, char out[TEXT_MAX])
{
    const char *of = name == PASSKEY_NAMELESS ? "" : " of ", *who = name == PASSKEY_NAMELESS ? "" : names[name];
    snprintf(out, TEXT_MAX, " What is the pass key%s%s? The pass key%s%s is", of, who, of, who);
}

static void cycle_text(char out[TEXT_MAX])
{
    out[0] = '\0';
    for (int i = 0; i < PASSKEY_SENTENCES; i++) strcat(out, sentence[i]);
}

/* ---- Encoding ---- */

static int cannot_split(pal_error *err)
{
    return pal_fail(
        err, PAL_USAGE,
        "passkey: the tokenizer does not give each digit a token of its own, as training wants it; use bytes, "
        "or a tokenizer.json whose pre-tokenizer splits digits");
}

static int encode(const passkey_text *text, const char *words, passkey_piece *out, pal_error *err)
{
    const size_t size = strlen(words);
    out->token = malloc(size * sizeof *out->token);
    if (!out->token) return pal_fail(err, PAL_INTERNAL, "passkey: out of memory for the text");
    out->size = (int64_t)tokenizer_encode(text->tokenizer, words, size, out->token);
    return PAL_OK;
}

static int encode_digits(passkey_text *text, pal_error *err)
{
    for (int d = 0; d < 10; d++) {
        const char digit = (char)('0' + d);
        int32_t token[1];
        if (tokenizer_encode(text->tokenizer, &digit, 1, token) != 1) return cannot_split(err);
        text->digit[d] = token[0];
    }
    return PAL_OK;
}

/* No merge may take a digit and its neighbour in an answer. */
static int check_digits(const passkey_text *text, pal_error *err)
{
    const size_t lead = (size_t)text->answer.mention[0];
    for (int pair = 0; pair < 100; pair++) {
        const int left = pair / 10, right = pair % 10;
        const char words[3] = {' ', (char)('0' + left), (char)('0' + right)};
        int32_t token[3];
        if (tokenizer_encode(text->tokenizer, words, 3, token) != lead + 2 || token[lead] != text->digit[left] ||
            token[lead + 1] != text->digit[right])
            return cannot_split(err);
    }
    return PAL_OK;
}

/* The piece of `words`, which tell the sample key `mentions` times. */
static int encode_key(const passkey_text *text, const char *words, int64_t mentions, passkey_piece *out,
                      pal_error *err)
{
    PAL_TRY(encode(text, words, out, err));
    for (int64_t i = 0; i + PASSKEY_DIGITS <= out->size; i++) {
        if (memcmp(out->token + i, text->digit, PASSKEY_DIGITS * sizeof *text->digit) != 0) continue;
        if (out->mentions == mentions) return cannot_split(err);
        out->mention[out->mentions++] = i;
    }
    return out->mentions == mentions ? PAL_OK : cannot_split(err);
}

static int encode_header(passkey_text *text, pal_error *err)
{
    const size_t size = strlen(header);
    text->header.token = malloc((size + 1) * sizeof *text->header.token);
    if (!text->header.token) return pal_fail(err, PAL_INTERNAL, "passkey: out of memory for the text");
    text->header.size = (int64_t)tokenizer_encode_start(text->tokenizer, header, size, text->header.token);
    return PAL_OK;
}

/* Pieces in which every digit is a token. */
static int encode_single(passkey_text *text, pal_error *err)
{
    char words[TEXT_MAX];
    PAL_TRY(encode_digits(text, err));
    PAL_TRY(encode_key(text, " " SAMPLE_KEY, 1, &text->answer, err));
    PAL_TRY(check_digits(text, err));
    for (int i = 0; i <= PASSKEY_NAMES; i++) {
        needle_text(i, SAMPLE_KEY, words);
        PAL_TRY(encode_key(text, words, 2, &text->needle[i], err));
    }
    return PAL_OK;
}

static void free_keys(passkey_text *text)
{
    free(text->answer.token);
    text->answer = (passkey_piece){.name = PASSKEY_ANSWER};
    for (int i = 0; i <= PASSKEY_NAMES; i++) {
        free(text->needle[i].token);
        text->needle[i] = (passkey_piece){.name = i};
    }
}

/* Pieces of another size for every key, which are encoded anew when they are told. */
static int encode_grouped(passkey_text *text, pal_error *err)
{
    char words[TEXT_MAX];
    text->grouped = 1;
    PAL_TRY(encode(text, " " SAMPLE_KEY, &text->answer, err));
    for (int i = 0; i <= PASSKEY_NAMES; i++) {
        needle_text(i, SAMPLE_KEY, words);
        PAL_TRY(encode(text, words, &text->needle[i], err));
    }
    text->least_digits = PASSKEY_DIGITS;
    text->most_digits = 1;
    for (int key = 0; key < PASSKEY_KEYS; key += KEY_STEP) {
        const int64_t count = passkey_digit_tokens(text, key);
        if (count < text->least_digits) text->least_digits = count;
        if (count > text->most_digits) text->most_digits = count;
    }
    return PAL_OK;
}

static int encode_all(passkey_text *text, int groups, pal_error *err)
{
    char words[TEXT_MAX];
    free_keys(text);
    text->least_digits = text->most_digits = PASSKEY_DIGITS;
    const int single = encode_single(text, err);
    if (single != PAL_OK) {
        if (!groups || single != PAL_USAGE) return single;
        free_keys(text);
        PAL_TRY(encode_grouped(text, err));
    }
    PAL_TRY(encode_header(text, err));
    PAL_TRY(encode(text, ".", &text->stop, err));
    for (int i = 0; i <= PASSKEY_NAMES; i++) {
        question_text(i, words);
        PAL_TRY(encode(text, words, &text->question[i], err));
    }
    cycle_text(words);
    PAL_TRY(encode(text, words, &text->cycle, err));
    int64_t at = 0;
    for (int i = 0; i < PASSKEY_SENTENCES; i++) {
        int32_t token[TEXT_MAX];
        text->sentence[i] = at;
        at += (int64_t)tokenizer_encode(text->tokenizer, sentence[i], strlen(sentence[i]), token);
    }
    return PAL_OK;
}

/* ---- Are the tokens of the text those of its pieces? ---- */

typedef struct joined {
    char words[TEXT_MAX];
    int32_t token[TEXT_MAX];
    int64_t size;
} joined;

static void join(joined *j, const char *words, const int32_t *token, int64_t size)
{
    strcat(j->words, words);
    memcpy(j->token + j->size, token, (size_t)size * sizeof *token);
    j->size += size;
}

static void join_cycle(const passkey_text *text, joined *j, int first)
{
    for (int i = first; i < PASSKEY_SENTENCES; i++) {
        const int64_t end = i + 1 < PASSKEY_SENTENCES ? text->sentence[i + 1] : text->cycle.size;
        join(j, sentence[i], text->cycle.token + text->sentence[i], end - text->sentence[i]);
    }
}

static void join_needle(const passkey_text *text, joined *j, int name, int key)
{
    char digits[PASSKEY_DIGITS + 1], words[TEXT_MAX];
    int32_t token[TEXT_MAX];
    passkey_digits(key, digits);
    needle_text(name, digits, words);
    const int64_t size = passkey_tell(text, &text->needle[name], key, token);
    join(j, words, token, size);
}

static void join_question(const passkey_text *text, joined *j, int name, int key)
{
    char words[TEXT_MAX];
    int32_t token[TEXT_MAX];
    question_text(name, words);
    join(j, words, text->question[name].token, text->question[name].size);
    passkey_digits(key, words + 1);
    words[0] = ' ';
    const int64_t size = passkey_tell(text, &text->answer, key, token);
    join(j, words, token, size);
}

/* A text in which each piece of `name` has every neighbour that it can have, sentences cut in their middle apart.
 */
static int check_joined(const passkey_text *text, joined *j, int name, int key, pal_error *err)
{
    *j = (joined){.size = 0};
    join(j, header, text->header.token, text->header.size);
    join_needle(text, j, name, key);
    join_question(text, j, name, key);
    join(j, ".", text->stop.token, text->stop.size);
    for (int i = 0; i < PASSKEY_SENTENCES; i++) {
        join_cycle(text, j, i);
        if (i % 2) {
            join_question(text, j, name, key);
            join(j, ".", text->stop.token, text->stop.size);
        } else {
            join_needle(text, j, name, key);
        }
    }
    int32_t whole[TEXT_MAX];
    const size_t bytes = strlen(j->words);
    if (tokenizer_encode_start(text->tokenizer, j->words, bytes, whole) == (size_t)j->size &&
        memcmp(whole, j->token, (size_t)j->size * sizeof *whole) == 0)
        return PAL_OK;
    return pal_fail(
        err, PAL_USAGE,
        "passkey: the tokenizer makes other tokens of the text than of its pieces, so that a prompt cannot be "
        "built to the token; use bytes, or a byte-level BPE that starts words with their space");
}

static int check_text(const passkey_text *text, pal_error *err)
{
    joined j;
    for (int name = 0; name <= PASSKEY_NAMES; name++)
        for (int key = 0; key < PASSKEY_KEYS; key += 24691) PAL_TRY(check_joined(text, &j, name, key, err));
    return PAL_OK;
}

int passkey_text_create(passkey_text **out, const tokenizer *t, int groups, pal_error *err)
{
    passkey_text *text = calloc(1, sizeof *text);
    if (!text) return pal_fail(err, PAL_INTERNAL, "passkey: out of memory for the text");
    text->tokenizer = t;
    int code = encode_all(text, groups, err);
    if (code == PAL_OK) code = check_text(text, err);
    if (code != PAL_OK) {
        passkey_text_destroy(text);
        return code;
    }
    *out = text;
    return PAL_OK;
}

void passkey_text_destroy(passkey_text *text)
{
    if (!text) return;
    free(text->header.token);
    free(text->answer.token);
    free(text->stop.token);
    free(text->cycle.token);
    for (int i = 0; i <= PASSKEY_NAMES; i++) {
        free(text->needle[i].token);
        free(text->question[i].token);
    }
    free(text);
}

int64_t passkey_tell(const passkey_text *text, const passkey_piece *piece, int key, int32_t *out)
{
    char digits[PASSKEY_DIGITS + 1], words[TEXT_MAX];
    passkey_digits(key, digits);
    if (text->grouped) {
        if (piece->name == PASSKEY_ANSWER)
            snprintf(words, sizeof words, " %s", digits);
        else
            needle_text(piece->name, digits, words);
        return (int64_t)tokenizer_encode(text->tokenizer, words, strlen(words), out);
    }
    memcpy(out, piece->token, (size_t)piece->size * sizeof *out);
    for (int64_t m = 0; m < piece->mentions; m++)
        for (int d = 0; d < PASSKEY_DIGITS; d++) out[piece->mention[m] + d] = text->digit[digits[d] - '0'];
    return piece->size;
}

int64_t passkey_told_size(const passkey_text *text, const passkey_piece *piece, int key)
{
    int32_t token[PASSKEY_PIECE];
    return text->grouped ? passkey_tell(text, piece, key, token) : piece->size;
}

int64_t passkey_digit_tokens(const passkey_text *text, int key)
{
    int32_t token[PASSKEY_PIECE];
    if (!text->grouped) return PASSKEY_DIGITS;
    const int64_t size = passkey_tell(text, &text->answer, key, token);
    for (int64_t lead = 0; lead < size; lead++) {
        char bytes[TEXT_MAX];
        const size_t count = tokenizer_token_text(text->tokenizer, token[lead], bytes, sizeof bytes);
        for (size_t i = 0; i < count && i < sizeof bytes; i++)
            if (bytes[i] >= '0' && bytes[i] <= '9') return size - lead;
    }
    return size;
}

static int descending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

int64_t passkey_fixed_size(const passkey_text *text, int64_t keys, int with_header)
{
    /* Mentions of keys of more tokens than the sample's: one in the answer, two in a needle. */
    const int64_t mentions = 1 + 2 * (keys < 1 ? 1 : keys), more = text->most_digits - text->least_digits;
    int64_t size = text->answer.size + (with_header ? text->header.size : 0) + mentions * more;
    if (keys <= 1) return size + text->needle[PASSKEY_NAMELESS].size + text->question[PASSKEY_NAMELESS].size;
    int64_t needle[PASSKEY_NAMES], question = 0;
    for (int i = 0; i < PASSKEY_NAMES; i++) {
        needle[i] = text->needle[i].size;
        if (text->question[i].size > question) question = text->question[i].size;
    }
    qsort(needle, PASSKEY_NAMES, sizeof *needle, descending);
    for (int64_t i = 0; i < keys; i++) size += needle[i];
    return size + question;
}

/* ---- Filler ---- */

int64_t passkey_phase(const passkey_text *text, int64_t size)
{
    return (text->cycle.size - size % text->cycle.size) % text->cycle.size;
}

static int starts_sentence(const passkey_text *text, int64_t size)
{
    const int64_t at = passkey_phase(text, size);
    for (int i = 0; i < PASSKEY_SENTENCES; i++)
        if (text->sentence[i] == at) return 1;
    return 0;
}

int64_t passkey_sentences(const passkey_text *text, int64_t size)
{
    while (!starts_sentence(text, size)) size--;
    return size;
}

int64_t passkey_sentences_near(const passkey_text *text, int64_t size, int64_t max)
{
    const int64_t down = passkey_sentences(text, size);
    int64_t up = size;
    while (!starts_sentence(text, up)) up++;
    return up <= max && up - size < size - down ? up : down;
}

/* What a tokenizer.json asks for that byte-level BPE as it is here has not. All of it is named in one message,
 * so that one look tells how far away a file is. */
#include "datasets/tokenizer/tokenizer_rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct checker {
    const json_t *root;
    const char *path;
    pal_error *err;
    char obstacle[420]; /* what cannot be read, as words */
    size_t untold;      /* obstacles that found no room there */
} checker;

static int is_type(const json_t *object, const char *type)
{
    const char *text = json_string_value(json_object_get(object, "type"));
    return text && strcmp(text, type) == 0;
}

/* Note something in the file that this kind of tokenizer has not; reading goes on to find all of it. */
__attribute__((format(printf, 2, 3))) static void obstacle(checker *r, const char *format, ...)
{
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const size_t used = strlen(r->obstacle), size = strlen(text) + 2;
    if (used + size < sizeof r->obstacle)
        snprintf(r->obstacle + used, sizeof r->obstacle - used, "%s%s", used ? "; " : "", text);
    else
        r->untold++;
}

static int check_obstacles(const checker *r)
{
    char more[40] = "";
    if (!r->obstacle[0]) return PAL_OK;
    if (r->untold) snprintf(more, sizeof more, "; and %zu more", r->untold);
    return pal_fail(r->err, PAL_DATA, "%s: only byte-level BPE with GPT-2's splitting can be read, and here %s%s",
                    r->path, r->obstacle, more);
}

/* Keys that must be absent, null, false or an empty string: what they would switch on is not done here. */
static void check_off(checker *r, const json_t *object, const char *where, const char *const *keys)
{
    for (; *keys; keys++) {
        const json_t *value = json_object_get(object, *keys);
        if (!value || json_is_null(value) || json_is_false(value) ||
            (json_is_string(value) && json_string_length(value) == 0))
            continue;
        obstacle(r, "%s%s is set", where, *keys);
    }
}

static const char *type_of(const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    return type ? type : "of no type";
}

static void check_byte_level(checker *r, const json_t *level)
{
    static const char *const off[] = {"add_prefix_space", NULL};
    if (json_is_false(json_object_get(level, "use_regex"))) obstacle(r, "pre_tokenizer.use_regex is false");
    check_off(r, level, "pre_tokenizer.", off);
}

static int is_digit_split(const json_t *part)
{
    if (is_type(part, "Digits")) return json_is_true(json_object_get(part, "individual_digits"));
    const char *regex = json_string_value(json_object_get(json_object_get(part, "pattern"), "Regex"));
    const char *behavior = json_string_value(json_object_get(part, "behavior"));
    return is_type(part, "Split") && regex && strcmp(regex, TOKENIZER_NUMBER) == 0 && behavior &&
           strcmp(behavior, "Isolated") == 0 && !json_is_true(json_object_get(part, "invert"));
}

/* ByteLevel, alone or after a split of digits. */
static void read_splitting(checker *r, int *single_digits)
{
    const json_t *splitting = json_object_get(r->root, "pre_tokenizer");
    const int sequence = is_type(splitting, "Sequence");
    const json_t *parts = json_object_get(splitting, "pretokenizers");
    const size_t count = sequence ? json_array_size(parts) : json_is_object(splitting) ? 1 : 0;
    size_t levels = 0;
    *single_digits = 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *part = sequence ? json_array_get(parts, i) : splitting;
        const int last = i + 1 == count;
        if (last && is_type(part, "ByteLevel")) {
            check_byte_level(r, part);
            levels++;
        } else if (count == 2 && i == 0 && is_digit_split(part)) {
            *single_digits = 1;
        } else {
            obstacle(r, "pre_tokenizer has a part of its own rule (%s)", type_of(part));
        }
    }
    if (levels == 0 && count == 0) obstacle(r, "pre_tokenizer is not ByteLevel");
}

/* An empty Sequence does nothing. */
static void check_normalizer(checker *r)
{
    const json_t *normalizer = json_object_get(r->root, "normalizer");
    if (!json_is_object(normalizer)) return;
    const json_t *list = json_object_get(normalizer, "normalizers");
    if (is_type(normalizer, "Sequence") && json_is_array(list) && json_array_size(list) == 0) return;
    obstacle(r, "normalizer is set (%s)", type_of(normalizer));
}

static void check_added(checker *r)
{
    size_t index, plain = 0;
    json_t *value;
    const char *first = "";
    json_array_foreach(json_object_get(r->root, "added_tokens"), index, value)
    {
        const char *text = json_string_value(json_object_get(value, "content"));
        if (!json_is_false(json_object_get(value, "special"))) continue;
        if (plain++ == 0 && text) first = text;
    }
    if (plain) obstacle(r, "%zu added tokens are not special (such as \"%.40s\")", plain, first);
}

static void check_model(checker *r)
{
    static const char *const off[] = {
        "dropout", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges",
        NULL};
    const json_t *model = json_object_get(r->root, "model");
    const int other = json_object_get(model, "type") && !is_type(model, "BPE");
    if (other) obstacle(r, "model.type is %s, not BPE", type_of(model));
    if (!other &&
        (!json_is_object(json_object_get(model, "vocab")) || !json_is_array(json_object_get(model, "merges"))))
        obstacle(r, "model.vocab and model.merges are missing; this is no tokenizer.json of a BPE");
    check_off(r, model, "model.", off);
}

int tokenizer_rules_check(const json_t *root, const char *path, int *single_digits, pal_error *err)
{
    checker r = {.root = root, .path = path, .err = err};
    const json_t *post = json_object_get(root, "post_processor"), *decode = json_object_get(root, "decoder");
    check_model(&r);
    check_normalizer(&r);
    if (json_is_object(post) && !is_type(post, "ByteLevel"))
        obstacle(&r, "post_processor is %s, not ByteLevel; it may add tokens to a text", type_of(post));
    if (json_is_object(decode) && !is_type(decode, "ByteLevel"))
        obstacle(&r, "decoder is %s, not ByteLevel", type_of(decode));
    read_splitting(&r, single_digits);
    check_added(&r);
    return check_obstacles(&r);
}

/* What a tokenizer.json asks for, as rules; and what of it BPE as it is here has not. All of that is named in one
 * message, so that one look tells how far away a file is. */
#include "datasets/tokenizer/tokenizer_rules.h"

#include "datasets/tokenizer/bpe_fill.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOWER_BLOCK "\xe2\x96\x81" /* U+2581, SentencePiece's space */

typedef struct checker {
    const json_t *root;
    const char *path;
    pal_error *err;
    tokenizer_rules *rules;
    pattern_rule pattern[PATTERN_STAGES];
    size_t patterns;
    int spaced;         /* spaces are written as U+2581 */
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
    return pal_fail(
        r->err, PAL_DATA,
        "%s: only byte-level BPE split by patterns, and SentencePiece's BPE with bytes, can be read, and "
        "here %s%s",
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

static int is_text(const json_t *object, const char *key, const char *text)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value && strcmp(value, text) == 0;
}

static int of_characters(const checker *r)
{
    return r->rules->bpe.kind == BPE_OF_CHARACTERS;
}

/* ---- Parts that may be alone or in a Sequence: the normalizer, pre_tokenizer, post_processor and decoder. ----
 */

typedef void check_part(checker *r, const json_t *part, int last);

static void check_parts(checker *r, const json_t *part, const char *list, check_part *check)
{
    if (!json_is_object(part)) return;
    const json_t *parts = json_object_get(part, list);
    if (!is_type(part, "Sequence") || !json_is_array(parts)) {
        check(r, part, 1);
        return;
    }
    const size_t count = json_array_size(parts);
    for (size_t i = 0; i < count; i++) check(r, json_array_get(parts, i), i + 1 == count);
}

/* ---- Normalizer ---- */

static int is_space_mark(const json_t *part)
{
    return is_text(json_object_get(part, "pattern"), "String", " ") && is_text(part, "content", LOWER_BLOCK);
}

static void check_normalizer(checker *r, const json_t *part, int last)
{
    bpe_rules *rules = &r->rules->bpe;
    (void)last;
    r->rules->normalizes = 1;
    if (!of_characters(r) && is_type(part, "NFC")) {
        rules->compose = 1;
    } else if (of_characters(r) && is_type(part, "Prepend") && is_text(part, "prepend", LOWER_BLOCK)) {
        rules->prefix = BPE_PREFIX_ALWAYS;
        rules->prefix_sections = 1;
    } else if (of_characters(r) && is_type(part, "Replace") && is_space_mark(part)) {
        r->spaced = 1;
    } else {
        obstacle(r, "normalizer is set (%s)", type_of(part));
    }
}

/* ---- Pre-tokenizer ---- */

static void add_pattern(checker *r, const char *pattern, int drop)
{
    if (r->patterns == PATTERN_STAGES)
        obstacle(r, "pre_tokenizer has more than %d parts", PATTERN_STAGES);
    else
        r->pattern[r->patterns++] = (pattern_rule){pattern, drop};
}

static void check_byte_level(checker *r, const json_t *level, int last)
{
    static const char *const off[] = {"add_prefix_space", NULL};
    if (!last) obstacle(r, "pre_tokenizer goes on behind ByteLevel");
    check_off(r, level, "pre_tokenizer.", off);
    if (!json_is_false(json_object_get(level, "use_regex"))) add_pattern(r, PATTERN_GPT2, 0);
}

static void check_split(checker *r, const json_t *part)
{
    const char *regex = json_string_value(json_object_get(json_object_get(part, "pattern"), "Regex"));
    const int inverted = json_is_true(json_object_get(part, "invert"));
    if (!regex || !*regex)
        obstacle(r, "pre_tokenizer has a Split without a Regex");
    else if (is_text(part, "behavior", "Isolated") && !inverted)
        add_pattern(r, regex, 0);
    else if (is_text(part, "behavior", "Removed") && inverted)
        add_pattern(r, regex, 1);
    else
        obstacle(r, "pre_tokenizer has a Split that is neither Isolated nor Removed with invert");
}

static void check_metaspace(checker *r, const json_t *part)
{
    bpe_rules *rules = &r->rules->bpe;
    const char *scheme = json_string_value(json_object_get(part, "prepend_scheme"));
    const int older = !scheme && !json_is_false(json_object_get(part, "add_prefix_space"));
    const int always = older || (scheme && strcmp(scheme, "always") == 0);
    if (!is_text(part, "replacement", LOWER_BLOCK)) obstacle(r, "Metaspace.replacement is not U+2581");
    r->spaced = 1;
    rules->split_spaces = !json_is_false(json_object_get(part, "split"));
    if (rules->prefix != BPE_PREFIX_NONE)
        obstacle(r, "both normalizer and pre_tokenizer put a space before a text");
    if (!always && !(scheme && strcmp(scheme, "first") == 0)) return;
    rules->prefix = BPE_PREFIX_UNLESS_SPACE;
    rules->prefix_sections = always;
}

static void check_splitting(checker *r, const json_t *part, int last)
{
    if (of_characters(r)) {
        if (is_type(part, "Metaspace"))
            check_metaspace(r, part);
        else
            obstacle(r, "pre_tokenizer has a part of its own rule (%s)", type_of(part));
    } else if (is_type(part, "ByteLevel")) {
        check_byte_level(r, part, last);
    } else if (is_type(part, "Split")) {
        check_split(r, part);
    } else if (is_type(part, "Digits")) {
        add_pattern(r, json_is_true(json_object_get(part, "individual_digits")) ? "\\p{N}" : "\\p{N}+", 0);
    } else {
        obstacle(r, "pre_tokenizer has a part of its own rule (%s)", type_of(part));
    }
}

/* Whether the bytes become characters of the alphabet somewhere. */
static int has_byte_level(const json_t *splitting)
{
    const json_t *parts = json_object_get(splitting, "pretokenizers");
    const size_t count = json_array_size(parts);
    return is_type(count ? json_array_get(parts, count - 1) : splitting, "ByteLevel");
}

static void read_splitting(checker *r)
{
    const json_t *splitting = json_object_get(r->root, "pre_tokenizer");
    bpe_rules *rules = &r->rules->bpe;
    check_parts(r, splitting, "pretokenizers", check_splitting);
    if (of_characters(r)) {
        if (!r->spaced) obstacle(r, "spaces are not written as U+2581");
        return;
    }
    if (!has_byte_level(splitting))
        obstacle(r, "pre_tokenizer is not ByteLevel, or does not end with it");
    else if (r->patterns == 0)
        obstacle(r, "pre_tokenizer.use_regex is false and nothing else splits texts");
    /* GPT-2's splitting has a program of its own here. */
    const pattern_rule *p = r->pattern;
    if (rules->compose || r->patterns == 0 || r->patterns > 2 ||
        strcmp(p[r->patterns - 1].pattern, PATTERN_GPT2) != 0 || p[r->patterns - 1].drop)
        return;
    if (r->patterns == 2 && (strcmp(p[0].pattern, TOKENIZER_NUMBER) != 0 || p[0].drop)) return;
    rules->single_digits = r->patterns == 2;
    r->patterns = 0;
}

/* ---- Post-processor ---- */

/* The tokens before the text in "single"; there must be none behind it. */
static void check_template(checker *r, const json_t *part)
{
    const json_t *single = json_object_get(part, "single");
    const size_t count = json_array_size(single);
    const json_t *first = json_object_get(json_array_get(single, 0), "SpecialToken");
    const json_t *text = json_object_get(json_array_get(single, count ? count - 1 : 0), "Sequence");
    if (!text || count > 2 || (count == 2 && !first)) {
        obstacle(r, "post_processor is a TemplateProcessing that does more than begin a text with one token");
        return;
    }
    if (count == 2) r->rules->begin = json_string_value(json_object_get(first, "id"));
}

static void check_post(checker *r, const json_t *part, int last)
{
    (void)last;
    if (is_type(part, "TemplateProcessing"))
        check_template(r, part);
    else if (!is_type(part, "ByteLevel"))
        obstacle(r, "post_processor is %s; it may add tokens to a text", type_of(part));
}

/* ---- Decoder ---- */

static void check_decoder(checker *r, const json_t *part, int last)
{
    static const char *const spaced[] = {"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"};
    (void)last;
    if (!of_characters(r) && is_type(part, "ByteLevel")) return;
    for (size_t i = 0; of_characters(r) && i < sizeof spaced / sizeof *spaced; i++)
        if (is_type(part, spaced[i])) return;
    obstacle(r, "decoder is %s", type_of(part));
}

/* ---- Model ---- */

static void check_model(checker *r)
{
    static const char *const off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix", NULL};
    static const char *const off_bytes[] = {"fuse_unk", NULL};
    const json_t *model = json_object_get(r->root, "model");
    const int other = json_object_get(model, "type") && !is_type(model, "BPE");
    if (other) obstacle(r, "model.type is %s, not BPE", type_of(model));
    if (!other &&
        (!json_is_object(json_object_get(model, "vocab")) || !json_is_array(json_object_get(model, "merges"))))
        obstacle(r, "model.vocab and model.merges are missing; this is no tokenizer.json of a BPE");
    check_off(r, model, "model.", off);
    if (json_is_true(json_object_get(model, "byte_fallback")))
        r->rules->bpe.kind = BPE_OF_CHARACTERS;
    else
        check_off(r, model, "model.", off_bytes);
    r->rules->bpe.ignore_merges = json_is_true(json_object_get(model, "ignore_merges"));
}

int tokenizer_rules_read(tokenizer_rules *out, const json_t *root, const char *path, pal_error *err)
{
    *out = (tokenizer_rules){.normalizes = 0};
    checker r = {.root = root, .path = path, .err = err, .rules = out};
    check_model(&r);
    check_parts(&r, json_object_get(root, "normalizer"), "normalizers", check_normalizer);
    check_parts(&r, json_object_get(root, "post_processor"), "processors", check_post);
    check_parts(&r, json_object_get(root, "decoder"), "decoders", check_decoder);
    read_splitting(&r);
    PAL_TRY(check_obstacles(&r));
    return r.patterns ? bpe_take_patterns(&out->bpe, r.pattern, r.patterns, path, err) : PAL_OK;
}

void tokenizer_rules_free(tokenizer_rules *r)
{
    free(r->bpe.patterns);
    pattern_words_destroy(r->bpe.words);
    r->bpe = (bpe_rules){0};
}

/* Writes byte-level BPE as a tokenizer.json: one of this program, or what another's file says of it.
 * The reader makes the same tokenizer of it (tokenizer_json.c). */
#include "datasets/tokenizer/bpe_fill.h"
#include "datasets/tokenizer/tokenizer_json.h"
#include "datasets/tokenizer/tokenizer_rules.h"
#include "harness/base/os.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* The characters of bytes[size] into out, which needs 2 * size + 1. */
static char *write_characters(const byte_alphabet *a, const char *bytes, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++) {
        const unsigned c = a->character[(unsigned char)bytes[i]];
        if (c < 0x80) {
            *out++ = (char)c;
        } else {
            *out++ = (char)(unsigned char)(0xc0 | c >> 6);
            *out++ = (char)(unsigned char)(0x80 | (c & 0x3f));
        }
    }
    *out = '\0';
    return out;
}

/* The token's characters, or its name, in a malloc'ed string; NULL: no memory. */
static char *token_characters(const byte_alphabet *a, const bpe *b, size_t token)
{
    const size_t size = b->at[token + 1] - b->at[token];
    char *out = malloc(2 * size + 1);
    if (!out) return NULL;
    if (b->role[token] != BPE_TEXT) {
        memcpy(out, b->text + b->at[token], size);
        out[size] = '\0';
    } else {
        write_characters(a, b->text + b->at[token], size, out);
    }
    return out;
}

static json_t *write_vocab(const byte_alphabet *a, const bpe *b)
{
    json_t *vocab = json_object();
    for (size_t i = 0; vocab && i < b->vocab; i++) {
        char *key = token_characters(a, b, i);
        const int failed = !key || json_object_set_new(vocab, key, json_integer((json_int_t)i)) != 0;
        free(key);
        if (!failed) continue;
        json_decref(vocab);
        return NULL;
    }
    return vocab;
}

static json_t *write_merges(const byte_alphabet *a, const bpe *b)
{
    json_t *merges = json_array();
    for (size_t i = 0; merges && i < b->merges; i++) {
        char *left = token_characters(a, b, (size_t)b->merge[i].left);
        char *right = token_characters(a, b, (size_t)b->merge[i].right);
        const int failed =
            !left || !right || json_array_append_new(merges, json_pack("s++", left, " ", right)) != 0;
        free(left);
        free(right);
        if (!failed) continue;
        json_decref(merges);
        return NULL;
    }
    return merges;
}

/* Tokens that are matched as they stand. A token that is special and never matched stands in the vocabulary alone.
 */
static int is_added(const bpe *b, size_t token)
{
    if (b->added.count == 0) return 1; /* one that was just trained has its end of text alone */
    for (size_t i = 0; i < b->added.count; i++)
        if ((size_t)b->added.token[i].token == token) return 1;
    return 0;
}

static json_t *write_added(const bpe *b)
{
    json_t *added = json_array();
    for (size_t i = 0; added && i < b->vocab; i++) {
        if (b->role[i] == BPE_TEXT || !is_added(b, i)) continue;
        json_t *token = json_pack("{s:I, s:s%, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)i, "content",
                                  b->text + b->at[i], b->at[i + 1] - b->at[i], "single_word", 0, "lstrip", 0,
                                  "rstrip", 0, "normalized", 0, "special", b->role[i] == BPE_SPECIAL);
        if (json_array_append_new(added, token) == 0) continue;
        json_decref(added);
        return NULL;
    }
    return added;
}

static json_t *write_byte_level(int add_prefix_space, int use_regex)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", add_prefix_space,
                     "trim_offsets", 1, "use_regex", use_regex);
}

static json_t *write_split(const char *pattern, size_t size, int drop)
{
    return json_pack("{s:s, s:{s:s%}, s:s, s:b}", "type", "Split", "pattern", "Regex", pattern, size, "behavior",
                     drop ? "Removed" : "Isolated", "invert", drop);
}

/* rules.patterns: a line for each, "split PATTERN" or "keep PATTERN" (bpe_take_patterns). */
static int append_patterns(json_t *parts, const char *line)
{
    int failed = 0;
    while (*line) {
        const char *pattern = strchr(line, ' ') + 1, *end = strchr(pattern, '\n');
        failed |= json_array_append_new(parts, write_split(pattern, (size_t)(end - pattern), *line == 'k'));
        line = end + 1;
    }
    return failed;
}

/* Split and not Digits: of the latter their libraries disagree about digits beyond ASCII. */
static json_t *write_splitting(const bpe *b)
{
    const bpe_rules *r = &b->rules;
    if (!r->single_digits && !r->words) return write_byte_level(0, 1);
    json_t *parts = json_array();
    int failed = !parts;
    if (parts && r->single_digits)
        failed |= json_array_append_new(parts, write_split(TOKENIZER_NUMBER, strlen(TOKENIZER_NUMBER), 0));
    if (parts && r->words) failed |= append_patterns(parts, r->patterns);
    if (parts) failed |= json_array_append_new(parts, write_byte_level(0, !r->words));
    if (!failed) return json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", parts);
    json_decref(parts);
    return NULL;
}

/* The token that texts begin with. */
static json_t *write_post(const bpe *b)
{
    if (!b->rules.adds_begin) return json_null();
    const char *name = b->text + b->at[b->begin];
    const size_t size = bpe_token_size(b, (size_t)b->begin);
    json_t *known =
        json_pack("{s:s%, s:[i], s:[s%]}", "id", name, size, "ids", (int)b->begin, "tokens", name, size);
    json_t *all = json_object();
    if (!known || !all || json_object_setn_new(all, name, size, known) != 0) {
        json_decref(all);
        return NULL;
    }
    return json_pack("{s:s, s:[{s:{s:s%, s:i}}, {s:{s:s, s:i}}], s:[], s:o}", "type", "TemplateProcessing",
                     "single", "SpecialToken", "id", name, size, "type_id", 0, "Sequence", "id", "A", "type_id", 0,
                     "pair", "special_tokens", all);
}

static json_t *write_normalizer(const bpe *b)
{
    return b->rules.compose ? json_pack("{s:s}", "type", "NFC") : json_null();
}

/* Why the reader would not make the same of it; NULL: it would. */
static const char *obstacle_of(const bpe *b, const json_t *vocab)
{
    if (b->rules.kind != BPE_OF_BYTES) return "only byte-level BPE can be written";
    for (size_t i = 0; i < b->added.count; i++)
        if (b->added.token[i].odd) return "a special token takes in what is around it";
    if (b->rules.adds_begin && b->role[b->begin] != BPE_SPECIAL)
        return "the token that texts begin with is no special one";
    return vocab && json_object_size(vocab) != b->vocab ? "two of its tokens have the same text" : NULL;
}

int tokenizer_json_write(const bpe *b, const char *path, pal_error *err)
{
    const byte_alphabet a = byte_alphabet_make();
    json_t *vocab = write_vocab(&a, b);
    const char *obstacle = obstacle_of(b, vocab);
    if (obstacle) {
        json_decref(vocab);
        return pal_fail(err, PAL_USAGE, "%s: this tokenizer cannot be written as a tokenizer.json: %s", path,
                        obstacle);
    }
    json_t *model =
        json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token",
                  "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                  "ignore_merges", b->rules.ignore_merges, "vocab", vocab, "merges", write_merges(&a, b));
    json_t *root = json_pack("{s:s, s:n, s:n, s:o, s:o, s:o, s:o, s:o, s:o}", "version", "1.0", "truncation",
                             "padding", "added_tokens", write_added(b), "normalizer", write_normalizer(b),
                             "pre_tokenizer", write_splitting(b), "post_processor", write_post(b), "decoder",
                             write_byte_level(1, 1), "model", model);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!text) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for writing %zu tokens", path, b->vocab);
    const int code = os_write_file(path, text, strlen(text), err);
    free(text);
    return code;
}

/* Writes byte-level BPE with GPT-2's splitting as a tokenizer.json. */
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

/* The token's characters in a malloc'ed string; NULL: no memory. */
static char *token_characters(const byte_alphabet *a, const bpe *b, size_t token)
{
    const size_t size = b->at[token + 1] - b->at[token];
    char *out = malloc(2 * size + 1);
    if (!out) return NULL;
    if (b->role[token] == BPE_SPECIAL) {
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

static json_t *write_added(const bpe *b)
{
    json_t *added = json_array();
    for (size_t i = 0; added && i < b->vocab; i++) {
        if (b->role[i] != BPE_SPECIAL) continue;
        json_t *token = json_pack("{s:I, s:s%, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)i, "content",
                                  b->text + b->at[i], b->at[i + 1] - b->at[i], "single_word", 0, "lstrip", 0,
                                  "rstrip", 0, "normalized", 0, "special", 1);
        if (json_array_append_new(added, token) == 0) continue;
        json_decref(added);
        return NULL;
    }
    return added;
}

static json_t *write_byte_level(int add_prefix_space)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", add_prefix_space,
                     "trim_offsets", 1, "use_regex", 1);
}

/* Split and not Digits: of the latter their libraries disagree about digits beyond ASCII. */
static json_t *write_splitting(const bpe *b)
{
    json_t *level = write_byte_level(0);
    if (!b->rules.single_digits) return level;
    return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, o]}", "type", "Sequence", "pretokenizers", "type",
                     "Split", "pattern", "Regex", TOKENIZER_NUMBER, "behavior", "Isolated", "invert", 0, level);
}

int tokenizer_json_write(const bpe *b, const char *path, pal_error *err)
{
    const byte_alphabet a = byte_alphabet_make();
    json_t *model =
        json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token",
                  "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                  "ignore_merges", 0, "vocab", write_vocab(&a, b), "merges", write_merges(&a, b));
    json_t *root = json_pack("{s:s, s:n, s:n, s:o, s:n, s:o, s:n, s:o, s:o}", "version", "1.0", "truncation",
                             "padding", "added_tokens", write_added(b), "normalizer", "pre_tokenizer",
                             write_splitting(b), "post_processor", "decoder", write_byte_level(1), "model", model);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!text) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for writing %zu tokens", path, b->vocab);
    const int code = os_write_file(path, text, strlen(text), err);
    free(text);
    return code;
}

/* Counts the words of texts, each kept once, for training a BPE on them. */
#include "datasets/tokenizer/bpe_count.h"

#include "datasets/words/bpe_words.h"
#include "harness/base/hash.h"

#include <stdlib.h>
#include <string.h>

void *bpe_grow(void *items, size_t *room, size_t need, size_t size)
{
    if (need <= *room) return items;
    size_t more = *room ? 2 * *room : 16;
    if (more < need) more = need;
    void *grown = realloc(items, more * size);
    if (grown) *room = more;
    return grown;
}

static size_t *find_bucket(const bpe_words *w, const char *text, size_t size)
{
    size_t at = hash_words(text, size) & (w->buckets - 1);
    for (; w->bucket[at]; at = (at + 1) & (w->buckets - 1)) {
        const bpe_word *word = &w->word[w->bucket[at] - 1];
        if (word->size == size && memcmp(w->text + word->at, text, size) == 0) break;
    }
    return &w->bucket[at];
}

static int more_buckets(bpe_words *w)
{
    size_t *old = w->bucket;
    const size_t buckets = w->buckets ? 2 * w->buckets : 1 << 12;
    size_t *bucket = calloc(buckets, sizeof *bucket);
    if (!bucket) return 0;
    w->bucket = bucket;
    w->buckets = buckets;
    for (size_t i = 0; i < w->count; i++) *find_bucket(w, w->text + w->word[i].at, w->word[i].size) = i + 1;
    free(old);
    return 1;
}

static int count_word(bpe_words *w, const char *text, size_t size)
{
    if (2 * w->count >= w->buckets && !more_buckets(w)) return 0;
    size_t *bucket = find_bucket(w, text, size);
    if (!*bucket) {
        char *grown_text = bpe_grow(w->text, &w->text_room, w->text_size + size, 1);
        if (!grown_text) return 0;
        w->text = grown_text;
        bpe_word *grown = bpe_grow(w->word, &w->room, w->count + 1, sizeof *grown);
        if (!grown) return 0;
        w->word = grown;
        memcpy(w->text + w->text_size, text, size);
        w->word[w->count++] = (bpe_word){w->text_size, size, 0};
        w->text_size += size;
        *bucket = w->count;
    }
    w->word[*bucket - 1].times++;
    return 1;
}

int bpe_words_add(bpe_words *w, const char *text, size_t size, int single_digits, pal_error *err)
{
    for (size_t at = 0, end; at < size; at = end) {
        int sure;
        end = bpe_word_end(text, size, at, single_digits, &sure);
        if (!count_word(w, text + at, end - at))
            return pal_fail(err, PAL_INTERNAL, "out of memory after counting %zu different words", w->count);
    }
    return PAL_OK;
}

static int add_pieces(bpe_words *w, document *d, int single_digits, char **text, pal_error *err)
{
    enum { CHUNK = 1 << 16, CHARACTER = 4 /* bytes of the longest */ };
    size_t used = 0, room = 0, got;
    uint64_t read = 0;
    do {
        if (room - used < CHARACTER) {
            char *grown = bpe_grow(*text, &room, used + CHUNK, 1);
            if (!grown) return pal_fail(err, PAL_INTERNAL, "out of memory for a word of %zu bytes", used);
            *text = grown;
        }
        PAL_TRY(document_read(d, *text + used, room - used, &got, err));
        used += got;
        const size_t safe = got ? bpe_words_safe(*text, used, single_digits) : used;
        read += got;
        if (safe == 0 && used > BPE_WORD_MAX) return document_refuse_word(d, read - used, BPE_WORD_MAX, err);
        PAL_TRY(bpe_words_add(w, *text, safe, single_digits, err));
        used -= safe;
        memmove(*text, *text + safe, used);
    } while (got);
    return PAL_OK;
}

int bpe_words_add_document(bpe_words *w, document *d, int single_digits, pal_error *err)
{
    char *text = NULL;
    const int code = add_pieces(w, d, single_digits, &text, err);
    free(text);
    return code;
}

void bpe_words_free(bpe_words *w)
{
    free(w->text);
    free(w->word);
    free(w->bucket);
    *w = (bpe_words){0};
}

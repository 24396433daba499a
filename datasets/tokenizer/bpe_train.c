/* Learns merges from counted words: the most frequent pair first, the smallest of equals. */
#include "datasets/tokenizer/bpe_train.h"

#include <stdlib.h>
#include <string.h>

typedef struct pair {
    int32_t left, right;
    int64_t times;
    size_t *word; /* those that hold it, or once did */
    size_t words, room;
} pair;

/* A pair as it was when it went on the heap. Its count can only fall later, for every merge brings pairs of a
 * token that was not there before; that is put right when it comes to the top. */
typedef struct entry {
    int64_t times;
    uint64_t key; /* bpe_pair: its order is that of (left, right) */
    size_t pair;
} entry;

typedef struct trainer {
    const bpe_words *words;
    int32_t *symbol; /* [words->text_size] the tokens of word i begin at words->word[i].at */
    size_t *length;  /* [words->count] how many */
    pair *pair;
    size_t pairs, pair_room;
    size_t *bucket; /* [buckets] index + 1 of a pair, 0: none */
    size_t buckets;
    entry *heap;
    size_t entries, heap_room;
    size_t queued; /* pairs that went on the heap; those behind came up in the last merge */
    bpe *model;    /* its merges are those made so far */
    size_t tokens; /* made so far */
    size_t text_room;
} trainer;

/* ---- Pairs. ---- */

static size_t *pair_bucket(const trainer *t, int32_t left, int32_t right)
{
    size_t at = bpe_hash(bpe_pair(left, right)) & (t->buckets - 1);
    for (; t->bucket[at]; at = (at + 1) & (t->buckets - 1)) {
        const pair *p = &t->pair[t->bucket[at] - 1];
        if (p->left == left && p->right == right) break;
    }
    return &t->bucket[at];
}

static int more_pair_buckets(trainer *t)
{
    size_t *old = t->bucket;
    const size_t buckets = t->buckets ? 2 * t->buckets : 1 << 12;
    size_t *bucket = calloc(buckets, sizeof *bucket);
    if (!bucket) return 0;
    t->bucket = bucket;
    t->buckets = buckets;
    for (size_t i = 0; i < t->pairs; i++) *pair_bucket(t, t->pair[i].left, t->pair[i].right) = i + 1;
    free(old);
    return 1;
}

/* `word` has the pair once more. */
static int pair_add(trainer *t, int32_t left, int32_t right, size_t word)
{
    if (2 * t->pairs >= t->buckets && !more_pair_buckets(t)) return 0;
    size_t *bucket = pair_bucket(t, left, right);
    if (!*bucket) {
        pair *grown = bpe_grow(t->pair, &t->pair_room, t->pairs + 1, sizeof *grown);
        if (!grown) return 0;
        t->pair = grown;
        t->pair[t->pairs++] = (pair){.left = left, .right = right};
        *bucket = t->pairs;
    }
    pair *p = &t->pair[*bucket - 1];
    p->times += t->words->word[word].times;
    if (p->words == 0 || p->word[p->words - 1] != word) {
        size_t *grown = bpe_grow(p->word, &p->room, p->words + 1, sizeof *grown);
        if (!grown) return 0;
        p->word = grown;
        p->word[p->words++] = word;
    }
    return 1;
}

static void pair_remove(trainer *t, int32_t left, int32_t right, size_t word)
{
    t->pair[*pair_bucket(t, left, right) - 1].times -= t->words->word[word].times;
}

/* ---- The heap: most frequent first. ---- */

static int before(const entry *a, const entry *b)
{
    return a->times != b->times ? a->times > b->times : a->key < b->key;
}

static int heap_add(trainer *t, size_t index)
{
    const pair *p = &t->pair[index];
    const entry e = {p->times, bpe_pair(p->left, p->right), index};
    entry *heap = bpe_grow(t->heap, &t->heap_room, t->entries + 1, sizeof *heap);
    if (!heap) return 0;
    t->heap = heap;
    size_t at = t->entries++;
    for (; at > 0 && before(&e, &heap[(at - 1) / 2]); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = e;
    return 1;
}

static entry heap_take(trainer *t)
{
    entry *heap = t->heap;
    const entry top = heap[0], e = heap[--t->entries];
    size_t at = 0;
    for (size_t child = 1; child < t->entries; child = 2 * at + 1) {
        if (child + 1 < t->entries && before(&heap[child + 1], &heap[child])) child++;
        if (before(&e, &heap[child])) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = e;
    return top;
}

enum { NO_MEMORY = 0, FOUND = 1, NONE_LEFT = 2 };

/* The pair of the highest count, at least 2. */
static int most_frequent(trainer *t, size_t *found)
{
    for (; t->queued < t->pairs; t->queued++)
        if (t->pair[t->queued].times >= 2 && !heap_add(t, t->queued)) return NO_MEMORY;
    while (t->entries) {
        const entry top = heap_take(t);
        const int64_t times = t->pair[top.pair].times;
        *found = top.pair;
        if (top.times == times) return FOUND;
        if (times >= 2 && !heap_add(t, top.pair)) return NO_MEMORY;
    }
    return NONE_LEFT;
}

/* ---- Merging. ---- */

static int merge_word(trainer *t, size_t word, int32_t left, int32_t right, int32_t made)
{
    int32_t *s = t->symbol + t->words->word[word].at;
    const size_t length = t->length[word];
    size_t kept = 0;
    for (size_t i = 0; i < length; i++) {
        if (i + 1 == length || s[i] != left || s[i + 1] != right) {
            s[kept++] = s[i];
            continue;
        }
        pair_remove(t, left, right, word);
        if (kept > 0) {
            pair_remove(t, s[kept - 1], left, word);
            if (!pair_add(t, s[kept - 1], made, word)) return 0;
        }
        if (i + 2 < length) {
            pair_remove(t, right, s[i + 2], word);
            if (!pair_add(t, made, s[i + 2], word)) return 0;
        }
        s[kept++] = made;
        i++;
    }
    t->length[word] = kept;
    return 1;
}

/* Puts `made` in the place of a pair, in all words. */
static int merge_pair(trainer *t, size_t index, int32_t made)
{
    const pair p = t->pair[index]; /* adding pairs may move it */
    t->pair[index].word = NULL;
    t->pair[index].words = t->pair[index].room = 0;
    int fine = 1;
    for (size_t i = 0; fine && i < p.words; i++) fine = merge_word(t, p.word[i], p.left, p.right, made);
    free(p.word);
    return fine;
}

/* A new token of `size` bytes: where they go; NULL: no memory. */
static char *add_token(trainer *t, size_t size)
{
    bpe *b = t->model;
    const size_t end = b->at[t->tokens];
    char *text = bpe_grow(b->text, &t->text_room, end + size, 1);
    if (!text) return NULL;
    b->text = text;
    b->at[++t->tokens] = end + size;
    return text + end;
}

/* No other token has the text of the new one: wherever that stands within words it was merged in the same order,
 * for no merge has crossed its ends. */
static int make_merge(trainer *t, size_t index)
{
    bpe *b = t->model;
    const int32_t left = t->pair[index].left, right = t->pair[index].right, made = (int32_t)t->tokens;
    const size_t left_size = b->at[left + 1] - b->at[left], right_size = b->at[right + 1] - b->at[right];
    char *text = add_token(t, left_size + right_size);
    if (!text) return 0;
    memcpy(text, b->text + b->at[left], left_size);
    memcpy(text + left_size, b->text + b->at[right], right_size);
    b->merge[b->merges] = (bpe_merge){left, right, made, (uint32_t)b->merges};
    b->merges++;
    return merge_pair(t, index, made);
}

/* ---- The whole. ---- */

static int trainer_fill(trainer *t, size_t vocab)
{
    const bpe_words *words = t->words;
    t->model = bpe_alloc(vocab, vocab - BPE_BYTES - 1, 0);
    t->symbol = malloc((words->text_size + 1) * sizeof *t->symbol);
    t->length = malloc((words->count + 1) * sizeof *t->length);
    if (!t->model || !t->symbol || !t->length) return 0;
    for (size_t i = 0; i < words->text_size; i++) t->symbol[i] = (unsigned char)words->text[i];
    for (size_t i = 0; i < words->count; i++) {
        const int32_t *s = t->symbol + words->word[i].at;
        t->length[i] = words->word[i].size;
        for (size_t k = 0; k + 1 < t->length[i]; k++)
            if (!pair_add(t, s[k], s[k + 1], i)) return 0;
    }
    t->model->rules.single_digits = BPE_SINGLE_DIGITS;
    t->model->merges = 0;
    for (int i = 0; i < BPE_BYTES; i++) {
        char *text = add_token(t, 1);
        if (!text) return 0;
        *text = (char)(unsigned char)i;
    }
    return 1;
}

static int add_special(trainer *t)
{
    char *text = add_token(t, sizeof BPE_END_OF_TEXT - 1);
    if (!text) return 0;
    memcpy(text, BPE_END_OF_TEXT, sizeof BPE_END_OF_TEXT - 1);
    t->model->role[t->tokens - 1] = BPE_SPECIAL;
    return 1;
}

static int trainer_run(trainer *t, size_t vocab, bpe_train_watch *watch, void *arg, pal_error *err)
{
    int fine = trainer_fill(t, vocab);
    while (fine && t->tokens + 1 < vocab) {
        size_t index;
        const int found = most_frequent(t, &index);
        if (found == NONE_LEFT)
            return pal_fail(
                err, PAL_DATA,
                "the text is too small: it gives %zu tokens, then no pair of tokens stands in it twice; "
                "ask for vocab=%zu or give it more text",
                t->tokens + 1, t->tokens + 1);
        fine = found == FOUND && make_merge(t, index);
        if (watch) watch(arg, t->tokens);
    }
    if (!fine || !add_special(t))
        return pal_fail(err, PAL_INTERNAL, "out of memory for merging %zu different words", t->words->count);
    return PAL_OK;
}

int bpe_train(bpe **out, const bpe_words *words, size_t vocab, bpe_train_watch *watch, void *arg, pal_error *err)
{
    if (vocab <= BPE_BYTES)
        return pal_fail(err, PAL_USAGE, "a vocabulary of %zu has no room for the bytes and " BPE_END_OF_TEXT,
                        vocab);
    trainer t = {.words = words};
    int code = trainer_run(&t, vocab, watch, arg, err);
    if (code == PAL_OK) code = bpe_finish(t.model, "the trained tokenizer", err);
    if (code == PAL_OK)
        *out = t.model;
    else
        bpe_free(t.model);
    for (size_t i = 0; i < t.pairs; i++) free(t.pair[i].word);
    free(t.symbol);
    free(t.length);
    free(t.pair);
    free(t.bucket);
    free(t.heap);
    return code;
}

/* Longest common subsequences by bit vectors, and which tokens of a reference are in one. */
#include "tasks/rouge/lcs.h"

#include <stdlib.h>
#include <string.h>

/* One of the two texts is the columns: its positions are the bits of a vector. The tokens of the other are the
 * rows. With t(r, c) the length for the first r rows and c columns, bit c of the vector after r rows is clear when
 * t(r, c + 1) = t(r, c) + 1. */
enum {
    WORD = 64,
    SHORT_TEXT = 4096, /* tokens: so short a text may be the columns though the other is shorter */
    LEAST_ROWS = 128,  /* vectors kept on each level of the way back, and words more for narrow ones */
    MORE_WORDS = 8192
};

/* Where in one word of the columns a token occurs. */
typedef struct place {
    size_t block;
    uint64_t mask;
} place;

struct lcs {
    uint32_t *slot; /* [ids] 1 + number of the token among the distinct ones of the columns; 0: not there */
    size_t ids;
    const uint32_t *columns;
    size_t count, blocks; /* tokens of the columns, and words that hold as many bits */
    size_t *first, *next; /* places of distinct token d: place[first[d]..first[d + 1]); next: to fill them */
    place *place;
    uint64_t *vector;
    size_t columns_room;
    uint64_t *row; /* the kept vectors, level after level */
    size_t rows, row_room;
};

int lcs_create(lcs **out, pal_error *err)
{
    *out = calloc(1, sizeof **out);
    return *out ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory");
}

void lcs_destroy(lcs *l)
{
    if (!l) return;
    free(l->slot);
    free(l->first);
    free(l->next);
    free(l->place);
    free(l->vector);
    free(l->row);
    free(l);
}

size_t lcs_bytes(const lcs *l)
{
    const size_t column = 2 * sizeof *l->first + sizeof *l->place;
    return sizeof *l + l->ids * sizeof *l->slot + l->columns_room * column +
           (l->columns_room / WORD + l->row_room) * sizeof *l->row;
}

/* ---- The columns ---- */

static int grow_ids(lcs *l, size_t ids, pal_error *err)
{
    if (ids <= l->ids) return PAL_OK;
    if (ids < 2 * l->ids) ids = 2 * l->ids;
    uint32_t *slot = realloc(l->slot, ids * sizeof *slot);
    if (!slot) return pal_fail(err, PAL_INTERNAL, "out of memory for %zu token ids", ids);
    memset(slot + l->ids, 0, (ids - l->ids) * sizeof *slot);
    l->slot = slot;
    l->ids = ids;
    return PAL_OK;
}

static int grow_columns(lcs *l, size_t count, pal_error *err)
{
    if (count <= l->columns_room) return PAL_OK;
    const size_t room = (count + count / 2 + WORD) / WORD * WORD;
    free(l->first);
    free(l->next);
    free(l->place);
    free(l->vector);
    l->first = malloc((room + 1) * sizeof *l->first);
    l->next = malloc(room * sizeof *l->next);
    l->place = malloc(room * sizeof *l->place);
    l->vector = malloc(room / WORD * sizeof *l->vector);
    l->columns_room = room;
    if (l->first && l->next && l->place && l->vector) return PAL_OK;
    l->columns_room = 0;
    return pal_fail(err, PAL_INTERNAL, "out of memory for the LCS of a text of %zu tokens", count);
}

/* Forget the columns: every slot is 0 again. */
static void columns_clear(lcs *l)
{
    for (size_t i = 0; i < l->count; i++) l->slot[l->columns[i]] = 0;
    l->count = 0;
}

static int columns_set(lcs *l, const uint32_t *text, size_t count, pal_error *err)
{
    uint32_t highest = 0;
    for (size_t i = 0; i < count; i++)
        if (text[i] > highest) highest = text[i];
    PAL_TRY(grow_ids(l, (size_t)highest + 1, err));
    PAL_TRY(grow_columns(l, count, err));
    l->columns = text;
    l->count = count;
    l->blocks = (count + WORD - 1) / WORD;
    /* How many blocks hold each token; next: 1 + the last one seen. */
    uint32_t distinct = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t *slot = &l->slot[text[i]];
        if (*slot == 0) {
            *slot = ++distinct;
            l->first[distinct] = l->next[distinct - 1] = 0;
        }
        if (l->next[*slot - 1] == i / WORD + 1) continue;
        l->next[*slot - 1] = i / WORD + 1;
        l->first[*slot]++;
    }
    l->first[0] = 0;
    for (uint32_t d = 0; d < distinct; d++) {
        l->next[d] = l->first[d];
        l->first[d + 1] += l->first[d];
    }
    for (size_t i = 0; i < count; i++) {
        const uint32_t d = l->slot[text[i]] - 1;
        if (l->next[d] == l->first[d] || l->place[l->next[d] - 1].block != i / WORD)
            l->place[l->next[d]++] = (place){i / WORD, 0};
        l->place[l->next[d] - 1].mask |= UINT64_C(1) << i % WORD;
    }
    return PAL_OK;
}

/* Where the columns have a token: *end - the returned pointer places, by ascending block. */
static const place *places(const lcs *l, uint32_t token, const place **end)
{
    const uint32_t slot = token < l->ids ? l->slot[token] : 0;
    if (slot == 0) return *end = l->place;
    *end = l->place + l->first[slot];
    return l->place + l->first[slot - 1];
}

/* Where columns of one block have a token: there each distinct token has one place. */
static uint64_t mask_of(const lcs *l, uint32_t token)
{
    const uint32_t slot = token < l->ids ? l->slot[token] : 0;
    return slot ? l->place[slot - 1].mask : 0;
}

/* ---- One row ---- */

/* 1 + the last block that is not all ones. */
static size_t live_blocks(const uint64_t *v, size_t blocks)
{
    while (blocks > 0 && v[blocks - 1] == UINT64_MAX) blocks--;
    return blocks;
}

/* v -> (v + u) | (v - u) with u = v & places of the token (Hyyro 2004), on the first `blocks` words. A word where
 * the token is not, and into which nothing is carried, stays as it is; one of all ones hands the carry on. */
static void advance(const lcs *l, uint64_t *v, size_t blocks, size_t *live, uint32_t token)
{
    const place *end, *p = places(l, token, &end);
    uint64_t carry = 0;
    size_t at = 0;
    for (; p < end && p->block < blocks; p++) {
        for (; carry && at < p->block && at < *live; at++) {
            carry = v[at] == UINT64_MAX;
            v[at] |= v[at] + 1;
        }
        at = p->block;
        const uint64_t old = v[at], hit = old & p->mask, sum = old + hit;
        v[at] = (sum + carry) | (old & ~hit);
        carry = (sum < old) | (sum + carry < sum);
        at++;
        if (at > *live && v[at - 1] != UINT64_MAX) *live = at;
    }
    for (; carry && at < *live; at++) {
        carry = v[at] == UINT64_MAX;
        v[at] |= v[at] + 1;
    }
}

/* The first n bits of a word. */
static uint64_t low_bits(size_t n)
{
    return n >= WORD ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

/* t(r, c) from the vector after r rows. */
static size_t clear_bits(const uint64_t *v, size_t columns)
{
    size_t sum = 0;
    for (size_t b = 0; b * WORD < columns; b++)
        sum += (size_t)__builtin_popcountll(~v[b] & low_bits(columns - b * WORD));
    return sum;
}

static size_t length_now(lcs *l, const uint32_t *rows, size_t row_count)
{
    size_t live = 0;
    memset(l->vector, 0xFF, l->blocks * sizeof *l->vector);
    for (size_t r = 0; r < row_count; r++) advance(l, l->vector, l->blocks, &live, rows[r]);
    return clear_bits(l->vector, l->count);
}

int lcs_length(lcs *l, const uint32_t *a, size_t a_count, const uint32_t *b, size_t b_count, size_t *length,
               pal_error *err)
{
    *length = 0;
    if (a_count == 0 || b_count == 0) return PAL_OK;
    const int a_shorter = a_count <= b_count;
    PAL_TRY(columns_set(l, a_shorter ? a : b, a_shorter ? a_count : b_count, err));
    *length = length_now(l, a_shorter ? b : a, a_shorter ? b_count : a_count);
    columns_clear(l);
    return PAL_OK;
}

/* ---- The way back ---- */

typedef struct way {
    const uint32_t *rows;
    int over_ref;     /* the columns are ref, the rows hyp; else the other way round */
    size_t columns;   /* those before the cell where the way stands; 0: it has ended */
    size_t length;    /* t of that cell; kept only when the columns are hyp */
    uint64_t *chosen; /* over ref */
} way;

static void choose(uint64_t *chosen, size_t i)
{
    chosen[i / WORD] |= UINT64_C(1) << i % WORD;
}

/* The last place in block b or before, or NULL. */
static const place *last_place(const place *first, const place *end, size_t b)
{
    while (first < end) {
        const place *middle = first + (end - first) / 2;
        if (middle->block <= b)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

/* Columns are ref: in row r the way goes left to the first column that holds the row's token (a pair) or whose bit
 * is clear (only dropping the token of hyp keeps the length), and then up. */
static void step_over_ref(const lcs *l, way *w, size_t r, const uint64_t *v)
{
    const place *end, *first = places(l, w->rows[r], &end);
    for (size_t b = (w->columns - 1) / WORD + 1; b-- > 0; w->columns = b * WORD) {
        end = last_place(first, end, b);
        const uint64_t here = end > first && end[-1].block == b ? end[-1].mask : 0;
        const uint64_t stops = (here | ~v[b]) & low_bits(w->columns - b * WORD);
        if (stops == 0) continue;
        const size_t bit = WORD - 1 - (size_t)__builtin_clzll(stops);
        const int pair = here >> bit & 1;
        w->columns = b * WORD + bit + !pair;
        if (pair) choose(w->chosen, w->columns);
        return;
    }
}

/* Columns are hyp: the way goes up at once when dropping the token of ref keeps the length, unless the token is
 * right here; otherwise left to where the token is, a pair. `above` is the vector after r rows. */
static void step_over_hyp(const lcs *l, way *w, size_t r, const uint64_t *above)
{
    const place *end, *first = places(l, w->rows[r], &end);
    const size_t b = (w->columns - 1) / WORD;
    end = last_place(first, end, b);
    if (end > first && end[-1].block == b && (end[-1].mask & low_bits(w->columns - b * WORD)) == 0) end--;
    if (end == first) return;
    const uint64_t mask = end[-1].block == b ? end[-1].mask & low_bits(w->columns - b * WORD) : end[-1].mask;
    const size_t column = end[-1].block * WORD + WORD - 1 - (size_t)__builtin_clzll(mask);
    if (column + 1 < w->columns && clear_bits(above, w->columns) == w->length) return;
    choose(w->chosen, r);
    w->columns = column;
    w->length--;
}

/* Walk rows hi - 1 down to lo. The vectors are needed from the last to the first but come from the first to the
 * last, so some are kept and those between them computed again, level by level. `base`: the vector after lo rows.
 */
static void walk(lcs *l, way *w, size_t level, size_t lo, size_t hi, const uint64_t *base)
{
    size_t stride = 1;
    while ((hi - lo + stride - 1) / stride > l->rows) stride *= l->rows;
    const size_t pieces = (hi - lo + stride - 1) / stride, kept = stride == 1 ? pieces : pieces - 1;
    /* Higher bits do not act on lower ones: those the way has left behind are not needed. */
    const size_t blocks = (w->columns + WORD - 1) / WORD;
    uint64_t *row = l->row + level * l->rows * l->blocks;
    for (size_t k = 0; k < kept; k++) {
        uint64_t *v = row + k * l->blocks;
        memcpy(v, k ? v - l->blocks : base, blocks * sizeof *v);
        size_t live = live_blocks(v, blocks);
        for (size_t r = lo + k * stride; r < lo + (k + 1) * stride; r++) advance(l, v, blocks, &live, w->rows[r]);
    }
    for (size_t k = pieces; k-- > 0 && w->columns > 0;) {
        const uint64_t *above = k ? row + (k - 1) * l->blocks : base;
        const size_t from = lo + k * stride, to = from + stride < hi ? from + stride : hi;
        if (stride > 1)
            walk(l, w, level + 1, from, to, above);
        else if (w->over_ref)
            step_over_ref(l, w, from, row + k * l->blocks);
        else
            step_over_hyp(l, w, from, above);
    }
}

static int grow_rows(lcs *l, size_t row_count, pal_error *err)
{
    l->rows = LEAST_ROWS + MORE_WORDS / l->blocks;
    size_t levels = 1;
    for (size_t reach = l->rows; reach < row_count; reach *= l->rows) levels++;
    const size_t need = levels * l->rows * l->blocks;
    if (need <= l->row_room) return PAL_OK;
    free(l->row);
    l->row = malloc(need * sizeof *l->row);
    l->row_room = l->row ? need : 0;
    return l->row ? PAL_OK
                  : pal_fail(err, PAL_INTERNAL, "out of memory for the LCS of a text of %zu tokens", l->count);
}

/* The whole of it for a ref of one word, as nearly all sentences are: see advance() and step_over_ref(). */
static void one_word(const lcs *l, const uint32_t *rows, size_t row_count, uint64_t *chosen)
{
    uint64_t v = UINT64_MAX, columns = low_bits(l->count);
    for (size_t r = 0; r < row_count; r++) {
        const uint64_t hit = v & mask_of(l, rows[r]);
        l->row[r] = v = (v + hit) | (v - hit);
    }
    if (v == UINT64_MAX) return;
    for (size_t r = row_count; r-- > 0;) {
        const uint64_t here = mask_of(l, rows[r]), stops = (here | ~l->row[r]) & columns;
        if (stops == 0) return;
        const size_t bit = WORD - 1 - (size_t)__builtin_clzll(stops);
        const uint64_t pair = here & UINT64_C(1) << bit;
        *chosen |= pair;
        columns = low_bits(bit + !pair);
    }
}

/* Choose an LCS of the columns with the rows. */
static int way_back(lcs *l, way *w, size_t row_count, pal_error *err)
{
    PAL_TRY(grow_rows(l, row_count, err));
    if (w->over_ref && l->blocks == 1 && row_count <= l->rows) {
        one_word(l, w->rows, row_count, w->chosen);
        return PAL_OK;
    }
    w->columns = l->count;
    if (!w->over_ref) w->length = length_now(l, w->rows, row_count);
    memset(l->vector, 0xFF, l->blocks * sizeof *l->vector);
    walk(l, w, 0, 0, row_count, l->vector);
    return PAL_OK;
}

int lcs_union(lcs *l, const uint32_t *ref, size_t ref_count, const uint32_t *hyp, const size_t *end,
              size_t sentences, uint64_t *chosen, pal_error *err)
{
    int code = PAL_OK;
    if (ref_count == 0) return PAL_OK;
    const int stay = ref_count <= SHORT_TEXT; /* ref is the columns for all sentences, and set once */
    if (stay) PAL_TRY(columns_set(l, ref, ref_count, err));
    for (size_t k = 0; code == PAL_OK && k < sentences; k++) {
        const size_t begin = k ? end[k - 1] : 0, count = end[k] - begin;
        if (count == 0) continue;
        const int over_ref = stay || ref_count <= count;
        way w = {.rows = over_ref ? hyp + begin : ref, .over_ref = over_ref, .chosen = chosen};
        if (!stay) code = columns_set(l, over_ref ? ref : hyp + begin, over_ref ? ref_count : count, err);
        if (code == PAL_OK) code = way_back(l, &w, over_ref ? count : ref_count, err);
        if (!stay) columns_clear(l);
    }
    if (stay) columns_clear(l);
    return code;
}

/* Which samples run side by side: measures them, finds what they share, and cuts them into groups. */
#include "harness/eval/batch.h"
#include "models/decoder/state.h"

#include <stdlib.h>
#include <string.h>

/* A group ends where the next sample shares so much more than the group that reading it again in every lane would
 * cost more than this part of the sample. */
enum { SHARE_PART = 8 };

int batch_measure(const task_module *task, const task_run *run, batch_item *item, pal_error *err)
{
    task_sample *s = NULL;
    PAL_TRY(task->eval->open(run, item->cell, item->index, &s, err));
    sample_shape shape = {.tail = UINT64_MAX, .decoding = {.stop = -1}};
    task->eval->shape(s, &shape);
    item->tokens = shape.tokens;
    item->prompt = shape.prompt;
    item->first = shape.score_from;
    item->shared = shape.shared;
    item->shared_id = shape.shared_id;
    item->tail = shape.tail;
    item->tail_id = shape.tail_id;
    item->forget = shape.forget;
    item->decoding = shape.decoding;
    item->resume = 0;
    task->eval->close(s);
    const int whole = item->cell->length == 0 || (uint64_t)item->cell->length == item->tokens;
    if (item->tokens == 0 || !whole || item->prompt == 0 || item->prompt > item->tokens || item->first == 0 ||
        item->first > item->tokens || item->shared > item->tokens)
        return pal_fail(err, PAL_INTERNAL, "task %s: sample %lld of %s has lengths that contradict each other",
                        task->name, (long long)item->index, item->cell->name);
    return PAL_OK;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void pass_over(batch_item *item, const decoder *d, int share, int zeroed)
{
    const uint64_t segment = (uint64_t)decoder_config(d)->segment, reach = decoder_reach(d);
    const uint64_t counts =
        (smaller(item->first, item->prompt) - 1) / segment * segment; /* first segment that does */
    item->passed = 0;
    if (item->resume) return;
    const uint64_t border = item->forget / segment * segment;
    if (zeroed)
        item->passed = border <= counts ? border : 0;
    else if (share && counts > reach)
        item->passed = counts - reach;
}

/* The tokens from `passed` on that other samples have too can be read by another stream as long as nothing happens
 * in them: no score, no continuation, no forgetting. Where the start of the texts is passed over, their tails may
 * agree: there, what set them apart is forgotten. */
static void limit_shared(batch_item *item, int share, int zeroed)
{
    uint64_t most = smaller(item->first, item->prompt);
    if (zeroed) most = smaller(item->forget, most);
    uint64_t end = smaller(item->shared, most);
    if (item->passed >= item->tail) {
        end = most;
        item->shared_id = item->tail_id;
    }
    item->shared = share && !item->resume && end > item->passed ? end - item->passed : 0;
    if (item->shared == 0) item->shared_id = 0;
}

static int compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_kinship(const void *a, const void *b)
{
    const batch_item *x = a, *y = b;
    int order = compare(y->resume, x->resume);
    if (!order) order = compare(x->passed, y->passed);
    if (!order) order = compare(x->shared_id, y->shared_id);
    if (!order) order = compare(x->shared, y->shared);
    if (!order) order = compare(x->tokens, y->tokens);
    if (!order) order = strcmp(x->cell->name, y->cell->name);
    return order ? order : compare((uint64_t)x->index, (uint64_t)y->index);
}

static int same_start(const batch_item *a, const batch_item *b)
{
    return a->resume == b->resume && a->passed == b->passed && a->shared_id == b->shared_id;
}

/* What no other sample has is not shared. */
static void drop_lonely(batch_item *item, size_t count)
{
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && same_start(&item[next], &item[i]);) next++;
        if (next - i == 1) item[i].shared = 0;
    }
    for (size_t i = 0; i < count; i++)
        if (item[i].shared == 0) item[i].shared_id = 0;
    if (count) qsort(item, count, sizeof *item, by_kinship);
}

/* Whether `next` is better off in another group than the one that `first` opened. */
static int apart(const batch_item *first, const batch_item *next)
{
    return !same_start(first, next) ||
           next->shared - first->shared > (next->tokens - first->passed - first->shared) / SHARE_PART;
}

size_t batch_cut(const decoder *d, batch_item *item, size_t count, size_t lanes, int share, int zeroed,
                 batch_group *group)
{
    for (size_t i = 0; i < count; i++) {
        pass_over(&item[i], d, share, zeroed);
        limit_shared(&item[i], share, zeroed);
    }
    if (count) qsort(item, count, sizeof *item, by_kinship);
    if (share != BATCH_KEEP) drop_lonely(item, count);
    size_t groups = 0;
    uint64_t read = 0; /* by the shared stream */
    for (size_t i = 0; i < count; i++) {
        batch_group *last = groups ? &group[groups - 1] : NULL;
        if (last && last->count < lanes && !apart(&item[last->first], &item[i])) {
            last->count++;
            continue;
        }
        const uint64_t shared = item[i].shared;
        if (i > 0 && !same_start(&item[i - 1], &item[i])) read = 0;
        group[groups++] = (batch_group){.first = i,
                                        .count = 1,
                                        .start = item[i].resume ? item[i].resume : item[i].passed + shared,
                                        .once = shared > read ? shared - read : 0};
        if (shared > read) read = shared;
    }
    return groups;
}

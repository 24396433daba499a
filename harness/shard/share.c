/* One process's part of a shared evaluation: checks that all agree, knows what others have done, and picks the
 * next unit. */
#include "harness/shard/share.h"

#include "harness/base/os.h"
#include "harness/base/text.h"
#include "harness/shard/dealer.h"
#include "harness/shard/files.h"
#include "harness/shard/lease.h"
#include "harness/shard/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Processes that shard=auto cuts the work for. */
enum { AUTO_PIECES = 16 };
enum { PATH = 2 * KV_TEXT_MAX };
static const double LOOK_AGAIN = 0.5; /* seconds between looks while everything is held by others */

struct shared {
    const eval_request *request;
    shard_choice choice;
    double lease;
    eval_share view;
    char folder[PATH], journal[PATH + 160], main[PATH];
    host_id self;
    results known; /* what the main journal and those of the shards held when they were read */
    deal deal;
    uint32_t *owner; /* of SHARD_FIXED: of each unit */
    const eval_whole *whole;
    size_t *samples_left;      /* of each unit, before the first one is run */
    size_t at;                 /* SHARD_FIXED: the next part or rows to do */
    size_t current;            /* the unit in hand, SHARD_AUTO */
    size_t fetched, took_over; /* units */
    leases *leases;
    ranks ranks;    /* SHARD_RANKS */
    dealer *dealer; /* likewise */
    int over;       /* nothing is left */
    size_t pending;
    int waiting;
};

static void note(const shared *s, const char *text)
{
    if (s->view.note) s->view.note(s->view.note_arg, text);
}

static void pause_for(double seconds)
{
    const struct timespec time = {.tv_sec = (time_t)seconds,
                                  .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&time, NULL);
}

/* ---- What others have ---- */

static int known(void *arg, const char *key, int64_t index)
{
    const shared *s = arg;
    const result_cell *cell = results_find(&s->known, key);
    return cell && result_done(cell, index);
}

static int read_known(shared *s, pal_error *err)
{
    results_free(&s->known);
    results_init(&s->known, s->request->task, s->main);
    PAL_TRY(journal_read(s->main, results_visit, &s->known, err));
    return shard_read_journals(s->folder, &s->known, err);
}

static const result_cell *cell_of(const shared *s, size_t part, size_t cell)
{
    return &s->whole->cell[s->whole->first[part] + cell];
}

/* Samples of each unit that no journal has. Rows without a model count as one for each of their cells' samples. */
static void count_left(shared *s)
{
    const plan *all = s->whole->plan;
    memset(s->samples_left, 0, s->deal.count * sizeof *s->samples_left);
    for (size_t p = 0; p < all->count; p++)
        for (size_t c = 0; !all->part[p].skip[0] && c < all->part[p].cell_count; c++)
            for (int64_t i = 0; i < plan_samples(&all->part[p], c); i++)
                if (!known(s, cell_of(s, p, c)->key, i)) s->samples_left[deal_unit_of(&s->deal, p, c, i)]++;
    for (size_t u = 0; u < s->deal.count; u++) {
        const deal_unit *unit = &s->deal.unit[u];
        if (unit->part != EVAL_ROWS) continue;
        for (size_t k = 0; k < s->whole->count; k++) {
            const result_cell *cell = &s->whole->cell[k];
            if (cell->kind != RESULT_REFERENCE || strcmp(cell->name, s->request->cell[unit->cell].name) != 0)
                continue;
            for (int64_t i = 0; i < s->whole->asked[k]; i++) s->samples_left[u] += !known(s, cell->key, i);
        }
    }
}

static int is_mine(const shared *s, size_t unit)
{
    return s->choice.kind != SHARD_FIXED || s->owner[unit] == (uint32_t)s->choice.index;
}

/* ---- Beginning ---- */

/* Marks of units whose samples are not in any journal, as when a journal was removed. */
static int check_marks(shared *s, pal_error *err)
{
    for (size_t u = 0; u < s->deal.count; u++)
        if (s->samples_left[u] && leases_state(s->leases, u) == LEASE_DONE)
            PAL_TRY(leases_reopen(s->leases, u, err));
    return PAL_OK;
}

static int open_leases(shared *s, pal_error *err)
{
    char path[PATH + 16];
    snprintf(path, sizeof path, "%s/leases", s->folder);
    PAL_TRY(leases_open(&s->leases, path, s->deal.count, s->lease, err));
    /* A mark is made after its samples: those that were there before this reading are in it. */
    PAL_TRY(read_known(s, err));
    count_left(s);
    return check_marks(s, err);
}

/* Rank 0 writes the file; who does not find it looks into another directory. Some file systems are late. */
static int join_ranks(shared *s, const char *path, const manifest_view *view, pal_error *err)
{
    enum { TRIES = 10 };
    if (s->ranks.rank == 0) {
        PAL_TRY(os_make_dirs(s->folder, err));
        PAL_TRY(manifest_join(path, view, err));
    }
    PAL_TRY(ranks_meet(&s->ranks, err));
    for (int i = 0; i < TRIES && !os_file_exists(path); i++) pause_for(LOOK_AGAIN);
    if (!os_file_exists(path))
        return pal_fail(
            err, PAL_USAGE,
            "%s: rank %d on %s does not find what rank 0 wrote there; results= must be a directory that "
            "all ranks see",
            path, s->ranks.rank, s->self.name);
    if (s->ranks.rank > 0) PAL_TRY(manifest_join(path, view, err));
    return dealer_open(&s->dealer, &s->ranks, &s->deal, s->samples_left, err);
}

static int begin(void *arg, const eval_whole *whole, size_t *samples, double *flops, pal_error *err)
{
    shared *s = arg;
    char path[PATH + 16];
    s->whole = whole;
    const int automatic = s->choice.kind == SHARD_AUTO, fixed = s->choice.kind == SHARD_FIXED;
    PAL_TRY(deal_make(&s->deal, whole, automatic ? AUTO_PIECES : (size_t)s->choice.count, err));
    s->samples_left = calloc(s->deal.count + 1, sizeof *s->samples_left);
    s->owner = calloc(s->deal.count + 1, sizeof *s->owner);
    if (!s->samples_left || !s->owner) return pal_fail(err, PAL_INTERNAL, "out of memory for the deal");
    if (fixed) PAL_TRY(deal_spread(&s->deal, (size_t)s->choice.count, s->owner, NULL, err));
    PAL_TRY(read_known(s, err));
    count_left(s);
    *samples = 0;
    *flops = 0;
    for (size_t u = 0; u < s->deal.count; u++) {
        if (!s->samples_left[u] || !is_mine(s, u)) continue;
        *samples += s->samples_left[u];
        *flops += s->deal.unit[u].own + s->deal.unit[u].start;
    }
    s->pending = *samples;
    snprintf(path, sizeof path, "%s/run.json", s->folder);
    if (s->choice.kind == SHARD_RANKS) {
        char text[64];
        snprintf(text, sizeof text, "%zu samples to do%s", *samples,
                 os_file_exists(path) ? ", and others' results" : "");
        PAL_TRY(ranks_agree(&s->ranks, "there", text, "results= must be a directory that all ranks see", err));
    }
    /* Who has nothing to do leaves nothing behind. */
    if (*samples == 0 && !os_file_exists(path)) return PAL_OK;
    const manifest_view view = {whole, &s->choice, &s->deal, fixed ? s->owner : NULL};
    if (s->choice.kind == SHARD_RANKS) return join_ranks(s, path, &view, err);
    PAL_TRY(os_make_dirs(s->folder, err));
    PAL_TRY(manifest_join(path, &view, err));
    if (automatic) return open_leases(s, err);
    return PAL_OK;
}

/* ---- Units ---- */

static int takes(void *arg, size_t part, size_t cell, int64_t index)
{
    const shared *s = arg;
    const size_t unit = deal_unit_of(&s->deal, part, cell, index);
    return s->choice.kind == SHARD_FIXED ? is_mine(s, unit) : unit == s->current;
}

/* What is dealt beforehand is run part by part, in the plan's order: that keeps together what shares work. */
static int next_fixed(shared *s, eval_unit *out)
{
    while (s->at < s->deal.count) {
        const deal_unit *first = &s->deal.unit[s->at];
        size_t mine = 0;
        *out = (eval_unit){.part = first->part, .cell = first->cell};
        do {
            const deal_unit *u = &s->deal.unit[s->at];
            if (is_mine(s, s->at)) out->flops += u->own + u->start;
            mine += (size_t)is_mine(s, s->at++);
        } while (first->part != EVAL_ROWS && s->at < s->deal.count && s->deal.unit[s->at].part == first->part);
        if (mine) return 1;
    }
    return 0;
}

static unit_state state_of(const void *arg, size_t unit)
{
    static const unit_state as[] = {[LEASE_FREE] = UNIT_FREE, [LEASE_HELD] = UNIT_HELD, [LEASE_DONE] = UNIT_DONE};
    return as[leases_state(arg, unit)];
}

/* 0: every unit is done. */
static size_t count_held(const shared *s, size_t *example)
{
    size_t held = 0;
    for (size_t u = 0; u < s->deal.count; u++) {
        if (leases_state(s->leases, u) == LEASE_DONE) continue;
        *example = u;
        held++;
    }
    return held;
}

static void say_waiting(shared *s, size_t held, size_t example)
{
    char text[256], holder[HOST_PROCESS + 16];
    if (!s->waiting)
        snprintf(text, sizeof text, "nothing is free: %zu unit%s still at work elsewhere, one by %s; waiting",
                 held, held == 1 ? " is" : "s are", leases_holder(s->leases, example, holder));
    if (!s->waiting) note(s, text);
    s->waiting = 1;
}

static int take(shared *s, size_t unit, int *taken, pal_error *err)
{
    char text[256], holder[HOST_PROCESS + 16];
    int from = 0;
    leases_holder(s->leases, unit, holder);
    PAL_TRY(leases_take(s->leases, unit, taken, &from, err));
    if (!*taken) return PAL_OK;
    if (from) {
        s->took_over++;
        snprintf(text, sizeof text, "unit %zu was left by %s; going on with it", unit + 1, holder);
        note(s, text);
        /* It may have done some of its samples. */
        PAL_TRY(read_known(s, err));
    }
    s->current = unit;
    s->fetched++;
    s->waiting = 0;
    return PAL_OK;
}

static int next_auto(shared *s, int *more, pal_error *err)
{
    for (*more = 0; !*more;) {
        size_t example = 0;
        PAL_TRY(leases_look(s->leases, err));
        const size_t unit = deal_pick(&s->deal, s->fetched ? s->current : s->deal.count, state_of, s->leases);
        if (unit < s->deal.count) {
            PAL_TRY(take(s, unit, more, err));
            continue;
        }
        const size_t held = count_held(s, &example);
        if (held == 0) return PAL_OK;
        say_waiting(s, held, example);
        pause_for(LOOK_AGAIN);
    }
    return PAL_OK;
}

static int next(void *arg, eval_unit *unit, int *more, pal_error *err)
{
    shared *s = arg;
    if (s->choice.kind == SHARD_FIXED) {
        *more = next_fixed(s, unit);
        return PAL_OK;
    }
    if (s->choice.kind == SHARD_AUTO)
        PAL_TRY(next_auto(s, more, err));
    else
        PAL_TRY(dealer_next(s->dealer, &s->current, more, err));
    s->over = !*more;
    if (s->over) return PAL_OK;
    const deal_unit *u = &s->deal.unit[s->current];
    *unit = (eval_unit){.part = u->part, .cell = u->cell, .flops = u->own + u->start};
    return PAL_OK;
}

static int done(void *arg, const eval_unit *unit, pal_error *err)
{
    shared *s = arg;
    int lost = 0;
    (void)unit;
    if (s->choice.kind != SHARD_AUTO) return PAL_OK;
    PAL_TRY(leases_done(s->leases, &lost, err));
    if (lost)
        note(s, "this process stood still for longer than lease=, and another took its unit over: its samples are "
                "there twice, and alike");
    return PAL_OK;
}

static void end(void *arg)
{
    shared *s = arg;
    leases_close(s->leases);
    s->leases = NULL;
    dealer_close(s->dealer, !s->over);
    s->dealer = NULL;
}

/* ---- The whole ---- */

int shared_open(shared **out, const eval_request *r, const shard_choice *choice, double lease, pal_error *err)
{
    shared *s = calloc(1, sizeof *s);
    char process[HOST_PROCESS];
    if (!s) return pal_fail(err, PAL_INTERNAL, "out of memory for the shard");
    s->request = r;
    s->choice = *choice;
    s->lease = lease;
    s->self = host_self();
    if (choice->kind == SHARD_RANKS && ranks_open(&s->ranks, err) != PAL_OK) {
        free(s);
        return err->code;
    }
    shard_folder(r->options.results, r->task->name, s->folder, sizeof s->folder);
    eval_journal_path(&r->options, r->task, s->main, sizeof s->main);
    if (choice->kind == SHARD_AUTO)
        snprintf(s->journal, sizeof s->journal, "%s/auto-%s.jsonl", s->folder, host_process(&s->self, process));
    else if (choice->kind == SHARD_RANKS)
        snprintf(s->journal, sizeof s->journal, "%s/rank-%lld.jsonl", s->folder, (long long)choice->index);
    else
        snprintf(s->journal, sizeof s->journal, "%s/%lld-of-%lld.jsonl", s->folder, (long long)choice->index + 1,
                 (long long)choice->count);
    results_init(&s->known, r->task, s->main);
    s->view = (eval_share){.journal = s->journal,
                           .pieces = choice->kind != SHARD_FIXED,
                           .begin = begin,
                           .next = next,
                           .takes = takes,
                           .known = known,
                           .done = done,
                           .end = end,
                           .arg = s};
    *out = s;
    return PAL_OK;
}

void shared_close(shared *s)
{
    if (!s) return;
    end(s);
    deal_free(&s->deal);
    results_free(&s->known);
    free(s->samples_left);
    free(s->owner);
    free(s);
}

eval_share *shared_view(shared *s)
{
    return &s->view;
}

void shared_say(const shared *s, FILE *out)
{
    char name[SHARD_NAME];
    shard_name(&s->choice, name);
    if (s->pending == 0) {
        fprintf(out, "%s: nothing is left to do\n", name);
        return;
    }
    fprintf(out, "%s is done: %s\n", name, s->journal);
    if (s->took_over) fprintf(out, "%zu units were taken over from processes that had gone\n", s->took_over);
    fprintf(out, "when all shards are: palimpsest merge results=");
    text_shell(out, s->request->options.results);
    fputc('\n', out);
}

/* Plays the world step by step, and keeps what a reader of the story can know of it. Questions are only about what
 * is known. */
#include "tasks/babilong/world.h"

#include <stdio.h>
#include <string.h>

enum { ACTORS = 4, PLACES = 6, THINGS = 3, QUESTIONS = 5, UNKNOWN = -1 };

static const char *const walkers[ACTORS] = {"John", "Mary", "Sandra", "Daniel"};
static const char *const givers[ACTORS] = {"Bill", "Fred", "Jeff", "Mary"};
static const char *const places[PLACES + 1] = {"bathroom", "bedroom", "garden", "hallway",
                                               "kitchen",  "office",  NULL};
static const char *const things[THINGS] = {"apple", "football", "milk"};
static const char *const gifts[BABI_LABELS + 1] = {"bill",  "fred",     "jeff", "mary",
                                                   "apple", "football", "milk", NULL};

typedef enum action { WALK, GET, DROP, GIVE } action;

typedef struct clause {
    action action;
    int actor, thing, to; /* to: a place, or who is given the thing */
} clause;

typedef struct world {
    const char *const *actor;
    int at[ACTORS], lies[THINGS], holder[THINGS]; /* holder UNKNOWN: it lies there */
    /* What the story tells. */
    int known_at[ACTORS], known_holder[THINGS], known_lies[THINGS];
    int last[THINGS], before[THINGS]; /* the last two places of each thing */
} world;

const char *const *babi_labels(int task)
{
    return task == 4 ? gifts : places;
}

static void begin(world *w, int task, rng *draws)
{
    w->actor = task == 4 ? givers : walkers;
    for (int i = 0; i < ACTORS; i++) {
        w->at[i] = (int)rng_below(draws, PLACES);
        w->known_at[i] = UNKNOWN;
    }
    for (int i = 0; i < THINGS; i++) {
        w->lies[i] = (int)rng_below(draws, PLACES);
        w->holder[i] = w->known_holder[i] = w->known_lies[i] = w->last[i] = w->before[i] = UNKNOWN;
    }
}

/* ---- One step ---- */

static int is_valid(const world *w, const clause *c)
{
    switch (c->action) {
    case WALK:
        return w->at[c->actor] != c->to;
    case GET:
        return w->holder[c->thing] == UNKNOWN && w->lies[c->thing] == w->at[c->actor];
    case DROP:
        return w->holder[c->thing] == c->actor;
    default:
        return w->holder[c->thing] == c->actor && c->to != c->actor && w->at[c->to] == w->at[c->actor];
    }
}

/* Each kind of action is as likely, as long as one of the kind can happen soon. */
static clause draw_clause(const world *w, const action *allowed, rng *draws)
{
    for (;;) {
        const action act = allowed[rng_below(draws, 3)];
        for (int tries = 0; tries < 8; tries++) {
            const clause c = {act, (int)rng_below(draws, ACTORS), (int)rng_below(draws, THINGS),
                              (int)rng_below(draws, act == GIVE ? ACTORS : PLACES)};
            if (is_valid(w, &c)) return c;
        }
    }
}

/* Where a reader knows a thing to be. */
static int known_place(const world *w, int thing)
{
    const int holder = w->known_holder[thing];
    return holder != UNKNOWN ? w->known_at[holder] : w->known_lies[thing];
}

static void perform(world *w, const clause *c)
{
    switch (c->action) {
    case WALK:
        w->at[c->actor] = w->known_at[c->actor] = c->to;
        break;
    case GET:
        w->holder[c->thing] = w->known_holder[c->thing] = c->actor;
        break;
    case DROP:
        w->holder[c->thing] = w->known_holder[c->thing] = UNKNOWN;
        w->lies[c->thing] = w->at[c->actor];
        w->known_lies[c->thing] = w->known_at[c->actor];
        break;
    default:
        w->holder[c->thing] = w->known_holder[c->thing] = c->to;
    }
    for (int i = 0; i < THINGS; i++) {
        const int place = known_place(w, i);
        if (place == UNKNOWN || place == w->last[i]) continue;
        w->before[i] = w->last[i];
        w->last[i] = place;
    }
}

/* ---- Telling it ---- */

static const char *one_of(const char *const *list, int count, rng *draws)
{
    return list[rng_below(draws, (uint64_t)count)];
}

static void tell(babi_story *s, const world *w, const clause *c, rng *draws)
{
    static const char *const walk[] = {"moved to", "went to", "went back to", "journeyed to", "travelled to"};
    static const char *const get[] = {"got", "took", "grabbed", "picked up"};
    static const char *const drop[] = {"dropped", "put down", "discarded", "left"};
    static const char *const give[] = {"gave", "handed", "passed"};
    char *out = s->fact[s->facts++];
    const char *who = w->actor[c->actor], *thing = things[c->thing];
    const char *there = rng_below(draws, 2) ? " there" : "";
    if (c->action == WALK)
        snprintf(out, BABI_TEXT, "%s %s the %s.", who, one_of(walk, 5, draws), places[c->to]);
    else if (c->action == GIVE)
        snprintf(out, BABI_TEXT, "%s %s the %s to %s.", who, one_of(give, 3, draws), thing, w->actor[c->to]);
    else
        snprintf(out, BABI_TEXT, "%s %s the %s%s.", who, one_of(c->action == GET ? get : drop, 4, draws), thing,
                 there);
}

static void step(babi_story *s, world *w, const clause *c, rng *draws)
{
    perform(w, c);
    tell(s, w, c, draws);
}

/* ---- Questions ---- */

/* A random number of those for which known[i] is not UNKNOWN; UNKNOWN: there is none. */
static int draw_known(const int *known, int count, rng *draws)
{
    int list[ACTORS], size = 0;
    for (int i = 0; i < count; i++)
        if (known[i] != UNKNOWN) list[size++] = i;
    return size ? list[rng_below(draws, (uint64_t)size)] : UNKNOWN;
}

/* qa1: two walks, and a question. */
static void where_is_actor(babi_story *s, world *w, int questions, rng *draws)
{
    for (int i = 0; i < 2 * questions; i++) {
        const clause c = draw_clause(w, (const action[]){WALK, WALK, WALK}, draws);
        step(s, w, &c, draws);
    }
    const int actor = draw_known(w->known_at, ACTORS, draws);
    s->answer = places[w->known_at[actor]];
    snprintf(s->question, BABI_TEXT, "Where is %s?", w->actor[actor]);
    snprintf(s->told, BABI_TEXT, "The most recent location of %s is %s.", w->actor[actor], s->answer);
}

/* qa2 and qa3: from the third step on, with a chance of one half, about a thing whose place is known, or whose
 * last two are. */
static void where_is_thing(babi_story *s, world *w, int history, int questions, rng *draws)
{
    for (int since = 0, thing; questions && s->facts < BABI_FACTS;) {
        const clause c = draw_clause(w, (const action[]){GET, DROP, WALK}, draws);
        int known[THINGS];
        step(s, w, &c, draws);
        if (++since < 3 || rng_below(draws, 2)) continue;
        for (int i = 0; i < THINGS; i++) known[i] = history ? w->before[i] : known_place(w, i);
        if ((thing = draw_known(known, THINGS, draws)) == UNKNOWN) continue;
        since = 0;
        questions--;
        s->answer = places[known[thing]];
        if (history) {
            const char *last = places[w->last[thing]];
            snprintf(s->question, BABI_TEXT, "Where was the %s before the %s?", things[thing], last);
            snprintf(s->told, BABI_TEXT, "Before the %s the %s was in the %s.", last, things[thing], s->answer);
        } else {
            snprintf(s->question, BABI_TEXT, "Where is the %s?", things[thing]);
            snprintf(s->told, BABI_TEXT, "The %s is in the %s.", things[thing], s->answer);
        }
    }
}

/* "The A is north of the B.", or the same from B's side. */
static void tell_side(babi_story *s, const char *a, const char *side, const char *b, const char *other, rng *draws)
{
    const int turned = (int)rng_below(draws, 2);
    snprintf(s->fact[s->facts++], BABI_TEXT, "The %s is %s of the %s.", turned ? b : a, turned ? other : side,
             turned ? a : b);
}

/* qa4: three places in a row; one of the outer two is asked for, seen from the one between them. */
static void what_is_beside(babi_story *s, rng *draws)
{
    static const char *const sides[2][2] = {{"north", "south"}, {"east", "west"}};
    int place[PLACES];
    for (int i = 0; i < PLACES; i++) place[i] = i;
    for (int i = 0; i < 3; i++) {
        const int pick = i + (int)rng_below(draws, (uint64_t)(PLACES - i)), taken = place[pick];
        place[pick] = place[i];
        place[i] = taken;
    }
    const char *const *side = sides[rng_below(draws, 2)], *middle = places[place[1]];
    const int swap = (int)rng_below(draws, 2), last = (int)rng_below(draws, 2), turned = (int)rng_below(draws, 2);
    for (int i = 0; i < 2; i++) {
        const int which = i ^ swap;
        tell_side(s, places[place[which]], side[0], places[place[which + 1]], side[1], draws);
    }
    /* Place 0 is on side 0 of the middle, place 2 on side 1. */
    s->answer = places[place[last ? 2 : 0]];
    if (turned)
        snprintf(s->question, BABI_TEXT, "What is the %s %s of?", middle, side[!last]);
    else
        snprintf(s->question, BABI_TEXT, "What is %s of the %s?", side[last], middle);
    snprintf(s->told, BABI_TEXT, "%s", s->answer);
}

static void ask_gift(babi_story *s, const world *w, const clause *c, rng *draws)
{
    const char *thing = things[c->thing], *from = w->actor[c->actor], *to = w->actor[c->to];
    const char *told = thing;
    s->answer = gifts[ACTORS + c->thing];
    switch (rng_below(draws, 5)) {
    case 0:
        snprintf(s->question, BABI_TEXT, "What did %s give to %s?", from, to);
        break;
    case 1:
    case 2:
        told = from;
        s->answer = gifts[c->actor];
        if (rng_below(draws, 2))
            snprintf(s->question, BABI_TEXT, "Who gave the %s to %s?", thing, to);
        else
            snprintf(s->question, BABI_TEXT, "Who gave the %s?", thing);
        break;
    case 3:
        told = to;
        s->answer = gifts[c->to];
        snprintf(s->question, BABI_TEXT, "Who received the %s?", thing);
        break;
    default:
        told = to;
        s->answer = gifts[c->to];
        snprintf(s->question, BABI_TEXT, "Who did %s give the %s to?", from, thing);
    }
    snprintf(s->told, BABI_TEXT, "%s", told);
}

/* qa5: a gift, and up to five steps about other things before it is asked for. */
static void who_gave_what(babi_story *s, world *w, int questions, rng *draws)
{
    static const action allowed[] = {GET, GIVE, WALK};
    enum { AFTER = 5 };
    for (int since = 0; questions && s->facts + AFTER < BABI_FACTS;) {
        const clause c = draw_clause(w, allowed, draws);
        step(s, w, &c, draws);
        if (++since < 2 || c.action != GIVE) continue;
        for (int more = (int)rng_below(draws, AFTER + 1); more > 0; more--) {
            clause other;
            do {
                other = draw_clause(w, allowed, draws);
            } while (
                other.action != WALK &&
                (other.thing == c.thing || (other.action == GIVE && other.actor == c.actor && other.to == c.to)));
            step(s, w, &other, draws);
        }
        since = 0;
        questions--;
        ask_gift(s, w, &c, draws);
    }
}

void babi_make(int task, rng *draws, babi_story *out)
{
    world w;
    /* bAbI asks five questions in a story; a sample ends with one of them. Too long a story is begun anew. */
    do {
        *out = (babi_story){.facts = 0};
        begin(&w, task, draws);
        const int questions = 1 + (int)rng_below(draws, QUESTIONS);
        if (task == 0) where_is_actor(out, &w, questions, draws);
        if (task == 1 || task == 2) where_is_thing(out, &w, task == 2, questions, draws);
        if (task == 3) what_is_beside(out, draws);
        if (task == 4) who_gave_what(out, &w, questions, draws);
    } while (!out->answer || out->facts + 5 >= BABI_FACTS);
}

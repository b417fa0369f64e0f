/* stress_groups.c: see stress_groups.h. */
#include "stress.h"

#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ATTEMPTS 3
#define CLOCK_ERROR 1000000u /* ns; of the queue's fast clock, generously */

enum { QUEUED, RUNNING, ENDED }; /* event_state */

static group groups[MAX_GROUPS];

/* ---- a round's groups ------------------------------------------------------------------------ */

static void make_group(group *g, const plan *p, actor *dice) {
    memset(g, 0, sizeof *g);
    g->keyed = draw(dice, 3) > 0;
    g->keys = (int32_t)draw(dice, MAX_KEYS) + 1;
    g->lanes.limit = (int32_t[]){0, 0, 1, 2, 3}[draw(dice, 5)];
    g->lanes.batch = (int32_t[]){0, 0, 1, 3, MAX_BATCH}[draw(dice, 5)];
    g->batch_wait = (int64_t[]){0, 0, 20000, 500000}[draw(dice, 4)];
    g->fails = (uint32_t[]){0, 3, 10}[draw(dice, 3)];
    g->expires = (uint32_t[]){0, 0, 2, 5}[draw(dice, 4)];
    g->pointer = &g->recipient;
    for (int32_t level = 0; level < BB_LEVELS; level++) g->lanes.unkeyed[level].group = &g->lanes;
    for (int32_t k = 0; k < MAX_KEYS; k++) {
        g->key[k].lane.group = &g->lanes;
        g->key[k].lane.serial = true;
    }
    for (int32_t level = 0; level < p->settings.levels; level++)
        g->route[level] = (bb_route){
            .level = level + 1, .type = MAX_THREADS, .count = 1, .recipients = &g->pointer};
    ledger_add_recipient(&g->recipient);
}

void groups_begin(plan *p, actor *dice) {
    p->groups = (int32_t)draw(dice, MAX_GROUPS + 1);
    for (int32_t i = 0; i < p->groups; i++) make_group(&groups[i], p, dice);
    pthread_mutex_init(&p->delayed_mutex, NULL);
    p->delayed = NULL;
}

void groups_end(plan *p) {
    if (p->delayed != NULL) fail("an event is still delayed");
    pthread_mutex_destroy(&p->delayed_mutex);
    if (atomic_load(&p->events) != 0) fail("%d events are left", atomic_load(&p->events));
    for (int32_t i = 0; i < p->groups; i++) {
        if (groups[i].lanes.running != 0) fail("a call is left");
        if (groups[i].lanes.blocked_levels != 0) fail("a lane is left");
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

grouped_event *groups_draw(actor *a) {
    plan *p = a->plan;
    group *g = &groups[draw(a, (uint32_t)p->groups)];
    grouped_event *e = calloc(1, sizeof *e);
    if (e == NULL) fail("no memory");
    e->group = g;
    e->level = (int32_t)draw(a, (uint32_t)p->settings.levels);
    e->key = (int32_t)draw(a, (uint32_t)g->keys);
    e->publisher = a->index;
    e->serial = ++a->serial;
    e->ticket.count = 1;
    e->ticket.parked = &e->parked;
    e->parked.lane = g->keyed ? &g->key[e->key].lane : &g->lanes.unkeyed[e->level];
    if (g->expires > 0 && draw(a, g->expires) == 0)
        e->ticket.expires = bb_clock() + draw(a, 200000);
    atomic_init(&e->references, 1);
    atomic_init(&e->state, QUEUED);
    atomic_fetch_add(&p->events, 1);
    return e;
}

static void hold(grouped_event *e) { atomic_fetch_add(&e->references, 1); }

static void let_go(plan *p, grouped_event *e) {
    if (atomic_fetch_sub(&e->references, 1) > 1) return;
    free(e);
    atomic_fetch_sub(&p->events, 1);
}

grouped_event *grouped_event_of(const void *event) {
    return (grouped_event *)bb_ticket_of(event); /* its first member */
}

void groups_refuse(plan *p, grouped_event *e) { let_go(p, e); }

static void turn(grouped_event *e, int from, int to) {
    int state = atomic_exchange(&e->state, to);
    if (state != from)
        fail("event %" PRId64 " of publisher %d went from state %d to %d", e->serial, e->publisher,
             state, to);
}

void groups_dropped(actor *a, const bb_delivery *dropped) {
    grouped_event *e = grouped_event_of(dropped->event);
    if (dropped->recipient != &e->group->recipient) fail("dropped for another recipient");
    turn(e, QUEUED, ENDED);
    a->account.dropped++;
    let_go(a->plan, e);
}

void groups_expired(actor *a, const bb_delivery *dropped) {
    const grouped_event *e = grouped_event_of(dropped->event);
    if (e->ticket.expires == 0 || e->parked.attempt > 0) fail("an event expired that cannot");
    if (bb_clock() + CLOCK_ERROR < e->ticket.expires) fail("an event expired too early");
    groups_dropped(a, dropped);
}

void groups_purge(actor *a) {
    bb_delivery out[8];
    int32_t n = bb_purge(a->plan->q, out, (int32_t)draw(a, 8) + 1);
    for (int32_t i = 0; i < n; i++) groups_expired(a, &out[i]);
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* A retry of the key begins again: it must be the oldest. */
static void remove_retry(key *k, const grouped_event *e) {
    int32_t at = -1;
    for (int32_t i = 0; i < k->retries; i++) {
        if (k->retry[i] < e->parked.sequence) fail("an older retry of the key was passed");
        if (k->retry[i] == e->parked.sequence) at = i;
    }
    if (at < 0) fail("an unknown retry");
    k->retry[at] = k->retry[--k->retries];
}

/* Of a key, in order: one that comes again comes before all that have not begun. */
static void check_order(const plan *p, const grouped_event *e) {
    key *k = &e->group->key[e->key];
    int64_t *last = &k->last[e->publisher];
    bool again = e->parked.attempt > 0;
    if (again ? e->serial > *last : e->serial <= *last)
        fail("of a key, event %" PRId64 " came after %" PRId64, e->serial, *last);
    if (!again) *last = e->serial;
    if (p->evicts) return;
    if (again) remove_retry(k, e);
    else if (k->retries > 0) fail("a retry of the key was passed");
}

/* A delivery has begun, which was taken at `since` or later. */
static void begin(const plan *p, grouped_event *e, uint64_t since) {
    turn(e, QUEUED, RUNNING);
    bool expires = e->ticket.expires != 0 && e->parked.attempt == 0;
    if (expires && since > e->ticket.expires + CLOCK_ERROR) fail("an event began too late");
    if (atomic_load(&e->delayed)) fail("a retry began before its time");
    if (e->group->keyed) check_order(p, e);
}

static void begin_call(group *g, const grouped_event *first) {
    int running = atomic_fetch_add(&g->running, 1);
    if (g->lanes.limit > 0 && running >= g->lanes.limit)
        fail("%d calls run, of %d allowed", running + 1, g->lanes.limit);
    if (g->keyed && atomic_exchange(&g->key[first->key].busy, true))
        fail("a key runs twice at a time");
}

static void end_call(group *g, const grouped_event *first) {
    if (g->keyed) atomic_store(&g->key[first->key].busy, false);
    atomic_fetch_sub(&g->running, 1);
}

static void delay(plan *p, grouped_event *e) {
    pthread_mutex_lock(&p->delayed_mutex);
    e->next = p->delayed;
    p->delayed = e;
    pthread_mutex_unlock(&p->delayed_mutex);
}

/* A delivery of a call that failed or did not: whether it comes back. Its state changes before the
 * queue knows, since others may have it as soon as it does. */
static bool settle(actor *a, grouped_event *e, bool failed) {
    group *g = e->group;
    bool again = failed && e->parked.attempt < MAX_ATTEMPTS && draw(a, 3) > 0;
    turn(e, RUNNING, again ? QUEUED : ENDED);
    if (again) {
        hold(e); /* for the timer */
        atomic_store(&e->delayed, true);
        bb_retry(a->worker, &e->parked);
        key *k = &g->key[e->key];
        if (g->keyed && !a->plan->evicts) k->retry[k->retries++] = e->parked.sequence;
        a->account.retried++;
    } else {
        a->account.processed++;
        a->account.failed += failed;
        if (failed) bb_failed(a->worker);
    }
    return again;
}

void groups_handle(actor *a, const bb_delivery *taken, uint64_t since) {
    plan *p = a->plan;
    grouped_event *first = grouped_event_of(taken->event), *all[MAX_BATCH] = {first};
    group *g = first->group;
    bb_delivery out[MAX_BATCH];
    bool again[MAX_BATCH];
    int32_t n = 1;
    if (taken->recipient != &g->recipient || taken->parked != &first->parked)
        fail("an event was taken for another recipient");
    begin_call(g, first);
    begin(p, first, since);
    if (g->lanes.batch > 1) {
        uint64_t before = bb_clock();
        n += bb_take_more(a->worker, out, g->lanes.batch - 1, g->batch_wait);
        for (int32_t i = 1; i < n; i++) {
            all[i] = grouped_event_of(out[i - 1].event);
            if (all[i]->group != g || (g->keyed && all[i]->key != first->key))
                fail("a batch of another group or key");
            begin(p, all[i], before);
        }
    }
    publish_in_handler(a);
    bool failed = g->fails > 0 && draw(a, g->fails) == 0, completes = draw(a, 2) == 0;
    for (int32_t i = 0; i < n; i++) again[i] = settle(a, all[i], failed);
    end_call(g, first);
    bb_let_go(a->worker);
    bb_finish(a->worker, completes);
    for (int32_t i = 0; i < n; i++) {
        if (again[i]) delay(p, all[i]);
        else let_go(p, all[i]);
    }
    if (completes) bb_completed(a->worker);
}

/* ---- threads --------------------------------------------------------------------------------- */

/* Ends the delays, the last that began first: so of a key not always in order. */
void *timer(void *argument) {
    plan *p = argument;
    for (bool over = false; !over;) {
        over = atomic_load(&p->over);
        pthread_mutex_lock(&p->delayed_mutex);
        grouped_event *e = p->delayed;
        if (e != NULL) p->delayed = e->next;
        pthread_mutex_unlock(&p->delayed_mutex);
        if (e != NULL) {
            atomic_store(&e->delayed, false);
            bb_due(p->q, &e->parked);
            let_go(p, e);
            over = false;
        } else {
            sched_yield();
        }
    }
    return NULL;
}

/* Whether all that was accepted before has ended; false: the queue was shut before. */
static bool wait_for_barrier(plan *p) {
    uint64_t barrier = bb_barrier(p->q);
    while (!bb_wait_barrier(p->q, barrier, 1000000))
        if (bb_get_state(p->q) == BB_SHUT) return false;
    return true;
}

void *barrierer(void *argument) {
    enum { WATCHED = 3 };
    actor *a = argument;
    plan *p = a->plan;
    while (p->groups > 0 && !atomic_load(&p->quiet) && bb_get_state(p->q) == BB_OPEN) {
        grouped_event *watched[WATCHED];
        int n = 0;
        for (int i = 0; i < WATCHED; i++) {
            grouped_event *e = groups_draw(a);
            const bb_route *route = &e->group->route[e->level];
            hold(e);
            if (bb_push(p->q, route, bb_with_ticket(&e->ticket), 0, BB_OUTSIDE) == BB_ACCEPTED) {
                a->account.published++;
                watched[n++] = e;
            } else {
                let_go(p, e);
                let_go(p, e);
            }
        }
        bool is_over = wait_for_barrier(p);
        for (int i = 0; i < n; i++) {
            if (is_over && atomic_load(&watched[i]->state) == RUNNING)
                fail("a barrier is over before an event");
            while (is_over && atomic_load(&watched[i]->state) != ENDED) sched_yield();
            let_go(p, watched[i]);
        }
        sched_yield();
    }
    return NULL;
}

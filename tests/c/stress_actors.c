/* stress_actors.c: the publishers and takers of the stress program. */
#include "stress.h"

#include <sched.h>
#include <stddef.h>

#define A_MINUTE 60000000000u

uint32_t draw(actor *a, uint32_t below) {
    a->random += 0x9e3779b97f4a7c15u; /* Weyl sequence, then mixed */
    uint64_t x = (a->random ^ (a->random >> 31)) * 0xd6e8feb86659fd93u;
    return (uint32_t)((x ^ (x >> 32)) % below);
}

static lane *any_lane(actor *a) {
    int32_t levels = a->plan->settings.levels;
    return ledger_lane(a->index * levels + (int)draw(a, (uint32_t)levels));
}

/* An event that an actor publishes: of a lane, or for a group. */
typedef struct {
    const bb_route *route;
    void *queued; /* NULL: the lane is used up */
    lane *lane;
    int64_t event; /* of the lane */
    grouped_event *grouped;
} message;

static message any_message(actor *a) {
    message m = {0};
    if (a->plan->groups > 0 && draw(a, 2) == 0) {
        m.grouped = groups_draw(a);
        m.route = &m.grouped->group->route[m.grouped->level];
        m.queued = bb_with_ticket(&m.grouped->ticket);
        return m;
    }
    m.lane = any_lane(a);
    m.event = ledger_draw(m.lane);
    m.route = &m.lane->route;
    m.queued = (void *)(intptr_t)(m.event * 2);
    return m;
}

/* ---- publishing -------------------------------------------------------------------------- */

/* A grouped event may have ended and be freed by now. */
static void accept(actor *a, const message *m) {
    if (m->grouped == NULL) ledger_accept(m->lane, m->event, &a->plan->flow);
    a->account.published += (uint64_t)m->route->count;
}

/* The caller runs the event's handlers, and sometimes aborts. */
static void run(actor *a, const message *m, bb_caller *caller) {
    lane *l = m->lane;
    ledger_accept(l, m->event, NULL);
    a->account.published += (uint64_t)l->count;
    int32_t stop_at = draw(a, 4) == 0 ? (int32_t)draw(a, (uint32_t)l->count) : l->count;
    for (int32_t i = 0; i < l->count; i++) ledger_end(m->event + i);
    for (int32_t i = 0; i < stop_at; i++) bb_caller_done(caller, i % 2);
    if (stop_at < l->count) bb_caller_abort(caller);
    a->account.processed += (uint64_t)stop_at;
    a->account.failed += (uint64_t)stop_at / 2;
    a->account.dropped += (uint64_t)(l->count - stop_at);
}

/* A delivery was evicted for an event, which must have been urgent enough. */
static void evicted(actor *a, const message *m, bb_mode mode, const bb_delivery *delivery) {
    const grouped_event *grouped = grouped_event_of(delivery->event);
    int64_t number = grouped == NULL ? ledger_number(delivery) : 0;
    int32_t level = m->route->level - 1;
    int32_t victim = grouped != NULL ? grouped->level
                                     : ledger_remove(&a->account, number, &a->plan->flow)->level;
    if (victim > level - (mode == BB_EVICT_LOWEST))
        fail("level %d was evicted for level %d", victim, level);
    if (grouped != NULL) {
        groups_dropped(a, delivery);
    } else {
        ledger_end(number);
        a->account.dropped++;
    }
}

static bb_mode any_mode(actor *a, const message *m) {
    int32_t mode = a->plan->mode;
    if (mode == MIXED) mode = (int32_t)draw(a, BB_CALLER_RUNS) + 1;
    /* Run in place, it would pass what is queued before it. */
    return mode == BB_CALLER_RUNS && m->grouped != NULL ? BB_REFUSE : (bb_mode)mode;
}

/* First with an array for as many evicted deliveries as the event has; an oversize one needs more.
 */
static bb_result offer(actor *a, const message *m, bb_origin origin, bb_waiter *waiter) {
    plan *p = a->plan;
    bb_delivery out[OUT_SIZE + 1] = {[MAX_COUNT] = {.depth = -7}, [OUT_SIZE] = {.depth = -7}};
    int32_t n, first, out_size = MAX_COUNT;
    bb_caller *caller;
    bb_mode mode = any_mode(a, m);
    bb_result result = BB_FULL;
    for (; result == BB_FULL; out_size = OUT_SIZE, waiter = NULL) {
        ledger_look(&a->account, &p->flow);
        result = bb_offer(p->q, m->route, m->queued, 0, origin, mode, waiter, out, out_size, &n,
                          &first, &caller);
        if (n > out_size || out[out_size].depth != -7) fail("bb_offer wrote past its array");
        if (result == BB_FULL && out_size == OUT_SIZE)
            fail("bb_offer needs a larger array than the queue");
    }
    if (result == BB_ACCEPTED || result == BB_EVICTED) accept(a, m);
    if (result == BB_RUN) run(a, m, caller);
    if (result == BB_REFUSED) {
        a->account.published += (uint64_t)m->route->count;
        a->account.dropped += (uint64_t)m->route->count;
    }
    if (n > 0 && result != BB_EVICTED) fail("evicted without EVICTED");
    for (int i = 0; i < n; i++) evicted(a, m, mode, &out[i]);
    return result;
}

/* The queue was full: wait, and end the wait in one of several ways. A wait without a limit must
 * end, too; if the publisher is not woken, the round hangs, which main detects. */
static bb_result insist(actor *a, const message *m, bb_origin origin) {
    bb_waiter *waiter;
    bb_result result =
        bb_waiter_join(a->plan->q, m->route, m->queued, 0, origin, draw(a, 2) == 0, &waiter);
    if (waiter == NULL && result == BB_ACCEPTED) accept(a, m);
    if (waiter == NULL && result != BB_FULL) return result;
    while (result == BB_WAITING && draw(a, 8) != 0) {
        uint64_t until = draw(a, 4) == 0 ? UINT64_MAX : bb_clock() + draw(a, 50000);
        result = bb_waiter_wait(waiter, until);
        if (bb_waiter_quiet(waiter) > A_MINUTE) fail("quiet for longer than the round has lasted");
    }
    if (draw(a, 4) != 0) return offer(a, m, origin, waiter);
    bool accepted = waiter != NULL && bb_waiter_leave(waiter);
    if (accepted) accept(a, m); /* at the end, or earlier */
    if (result == BB_ACCEPTED && !accepted) fail("accepted while waiting, and then not");
    return accepted ? BB_ACCEPTED : result == BB_CLOSED ? BB_CLOSED : BB_FULL;
}

static void give_up_unless_accepted(actor *a, const message *m, bb_result result) {
    bool accepted = result == BB_ACCEPTED || result == BB_EVICTED || result == BB_RUN;
    if (m->grouped != NULL && !accepted) groups_refuse(a->plan, m->grouped);
}

static bb_result publish(actor *a, bb_origin origin) {
    message m = any_message(a);
    if (m.queued == NULL) return BB_CLOSED;
    bb_result result = bb_push(a->plan->q, m.route, m.queued, 0, origin);
    if (result == BB_ACCEPTED) accept(a, &m);
    if (result == BB_FULL) {
        if (a->worker != NULL) bb_worker_waits(a->worker, 1);
        result = insist(a, &m, origin);
        if (a->worker != NULL) bb_worker_waits(a->worker, 0);
    }
    give_up_unless_accepted(a, &m, result);
    return result;
}

void publish_in_handler(actor *a) {
    uint32_t one_in = a->plan->handlers_publish;
    if (one_in > 0 && draw(a, one_in) == 0) publish(a, BB_INSIDE);
}

static bb_result publish_many(actor *a) {
    enum { MANY = 8 };
    message m[MANY];
    const bb_route *routes[MANY];
    void *pointers[MANY];
    int32_t n = 0;
    for (; n < MANY; n++) {
        m[n] = any_message(a);
        if (m[n].queued == NULL) break;
        routes[n] = m[n].route;
        pointers[n] = m[n].queued;
    }
    if (n == 0) return BB_CLOSED;
    int32_t accepted = bb_push_many(a->plan->q, routes, pointers, n, 0, BB_OUTSIDE);
    bb_result result = accepted < 0 ? (bb_result)accepted : BB_ACCEPTED;
    for (int32_t i = 0; i < accepted; i++) accept(a, &m[i]);
    for (int32_t i = accepted < 0 ? 0 : accepted; i < n; i++) {
        if (result >= 0) result = insist(a, &m[i], BB_OUTSIDE);
        give_up_unless_accepted(a, &m[i], result);
    }
    return result;
}

/* Some publish as a handler of another queue. */
void *publisher(void *argument) {
    actor *a = argument;
    plan *p = a->plan;
    bool closer = p->closes_early && a->index == 0;
    for (int i = 0; i < a->operations; i++) {
        if (closer && i == a->operations / 2) bb_close(p->q, p->drain, p->deadline);
        if (p->resizes && draw(a, 100) == 0) resize(p, (int32_t)draw(a, (uint32_t)p->takers) + 1);
        if (p->groups > 0 && draw(a, 50) == 0) groups_purge(a);
        bb_origin origin = draw(a, 8) == 0 ? BB_HANDLER : BB_OUTSIDE;
        if ((draw(a, 16) == 0 ? publish_many(a) : publish(a, origin)) == BB_CLOSED) break;
    }
    return NULL;
}

/* ---- taking ------------------------------------------------------------------------------- */

static void handle(actor *a, int64_t delivery) {
    ledger_end(delivery);
    publish_in_handler(a);
    if (draw(a, 16) == 0) {
        bb_failed(a->worker);
        a->account.failed++;
    }
    a->account.processed++;
}

/* Max deliveries that threads have removed and not recorded yet. */
static long long in_flight(const plan *p) {
    bool evicting = p->mode == BB_EVICT_OLDEST || p->mode == BB_EVICT_LOWEST || p->mode == MIXED;
    bool oversize = p->settings.capacity < MAX_COUNT;
    return evicting ? (p->publishers + p->takers) * (oversize ? OUT_SIZE : MAX_COUNT)
                    : p->takers - 1;
}

/* A plain delivery was taken: nothing more urgent may have been left. `added`: deliveries added to
 * each level before the call, which must have been removed by now. */
static int64_t check_taken(actor *a, const bb_delivery *out, const long long *added) {
    plan *p = a->plan;
    int64_t delivery = ledger_number(out);
    lane *taken = ledger_remove(&a->account, delivery, &p->flow);
    for (int l = taken->level + 1; l < p->settings.levels && p->settings.starvation == 0; l++)
        if (added[l] - atomic_load(&p->flow.removed[l]) > in_flight(p))
            fail("level %d was served while level %d had work", taken->level, l);
    return delivery;
}

/* Take a delivery and handle it; false: the worker has left. */
static bool work(actor *a) {
    plan *p = a->plan;
    long long added[BB_LEVELS];
    bb_delivery out;
    for (int l = 0; l < p->settings.levels; l++) added[l] = atomic_load(&p->flow.added[l]);
    ledger_look(&a->account, &p->flow);
    uint64_t since = bb_clock();
    bb_took took = bb_take(a->worker, &out);
    if (took == BB_LEAVE) return false;
    if (took == BB_EXPIRED) groups_expired(a, &out);
    else if (grouped_event_of(out.event) != NULL) groups_handle(a, &out, since);
    else handle(a, check_taken(a, &out, added));
    return true;
}

void resize(plan *p, int32_t wanted) {
    if (wanted <= p->settings.reserved) wanted = p->settings.reserved + 1;
    atomic_store(&p->wanted, wanted);
    int32_t missing = bb_resize(p->q, wanted);
    if (missing > 0) atomic_fetch_add(&p->to_start, missing);
}

/* Become one of the threads that were asked for, if one is left. */
static bool claim_start(plan *p) {
    int n = atomic_load(&p->to_start);
    while (n > 0)
        if (atomic_compare_exchange_weak(&p->to_start, &n, n - 1)) return true;
    return false;
}

/* Become a worker whenever one is wanted; sometimes one that cannot be started. */
void *taker(void *argument) {
    actor *a = argument;
    plan *p = a->plan;
    while (bb_get_state(p->q) != BB_SHUT) {
        if (!claim_start(p)) {
            sched_yield();
        } else if (draw(a, 8) == 0) {
            bb_worker_failed(p->q);
            resize(p, atomic_load(&p->wanted));
        } else if ((a->worker = bb_worker_enter(p->q, (uint64_t)a->index)) != NULL) {
            while (work(a)) continue;
            a->worker = NULL;
        }
    }
    return NULL;
}

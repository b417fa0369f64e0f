/* stress_actors.c: the publishers and takers of the stress programme. */
#include "stress.h"

#include <stddef.h>

uint32_t draw(actor *a, uint32_t below) {
    a->random += 0x9e3779b97f4a7c15u; /* Weyl sequence, then mixed */
    uint64_t x = (a->random ^ (a->random >> 31)) * 0xd6e8feb86659fd93u;
    return (uint32_t)((x ^ (x >> 32)) % below);
}

static lane *any_lane(actor *a) {
    return ledger_lane(a->index * a->plan->levels + (int)draw(a, (uint32_t)a->plan->levels));
}

/* ---- publishing -------------------------------------------------------------------------- */

static void accept(actor *a, lane *l, int64_t handle) {
    ledger_accept(l, handle, &a->plan->flow);
    a->account.published += (uint64_t)l->count;
    if (draw(a, 64) == 0 && (uint32_t)bb_withdraw(handle) > 1)
        fail("withdraw of an accepted event");
}

/* The caller runs the event's handlers, and sometimes stops half-way. */
static void run(actor *a, lane *l, int64_t handle) {
    ledger_accept(l, handle, NULL);
    a->account.published += (uint64_t)l->count;
    int32_t stop_at = draw(a, 4) == 0 ? (int32_t)draw(a, (uint32_t)l->count) : l->count;
    for (int32_t i = 0; i < l->count; i++) ledger_end(handle + i);
    for (int32_t i = 0; i < stop_at; i++) bb_caller_done(handle, i % 2);
    a->account.processed += (uint64_t)stop_at;
    a->account.failed += (uint64_t)stop_at / 2;
    a->account.dropped += (uint64_t)(l->count - stop_at);
    int32_t known = bb_withdraw(handle);
    if (known != (stop_at < l->count ? 2 : 1)) fail("withdraw of a running event: %d", known);
}

/* A delivery gave way to an event of lane `l`, which must have been urgent enough for that. */
static void evicted(actor *a, const lane *l, int32_t mode, int64_t delivery) {
    const lane *victim = ledger_remove(&a->account, delivery, false, &a->plan->flow);
    if (victim->level > l->level - (mode == BB_EVICT_LOWEST))
        fail("level %d gave way to level %d", victim->level, l->level);
    ledger_end(delivery);
    a->account.dropped++;
}

static int32_t offer(actor *a, lane *l, int64_t handle, int32_t inside) {
    int64_t out[MAX_COUNT + 2];
    int32_t mode = a->plan->mode == MIXED ? (int32_t)draw(a, MIXED) : a->plan->mode;
    out[l->count + 1] = -7;
    ledger_look(&a->account, &a->plan->flow);
    int32_t result = bb_offer(handle, mode + inside, out);
    if (result > 0) result &= ~BB_FIRST;
    if (out[l->count + 1] != -7) fail("bb_offer wrote more than its share");
    if (result == BB_ACCEPTED || result == BB_EVICTED) accept(a, l, handle);
    if (result == BB_RUN) run(a, l, handle);
    if (result == BB_REFUSED) {
        a->account.published += (uint64_t)l->count;
        a->account.dropped += (uint64_t)l->count;
    }
    for (int i = 0; result == BB_EVICTED && out[i] != 0; i++) evicted(a, l, mode, out[i]);
    return result;
}

/* There was no room at first: wait, and give up in one of several ways. A wait without a limit must
 * end all the same; if nobody wakes the publisher, the round hangs, which main notices. */
static int32_t insist(actor *a, lane *l, int64_t handle) {
    int32_t result = BB_WAITING;
    while (result == BB_WAITING && draw(a, 8) != 0) {
        int64_t timeout = draw(a, 4) == 0 ? INT64_MAX : draw(a, 50000);
        result = bb_wait(handle, timeout, draw(a, 2) == 0);
    }
    if (result == BB_ACCEPTED) accept(a, l, handle);
    if (result != BB_WAITING && result != BB_FULL) return result;
    if (draw(a, 4) != 0) return offer(a, l, handle, 0);
    int32_t known = bb_withdraw(handle);
    if (known == 0) accept(a, l, handle); /* let in meanwhile */
    else if (known != 1) fail("withdraw of a waiting event: %d", known);
    return BB_FULL;
}

static int32_t publish(actor *a) {
    lane *l = any_lane(a);
    int64_t handle = ledger_draw(l);
    if (handle == 0) return BB_CLOSED;
    int32_t result = bb_push(handle);
    if (result == BB_ACCEPTED) accept(a, l, handle);
    return result == BB_FULL ? insist(a, l, handle) : result;
}

static int32_t publish_many(actor *a) {
    enum { BATCH = 8 };
    lane *of[BATCH];
    int64_t handles[BATCH];
    int32_t n = 0, accepted, result = BB_ACCEPTED;
    for (; n < BATCH; n++) {
        of[n] = any_lane(a);
        handles[n] = ledger_draw(of[n]);
        if (handles[n] == 0) break;
    }
    if (n == 0) return BB_CLOSED;
    accepted = bb_push_many(handles, n);
    if (accepted < 0) return accepted;
    for (int32_t i = 0; i < accepted; i++) accept(a, of[i], handles[i]);
    for (int32_t i = accepted; i < n && result >= 0; i++) result = insist(a, of[i], handles[i]);
    return result;
}

void *publisher(void *argument) {
    actor *a = argument;
    plan *p = a->plan;
    bool closer = p->closes_early && a->index == 0;
    for (int i = 0; i < a->operations; i++) {
        if (closer && i == a->operations / 2) bb_close(p->ring, p->drain, p->deadline);
        if ((draw(a, 16) == 0 ? publish_many(a) : publish(a)) == BB_CLOSED) break;
    }
    return NULL;
}

/* ---- taking ------------------------------------------------------------------------------- */

static void handle(actor *a, int64_t delivery);

/* A handler publishes: it helps instead of waiting, and overdraws where that is no use. */
static void publish_inside(actor *a) {
    plan *p = a->plan;
    lane *l = any_lane(a);
    int64_t event = ledger_draw(l), out[1] = {0};
    if (event == 0) return;
    int32_t result = bb_push(event);
    if (result == BB_ACCEPTED) accept(a, l, event);
    while (result == BB_FULL) {
        bool newest = a->open >= BB_BREADTH;
        ledger_look(&a->account, &p->flow);
        result = bb_help(a->worker, event, out);
        if (result == BB_ACCEPTED) accept(a, l, event);
        if (out[0] == 0) break;
        ledger_remove(&a->account, out[0], newest, &p->flow);
        handle(a, out[0]);
        bb_done(a->worker);
        a->open--;
    }
    if (result == BB_FULL || result == BB_CLOSED) offer(a, l, event, BB_INSIDE);
}

static void handle(actor *a, int64_t delivery) {
    uint32_t one_in = a->plan->handlers_publish;
    if (++a->open > BB_HELP) fail("%d deliveries are open in one worker", a->open);
    ledger_end(delivery);
    if (one_in > 0 && draw(a, one_in) == 0) publish_inside(a);
    if (draw(a, 16) == 0) {
        bb_failed(a->worker);
        a->account.failed++;
    }
    a->account.processed++;
}

/* Whatever a thread has removed and not yet noted, at most: what the others' notes may lack. */
static long long in_flight(const plan *p) {
    bool evicting = p->mode == BB_EVICT_OLDEST || p->mode == BB_EVICT_LOWEST || p->mode == MIXED;
    return evicting ? (p->publishers + p->takers) * MAX_COUNT : p->takers - 1;
}

/* Take, and check that nothing more urgent was left: what had been added to a higher level before
 * the call must have been removed by now. */
static int64_t take(actor *a) {
    plan *p = a->plan;
    long long added[BB_LEVELS];
    for (int l = 0; l < p->levels; l++) added[l] = atomic_load(&p->flow.added[l]);
    ledger_look(&a->account, &p->flow);
    int64_t delivery = bb_take(a->worker);
    a->open = 0;
    if (delivery == 0) return 0;
    lane *taken = ledger_remove(&a->account, delivery, false, &p->flow);
    for (int l = taken->level + 1; l < p->levels && p->starvation == 0; l++)
        if (added[l] - atomic_load(&p->flow.removed[l]) > in_flight(p))
            fail("level %d was served while level %d had work", taken->level, l);
    return delivery;
}

void *taker(void *argument) {
    actor *a = argument;
    for (int64_t delivery; (delivery = take(a)) != 0;) handle(a, delivery);
    return NULL;
}

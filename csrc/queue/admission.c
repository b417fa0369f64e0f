/* admission.c: what a publisher can do with an event: push it, or apply the policy. Waiting in
 * between is in waiters.c. */
#include "internal.h"

/* There are free slots, and no waiter that must be admitted first: a later publisher must not take
 * its slots. */
static bool may_enter(const bb_queue *q, const bb_route *route, bool handler) {
    return fits(q, route->count, handler) && !has_waiters_before(q, route->level, handler);
}

static bb_result push(bb_queue *q, const bb_route *route, void *event, int32_t depth, bool handler,
                      uint64_t now) {
    assert(q->state != BB_SHUT);
    if (route->count == 0) {
        q->unrouted += !route->tapped;
        return BB_ACCEPTED;
    }
    if (!may_enter(q, route, handler)) return BB_FULL;
    if (!ensure_slots(q, route->count)) return BB_NO_MEMORY;
    enqueue(q, route, event, depth, now);
    return BB_ACCEPTED;
}

bb_result bb_push(bb_queue *q, const bb_route *route, void *event, int32_t depth,
                  bb_origin origin) {
    if (is_gone(q)) return BB_GONE;
    uint64_t reading = read_if(q, q->timed);
    void *token = queue_lock(q);
    uint64_t now = time_of(q, reading);
    bb_result result = BB_CLOSED;
    if (is_open_to(q, origin)) {
        result = push(q, route, event, depth, origin != BB_OUTSIDE, now);
        if (q->monitoring) sample_depth(q, now);
    }
    unlock_and_wake(q, token);
    return result;
}

/* The same for `n` events of a route; returns how many were accepted. */
static int32_t push_run(bb_queue *q, const bb_route *route, void *const *events, int32_t n,
                        int32_t depth, bool handler, uint64_t now) {
    if (route->count == 0) {
        q->unrouted += route->tapped ? 0 : (uint64_t)n;
        return n;
    }
    if (!may_enter(q, route, handler) || !ensure_slots(q, route->count)) return 0;
    return enqueue_many(q, route, events, n, depth, handler, now);
}

/* How many of the routes are the same as the first. */
static int32_t run_length(const bb_route *const *routes, int32_t n) {
    int32_t length = 1;
    while (length < n && routes[length] == routes[0]) length++;
    return length;
}

int32_t bb_push_many(bb_queue *q, const bb_route *const *routes, void *const *events, int32_t n,
                     int32_t depth, bb_origin origin) {
    if (is_gone(q)) return BB_GONE;
    bool handler = origin != BB_OUTSIDE;
    uint64_t reading = read_if(q, q->timed);
    void *token = queue_lock(q);
    uint64_t now = time_of(q, reading);
    int32_t accepted = 0;
    if (is_open_to(q, origin)) {
        int32_t run = 0, pushed = 0;
        while (pushed == run && accepted < n) {
            run = run_length(routes + accepted, n - accepted);
            pushed = push_run(q, routes[accepted], events + accepted, run, depth, handler, now);
            accepted += pushed;
        }
        if (q->monitoring) sample_depth(q, now);
    } else {
        accepted = BB_CLOSED;
    }
    unlock_and_wake(q, token);
    return accepted;
}

/* ---- the policy ---------------------------------------------------------------------------- */

/* The out parameters of bb_offer. */
typedef struct {
    bb_delivery *out;
    int32_t out_size;
    int32_t *evicted;
    int32_t *first;
    bb_caller **caller;
} offer_outcome;

/* Something is dropped for `result`: note whether it is the first of a streak. */
static bb_result record_loss(bb_queue *q, offer_outcome to, bb_result result) {
    *to.first = !q->streak;
    q->streak = true;
    return result;
}

/* Count an event as published and dropped. */
static void count_refused(bb_queue *q, const bb_route *route, void *event, bb_reason reason) {
    int32_t level = route->level - 1;
    bb_noted noted = reason == BB_WHY_SHUTDOWN ? BB_NOTED_DISCARDED : BB_NOTED_REFUSED;
    count_published(q, level, route->type, route->count);
    for (int32_t i = 0; i < route->count; i++) {
        route->recipients[i]->tally.published++;
        count_dropped(q, level, route->type, route->recipients[i], reason);
    }
    note(q, noted, event, NULL, route->type, level, 0);
}

static bb_result refuse(bb_queue *q, const bb_route *route, void *event, offer_outcome to) {
    count_refused(q, route, event, BB_WHY_REFUSED);
    return record_loss(q, to, BB_REFUSED);
}

bb_result bb_refuse(bb_queue *q, const bb_route *route, void *event, bb_reason reason) {
    if (is_gone(q)) return BB_GONE;
    void *token = queue_lock(q);
    count_refused(q, route, event, reason);
    queue_unlock(q, token);
    return BB_REFUSED;
}

/* How many deliveries must be evicted for the event. Beyond the capacity, where only the reserve
 * has brought the queue, they are replaced one by one: an event need not pay for what handlers
 * published. */
static int32_t needed_for(const bb_queue *q, int32_t count, bool handler) {
    int32_t limit = slot_limit(q, handler);
    if (count > limit) return q->queued;
    int32_t over = q->queued + count - limit;
    return over < count ? over : count;
}

/* Evict as many as the event needs, or none and refuse it. */
static bb_result evict_for(bb_queue *q, const bb_route *route, void *event, int32_t depth,
                           bool handler, bb_mode mode, offer_outcome to) {
    int32_t level = route->level - 1, needed = needed_for(q, route->count, handler);
    if (count_evictable(q, mode, level) < needed) return refuse(q, route, event, to);
    if (needed > to.out_size) return BB_FULL;
    /* Beyond the capacity are retries, too, which have no slots: more may be needed than there are.
     */
    if (!ensure_slots(q, q->queued - needed + route->count)) return BB_NO_MEMORY;
    for (int32_t i = 0; i < needed; i++) to.out[i] = evict(q, mode, level, event);
    *to.evicted = needed;
    if (q->barrier_waiters > 0) signal_barrier(q);
    enqueue(q, route, event, depth, time_if(q, q->timed));
    return record_loss(q, to, BB_EVICTED);
}

/* Leave the event to the caller: running from now on, never queued. */
static bb_result let_caller_run(bb_queue *q, const bb_route *route, void *event, offer_outcome to) {
    *to.caller = add_caller(q, route, event);
    return *to.caller != NULL ? BB_RUN : BB_NO_MEMORY;
}

static bb_result apply_policy(bb_queue *q, const bb_route *route, void *event, int32_t depth,
                              bool handler, bb_mode mode, offer_outcome to) {
    switch (mode) {
    case BB_CALLER_RUNS: return let_caller_run(q, route, event, to);
    case BB_REFUSE: return refuse(q, route, event, to);
    default: return evict_for(q, route, event, depth, handler, mode, to);
    }
}

/* A publisher that does not wait must not take the slots of those that do, time and again. One that
 * may evict is accepted: nothing is to be lost while there are free slots. */
static bool would_jump(const bb_queue *q, const bb_route *route, bool handler, bb_mode mode,
                       const bb_waiter *waiter) {
    bool evicts = mode == BB_EVICT_OLDEST || mode == BB_EVICT_LOWEST;
    return waiter == NULL && !evicts && has_waiters_before(q, route->level, handler);
}

bb_result bb_offer(bb_queue *q, const bb_route *route, void *event, int32_t depth, bb_origin origin,
                   bb_mode mode, bb_waiter *waiter, bb_delivery *out, int32_t out_size,
                   int32_t *evicted, int32_t *first, bb_caller **caller) {
    offer_outcome to = {out, out_size, evicted, first, caller};
    *evicted = *first = 0;
    *caller = NULL;
    if (is_gone(q)) return BB_GONE; /* with the waiter, which belongs to the parent */
    assert(waiter == NULL || (waiter->q == q && waiter->route == route));
    bool handler = origin != BB_OUTSIDE;
    bb_result result;
    void *token = queue_lock(q);
    if (waiter != NULL && finish_wait(waiter)) {
        result = BB_ACCEPTED;
    } else if (!is_open_to(q, origin)) {
        result = BB_CLOSED;
    } else if (fits(q, route->count, handler) && !would_jump(q, route, handler, mode, waiter)) {
        result = BB_NO_MEMORY;
        if (ensure_slots(q, route->count)) {
            enqueue(q, route, event, depth, time_if(q, q->timed));
            result = BB_ACCEPTED;
        }
    } else {
        result = apply_policy(q, route, event, depth, handler, mode, to);
    }
    /* This one may have been the head of its wait queue, or have evicted more than it replaced. */
    if (q->waiting > 0) admit_waiters(q, time_if(q, q->timed));
    unlock_and_wake(q, token);
    return result;
}

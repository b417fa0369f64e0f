/* admission.c: what a publisher can do with an event: push it, or have the policy decide.
 * Waiting in between is in waiters.c. */
#include "internal.h"

/* No publisher waits in line that is to be let in first: a later one must not take its room. */
static bool may_enter(const bb_queue *q, const bb_route *route, bool handler) {
    return has_room(q, route->count, handler) && !has_waiters_before(q, route->level, handler);
}

static bool has_slots(bb_queue *q, const bb_route *route) {
    return route->count <= q->slot_count || ensure_slots(q, route->count);
}

/* Precondition: the queue is open to the publisher. */
static bb_result push(bb_queue *q, const bb_route *route, void *event, int32_t depth, bool handler,
                      uint64_t now) {
    if (route->count == 0) {
        q->unrouted++;
        return BB_ACCEPTED;
    }
    if (!may_enter(q, route, handler)) return BB_FULL;
    if (!has_slots(q, route)) return BB_NO_MEMORY;
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

int32_t bb_push_many(bb_queue *q, const bb_route *const *routes, void *const *events, int32_t n,
                     int32_t depth, bb_origin origin) {
    if (is_gone(q)) return BB_GONE;
    bool handler = origin != BB_OUTSIDE;
    uint64_t reading = read_if(q, q->timed);
    void *token = queue_lock(q);
    uint64_t now = time_of(q, reading);
    int32_t accepted = 0;
    if (is_open_to(q, origin)) {
        while (accepted < n &&
               push(q, routes[accepted], events[accepted], depth, handler, now) == BB_ACCEPTED)
            accepted++;
        if (q->monitoring) sample_depth(q, now);
    } else {
        accepted = BB_CLOSED;
    }
    unlock_and_wake(q, token);
    return accepted;
}

/* ---- deciding ------------------------------------------------------------------------------ */

/* Where bb_offer reports what was lost. */
typedef struct {
    bb_delivery *out;
    int32_t room;
    int32_t *evicted;
    int32_t *first;
    bb_caller **caller;
} losses;

static bb_result with_loss(bb_queue *q, losses to, bb_result result) {
    *to.first = !q->streak;
    q->streak = true;
    return result;
}

static bb_result refuse(bb_queue *q, const bb_route *route, losses to) {
    int32_t level = route->level - 1;
    count_published(q, level, route->type, route->count);
    for (int32_t i = 0; i < route->count; i++) {
        route->recipients[i]->tally.published++;
        count_dropped(q, level, route->type, route->recipients[i], BB_WHY_REFUSED);
    }
    return with_loss(q, to, BB_REFUSED);
}

/* How many deliveries must be evicted for the event. Beyond the capacity, where only the reserve
 * has brought the queue, they are replaced one by one: an event need not pay for what handlers
 * published. */
static int32_t needed_for(const bb_queue *q, int32_t count, bool handler) {
    int32_t most = places(q, handler);
    if (count > most) return q->queued;
    int32_t over = q->queued + count - most;
    return over < count ? over : count;
}

/* Evict as many as the event needs, or none and refuse it. */
static bb_result make_room(bb_queue *q, const bb_route *route, void *event, int32_t depth,
                           bool handler, bb_mode mode, losses to) {
    int32_t level = route->level - 1, needed = needed_for(q, route->count, handler);
    if (count_evictable(q, mode, level) < needed) return refuse(q, route, to);
    if (needed > to.room) return BB_FULL;
    if (!has_slots(q, route)) return BB_NO_MEMORY;
    for (int32_t i = 0; i < needed; i++) to.out[i] = evict(q, mode, level);
    *to.evicted = needed;
    enqueue(q, route, event, depth, time_if(q, q->timed));
    return with_loss(q, to, BB_EVICTED);
}

/* Give the event to the caller: running from now on, never queued. */
static bb_result hand_back(bb_queue *q, const bb_route *route, void *event, losses to) {
    *to.caller = add_caller(q, route, event);
    return *to.caller != NULL ? BB_RUN : BB_NO_MEMORY;
}

static bb_result decide(bb_queue *q, const bb_route *route, void *event, int32_t depth,
                        bool handler, bb_mode mode, losses to) {
    switch (mode) {
    case BB_CALLER_RUNS: return hand_back(q, route, event, to);
    case BB_REFUSE: return refuse(q, route, to);
    default: return make_room(q, route, event, depth, handler, mode, to);
    }
}

/* A publisher that does not wait must not take the room of those that do, time and again. One that
 * may evict is let in: nothing is to be lost while there is room. */
static bool would_jump(const bb_queue *q, const bb_route *route, bool handler, bb_mode mode,
                       const bb_waiter *waiter) {
    bool evicts = mode == BB_EVICT_OLDEST || mode == BB_EVICT_LOWEST;
    return waiter == NULL && !evicts && has_waiters_before(q, route->level, handler);
}

bb_result bb_offer(bb_queue *q, const bb_route *route, void *event, int32_t depth, bb_origin origin,
                   bb_mode mode, bb_waiter *waiter, bb_delivery *out, int32_t room,
                   int32_t *evicted, int32_t *first, bb_caller **caller) {
    losses to = {out, room, evicted, first, caller};
    *evicted = *first = 0;
    *caller = NULL;
    if (is_gone(q)) return BB_GONE; /* with the waiter, which belongs to the parent */
    bool handler = origin != BB_OUTSIDE;
    bb_result result;
    void *token = queue_lock(q);
    if (waiter != NULL && finish_wait(waiter)) {
        result = BB_ACCEPTED;
    } else if (!is_open_to(q, origin)) {
        result = BB_CLOSED;
    } else if (has_room(q, route->count, handler) && !would_jump(q, route, handler, mode, waiter)) {
        result = BB_NO_MEMORY;
        if (has_slots(q, route)) {
            enqueue(q, route, event, depth, time_if(q, q->timed));
            result = BB_ACCEPTED;
        }
    } else {
        result = decide(q, route, event, depth, handler, mode, to);
    }
    /* One may stand before them no more, or have evicted more than it took the place of. */
    if (q->waiting > 0) admit_waiters(q, time_if(q, q->timed));
    unlock_and_wake(q, token);
    return result;
}

/* publish.c: what a publisher can do with an event: push it, wait for room, have it decided. */
#include "internal.h"

/* Nobody waits in line for room: whoever comes later must not take it. */
static bool free_to_enter(const ring *ring, const route *route) {
    return ring->line.head == NULL && has_room(ring, route->count);
}

int32_t bb_push(int64_t handle) {
    const route *route = route_of(handle);
    if (route == NULL) return BB_GONE;
    ring *ring = route->ring;
    uint64_t now = clock_if(ring->timed);
    void *token = ring_lock(ring);
    int32_t result = BB_CLOSED;
    if (ring->state == BB_OPEN) {
        result = free_to_enter(ring, route) ? BB_ACCEPTED : BB_FULL;
        if (result == BB_ACCEPTED) enqueue(ring, route, handle, now);
        if (ring->monitoring) sample_depth(ring, now);
    }
    unlock_and_wake(ring, token);
    return result;
}

int32_t bb_push_many(const int64_t *handles, int32_t n) {
    if (n <= 0) return 0;
    ring *ring = ring_of(handles[0]);
    if (ring == NULL) return BB_GONE;
    uint64_t now = clock_if(ring->timed);
    void *token = ring_lock(ring);
    int32_t accepted = 0;
    if (ring->state != BB_OPEN) {
        accepted = BB_CLOSED;
    } else {
        for (; accepted < n; accepted++) {
            const route *route = route_of(handles[accepted]);
            if (route == NULL || route->ring != ring || !free_to_enter(ring, route)) break;
            enqueue(ring, route, handles[accepted], now);
        }
        if (ring->monitoring) sample_depth(ring, now);
    }
    unlock_and_wake(ring, token);
    return accepted;
}

/* ---- waiting ------------------------------------------------------------------------------- */

/* If the event was let in, forget its waiter. */
static bool was_let_in(ring *ring, int64_t handle) {
    waiter *waiter = waiter_find(&ring->let_in, handle);
    if (waiter == NULL) return false;
    if (!waiter->signalled) ring->unsignalled--;
    waiter_unlink(&ring->let_in, waiter);
    waiter_free(waiter);
    return true;
}

/* If the event stands in line, take it out; the next in line may have room now. */
static bool left_line(ring *ring, int64_t handle) {
    waiter *waiter = waiter_find(&ring->line, handle);
    if (waiter == NULL) return false;
    waiter_unlink(&ring->line, waiter);
    waiter_free(waiter);
    let_in(ring, clock_if(ring->timed));
    return true;
}

/* The event's place in line, a new one at its end if it has none; NULL without memory. */
static waiter *join_line(ring *ring, const route *route, int64_t handle) {
    waiter *waiter = waiter_find(&ring->line, handle);
    if (waiter != NULL) return waiter;
    waiter = waiter_new(route, handle);
    if (waiter != NULL) waiter_append(&ring->line, waiter);
    return waiter;
}

/* Sleep in line. The waiter is ours: only this thread takes it off the line or frees it, others
 * move it to `let_in`. */
static int32_t wait_in_line(ring *ring, const route *route, int64_t handle, int64_t timeout_ns) {
    waiter *waiter = join_line(ring, route, handle);
    if (waiter == NULL) return BB_FULL;
    uint64_t deadline = deadline_after(timeout_ns);
    while (ring->state == BB_OPEN && !waiter->signalled && bb_clock() < deadline)
        bb_cond_wait_until(&waiter->admitted, &ring->mutex, deadline);
    if (was_let_in(ring, handle)) return BB_ACCEPTED;
    if (ring->state == BB_OPEN) return BB_WAITING;
    left_line(ring, handle);
    return BB_CLOSED;
}

int32_t bb_wait(int64_t handle, int64_t timeout_ns, int32_t always) {
    const route *route = route_of(handle);
    if (route == NULL) return BB_GONE;
    ring *ring = route->ring;
    int32_t result;
    void *token = host_detach();
    bb_mutex_lock(&ring->mutex);
    if (was_let_in(ring, handle)) {
        result = BB_ACCEPTED;
    } else if (ring->state != BB_OPEN) {
        left_line(ring, handle);
        result = BB_CLOSED;
    } else if (free_to_enter(ring, route)) {
        enqueue(ring, route, handle, clock_if(ring->timed));
        result = BB_ACCEPTED;
    } else if (ring->congested && !always && waiter_find(&ring->line, handle) == NULL) {
        result = BB_FULL; /* whoever stands in line already has begun its own wait */
    } else {
        result = wait_in_line(ring, route, handle, timeout_ns);
    }
    unlock_and_wake(ring, token);
    return result;
}

/* ---- deciding ------------------------------------------------------------------------------ */

static int32_t lost(ring *ring, int32_t result) {
    bool first = !ring->streak;
    ring->streak = true;
    return first ? result + BB_FIRST : result;
}

static int32_t refuse(ring *ring, const route *route) {
    count_published(ring, route, route->count);
    count_dropped(ring, route, BB_WHY_REFUSED, route->count);
    return lost(ring, BB_REFUSED);
}

/* Evict as many as the event needs, or none and refuse it. */
static int32_t make_room(ring *ring, const route *route, int64_t handle, int32_t mode,
                         int64_t *out) {
    if (route->count > ring->capacity) return refuse(ring, route);
    int32_t needed = route->count - (ring->capacity - ring->queued);
    if (needed > route->count) needed = route->count; /* overdrawn: replace, do not pay it off */
    if (evictable(ring, mode, route->level) < needed) return refuse(ring, route);
    for (int32_t i = 0; i < needed; i++) *out++ = evict(ring, mode, route->level);
    *out = 0;
    enqueue(ring, route, handle, clock_if(ring->timed));
    return lost(ring, BB_EVICTED);
}

/* Give the event to the caller: running from now on, never queued. */
static int32_t hand_back(ring *ring, const route *route, int64_t handle) {
    waiter *caller = waiter_new(route, handle);
    if (caller == NULL) return refuse(ring, route);
    caller->remaining = route->count;
    caller->since = clock_if(ring->monitoring);
    if (ring->monitoring) caller->cpu = cpu_to_begin(meter_of(route, handle), 0);
    waiter_append(&ring->callers, caller);
    count_published(ring, route, route->count);
    for (int32_t i = 0; i < route->count; i++) count_taken(ring, route);
    return BB_RUN;
}

/* Accept beyond the capacity, for a handler that can neither wait nor help any more. */
static int32_t overdraw(ring *ring, const route *route, int64_t handle) {
    if (route->count > ring->capacity + BB_OVERDRAFT - ring->queued) return refuse(ring, route);
    enqueue(ring, route, handle, clock_if(ring->timed));
    return BB_ACCEPTED;
}

static int32_t decide(ring *ring, const route *route, int64_t handle, int32_t mode, int64_t *out) {
    switch (mode) {
    case BB_TRY: return BB_FULL;
    case BB_CALLER_RUNS: return hand_back(ring, route, handle);
    case BB_OVERDRAW: return overdraw(ring, route, handle);
    case BB_REFUSE: return refuse(ring, route);
    default: return make_room(ring, route, handle, mode, out);
    }
}

int32_t bb_offer(int64_t handle, int32_t mode, int64_t *out) {
    out[0] = 0;
    const route *route = route_of(handle);
    if (route == NULL) return BB_GONE;
    ring *ring = route->ring;
    bool inside = (mode & BB_INSIDE) != 0;
    int32_t result;
    void *token = ring_lock(ring);
    if (was_let_in(ring, handle)) {
        result = BB_ACCEPTED;
    } else {
        bool waited = left_line(ring, handle);
        if (!open_to(ring, inside)) {
            result = BB_CLOSED;
        } else if (has_room(ring, route->count)) {
            enqueue(ring, route, handle, clock_if(ring->timed));
            result = BB_ACCEPTED;
        } else {
            if (waited) ring->congested = true;
            result = decide(ring, route, handle, mode & ~BB_INSIDE, out);
        }
    }
    unlock_and_wake(ring, token);
    return result;
}

/* ---- the caller's own share ------------------------------------------------------------------ */

/* The delivery that the caller ran until now took so long; the next begins. */
static void record_caller(ring *ring, waiter *caller, uint64_t now) {
    const route *route = caller->route;
    int64_t delivery = caller->handle + route->count - caller->remaining;
    uint64_t wall = elapsed(caller->since, now), cpu_now = 0;
    uint64_t cpu = cpu_since(caller->cpu, wall, &cpu_now);
    record_processing(ring, wall);
    meter(meter_of(route, delivery), wall, cpu);
    caller->since = now;
    if (caller->remaining > 1) caller->cpu = cpu_to_begin(meter_of(route, delivery + 1), cpu_now);
}

void bb_caller_done(int64_t handle, int32_t failed) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return;
    uint64_t now = clock_if(ring->monitoring);
    void *token = ring_lock(ring);
    waiter *caller = waiter_find(&ring->callers, handle);
    if (caller != NULL) {
        count_processed(ring, caller->route, failed != 0);
        if (ring->monitoring) record_caller(ring, caller, now);
        if (--caller->remaining == 0) {
            waiter_unlink(&ring->callers, caller);
            waiter_free(caller);
        }
        note_if_idle(ring);
    }
    ring_unlock(ring, token);
}

/* The caller was interrupted: what it has not run is refused after all. */
static bool gave_up(ring *ring, int64_t handle) {
    waiter *caller = waiter_find(&ring->callers, handle);
    if (caller == NULL) return false;
    const route *route = caller->route;
    ring->by_level[route->level].taken -= (uint64_t)caller->remaining;
    ring->by_kind[route->kind].taken -= (uint64_t)caller->remaining;
    ring->running -= caller->remaining;
    count_dropped(ring, route, BB_WHY_REFUSED, caller->remaining);
    waiter_unlink(&ring->callers, caller);
    waiter_free(caller);
    note_if_idle(ring);
    return true;
}

int32_t bb_withdraw(int64_t handle) {
    const route *route = route_of(handle);
    if (route == NULL) return 1;
    ring *ring = route->ring;
    int32_t result = 1;
    void *token = ring_lock(ring);
    if (was_let_in(ring, handle))
        result = 0;
    else if (gave_up(ring, handle))
        result = 2;
    else if (!left_line(ring, handle))
        result = !holds(ring, route, handle);
    unlock_and_wake(ring, token);
    return result;
}

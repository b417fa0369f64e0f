/* worker.c: taking deliveries, and the end of a ring. */
#include "internal.h"

#include <stdlib.h>

int64_t bb_worker_add(int64_t handle) {
    ring *ring = ring_of(handle);
    worker *added = ring != NULL ? calloc(1, sizeof *added) : NULL;
    if (added == NULL) return 0;
    int64_t result = 0;
    void *token = ring_lock(ring);
    if (ring->worker_count < BB_MAX_WORKERS) {
        ring->workers[ring->worker_count++] = added;
        result = ring->routes->base + ring->worker_count;
    }
    ring_unlock(ring, token);
    if (result == 0) free(added);
    return result;
}

/* ---- one delivery ------------------------------------------------------------------------- */

static void finish(ring *ring, worker *worker, uint64_t now) {
    if (worker->depth == 0) return;
    open_delivery *open = &worker->open[--worker->depth];
    count_processed(ring, open->route, open->failed);
    if (open->began > 0) {
        record_processing(ring, now - open->began);
        if (worker->depth == 0) worker->busy += now - open->began;
    }
    note_if_idle(ring);
}

/* Take the next delivery of a queue that is not empty. */
static int64_t begin(ring *ring, worker *worker, uint64_t now) {
    bool newest = worker->depth >= BB_BREADTH;
    open_delivery *open = &worker->open[worker->depth];
    uint64_t accepted;
    open->handle = dequeue(ring, next_level(ring, now), newest, &open->route, &accepted);
    open->began = ring->monitoring ? now : 0;
    open->failed = false;
    worker->depth++;
    count_taken(ring, open->route);
    ring->congested = false;
    if (ring->queued <= ring->capacity / 2) ring->streak = false;
    if (ring->monitoring) {
        record_wait(ring, elapsed(accepted, now));
        sample_depth(ring, now);
    }
    return open->handle;
}

/* Give the room that a delivery left to the publishers in line. */
static void pass_on_room(ring *ring, uint64_t now) {
    if (ring->line.head != NULL) let_in(ring, now);
    if (ring->unsignalled > 0) {
        if (!ring->timed) now = bb_clock(); /* how often workers come by matters all the same */
        tell_let_in(ring, now);
    }
    ring->last_take = now;
}

/* ---- taking ------------------------------------------------------------------------------- */

/* A drain that nobody outside waits for (stop was called by a handler) ends here. */
static void end_drain_in_time(ring *ring) {
    if (ring->state != BB_DRAINING || ring->deadline == 0 || bb_clock() < ring->deadline) return;
    ring->state = BB_SHUT;
    wake_everyone(ring);
}

/* Sleep until there is work or an end. Between waking up and taking, the host has to be
 * re-attached, without the mutex, so another worker may be faster: the caller looks again. */
static void sleep_until_work(ring *ring) {
    void *token = host_detach();
    bb_mutex_lock(&ring->mutex);
    while (ring->queued == 0 && ring->state != BB_SHUT) {
        bool until_deadline = ring->state == BB_DRAINING && ring->deadline != 0;
        ring->sleepers++;
        if (until_deadline) bb_cond_wait_until(&ring->work, &ring->mutex, ring->deadline);
        else bb_cond_wait(&ring->work, &ring->mutex);
        ring->sleepers--;
        if (ring->queued == 0) ring->waking = false; /* woken for nothing: let others be woken */
        end_drain_in_time(ring);
    }
    bb_mutex_unlock(&ring->mutex);
    host_attach(token);
}

int64_t bb_take(int64_t handle) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return 0;
    bool woken = false;
    int64_t taken = 0;
    uint64_t now = clock_if(ring->timed);
    void *token = ring_lock(ring);
    worker *worker = worker_of(ring, handle);
    if (worker != NULL) finish(ring, worker, now);
    for (; worker != NULL; woken = true) {
        if (woken) ring->waking = false;
        end_drain_in_time(ring);
        if (ring->state == BB_SHUT) break;
        if (ring->queued > 0) {
            taken = begin(ring, worker, now);
            pass_on_room(ring, now);
            break;
        }
        ring_unlock(ring, token);
        sleep_until_work(ring);
        now = clock_if(ring->timed);
        token = ring_lock(ring);
    }
    unlock_and_wake(ring, token);
    return taken;
}

int32_t bb_help(int64_t worker_handle, int64_t handle, int64_t *out) {
    out[0] = 0;
    const route *route = route_of(handle);
    if (route == NULL) return BB_GONE;
    ring *ring = route->ring;
    int32_t result = BB_CLOSED;
    uint64_t now = clock_if(ring->timed);
    void *token = ring_lock(ring);
    worker *worker = worker_of(ring, worker_handle);
    if (open_to(ring, true)) {
        bool may_take = worker != NULL && worker->depth < BB_HELP && ring->queued > 0;
        if (may_take && !has_room(ring, route->count)) out[0] = begin(ring, worker, now);
        result = has_room(ring, route->count) ? BB_ACCEPTED : BB_FULL;
        if (result == BB_ACCEPTED) enqueue(ring, route, handle, now);
        if (out[0] != 0) pass_on_room(ring, now);
    }
    unlock_and_wake(ring, token);
    return result;
}

void bb_done(int64_t handle) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return;
    uint64_t now = clock_if(ring->timed);
    void *token = ring_lock(ring);
    worker *worker = worker_of(ring, handle);
    if (worker != NULL) finish(ring, worker, now);
    ring_unlock(ring, token);
}

void bb_failed(int64_t handle) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return;
    void *token = ring_lock(ring);
    worker *worker = worker_of(ring, handle);
    if (worker != NULL && worker->depth > 0) worker->open[worker->depth - 1].failed = true;
    ring_unlock(ring, token);
}

/* ---- the end ------------------------------------------------------------------------------- */

void bb_close(int64_t handle, int32_t drain, int64_t deadline_ns) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return;
    void *token = ring_lock(ring);
    if (!drain) {
        ring->state = BB_SHUT;
    } else if (ring->state == BB_OPEN) {
        ring->state = BB_DRAINING;
        ring->deadline = deadline_ns >= 0 ? deadline_after(deadline_ns) : 0;
    }
    note_if_idle(ring);
    wake_everyone(ring);
    ring_unlock(ring, token);
}

int32_t bb_discard(int64_t handle, int64_t *out, int32_t n) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return 0;
    int32_t discarded = 0;
    void *token = ring_lock(ring);
    while (ring->state == BB_SHUT && ring->queued > 0 && discarded < n) {
        const route *route;
        uint64_t accepted;
        out[discarded++] = dequeue(ring, next_level(ring, 0), false, &route, &accepted);
        count_dropped(ring, route, BB_WHY_SHUTDOWN, 1);
    }
    if (discarded > 0) note_if_idle(ring);
    ring_unlock(ring, token);
    return discarded;
}

int32_t bb_wait_idle(int64_t handle, int64_t timeout_ns) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return 1;
    void *token = host_detach();
    bb_mutex_lock(&ring->mutex);
    uint64_t deadline = deadline_after(timeout_ns);
    while ((ring->queued > 0 || ring->running > 0) && bb_clock() < deadline) {
        ring->idle_waiters++;
        bb_cond_wait_until(&ring->idle, &ring->mutex, deadline);
        ring->idle_waiters--;
    }
    int32_t idle = ring->queued == 0 && ring->running == 0;
    bb_mutex_unlock(&ring->mutex);
    host_attach(token);
    return idle;
}

int32_t bb_state(int64_t handle) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return BB_SHUT;
    void *token = ring_lock(ring);
    int32_t state = ring->state;
    ring_unlock(ring, token);
    return state;
}

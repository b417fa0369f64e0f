/* worker.c: taking deliveries, and the end of a ring. */
#include "internal.h"

/* ---- one delivery ------------------------------------------------------------------------- */

/* Record what a delivery took; returns the reading of the thread's CPU time, 0 if there was none. */
static uint64_t record_times(ring *ring, worker *worker, const open_delivery *open, uint64_t now) {
    uint64_t wall = elapsed(open->began, now), cpu_now = 0;
    uint64_t cpu = cpu_since(open->cpu, wall, &cpu_now);
    record_processing(ring, wall);
    uint64_t own = elapsed(open->nested, wall), own_cpu = elapsed(open->nested_cpu, cpu);
    meter(open->meter, own, own_cpu < own ? own_cpu : own); /* the clocks differ in their steps */
    if (worker->depth == 0) {
        worker->busy += wall;
    } else {
        open_delivery *outer = &worker->open[worker->depth - 1];
        outer->nested += wall;
        outer->nested_cpu += cpu;
    }
    return cpu_now;
}

static uint64_t finish(ring *ring, worker *worker, uint64_t now) {
    if (worker->depth == 0) return 0;
    open_delivery *open = &worker->open[--worker->depth];
    count_processed(ring, open->route, open->failed);
    uint64_t cpu = open->began > 0 ? record_times(ring, worker, open, now) : 0;
    note_if_idle(ring);
    return cpu;
}

/* Take the next delivery of a queue that is not empty. `cpu`: the thread's CPU time, if known. */
static int64_t begin(ring *ring, worker *worker, uint64_t now, uint64_t cpu) {
    bool newest = worker->depth >= BB_BREADTH;
    open_delivery *open = &worker->open[worker->depth];
    uint64_t accepted;
    open->handle = dequeue(ring, next_level(ring, now), newest, &open->route, &accepted);
    open->began = open->nested = open->nested_cpu = 0;
    open->failed = false;
    worker->depth++;
    count_taken(ring, open->route);
    ring->congested = false;
    if (ring->queued <= ring->capacity / 2) ring->streak = false;
    if (ring->monitoring) {
        open->began = now;
        open->meter = meter_of(open->route, open->handle);
        open->cpu = cpu_to_begin(open->meter, cpu);
        record_wait(ring, elapsed(accepted, now));
        sample_depth(ring, now);
    }
    return open->handle;
}

/* Give the room that a delivery left to the publishers in line. */
static void pass_on_room(ring *ring, uint64_t now) {
    if (ring->line.head != NULL) let_in(ring, now);
    if (ring->unsignalled > 0) tell_let_in(ring, ring->timed ? now : bb_clock());
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
    while (ring->queued == 0 && ring->state != BB_SHUT && ring->surplus == 0) {
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
    uint64_t cpu = worker != NULL ? finish(ring, worker, now) : 0;
    for (; worker != NULL; woken = true) {
        if (woken) ring->waking = false;
        end_drain_in_time(ring);
        if (ring->state == BB_SHUT || left_as_surplus(ring, worker)) break;
        if (ring->queued > 0) {
            taken = begin(ring, worker, now, cpu);
            pass_on_room(ring, now);
            break;
        }
        ring_unlock(ring, token);
        sleep_until_work(ring);
        cpu = 0; /* of before the sleep */
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
        if (may_take && !has_room(ring, route->count)) out[0] = begin(ring, worker, now, 0);
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

int64_t bb_opened(int64_t handle) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return 0;
    void *token = ring_lock(ring);
    worker *worker = worker_of(ring, handle);
    int64_t open = worker != NULL && worker->depth > 0 ? worker->open[worker->depth - 1].handle : 0;
    ring_unlock(ring, token);
    return open;
}

int64_t bb_open_for(int64_t worker_handle, int64_t handle) {
    ring *ring = ring_of(worker_handle);
    if (ring == NULL) return 0;
    uint64_t ns = 0;
    void *token = ring_lock(ring);
    worker *worker = worker_of(ring, worker_handle);
    for (int32_t d = worker != NULL ? worker->depth : 0; d-- > 0;) {
        const open_delivery *open = &worker->open[d];
        if (open->handle == handle && open->began > 0) ns = elapsed(open->began, bb_clock());
    }
    ring_unlock(ring, token);
    return (int64_t)ns;
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

int32_t bb_wait_shut(int64_t handle, int64_t timeout_ns) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return 1;
    void *token = host_detach();
    bb_mutex_lock(&ring->mutex);
    uint64_t deadline = deadline_after(timeout_ns);
    while (ring->state != BB_SHUT && bb_clock() < deadline)
        bb_cond_wait_until(&ring->idle, &ring->mutex, deadline);
    int32_t shut = ring->state == BB_SHUT;
    bb_mutex_unlock(&ring->mutex);
    host_attach(token);
    return shut;
}

int32_t bb_state(int64_t handle) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return BB_SHUT;
    void *token = ring_lock(ring);
    int32_t state = ring->state;
    ring_unlock(ring, token);
    return state;
}

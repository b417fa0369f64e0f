/* workers.c: workers that come and go, and the deliveries that they take.
 *
 * Guarantees
 * - No lost wake-up: never do all workers sleep while a delivery is queued and no wake-up is in
 *   flight. One wake-up is in flight at a time (`waking`); the woken worker wakes the next if there
 *   is more to do, and one that was woken for nothing clears the flag.
 * - A delivery is finished by the worker that took it, in the call that takes the next or leaves.
 * - Surplus workers leave between two deliveries: none is interrupted, and no work is lost with a
 *   worker that leaves although it was woken for it.
 * - An idle worker keeps nothing: see the handling of references in csrc/python/worker.c.
 *
 * What does not work, or was tried
 * - Signalling at each push: 15 us per push while workers are idle.
 * - Taking right after waking up: the host has to be re-attached first, without the mutex, and
 *   another worker may be faster. Hence the loop in `take`.
 * - Copying a delivery as a struct, or assigning a new one to `open`: the compiler copies in pieces
 *   of 16 bytes what was written in pieces of 8 just before, for which the processor waits until
 *   these are in its cache, and clears the rest by `rep stos`. To take and handle an event costs 67
 *   ns field by field, and 73 that way.
 * - Finishing a delivery and sleeping in one call: the recipient's account is written when the
 *   delivery is finished, so the sleeping worker would hold its reference, or drop it too early (a
 *   use after free). Hence bb_try_take.
 * - Keeping the hot fields of the queue side by side and histograms last: no gain, nor at a first
 *   publish with cold caches. Link-time optimisation with gcc 12: slower.
 */
#include "internal.h"

#include <stdlib.h>

/* ---- coming and going ---------------------------------------------------------------------- */

int32_t bb_resize(bb_queue *q, int32_t n) {
    if (is_gone(q)) return BB_GONE;
    assert(n >= 1);
    int32_t missing = BB_CLOSED;
    void *token = queue_lock(q);
    if (q->state != BB_SHUT) {
        q->wanted = n;
        missing = n - q->present - q->starting;
        if (missing < 0) {
            missing = 0;
            bb_cond_broadcast(&q->work); /* surplus workers may be idle */
            bb_cond_broadcast(&q->top_work);
        }
        q->starting += missing;
    }
    queue_unlock(q, token);
    return missing;
}

int32_t bb_wanted(bb_queue *q) {
    if (is_gone(q)) return 0;
    void *token = queue_lock(q);
    int32_t wanted = q->wanted;
    queue_unlock(q, token);
    return wanted;
}

bb_worker *bb_worker_enter(bb_queue *q, uint64_t thread) {
    if (is_gone(q)) return NULL;
    bb_worker *worker = calloc(1, sizeof *worker);
    void *token = queue_lock(q);
    assert(q->starting > 0);
    q->starting--;
    bool needed = q->state != BB_SHUT && q->present < q->wanted;
    if (worker != NULL && needed && q->present < BB_MAX_WORKERS) {
        worker->q = q;
        worker->thread = thread;
        worker->native = bb_native_thread();
        worker->since = clock_of(q);
        worker->index = q->present;
        q->workers[q->present++] = worker;
    } else {
        free(worker);
        worker = NULL;
        wake_if_all_wait(q);
    }
    queue_unlock(q, token);
    return worker;
}

void bb_worker_failed(bb_queue *q) {
    if (is_gone(q)) return;
    void *token = queue_lock(q);
    assert(q->starting > 0);
    q->starting--;
    wake_if_all_wait(q);
    queue_unlock(q, token);
}

static void remove_worker(bb_worker *worker) {
    bb_queue *q = worker->q;
    ASSERT_LOCKED(q);
    assert(q->present > 0 && q->workers[worker->index] == worker && !worker->open.open);
    bb_worker *last = q->workers[--q->present];
    q->workers[worker->index] = last;
    last->index = worker->index;
    q->busy_of_left += worker->busy;
    free(worker);
}

/* ---- completing ---------------------------------------------------------------------------- */

/* What the worker had has ended, but for the hooks that it calls: the queue is not idle. */
void begin_completing(bb_worker *worker, uint64_t first) {
    ASSERT_LOCKED(worker->q);
    assert(!worker->completing);
    worker->completed = first;
    worker->completing = true;
    worker->q->completing++;
}

static void end_completing(bb_worker *worker) {
    ASSERT_LOCKED(worker->q);
    if (!worker->completing) return;
    worker->completing = false;
    worker->q->completing--;
    signal_if_idle(worker->q);
}

/* ---- one delivery -------------------------------------------------------------------------- */

/* Finish the open delivery, if any; returns the reading of the thread's CPU time, 0 if it was not
 * read. */
static inline uint64_t finish(bb_queue *q, bb_worker *worker, uint64_t now) {
    ASSERT_LOCKED(q);
    open_delivery *open = &worker->open;
    if (!open->open) return 0;
    if (open->parked != NULL) return finish_call(q, worker, now);
    open->open = false;
    if (q->notes != NULL)
        write_note(q, open->failed ? BB_NOTED_FAILED : BB_NOTED_HANDLED, open->id, open->recipient,
                   open->type, open->level, 0, now);
    count_processed(q, open->level, open->type, open->recipient, open->failed);
    uint64_t cpu_now = 0;
    if (q->monitoring) {
        uint64_t wall = elapsed(open->began, now);
        roll_histograms(q, now);
        record_processing(q, open->recipient, wall, cpu_since(open->cpu, wall, &cpu_now));
        worker->busy += wall;
    }
    signal_if_idle(q);
    return cpu_now;
}

static inline void set_open(open_delivery *open, const dequeued *taken, uint64_t now) {
    open->event = taken->delivery.event;
    open->recipient = taken->delivery.recipient;
    open->parked = taken->delivery.parked;
    open->more = NULL;
    open->more_count = 0;
    open->sequence = taken->sequence;
    open->began = now;
    open->cpu = 0;
    open->level = taken->level;
    open->type = taken->type;
    open->open = true;
    open->failed = false;
}

/* Take the next delivery of a queue with work. `cpu`: the thread's CPU time, if known. False: it
 * has expired, and is dropped. */
static bool begin(bb_queue *q, bb_worker *worker, bb_delivery *out, uint64_t now, uint64_t cpu) {
    assert(!worker->open.open);
    int32_t level = worker->index < q->reserved ? q->levels - 1 : next_level(q, now);
    bool plain = q->ready_levels == 0 && bb_ticket_of(q->slots[q->level[level].head].event) == NULL;
    dequeued taken = plain ? dequeue_slot(q, level) : dequeue(q, level, now);
    bb_recipient *r = taken.delivery.recipient;
    out->event = taken.delivery.event; /* field by field, see above */
    out->recipient = r;
    out->parked = taken.delivery.parked;
    out->depth = taken.delivery.depth;
    if (taken.expired) {
        count_dropped(q, taken.level, taken.type, r, BB_WHY_EXPIRED);
        note(q, BB_NOTED_EXPIRED, taken.delivery.event, r, taken.type, taken.level, now);
        begin_completing(worker, taken.sequence); /* until it has reported the drop */
        return false;
    }
    if (taken.delivery.parked != NULL) begin_call(q, taken.delivery.parked);
    worker->number++;
    set_open(&worker->open, &taken, now);
    count_taken(q, taken.level, taken.type, r);
    if (q->notes != NULL) {
        worker->open.id = id_of(taken.delivery.event); /* at the end the event is freed */
        write_note(q, BB_NOTED_BEGAN, worker->open.id, r, taken.type, taken.level, 0, now);
    }
    if (q->monitoring) {
        worker->open.cpu = cpu_to_begin(r, cpu);
        roll_histograms(q, now);
        record_duration(&q->queue_wait, elapsed(taken.accepted, now));
        sample_depth(q, now);
    }
    return true;
}

/* ---- taking -------------------------------------------------------------------------------- */

/* A drain that no thread outside waits for (a handler called stop) ends here. */
static void end_drain_at_deadline(bb_queue *q) {
    ASSERT_LOCKED(q);
    if (q->state != BB_DRAINING || q->deadline == 0 || clock_of(q) < q->deadline) return;
    q->state = BB_SHUT;
    wake_all(q);
}

/* Whether the worker is one too many. Not a reserved one: its place would pass to another, which
 * may be in a handler for long. Threads that have not entered do not count: bb_worker_enter rejects
 * those not needed. */
static bool is_surplus(const bb_worker *worker) {
    const bb_queue *q = worker->q;
    return q->present > q->wanted && worker->index >= q->reserved;
}

/* Whether there is a delivery for this worker, after settle_lanes; a reserved one takes only the
 * highest level. */
static bool has_work(const bb_queue *q, const bb_worker *worker) {
    uint32_t levels = levels_with_work(q);
    return worker->index < q->reserved ? levels >> (q->levels - 1) : levels != 0;
}

static void wait_until_woken(bb_queue *q, bb_cond *cond, int32_t *sleepers) {
    ++*sleepers;
    wake_if_all_wait(q);
    if (q->state == BB_DRAINING && q->deadline != 0) queue_wait_until(q, cond, q->deadline);
    else queue_wait(q, cond);
    --*sleepers;
}

/* The wake-up has arrived: let others be woken. */
static void end_wake_up(bb_queue *q, const bb_worker *worker) {
    if (worker->index < q->reserved) q->waking_reserved = false;
    else q->waking = false;
}

/* Sleep until there is work or the worker must leave. Another worker may take the work before this
 * one has re-attached to the host, so the caller checks again. */
static void wait_for_work(bb_queue *q, const bb_worker *worker) {
    void *token = queue_lock_detached(q);
    settle_lanes(q);
    while (!has_work(q, worker) && q->state != BB_SHUT && !is_surplus(worker)) {
        if (worker->index < q->reserved) wait_until_woken(q, &q->top_work, &q->idle_reserved);
        else wait_until_woken(q, &q->work, &q->idle_workers);
        settle_lanes(q);
        if (!has_work(q, worker)) end_wake_up(q, worker);
        end_drain_at_deadline(q);
    }
    queue_unlock(q, token);
}

static bb_took take(bb_worker *worker, bb_delivery *out, bool may_sleep) {
    bb_queue *q = worker->q;
    if (is_gone(q)) return BB_LEAVE;
    bool woken = false;
    uint64_t reading = read_if(q, q->timed);
    void *token = queue_lock(q);
    uint64_t now = time_of(q, reading), cpu = finish(q, worker, now);
    end_completing(worker); /* what had expired */
    for (;; woken = true) {
        if (woken) end_wake_up(q, worker);
        end_drain_at_deadline(q);
        if (q->state == BB_SHUT || is_surplus(worker)) break;
        settle_lanes(q);
        if (has_work(q, worker)) {
            bb_took took = begin(q, worker, out, now, cpu) ? BB_TOOK : BB_EXPIRED;
            admit_and_notify(q, now);
            unlock_and_wake(q, token);
            return took;
        }
        unlock_and_wake(q, token); /* what this one may not take, another may */
        if (!may_sleep) return BB_NOTHING;
        wait_for_work(q, worker);
        cpu = 0; /* of before the sleep */
        reading = read_if(q, q->timed);
        token = queue_lock(q);
        now = time_of(q, reading);
    }
    remove_worker(worker);
    wake_if_all_wait(q);
    unlock_and_wake(q, token);
    return BB_LEAVE;
}

bb_took bb_take(bb_worker *worker, bb_delivery *out) { return take(worker, out, true); }
bb_took bb_try_take(bb_worker *worker, bb_delivery *out) { return take(worker, out, false); }

void bb_finish(bb_worker *worker, int32_t completes) {
    bb_queue *q = worker->q;
    if (is_gone(q)) return;
    uint64_t reading = read_if(q, q->timed);
    void *token = queue_lock(q);
    if (completes) begin_completing(worker, first_of_call(&worker->open));
    finish(q, worker, time_of(q, reading));
    unlock_and_wake(q, token);
}

void bb_completed(bb_worker *worker) {
    bb_queue *q = worker->q;
    if (is_gone(q)) return;
    void *token = queue_lock(q);
    end_completing(worker);
    unlock_and_wake(q, token);
}

void bb_failed(bb_worker *worker) {
    if (is_gone(worker->q)) return;
    worker->open.failed = true; /* read by this thread alone */
}

/* Without the mutex: a caller of bb_running holds the host's lock, as this thread does. */
void bb_let_go(bb_worker *worker) {
    if (!host.parallel || is_gone(worker->q)) {
        worker->open.event = NULL;
        return;
    }
    void *token = queue_lock(worker->q);
    worker->open.event = NULL;
    queue_unlock(worker->q, token);
}

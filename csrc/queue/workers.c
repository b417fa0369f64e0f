/* workers.c: workers that come and go, and the deliveries that they take. */
#include "internal.h"

#include <stdlib.h>

/* ---- coming and going ---------------------------------------------------------------------- */

int32_t bb_resize(bb_queue *q, int32_t n) {
    if (is_gone(q)) return BB_GONE;
    int32_t missing = BB_CLOSED;
    void *token = queue_lock(q);
    if (q->state != BB_SHUT) {
        q->wanted = n;
        missing = n - q->present - q->starting;
        if (missing < 0) {
            missing = 0;
            bb_cond_broadcast(&q->work); /* the surplus may sleep */
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
    q->starting--;
    bool needed = q->state != BB_SHUT && q->present < q->wanted;
    if (worker != NULL && needed && q->present < BB_MAX_WORKERS) {
        worker->q = q;
        worker->thread = thread;
        worker->native = bb_native_thread();
        worker->since = bb_clock();
        worker->place = q->present;
        q->workers[q->present++] = worker;
    } else {
        free(worker);
        worker = NULL;
        note_if_all_wait(q);
    }
    queue_unlock(q, token);
    return worker;
}

void bb_worker_failed(bb_queue *q) {
    if (is_gone(q)) return;
    void *token = queue_lock(q);
    q->starting--;
    note_if_all_wait(q);
    queue_unlock(q, token);
}

static void remove_worker(bb_worker *worker) {
    bb_queue *q = worker->q;
    bb_worker *last = q->workers[--q->present];
    q->workers[worker->place] = last;
    last->place = worker->place;
    free(worker);
}

/* ---- one delivery -------------------------------------------------------------------------- */

/* Finish the open delivery, if any; returns the reading of the thread's CPU time, 0 if there was
 * none. */
static uint64_t finish(bb_queue *q, bb_worker *worker, uint64_t now) {
    open_delivery *open = &worker->open;
    if (!open->open) return 0;
    open->open = false;
    count_processed(q, open->level, open->type, open->recipient, open->failed);
    uint64_t cpu_now = 0;
    if (q->monitoring) {
        uint64_t wall = elapsed(open->began, now);
        roll_histograms(q, now);
        record_processing(q, open->recipient, wall, cpu_since(open->cpu, wall, &cpu_now));
        worker->busy += wall;
    }
    note_if_idle(q);
    return cpu_now;
}

/* Take the next delivery of a queue that is not empty. `cpu`: the thread's CPU time, if known. */
static void begin(bb_queue *q, bb_worker *worker, bb_delivery *out, uint64_t now, uint64_t cpu) {
    dequeued taken = dequeue(q, next_level(q, now));
    *out = taken.delivery;
    bb_recipient *r = taken.delivery.recipient;
    worker->number++;
    worker->open = (open_delivery){
        .event = taken.delivery.event,
        .recipient = r,
        .began = now,
        .level = taken.level,
        .type = taken.type,
        .open = true,
    };
    q->running++;
    q->by_level[taken.level].taken++;
    q->by_type[taken.type].taken++;
    r->tally.taken++;
    q->congested = false;
    if (q->queued <= q->capacity / 2) q->streak = false;
    if (q->monitoring) {
        worker->open.cpu = cpu_to_begin(r, cpu);
        roll_histograms(q, now);
        record_duration(&q->queue_wait, elapsed(taken.accepted, now));
        sample_depth(q, now);
    }
}

/* Give the room that a delivery left to the publishers in line. */
static void pass_on_room(bb_queue *q, uint64_t now) {
    if (q->waiting > 0) {
        q->moved = q->timed ? now : bb_clock();
        q->restarts = 0;
        admit_waiters(q, now);
    }
    if (q->unnotified.head != NULL) notify_admitted(q, q->timed ? now : bb_clock());
}

/* ---- taking -------------------------------------------------------------------------------- */

/* A drain that no thread outside waits for (stop was called by a handler) ends here. */
static void end_drain_in_time(bb_queue *q) {
    if (q->state != BB_DRAINING || q->deadline == 0 || bb_clock() < q->deadline) return;
    q->state = BB_SHUT;
    wake_everyone(q);
}

/* Threads that have not entered do not count: they are turned away when they do. */
static bool has_surplus(const bb_queue *q) { return q->present > q->wanted; }

/* Sleep until there is work or an end. Between waking up and taking, the host has to be
 * re-attached, without the mutex, so another worker may be faster: the caller looks again. */
static void sleep_until_work(bb_queue *q) {
    void *token = host_detach();
    bb_mutex_lock(&q->mutex);
    while (q->queued == 0 && q->state != BB_SHUT && !has_surplus(q)) {
        bool until_deadline = q->state == BB_DRAINING && q->deadline != 0;
        q->sleepers++;
        if (until_deadline) bb_cond_wait_until(&q->work, &q->mutex, q->deadline);
        else bb_cond_wait(&q->work, &q->mutex);
        q->sleepers--;
        if (q->queued == 0) q->waking = false; /* woken for nothing: let others be woken */
        end_drain_in_time(q);
    }
    bb_mutex_unlock(&q->mutex);
    host_attach(token);
}

static bb_took take(bb_worker *worker, bb_delivery *out, bool may_sleep) {
    bb_queue *q = worker->q;
    if (is_gone(q)) return BB_LEAVE;
    bool woken = false;
    uint64_t reading = read_if(q, q->timed);
    void *token = queue_lock(q);
    uint64_t now = time_of(q, reading), cpu = finish(q, worker, now);
    for (;; woken = true) {
        if (woken) q->waking = false;
        end_drain_in_time(q);
        if (q->state == BB_SHUT || has_surplus(q)) break;
        if (q->queued > 0) {
            begin(q, worker, out, now, cpu);
            pass_on_room(q, now);
            unlock_and_wake(q, token);
            return BB_TOOK;
        }
        queue_unlock(q, token);
        if (!may_sleep) return BB_NOTHING;
        sleep_until_work(q);
        cpu = 0; /* of before the sleep */
        reading = read_if(q, q->timed);
        token = queue_lock(q);
        now = time_of(q, reading);
    }
    remove_worker(worker);
    note_if_all_wait(q);
    unlock_and_wake(q, token);
    return BB_LEAVE;
}

bb_took bb_take(bb_worker *worker, bb_delivery *out) { return take(worker, out, true); }
bb_took bb_try_take(bb_worker *worker, bb_delivery *out) { return take(worker, out, false); }

void bb_failed(bb_worker *worker) {
    if (is_gone(worker->q)) return;
    worker->open.failed = true; /* read by this thread alone */
}

/* Without the mutex: who asks what runs holds the host's lock, as this thread does. */
void bb_let_go(bb_worker *worker) {
    if (!host.parallel || is_gone(worker->q)) {
        worker->open.event = NULL;
        return;
    }
    void *token = queue_lock(worker->q);
    worker->open.event = NULL;
    queue_unlock(worker->q, token);
}

/* ---- looking ------------------------------------------------------------------------------- */

int32_t bb_running(bb_queue *q, bb_open_delivery *out, int32_t n,
                   void (*hold)(const bb_open_delivery *)) {
    if (is_gone(q)) return 0;
    int32_t found = 0;
    bb_mutex_lock(&q->mutex); /* without detaching: nobody who holds it waits for the host's lock */
    uint64_t now = time_if(q, q->monitoring);
    for (int32_t w = 0; w < q->present && found < n; w++) {
        const bb_worker *worker = q->workers[w];
        if (!worker->open.open || worker->open.event == NULL) continue;
        out[found++] = (bb_open_delivery){
            .event = worker->open.event,
            .recipient = worker->open.recipient,
            .thread = worker->thread,
            .ns = elapsed(worker->open.began, now),
            .number = worker->number,
        };
    }
    for (const bb_caller *c = q->callers; c != NULL && found < n; c = c->next)
        out[found++] = (bb_open_delivery){
            .event = c->event,
            .recipient = c->recipients[c->count - c->remaining],
            .thread = c->thread,
            .ns = elapsed(c->since, now),
            .number = c->number,
        };
    for (int32_t i = 0; i < found && hold != NULL; i++) hold(&out[i]);
    bb_mutex_unlock(&q->mutex);
    return found;
}

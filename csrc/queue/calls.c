/* calls.c: the calls of grouped subscriptions, of one delivery or a batch.
 *
 * Guarantees
 * - A call counts once for its lane and its group, however many deliveries it has; each of its
 *   deliveries is counted for itself, with an equal share of the time.
 * - A delivery that is to be retried goes from running to queued in the step that ends the call, so
 *   that published = processed + dropped + queued + running at every moment.
 */
#include "internal.h"

void begin_call(bb_queue *q, bb_parked *p) {
    p->retry = false;
    lane_begins(q, p->lane);
}

/* ---- batches ------------------------------------------------------------------------------- */

static bool has_expired(const bb_queue *q, const bb_parked *p) {
    const bb_ticket *ticket = bb_ticket_of(p->event);
    return ticket->expires != 0 && p->attempt == 0 && clock_of(q) >= ticket->expires;
}

/* What goes into the worker's call next; NULL: nothing now. One that has expired stays where it is,
 * and ends the batch. */
static bb_parked *next_to_add(const bb_queue *q, const bb_worker *worker, int32_t n) {
    if (worker->open.more_count >= n || q->state == BB_SHUT) return NULL;
    bb_parked *p = next_of_batch(worker->open.parked->lane);
    return p != NULL && !has_expired(q, p) ? p : NULL;
}

static void add_to_call(bb_queue *q, bb_worker *worker, bb_parked *p, uint64_t now) {
    if (bb_ticket_of(p->event)->expires != 0 && p->attempt == 0) q->expiring--;
    unpark(q, p);
    unblock(q, p->lane->group); /* it may have been the last of another level */
    q->queued--;
    p->retry = false;
    count_taken(q, p->level, p->type, p->recipient);
    note(q, BB_NOTED_BEGAN, p->event, p->recipient, p->type, p->level, now);
    if (q->monitoring) record_duration(&q->queue_wait, elapsed(p->accepted, now));
    worker->open.more[worker->open.more_count++] =
        (bb_delivery){p->event, p->recipient, p, p->depth};
}

/* Add what is there. Each frees a slot for a waiting publisher, whose event may be the next. */
static void add_available(bb_queue *q, bb_worker *worker, int32_t n) {
    uint64_t now = time_if(q, q->timed);
    for (bb_parked *p; (p = next_to_add(q, worker, n)) != NULL;) {
        add_to_call(q, worker, p, now);
        admit_and_notify(q, now);
    }
}

/* Whether more can arrive for the batch, and may be waited for. */
static bool can_fill(const bb_queue *q, const bb_worker *worker, int32_t n) {
    return worker->open.more_count < n && q->state == BB_OPEN &&
           next_of_batch(worker->open.parked->lane) == NULL;
}

static void wait_to_fill(bb_queue *q, bb_worker *worker, int32_t n, uint64_t deadline) {
    bb_lane *lane = worker->open.parked->lane;
    begin_filling(q, lane);
    for (add_available(q, worker, n); can_fill(q, worker, n) && clock_of(q) < deadline;
         add_available(q, worker, n)) {
        signal_workers(q); /* what publishers were admitted with may be for others */
        queue_wait_until(q, &q->fill, deadline);
    }
    end_filling(q, lane);
}

int32_t bb_take_more(bb_worker *worker, bb_delivery *out, int32_t n, int64_t wait_ns) {
    bb_queue *q = worker->q;
    if (is_gone(q) || worker->open.parked == NULL) return 0;
    worker->open.more = out;
    void *token = queue_lock(q);
    add_available(q, worker, n);
    if (wait_ns > 0 && can_fill(q, worker, n)) {
        queue_unlock(q, token);
        token = queue_lock_detached(q);
        wait_to_fill(q, worker, n, deadline_after(q, wait_ns));
    }
    int32_t found = worker->open.more_count;
    unlock_and_wake(q, token);
    return found;
}

int32_t bb_try_take_more(bb_worker *worker, bb_delivery *out, int32_t n, uint64_t until) {
    bb_queue *q = worker->q;
    if (is_gone(q) || worker->open.parked == NULL) return 0;
    worker->open.more = out;
    bb_lane *lane = worker->open.parked->lane;
    void *token = queue_lock(q);
    add_available(q, worker, n);
    bool fills = clock_of(q) < until && can_fill(q, worker, n);
    if (fills && !worker->fills) begin_filling(q, lane);
    if (!fills && worker->fills) end_filling(q, lane);
    worker->fills = fills;
    int32_t found = fills ? BB_NOTHING : worker->open.more_count;
    unlock_and_wake(q, token);
    return found;
}

/* ---- the end ------------------------------------------------------------------------------- */

void bb_retry(bb_worker *worker, bb_parked *parked) {
    if (is_gone(worker->q)) return;
    parked->retry = true; /* read by this thread alone */
}

static bb_parked *nth(const open_delivery *open, int32_t i) {
    return i == 0 ? open->parked : open->more[i - 1].parked;
}

int32_t bb_call_level(const bb_worker *worker, int32_t i) {
    const open_delivery *open = &worker->open;
    if (is_gone(worker->q) || !open->open || i < 0 || i > open->more_count) return 0;
    return 1 + (i == 0 ? open->level : nth(open, i)->level);
}

uint64_t first_of_call(const open_delivery *open) {
    uint64_t first = open->sequence;
    for (int32_t i = 1; i <= open->more_count; i++)
        if (nth(open, i)->sequence < first) first = nth(open, i)->sequence;
    return first;
}

/* The last first: those of a serial lane return to its front. */
static void queue_retries(bb_queue *q, const open_delivery *open) {
    for (int32_t i = open->more_count; i >= 0; i--) {
        bb_parked *p = nth(open, i);
        if (!p->retry) continue;
        count_retried(q, p->level, p->type, p->recipient);
        delay(q, p);
    }
}

/* The end of a call of a grouped subscription. */
uint64_t finish_call(bb_queue *q, bb_worker *worker, uint64_t now) {
    ASSERT_LOCKED(q);
    open_delivery *open = &worker->open;
    uint64_t wall = elapsed(open->began, now), cpu_now = 0;
    uint64_t n = 1 + (uint64_t)open->more_count, cpu = 0;
    if (!worker->detached) cpu = cpu_since(open->cpu, wall, &cpu_now);
    bb_lane *lane = open->parked->lane;
    open->open = false;
    if (q->monitoring) {
        roll_histograms(q, now);
        worker->busy += wall;
    }
    for (int32_t i = 0; i <= open->more_count; i++) {
        bb_parked *p = nth(open, i);
        bb_noted what = p->retry       ? BB_NOTED_RETRIED
                        : open->failed ? BB_NOTED_FAILED
                                       : BB_NOTED_HANDLED;
        note(q, what, p->event, p->recipient, p->type, p->level, now);
        if (p->retry) continue;
        end_parked(q, p);
        count_processed(q, p->level, p->type, p->recipient, open->failed);
        if (q->monitoring && worker->detached) record_detached(q, p->recipient, wall);
        else if (q->monitoring) record_processing(q, p->recipient, wall / n, cpu / n);
    }
    queue_retries(q, open);
    open->parked = NULL; /* what it points to may be freed as soon as the mutex is released */
    lane_ends(q, lane);
    signal_if_idle(q);
    return cpu_now;
}

void bb_due(bb_queue *q, bb_parked *parked) {
    if (is_gone(q)) return;
    void *token = queue_lock(q);
    end_delay(q, parked);
    wake_if_all_wait(q); /* it may be behind a limit */
    unlock_and_wake(q, token);
}

/* items.c: a queue without workers, from which threads get items themselves.
 *
 * An item is an event with one delivery, and has ended as soon as it is taken. Publishers that find
 * no free slot wait as in any other queue (bb_waiter_join).
 *
 * Guarantees
 * - No lost wake-up. Threads that wait for an item count as idle workers, and the rules of
 *   workers.c hold for them: one wake-up is in flight at a time, and the thread that takes wakes
 *   the next.
 * - Items leave the queue only while the host is attached. So a garbage collector that holds the
 *   host can traverse the queue twice (bb_visit) and finds all it has found before.
 * - `tasks` that are unfinished are items that were accepted, neither discarded nor reported as
 *   done.
 * - A publisher whose item was admitted is notified without delay: the program that uses such a
 *   queue may wait for it. One at a time, as each notifies the next.
 *
 * What does not work, or was tried
 * - notify_admitted, as for workers: a publisher returned up to a second after its item was
 *   admitted, if no other item was taken.
 * - To sleep and to take in one call: the item would be taken without the host. Hence two calls, of
 *   which the second says that the first has returned (`woken`).
 */
#include "internal.h"

#include <stdlib.h>

/* ---- putting ------------------------------------------------------------------------------- */

#define FIRST_SLOTS 64

/* A slot for one more item, of a queue that allocates its slots as they are needed. */
static bool ensure_slot(bb_queue *q) {
    if (q->queued < q->slot_count) return true;
    int32_t more = q->slot_count > FIRST_SLOTS ? q->slot_count : FIRST_SLOTS;
    int32_t limit = q->capacity - q->slot_count;
    return grow_slots(q, q->slot_count + (more < limit ? more : limit));
}

int32_t bb_put(bb_queue *q, const bb_route *route, void *const *items, int32_t n) {
    if (is_gone(q)) return BB_GONE;
    assert(route->count == 1);
    int32_t accepted = 0;
    bool memory = true;
    void *token = queue_lock(q);
    bool open = is_open_to(q, BB_OUTSIDE);
    assert(q->waiting == 0 || q->queued >= q->capacity); /* so no waiter is overtaken */
    while (open && accepted < n && q->queued < q->capacity && (memory = ensure_slot(q)))
        enqueue(q, route, items[accepted++], 0, 0);
    unlock_and_wake(q, token);
    if (!open) return BB_CLOSED;
    return accepted > 0 || memory ? accepted : BB_NO_MEMORY;
}

/* Publishers wait only while there are `capacity` items or more, so there are slots for those that
 * are admitted when items are taken. A larger capacity admits them now. */
bb_result bb_set_capacity(bb_queue *q, int32_t capacity) {
    if (is_gone(q)) return BB_GONE;
    assert(capacity >= 1);
    void *token = queue_lock(q);
    int32_t needed = q->queued + q->waiting < capacity ? q->queued + q->waiting : capacity;
    bb_result result = ensure_slots(q, needed) ? BB_ACCEPTED : BB_NO_MEMORY;
    if (result == BB_ACCEPTED) {
        q->capacity = capacity;
        if (q->waiting > 0) admit_waiters(q, 0);
        notify_next(q);
    }
    unlock_and_wake(q, token);
    return result;
}

/* ---- getting ------------------------------------------------------------------------------- */

static void *take_item(bb_queue *q) {
    dequeued taken = dequeue_slot(q, bb_highest_bit(q->nonempty));
    count_taken(q, taken.level, taken.type, taken.delivery.recipient);
    count_processed(q, taken.level, taken.type, taken.delivery.recipient, false);
    return taken.delivery.event;
}

int32_t bb_get(bb_queue *q, void **out, int32_t n, int32_t woken) {
    if (is_gone(q)) return BB_GONE;
    int32_t found = 0;
    queue_lock_attached(q); /* no thread waits for the host while it holds the mutex */
    if (woken) q->waking = false;
    bool shut = q->state == BB_SHUT;
    while (!shut && found < n && q->queued > 0) {
        out[found++] = take_item(q);
        if (q->waiting > 0) admit_waiters(q, 0);
    }
    notify_next(q);
    if (found > 0) signal_if_idle(q);
    unlock_and_wake(q, NULL);
    return shut ? BB_CLOSED : found;
}

int32_t bb_wait_item(bb_queue *q, uint64_t until) {
    if (is_gone(q)) return 1;
    void *token = queue_lock_detached(q);
    while (q->queued == 0 && q->state != BB_SHUT && clock_of(q) < until) {
        q->idle_workers++;
        queue_wait_until(q, &q->work, until);
        q->idle_workers--;
        if (q->queued == 0) q->waking = false; /* another was faster, or it was not for this one */
    }
    int32_t found = q->queued > 0 || q->state == BB_SHUT;
    queue_unlock(q, token);
    return found;
}

int32_t bb_take_back(bb_queue *q, void **out, int32_t n) {
    if (is_gone(q)) return 0;
    int32_t found = 0;
    queue_lock_attached(q);
    while (q->state == BB_SHUT && found < n && q->queued > 0) {
        dequeued taken = dequeue_slot(q, bb_highest_bit(q->nonempty));
        count_dropped(q, taken.level, taken.type, taken.delivery.recipient, BB_WHY_SHUTDOWN);
        out[found++] = taken.delivery.event;
    }
    if (found > 0) signal_if_idle(q);
    queue_release(q);
    return found;
}

int32_t bb_visit(bb_queue *q, int32_t (*visit)(void *item, void *argument), void *argument) {
    if (is_gone(q)) return 0;
    int32_t status = 0;
    queue_lock_attached(q);
    for (int32_t level = q->levels - 1; level >= 0 && status == 0; level--) {
        if (!(q->nonempty >> level & 1)) continue;
        for (int32_t i = q->level[level].head; i >= 0 && status == 0; i = q->slots[i].next)
            status = visit(q->slots[i].event, argument);
    }
    queue_release(q);
    return status;
}

/* ---- tasks --------------------------------------------------------------------------------- */

static int64_t unfinished(const bb_queue *q) {
    ASSERT_LOCKED(q);
    uint64_t ended = q->tasks_done;
    for (int32_t level = 0; level < q->levels; level++)
        ended += q->dropped_by[BB_WHY_SHUTDOWN][level];
    return q->sequence > ended ? (int64_t)(q->sequence - ended) : 0;
}

int64_t bb_unfinished(bb_queue *q) {
    if (is_gone(q)) return 0;
    void *token = queue_lock(q);
    int64_t n = unfinished(q);
    queue_unlock(q, token);
    return n;
}

int32_t bb_task_done(bb_queue *q) {
    if (is_gone(q)) return 0;
    void *token = queue_lock(q);
    int32_t counts = unfinished(q) > 0;
    q->tasks_done += (uint64_t)counts;
    if (unfinished(q) == 0) bb_cond_broadcast(&q->idle);
    queue_unlock(q, token);
    return counts;
}

int32_t bb_wait_tasks(bb_queue *q, int64_t timeout_ns) {
    if (is_gone(q)) return 1;
    void *token = queue_lock_detached(q);
    uint64_t deadline = deadline_after(q, timeout_ns);
    while (unfinished(q) > 0 && clock_of(q) < deadline) {
        q->idle_waiters++; /* what is discarded ends tasks, too */
        queue_wait_until(q, &q->idle, deadline);
        q->idle_waiters--;
    }
    int32_t finished = unfinished(q) == 0;
    queue_unlock(q, token);
    return finished;
}

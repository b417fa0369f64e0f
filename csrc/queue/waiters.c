/* waiters.c: publishers that wait for free slots, and wake-ups.
 *
 * A publisher that finds no free slots joins the wait queue of its level. When a worker frees
 * slots, it admits waiters: it enqueues their events itself and later notifies, that is, wakes,
 * their threads.
 *
 * Guarantees
 * - Waiters are admitted by level, first come first served within it, and publishing handlers
 *   before all others.
 * - The worker that frees slots enqueues the event of the first waiter itself: no thundering herd,
 *   no slot taken by a publisher that came later, and a publisher that is slow to wake delays no
 *   other.
 * - An admitted publisher is notified even if no worker takes any more: each one that returns
 *   notifies the next.
 * - A waiter without a thread (unattended.c) takes its turn all the same, and no notification,
 *   which it would not pass on.
 * - Finding a waiter takes no search: its publisher holds a pointer to it.
 *
 * tests/c/model checks the protocol in all interleavings of small settings.
 *
 * Notifying costs more than handling an event. Publishers are therefore notified together: when a
 * quarter of the capacity is free or the queue is empty, or NOTIFY_INTERVAL_NS after the last were.
 *
 * What does not work, or was tried (4 publishers and 4 workers at a full queue, handlers of which
 * 70 % wait; p99 of publish, CPU time per event)
 * - Notifying once no worker has taken for 100 us: 1,440 us, 22 us; workers that take every 40 us
 *   never trigger it.
 * - Notifying 30 or 100 us after the last: 476 and 450 us, but 37 and 33 us of CPU time; 300 us, as
 *   it is now: 528 us, 27 us.
 * - 300 us after the first was admitted, or once no worker has taken for 100 us: 596 us, 25 us;
 *   one more rule for no gain. 500 us likewise: 802 us, 27 us.
 * - Waking one publisher at each take, as `queue.Queue` does: 900 us, 33 us.
 */
#include "internal.h"

#include <stdlib.h>

/* This many slots must be free, or publishers admitted, before they are notified. */
#define NOTIFY_BATCH(q) ((q)->capacity / 4 + 1)

#define NOTIFY_INTERVAL_NS 300000u

/* ---- the lists ----------------------------------------------------------------------------- */

static void append(wait_list *list, bb_waiter *waiter) {
    assert(waiter->list == NULL);
    waiter->list = list;
    waiter->next = NULL;
    waiter->prev = list->tail;
    if (list->tail != NULL) list->tail->next = waiter;
    else list->head = waiter;
    list->tail = waiter;
    list->count++;
}

static void unlink_waiter(bb_waiter *waiter) {
    wait_list *list = waiter->list;
    assert(list != NULL && list->count > 0);
    if (waiter->prev != NULL) waiter->prev->next = waiter->next;
    else list->head = waiter->next;
    if (waiter->next != NULL) waiter->next->prev = waiter->prev;
    else list->tail = waiter->prev;
    list->count--;
    waiter->list = NULL;
}

void remove_waiter(bb_waiter *waiter) {
    bb_queue *q = waiter->q;
    int32_t level = waiter->route->level - 1;
    ASSERT_LOCKED(q);
    assert(q->waiting > 0 && waiter->list == &q->wait_queue[waiter->handler][level]);
    unlink_waiter(waiter);
    if (q->wait_queue[waiter->handler][level].head == NULL)
        q->waiting_levels[waiter->handler] &= ~(1u << level);
    q->waiting--;
}

/* The waiter to be admitted next; NULL: none. */
static bb_waiter *first_waiter(const bb_queue *q) {
    bool handler = q->waiting_levels[1] != 0;
    if (q->waiting_levels[handler] == 0) return NULL;
    return q->wait_queue[handler][bb_highest_bit(q->waiting_levels[handler])].head;
}

/* Whether some waiter would be admitted before a publisher at `level` that joined now. */
bool has_waiters_before(const bb_queue *q, int32_t level, bool handler) {
    ASSERT_LOCKED(q);
    assert(level >= 1 && level <= q->levels);
    if (!handler && q->waiting_levels[1] != 0) return true;
    return q->waiting_levels[handler] >> (level - 1) != 0;
}

static void notify(bb_waiter *waiter) {
    ASSERT_LOCKED(waiter->q);
    assert(waiter->admitted && !waiter->notified && waiter->list == &waiter->q->unnotified);
    unlink_waiter(waiter);
    append(&waiter->q->notified, waiter);
    waiter->notified = true;
    bb_cond_signal(&waiter->wake);
}

/* Notify an admitted publisher, unless one is on its way already, which notifies the next. */
void notify_next(bb_queue *q) {
    ASSERT_LOCKED(q);
    if (q->notified.head == NULL && q->unnotified.head != NULL) notify(q->unnotified.head);
}

/* End a wait and free the waiter; true: its event had been admitted. A publisher that returns
 * notifies the next. */
bool finish_wait(bb_waiter *waiter) {
    bb_queue *q = waiter->q;
    bool admitted = waiter->admitted;
    ASSERT_LOCKED(q);
    assert(!(admitted && waiter->rejected));
    if (!admitted && !waiter->rejected) remove_waiter(waiter);
    else if (waiter->list != NULL) unlink_waiter(waiter); /* it was to be notified, or was */
    bb_cond_destroy(&waiter->wake);
    free(waiter);
    notify_next(q);
    return admitted;
}

/* ---- admission ----------------------------------------------------------------------------- */

/* Slots may have been freed: admit waiting publishers. */
void admit_waiters(bb_queue *q, uint64_t now) {
    ASSERT_LOCKED(q);
    bb_waiter *first;
    while ((first = first_waiter(q)) != NULL && fits(q, first->route->count, first->handler)) {
        remove_waiter(first);
        if (!first->unattended) append(&q->unnotified, first);
        first->admitted = true;
        enqueue(q, first->route, first->event, first->depth, now);
    }
}

/* Notify the admitted publishers if it is time; called by each worker that takes. */
void notify_admitted(bb_queue *q, uint64_t now) {
    ASSERT_LOCKED(q);
    bool due = elapsed(q->last_notified, now) >= NOTIFY_INTERVAL_NS;
    bool part_free = q->queued + NOTIFY_BATCH(q) <= q->capacity;
    if (!due && !part_free && q->unnotified.count < NOTIFY_BATCH(q) && q->queued > 0) return;
    while (q->unnotified.head != NULL) notify(q->unnotified.head);
    q->last_notified = now;
}

/* ---- waiting ------------------------------------------------------------------------------- */

/* A waiter at the end of its wait queue; NULL without memory. */
static bb_waiter *add_waiter(bb_queue *q, const bb_route *route, void *event, int32_t depth,
                             bb_origin origin, int32_t limited) {
    ASSERT_LOCKED(q);
    bb_waiter *waiter = calloc(1, sizeof *waiter);
    if (waiter == NULL) return NULL;
    if (!ensure_slots(q, route->count) || !bb_cond_init(&waiter->wake)) {
        free(waiter);
        return NULL;
    }
    waiter->q = q;
    waiter->route = route;
    waiter->event = event;
    waiter->depth = depth;
    waiter->origin = origin;
    waiter->handler = origin != BB_OUTSIDE;
    waiter->limited = limited != BB_BY_RULE;
    waiter->unattended = limited == BB_UNATTENDED;
    waiter->since = clock_of(q);
    note(q, BB_NOTED_WAITED, event, NULL, route->type, route->level - 1, waiter->since);
    if (q->waiting == 0) q->restarts = 0;
    append(&q->wait_queue[waiter->handler][route->level - 1], waiter);
    q->waiting_levels[waiter->handler] |= 1u << (route->level - 1);
    q->waiting++;
    return waiter;
}

bb_result bb_waiter_join(bb_queue *q, const bb_route *route, void *event, int32_t depth,
                         bb_origin origin, int32_t limited, bb_waiter **waiter) {
    *waiter = NULL;
    if (is_gone(q)) return BB_GONE;
    bool handler = origin != BB_OUTSIDE;
    bb_result result;
    void *token = queue_lock(q);
    if (handler) settle_lanes(q); /* for all_workers_wait */
    if (!is_open_to(q, origin)) {
        result = BB_CLOSED;
    } else if (fits(q, route->count, handler) && !has_waiters_before(q, route->level, handler)) {
        result = ensure_slots(q, q->queued + route->count) ? BB_ACCEPTED : BB_NO_MEMORY;
        if (result == BB_ACCEPTED) enqueue(q, route, event, depth, time_if(q, q->timed));
    } else if ((q->congested && !limited) || (handler && all_workers_wait(q))) {
        result = BB_FULL;
    } else {
        *waiter = add_waiter(q, route, event, depth, origin, limited);
        result = *waiter != NULL ? BB_WAITING : BB_NO_MEMORY;
    }
    unlock_and_wake(q, token);
    return result;
}

/* Call `action` for each waiter that was not admitted; it may remove the waiter from its list. */
static void for_each_waiter(bb_queue *q, void (*action)(bb_waiter *)) {
    for (int32_t handler = 0; handler < 2; handler++) {
        for (int32_t level = 0; level < q->levels; level++) {
            bb_waiter *next;
            for (bb_waiter *w = q->wait_queue[handler][level].head; w != NULL; w = next) {
                next = w->next;
                action(w);
            }
        }
    }
}

static void wake(bb_waiter *waiter) { bb_cond_signal(&waiter->wake); }

void wake_waiters(bb_queue *q) { for_each_waiter(q, wake); }

static bb_result wait_for_slots(bb_queue *q, bb_waiter *waiter, uint64_t until) {
    uint64_t now = clock_of(q);
    bool late = false;
    while (!waiter->notified && !waiter->rejected) {
        if (!waiter->admitted && apply_standstill_rule(q, waiter, now, late)) return BB_FULL;
        if (now >= until) break;
        uint64_t slice = slice_for(q, waiter), planned = now + slice;
        if (planned > until) planned = until;
        queue_wait_until(q, &waiter->wake, planned);
        now = clock_of(q);
        late = elapsed(planned, now) > slice / 2 + 2000000u;
        if (waiter->admitted && now >= planned) break; /* not notified so far */
    }
    if (waiter->admitted) return BB_ACCEPTED;
    return waiter->rejected ? BB_CLOSED : BB_WAITING;
}

bb_result bb_waiter_wait(bb_waiter *waiter, uint64_t until) {
    bb_queue *q = waiter->q;
    if (is_gone(q)) return BB_GONE;
    void *token = queue_lock_detached(q);
    bb_result result = wait_for_slots(q, waiter, until);
    unlock_and_wake(q, token);
    return result;
}

uint64_t bb_waiter_quiet(bb_waiter *waiter) {
    bb_queue *q = waiter->q;
    if (is_gone(q)) return 0;
    void *token = queue_lock(q);
    uint64_t since = q->last_progress > waiter->since ? q->last_progress : waiter->since;
    queue_unlock(q, token);
    return elapsed(since, clock_of(q));
}

int32_t bb_waiter_leave(bb_waiter *waiter) {
    bb_queue *q = waiter->q;
    if (is_gone(q)) return 0;
    void *token = queue_lock(q);
    bool admitted = finish_wait(waiter);
    if (!admitted) admit_waiters(q, time_if(q, q->timed));
    unlock_and_wake(q, token);
    return admitted;
}

/* One worker fewer can take: if none is left, waiting handlers would wait for ever. Wake them, so
 * that they see it. */
void wake_if_all_wait(bb_queue *q) {
    ASSERT_LOCKED(q);
    if (q->waiting_levels[1] == 0) return;
    settle_lanes(q);
    if (all_workers_wait(q)) wake_waiters(q);
}

void bb_worker_waits(bb_worker *worker, int32_t waits) {
    bb_queue *q = worker->q;
    if (is_gone(q)) return;
    void *token = queue_lock(q);
    q->blocked += waits ? 1 : -1;
    assert(q->blocked >= 0);
    wake_if_all_wait(q);
    queue_unlock(q, token);
}

/* ---- waking -------------------------------------------------------------------------------- */

/* Remove a waiter to which the queue is closed from its wait queue. */
static void reject(bb_waiter *waiter) {
    if (is_open_to(waiter->q, waiter->origin)) return;
    remove_waiter(waiter);
    waiter->rejected = true;
    wake(waiter);
}

/* The state changed: wake all sleepers so that they re-check it. */
void wake_all(bb_queue *q) {
    ASSERT_LOCKED(q);
    bb_cond_broadcast(&q->work);
    bb_cond_broadcast(&q->top_work);
    bb_cond_broadcast(&q->fill);
    bb_cond_broadcast(&q->idle);
    for_each_waiter(q, reject);
    while (q->unnotified.head != NULL) notify(q->unnotified.head);
}

typedef struct {
    bool one;          /* an idle worker is to be woken */
    bool reserved_one; /* that is reserved for the highest level */
} wake_ups;

/* A reserved worker is woken only where no other can take: an ordinary one wakes it if there is
 * more. */
static wake_ups begin_wake_ups(bb_queue *q) {
    settle_lanes(q); /* wake none for what no worker may take */
    uint32_t work = levels_with_work(q);
    wake_ups w = {.one = work != 0 && q->idle_workers > 0 && !q->waking};
    w.reserved_one = q->idle_reserved > 0 && !q->waking_reserved && !w.one && !q->waking &&
                     (work >> (q->levels - 1) & 1);
    if (w.one) q->waking = true;
    if (w.reserved_one) q->waking_reserved = true;
    return w;
}

static void send_wake_ups(bb_queue *q, wake_ups w) {
    if (w.one) bb_cond_signal(&q->work);
    if (w.reserved_one) bb_cond_signal(&q->top_work);
}

/* unlock_and_wake, while workers are idle. The signal is sent without the mutex, so that the woken
 * thread does not block on it, and before re-attaching to the host, which may take a while. */
void unlock_and_signal(bb_queue *q, void *token) {
    wake_ups w = begin_wake_ups(q);
    queue_release(q);
    send_wake_ups(q, w);
    host_attach(token);
}

/* The same for a thread that is about to sleep and keeps the mutex. */
void signal_workers(bb_queue *q) {
    ASSERT_LOCKED(q);
    send_wake_ups(q, begin_wake_ups(q));
}

/* If nothing is queued or running any more, wake the threads in bb_wait_idle; if the queue was
 * draining, it is shut now. */
void signal_idle(bb_queue *q) {
    ASSERT_LOCKED(q);
    if (q->barrier_waiters > 0) signal_barrier(q);
    if (!is_idle(q)) return;
    if (q->state == BB_DRAINING) {
        q->state = BB_SHUT;
        wake_all(q);
    } else if (q->idle_waiters > 0) {
        bb_cond_broadcast(&q->idle);
    }
}

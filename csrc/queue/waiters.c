/* waiters.c: who sleeps, and who wakes whom.
 *
 * Guarantees
 * - Publishers that wait are let in by level, first come first served within it, and handlers that
 *   publish before all others. The worker that makes room puts the event of the first in line into
 *   the queue itself: no thundering herd, no room stolen by a publisher that came later, and a
 *   publisher that is slow to wake holds up nobody.
 * - Finding a waiter takes no search: the publisher holds a pointer to its own.
 *
 * Notifying a publisher that was let in is a wake-up, and a wake-up costs more than handling an
 * event. Publishers are therefore notified together, when a good part of the queue is free again,
 * or when none has been notified for a while; and each that returns notifies the next, so that it
 * never rests on workers alone. Notifying by the time since a worker last took, instead of since
 * the last notification, made p99 of publish at a full queue three times as long: with that rule,
 * workers that take every 40 us never trigger a notification.
 *
 * Workers sleep on bb_queue.work.
 */
#include "internal.h"

#include <stdlib.h>

/* Let this much of the queue become free before publishers are woken: a quarter. */
#define GOOD_PART(q) ((q)->capacity / 4 + 1)

/* Wake publishers at least this often while there are any. 30 and 100 us are no better for them
 * (p99 of publish) and cost a tenth to a third more CPU time. */
#define PACE_NS 300000u

/* ---- the lists ----------------------------------------------------------------------------- */

static void append(wait_list *list, bb_waiter *waiter) {
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
    if (waiter->prev != NULL) waiter->prev->next = waiter->next;
    else list->head = waiter->next;
    if (waiter->next != NULL) waiter->next->prev = waiter->prev;
    else list->tail = waiter->prev;
    list->count--;
    waiter->list = NULL;
}

static void leave_line(bb_waiter *waiter) {
    bb_queue *q = waiter->q;
    int32_t level = waiter->route->level - 1;
    unlink_waiter(waiter);
    if (q->line[waiter->handler][level].head == NULL) q->lines[waiter->handler] &= ~(1u << level);
    q->waiting--;
}

/* The waiter to be let in first; NULL: none. */
static bb_waiter *first_waiter(const bb_queue *q) {
    bool handler = q->lines[1] != 0;
    if (q->lines[handler] == 0) return NULL;
    return q->line[handler][bb_highest_bit(q->lines[handler])].head;
}

/* Whether some waiter would be let in before a publisher at `level` that joined now. */
bool has_waiters_before(const bb_queue *q, int32_t level, bool handler) {
    if (!handler && q->lines[1] != 0) return true;
    return q->lines[handler] >> (level - 1) != 0;
}

static void notify(bb_waiter *waiter) {
    unlink_waiter(waiter);
    append(&waiter->q->notified, waiter);
    waiter->notified = true;
    bb_cond_signal(&waiter->wake);
}

/* End a wait and free the waiter; whether its event had been accepted. A publisher that returns
 * notifies the next. */
bool finish_wait(bb_waiter *waiter) {
    bb_queue *q = waiter->q;
    bool admitted = waiter->admitted;
    if (admitted) unlink_waiter(waiter);
    else if (!waiter->turned_away) leave_line(waiter);
    bb_cond_destroy(&waiter->wake);
    free(waiter);
    if (q->notified.head == NULL && q->unnotified.head != NULL) notify(q->unnotified.head);
    return admitted;
}

/* ---- letting in ---------------------------------------------------------------------------- */

/* Slots were freed: admit waiting publishers. */
void admit_waiters(bb_queue *q, uint64_t now) {
    bb_waiter *first;
    while ((first = first_waiter(q)) != NULL && has_room(q, first->route->count, first->handler)) {
        leave_line(first);
        append(&q->unnotified, first);
        first->admitted = true;
        enqueue(q, first->route, first->event, first->depth, now);
    }
}

/* Called by a worker that takes. */
void notify_admitted(bb_queue *q, uint64_t now) {
    bool due = elapsed(q->last_notified, now) >= PACE_NS;
    bool part_free = q->queued + GOOD_PART(q) <= q->capacity;
    if (!due && !part_free && q->unnotified.count < GOOD_PART(q) && q->queued > 0) return;
    while (q->unnotified.head != NULL) notify(q->unnotified.head);
    q->last_notified = now;
}

/* ---- waiting ------------------------------------------------------------------------------- */

/* A waiter at the end of its line; NULL without memory. */
static bb_waiter *join_line(bb_queue *q, const bb_route *route, void *event, int32_t depth,
                            bb_origin origin, bool limited) {
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
    waiter->limited = limited;
    waiter->since = bb_clock();
    if (q->waiting == 0) q->restarts = 0;
    append(&q->line[waiter->handler][route->level - 1], waiter);
    q->lines[waiter->handler] |= 1u << (route->level - 1);
    q->waiting++;
    return waiter;
}

bb_result bb_line_join(bb_queue *q, const bb_route *route, void *event, int32_t depth,
                       bb_origin origin, int32_t limited, bb_waiter **waiter) {
    *waiter = NULL;
    if (is_gone(q)) return BB_GONE;
    bool handler = origin != BB_OUTSIDE;
    bb_result result;
    void *token = queue_lock(q);
    if (!is_open_to(q, origin)) {
        result = BB_CLOSED;
    } else if (has_room(q, route->count, handler) &&
               !has_waiters_before(q, route->level, handler)) {
        result = ensure_slots(q, route->count) ? BB_ACCEPTED : BB_NO_MEMORY;
        if (result == BB_ACCEPTED) enqueue(q, route, event, depth, time_if(q, q->timed));
    } else if ((q->congested && !limited) || (handler && all_workers_wait(q))) {
        result = BB_FULL;
    } else {
        *waiter = join_line(q, route, event, depth, origin, limited != 0);
        result = *waiter != NULL ? BB_WAITING : BB_NO_MEMORY;
    }
    unlock_and_wake(q, token);
    return result;
}

/* Call `action` for each waiter in line, which it may take out. */
static void for_each_in_line(bb_queue *q, void (*action)(bb_waiter *)) {
    for (int32_t handler = 0; handler < 2; handler++) {
        for (int32_t level = 0; level < q->levels; level++) {
            bb_waiter *next;
            for (bb_waiter *w = q->line[handler][level].head; w != NULL; w = next) {
                next = w->next;
                action(w);
            }
        }
    }
}

static void wake(bb_waiter *waiter) { bb_cond_signal(&waiter->wake); }

void wake_line(bb_queue *q) { for_each_in_line(q, wake); }

static bb_result wait_in_line(bb_queue *q, bb_waiter *waiter, uint64_t until) {
    uint64_t now = bb_clock();
    bool late = false;
    while (!waiter->notified && !waiter->turned_away) {
        if (!waiter->admitted && at_standstill(q, waiter, now, late)) return BB_FULL;
        if (now >= until) break;
        uint64_t slice = slice_of(q, waiter), planned = now + slice;
        if (planned > until) planned = until;
        bb_cond_wait_until(&waiter->wake, &q->mutex, planned);
        now = bb_clock();
        late = elapsed(planned, now) > slice / 2 + 2000000u;
        if (waiter->admitted && now >= planned) break; /* let in, and not notified so far */
    }
    if (waiter->admitted) return BB_ACCEPTED;
    return waiter->turned_away ? BB_CLOSED : BB_WAITING;
}

bb_result bb_line_wait(bb_waiter *waiter, uint64_t until) {
    bb_queue *q = waiter->q;
    if (is_gone(q)) return BB_GONE;
    void *token = host_detach();
    bb_mutex_lock(&q->mutex);
    bb_result result = wait_in_line(q, waiter, until);
    unlock_and_wake(q, token);
    return result;
}

uint64_t bb_line_quiet(bb_waiter *waiter) {
    bb_queue *q = waiter->q;
    if (is_gone(q)) return 0;
    void *token = queue_lock(q);
    uint64_t since = q->moved > waiter->since ? q->moved : waiter->since;
    queue_unlock(q, token);
    return elapsed(since, bb_clock());
}

int32_t bb_line_leave(bb_waiter *waiter) {
    bb_queue *q = waiter->q;
    if (is_gone(q)) return 0;
    void *token = queue_lock(q);
    bool admitted = finish_wait(waiter);
    if (!admitted) admit_waiters(q, time_if(q, q->timed));
    unlock_and_wake(q, token);
    return admitted;
}

/* One worker fewer can take: if none is left, handlers in line would wait for ever. */
void note_if_all_wait(bb_queue *q) {
    if (all_workers_wait(q)) wake_line(q);
}

void bb_worker_waits(bb_worker *worker, int32_t waits) {
    bb_queue *q = worker->q;
    if (is_gone(q)) return;
    void *token = queue_lock(q);
    q->blocked += waits ? 1 : -1;
    note_if_all_wait(q);
    queue_unlock(q, token);
}

/* ---- waking -------------------------------------------------------------------------------- */

/* Take a waiter to which the queue is closed out of the line. */
static void turn_away(bb_waiter *waiter) {
    if (is_open_to(waiter->q, waiter->origin)) return;
    leave_line(waiter);
    waiter->turned_away = true;
    wake(waiter);
}

/* The state changed: wake all sleepers so that they look at it. */
void wake_everyone(bb_queue *q) {
    bb_cond_broadcast(&q->work);
    bb_cond_broadcast(&q->idle);
    for_each_in_line(q, turn_away);
    while (q->unnotified.head != NULL) notify(q->unnotified.head);
}

/* Unlock, and wake a worker if one sleeps while there is work and none is on its way. The signal
 * is sent without the mutex, so that the woken does not run into it, and before re-attaching to
 * the host, which may take a while. */
void unlock_and_wake(bb_queue *q, void *token) {
    bool wake = q->sleepers > 0 && !q->waking && q->queued > 0;
    if (wake) q->waking = true;
    bb_mutex_unlock(&q->mutex);
    if (wake) bb_cond_signal(&q->work);
    host_attach(token);
}

/* Nothing may be queued or running any more: wake those that wait for that, and if the queue was
 * draining, it is shut now. */
void note_if_idle(bb_queue *q) {
    if (q->queued > 0 || q->running > 0) return;
    if (q->state == BB_DRAINING) {
        q->state = BB_SHUT;
        wake_everyone(q);
    } else if (q->idle_waiters > 0) {
        bb_cond_broadcast(&q->idle);
    }
}

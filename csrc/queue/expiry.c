/* expiry.c: deliveries that have expired leave the queue before their turn.
 *
 * One that is taken too late is found by dequeue (levels.c). These here are looked for when a queue
 * is full, before its policy applies, so that nothing is evicted or refused for what nobody wants
 * any more. The search is linear in what is queued, but is made only if the first of the deliveries
 * that can expire has done so: `next_expiry` is a lower bound of their times. */
#include "internal.h"

/* Return whether a queued delivery has expired; if not, note when it does. */
static bool check_expiry(bb_queue *q, const void *event, const bb_parked *p, uint64_t now) {
    const bb_ticket *ticket = bb_ticket_of(event);
    if (ticket == NULL || ticket->expires == 0 || (p != NULL && p->attempt > 0)) return false;
    if (now >= ticket->expires) return true;
    if (ticket->expires < q->next_expiry) q->next_expiry = ticket->expires;
    return false;
}

static void drop_expired(bb_queue *q, dequeued taken, bb_delivery *out) {
    *out = taken.delivery;
    q->expiring--;
    count_dropped(q, taken.level, taken.type, taken.delivery.recipient, BB_WHY_EXPIRED);
    note(q, BB_NOTED_EXPIRED, out->event, out->recipient, taken.type, taken.level, 0);
}

/* The slot after `before`, or the first if that is -1, leaves its level. */
static dequeued dequeue_after(bb_queue *q, int32_t level, int32_t before) {
    level_list *list = &q->level[level];
    if (before >= 0) { /* it becomes the first */
        int32_t index = q->slots[before].next;
        q->slots[before].next = q->slots[index].next;
        if (list->tail == index) list->tail = before;
        q->slots[index].next = list->head;
        list->head = index;
    }
    return dequeue_slot(q, level);
}

static int32_t purge_slots(bb_queue *q, int32_t level, bb_delivery *out, int32_t n, uint64_t now) {
    int32_t found = 0, before = -1;
    int32_t index = q->nonempty >> level & 1 ? q->level[level].head : -1;
    while (index >= 0) {
        int32_t next = q->slots[index].next;
        if (!check_expiry(q, q->slots[index].event, NULL, now)) {
            before = index;
        } else if (found == n) {
            q->next_expiry = now; /* for the next call */
            before = index;
        } else {
            drop_expired(q, dequeue_after(q, level, before), &out[found++]);
        }
        index = next;
    }
    return found;
}

static int32_t purge_parked(bb_queue *q, int32_t level, bb_delivery *out, int32_t n, uint64_t now) {
    int32_t found = 0;
    for (bb_parked *p = q->oldest_parked[level], *next; p != NULL; p = next) {
        next = p->newer;
        if (p->place == BB_OPENED || !check_expiry(q, p->event, p, now)) continue;
        if (found == n) {
            q->next_expiry = now;
        } else {
            drop_expired(q, drop_parked(q, p), &out[found++]);
        }
    }
    return found;
}

int32_t bb_purge(bb_queue *q, bb_delivery *out, int32_t n) {
    if (is_gone(q)) return 0;
    int32_t found = 0;
    void *token = queue_lock(q);
    uint64_t now = q->expiring > 0 ? clock_of(q) : 0;
    if (q->expiring > 0 && now >= q->next_expiry) {
        q->next_expiry = UINT64_MAX;
        for (int32_t level = 0; level < q->levels; level++) {
            found += purge_slots(q, level, out + found, n - found, now);
            found += purge_parked(q, level, out + found, n - found, now);
        }
        if (found > 0) signal_if_idle(q);
        if (q->waiting > 0) admit_waiters(q, time_if(q, q->timed));
    }
    unlock_and_wake(q, token);
    return found;
}

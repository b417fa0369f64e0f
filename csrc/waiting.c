/* waiting.c: who sleeps, and who wakes whom.
 *
 * Workers sleep on ring.work. Publishers each sleep on a condition of their own, in a line that
 * is served first come, first served: the worker that frees room puts the event of the first in
 * line into the queue itself. So the line needs no thundering herd, room cannot be stolen by a
 * publisher that came later, and a publisher that is slow to wake costs nobody anything.
 *
 * Telling a publisher that it was let in is a wake-up, and a wake-up costs more than handling an
 * event. Publishers that were let in are therefore told together, when a good part of the queue
 * is free again, or when nobody has been told anything for a while: what a publisher waits must
 * not grow with the queue. Telling by the time since a worker last took, instead of since the last
 * telling, made p99 of publish at a full queue three times as long: workers that are neither fast
 * nor slow, and take every 40 us, then never come by seldom enough.
 */
#include "internal.h"

#include <stdlib.h>

/* Let this much of the queue become free before publishers are woken: a quarter. */
#define GOOD_PART(ring) ((ring)->capacity / 4 + 1)

/* Wake publishers at least this often while there are any. 30 and 100 us are no better for them (p99
 * of publish) and cost a tenth to a third more CPU time. */
#define PACE_NS 300000u

waiter *waiter_new(const route *route, int64_t handle) {
    waiter *waiter = calloc(1, sizeof *waiter);
    if (waiter == NULL) return NULL;
    if (!bb_cond_init(&waiter->admitted)) {
        free(waiter);
        return NULL;
    }
    waiter->route = route;
    waiter->handle = handle;
    return waiter;
}

void waiter_free(waiter *waiter) {
    bb_cond_destroy(&waiter->admitted);
    free(waiter);
}

waiter *waiter_find(const waiter_list *list, int64_t handle) {
    waiter *waiter = list->head;
    while (waiter != NULL && waiter->handle != handle) waiter = waiter->next;
    return waiter;
}

void waiter_append(waiter_list *list, waiter *waiter) {
    waiter->next = NULL;
    *list->tail = waiter;
    list->tail = &waiter->next;
}

void waiter_unlink(waiter_list *list, waiter *waiter) {
    struct waiter **link = &list->head;
    while (*link != waiter) link = &(*link)->next;
    *link = waiter->next;
    if (list->tail == &waiter->next) list->tail = link;
}

/* Room was made: move it on to those who wait in line. */
void let_in(ring *ring, uint64_t now) {
    if (ring->state != BB_OPEN) return; /* the line was sent home; bb_close woke it */
    while (ring->line.head != NULL && has_room(ring, ring->line.head->route->count)) {
        waiter *first = ring->line.head;
        waiter_unlink(&ring->line, first);
        waiter_append(&ring->let_in, first);
        enqueue(ring, first->route, first->handle, now);
        ring->unsignalled++;
    }
}

/* Called by a worker that takes. */
void tell_let_in(ring *ring, uint64_t now) {
    bool due = elapsed(ring->last_told, now) >= PACE_NS;
    bool part_free = has_room(ring, GOOD_PART(ring));
    if (!due && !part_free && ring->unsignalled < GOOD_PART(ring) && ring->queued > 0) return;
    for (waiter *w = ring->let_in.head; w != NULL; w = w->next) {
        if (w->signalled) continue;
        w->signalled = true;
        bb_cond_signal(&w->admitted);
    }
    ring->unsignalled = 0;
    ring->last_told = now;
}

/* The state changed: everyone is to look at it. */
void wake_everyone(ring *ring) {
    bb_cond_broadcast(&ring->work);
    bb_cond_broadcast(&ring->idle);
    for (waiter *w = ring->line.head; w != NULL; w = w->next) bb_cond_signal(&w->admitted);
    for (waiter *w = ring->let_in.head; w != NULL; w = w->next) bb_cond_signal(&w->admitted);
}

/* Unlock, and wake a worker if one sleeps while there is work and none is on its way. The signal
 * is sent without the mutex, so that the woken does not run into it, and before re-attaching to
 * the host, which may take a while. */
void unlock_and_wake(ring *ring, void *token) {
    bool wake = ring->sleepers > 0 && !ring->waking && ring->queued > 0;
    if (wake) ring->waking = true;
    bb_mutex_unlock(&ring->mutex);
    if (wake) bb_cond_signal(&ring->work);
    host_attach(token);
}

/* Nothing may be queued or running any more: tell those who wait for that, and if the ring was
 * draining, it is shut now. */
void note_if_idle(ring *ring) {
    if (ring->queued > 0 || ring->running > 0) return;
    if (ring->state == BB_DRAINING) {
        ring->state = BB_SHUT;
        wake_everyone(ring);
    } else if (ring->idle_waiters > 0) {
        bb_cond_broadcast(&ring->idle);
    }
}

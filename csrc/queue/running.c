/* running.c: the deliveries that are running, by worker, detached, and in publishers' threads. */
#include "internal.h"

/* Add what a worker, or what has its delivery, has open: one, or a batch. */
static int32_t add_open(const bb_worker *worker, uint64_t now, bb_open_delivery *out, int32_t n) {
    const open_delivery *open = &worker->open;
    if (!open->open || open->event == NULL) return 0;
    int32_t found = 0;
    for (; found <= open->more_count && found < n; found++)
        out[found] = (bb_open_delivery){
            .event = found == 0 ? open->event : open->more[found - 1].event,
            .recipient = open->recipient,
            .thread = worker->detached ? 0 : worker->thread,
            .ns = elapsed(open->began, now),
            .number = worker->number,
            .index = found,
        };
    return found;
}

int32_t bb_running(bb_queue *q, bb_open_delivery *out, int32_t n,
                   void (*hold)(const bb_open_delivery *)) {
    if (is_gone(q)) return 0;
    int32_t found = 0;
    queue_lock_attached(q); /* no thread waits for the host while it holds the mutex */
    uint64_t now = time_if(q, q->monitoring);
    for (int32_t w = 0; w < q->present; w++)
        found += add_open(q->workers[w], now, out + found, n - found);
    for (const bb_worker *d = q->detached; d != NULL; d = d->next)
        found += add_open(d, now, out + found, n - found);
    for (const bb_caller *c = q->callers; c != NULL && found < n; c = c->next)
        out[found++] = (bb_open_delivery){
            .event = c->event,
            .recipient = c->recipients[c->count - c->remaining],
            .thread = c->thread,
            .ns = elapsed(c->since, now),
            .number = c->number,
        };
    for (int32_t i = 0; i < found && hold != NULL; i++) hold(&out[i]);
    queue_release(q);
    return found;
}

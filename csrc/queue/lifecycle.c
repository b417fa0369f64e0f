/* lifecycle.c: creating, closing and freeing a queue, waiting for its end, and forks. */
#include "internal.h"

#include <stdlib.h>

bb_host host;
int64_t fork_count;

static void count_fork(void) { fork_count++; }

int64_t bb_fork_count(void) { return fork_count; }

bool bb_watch_forks(void) {
    static bool watches;
    if (!watches) watches = bb_at_fork_in_child(count_fork);
    return watches;
}

static bool init_sync(bb_queue *q) {
    return bb_watch_forks() && bb_mutex_init(&q->mutex) && bb_cond_init(&q->work) &&
           bb_cond_init(&q->idle) && bb_cond_init(&q->fill) && bb_cond_init(&q->top_work);
}

static void free_memory(bb_queue *q) {
    free(q->notes);
    free(q->workers);
    free(q->by_type);
    free(q->slots);
    free(q);
}

bb_queue *bb_queue_new(const bb_settings *settings) {
    assert(settings->capacity >= 1 && settings->reserve >= 0);
    assert(settings->levels >= 1 && settings->levels <= BB_LEVELS);
    bb_queue *q = calloc(1, sizeof *q);
    if (q == NULL) return NULL;
    q->capacity = settings->capacity;
    q->reserve = settings->reserve;
    q->levels = settings->levels;
    q->reserved = settings->reserved;
    q->notes_size = settings->notes;
    q->monitoring = settings->monitoring != 0;
    q->starvation = settings->starvation > 0 ? (uint64_t)settings->starvation : 0;
    q->standstill = settings->standstill > 0 ? (uint64_t)settings->standstill : 0;
    q->timed = q->monitoring || q->starvation > 0;
    fast_clock_init(&q->clock);
    if (settings->clock > 0) q->clock = (fast_clock){.set = (uint64_t)settings->clock};
    q->created = q->rolled = clock_of(q);
    q->free_slot = -1;
    for (int32_t l = 0; l < BB_LEVELS; l++) q->level[l].head = q->level[l].tail = -1;
    q->slot_count = settings->grows ? 1 : q->capacity + q->reserve;
    q->slots = calloc((size_t)q->slot_count, sizeof *q->slots);
    bool items = settings->grows; /* one type, and no workers */
    q->by_type = calloc(items ? 1 : BB_MAX_TYPES, sizeof *q->by_type);
    q->workers = calloc(items ? 1 : BB_MAX_WORKERS, sizeof *q->workers);
    if (settings->notes > 0) q->notes = calloc((size_t)settings->notes, sizeof *q->notes);
    if (settings->notes > 0 && q->notes == NULL) {
        free_memory(q);
        return NULL;
    }
    if (q->slots == NULL || q->by_type == NULL || q->workers == NULL || !init_sync(q)) {
        free_memory(q);
        return NULL;
    }
    q->fork_count = fork_count;
    return q;
}

void bb_queue_free(bb_queue *q) {
    if (is_gone(q)) return; /* the parent frees it and what it refers to */
    ASSERT_UNLOCKED();
    assert(q->idle_workers == 0 && q->idle_reserved == 0 && q->idle_waiters == 0);
    while (q->present > 0) free(q->workers[--q->present]);
    free_callers(q);
    bb_cond_destroy(&q->top_work);
    bb_cond_destroy(&q->fill);
    bb_cond_destroy(&q->idle);
    bb_cond_destroy(&q->work);
    bb_mutex_destroy(&q->mutex);
    free_memory(q);
}

/* ---- a clock that is set --------------------------------------------------------------------- */

uint64_t bb_now(const bb_queue *q) { return clock_of(q); }

void bb_set_clock(bb_queue *q, uint64_t now) {
    if (is_gone(q)) return;
    void *token = queue_lock(q);
    assert(q->clock.set != 0 && now >= q->clock.set);
    q->clock.set = now;
    queue_unlock(q, token);
}

/* ---- the end ------------------------------------------------------------------------------- */

void bb_close(bb_queue *q, int32_t drain, int64_t deadline_ns) {
    if (is_gone(q)) return;
    void *token = queue_lock(q);
    if (!drain) {
        q->state = BB_SHUT;
    } else if (q->state == BB_OPEN) {
        q->state = BB_DRAINING;
        q->deadline = deadline_ns >= 0 ? deadline_after(q, deadline_ns) : 0;
    }
    signal_if_idle(q);
    wake_all(q);
    queue_unlock(q, token);
}

int32_t bb_discard(bb_queue *q, bb_delivery *out, int32_t n) {
    if (is_gone(q)) return 0;
    int32_t discarded = 0;
    void *token = queue_lock(q);
    while (q->state == BB_SHUT && q->queued > 0 && discarded < n) {
        dequeued taken = dequeue_oldest(q, highest_level(q));
        out[discarded++] = taken.delivery;
        count_dropped(q, taken.level, taken.type, taken.delivery.recipient, BB_WHY_SHUTDOWN);
        note(q, BB_NOTED_DISCARDED, taken.delivery.event, taken.delivery.recipient, taken.type,
             taken.level, 0);
    }
    if (discarded > 0) signal_if_idle(q);
    queue_unlock(q, token);
    return discarded;
}

int32_t bb_wait_idle(bb_queue *q, int64_t timeout_ns) {
    if (is_gone(q)) return 1;
    void *token = queue_lock_detached(q);
    uint64_t deadline = deadline_after(q, timeout_ns);
    while (!is_idle(q) && clock_of(q) < deadline) {
        q->idle_waiters++;
        queue_wait_until(q, &q->idle, deadline);
        q->idle_waiters--;
    }
    int32_t idle = is_idle(q);
    queue_unlock(q, token);
    return idle;
}

/* ---- barriers -------------------------------------------------------------------------------- */

static uint64_t outstanding_of(const bb_worker *worker) {
    uint64_t sequence = worker->open.open ? worker->open.sequence : UINT64_MAX;
    return worker->completing && worker->completed < sequence ? worker->completed : sequence;
}

/* The sequence of the oldest delivery that has not ended, or whose worker still calls hooks for it;
 * UINT64_MAX: all have. */
static uint64_t first_outstanding(const bb_queue *q) {
    uint64_t first = first_sequence(q), sequence;
    for (int32_t w = 0; w < q->present; w++)
        if ((sequence = outstanding_of(q->workers[w])) < first) first = sequence;
    for (const bb_worker *d = q->detached; d != NULL; d = d->next)
        if ((sequence = outstanding_of(d)) < first) first = sequence;
    for (const bb_caller *c = q->callers; c != NULL; c = c->next)
        if (c->sequence < first) first = c->sequence;
    return first;
}

/* A delivery has ended: wake the threads in bb_wait_barrier if one of them need not wait longer. */
void signal_barrier(bb_queue *q) {
    ASSERT_LOCKED(q);
    if (q->barrier_waiters > 0 && first_outstanding(q) >= q->barrier) bb_cond_broadcast(&q->idle);
}

uint64_t bb_barrier(bb_queue *q) {
    if (is_gone(q)) return 0;
    void *token = queue_lock(q);
    uint64_t barrier = q->sequence;
    queue_unlock(q, token);
    return barrier;
}

int32_t bb_wait_barrier(bb_queue *q, uint64_t barrier, int64_t timeout_ns) {
    if (is_gone(q)) return 1;
    void *token = queue_lock_detached(q);
    uint64_t deadline = deadline_after(q, timeout_ns);
    while (first_outstanding(q) < barrier && clock_of(q) < deadline) {
        /* After each broadcast, those that still wait say again for what. */
        if (barrier < q->barrier || first_outstanding(q) >= q->barrier) q->barrier = barrier;
        q->barrier_waiters++;
        queue_wait_until(q, &q->idle, deadline);
        q->barrier_waiters--;
    }
    int32_t ended = first_outstanding(q) >= barrier;
    queue_unlock(q, token);
    return ended;
}

int32_t bb_wait_shut(bb_queue *q, int64_t timeout_ns) {
    if (is_gone(q)) return 1;
    void *token = queue_lock_detached(q);
    uint64_t deadline = deadline_after(q, timeout_ns);
    while (q->state != BB_SHUT && clock_of(q) < deadline) queue_wait_until(q, &q->idle, deadline);
    int32_t shut = q->state == BB_SHUT;
    queue_unlock(q, token);
    return shut;
}

bb_state bb_get_state(bb_queue *q) {
    if (is_gone(q)) return BB_SHUT;
    void *token = queue_lock(q);
    bb_state state = q->state;
    queue_unlock(q, token);
    return state;
}

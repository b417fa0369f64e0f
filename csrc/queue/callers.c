/* callers.c: publishers that run the handlers of their own event (BB_CALLER_RUNS).
 *
 * The deliveries count as running from the moment at which the event is accepted, and as processed
 * one after the other. Those that the caller does not run are counted as refused. */
#include "internal.h"

#include <stdlib.h>

static bb_recipient *current_recipient(const bb_caller *caller) {
    assert(caller->remaining > 0 && caller->remaining <= caller->count);
    return caller->recipients[caller->count - caller->remaining];
}

int32_t bb_caller_level(const bb_caller *caller) {
    return is_gone(caller->q) ? 0 : caller->level + 1;
}

static void begin_next(bb_caller *caller, uint64_t now, uint64_t cpu) {
    ASSERT_LOCKED(caller->q);
    caller->number++;
    caller->since = now;
    if (caller->q->monitoring) caller->cpu = cpu_to_begin(current_recipient(caller), cpu);
}

/* NULL without memory; then nothing has changed. */
bb_caller *add_caller(bb_queue *q, const bb_route *route, void *event) {
    ASSERT_LOCKED(q);
    assert(route->count > 0);
    bb_caller *caller = calloc(1, sizeof *caller);
    if (caller == NULL) return NULL;
    *caller = (bb_caller){
        .next = q->callers,
        .q = q,
        .event = event,
        .recipients = route->recipients,
        .sequence = q->sequence++,
        .thread = bb_thread_id(),
        .level = route->level - 1,
        .type = route->type,
        .count = route->count,
        .remaining = route->count,
    };
    if (q->callers != NULL) q->callers->prev = caller;
    q->callers = caller;
    count_published(q, caller->level, caller->type, caller->count);
    q->running += caller->count;
    q->by_level[caller->level].taken += (uint64_t)caller->count;
    q->by_type[caller->type].taken += (uint64_t)caller->count;
    for (int32_t i = 0; i < caller->count; i++) {
        caller->recipients[i]->tally.published++;
        caller->recipients[i]->tally.taken++;
    }
    note(q, BB_NOTED_ACCEPTED, event, NULL, caller->type, caller->level, 0);
    begin_next(caller, time_if(q, q->monitoring), 0);
    return caller;
}

static void remove_caller(bb_caller *caller) {
    if (caller->prev != NULL) caller->prev->next = caller->next;
    else caller->q->callers = caller->next;
    if (caller->next != NULL) caller->next->prev = caller->prev;
    free(caller);
}

void free_callers(bb_queue *q) {
    ASSERT_UNLOCKED();
    while (q->callers != NULL) remove_caller(q->callers);
}

void bb_caller_done(bb_caller *caller, int32_t failed) {
    bb_queue *q = caller->q;
    if (is_gone(q)) return;
    uint64_t reading = read_if(q, q->monitoring), cpu_now = 0;
    void *token = queue_lock(q);
    uint64_t now = time_of(q, reading);
    bb_recipient *r = current_recipient(caller);
    count_processed(q, caller->level, caller->type, r, failed != 0);
    bb_noted what = failed != 0 ? BB_NOTED_FAILED : BB_NOTED_HANDLED;
    note(q, what, caller->event, r, caller->type, caller->level, now);
    if (q->monitoring) {
        uint64_t wall = elapsed(caller->since, now);
        roll_histograms(q, now);
        record_processing(q, r, wall, cpu_since(caller->cpu, wall, &cpu_now));
    }
    if (--caller->remaining == 0) remove_caller(caller);
    else begin_next(caller, now, cpu_now);
    signal_if_idle(q);
    queue_unlock(q, token);
}

void bb_caller_abort(bb_caller *caller) {
    bb_queue *q = caller->q;
    if (is_gone(q)) return;
    void *token = queue_lock(q);
    assert(caller->remaining > 0 && q->running >= caller->remaining);
    q->running -= caller->remaining;
    q->by_level[caller->level].taken -= (uint64_t)caller->remaining;
    q->by_type[caller->type].taken -= (uint64_t)caller->remaining;
    for (int32_t i = caller->count - caller->remaining; i < caller->count; i++) {
        caller->recipients[i]->tally.taken--;
        count_dropped(q, caller->level, caller->type, caller->recipients[i], BB_WHY_REFUSED);
        note(q, BB_NOTED_REFUSED, caller->event, caller->recipients[i], caller->type, caller->level,
             0);
    }
    remove_caller(caller);
    signal_if_idle(q);
    queue_unlock(q, token);
}

/* standstill.c: when a waiting publisher has waited long enough.
 *
 * The standstill rule: a wait without a limit of its own ends once no worker has taken a delivery
 * for `standstill` nanoseconds. It measures how long nothing moves, not how long something takes.
 *
 * Guarantees
 * - A standstill is a state of the queue, not of one publisher: the first that finds it ends the
 *   waits of all others, and until a worker takes again no publisher begins to wait (`congested`).
 *   A publisher waits at most once per congestion episode, not once per event.
 * - There is no standstill while a worker that was woken is on its way.
 * - A pause of the process is no standstill: a waiter sleeps in slices of a quarter of the time,
 *   and if it wakes late by more than half a slice, the wait restarts.
 * - Nor is it one while a worker is ready to run but gets no core: the system reports for how long
 *   a thread has waited for one (bb_run_delay). That is read only when nothing has moved for a
 *   quarter of the time, as it costs some 10 us per worker.
 * - Every wait ends. A machine that is always late would restart it for ever, and a handler that
 *   computes without end on an overloaded machine looks like a worker without a core: both excuses
 *   are accepted MAX_RESTARTS and MAX_STARVED times only.
 *
 * What does not work, or was tried
 * - A time-out of the wait alone: on an overloaded machine waits ended while the worker had no
 *   core.
 */
#include "internal.h"

/* A waiter checks its state at least this often, whatever it waits for. */
#define MAX_SLICE_NS 1000000000u

#define MAX_RESTARTS 8
#define MAX_STARVED 50
#define MAX_SAMPLED 16 /* workers whose run delay is read */

/* Idle workers that may take nothing of what is queued: it is below the level that they are
 * reserved for, or behind a key or a limit. */
static int32_t count_useless(const bb_queue *q) {
    uint32_t work = levels_with_work(q);
    bool top = work >> (q->levels - 1) & 1;
    return (work == 0 ? q->idle_workers : 0) + (top ? 0 : q->idle_reserved);
}

/* Whether no worker can free a slot before one of those that wait in publish returns; after
 * settle_lanes. Delayed deliveries can be taken when their time has come, and what is behind a
 * limit when one ends that runs without a worker. */
bool all_workers_wait(const bb_queue *q) {
    ASSERT_LOCKED(q);
    if (q->present == 0 || q->starting > 0) return false;
    if (q->blocked >= q->present) return true;
    return q->delayed == 0 && q->detached == NULL && q->blocked + count_useless(q) >= q->present;
}

static uint64_t run_delay_of_workers(const bb_queue *q) {
    uint64_t delay = 0;
    for (int32_t w = 0; w < q->present && w < MAX_SAMPLED; w++)
        delay += bb_run_delay(q->workers[w]->native);
    return delay;
}

/* Read for how long the workers have waited for a core, once nothing has moved for a while. */
static void sample_run_delay(bb_queue *q, uint64_t since, uint64_t now) {
    if (q->clock.set != 0 || q->run_delay_read >= since || elapsed(since, now) < q->standstill / 4)
        return;
    q->run_delay = run_delay_of_workers(q);
    q->run_delay_read = now;
}

/* Whether they have waited for a core for a quarter of the time since that sample, or longer. */
static bool workers_lack_a_core(const bb_queue *q, uint64_t since, uint64_t now) {
    if (q->clock.set != 0 || q->run_delay_read < since || q->restarts >= MAX_STARVED) return false;
    return elapsed(q->run_delay, run_delay_of_workers(q)) > elapsed(q->run_delay_read, now) / 4;
}

/* Apply the rule to a waiter that has just woken or is about to sleep; true: its wait ends. May
 * restart the wait of all, or declare congestion and wake them. `late`: it woke much later than
 * planned. */
bool apply_standstill_rule(bb_queue *q, const bb_waiter *waiter, uint64_t now, bool late) {
    ASSERT_LOCKED(q);
    assert(!waiter->admitted && waiter->list != NULL);
    if (waiter->handler) settle_lanes(q);
    if (waiter->handler && all_workers_wait(q)) return true;
    if (waiter->limited) return false;
    if (q->congested) return true;
    bool excused = late || q->starting > 0;
    if (q->waking || q->waking_reserved || (excused && q->restarts < MAX_RESTARTS)) {
        /* Count a pause once, not once per waiter that it made late. */
        if (excused && elapsed(q->last_progress, now) > q->standstill / 4) q->restarts++;
        q->last_progress = now;
        return false;
    }
    uint64_t since = q->last_progress > waiter->since ? q->last_progress : waiter->since;
    sample_run_delay(q, since, now);
    if (elapsed(since, now) < q->standstill) return false;
    if (workers_lack_a_core(q, since, now)) {
        q->restarts++;
        q->last_progress = now;
        return false;
    }
    q->congested = true;
    wake_waiters(q); /* all their waits end */
    return true;
}

/* For how long a waiter sleeps before it checks again; see the top of the file. */
uint64_t slice_for(const bb_queue *q, const bb_waiter *waiter) {
    ASSERT_LOCKED(q);
    uint64_t slice = waiter->limited ? MAX_SLICE_NS : q->standstill / 4 + 1;
    uint64_t crowd = (uint64_t)q->waiting * 500000u; /* 2,000 checks per second in total */
    if (slice < crowd && !waiter->limited)
        slice = crowd < q->standstill ? crowd : q->standstill + 1;
    return slice < MAX_SLICE_NS ? slice : MAX_SLICE_NS;
}

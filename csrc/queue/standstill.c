/* standstill.c: when a publisher that waits has waited long enough; the mutex is held.
 *
 * Time-outs of the configuration measure how long nothing moves, not how long something takes.
 *
 * Guarantees
 * - A wait that has no limit of its own ends by the standstill rule: once no worker has taken for
 *   `standstill` nanoseconds. That is a state of the queue, not of one publisher: the first that
 *   finds it ends the wait of all the others, and until a worker takes again nobody waits anew
 *   (`congested`).
 * - It is no standstill while a worker that was woken is on its way, nor when the process was
 *   paused: a waiter sleeps in slices of a quarter of the time, and one that wakes late by more
 *   than half a slice begins anew. A machine that is always late would make that endless: after
 *   MAX_RESTARTS it counts.
 * - Nor is it one while a worker could run but gets no core: the system says for how long a thread
 *   has waited for one (bb_run_delay), which is read only when nothing has moved for a quarter of the
 *   time. A handler that computes without an end on such a machine looks the same, so that is
 *   believed for MAX_STARVED windows only.
 */
#include "internal.h"

/* A waiter looks again at least this often, whatever it waits for. */
#define LONGEST_SLICE_NS 1000000000u

#define MAX_RESTARTS 8
#define MAX_STARVED 50
#define MOST_ASKED 16 /* workers whose delay is read */

bool all_workers_wait(const bb_queue *q) {
    return q->blocked >= q->present && q->present > 0 && q->starting == 0;
}

static uint64_t run_delay_of_workers(const bb_queue *q) {
    uint64_t delay = 0;
    for (int32_t w = 0; w < q->present && w < MOST_ASKED; w++)
        delay += bb_run_delay(q->workers[w]->native);
    return delay;
}

/* Read what the workers have waited for a core, once nothing has moved for a while. */
static void watch_delay(bb_queue *q, uint64_t since, uint64_t now) {
    if (q->delay_read >= since || elapsed(since, now) < q->standstill / 4) return;
    q->delay = run_delay_of_workers(q);
    q->delay_read = now;
}

/* Whether they have waited for one for a good part of the time since then. */
static bool workers_starve(const bb_queue *q, uint64_t since, uint64_t now) {
    if (q->delay_read < since || q->restarts >= MAX_STARVED) return false;
    return elapsed(q->delay, run_delay_of_workers(q)) > elapsed(q->delay_read, now) / 4;
}

/* Whether the standstill rule ends this waiter's wait. `late`: it woke much later than planned. */
bool at_standstill(bb_queue *q, const bb_waiter *waiter, uint64_t now, bool late) {
    if (waiter->handler && all_workers_wait(q)) return true;
    if (waiter->limited) return false;
    if (q->congested) return true;
    bool excused = late || q->starting > 0;
    if (q->waking || (excused && q->restarts < MAX_RESTARTS)) {
        /* Once for a pause, and not by each waiter that it made late. */
        if (excused && elapsed(q->moved, now) > q->standstill / 4) q->restarts++;
        q->moved = now;
        return false;
    }
    uint64_t since = q->moved > waiter->since ? q->moved : waiter->since;
    watch_delay(q, since, now);
    if (elapsed(since, now) < q->standstill) return false;
    if (workers_starve(q, since, now)) {
        q->restarts++;
        q->moved = now;
        return false;
    }
    q->congested = true;
    wake_line(q); /* it is over for all of them */
    return true;
}

/* For how long a waiter sleeps until it looks again; see the top of the file. */
uint64_t slice_of(const bb_queue *q, const bb_waiter *waiter) {
    uint64_t slice = waiter->limited ? LONGEST_SLICE_NS : q->standstill / 4 + 1;
    uint64_t crowd = (uint64_t)q->waiting * 500000u; /* 2,000 looks per second altogether */
    if (slice < crowd && !waiter->limited)
        slice = crowd < q->standstill ? crowd : q->standstill + 1;
    return slice < LONGEST_SLICE_NS ? slice : LONGEST_SLICE_NS;
}

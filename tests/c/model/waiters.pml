/* waiters.pml: the waiting and waking protocol of the queue, for spin to try every interleaving.
 *
 * What is modelled: waiters.c (here) and everything in admission.c and workers.c that sleeps or
 * wakes (admission.pml, workers.pml), with the names of the C code. A critical section under the
 * queue's mutex is one atomic step. What happens without the mutex is a step of its own: the signal
 * after unlock_and_wake, and the time between waking up and taking, in which the C code re-attaches
 * to its host.
 *
 * Publishers may wait, and the handlers that workers run, which have slots of their own (RESERVE) and
 * are admitted first. Each has a number: publishers from 0, then handlers.
 *
 * Workers may be reserved for what publisher 1 has published (RESERVED), and all that is published may
 * be for one subscription with a limit (LIMIT), so that there is work which no worker may take.
 *
 * What is left out: lanes, batches and retries, events, counters and all time, and bb_push_many, which
 * is bb_push several times in one step. A time limit can strike at any moment, but only NAPS times for each publisher, SPURIOUS
 * wake-ups likewise, and the standstill rule STANDSTILLS times altogether: if they were unlimited,
 * they would hide lost wake-ups, and nothing could be proved. For the same reason a waiter sleeps here
 * until it is woken, though in C it checks again periodically. Restarts of the rule are left out: they
 * only delay it.
 *
 * What is checked, in every reachable state:
 *   no lost wake-up       never do all workers sleep while there is work for one and no wake is in
 *                         flight; nor does any sleep then, unless a wake is on its way through `waking`
 *   no wasted slots       never does the first waiter wait for slots that are free
 *   surplus leaves        never do all workers sleep while there are too many of them
 *   all end together      while the queue is congested, no publisher waits without a limit
 *   the counts            queued and running are never negative, nor is too much ever queued
 * and in every final state:
 *   no deadlock           all publishers and bb_wait_idle have returned
 *   close wakes everyone  after bb_close all workers have ended; without it they sleep, idle
 *
 * Each BROKEN_... takes one line out of the protocol; spin must then find a counterexample. */

#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef PUBLISHERS
#define PUBLISHERS 2
#endif
#ifndef EVENTS
#define EVENTS 1 /* of each publisher */
#endif
#ifndef CAPACITY
#define CAPACITY 1
#endif
#ifndef RESERVE
#define RESERVE 0
#endif
#ifndef LARGE
#define LARGE 1 /* deliveries of an event of publisher 0 or a handler; the others' have one */
#endif
#ifndef NOTIFY_BATCH
#define NOTIFY_BATCH 1 /* in C this follows from the capacity; here also for small ones */
#endif
#ifndef NAPS
#define NAPS 0
#endif
#ifndef SPURIOUS
#define SPURIOUS 0
#endif
#ifndef STANDSTILLS
#define STANDSTILLS 0
#endif
#ifndef RESERVED
#define RESERVED 0 /* workers that take only what publisher 1 has published, the higher level */
#endif
#ifndef LIMIT
#define LIMIT 0 /* calls at once; 0: any number */
#endif
#ifndef INSIDE
#define INSIDE 0 /* events that handlers publish, altogether */
#endif

#define IDS (PUBLISHERS + WORKERS)
#define HANDLER(id) ((id) >= PUBLISHERS)
#define COUNT(id) ((id) == 0 || HANDLER(id) -> LARGE : 1)
#define RANK(id) (HANDLER(id) -> 2 : (id) % 2) /* which wait queue; two levels outside */

mtype = { OPEN, DRAINING, SHUT };                       /* bb_queue.state */
mtype = { ACCEPTED, WAITING, FULL, CLOSED, REFUSED, RUN };

mtype state = OPEN;
bool deadline, deadline_passed; /* of draining: whether there is one, and whether it is over */
byte queued, running;
byte top;   /* of the queued, those of the higher level; counted only with RESERVED */
byte calls; /* of the running, those of workers */

/* Workers. `asleep`: in bb_cond_wait on bb_queue.work. */
byte present = WORKERS, wanted = WORKERS, blocked;
byte idle_workers, idle_reserved;
bool waking, waking_reserved;
bool asleep[WORKERS];
bool woken[WORKERS];  /* from wait_for_work until bb_take checks again */
byte wakes_in_flight; /* decided on in unlock_and_wake, not sent yet; a ghost, not in the C code */

/* Waiters, by number. `dozing`: in bb_cond_wait_until on bb_waiter.wake. */
chan line[3] = [IDS] of { byte };
bool admitted[IDS];
bool notified[IDS];
bool rejected[IDS];
bool limited[IDS];
bool dozing[IDS];
byte count_unnotified, count_notified; /* lengths of the lists */
bool congested;
byte standstills_left = STANDSTILLS;

/* bb_wait_idle: one thread. */
bool idle_waiter, idler_asleep;

byte inside_left = INSIDE;
hidden byte i, head, rank; /* only inside atomic steps, which leave them 0 */

#define slot_limit(handler) (CAPACITY + (handler -> RESERVE : 0))
#define fits(n, handler) (queued + (n) <= slot_limit(handler) || queued == 0)
#define is_open_to(id) (state == OPEN || (HANDLER(id) && state == DRAINING))
/* Workers with the lowest numbers are the reserved ones. What is queued is behind the limit while it is
 * reached, all of it: one subscription. */
#define is_reserved(w) ((w) < RESERVED)
#define limit_reached (LIMIT > 0 && calls >= LIMIT)
#define has_any_work (queued > 0 && !limit_reached)
#define has_top_work (top > 0 && !limit_reached)
#define has_work(w) (is_reserved(w) -> has_top_work : has_any_work)

#define in_line(id) (line[RANK(id)]??[eval(id)])
#define line_is_empty (len(line[0]) + len(line[1]) + len(line[2]) == 0)

#ifdef BROKEN_LEVELS
#define has_waiters_before(id) (len(line[2]) > 0 || (!HANDLER(id) && !line_is_empty))
#else
#define has_waiters_before(id) \
    (len(line[2]) > 0 || (RANK(id) <= 1 && len(line[1]) > 0) || \
     (RANK(id) == 0 && len(line[0]) > 0))
#endif

inline enqueue(n, id) {
    assert(queued == 0 || queued + n <= CAPACITY + RESERVE);
#if RESERVED > 0
    top = (RANK(id) == 1 -> top + n : top);
#endif
    queued = queued + n
}

/* ---- admission ------------------------------------------------------------------------------- */

#define highest_rank (len(line[2]) > 0 -> 2 : (len(line[1]) > 0 -> 1 : 0))

inline admit_waiters() {
    do
    :: !line_is_empty ->
        rank = highest_rank;
        line[rank]?<head>;
        if
        :: fits(COUNT(head), HANDLER(head)) ->
            line[rank]?head;
            admitted[head] = true;
            enqueue(COUNT(head), head);
            count_unnotified++
        :: else -> break
        fi
    :: else -> break
    od;
    head = 0;
    rank = 0
}

inline notify(id) {
    notified[id] = true;
    dozing[id] = false;
    count_unnotified--;
    count_notified++
}

/* In C the first; which one does not matter to the model. */
inline notify_one() {
    do
    :: i < IDS && admitted[i] && !notified[i] -> notify(i); break
    :: else -> i++
    od;
    i = 0
}

inline notify_all() {
    do
    :: count_unnotified > 0 -> notify_one()
    :: else -> break
    od
}

#ifdef BROKEN_NOTIFYING
#define last_chance false
#else
#define last_chance (queued + NOTIFY_BATCH <= CAPACITY || queued == 0)
#endif

/* Whether it is due is a matter of time: here it may be true or false whenever it is asked. */
inline notify_admitted() {
    if
    :: true -> notify_all()
    :: count_unnotified < NOTIFY_BATCH && !last_chance
    fi
}

/* `was`: whether its event had been accepted. */
inline finish_wait(id, was) {
    was = admitted[id];
    if
    :: was && notified[id] -> count_notified--
    :: was && !notified[id] -> count_unnotified--
    :: !was && !rejected[id] -> line[RANK(id)]??eval(id)
    :: else
    fi;
    admitted[id] = false;
    notified[id] = false;
    rejected[id] = false;
    limited[id] = false;
    if
    :: count_notified == 0 && count_unnotified > 0 -> notify_one()
    :: else
    fi
}

/* ---- waking ---------------------------------------------------------------------------------- */

/* Idle workers that may take nothing of what is queued. */
#ifdef BROKEN_USELESS
#define useless 0
#else
#define useless ((has_any_work -> 0 : idle_workers) + (has_top_work -> 0 : idle_reserved))
#endif
#define all_workers_wait (blocked + useless >= present && present > 0)

inline wake_waiters() {
    for (i : 0 .. IDS - 1) {
        if
        :: in_line(i) -> dozing[i] = false
        :: else
        fi
    }
    i = 0
}

inline wake_if_all_wait() {
    if
    :: all_workers_wait -> wake_waiters()
    :: else
    fi
}

inline reject() {
    for (i : 0 .. IDS - 1) {
        if
        :: in_line(i) && !is_open_to(i) ->
            line[RANK(i)]??eval(i);
            rejected[i] = true;
#ifndef BROKEN_CLOSE
            dozing[i] = false
#endif
        :: else
        fi
    }
    i = 0
}

inline wake_all() {
    for (i : 0 .. WORKERS - 1) { asleep[i] = false }
    i = 0;
    idler_asleep = false;
    reject();
    notify_all()
}

#define WAKE_ONE 1
#define WAKE_RESERVED 2

/* The decision, still under the mutex; the signal follows in a step of its own. */
inline unlock_and_wake(wake) {
    if
    :: idle_workers > 0 && !waking && has_any_work ->
        waking = true;
        wakes_in_flight++;
        wake = WAKE_ONE
    :: else ->
        if
        :: idle_reserved > 0 && !waking_reserved && !waking && has_top_work ->
            waking_reserved = true;
            wakes_in_flight++;
            wake = WAKE_RESERVED
        :: else -> wake = 0
        fi
    fi
}

#define sleeps_on_it(w, wake) (asleep[w] && (is_reserved(w) == (wake == WAKE_RESERVED)))

/* Signal bb_queue.work or top_work: wakes any one of the workers that sleep on it. */
inline signal_work(wake) {
    if
    :: sleeps_on_it(0, wake) -> asleep[0] = false
#if WORKERS > 1
    :: sleeps_on_it(1, wake) -> asleep[1] = false
#endif
#if WORKERS > 2
    :: sleeps_on_it(2, wake) -> asleep[2] = false
#endif
    :: else
    fi
}

inline send(wake) {
    if
    :: wake > 0 -> atomic { signal_work(wake); wakes_in_flight--; wake = 0 }
    :: else
    fi
}

inline signal_if_idle() {
    if
    :: queued == 0 && running == 0 ->
        if
        :: state == DRAINING ->
            state = SHUT;
#ifndef BROKEN_SHUTTING
            wake_all()
#endif
        :: state != DRAINING && idle_waiter ->
#ifndef BROKEN_IDLE
            idler_asleep = false
#else
            skip
#endif
        :: else
        fi
    :: else
    fi
}

#include "waiting.pml"
#include "admission.pml"
#include "workers.pml"
#include "checks.pml"

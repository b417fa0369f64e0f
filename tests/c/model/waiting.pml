/* waiting.pml: the waiting and waking protocol of the ring, for spin to try every interleaving.
 *
 * What is modelled: waiting.c (here) and everything in publish.c and worker.c that sleeps or wakes
 * (publish.pml, worker.pml), with the names of the C code. A critical section under ring.mutex is
 * one atomic step. What happens without the mutex is a step of its own: the signal after
 * unlock_and_wake, and the time between waking up and taking, in which the C code re-attaches to
 * its host.
 *
 * What is left out: handles, levels, times and counters, which decide nothing here, and
 * bb_push_many, which is bb_push several times in one step. A timeout can strike at any moment,
 * but only NAPS times for each publisher, and SPURIOUS wake-ups likewise: if they were unlimited,
 * they would rescue whoever is forgotten, and nothing could be proved.
 *
 * What is checked, in every reachable state:
 *   no lost wake-up       never do all workers sleep while work is queued and no wake is in flight;
 *                         nor does any sleep then, unless a wake is on its way through `waking`
 *   no wasted room        never does the head of the line wait for room that is there
 *   the books             queued and running are never negative, nor is there ever too much queued
 * and in every final state:
 *   no deadlock           all publishers have come back, and bb_wait_idle has returned
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
#ifndef LARGE
#define LARGE 1 /* deliveries of an event of publisher 0 or a handler; the others' have one */
#endif
#ifndef GOOD_PART
#define GOOD_PART 1 /* in C this follows from the capacity; here also for small ones */
#endif
#ifndef NAPS
#define NAPS 0
#endif
#ifndef SPURIOUS
#define SPURIOUS 0
#endif
#ifndef HELPS
#define HELPS 0 /* events that handlers publish, altogether */
#endif

#define OVERDRAFT 2
#define COUNT(p) (p == 0 -> LARGE : 1)

mtype = { OPEN, DRAINING, SHUT };                       /* ring.state */
mtype = { ACCEPTED, WAITING, FULL, CLOSED, REFUSED, RUN };

mtype state = OPEN;
bool deadline, deadline_passed; /* of draining: whether there is one, and whether it is over */
byte queued, running;

/* Workers. `asleep`: in bb_cond_wait on ring.work. */
byte sleepers;
bool waking;
bool asleep[WORKERS];
bool woken[WORKERS];  /* from sleep_until_work until bb_take looks again */
byte wakes_in_flight; /* decided on in unlock_and_wake, not sent yet; a ghost, not in the C code */

/* Publishers. `dozing`: in bb_cond_wait_until on their own waiter.admitted. */
chan line = [PUBLISHERS] of { byte };
bool was_let_in[PUBLISHERS];
bool signalled[PUBLISHERS];
bool dozing[PUBLISHERS];
byte unsignalled;
bool congested;

/* bb_wait_idle: one thread. */
bool idle_waiter, idler_asleep;

byte helps_left = HELPS;
hidden byte i, head; /* only inside atomic steps, which leave them 0 */

#define has_room(n) (queued + (n) <= CAPACITY)
#define free_to_enter(n) (len(line) == 0 && has_room(n))
#define in_line(p) (line??[eval(p)])

inline enqueue(n) {
    queued = queued + n;
    assert(queued <= CAPACITY + OVERDRAFT)
}

/* ---- waiting.c ----------------------------------------------------------------------------- */

inline let_in() {
    do
    :: state == OPEN && len(line) > 0 ->
        line?<head>;
        if
        :: has_room(COUNT(head)) ->
            line?head;
            was_let_in[head] = true;
            enqueue(COUNT(head));
            unsignalled++
        :: else -> break
        fi
    :: else -> break
    od;
    head = 0
}

inline tell_all() {
    for (i : 0 .. PUBLISHERS - 1) {
        if
        :: was_let_in[i] && !signalled[i] -> signalled[i] = true; dozing[i] = false
        :: else
        fi
    }
    i = 0;
    unsignalled = 0
}

#ifdef BROKEN_TELLING
#define last_chance false
#else
#define last_chance (has_room(GOOD_PART) || queued == 0)
#endif

/* whether it is due is a matter of time: here it may be true or false whenever it is asked. */
inline tell_let_in() {
    if
    :: true -> tell_all()
    :: unsignalled < GOOD_PART && !last_chance
    fi
}

inline wake_everyone() {
    for (i : 0 .. WORKERS - 1) { asleep[i] = false }
    i = 0;
#ifndef BROKEN_CLOSE
    for (i : 0 .. PUBLISHERS - 1) { dozing[i] = false }
    i = 0;
#endif
    idler_asleep = false
}

/* The decision, still under the mutex; the signal follows in a step of its own. */
inline unlock_and_wake(wake) {
    wake = sleepers > 0 && !waking && queued > 0;
    if
    :: wake -> waking = true; wakes_in_flight++
    :: else
    fi
}

/* Signal ring.work: any one of those who sleep on it. */
inline signal_work() {
    if
    :: asleep[0] -> asleep[0] = false
#if WORKERS > 1
    :: asleep[1] -> asleep[1] = false
#endif
#if WORKERS > 2
    :: asleep[2] -> asleep[2] = false
#endif
    :: else
    fi
}

inline send(wake) {
    if
    :: wake -> atomic { signal_work(); wakes_in_flight--; wake = false }
    :: else
    fi
}

inline note_if_idle() {
    if
    :: queued == 0 && running == 0 ->
        if
        :: state == DRAINING ->
            state = SHUT;
#ifndef BROKEN_SHUTTING
            wake_everyone()
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

#include "publish.pml"
#include "worker.pml"

/* ---- what must hold in every state ---------------------------------------------------------- */

#define on_its_way(w) (woken[w] && !asleep[w])
#if WORKERS == 1
#define all_asleep asleep[0]
#define any_on_its_way on_its_way(0)
#elif WORKERS == 2
#define all_asleep (asleep[0] && asleep[1])
#define any_on_its_way (on_its_way(0) || on_its_way(1))
#else
#define all_asleep (asleep[0] && asleep[1] && asleep[2])
#define any_on_its_way (on_its_way(0) || on_its_way(1) || on_its_way(2))
#endif

#define a_wake_up_is_lost (queued > 0 && state != SHUT && all_asleep && wakes_in_flight == 0)
#define a_worker_is_lazy (queued > 0 && state != SHUT && sleepers > 0 && !waking)
#define waking_is_stuck (waking && wakes_in_flight == 0 && !any_on_its_way)
#define room_is_wasted (state == OPEN && ((line?[0] && has_room(LARGE)) || \
                        (len(line) > 0 && !line?[0] && has_room(1))))

/* Never set; spin prints the name of an assertion that failed. */
hidden byte no_lost_wake_up, no_lazy_worker, no_stuck_waking, no_wasted_room;

proctype monitor() {
end_monitor:
    if
    :: atomic { a_wake_up_is_lost -> assert(no_lost_wake_up) }
    :: atomic { a_worker_is_lazy -> assert(no_lazy_worker) }
    :: atomic { waking_is_stuck -> assert(no_stuck_waking) }
    :: atomic { room_is_wasted -> assert(no_wasted_room) }
    fi
}

init {
    atomic {
        for (i : 0 .. WORKERS - 1) { run worker(i) }
        for (i : 0 .. PUBLISHERS - 1) { run publisher(i) }
        i = 0;
        run monitor();
#ifdef CLOSER
        run closer();
#endif
#ifdef IDLER
        run bb_wait_idle();
#endif
    }
}

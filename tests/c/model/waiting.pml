/* waiting.pml: the waiting and waking protocol of the ring, for spin to try every interleaving.
 *
 * What is modelled: waiting.c and everything in publish.c and worker.c that sleeps or wakes, with
 * the names of the C code. A critical section under ring.mutex is one atomic step. What happens
 * without the mutex is a step of its own: the signal after unlock_and_wake, and the time between
 * waking up and taking, in which the C code re-attaches to its host.
 *
 * What is left out: handles, levels, times and counters, which decide nothing here. A timeout can
 * strike at any moment, but only NAPS times for each publisher, and SPURIOUS wake-ups likewise:
 * if they were unlimited, they would rescue whoever is forgotten, and nothing could be proved.
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
#define EVENTS 2 /* of each publisher */
#endif
#ifndef CAPACITY
#define CAPACITY 1
#endif
#ifndef LARGE
#define LARGE 1 /* deliveries of an event of publisher 0; the others' events have one */
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
byte queued, running;

/* Workers. `asleep`: in bb_cond_wait on ring.work. */
byte sleepers;
bool waking;
bool asleep[WORKERS];
bool woken[WORKERS]; /* from sleep_until_work until bb_take looks again */
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
hidden byte i, head;

#define has_room(n) (queued + (n) <= CAPACITY)
#define free_to_enter(n) (len(line) == 0 && has_room(n))

/* ---- the parts ---------------------------------------------------------------------------- */

inline enqueue(n) {
    queued = queued + n;
    assert(queued <= CAPACITY + OVERDRAFT)
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

inline wake_everyone() {
    for (i : 0 .. WORKERS - 1) { asleep[i] = false }
    i = 0;
#ifndef BROKEN_CLOSE
    for (i : 0 .. PUBLISHERS - 1) { dozing[i] = false }
    i = 0;
#endif
    idler_asleep = false
}

inline note_if_idle() {
    if
    :: queued == 0 && running == 0 ->
        if
        :: state == DRAINING -> state = SHUT; wake_everyone()
        :: state != DRAINING && idle_waiter -> idler_asleep = false
        :: else
        fi
    :: else
    fi
}

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

/* `seldom` is a matter of time: here it may be true or false whenever it is asked. */
inline tell_let_in() {
    if
    :: true -> tell_all()
    :: unsignalled < GOOD_PART && !last_chance
    fi
}

inline pass_on_room() {
#ifndef BROKEN_PASSING
    let_in();
#endif
    if
    :: unsignalled > 0 -> tell_let_in()
    :: else
    fi
}

/* The decision, still under the mutex; the signal follows in a step of its own. */
inline unlock_and_wake(wake) {
    wake = sleepers > 0 && !waking && queued > 0;
    if
    :: wake -> waking = true; wakes_in_flight++
    :: else
    fi
}

inline send(wake) {
    if
    :: wake -> atomic { signal_work(); wakes_in_flight--; wake = false }
    :: else
    fi
}

inline forget_let_in(p) {
    if
    :: !signalled[p] -> unsignalled--
    :: else
    fi;
    was_let_in[p] = false;
    signalled[p] = false
}

/* Take the publisher out of the line if it stands there; whoever is next may have room. */
inline left_line(p, waited) {
    waited = false;
    if
    :: line??[eval(p)] ->
        line??eval(p);
        waited = true;
#ifndef BROKEN_LEAVING
        let_in()
#endif
    :: else
    fi
}

inline begin() {
    queued--;
    running++;
    congested = false
}

inline finish() {
    running--;
    note_if_idle()
}

/* ---- publishers ----------------------------------------------------------------------------- */

inline bb_push(p, result, wake) {
    atomic {
        if
        :: state != OPEN -> result = CLOSED
        :: state == OPEN && free_to_enter(COUNT(p)) -> enqueue(COUNT(p)); result = ACCEPTED
        :: else -> result = FULL
        fi;
        unlock_and_wake(wake)
    }
    send(wake)
}

inline bb_wait(p, result, wake, naps, in_time, waited) {
    in_time = true;
    atomic {
        if
        :: was_let_in[p] -> forget_let_in(p); result = ACCEPTED
        :: !was_let_in[p] && state != OPEN -> left_line(p, waited); result = CLOSED
        :: !was_let_in[p] && state == OPEN && free_to_enter(COUNT(p)) ->
            enqueue(COUNT(p));
            result = ACCEPTED
        :: !was_let_in[p] && state == OPEN && !free_to_enter(COUNT(p)) && congested &&
           !(line??[eval(p)]) ->
            result = FULL /* with `always` 0 */
        :: !was_let_in[p] && state == OPEN && !free_to_enter(COUNT(p)) ->
            result = WAITING;
            if
            :: line??[eval(p)] /* a further slice */
            :: else -> line!p
            fi;
            dozing[p] = !signalled[p]
        fi;
        if
        :: result != WAITING -> unlock_and_wake(wake)
        :: else
        fi
    }
    do /* wait_in_line */
    :: atomic { result != WAITING -> break }
    :: atomic { result == WAITING && dozing[p] && naps > 0 ->
        naps--;
        in_time = false;
        dozing[p] = false
    }
    :: atomic { result == WAITING && !dozing[p] ->
        if
        :: state == OPEN && !signalled[p] && in_time -> dozing[p] = true /* woken for nothing */
        :: else ->
            if
            :: was_let_in[p] -> forget_let_in(p); result = ACCEPTED
            :: !was_let_in[p] && state == OPEN
            :: !was_let_in[p] && state != OPEN -> left_line(p, waited); result = CLOSED
            fi;
            unlock_and_wake(wake);
            break
        fi
    }
    od;
    send(wake)
}

/* Any mode: refuse, evict as much as one needs, or run the event oneself. */
inline bb_offer(p, result, wake, waited) {
    atomic {
        if
        :: was_let_in[p] -> forget_let_in(p); result = ACCEPTED
        :: else ->
            left_line(p, waited);
            if
            :: state != OPEN -> result = CLOSED
            :: state == OPEN && has_room(COUNT(p)) -> enqueue(COUNT(p)); result = ACCEPTED
            :: state == OPEN && !has_room(COUNT(p)) ->
                congested = congested || waited;
                if
                :: result = REFUSED
                :: queued >= COUNT(p) -> result = ACCEPTED /* as many go as come */
                :: running = running + COUNT(p); result = RUN
                fi
            fi
        fi;
        unlock_and_wake(wake)
    }
    send(wake)
}

inline bb_caller_done(left) {
    atomic { running--; left--; note_if_idle() }
}

/* Leave the line, or stop running the event half-way. */
inline bb_withdraw(p, wake, waited, left) {
    atomic {
        if
        :: was_let_in[p] -> forget_let_in(p)
        :: !was_let_in[p] && left > 0 -> running = running - left; left = 0; note_if_idle()
        :: !was_let_in[p] && left == 0 -> left_line(p, waited)
        fi;
        unlock_and_wake(wake)
    }
    send(wake)
}

proctype publisher(byte p) {
    byte n = EVENTS, naps = NAPS, left;
    bool wake, waited, in_time;
    mtype result;
    do
    :: n == 0 || result == CLOSED -> break
    :: n > 0 && result != CLOSED ->
        n--;
        bb_push(p, result, wake);
        do
        :: result == FULL || result == WAITING -> bb_wait(p, result, wake, naps, in_time, waited)
        :: result == FULL || (result == WAITING && !in_time) -> bb_offer(p, result, wake, waited)
        :: result == WAITING && !in_time ->
            bb_withdraw(p, wake, waited, left);
            result = REFUSED
        :: result != FULL && result != WAITING -> break
        od;
        left = (result == RUN -> COUNT(p) : 0);
        do
        :: left > 0 -> bb_caller_done(left)
        :: left > 0 -> bb_withdraw(p, wake, waited, left)
        :: left == 0 -> break
        od
    od
}

/* ---- workers -------------------------------------------------------------------------------- */

/* With `slept` the worker is in the loop around bb_cond_wait. */
inline sleep_until_work(w, slept, spurious) {
    atomic {
        woken[w] = true;
        if
#ifndef BROKEN_RECHECK
        :: queued > 0 || state == SHUT
#endif
        :: else -> sleepers++; asleep[w] = true; slept = true
        fi
    }
#ifndef CLOSER
end_asleep:
#endif
    do
    :: atomic { !slept -> break }
    :: atomic { slept && asleep[w] && spurious > 0 -> spurious--; asleep[w] = false }
    :: atomic { slept && !asleep[w] ->
        sleepers--;
#ifndef BROKEN_WAKING
        if
        :: queued == 0 -> waking = false
        :: else
        fi;
#endif
        if
        :: queued == 0 && state != SHUT -> sleepers++; asleep[w] = true
        :: else -> slept = false
        fi
    }
    od
}

/* A handler publishes: bb_help, and overdrawing where that finds nothing to take. */
inline bb_help(nested, wake) {
    atomic {
        if
        :: state != SHUT ->
            nested = !has_room(1) && queued > 0;
            if
            :: nested -> begin()
            :: else
            fi;
            if
            :: queued < CAPACITY + OVERDRAFT -> enqueue(1)
            :: else
            fi;
            if
            :: nested -> pass_on_room()
            :: else
            fi
        :: else
        fi;
        unlock_and_wake(wake)
    }
    send(wake)
}

proctype worker(byte w) {
    byte spurious = SPURIOUS;
    bool open, slept, nested, wake;
bb_take:
    atomic {
        if
        :: open -> finish(); open = false
        :: else
        fi;
        if
        :: woken[w] -> waking = false
        :: else
        fi;
        woken[w] = false;
        if
        :: state == SHUT -> unlock_and_wake(wake)
        :: state != SHUT && queued > 0 ->
            begin();
            open = true;
            pass_on_room();
#ifndef BROKEN_CHAIN
            unlock_and_wake(wake)
#endif
        :: else
        fi
    }
    if
    :: open -> send(wake)
    :: !open && state == SHUT -> send(wake); goto shut
    :: !open && state != SHUT ->
        sleep_until_work(w, slept, spurious);
        goto bb_take
    fi;
    do /* the handler */
    :: atomic { helps_left > 0 -> helps_left-- }
        bb_help(nested, wake);
        if
        :: nested -> atomic { finish(); nested = false } /* bb_done */
        :: else
        fi
    :: goto bb_take
    od;
shut:
    skip
}

/* ---- the end -------------------------------------------------------------------------------- */

#ifdef CLOSER
/* Closes at any moment, with or without draining; may lose patience with a drain. In the end it
 * discards what is left. */
proctype closer() {
    atomic {
        if
        :: state = DRAINING
        :: state = SHUT
        fi;
        note_if_idle();
        wake_everyone()
    }
    if
    :: atomic { state = SHUT; note_if_idle(); wake_everyone() }
    :: skip
    fi;
    atomic { state == SHUT -> queued = 0; note_if_idle() } /* bb_discard */
}
#endif

#ifdef IDLER
proctype bb_wait_idle() {
    do
    :: atomic { !idler_asleep ->
        idle_waiter = false;
        if
        :: queued == 0 && running == 0 -> break
        :: else -> idle_waiter = true; idler_asleep = true
        fi
    }
    od
}
#endif

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

#define lost_wake_up (queued > 0 && state != SHUT && all_asleep && wakes_in_flight == 0)
#define lazy_worker (queued > 0 && state != SHUT && sleepers > 0 && !waking)
#define stuck_wake (waking && wakes_in_flight == 0 && !any_on_its_way)
#define wasted_room (state == OPEN && ((line?[0] && has_room(LARGE)) || \
                     (len(line) > 0 && !line?[0] && has_room(1))))

proctype monitor() {
end_monitor:
    if
    :: lost_wake_up -> assert(!lost_wake_up)
    :: lazy_worker -> assert(!lazy_worker)
    :: stuck_wake -> assert(!stuck_wake)
    :: wasted_room -> assert(!wasted_room)
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

/* admission.pml: the calls of a publisher, as in admission.c and callers.c. Included by
 * waiters.pml. */

inline bb_push(id, result, wake) {
    atomic {
        if
        :: !is_open_to(id) -> result = CLOSED
        :: is_open_to(id) && fits(COUNT(id), HANDLER(id)) && !has_waiters_before(id) ->
            enqueue(COUNT(id), id);
            result = ACCEPTED
        :: else -> result = FULL
        fi;
        unlock_and_wake(wake)
    }
    send(wake)
}

/* ---- deciding ------------------------------------------------------------------------------ */

#define over(n, handler) (queued + (n) - slot_limit(handler))

/* The number left after evicting as many as the event needs. */
#define left_for(n, handler) \
    ((n) > slot_limit(handler) -> 0 : (over(n, handler) < (n) -> slot_limit(handler) - (n) : queued - (n)))

/* Any mode: refuse, evict as many as the event needs, or let the caller run it. */
inline decide(n, handler, result) {
    if
    :: result = REFUSED
#if RESERVED == 0 /* or which levels are evicted would have to be known */
    :: queued = left_for(n, handler) + n; result = ACCEPTED
#endif
    :: running = running + n; result = RUN
    fi
}

inline bb_offer(id, waits, result, wake, was) {
    atomic {
        if
        :: waits -> finish_wait(id, was); dozing[id] = false; waits = false
        :: else
        fi;
        if
        :: was -> result = ACCEPTED
        :: !was && !is_open_to(id) -> result = CLOSED
        :: !was && is_open_to(id) && fits(COUNT(id), HANDLER(id)) ->
            enqueue(COUNT(id), id);
            result = ACCEPTED
        :: else -> decide(COUNT(id), HANDLER(id), result)
        fi;
        was = false;
#ifndef BROKEN_OFFERING
        admit_waiters();
#endif
        unlock_and_wake(wake)
    }
    send(wake)
}

inline bb_caller_done(left) {
    atomic { assert(running > 0); running--; left--; signal_if_idle() }
}

inline bb_caller_abort(left) {
    atomic { assert(running >= left); running = running - left; left = 0; signal_if_idle() }
}

inline run_here(left) {
    do
    :: left > 0 -> bb_caller_done(left)
    :: left > 0 -> bb_caller_abort(left)
    :: left == 0 -> break
    od
}

/* ---- a thread ------------------------------------------------------------------------------ */

proctype publisher(byte p) {
    byte n = EVENTS, naps = NAPS, spurious = SPURIOUS, left;
    byte wake;
    bool waits, was, in_time;
    mtype result;
    do
    :: n == 0 || result == CLOSED -> break
    :: n > 0 && result != CLOSED ->
        n--;
        bb_push(p, result, wake);
        if
        :: result == FULL -> bb_waiter_join(p, result, wake); waits = result == WAITING
        :: result == FULL /* or decide immediately */
        :: else
        fi;
        do
        :: waits && result == WAITING -> bb_waiter_wait(p, result, wake, naps, spurious, in_time)
        :: waits && (NAPS > 0 || result != WAITING) ->
            bb_waiter_leave(p, result, wake, was);
            waits = false
        :: (waits && (NAPS > 0 || result != WAITING)) || result == FULL ->
            bb_offer(p, waits, result, wake, was)
        :: !waits && result != FULL -> break
        od;
        left = (result == RUN -> COUNT(p) : 0);
        run_here(left)
    od
}

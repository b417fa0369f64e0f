/* publish.pml: the publishers of the model, as in publish.c. Included by waiting.pml. */

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

/* ---- waiting ------------------------------------------------------------------------------- */

/* In C, was_let_in forgets its waiter. */
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
    waited = in_line(p);
    if
    :: waited ->
        line??eval(p);
#ifndef BROKEN_LEAVING
        let_in()
#endif
    :: else
    fi
}

/* Up to the first look at the loop's condition, or to the end. */
inline join_line(p, result) {
    result = WAITING;
    if
    :: in_line(p) /* a further slice */
    :: else -> line!p
    fi;
    dozing[p] = true
}

#ifdef BROKEN_WAITING
#define room_on_arrival(p) false
#else
#define room_on_arrival(p) free_to_enter(COUNT(p))
#endif

inline wait_in_line(p, result, wake, naps, in_time, waited, spurious) {
    do
    :: atomic { dozing[p] && naps > 0 -> naps--; in_time = false; dozing[p] = false }
    :: atomic { dozing[p] && spurious > 0 -> spurious--; dozing[p] = false }
    :: atomic { !dozing[p] ->
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
    od
}

inline bb_wait(p, result, wake, naps, in_time, waited, spurious) {
    in_time = true;
    atomic {
        if
        :: was_let_in[p] -> forget_let_in(p); result = ACCEPTED
        :: !was_let_in[p] && state != OPEN -> left_line(p, waited); result = CLOSED
        :: !was_let_in[p] && state == OPEN && room_on_arrival(p) ->
            enqueue(COUNT(p));
            result = ACCEPTED
        :: !was_let_in[p] && state == OPEN && !room_on_arrival(p) && congested && !in_line(p) ->
            result = FULL /* with `always` 0 */
        :: !was_let_in[p] && state == OPEN && !room_on_arrival(p) -> join_line(p, result)
        fi;
        if
        :: result != WAITING -> unlock_and_wake(wake)
        :: else
        fi
    }
    if
    :: result == WAITING -> wait_in_line(p, result, wake, naps, in_time, waited, spurious)
    :: else
    fi;
    send(wake)
}

/* ---- deciding ------------------------------------------------------------------------------ */

/* How many must give way to an event of n deliveries; an overdraft is replaced, not paid off. */
#define needed(n) (queued > CAPACITY -> (n) : queued + (n) - CAPACITY)

/* Any mode: refuse, evict as much as one needs, outside run the event oneself, inside overdraw. */
inline decide(n, inside, result) {
    if
    :: result = REFUSED
    :: queued >= needed(n) ->
        queued = (queued > CAPACITY -> queued : CAPACITY); /* evict, then enqueue */
        result = ACCEPTED
    :: !inside -> running = running + n; result = RUN
    :: inside && queued + n <= CAPACITY + OVERDRAFT -> enqueue(n); result = ACCEPTED
    fi
}

inline bb_offer(p, result, wake, waited) {
    atomic {
        if
        :: was_let_in[p] -> forget_let_in(p); result = ACCEPTED
        :: else ->
            left_line(p, waited);
            if
            :: state != OPEN -> result = CLOSED
            :: state == OPEN && has_room(COUNT(p)) -> enqueue(COUNT(p)); result = ACCEPTED
            :: else -> congested = congested || waited; decide(COUNT(p), false, result)
            fi
        fi;
        unlock_and_wake(wake)
    }
    send(wake)
}

inline bb_caller_done(left) {
    atomic { assert(running > 0); running--; left--; note_if_idle() }
}

/* Leave the line, or stop running the event half-way. */
inline bb_withdraw(p, wake, waited, left) {
    atomic {
        if
        :: was_let_in[p] -> forget_let_in(p)
        :: !was_let_in[p] && left > 0 ->
            assert(running >= left);
            running = running - left;
            left = 0;
            note_if_idle()
        :: !was_let_in[p] && left == 0 -> left_line(p, waited)
        fi;
        unlock_and_wake(wake)
    }
    send(wake)
}

/* ---- a thread ------------------------------------------------------------------------------ */

proctype publisher(byte p) {
    byte n = EVENTS, naps = NAPS, spurious = SPURIOUS, left;
    bool wake, waited, in_time;
    mtype result;
    do
    :: n == 0 || result == CLOSED -> break
    :: n > 0 && result != CLOSED ->
        n--;
        bb_push(p, result, wake);
        do
        :: result == FULL || result == WAITING ->
            bb_wait(p, result, wake, naps, in_time, waited, spurious)
        :: result == FULL || result == WAITING -> bb_offer(p, result, wake, waited)
        :: result == WAITING -> bb_withdraw(p, wake, waited, left); result = REFUSED
        :: result != FULL && result != WAITING -> break
        od;
        left = (result == RUN -> COUNT(p) : 0);
        do
        :: left > 0 -> bb_caller_done(left)
        :: left > 0 -> bb_withdraw(p, wake, waited, left)
        :: left == 0 -> break
        od;
        in_time = false; /* forget, so that fewer states differ */
        waited = false
    od
}

/* worker.pml: the workers of the model and the end of the ring, as in worker.c. Included by
 * waiting.pml. */

inline begin() {
    assert(queued > 0);
    queued--;
    running++;
    congested = false
}

inline finish() {
    assert(running > 0);
    running--;
    note_if_idle()
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

/* ---- taking -------------------------------------------------------------------------------- */

inline end_drain_in_time() {
    if
    :: state == DRAINING && deadline_passed -> state = SHUT; wake_everyone()
    :: else
    fi
}

#ifdef BROKEN_DEADLINE
#define until_deadline false
#else
#define until_deadline (state == DRAINING && deadline)
#endif

inline fall_asleep(w, timed) {
    timed = until_deadline;
    sleepers++;
    asleep[w] = true
}

/* `slept`: in the loop around bb_cond_wait. */
inline sleep_until_work(w, slept, timed, spurious) {
    atomic {
        woken[w] = true;
        if
#ifndef BROKEN_RECHECK
        :: queued > 0 || state == SHUT
#endif
        :: else -> fall_asleep(w, timed); slept = true
        fi
    }
#ifndef CLOSER
end_asleep:
#endif
    do
    :: !slept -> break
    :: atomic { slept && asleep[w] && spurious > 0 -> spurious--; asleep[w] = false }
    :: atomic { slept && asleep[w] && timed && deadline_passed -> asleep[w] = false }
    :: atomic { slept && !asleep[w] ->
        sleepers--;
#ifndef BROKEN_NOTHING
        if
        :: queued == 0 -> waking = false /* woken for nothing */
        :: else
        fi;
#endif
        end_drain_in_time();
        if
        :: queued == 0 && state != SHUT -> fall_asleep(w, timed)
        :: else -> slept = false; timed = false
        fi
    }
    od
}

/* Leaves with `open`, or without where the ring is shut. */
inline bb_take(w, open, ended, wake, slept, timed, spurious) {
    do
    :: atomic {
        if
        :: open -> finish(); open = false
        :: else
        fi;
        if
#ifndef BROKEN_WAKING
        :: woken[w] -> waking = false
#endif
        :: else
        fi;
        woken[w] = false;
        end_drain_in_time();
        if
        :: state == SHUT -> ended = true
        :: state != SHUT && queued > 0 -> begin(); open = true; pass_on_room()
        :: else
        fi;
#ifdef BROKEN_CHAIN
        wake = false
#else
        if
        :: open || ended -> unlock_and_wake(wake)
        :: else
        fi
#endif
    }
        if
        :: open || ended -> send(wake); break
        :: else -> sleep_until_work(w, slept, timed, spurious)
        fi
    od
}

/* ---- handlers that publish ------------------------------------------------------------------- */

/* With BB_HELP open, nothing can be taken. */
inline bb_help(n, result, nested, wake) {
    atomic {
        if
        :: state == SHUT -> result = CLOSED
        :: state != SHUT ->
            if
            :: queued > 0 && !has_room(n) -> nested = true; begin()
            :: true
            fi;
            if
            :: has_room(n) -> enqueue(n); result = ACCEPTED
            :: else -> result = FULL
            fi;
            if
#ifndef BROKEN_HELPING
            :: nested -> pass_on_room()
#endif
            :: else
            fi
        fi;
        unlock_and_wake(wake)
    }
    send(wake)
}

/* bb_offer with BB_INSIDE: of an event that does not stand in line. */
inline bb_offer_inside(n, result, wake) {
    atomic {
        if
        :: state == SHUT -> result = CLOSED
        :: state != SHUT && has_room(n) -> enqueue(n); result = ACCEPTED
        :: else -> decide(n, true, result)
        fi;
        unlock_and_wake(wake)
    }
    send(wake)
}

/* Help until there is room; where that is no use, overdraw. */
inline publish_inside(n, result, nested, wake) {
    do
    :: bb_help(n, result, nested, wake);
        if
        :: nested ->
            atomic { finish(); nested = false } /* bb_done */
            if
            :: result != FULL -> break
            :: else
            fi
        :: else -> break
        fi
    od;
    if
    :: result == FULL -> bb_offer_inside(n, result, wake)
    :: else
    fi;
    result = 0
}

proctype worker(byte w) {
    byte spurious = SPURIOUS;
    bool open, ended, slept, timed, nested, wake;
    mtype result;
    do
    :: bb_take(w, open, ended, wake, slept, timed, spurious);
        if
        :: ended -> break
        :: else
        fi;
#ifdef STUCK
        w > 0 || state == SHUT; /* the handlers of worker 0 last longer than any drain */
#endif
        do
        :: atomic { helps_left > 0 -> helps_left-- }
            publish_inside(LARGE, result, nested, wake)
        :: break
        od
    od
}

/* ---- the end ------------------------------------------------------------------------------- */

inline bb_close(to) {
    state = to;
    note_if_idle();
    wake_everyone()
}

#ifdef CLOSER
/* Closes at any moment, with or without draining, with or without a deadline; may lose patience
 * with a drain. In the end it discards what is left. */
proctype closer() {
    atomic {
        if
#ifndef STUCK
        :: bb_close(SHUT)
        :: bb_close(DRAINING)
#endif
        :: deadline = true; bb_close(DRAINING)
        fi
    }
    if
    :: deadline -> deadline_passed = true
#ifndef STUCK
    :: atomic { bb_close(SHUT) }
    :: skip
#endif
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

/* workers.pml: the workers of the model and the end of the queue, as in workers.c and lifecycle.c.
 * Included by waiters.pml. */

inline begin() {
    assert(queued > 0 && !limit_reached);
    queued--;
#if RESERVED > 0
    top = (top > 0 -> top - 1 : 0); /* the highest level first */
#endif
    running++;
    calls++;
    congested = false
}

inline finish() {
    assert(running > 0 && calls > 0);
    running--;
    calls--;
    signal_if_idle()
}

inline admit_and_notify() {
#ifndef BROKEN_PASSING
    admit_waiters();
#endif
    if
    :: count_unnotified > 0 -> notify_admitted()
    :: else
    fi
}

#define has_surplus (present > wanted)
#define is_surplus(w) (has_surplus && !is_reserved(w))

inline leave() {
    present--;
#ifndef BROKEN_GOING
    wake_if_all_wait()
#endif
}

/* ---- taking -------------------------------------------------------------------------------- */

inline end_drain_at_deadline() {
    if
    :: state == DRAINING && deadline_passed -> state = SHUT; wake_all()
    :: else
    fi
}

inline end_wake_up(w) {
    if
    :: is_reserved(w) -> waking_reserved = false
    :: else -> waking = false
    fi
}

#ifdef BROKEN_DEADLINE
#define until_deadline false
#else
#define until_deadline (state == DRAINING && deadline)
#endif

inline fall_asleep(w, timed) {
    timed = until_deadline;
    if
    :: is_reserved(w) -> idle_reserved++
    :: else -> idle_workers++
    fi;
    asleep[w] = true;
#ifndef BROKEN_ASLEEP
    wake_if_all_wait()
#else
    skip
#endif
}

/* `slept`: in the loop around bb_cond_wait. */
inline wait_for_work(w, slept, timed, spurious) {
    atomic {
        woken[w] = true;
        if
#ifndef BROKEN_RECHECK
        :: has_work(w) || state == SHUT || is_surplus(w)
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
        if
        :: is_reserved(w) -> idle_reserved--
        :: else -> idle_workers--
        fi;
#ifndef BROKEN_NOTHING
        if
        :: !has_work(w) -> end_wake_up(w) /* woken for nothing */
        :: else
        fi;
#endif
        end_drain_at_deadline();
        if
        :: !has_work(w) && state != SHUT && !is_surplus(w) -> fall_asleep(w, timed)
        :: else -> slept = false; timed = false
        fi
    }
    od
}

/* Leaves with `open`, or with `ended` where the queue is shut or has too many workers. */
inline bb_take(w, open, ended, wake, slept, timed, spurious) {
    do
    :: atomic {
        if
        :: open -> finish(); open = false
        :: else
        fi;
        if
#ifndef BROKEN_WAKING
        :: woken[w] -> end_wake_up(w)
#endif
        :: else
        fi;
        woken[w] = false;
        end_drain_at_deadline();
        if
        :: state == SHUT || is_surplus(w) -> leave(); ended = true
        :: state != SHUT && !is_surplus(w) && has_work(w) ->
            begin();
            open = true;
            admit_and_notify()
        :: else
        fi;
#ifdef BROKEN_CHAIN
        wake = 0
#elif defined(BROKEN_OTHERS)
        if
        :: open || ended -> unlock_and_wake(wake)
        :: else
        fi
#else
        unlock_and_wake(wake) /* what this one may not take, another may */
#endif
    }
        send(wake);
        if
        :: open || ended -> break
        :: else -> wait_for_work(w, slept, timed, spurious)
        fi
    od
}

/* ---- handlers that publish ------------------------------------------------------------------- */

/* Wait, counted as a waiting worker; decide afterwards. */
inline wait_inside(id, result, wake, waits, naps, spurious, in_time) {
    bb_worker_waits(true);
    bb_waiter_join(id, result, wake);
    waits = result == WAITING;
    do
    :: waits && result == WAITING -> bb_waiter_wait(id, result, wake, naps, spurious, in_time)
    :: else -> break
    od;
    bb_worker_waits(false)
}

inline publish_inside(id, result, wake, waits, was, naps, spurious, in_time, left) {
    bb_push(id, result, wake);
    if
    :: result == FULL -> wait_inside(id, result, wake, waits, naps, spurious, in_time)
    :: else
    fi;
    if
    :: waits -> bb_waiter_leave(id, result, wake, was); waits = false
    :: waits || result == FULL -> bb_offer(id, waits, result, wake, was)
    :: else
    fi;
    left = (result == RUN -> COUNT(id) : 0);
    run_here(left);
    result = 0
}

proctype worker(byte w) {
    byte naps, spurious = SPURIOUS, left;
    byte wake;
    bool open, ended, slept, timed, waits, was, in_time;
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
        :: atomic { inside_left > 0 -> inside_left-- }
#ifdef ELSEWHERE
            if /* those of worker 0 wait for another queue, until no handler waits here */
            :: w == 0 ->
                bb_worker_waits(true);
                len(line[2]) == 0;
                bb_worker_waits(false)
            :: else ->
#endif
            publish_inside(PUBLISHERS + w, result, wake, waits, was, naps, spurious, in_time, left)
#ifdef ELSEWHERE
            fi
#endif
        :: break
        od
    od
}

/* ---- the end ------------------------------------------------------------------------------- */

#ifdef RESIZER
proctype resizer() {
    atomic {
        wanted = 1 + RESERVED;
#ifndef BROKEN_RESIZE
        for (i : 0 .. WORKERS - 1) { asleep[i] = false }
#endif
        i = 0
    }
}
#endif

inline bb_close(to) {
    state = to;
    signal_if_idle();
    wake_all()
}

#ifdef CLOSER
/* Closes at any moment, with or without draining and deadline; may cut a drain short. Then it discards
 * what is left. */
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
    atomic { state == SHUT -> queued = 0; top = 0; signal_if_idle() } /* bb_discard */
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

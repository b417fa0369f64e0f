/* waiting.pml: joining a wait queue, waiting in it and leaving it, as in waiters.c. Included by
 * waiters.pml. */

inline bb_waiter_join(id, result, wake) {
    atomic {
        if
        :: !is_open_to(id) -> result = CLOSED
        :: is_open_to(id) && fits(COUNT(id), HANDLER(id)) && !has_waiters_before(id) ->
            enqueue(COUNT(id), id);
            result = ACCEPTED
        :: else ->
            if
            :: true -> limited[id] = true
            :: STANDSTILLS > 0 /* without the rule, a wait without a limit is like any other */
            fi;
            if
            :: (congested && !limited[id]) || (HANDLER(id) && all_workers_wait) ->
                limited[id] = false;
                result = FULL
            :: else -> line[RANK(id)]!id; dozing[id] = true; result = WAITING
            fi
        fi;
        unlock_and_wake(wake)
    }
    send(wake)
}

/* The waits of all end. */
inline begin_congestion() {
    standstills_left--;
    congested = true;
#ifndef BROKEN_TOGETHER
    wake_waiters()
#endif
}

#define its_wait_has_ended(id) \
    (!admitted[id] && ((HANDLER(id) && all_workers_wait) || (congested && !limited[id])))

/* The rule can apply while no woken worker is on its way. */
#define can_stand_still(id) \
    (dozing[id] && in_line(id) && !limited[id] && !congested && !waking && !waking_reserved && standstills_left > 0)

/* Check the loop's condition; 0 in `result`: sleep on. */
inline check(id, result, in_time) {
    if
    :: notified[id] || rejected[id] || (admitted[id] && !in_time) ->
        result = (admitted[id] -> ACCEPTED : CLOSED)
    :: else ->
        if
        :: its_wait_has_ended(id) -> result = FULL
        :: !its_wait_has_ended(id) && !in_time -> result = WAITING
        :: else -> dozing[id] = true
        fi
    fi
}

inline bb_waiter_wait(id, result, wake, naps, spurious, in_time) {
    in_time = true;
    result = 0;
    do
    :: atomic { dozing[id] && naps > 0 -> naps--; in_time = false; dozing[id] = false }
    :: atomic { dozing[id] && spurious > 0 -> spurious--; dozing[id] = false }
    :: atomic { can_stand_still(id) ->
        begin_congestion();
        dozing[id] = false;
        result = FULL;
        unlock_and_wake(wake);
        break
    }
    :: atomic { !dozing[id] ->
        check(id, result, in_time);
        if
        :: result != 0 -> unlock_and_wake(wake); break
        :: else
        fi
    }
    od;
    in_time = false; /* reset, so that fewer states differ */
    send(wake)
}

inline bb_waiter_leave(id, result, wake, was) {
    atomic {
        finish_wait(id, was);
        dozing[id] = false;
        if
        :: was -> result = ACCEPTED
        :: else ->
            result = REFUSED;
#ifndef BROKEN_LEAVING
            admit_waiters()
#endif
        fi;
        was = false;
        unlock_and_wake(wake)
    }
    send(wake)
}

inline bb_worker_waits(waits) {
    atomic {
        blocked = (waits -> blocked + 1 : blocked - 1);
#ifndef BROKEN_ALL_WAIT
        wake_if_all_wait()
#endif
    }
}

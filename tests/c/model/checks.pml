/* checks.pml: what must hold in every state, and the processes. Included by waiters.pml. */

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

#define a_wake_up_is_lost (has_any_work && state != SHUT && all_asleep && wakes_in_flight == 0)
#define idle_while_work_waits \
    (state != SHUT && ((has_any_work && idle_workers > 0 && !waking) || \
                       (has_top_work && idle_reserved > 0 && !waking && !waking_reserved)))
#define surplus_stays (has_surplus && all_asleep)
#define waking_is_stuck ((waking || waking_reserved) && wakes_in_flight == 0 && !any_on_its_way)

/* The first waiter: a handler, else publisher 1, which is alone at its level, else one of the
 * lower level, of which number 0 alone has large events. */
#define slots_are_wasted \
    ((len(line[2]) > 0 && fits(LARGE, true)) || \
     (len(line[2]) == 0 && len(line[1]) > 0 && fits(1, false)) || \
     (len(line[2]) + len(line[1]) == 0 && len(line[0]) > 0 && \
      ((line[0]?[0] && fits(LARGE, false)) || (!line[0]?[0] && fits(1, false)))))

#define sleeps_through_it(id) (congested && dozing[id] && in_line(id) && !limited[id])
#if IDS == 2
#define one_sleeps_through_it (sleeps_through_it(0) || sleeps_through_it(1))
#elif IDS == 3
#define one_sleeps_through_it \
    (sleeps_through_it(0) || sleeps_through_it(1) || sleeps_through_it(2))
#elif IDS == 4
#define one_sleeps_through_it \
    (sleeps_through_it(0) || sleeps_through_it(1) || sleeps_through_it(2) || sleeps_through_it(3))
#else
#define one_sleeps_through_it \
    (sleeps_through_it(0) || sleeps_through_it(1) || sleeps_through_it(2) || \
     sleeps_through_it(3) || sleeps_through_it(4))
#endif

/* Never set; spin prints the name of an assertion that failed. */
hidden byte no_lost_wake_up, no_idle_worker, no_stuck_waking, no_wasted_slots, all_end_together,
    surplus_leaves;

proctype monitor() {
end_monitor:
    if
    :: atomic { a_wake_up_is_lost -> assert(no_lost_wake_up) }
    :: atomic { idle_while_work_waits -> assert(no_idle_worker) }
    :: atomic { waking_is_stuck -> assert(no_stuck_waking) }
    :: atomic { slots_are_wasted -> assert(no_wasted_slots) }
    :: atomic { surplus_stays -> assert(surplus_leaves) }
    :: atomic { one_sleeps_through_it -> assert(all_end_together) }
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
#ifdef RESIZER
        run resizer();
#endif
#ifdef IDLER
        run bb_wait_idle();
#endif
    }
}

/* test_queue.c: the unit tests of the queue's contract, csrc/queue/queue.h, without Python. */
#include "fixture.h"

int main(void) {
    push_tests();
    offer_tests();
    oversize_tests();
    caller_tests();
    waiting_tests();
    waiting_end_tests();
    reserve_tests();
    standstill_tests();
    notify_tests();
    take_tests();
    running_tests();
    end_tests();
    stats_tests();
    histograms_tests();
    host_tests();
    resize_tests();
    resize_races_tests();
    lanes_tests();
    limits_tests();
    parked_tests();
    batches_tests();
    filling_tests();
    retries_tests();
    detached_tests();
    expiry_tests();
    barrier_tests();
    reserved_tests();
    timers_tests();
    arrivals_tests();
    fast_clock_tests();
    items_tests();
    stepped_tests();
    life_tests();
    fork_tests();
    return check_report();
}

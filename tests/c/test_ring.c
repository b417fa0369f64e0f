/* test_ring.c: the unit tests of the ring's contract, csrc/ring.h, without Python. */
#include "fixture.h"

int main(void) {
    push_tests();
    offer_tests();
    caller_tests();
    line_tests();
    telling_tests();
    take_tests();
    help_tests();
    end_tests();
    stats_tests();
    host_tests();
    resize_tests();
    resize_races_tests();
    meters_tests();
    life_tests(); /* last: it uses the routes of the process up */
    return check_report();
}

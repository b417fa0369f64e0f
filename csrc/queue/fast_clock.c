/* fast_clock.c: the base of a fast clock.
 *
 * Until the rate is known, each time is read from the system's clock and checked whether it can be
 * the new base, which costs more than both clocks together. When that took 10 ms instead of 1, each
 * of the first 200,000 events of a queue took 113 ns instead of 94, and times were no more exact:
 * 1.6 us off at most, instead of 0.3.
 */
#include "fast_clock.h"

#define MIN_SPAN_NS 1000000u /* a shorter one is too short to measure the rate */
#define MAX_SPAN_NS 100000000u
#define PAIR_TICKS 3000u /* some 1 us: readings further apart were interrupted */
#define TOLERANCE 0.002  /* NTP slews by 500 ppm; more is a machine that slept or was moved */

void fast_clock_init(fast_clock *clock) {
    *clock = (fast_clock){.counts = bb_ticks_are_reliable()};
    if (clock->counts) fast_clock_rebase(clock);
}

static bool same_rate(uint64_t known, double rate) {
    double ratio = rate / (double)known;
    return ratio > 1 - TOLERANCE && ratio < 1 + TOLERANCE;
}

/* A new base is used for no longer than its rate was measured, so that its error is no larger than
 * that of the readings. */
static uint64_t span_after(uint64_t ns, double rate) {
    uint64_t span = ns < MAX_SPAN_NS ? ns : MAX_SPAN_NS;
    return (uint64_t)((double)span / rate * 4294967296.0);
}

uint64_t fast_clock_rebase(fast_clock *clock) {
    uint64_t ticks = bb_ticks(), ns = bb_clock();
    if (bb_ticks() - ticks > PAIR_TICKS) return ns; /* interrupted: the next reading tries again */
    bool first = clock->ns == 0;
    uint64_t passed = ns - clock->ns, counted = ticks - clock->ticks;
    if (!first && passed < MIN_SPAN_NS && counted > 0) return ns;
    double rate = counted > 0 ? (double)passed / (double)counted * 4294967296.0 : 0;
    bool known = !first && rate >= 1 && rate < 4294967296.0 * 100;
    if (known && clock->rate != 0) known = same_rate(clock->rate, rate);
    clock->ticks = ticks; /* not `counts`, which is read without the mutex */
    clock->ns = ns;
    clock->rate = known ? (uint64_t)rate : 0;
    clock->span = known ? span_after(passed, rate) : 0;
    return ns;
}

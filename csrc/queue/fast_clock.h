/* fast_clock.h: bb_clock for statistics, within a microsecond or two, in a third of the time.
 *
 * Guarantees
 * - A time is in the nanoseconds of bb_clock, so that both can be compared.
 * - Where the processor has no counter that the system uses itself, it is bb_clock.
 * - A time that was set is the time, to the nanosecond, and costs a clock that counts nothing.
 * - An error does not accumulate: a base is used for a tenth of a second at most, and then renewed.
 *
 * An event is stamped when it is accepted and again when it is taken. clock_gettime costs 20 to 30
 * ns each time; the processor's counter a third of that, because it does not wait for all earlier
 * instructions, which does not matter to a histogram. Measured with it: publish and take 54 + 76
 * ns, from 65 + 91.
 *
 * What does not work
 * - Deriving the rate once and for all: NTP slews bb_clock by up to 500 ppm.
 * - One base for all threads outside the mutex: a sequence lock costs as much as it saves.
 *   Therefore the counter is read before the thread waits for the mutex, and converted to a time
 *   with the mutex held, by a base of the queue's own.
 */
#ifndef BB_FAST_CLOCK_H
#define BB_FAST_CLOCK_H

#include "platform.h"

/* From ticks to nanoseconds: `ns` at `ticks`, and from there on `rate` / 2^32 per tick. */
typedef struct {
    bool counts; /* the processor's counter is used; constant */
    uint64_t ticks;
    uint64_t ns;
    uint64_t rate;
    uint64_t span; /* ticks before and after `ticks` for which that holds; 0: rate unknown */
    uint64_t set; /* not 0: the time, which stands still until it is set again; `counts` is false */
} fast_clock;

void fast_clock_init(fast_clock *clock);

/* bb_clock, or the time that was set. */
static inline uint64_t fast_clock_exact(const fast_clock *clock) {
    return clock->set != 0 ? clock->set : bb_clock();
}

/* The time now, read from bb_clock, which becomes the new base. */
uint64_t fast_clock_rebase(fast_clock *clock);

/* Without a lock: a reading for fast_clock_time; never 0. */
static inline uint64_t fast_clock_read(const fast_clock *clock) {
    return clock->counts ? bb_ticks() : fast_clock_exact(clock);
}

/* The time of a reading, which may have been taken before the base was. The product stays below
 * 2^59: a span is at most 10^8 ns, whatever the rate. */
static inline uint64_t fast_clock_time(fast_clock *clock, uint64_t reading) {
    if (!clock->counts) return reading;
    uint64_t since = reading - clock->ticks; /* wraps around for an older one */
    if (since < clock->span) return clock->ns + (since * clock->rate >> 32);
    if (0 - since < clock->span) return clock->ns - ((0 - since) * clock->rate >> 32);
    return fast_clock_rebase(clock);
}

#endif

/* meters.c: what each subscription's handler costs, and how deliveries arrive; for the adviser.
 *
 * The clock of a thread's CPU time costs a call into the kernel, up to 0.5 us, ten times what a
 * push costs. It is read only for meters whose deliveries take long enough for that not to
 * matter, SHORT_NS on average. The others are taken to compute all the time: what waits for
 * anything takes longer.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_NS 10000000u

/* CPU time since a reading, at most the wall time, and all of it if there was no reading.
 * `now`: the new reading, if there was one. */
uint64_t cpu_since(uint64_t cpu, uint64_t wall, uint64_t *now) {
    if (cpu == 0) return wall;
    *now = bb_thread_cpu();
    uint64_t used = elapsed(cpu, *now);
    return used < wall ? used : wall;
}

/* The shortest window is over: close it, and the longer ones that end with it. All begin with the
 * first arrival, so that a longer one ends where a shorter one does. */
static void close_windows(ring *ring, uint64_t now) {
    static const uint64_t length[SCALES] = {WINDOW_NS, 10 * WINDOW_NS, 100 * WINDOW_NS};
    for (int32_t s = 1; s < SCALES; s++) ring->in_window[s] += ring->in_window[0];
    for (int32_t s = 0; s < SCALES; s++) {
        uint64_t since = elapsed(ring->window_began[s], now);
        if (since < length[s]) break;
        bb_windows *w = &ring->arrivals.windows[s];
        double n = (double)ring->in_window[s];
        w->windows += since / length[s]; /* the empty ones since then, too */
        w->counted += n;
        w->counted_squared += n * n;
        ring->window_began[s] += since - since % length[s];
        ring->in_window[s] = 0;
    }
    ring->arrivals.process_cpu = elapsed(ring->process_cpu, bb_process_cpu());
    ring->arrivals.cpu_read = elapsed(ring->made, now);
}

void count_arrivals(ring *ring, int32_t n, uint64_t now) {
    bb_arrivals *a = &ring->arrivals;
    if (a->deliveries == 0) {
        a->first = elapsed(ring->made, now);
        ring->process_cpu = bb_process_cpu();
        for (int32_t s = 0; s < SCALES; s++) ring->window_began[s] = now;
    }
    if (elapsed(ring->window_began[0], now) >= WINDOW_NS) close_windows(ring, now);
    ring->in_window[0] += (uint64_t)n;
    a->deliveries += (uint64_t)n;
    a->last = elapsed(ring->made, now);
}

/* ---- the contract -------------------------------------------------------------------------- */

int32_t bb_meter_route(int64_t handle, const int32_t *meters) {
    route *route = route_of(handle);
    if (route == NULL) return BB_GONE;
    ring *ring = route->ring;
    if (!ring->monitoring) return 0;
    bb_meter **places = calloc((size_t)route->count, sizeof *places);
    if (places == NULL) return BB_NO_MEMORY;
    for (int32_t i = 0; i < route->count; i++) places[i] = &ring->meters[meters[i]];
    void *token = ring_lock(ring);
    bool first = route->meters == NULL;
    if (first) route->meters = places;
    ring_unlock(ring, token);
    if (!first) free(places);
    return first ? 0 : BB_NO_MEMORY;
}

int32_t bb_load(int64_t handle, bb_arrivals *arrivals, bb_meter *meters, int32_t n_meters) {
    ring *ring = ring_of(handle);
    *arrivals = (bb_arrivals){0};
    for (int32_t m = 0; m < n_meters; m++) meters[m] = (bb_meter){0};
    if (ring == NULL) return BB_GONE;
    void *token = ring_lock(ring);
    *arrivals = ring->arrivals;
    if (ring->monitoring && n_meters > 0)
        memcpy(meters, ring->meters, (size_t)n_meters * sizeof *meters);
    ring_unlock(ring, token);
    return 0;
}

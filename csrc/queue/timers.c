/* timers.c: what each subscription's handler costs, and how deliveries arrive; for the adviser.
 *
 * Reading a thread's CPU time is a call into the kernel, up to 0.5 us, ten times what a push costs.
 * It is read only for recipients whose deliveries take long enough for that not to matter, SHORT_NS
 * on average. The others are assumed to compute all the time: a handler that waits for anything
 * takes longer.
 */
#include "internal.h"

#include <string.h>

#define ALPHA 0.1 /* of the moving average, from the study */
#define WINDOW_NS 10000000u

/* Of a time below 292 years. A signed number is converted without a branch. */
static inline double square(uint64_t ns) {
    double value = (double)(int64_t)ns;
    return value * value;
}

static inline void add_time(bb_timer *t, uint64_t wall, uint64_t cpu) {
    t->deliveries++;
    t->wall += wall;
    t->cpu += cpu;
    t->wall_squared += square(wall);
    t->cpu_squared += square(cpu);
}

static void record_wall(bb_queue *q, uint64_t wall) {
    ASSERT_LOCKED(q);
    assert(q->monitoring);
    double sample = (double)(int64_t)wall;
    if (q->timer.deliveries == 0) q->processing_average = sample;
    q->processing_average += ALPHA * (sample - q->processing_average);
    record_duration(&q->processing, wall);
}

/* A delivery to `r` was finished that had no worker: it has cost none any time. */
void record_detached(bb_queue *q, bb_recipient *r, uint64_t wall) {
    record_wall(q, wall);
    add_time(&q->timer, 0, 0);
    add_time(&r->timer, 0, 0);
}

/* A delivery to `r` was finished. */
void record_processing(bb_queue *q, bb_recipient *r, uint64_t wall, uint64_t cpu) {
    record_wall(q, wall);
    add_time(&q->timer, wall, cpu);
    add_time(&r->timer, wall, cpu);
}

/* CPU time since a reading, at most the wall time, and all of it if there was no reading.
 * `now`: the new reading, if there was one. */
uint64_t cpu_since(uint64_t cpu, uint64_t wall, uint64_t *now) {
    if (cpu == 0) return wall;
    *now = bb_thread_cpu();
    uint64_t used = elapsed(cpu, *now);
    return used < wall ? used : wall;
}

/* The shortest window is over: close it, and the longer ones that end with it. All begin at the
 * first arrival, so a longer one ends where a shorter one does. */
static void close_windows(bb_queue *q, uint64_t now) {
    static const uint64_t length[SCALES] = {WINDOW_NS, 10 * WINDOW_NS, 100 * WINDOW_NS};
    for (int32_t s = 1; s < SCALES; s++) q->in_window[s] += q->in_window[0];
    for (int32_t s = 0; s < SCALES; s++) {
        uint64_t since = elapsed(q->window_began[s], now);
        if (since < length[s]) break;
        bb_windows *w = &q->arrivals.windows[s];
        double n = (double)q->in_window[s];
        w->windows += since / length[s]; /* including the empty ones since then */
        w->counted += n;
        w->counted_squared += n * n;
        q->window_began[s] += since - since % length[s];
        q->in_window[s] = 0;
    }
    q->arrivals.process_cpu = elapsed(q->process_cpu, bb_process_cpu());
    q->arrivals.cpu_read = elapsed(q->created, now);
}

void count_arrivals(bb_queue *q, int32_t n, uint64_t now) {
    ASSERT_LOCKED(q);
    assert(q->monitoring && n >= 0);
    bb_arrivals *a = &q->arrivals;
    if (a->deliveries == 0) {
        a->first = elapsed(q->created, now);
        q->process_cpu = bb_process_cpu();
        for (int32_t s = 0; s < SCALES; s++) q->window_began[s] = now;
    }
    if (elapsed(q->window_began[0], now) >= WINDOW_NS) close_windows(q, now);
    q->in_window[0] += (uint64_t)n;
    a->deliveries += (uint64_t)n;
    a->last = elapsed(q->created, now);
}

/* ---- the contract -------------------------------------------------------------------------- */

int32_t bb_load(bb_queue *q, bb_arrivals *arrivals, bb_recipient *const *which, bb_timer *timers,
                int32_t n) {
    memset(arrivals, 0, sizeof *arrivals);
    if (is_gone(q)) return BB_GONE;
    void *token = queue_lock(q);
    *arrivals = q->arrivals;
    for (int32_t r = 0; r < n; r++) timers[r] = which[r]->timer;
    queue_unlock(q, token);
    return 0;
}

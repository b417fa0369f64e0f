/* fixture.c: see fixture.h. */
#include "fixture.h"

#include <sched.h>

static fixture fixture_of(int64_t ring) {
    return (fixture){
        .ring = ring,
        .low = bb_route(ring, 0, 1, 1),
        .medium = bb_route(ring, 0, 2, 1),
        .high = bb_route(ring, 0, 3, 1),
        .worker = bb_worker_add(ring),
    };
}

fixture fixture_new(int32_t capacity) { return fixture_of(bb_ring_new(capacity, LEVELS, 0, 0)); }

fixture fixture_timed(int32_t capacity, int64_t starvation_ns) {
    return fixture_of(bb_ring_new(capacity, LEVELS, 1, starvation_ns));
}

void fixture_free(const fixture *f) { bb_ring_free(f->ring); }

void fill(int64_t route, int32_t n) {
    for (int32_t i = 0; i < n; i++) CHECK_INT(BB_ACCEPTED, bb_push(route + i));
}

static void add(bb_counts *sum, const bb_counts *part) {
    sum->published += part->published;
    sum->processed += part->processed;
    sum->failed += part->failed;
    sum->dropped += part->dropped;
    sum->queued += part->queued;
    sum->running += part->running;
}

static void compare(bb_counts expected, bb_counts actual, const char *file, int line) {
    check_int((int64_t)expected.published, (int64_t)actual.published, "published", file, line);
    check_int((int64_t)expected.processed, (int64_t)actual.processed, "processed", file, line);
    check_int((int64_t)expected.failed, (int64_t)actual.failed, "failed", file, line);
    check_int((int64_t)expected.dropped, (int64_t)actual.dropped, "dropped", file, line);
    check_int((int64_t)expected.queued, (int64_t)actual.queued, "queued", file, line);
    check_int((int64_t)expected.running, (int64_t)actual.running, "running", file, line);
}

void check_books(int64_t ring, bb_counts expected, const char *file, int line) {
    static bb_counts kinds[BB_MAX_KINDS];
    bb_stats stats;
    bb_counts levels = {0}, by_kind = {0};
    uint64_t dropped = 0;
    CHECK_INT(0, bb_snapshot(ring, &stats, kinds, BB_MAX_KINDS, NULL, 0));
    for (int32_t l = 0; l < BB_LEVELS; l++) add(&levels, &stats.level[l]);
    for (int32_t k = 0; k < stats.kinds; k++) add(&by_kind, &kinds[k]);
    for (int32_t r = 0; r < BB_REASONS; r++)
        for (int32_t l = 0; l < BB_LEVELS; l++) dropped += stats.dropped_by[r][l];
    compare(expected, stats.total, file, line);
    compare(expected, levels, file, line);
    compare(expected, by_kind, file, line);
    check_int((int64_t)expected.dropped, (int64_t)dropped, "dropped_by, summed up", file, line);
    const bb_counts *t = &stats.total;
    check_that(t->published == t->processed + t->dropped + t->queued + t->running,
               "published = processed + dropped + queued + running", file, line);
}

/* ---- threads ------------------------------------------------------------------------------- */

static void *in_wait(void *argument) {
    sleeper *s = argument;
    s->result = bb_wait(s->handle, s->timeout, 1);
    return NULL;
}

static void *in_take(void *argument) {
    sleeper *s = argument;
    s->result = bb_take(s->handle);
    return NULL;
}

static void *in_wait_idle(void *argument) {
    sleeper *s = argument;
    s->result = bb_wait_idle(s->handle, s->timeout);
    return NULL;
}

static void start(sleeper *s, void *(*call)(void *), int64_t handle, int64_t timeout) {
    s->handle = handle;
    s->timeout = timeout;
    s->result = INT64_MIN;
    CHECK_INT(0, pthread_create(&s->thread, NULL, call, s));
}

void start_wait(sleeper *s, int64_t handle, int64_t timeout) {
    start(s, in_wait, handle, timeout);
}
void start_take(sleeper *s, int64_t worker) { start(s, in_take, worker, 0); }
void start_wait_idle(sleeper *s, int64_t ring, int64_t timeout) {
    start(s, in_wait_idle, ring, timeout);
}

int64_t finish_sleeper(sleeper *s) {
    pthread_join(s->thread, NULL);
    return s->result;
}

static int32_t line_length(const ring *ring) {
    int32_t n = 0;
    for (const waiter *w = ring->line.head; w != NULL; w = w->next) n++;
    return n;
}

static int32_t sleepers(const ring *ring) { return ring->sleepers; }
static int32_t idle_waiters(const ring *ring) { return ring->idle_waiters; }

static int32_t look(int64_t handle, int32_t (*at)(const ring *)) {
    ring *ring = ring_of(handle);
    bb_mutex_lock(&ring->mutex);
    int32_t seen = at(ring);
    bb_mutex_unlock(&ring->mutex);
    return seen;
}

static void await(int64_t handle, int32_t n, int32_t (*at)(const ring *)) {
    while (look(handle, at) != n) sched_yield();
}

void await_line(int64_t handle, int32_t n) { await(handle, n, line_length); }
void await_workers_asleep(int64_t handle, int32_t n) { await(handle, n, sleepers); }
void await_idle_waiters(int64_t handle, int32_t n) { await(handle, n, idle_waiters); }
int32_t length_of_line(int64_t handle) { return look(handle, line_length); }

/* fixture.c: see fixture.h. */
#include "fixture.h"

#include <sched.h>
#include <stdlib.h>

#define AN_HOUR 3600000000000

bb_result last_join;

/* ---- making -------------------------------------------------------------------------------- */

static bb_route route_of_one(fixture *f, int32_t level) {
    return (bb_route){.level = level, .count = 1, .recipients = &f->pointers[level - 1]};
}

fixture *fixture_with(bb_settings settings) {
    fixture *f = calloc(1, sizeof *f);
    if (settings.levels == 0) settings.levels = LEVELS;
    if (settings.standstill == 0) settings.standstill = AN_HOUR;
    for (int i = 0; i < LEVELS + MANY; i++) f->pointers[i] = &f->recipient[i];
    f->low = route_of_one(f, 1);
    f->medium = route_of_one(f, 2);
    f->high = route_of_one(f, 3);
    f->q = bb_queue_new(&settings);
    CHECK(f->q != NULL);
    f->worker = add_worker(f);
    f->out_size = MANY;
    return f;
}

fixture *fixture_new(int32_t capacity) { return fixture_with((bb_settings){.capacity = capacity}); }

fixture *fixture_timed(int32_t capacity, int64_t starvation) {
    staged_clock_set(NOW);
    return fixture_with(
        (bb_settings){.capacity = capacity, .monitoring = 1, .starvation = starvation});
}

void fixture_free(fixture *f) {
    bb_queue_free(f->q);
    for (int32_t i = 0; i < f->groups; i++) free(f->group[i]);
    for (ticketed *t = f->tickets, *next; t != NULL; t = next) {
        next = t->next;
        free(t);
    }
    free(f);
    staged_reset();
}

bb_route several(fixture *f, int32_t level, int32_t count) {
    return (bb_route){.level = level, .count = count, .recipients = &f->pointers[LEVELS]};
}

/* ---- publishing ---------------------------------------------------------------------------- */

bb_result push_as(fixture *f, const bb_route *route, int64_t event, bb_origin origin) {
    return bb_push(f->q, route, EVENT(event), 0, origin);
}

bb_result push(fixture *f, const bb_route *route, int64_t event) {
    return push_as(f, route, event, BB_OUTSIDE);
}

void fill(fixture *f, const bb_route *route, int64_t first, int32_t n) {
    for (int32_t i = 0; i < n; i++) CHECK_INT(BB_ACCEPTED, push(f, route, first + i));
}

bb_waiter *join_as(fixture *f, const bb_route *route, int64_t event, bb_origin origin,
                   bool limited) {
    bb_waiter *waiter = NULL;
    last_join = bb_waiter_join(f->q, route, EVENT(event), 0, origin, limited, &waiter);
    CHECK((waiter != NULL) == (last_join == BB_WAITING));
    return waiter;
}

bb_waiter *join(fixture *f, const bb_route *route, int64_t event) {
    return join_as(f, route, event, BB_OUTSIDE, true);
}

bb_result offer_as(fixture *f, const bb_route *route, int64_t event, bb_mode mode, bb_origin origin,
                   bb_waiter *waiter) {
    f->evicted = f->first = -1;
    return bb_offer(f->q, route, EVENT(event), 0, origin, mode, waiter, f->out, f->out_size,
                    &f->evicted, &f->first, &f->caller);
}

bb_result offer(fixture *f, const bb_route *route, int64_t event, bb_mode mode) {
    return offer_as(f, route, event, mode, BB_OUTSIDE, NULL);
}

/* ---- working ------------------------------------------------------------------------------- */

bb_worker *add_worker(fixture *f) {
    const bb_queue *q = f->q;
    int32_t more = q->wanted == 0 ? q->reserved + 1 : 1; /* the first call asks for the minimum */
    bool asked = q->reserved > 0 && q->starting > 0;
    if (!asked && bb_resize(f->q, q->wanted + more) != more) return NULL;
    return bb_worker_enter(f->q, bb_thread_id());
}

int64_t number_of(const void *event) {
    const bb_ticket *ticket = bb_ticket_of(event);
    return ticket != NULL ? ((const ticketed *)ticket)->number : NUMBER(event);
}

int64_t take(bb_worker *worker) {
    bb_delivery taken;
    switch (bb_take(worker, &taken)) {
    case BB_TOOK: return number_of(taken.event);
    case BB_EXPIRED: return -number_of(taken.event);
    default: return 0;
    }
}

void take_some(fixture *f, int32_t n) {
    for (int32_t i = 0; i < n; i++) CHECK(take(f->worker) != 0);
}

void finish(fixture *f) {
    bb_worker *next = add_worker(f);
    if (next != NULL) CHECK_INT(0, bb_resize(f->q, f->q->wanted - 1));
    CHECK_TAKES(0, f->worker);
    f->worker = next;
}

/* ---- looking ------------------------------------------------------------------------------- */

bb_stats stats_of(fixture *f) {
    bb_stats stats;
    CHECK_INT(0, bb_snapshot(f->q, &stats, NULL, 0, NULL, NULL, 0, NULL, 0, NULL));
    return stats;
}

static void add(bb_counts *sum, const bb_counts *part) {
    sum->published += part->published;
    sum->processed += part->processed;
    sum->failed += part->failed;
    sum->dropped += part->dropped;
    sum->queued += part->queued;
    sum->running += part->running;
    sum->retried += part->retried;
}

static void compare(bb_counts expected, bb_counts actual, const char *file, int line) {
    check_int((int64_t)expected.published, (int64_t)actual.published, "published", file, line);
    check_int((int64_t)expected.processed, (int64_t)actual.processed, "processed", file, line);
    check_int((int64_t)expected.failed, (int64_t)actual.failed, "failed", file, line);
    check_int((int64_t)expected.dropped, (int64_t)actual.dropped, "dropped", file, line);
    check_int((int64_t)expected.queued, (int64_t)actual.queued, "queued", file, line);
    check_int((int64_t)expected.running, (int64_t)actual.running, "running", file, line);
    check_int((int64_t)expected.retried, (int64_t)actual.retried, "retried", file, line);
}

void check_books(fixture *f, bb_counts expected, const char *file, int line) {
    static bb_counts types[BB_MAX_TYPES];
    bb_counts recipients[LEVELS + MANY];
    bb_stats stats;
    bb_counts levels = {0}, by_type = {0}, by_recipient = {0};
    uint64_t dropped = 0;
    CHECK_INT(0, bb_snapshot(f->q, &stats, types, BB_MAX_TYPES, f->pointers, recipients,
                             LEVELS + MANY, NULL, 0, NULL));
    for (int32_t l = 0; l < BB_LEVELS; l++) add(&levels, &stats.level[l]);
    for (int32_t t = 0; t < stats.types; t++) add(&by_type, &types[t]);
    for (int32_t r = 0; r < LEVELS + MANY; r++) add(&by_recipient, &recipients[r]);
    for (int32_t r = 0; r < BB_REASONS; r++)
        for (int32_t l = 0; l < BB_LEVELS; l++) dropped += stats.dropped_by[r][l];
    compare(expected, stats.total, file, line);
    compare(expected, levels, file, line);
    compare(expected, by_type, file, line);
    compare(expected, by_recipient, file, line);
    check_int((int64_t)expected.dropped, (int64_t)dropped, "dropped_by, summed up", file, line);
    const bb_counts *t = &stats.total;
    check_that(t->published == t->processed + t->dropped + t->queued + t->running,
               "published = processed + dropped + queued + running", file, line);
}

/* ---- threads ------------------------------------------------------------------------------- */

static void *in_wait(void *argument) {
    sleeper *s = argument;
    s->result = bb_waiter_wait(s->waiter, NEVER);
    return NULL;
}

static void *in_take(void *argument) {
    sleeper *s = argument;
    s->result = take(s->worker);
    return NULL;
}

static void *in_wait_idle(void *argument) {
    sleeper *s = argument;
    s->result = bb_wait_idle(s->q, s->timeout);
    return NULL;
}

static void *in_wait_shut(void *argument) {
    sleeper *s = argument;
    s->result = bb_wait_shut(s->q, s->timeout);
    return NULL;
}

static void *in_wait_barrier(void *argument) {
    sleeper *s = argument;
    s->result = bb_wait_barrier(s->q, s->barrier, FOREVER);
    return NULL;
}

static void start(sleeper *s, void *(*call)(void *), sleeper with) {
    *s = with;
    s->result = INT64_MIN;
    CHECK_INT(0, pthread_create(&s->thread, NULL, call, s));
}

void start_wait(sleeper *s, bb_waiter *waiter) { start(s, in_wait, (sleeper){.waiter = waiter}); }
void start_take(sleeper *s, bb_worker *worker) { start(s, in_take, (sleeper){.worker = worker}); }
void start_wait_idle(sleeper *s, fixture *f, int64_t timeout) {
    start(s, in_wait_idle, (sleeper){.q = f->q, .timeout = timeout});
}
void start_wait_shut(sleeper *s, fixture *f, int64_t timeout) {
    start(s, in_wait_shut, (sleeper){.q = f->q, .timeout = timeout});
}
void start_wait_barrier(sleeper *s, fixture *f, uint64_t barrier) {
    start(s, in_wait_barrier, (sleeper){.q = f->q, .barrier = barrier});
}

int64_t finish_sleeper(sleeper *s) {
    pthread_join(s->thread, NULL);
    return s->result;
}

static int32_t workers_asleep(const bb_queue *q) { return q->idle_workers; }
static int32_t reserved_asleep(const bb_queue *q) { return q->idle_reserved; }
static int32_t present(const bb_queue *q) { return q->present; }
static int32_t asleep(const bb_queue *q) {
    (void)q;
    return staged_sleepers();
}

static void await(fixture *f, int32_t n, int32_t (*at)(const bb_queue *)) {
    for (bool seen = false; !seen;) {
        bb_mutex_lock(&f->q->mutex);
        seen = at(f->q) == n;
        bb_mutex_unlock(&f->q->mutex);
        if (!seen) sched_yield();
    }
}

void await_workers_asleep(fixture *f, int32_t n) { await(f, n, workers_asleep); }
void await_reserved_asleep(fixture *f, int32_t n) { await(f, n, reserved_asleep); }

static int32_t awaited_barrier(const bb_queue *q) { return (int32_t)q->barrier; }
void await_barrier(fixture *f, uint64_t barrier) { await(f, (int32_t)barrier, awaited_barrier); }
void await_asleep(fixture *f, int32_t n) { await(f, n, asleep); }
void await_present(fixture *f, int32_t n) { await(f, n, present); }

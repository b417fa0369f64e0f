/* test_meters.c: what handlers cost, by subscription, and how deliveries arrive. */
#include "fixture.h"

#include <string.h>

#define NOW 1000000000u
#define MS 1000000u
#define LONG (1000 * MS) /* by the staged clock; of the real CPU time it is a small part */

static fixture staged_ring(int32_t capacity) {
    staged_clock_set(NOW);
    return fixture_timed(capacity, 0);
}

static void staged_ring_free(const fixture *f) {
    fixture_free(f);
    staged_clock_set(0);
}

/* A metered route with a delivery for each of `count` meters. */
static int64_t metered(const fixture *f, int32_t count, const int32_t *meters) {
    int64_t route = bb_route(f->ring, 0, 1, count);
    CHECK_INT(0, bb_meter_route(route, meters));
    return route;
}

static bb_arrivals arrivals_of(const fixture *f) {
    bb_arrivals arrivals;
    bb_meter meter;
    CHECK_INT(0, bb_load(f->ring, &arrivals, &meter, 1));
    return arrivals;
}

static bb_meter meter_at(const fixture *f, int32_t number) {
    static bb_meter meters[BB_MAX_METERS];
    bb_arrivals arrivals;
    CHECK_INT(0, bb_load(f->ring, &arrivals, meters, BB_MAX_METERS));
    return meters[number];
}

#define CHECK_METER(f, number, n, ns)                                                             \
    do {                                                                                          \
        CHECK_INT(n, meter_at(f, number).deliveries);                                             \
        CHECK_INT(ns, meter_at(f, number).wall);                                                  \
    } while (0)

static void handle_for(const fixture *f, int64_t expected, uint64_t ns) {
    CHECK_TAKES(expected, f->worker);
    staged_clock_advance(ns);
    bb_done(f->worker);
}

/* ---- meters -------------------------------------------------------------------------------- */

static void test_deliveries_go_to_the_meters_of_their_places(void) {
    fixture f = staged_ring(16);
    int64_t route = metered(&f, 3, (int32_t[]){5, 0, BB_MAX_METERS - 1});
    for (int event = 0; event < 2; event++) {
        CHECK_INT(BB_ACCEPTED, bb_push(route + event * 3));
        for (int i = 0; i < 3; i++) handle_for(&f, route + event * 3 + i, 10u + (unsigned)i);
    }
    CHECK_METER(&f, 5, 2, 20);
    CHECK_METER(&f, 0, 2, 22);
    CHECK_METER(&f, BB_MAX_METERS - 1, 2, 24);
    CHECK_METER(&f, 1, 0, 0);
    CHECK_INT(2 * 12 * 12, meter_at(&f, BB_MAX_METERS - 1).wall_squared);
    staged_ring_free(&f);
}

static void test_one_meter_takes_from_several_routes_and_places(void) {
    fixture f = staged_ring(16);
    int64_t two = metered(&f, 2, (int32_t[]){3, 3}), one = metered(&f, 1, (int32_t[]){3});
    CHECK_INT(BB_ACCEPTED, bb_push(two));
    CHECK_INT(BB_ACCEPTED, bb_push(one));
    for (int i = 0; i < 2; i++) handle_for(&f, two + i, 10);
    handle_for(&f, one, 100);
    CHECK_METER(&f, 3, 3, 120);
    staged_ring_free(&f);
}

static void test_nested_deliveries_do_not_count_for_the_outer_one(void) {
    fixture f = staged_ring(1);
    int64_t outer = metered(&f, 1, (int32_t[]){1}), inner = metered(&f, 1, (int32_t[]){2});
    int64_t out[1];
    CHECK_INT(BB_ACCEPTED, bb_push(outer));
    CHECK_TAKES(outer, f.worker);
    CHECK_INT(BB_ACCEPTED, bb_push(inner));
    staged_clock_advance(5 * MS);
    CHECK_INT(BB_ACCEPTED, bb_help(f.worker, f.low, out)); /* runs inner; not metered: low */
    CHECK_INT(inner, out[0]);
    staged_clock_advance(100 * MS);
    CHECK_INT(BB_ACCEPTED, bb_help(f.worker, inner + 1, out));
    CHECK_INT(f.low, out[0]);
    staged_clock_advance(1000 * MS);
    bb_done(f.worker);
    bb_done(f.worker);
    staged_clock_advance(3 * MS);
    bb_done(f.worker);
    CHECK_METER(&f, 1, 1, 8 * MS);
    CHECK_METER(&f, 2, 1, 100 * MS);
    CHECK(meter_at(&f, 1).cpu <= 8 * MS);
    handle_for(&f, inner + 1, 7 * MS);
    CHECK_METER(&f, 2, 2, 107 * MS);
    staged_ring_free(&f);
}

static void test_callers_that_run_deliveries_are_metered_by_place(void) {
    fixture f = staged_ring(1);
    int64_t route = metered(&f, 3, (int32_t[]){4, 6, 4}), out[4];
    fill(f.low, 1);
    CHECK_INT(BB_RUN, bb_offer(route + 3, BB_CALLER_RUNS, out));
    for (unsigned i = 1; i <= 3; i++) {
        staged_clock_advance(i * LONG);
        bb_caller_done(route + 3, 0);
    }
    CHECK_METER(&f, 4, 2, 4ull * LONG);
    CHECK_METER(&f, 6, 1, 2ull * LONG);
    CHECK(meter_at(&f, 4).cpu < LONG);
    CHECK(meter_at(&f, 6).cpu < LONG);
    CHECK_INT(1, arrivals_of(&f).deliveries); /* the caller's never arrived in the queue */
    staged_ring_free(&f);
}

/* The staged clock runs on while the thread, by its own clock, hardly computes. */
static void test_waiting_is_not_computing(void) {
    fixture f = staged_ring(4);
    int64_t route = metered(&f, 1, (int32_t[]){0});
    CHECK_INT(BB_ACCEPTED, bb_push(route));
    handle_for(&f, route, LONG);
    bb_meter m = meter_at(&f, 0);
    CHECK_INT(LONG, m.wall);
    CHECK(m.cpu > 0 && m.cpu < LONG / 2);
    CHECK(m.cpu_squared == (double)m.cpu * (double)m.cpu);
    staged_ring_free(&f);
}

static void test_the_cpu_time_is_at_most_the_wall_time(void) {
    fixture f = staged_ring(4);
    int64_t route = metered(&f, 1, (int32_t[]){0});
    CHECK_INT(BB_ACCEPTED, bb_push(route));
    CHECK_TAKES(route, f.worker);
    uint64_t begun = bb_thread_cpu();
    while (bb_thread_cpu() - begun < MS) continue;
    staged_clock_advance(MS / 2);
    bb_done(f.worker);
    CHECK_INT(MS / 2, meter_at(&f, 0).cpu);
    staged_ring_free(&f);
}

static void test_short_deliveries_are_taken_as_computing(void) {
    fixture f = staged_ring(64);
    int64_t route = metered(&f, 1, (int32_t[]){0});
    fill(route, TRIAL + 1);
    for (int i = 0; i < TRIAL; i++) handle_for(&f, route + i, 1);
    bb_meter before = meter_at(&f, 0);
    handle_for(&f, route + TRIAL, LONG);
    CHECK_INT(LONG, meter_at(&f, 0).cpu - before.cpu); /* the clock was not read for it */
    fill(route + TRIAL + 1, 1);
    before = meter_at(&f, 0);
    handle_for(&f, route + TRIAL + 1, LONG); /* on average they are long by now */
    CHECK(meter_at(&f, 0).cpu - before.cpu < LONG / 2);
    staged_ring_free(&f);
}

static void test_a_few_deliveries_are_measured_before_they_are_taken_as_short(void) {
    fixture f = staged_ring(64);
    int64_t route = metered(&f, 1, (int32_t[]){0});
    fill(route, TRIAL);
    for (int i = 0; i < TRIAL - 1; i++) handle_for(&f, route + i, 1);
    handle_for(&f, route + TRIAL - 1, LONG);
    CHECK(meter_at(&f, 0).cpu < LONG / 2);
    staged_ring_free(&f);
}

static void test_a_route_is_metered_once(void) {
    fixture f = staged_ring(4);
    int64_t route = metered(&f, 1, (int32_t[]){1});
    CHECK_INT(BB_NO_MEMORY, bb_meter_route(route, (int32_t[]){2}));
    CHECK_INT(BB_ACCEPTED, bb_push(route));
    handle_for(&f, route, 10);
    CHECK_METER(&f, 1, 1, 10);
    CHECK_METER(&f, 2, 0, 0);
    staged_ring_free(&f);
}

static void test_without_memory_a_route_is_not_metered(void) {
    fixture f = staged_ring(4);
    int64_t route = bb_route(f.ring, 0, 1, 1);
    staged_memory_fail_after(0);
    CHECK_INT(BB_NO_MEMORY, bb_meter_route(route, (int32_t[]){0}));
    CHECK_INT(BB_ACCEPTED, bb_push(route));
    handle_for(&f, route, 10);
    CHECK_METER(&f, 0, 0, 0);
    CHECK_INT(0, bb_meter_route(route, (int32_t[]){0}));
    staged_ring_free(&f);
}

static void test_a_nested_delivery_leaves_no_more_cpu_time_than_wall_time(void) {
    fixture f = staged_ring(1);
    int64_t route = metered(&f, 1, (int32_t[]){1}), out[1];
    int64_t inner = metered(&f, 1, (int32_t[]){2});
    CHECK_INT(BB_ACCEPTED, bb_push(route));
    CHECK_TAKES(route, f.worker);
    CHECK_INT(BB_ACCEPTED, bb_push(inner));
    uint64_t begun = bb_thread_cpu();
    while (bb_thread_cpu() - begun < MS) continue;
    CHECK_INT(BB_ACCEPTED, bb_help(f.worker, f.low, out));
    staged_clock_advance(MS);
    bb_done(f.worker);
    bb_done(f.worker);
    CHECK_METER(&f, 1, 1, 0);
    CHECK_INT(0, meter_at(&f, 1).cpu);
    staged_ring_free(&f);
}

/* ---- arrivals ------------------------------------------------------------------------------ */

static void test_arrivals_are_counted_from_the_first_to_the_last(void) {
    fixture f = staged_ring(64);
    int64_t two = bb_route(f.ring, 0, 1, 2);
    bb_arrivals a = arrivals_of(&f);
    CHECK_INT(0, a.deliveries + a.first + a.last + a.windows[0].windows);
    staged_clock_advance(5 * MS);
    fill(f.low, 1);
    staged_clock_advance(3 * MS);
    CHECK_INT(BB_ACCEPTED, bb_push(two));
    a = arrivals_of(&f);
    CHECK_INT(3, a.deliveries);
    CHECK_INT(5 * MS, a.first);
    CHECK_INT(8 * MS, a.last);
    CHECK_INT(0, a.windows[0].windows); /* none is over */
    staged_ring_free(&f);
}

static void test_empty_windows_count(void) {
    fixture f = staged_ring(64);
    fill(f.low, 3);
    staged_clock_advance(10 * MS - 1);
    fill(f.low + 3, 1); /* just within the first */
    staged_clock_advance(35 * MS + 1);
    fill(f.low + 4, 1);
    bb_arrivals a = arrivals_of(&f);
    CHECK_INT(4, a.windows[0].windows);
    CHECK_INT(4, a.windows[0].counted);
    CHECK_INT(16, a.windows[0].counted_squared);
    CHECK_INT(0, a.windows[1].windows);
    staged_clock_advance(5 * MS); /* windows keep step: the next begins at 50, not at 55 */
    fill(f.low + 5, 1);
    a = arrivals_of(&f);
    CHECK_INT(5, a.windows[0].windows);
    CHECK_INT(17, a.windows[0].counted_squared);
    staged_ring_free(&f);
}

/* Variance over mean of what a window counts. */
static double dispersion(bb_windows w) {
    double n = (double)w.windows, mean = w.counted / n;
    return (w.counted_squared / n - mean * mean) / mean;
}

/* `batch` at a time, with `gap_ms` between, for two seconds and the arrival that ends them. */
static bb_arrivals arrivals_in_batches(int32_t batch, uint32_t gap_ms) {
    fixture f = staged_ring(4096);
    int32_t n = 0;
    for (uint32_t ms = 0; ms <= 2000; ms += gap_ms, n += batch) {
        fill(f.low + n, batch);
        staged_clock_advance(gap_ms * MS);
    }
    bb_arrivals a = arrivals_of(&f);
    CHECK_INT(n, a.deliveries);
    for (int s = 0; s < SCALES; s++) CHECK_INT(n - batch, a.windows[s].counted);
    CHECK_INT(200, a.windows[0].windows);
    CHECK_INT(20, a.windows[1].windows);
    CHECK_INT(2, a.windows[2].windows);
    CHECK_INT(2000 * MS, a.cpu_read);
    staged_ring_free(&f);
    return a;
}

static void test_steady_arrivals_do_not_vary(void) {
    bb_arrivals a = arrivals_in_batches(1, 5);
    for (int s = 0; s < SCALES; s++) CHECK(dispersion(a.windows[s]) == 0);
}

static void test_batches_vary_in_windows_shorter_than_their_gap(void) {
    bb_arrivals a = arrivals_in_batches(20, 50); /* 20, 0, 0, 0, 0, 20, ...: 64 over 4 */
    CHECK(dispersion(a.windows[0]) > 15.99 && dispersion(a.windows[0]) < 16.01);
    CHECK(dispersion(a.windows[1]) == 0);
    CHECK(dispersion(a.windows[2]) == 0);
}

static void test_every_way_into_the_queue_is_an_arrival(void) {
    fixture f = staged_ring(2);
    int64_t out[2];
    sleeper s;
    CHECK_INT(1, bb_push_many((int64_t[]){f.low}, 1));
    CHECK_INT(BB_ACCEPTED, bb_offer(f.low + 1, BB_REFUSE, out));
    CHECK_INT(BB_FULL, bb_push(f.low + 2));
    CHECK_INT(BB_REFUSED, plain_result(bb_offer(f.low + 2, BB_REFUSE, out)));
    CHECK_INT(2, arrivals_of(&f).deliveries);
    CHECK_INT(BB_EVICTED, plain_result(bb_offer(f.low + 3, BB_EVICT_OLDEST, out)));
    CHECK_INT(3, arrivals_of(&f).deliveries);
    staged_clock_set(0);
    start_wait(&s, f.low + 4, FOREVER);
    await_line(f.ring, 1);
    CHECK_TAKES(f.low + 1, f.worker);
    CHECK_TAKES(f.low + 3, f.worker);
    CHECK_INT(BB_ACCEPTED, finish_sleeper(&s));
    CHECK_INT(4, arrivals_of(&f).deliveries);
    fixture_free(&f);
}

/* ---- nothing ------------------------------------------------------------------------------- */

static void test_without_monitoring_nothing_is_metered(void) {
    static const bb_arrivals none;
    staged_clock_set(NOW);
    fixture f = fixture_new(4);
    int64_t route = metered(&f, 1, (int32_t[]){1}), out[2];
    staged_memory_asked();
    CHECK_INT(0, bb_meter_route(route, (int32_t[]){1})); /* nor refused */
    CHECK_INT(0, staged_memory_asked());
    fill(route, 4);
    CHECK_INT(BB_RUN, bb_offer(route + 4, BB_CALLER_RUNS, out));
    staged_clock_advance(LONG);
    bb_caller_done(route + 4, 0);
    for (int i = 0; i < 4; i++) handle_for(&f, route + i, LONG);
    bb_arrivals arrivals;
    bb_meter meters[2] = {{7, 7, 7, 7, 7}, {7, 7, 7, 7, 7}};
    CHECK_INT(0, bb_load(f.ring, &arrivals, meters, 2));
    CHECK(memcmp(&arrivals, &none, sizeof arrivals) == 0);
    for (int m = 0; m < 2; m++) CHECK_INT(0, meters[m].deliveries + meters[m].wall + meters[m].cpu);
    staged_ring_free(&f);
}

static void test_a_ring_that_is_gone_has_no_load(void) {
    fixture f = staged_ring(4);
    int64_t route = metered(&f, 1, (int32_t[]){1});
    bb_arrivals arrivals = {.deliveries = 7};
    bb_meter meter;
    staged_ring_free(&f);
    CHECK_INT(BB_GONE, bb_meter_route(route, (int32_t[]){1}));
    CHECK_INT(BB_GONE, bb_load(f.ring, &arrivals, &meter, 1));
    CHECK_INT(0, arrivals.deliveries);
}

void meters_tests(void) {
    RUN(test_deliveries_go_to_the_meters_of_their_places);
    RUN(test_one_meter_takes_from_several_routes_and_places);
    RUN(test_nested_deliveries_do_not_count_for_the_outer_one);
    RUN(test_callers_that_run_deliveries_are_metered_by_place);
    RUN(test_waiting_is_not_computing);
    RUN(test_the_cpu_time_is_at_most_the_wall_time);
    RUN(test_short_deliveries_are_taken_as_computing);
    RUN(test_a_few_deliveries_are_measured_before_they_are_taken_as_short);
    RUN(test_a_route_is_metered_once);
    RUN(test_without_memory_a_route_is_not_metered);
    RUN(test_a_nested_delivery_leaves_no_more_cpu_time_than_wall_time);
    RUN(test_arrivals_are_counted_from_the_first_to_the_last);
    RUN(test_empty_windows_count);
    RUN(test_steady_arrivals_do_not_vary);
    RUN(test_batches_vary_in_windows_shorter_than_their_gap);
    RUN(test_every_way_into_the_queue_is_an_arrival);
    RUN(test_without_monitoring_nothing_is_metered);
    RUN(test_a_ring_that_is_gone_has_no_load);
}

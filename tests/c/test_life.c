/* test_life.c: rings and routes that come and go, memory that runs out, and forks. */
#include "fixture.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUTES 131071

static void test_handles_are_positive_and_distinct(void) {
    fixture f = fixture_new(4), g = fixture_new(4);
    const int64_t bases[] = {f.ring, f.low, f.medium, f.high, g.ring, g.low, g.medium, g.high};
    const int64_t serials = (int64_t)1 << BB_SERIAL_BITS;
    for (int i = 0; i < 8; i++) {
        CHECK(bases[i] > 0);
        CHECK_INT(0, bases[i] % serials);
        for (int j = 0; j < i; j++) CHECK(bases[i] != bases[j]);
    }
    CHECK_INT(BB_ACCEPTED, bb_push(f.low + serials - 1)); /* the last one of a route */
    CHECK_TAKES(f.low + serials - 1, f.worker);
    fixture_free(&g);
    fixture_free(&f);
}

static void test_the_same_arguments_make_another_route(void) {
    fixture f = fixture_new(4);
    int64_t a = bb_route(f.ring, 3, 2, 1), b = bb_route(f.ring, 3, 2, 1);
    CHECK(a != b);
    fill(a, 1);
    fill(b, 1);
    CHECK_TAKES(a, f.worker);
    CHECK_TAKES(b, f.worker);
    fixture_free(&f);
}

static void test_routes_of_a_freed_ring_are_used_again(void) {
    fixture f = fixture_new(4);
    fill(f.low, 4);
    fixture_free(&f);
    fixture g = fixture_new(2);
    bool again = g.ring == f.ring || g.low == f.ring || g.medium == f.ring || g.high == f.ring;
    CHECK(again);
    fill(g.low, 2);
    CHECK_INT(BB_FULL, bb_push(g.high));
    CHECK_TAKES(g.low, g.worker);
    fixture_free(&g);
}

static void test_many_rings_do_not_use_routes_up(void) {
    for (int i = 0; i < 2000; i++) {
        fixture f = fixture_new(1);
        for (int r = 0; r < 100; r++)
            if (bb_route(f.ring, r, 1, 1) == 0) CHECK(!"a route ran out");
        fixture_free(&f);
    }
}

static void test_a_small_ring_is_small(void) {
    staged_memory_asked();
    fixture f = fixture_timed(20, 0);
    CHECK(staged_memory_asked() < 160 * 1024);
    fixture_free(&f);
}

/* ---- no memory ----------------------------------------------------------------------------- */

static void test_a_ring_that_finds_no_memory_is_0(void) {
    int32_t failures = 0;
    int64_t ring = 0;
    for (; ring == 0 && failures < 10; failures++) {
        staged_memory_fail_after(failures);
        ring = bb_ring_new(4, LEVELS, 1, 0);
    }
    staged_memory_fail_after(-1);
    CHECK_INT(5, failures); /* the ring, its slots, workers and meters; then none was asked for */
    bb_ring_free(ring);
}

static void test_a_route_that_finds_no_memory_is_0(void) {
    fixture f = fixture_new(4);
    staged_memory_fail_after(0);
    CHECK_INT(0, bb_route(f.ring, 5, 1, 1));
    staged_memory_fail_after(-1);
    int64_t route = bb_route(f.ring, 5, 1, 1);
    fill(route, 1);
    CHECK_TAKES(route, f.worker);
    /* Routes come in chunks; somewhere on the way one is asked for. */
    int32_t refused = 0;
    for (int i = 0; i < 300000 && refused == 0; i++) {
        staged_memory_fail_after(0);
        refused += bb_route(f.ring, 5, 1, 1) == 0;
    }
    staged_memory_fail_after(-1);
    CHECK_INT(1, refused);
    CHECK(bb_route(f.ring, 5, 1, 1) != 0);
    fixture_free(&f);
}

static void test_a_worker_that_finds_no_memory_is_0(void) {
    fixture f = fixture_new(4);
    staged_memory_fail_after(0);
    CHECK_INT(0, bb_worker_add(f.ring));
    staged_memory_fail_after(-1);
    CHECK_INT(f.worker + 1, bb_worker_add(f.ring));
    fixture_free(&f);
}

static void test_a_wait_that_finds_no_memory_is_full(void) {
    fixture f = fixture_new(1);
    fill(f.low, 1);
    staged_memory_fail_after(0);
    CHECK_INT(BB_FULL, bb_wait(f.low + 1, FOREVER, 1));
    staged_memory_fail_after(-1);
    CHECK_INT(0, length_of_line(f.ring));
    CHECK_INT(1, bb_withdraw(f.low + 1));
    CHECK_BOOKS(f.ring, .published = 1, .queued = 1);
    fixture_free(&f);
}

static void test_a_caller_that_finds_no_memory_is_refused(void) {
    fixture f = fixture_new(1);
    int64_t out[2];
    fill(f.low, 1);
    staged_memory_fail_after(0);
    CHECK_INT(BB_REFUSED + BB_FIRST, bb_offer(f.low + 1, BB_CALLER_RUNS, out));
    staged_memory_fail_after(-1);
    CHECK_BOOKS(f.ring, .published = 2, .dropped = 1, .queued = 1);
    fixture_free(&f);
}

static void test_a_process_has_a_limited_number_of_routes(void) {
    fixture f = fixture_new(1);
    int32_t n = 4; /* of the fixture */
    while (bb_route(f.ring, 0, 1, 1) != 0) n++;
    CHECK_INT(ROUTES, n);
    CHECK_INT(0, bb_ring_new(1, 1, 0, 0));
    CHECK_INT(BB_ACCEPTED, bb_push(f.low));
    fixture_free(&f);
    f = fixture_new(1);
    CHECK(f.ring != 0);
    fixture_free(&f);
}

/* ---- forks ----------------------------------------------------------------------------------- */

/* The child has one thread, and the lock of the parent's ring is held by nobody who exists. */
static int in_the_child(const fixture *f) {
    int64_t out[2];
    bb_abandon_all();
    bool gone = bb_push(f->low) == BB_GONE && bb_take(f->worker) == 0 &&
                bb_wait(f->low, FOREVER, 1) == BB_GONE && bb_withdraw(f->low) == 1 &&
                bb_offer(f->low, BB_REFUSE, out) == BB_GONE && bb_state(f->ring) == BB_SHUT &&
                bb_depth(f->ring) == 0;
    if (!gone) return 1;
    bb_ring_free(f->ring); /* to no effect */
    fixture own = fixture_new(2);
    if (own.ring == 0 || own.ring == f->ring || own.low == f->low) return 2;
    if (bb_push(own.low) != BB_ACCEPTED || bb_take(own.worker) != own.low) return 3;
    fixture_free(&own);
    return 0;
}

/* Fork, and let the child try. It answers through a pipe, as its exit status belongs to the memory
 * checker, which is right to call the abandoned rings lost. */
static void check_in_a_child(const fixture *f) {
    int answer[2];
    char result = 'x';
    CHECK_INT(0, pipe(answer));
    pid_t child = fork();
    if (child == 0) {
        alarm(30); /* the parent's does not come along */
        result = (char)('0' + in_the_child(f));
        _exit(write(answer[1], &result, 1) == 1 ? 0 : 1);
    }
    close(answer[1]);
    CHECK_INT(1, read(answer[0], &result, 1));
    CHECK_INT('0', result);
    close(answer[0]);
    CHECK_INT(child, waitpid(child, NULL, 0));
}

static void test_after_a_fork_the_child_forgets_every_ring(void) {
    fixture f = fixture_new(4);
    fill(f.low, 2);
    ring *ring = ring_of(f.ring);
    bb_mutex_lock(&ring->mutex);
    check_in_a_child(&f);
    bb_mutex_unlock(&ring->mutex);
    CHECK_TAKES(f.low, f.worker); /* the parent goes on as before */
    fixture_free(&f);
}

static fixture forked;
static bool has_forked;

static void fork_here(void) {
    has_forked = true;
    check_in_a_child(&forked);
}

/* The registry asks for memory only now and then, and is locked meanwhile. */
static void test_a_fork_may_strike_while_a_route_is_made(void) {
    forked = fixture_new(4);
    has_forked = false;
    staged_in_allocation = fork_here;
    for (int i = 0; i < 300000 && !has_forked; i++) bb_route(forked.ring, 0, 1, 1);
    CHECK(has_forked);
    CHECK(bb_route(forked.ring, 0, 1, 1) != 0);
    fixture_free(&forked);
}

void life_tests(void) {
    RUN(test_handles_are_positive_and_distinct);
    RUN(test_the_same_arguments_make_another_route);
    RUN(test_routes_of_a_freed_ring_are_used_again);
    RUN(test_many_rings_do_not_use_routes_up);
    RUN(test_a_small_ring_is_small);
    RUN(test_a_ring_that_finds_no_memory_is_0);
    RUN(test_a_route_that_finds_no_memory_is_0);
    RUN(test_a_worker_that_finds_no_memory_is_0);
    RUN(test_a_wait_that_finds_no_memory_is_full);
    RUN(test_a_caller_that_finds_no_memory_is_refused);
    RUN(test_after_a_fork_the_child_forgets_every_ring);
    RUN(test_a_fork_may_strike_while_a_route_is_made);
    RUN(test_a_process_has_a_limited_number_of_routes);
}

/* queue_bench.c: the cost of the queue by itself, without Python.
 *
 * `queue_bench` prints nanoseconds, one figure a line. `queue_bench WHAT on|off` does one thing
 * COUNTED times, for callgrind to count the instructions of; see the Makefile.
 *
 * Each time is the min of several runs: other load can only add to it. Contended times vary by
 * scheduling, so their median is given.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api.h"

enum {
    CAPACITY = 4160, /* like COUNTED, a multiple of both: */
    BATCH = 64,
    FAN_OUT = 5,
    ROUNDS = 400,
    RUNS = 9,
    EVENTS = 400000,
    COUNTED = 9600
};

typedef struct {
    bb_queue *q;
    bb_worker *worker;
    bb_recipient recipient[FAN_OUT];
    bb_recipient *recipients[FAN_OUT];
    bb_route one, five; /* by the number of recipients */
} setup;

/* The queue dereferences no event; any pointer will do. */
static int an_event;
#define EVENT (&an_event)

static uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void check(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "queue_bench: %s\n", what);
    exit(1);
}

static void set_up(setup *s, int32_t capacity, bool monitoring) {
    memset(s, 0, sizeof *s);
    s->q = bb_queue_new(&(bb_settings){
        .capacity = capacity, .levels = 3, .monitoring = monitoring, .standstill = INT64_MAX});
    check(s->q != NULL, "no memory");
    for (int32_t i = 0; i < FAN_OUT; i++) s->recipients[i] = &s->recipient[i];
    s->one = (bb_route){.level = 1, .type = 1, .count = 1, .recipients = s->recipients};
    s->five = (bb_route){.level = 1, .type = 1, .count = FAN_OUT, .recipients = s->recipients};
    check(bb_resize(s->q, 1) == 1, "no worker");
    s->worker = bb_worker_enter(s->q, 1);
    check(s->worker != NULL, "no memory");
}

static void tear_down(setup *s) {
    bb_close(s->q, 0, 0);
    bb_queue_free(s->q);
}

/* ---- one thread ---------------------------------------------------------------------------- */

/* Each publishes or takes n deliveries. */
typedef void work(setup *s, int32_t n);

static void push_all(setup *s, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        check(bb_push(s->q, &s->one, EVENT, 0, BB_OUTSIDE) == BB_ACCEPTED, "not accepted");
}

static void push_to_five(setup *s, int32_t n) {
    for (int32_t i = 0; i < n; i += FAN_OUT)
        check(bb_push(s->q, &s->five, EVENT, 0, BB_OUTSIDE) == BB_ACCEPTED, "not accepted");
}

static void push_batches(setup *s, int32_t n) {
    const bb_route *routes[BATCH];
    void *events[BATCH];
    for (int32_t i = 0; i < BATCH; i++) {
        routes[i] = &s->one;
        events[i] = EVENT;
    }
    for (int32_t done = 0; done < n; done += BATCH)
        check(bb_push_many(s->q, routes, events, BATCH, 0, BB_OUTSIDE) == BATCH, "not accepted");
}

static void take_all(setup *s, int32_t n) {
    bb_delivery out;
    for (int32_t i = 0; i < n; i++) check(bb_take(s->worker, &out) == 1, "nothing taken");
}

static void evict_all(setup *s, int32_t n) {
    bb_delivery out[1];
    int32_t evicted, first;
    bb_caller *caller;
    for (int32_t i = 0; i < n; i++)
        check(bb_offer(s->q, &s->one, EVENT, 0, BB_OUTSIDE, BB_EVICT_OLDEST, NULL, out, 1, &evicted,
                       &first, &caller) == BB_EVICTED,
              "not evicted");
}

static void keep_min(double *min, uint64_t ns, double steps) {
    if ((double)ns / steps < *min) *min = (double)ns / steps;
}

/* Fill and empty the queue ROUNDS times; ns of each delivery. */
static void fill_and_empty(work *fill, bool monitoring, double *push, double *take) {
    setup s;
    set_up(&s, CAPACITY, monitoring);
    *push = *take = 1e9;
    for (int32_t run = 0; run < RUNS; run++) {
        uint64_t pushing = 0, taking = 0;
        for (int32_t round = 0; round < ROUNDS; round++) {
            uint64_t start = clock_ns();
            fill(&s, CAPACITY);
            uint64_t middle = clock_ns();
            take_all(&s, CAPACITY);
            pushing += middle - start;
            taking += clock_ns() - middle;
        }
        keep_min(push, pushing, (double)ROUNDS * CAPACITY);
        keep_min(take, taking, (double)ROUNDS * CAPACITY);
    }
    tear_down(&s);
}

static double evicting(void) {
    setup s;
    double min = 1e9;
    set_up(&s, CAPACITY, true);
    push_all(&s, CAPACITY);
    for (int32_t run = 0; run < RUNS * 10; run++) {
        uint64_t start = clock_ns();
        evict_all(&s, CAPACITY);
        keep_min(&min, clock_ns() - start, CAPACITY);
    }
    tear_down(&s);
    return min;
}

/* ---- contended ----------------------------------------------------------------------------- */

typedef struct {
    setup *s;
    bb_recipient recipient;
    int32_t n; /* events of this publisher */
} share;

static void publish_waiting(bb_queue *q, const bb_route *route) {
    bb_result result = bb_push(q, route, EVENT, 0, BB_OUTSIDE);
    if (result == BB_FULL) {
        bb_waiter *waiter;
        result = bb_waiter_join(q, route, EVENT, 0, BB_OUTSIDE, 1, &waiter);
        if (result == BB_WAITING) {
            result = bb_waiter_wait(waiter, UINT64_MAX);
            bb_waiter_leave(waiter);
        }
    }
    check(result == BB_ACCEPTED, "not accepted");
}

static void *publisher(void *argument) {
    share *part = argument;
    bb_recipient *recipient = &part->recipient;
    bb_route route = {.level = 1, .type = 1, .count = 1, .recipients = &recipient};
    for (int32_t i = 0; i < part->n; i++) publish_waiting(part->s->q, &route);
    return NULL;
}

static void *worker_loop(void *argument) {
    bb_delivery out;
    while (bb_take(argument, &out) != 0) continue;
    return NULL;
}

/* ns per event, from the first push to the last done. */
static double contended_once(int32_t publishers, int32_t workers) {
    setup s;
    pthread_t threads[64];
    static share parts[32];
    int32_t each = EVENTS / publishers;
    set_up(&s, CAPACITY, true);
    check(bb_resize(s.q, workers) == workers - 1, "no workers");
    uint64_t start = clock_ns();
    for (int32_t w = 0; w < workers; w++) {
        bb_worker *worker = w == 0 ? s.worker : bb_worker_enter(s.q, (uint64_t)w + 1);
        check(pthread_create(&threads[w], NULL, worker_loop, worker) == 0, "no thread");
    }
    for (int32_t p = 0; p < publishers; p++) {
        parts[p] = (share){.s = &s, .n = each};
        check(pthread_create(&threads[workers + p], NULL, publisher, &parts[p]) == 0, "no thread");
    }
    for (int32_t p = 0; p < publishers; p++) pthread_join(threads[workers + p], NULL);
    check(bb_wait_idle(s.q, 60000000000) == 1, "never idle");
    uint64_t end = clock_ns();
    bb_close(s.q, 0, 0);
    for (int32_t w = 0; w < workers; w++) pthread_join(threads[w], NULL);
    bb_queue_free(s.q);
    return (double)(end - start) / ((double)each * publishers);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double contended(int32_t publishers, int32_t workers) {
    double runs[RUNS];
    for (int32_t run = 0; run < RUNS; run++) runs[run] = contended_once(publishers, workers);
    qsort(runs, RUNS, sizeof runs[0], ascending);
    return runs[RUNS / 2];
}

/* ---- main ---------------------------------------------------------------------------------- */

static void print(const char *what, double ns) { printf("%-46s %9.1f ns\n", what, ns); }

static void time_one_thread(void) {
    double push, take, unused;
    for (int on = 1; on >= 0; on--) {
        const char *state = on ? "on" : "off";
        char what[64];
        fill_and_empty(push_all, on, &push, &take);
        snprintf(what, sizeof what, "push, one thread, monitoring %s", state);
        print(what, push);
        snprintf(what, sizeof what, "take, one thread, monitoring %s", state);
        print(what, take);
        fill_and_empty(push_to_five, on, &push, &unused);
        snprintf(what, sizeof what, "push to 5 recipients, monitoring %s", state);
        print(what, push * FAN_OUT);
        fill_and_empty(push_batches, on, &push, &unused);
        snprintf(what, sizeof what, "push_many of 64, per event, monitoring %s", state);
        print(what, push);
    }
    print("offer that evicts, one thread, monitoring on", evicting());
}

static void time_many_threads(void) {
    static const int32_t shapes[][2] = {{1, 1}, {1, 4}, {4, 4}, {16, 4}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        char what[64];
        snprintf(what, sizeof what, "push to done, %d x %d threads, per event", shapes[i][0],
                 shapes[i][1]);
        print(what, contended(shapes[i][0], shapes[i][1]));
    }
}

/* Make one kind of call for about COUNTED deliveries, among others that callgrind does not count,
 * and print the number of events. */
static int count(const char *what, bool monitoring) {
    static const struct {
        const char *name;
        work *call;
        int32_t deliveries; /* of an event */
    } calls[] = {{"push", push_all, 1},
                 {"push5", push_to_five, FAN_OUT},
                 {"take", push_all, 1},
                 {"push_many", push_batches, 1},
                 {"offer", evict_all, 1}};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (strcmp(what, calls[i].name) != 0) continue;
        setup s;
        set_up(&s, COUNTED, monitoring);
        if (calls[i].call == evict_all) push_all(&s, COUNTED);
        calls[i].call(&s, COUNTED);
        take_all(&s, COUNTED);
        tear_down(&s);
        printf("%d\n", COUNTED / calls[i].deliveries);
        return 0;
    }
    return 2;
}

int main(int argc, char **argv) {
    if (argc == 3) return count(argv[1], strcmp(argv[2], "on") == 0);
    if (argc != 1) return 2;
    time_one_thread();
    time_many_threads();
    return 0;
}

/* ring_bench.c: what the ring costs by itself, without Python.
 *
 * `ring_bench` prints nanoseconds, one figure a line. `ring_bench WHAT on|off` does one thing
 * COUNTED times, for callgrind to count the instructions of; see the Makefile.
 *
 * On the clock each figure is the best of several runs: whatever else the machine does can only
 * add to it. Contended figures have no best that means much; their median is given.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ring.h"

enum { CAPACITY = 4096, BATCH = 64, ROUNDS = 400, RUNS = 9, EVENTS = 400000, COUNTED = 10000 };

typedef struct {
    int64_t ring, route, worker;
} setup;

static uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void check(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "ring_bench: %s\n", what);
    exit(1);
}

static setup set_up(int32_t capacity, int32_t levels, bool monitoring) {
    setup s = {.ring = bb_ring_new(capacity, levels, monitoring, 0)};
    s.route = bb_route(s.ring, 1, 1, 1);
    s.worker = bb_worker_add(s.ring);
    check(s.ring != 0 && s.route != 0 && s.worker != 0, "no memory");
    return s;
}

static void tear_down(setup s) {
    bb_close(s.ring, 0, 0);
    bb_ring_free(s.ring);
}

/* ---- one thread ---------------------------------------------------------------------------- */

static void push_all(setup s, int64_t *serial, int32_t n) {
    for (int32_t i = 0; i < n; i++) check(bb_push((*serial)++) == BB_ACCEPTED, "not accepted");
    (void)s;
}

static void push_batches(setup s, int64_t *serial, int32_t n) {
    int64_t handles[BATCH];
    for (int32_t done = 0; done < n; done += BATCH) {
        for (int32_t i = 0; i < BATCH; i++) handles[i] = (*serial)++;
        check(bb_push_many(handles, BATCH) == BATCH, "not accepted");
    }
    (void)s;
}

static void take_all(setup s, int64_t *serial, int32_t n) {
    for (int32_t i = 0; i < n; i++) check(bb_take(s.worker) != 0, "nothing taken");
    bb_done(s.worker);
    (void)serial;
}

static void evict_all(setup s, int64_t *serial, int32_t n) {
    int64_t out[2];
    for (int32_t i = 0; i < n; i++)
        check((bb_offer((*serial)++, BB_EVICT_OLDEST, out) & 15) == BB_EVICTED, "not evicted");
    (void)s;
}

typedef void work(setup s, int64_t *serial, int32_t n);

/* Fill and empty the ring ROUNDS times; ns of a single step of each. */
static void fill_and_empty(work *fill, work *empty, bool monitoring, double *push, double *take) {
    setup s = set_up(CAPACITY, 3, monitoring);
    int64_t serial = s.route;
    *push = *take = 1e9;
    for (int32_t run = 0; run < RUNS; run++) {
        uint64_t pushing = 0, taking = 0;
        for (int32_t round = 0; round < ROUNDS; round++) {
            uint64_t start = clock_ns();
            fill(s, &serial, CAPACITY);
            uint64_t middle = clock_ns();
            empty(s, &serial, CAPACITY);
            pushing += middle - start;
            taking += clock_ns() - middle;
        }
        double steps = (double)ROUNDS * CAPACITY;
        if ((double)pushing / steps < *push) *push = (double)pushing / steps;
        if ((double)taking / steps < *take) *take = (double)taking / steps;
    }
    tear_down(s);
}

static double evicting(void) {
    setup s = set_up(CAPACITY, 3, true);
    int64_t serial = s.route;
    push_all(s, &serial, CAPACITY);
    double best = 1e9;
    for (int32_t run = 0; run < RUNS * 10; run++) {
        uint64_t start = clock_ns();
        evict_all(s, &serial, CAPACITY);
        double each = (double)(clock_ns() - start) / CAPACITY;
        if (each < best) best = each;
    }
    tear_down(s);
    return best;
}

/* ---- contended ----------------------------------------------------------------------------- */

typedef struct {
    setup s;
    int64_t first; /* serial of this publisher */
    int32_t n;
} share;

static void *publisher(void *argument) {
    const share *part = argument;
    for (int64_t handle = part->first; handle < part->first + part->n; handle++) {
        int32_t result = bb_push(handle);
        while (result == BB_FULL || result == BB_WAITING) result = bb_wait(handle, 1000000000, 1);
        check(result == BB_ACCEPTED, "not accepted");
    }
    return NULL;
}

static void *worker_loop(void *argument) {
    int64_t worker = *(int64_t *)argument;
    while (bb_take(worker) != 0) continue;
    return NULL;
}

/* ns an event, from the first push to the last done. */
static double contended_once(int32_t publishers, int32_t workers) {
    setup s = set_up(CAPACITY, 3, true);
    pthread_t threads[64];
    share parts[32];
    int64_t handles[32];
    int32_t each = EVENTS / publishers;
    uint64_t start = clock_ns();
    for (int32_t w = 0; w < workers; w++) {
        handles[w] = w == 0 ? s.worker : bb_worker_add(s.ring);
        check(pthread_create(&threads[w], NULL, worker_loop, &handles[w]) == 0, "no thread");
    }
    for (int32_t p = 0; p < publishers; p++) {
        parts[p] = (share){.s = s, .first = s.route + (int64_t)p * each, .n = each};
        check(pthread_create(&threads[workers + p], NULL, publisher, &parts[p]) == 0, "no thread");
    }
    for (int32_t p = 0; p < publishers; p++) pthread_join(threads[workers + p], NULL);
    check(bb_wait_idle(s.ring, 60000000000) == 1, "never idle");
    uint64_t end = clock_ns();
    bb_close(s.ring, 0, 0);
    for (int32_t w = 0; w < workers; w++) pthread_join(threads[w], NULL);
    bb_ring_free(s.ring);
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

static void time_everything(void) {
    double push, take, unused;
    fill_and_empty(push_all, take_all, true, &push, &take);
    print("push, one thread, monitoring on", push);
    print("take, one thread, monitoring on", take);
    fill_and_empty(push_all, take_all, false, &push, &take);
    print("push, one thread, monitoring off", push);
    print("take, one thread, monitoring off", take);
    fill_and_empty(push_batches, take_all, true, &push, &unused);
    print("push_many of 64, an event, monitoring on", push);
    print("offer that evicts, one thread, monitoring on", evicting());
    static const int32_t shapes[][2] = {{1, 1}, {1, 4}, {4, 4}, {16, 4}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        char what[64];
        snprintf(what, sizeof what, "push to done, %d x %d threads, an event", shapes[i][0],
                 shapes[i][1]);
        print(what, contended(shapes[i][0], shapes[i][1]));
    }
}

/* One kind of call, COUNTED times, among others that callgrind is told not to count. */
static int count(const char *what, bool monitoring) {
    setup s = set_up(COUNTED, 3, monitoring);
    int64_t serial = s.route;
    int32_t n = COUNTED / BATCH * BATCH;
    if (strcmp(what, "push") == 0 || strcmp(what, "take") == 0) {
        push_all(s, &serial, n);
        take_all(s, &serial, n);
    } else if (strcmp(what, "push_many") == 0) {
        push_batches(s, &serial, n);
    } else if (strcmp(what, "offer") == 0) {
        push_all(s, &serial, COUNTED);
        evict_all(s, &serial, n);
    } else {
        return 2;
    }
    tear_down(s);
    printf("%d\n", n);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3) return count(argv[1], strcmp(argv[2], "on") == 0);
    if (argc != 1) return 2;
    time_everything();
    return 0;
}

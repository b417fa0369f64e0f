/* stress.c: everything at once, many times over, with random settings.
 *
 *     stress [operations [seed]]
 *
 * An operation is an event that somebody publishes. Each round makes a ring, lets publishers,
 * takers whose handlers publish too, a snapshotter and in some rounds an early closer loose on it,
 * and checks afterwards and meanwhile: each delivery ends exactly once, more urgent levels come
 * first, a publisher's events come in order within a level, and the books balance at every look.
 * Seed and round decide on everything but the interleaving. */
#include "stress.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECONDS_A_ROUND 120

static uint64_t operations_done;

/* ---- looking ------------------------------------------------------------------------------- */

static void *snapshotter(void *argument) {
    plan *p = argument;
    bb_stats before = {0}, now;
    while (!atomic_load(&p->over)) {
        if (bb_snapshot(p->ring, &now, NULL, 0, NULL, 0) != 0) fail("no snapshot");
        check_snapshot(&now, &before);
        before = now;
        if (bb_depth(p->ring) > p->capacity + BB_OVERDRAFT) fail("deeper than it can be");
        if (bb_wait_idle(p->ring, 100000)) sched_yield();
    }
    return NULL;
}

/* ---- a round ------------------------------------------------------------------------------- */

static void make_plan(plan *p, actor *dice) {
    static const int32_t capacities[] = {3, 4, 8, 20, 100, 1000};
    memset(p, 0, sizeof *p);
    p->capacity = capacities[draw(dice, 6)];
    p->levels = (int32_t)draw(dice, BB_LEVELS) + 1;
    p->publishers = (int32_t)draw(dice, MAX_THREADS / 2) + 1;
    p->takers = (int32_t)draw(dice, MAX_THREADS / 2) + 1;
    p->mode = (int32_t)draw(dice, MIXED + 1);
    p->monitoring = draw(dice, 2) == 0;
    p->starvation = draw(dice, 4) == 0 ? 2000 : 0;
    p->closes_early = draw(dice, 3) == 0;
    p->drain = draw(dice, 2) == 0;
    p->deadline = (int64_t[]){-1, 0, 1000000, INT64_MAX}[draw(dice, 4)];
    p->handlers_publish = (uint32_t[]){0, 8, 3}[draw(dice, 3)];
    p->ring = bb_ring_new(p->capacity, p->levels, p->monitoring, p->starvation);
    if (p->ring == 0) fail("no ring");
}

static void make_actor(actor *a, plan *p, int index, actor *dice) {
    bool takes = index >= p->publishers;
    a->plan = p;
    a->random = (uint64_t)draw(dice, UINT32_MAX) << 32 | draw(dice, UINT32_MAX);
    a->index = index;
    a->operations = ROUND_OPERATIONS / p->publishers;
    a->worker = takes ? bb_worker_add(p->ring) : 0;
    a->open = 0;
    memset(&a->account, 0, sizeof a->account);
    for (int l = 0; l < p->levels; l++) {
        int32_t count = (int32_t)draw(dice, MAX_COUNT) + 1;
        int64_t base = bb_route(p->ring, index, l + 1, count);
        if (base == 0) fail("no route");
        /* A handler may publish while another of its events is still looking for room. */
        ledger_open_lane(index * p->levels + l, base, l, count, !takes);
    }
}

/* All threads have gone: empty the ring, and compare its books with everybody's accounts. */
static void audit(plan *p, actor *actors, int n) {
    int64_t out[100];
    bb_stats stats = {0};
    account sum = {0};
    ledger_look(&sum, &p->flow);
    for (int32_t taken; (taken = bb_discard(p->ring, out, 100)) > 0;) {
        for (int32_t i = 0; i < taken; i++) {
            ledger_remove(&sum, out[i], false, &p->flow);
            ledger_end(out[i]);
        }
        sum.dropped += (uint64_t)taken;
    }
    for (int i = 0; i < n; i++) {
        sum.published += actors[i].account.published;
        sum.processed += actors[i].account.processed;
        sum.failed += actors[i].account.failed;
        sum.dropped += actors[i].account.dropped;
    }
    for (int i = 0; i < n * p->levels; i++)
        operations_done += (uint64_t)(ledger_lane(i)->drawn / ledger_lane(i)->count);
    ledger_close(n * p->levels);
    bb_snapshot(p->ring, &stats, NULL, 0, NULL, 0);
    check_snapshot(&stats, &(bb_stats){0});
    if (stats.total.published != sum.published || stats.total.processed != sum.processed ||
        stats.total.failed != sum.failed || stats.total.dropped != sum.dropped)
        fail("the ring counted %" PRIu64 "/%" PRIu64 "/%" PRIu64 "/%" PRIu64
             ", its callers %" PRIu64 "/%" PRIu64 "/%" PRIu64 "/%" PRIu64,
             stats.total.published, stats.total.processed, stats.total.failed,
             stats.total.dropped, sum.published, sum.processed, sum.failed, sum.dropped);
}

static void play_round(actor *dice) {
    static plan p;
    static actor actors[MAX_THREADS];
    pthread_t threads[MAX_THREADS], looking;
    make_plan(&p, dice);
    int n = p.publishers + p.takers;
    for (int i = 0; i < n; i++) make_actor(&actors[i], &p, i, dice);
    pthread_create(&looking, NULL, snapshotter, &p);
    for (int i = 0; i < n; i++)
        pthread_create(&threads[i], NULL, i < p.publishers ? publisher : taker, &actors[i]);
    for (int i = 0; i < p.publishers; i++) pthread_join(threads[i], NULL);
    /* While it is open, and while it drains without a limit, the ring must come to rest. */
    bool rests = !p.closes_early || (p.drain && p.deadline < 0);
    if (rests && !bb_wait_idle(p.ring, INT64_MAX)) fail("never idle");
    if (draw(dice, 2) == 0) bb_close(p.ring, 1, draw(dice, 2) == 0 ? -1 : 0);
    else bb_close(p.ring, 0, 0);
    for (int i = p.publishers; i < n; i++) pthread_join(threads[i], NULL);
    if (bb_state(p.ring) != BB_SHUT) fail("the workers have gone from a ring that is not shut");
    atomic_store(&p.over, true);
    pthread_join(looking, NULL);
    audit(&p, actors, n);
    bb_ring_free(p.ring);
}

static char hung_message[100]; /* made before it is needed: a signal handler cannot print */

static void hung(int signal_number) {
    (void)signal_number;
    if (write(STDERR_FILENO, hung_message, strlen(hung_message)) < 0) _exit(2);
    abort();
}

static void watch(uint64_t seed, int round) {
    snprintf(hung_message, sizeof hung_message, "stress: seed %" PRIu64 ", round %d: hung\n", seed,
             round);
    signal(SIGALRM, hung);
    alarm(SECONDS_A_ROUND);
}

int main(int argc, char **argv) {
    uint64_t operations = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    actor dice = {.random = seed};
    int round = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("stress: %" PRIu64 " operations, seed %" PRIu64 "\n", operations, seed);
    for (; operations_done < operations; round++) {
        if (round % 500 == 0 && round > 0)
            printf("stress: round %d, %" PRIu64 " operations\n", round, operations_done);
        watch(seed, round);
        ledger_begin(seed, round);
        play_round(&dice);
    }
    printf("stress: %d rounds, %" PRIu64 " operations, all invariants held\n", round,
           operations_done);
    return EXIT_SUCCESS;
}

/* stress.c: everything at once, many times over, with random settings.
 *
 * stress [operations [seed]]
 *
 * An operation is a published event. Each round creates a queue, used concurrently by publishers,
 * takers that come and go and whose handlers also publish, a snapshotter and in some rounds an
 * early closer. Some events are for subscriptions with keys, limits, batches, retries and expiry,
 * and one thread waits for barriers (stress_groups.c). During and after the round it checks that
 * each delivery ends exactly once, more urgent levels come first, a publisher's events come in
 * order within a level, and all counts agree in every snapshot. Seed and round determine everything
 * but the interleaving. */
#include "stress.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECONDS_PER_ROUND 120
#define NOTES 64

static uint64_t operations_done, retries_done, expired;

/* ---- looking ------------------------------------------------------------------------------- */

static int lanes_of(const plan *p) { return (p->publishers + p->takers) * p->settings.levels; }

/* Every running delivery must have been published. */
static void check_running(plan *p) {
    enum { MOST = 64 * MAX_THREADS };
    bb_open_delivery open[MOST];
    int32_t n = bb_running(p->q, open, MOST, NULL), calls = 0;
    for (int32_t i = 0; i < n; i++) calls += open[i].index == 0;
    if (calls > MAX_THREADS) fail("%d calls run in %d threads", calls, MAX_THREADS);
    for (int32_t i = 0; i < n; i++)
        if (grouped_event_of(open[i].event) == NULL) /* which may be freed by now */
            ledger_number(&(bb_delivery){.event = open[i].event, .recipient = open[i].recipient});
}

static void check_load(plan *p) {
    bb_recipient *which = &ledger_lane(0)->recipient[0];
    bb_arrivals arrivals;
    bb_timer timer;
    if (bb_load(p->q, &arrivals, &which, &timer, 1) != 0) fail("no load");
    if (arrivals.deliveries > bb_published(p->q)) fail("more arrived than was published");
}

static void check_notes(plan *p) {
    bb_note notes[NOTES + 1];
    int32_t n = bb_notes(p->q, 0, notes, NOTES + 1);
    if (n > p->settings.notes) fail("more notes than there may be");
    for (int32_t i = 0; i < n; i++)
        if (notes[i].what > BB_NOTED_DISCARDED || notes[i].level >= p->settings.levels)
            fail("an unknown note");
}

static void *snapshotter(void *argument) {
    plan *p = argument;
    bb_stats before = {0}, now;
    int32_t deepest = p->settings.capacity + p->settings.reserve;
    if (deepest < MAX_COUNT) deepest = MAX_COUNT;
    if (p->groups > 0) deepest += p->takers * MAX_BATCH; /* retries return into a full queue */
    while (!atomic_load(&p->over)) {
        check_snapshot(p->q, lanes_of(p), &before, &now);
        before = now;
        check_running(p);
        check_load(p);
        check_notes(p);
        if (bb_depth(p->q) > deepest) fail("deeper than it can be");
        if (bb_ended(p->q) > bb_published(p->q)) fail("more ended than was published");
        if (bb_wait_idle(p->q, 100000)) sched_yield();
    }
    return NULL;
}

/* ---- a round ------------------------------------------------------------------------------- */

static void make_plan(plan *p, actor *dice) {
    static const int32_t capacities[] = {1, 2, 3, 4, 8, 20, 100, 1000};
    static const int32_t reserves[] = {0, 1, 5, 20};
    memset(p, 0, sizeof *p);
    p->settings = (bb_settings){
        .capacity = capacities[draw(dice, 8)],
        .reserve = reserves[draw(dice, 4)],
        .levels = (int32_t)draw(dice, BB_LEVELS) + 1,
        .monitoring = draw(dice, 2) == 0,
        .starvation = draw(dice, 4) == 0 ? 2000 : 0,
        .notes = draw(dice, 2) == 0 ? NOTES : 0,
        .standstill = (int64_t[]){20000, 1000000, 3600000000000}[draw(dice, 3)],
    };
    p->publishers = (int32_t)draw(dice, MAX_THREADS / 2) + 1;
    p->takers = (int32_t)draw(dice, MAX_THREADS / 2) + 1;
    p->mode = (int32_t)draw(dice, BB_CALLER_RUNS + 1);
    p->evicts = p->mode == BB_EVICT_OLDEST || p->mode == BB_EVICT_LOWEST || p->mode == MIXED;
    if (draw(dice, 3) == 0) p->settings.reserved = (int32_t)draw(dice, (uint32_t)p->takers);
    p->closes_early = draw(dice, 3) == 0;
    p->resizes = draw(dice, 2) == 0;
    p->drain = draw(dice, 2) == 0;
    p->deadline = (int64_t[]){-1, 0, 1000000, INT64_MAX}[draw(dice, 4)];
    p->handlers_publish = (uint32_t[]){0, 8, 3}[draw(dice, 3)];
    p->q = bb_queue_new(&p->settings);
    if (p->q == NULL) fail("no queue");
    groups_begin(p, dice);
}

static void make_actor(actor *a, plan *p, int index, actor *dice) {
    a->plan = p;
    a->random = (uint64_t)draw(dice, UINT32_MAX) << 32 | draw(dice, UINT32_MAX);
    a->index = index;
    a->operations = ROUND_OPERATIONS / p->publishers;
    a->serial = 0;
    a->worker = NULL;
    memset(&a->account, 0, sizeof a->account);
    if (index == MAX_THREADS) return; /* the barrierer has no lanes */
    for (int l = 0; l < p->settings.levels; l++)
        ledger_open_lane(index * p->settings.levels + l, l, index,
                         (int32_t)draw(dice, MAX_COUNT) + 1);
}

/* All threads have ended: empty the queue, and compare its counts with the threads' accounts. */
static void discard(plan *p, actor *a) {
    bb_delivery out[100];
    ledger_look(&a->account, &p->flow);
    for (int32_t taken; (taken = bb_discard(p->q, out, 100)) > 0;) {
        for (int32_t i = 0; i < taken; i++) {
            if (grouped_event_of(out[i].event) != NULL) {
                groups_dropped(a, &out[i]);
                continue;
            }
            int64_t delivery = ledger_number(&out[i]);
            ledger_remove(&a->account, delivery, &p->flow);
            ledger_end(delivery);
            a->account.dropped++;
        }
    }
}

static void audit(plan *p, actor *actors, int n) {
    bb_stats stats;
    account sum = {0};
    discard(p, &actors[0]);
    for (int i = 0; i < n; i++) {
        sum.published += actors[i].account.published;
        sum.processed += actors[i].account.processed;
        sum.failed += actors[i].account.failed;
        sum.dropped += actors[i].account.dropped;
        sum.retried += actors[i].account.retried;
        operations_done += (uint64_t)actors[i].serial;
    }
    for (int i = 0; i < lanes_of(p); i++)
        operations_done += (uint64_t)(ledger_lane(i)->drawn / ledger_lane(i)->count);
    ledger_close(lanes_of(p));
    check_snapshot(p->q, lanes_of(p), &(bb_stats){0}, &stats);
    retries_done += stats.total.retried;
    for (int l = 0; l < BB_LEVELS; l++) expired += stats.dropped_by[BB_WHY_EXPIRED][l];
    if (stats.waiting != 0 || stats.workers != 0) fail("a publisher or worker is left");
    if (stats.total.published != sum.published || stats.total.processed != sum.processed ||
        stats.total.failed != sum.failed || stats.total.dropped != sum.dropped ||
        stats.total.retried != sum.retried)
        fail("the queue counted %" PRIu64 "/%" PRIu64 "/%" PRIu64 "/%" PRIu64
             ", its callers %" PRIu64 "/%" PRIu64 "/%" PRIu64 "/%" PRIu64,
             stats.total.published, stats.total.processed, stats.total.failed, stats.total.dropped,
             sum.published, sum.processed, sum.failed, sum.dropped);
}

static void play_round(actor *dice) {
    static plan p;
    static actor actors[MAX_THREADS + 1]; /* the last one is the barrierer's */
    pthread_t threads[MAX_THREADS], looking, timing, at_barriers;
    make_plan(&p, dice);
    int n = p.publishers + p.takers;
    for (int i = 0; i < n; i++) make_actor(&actors[i], &p, i, dice);
    make_actor(&actors[MAX_THREADS], &p, MAX_THREADS, dice);
    resize(&p, p.takers);
    pthread_create(&looking, NULL, snapshotter, &p);
    pthread_create(&timing, NULL, timer, &p);
    pthread_create(&at_barriers, NULL, barrierer, &actors[MAX_THREADS]);
    for (int i = 0; i < n; i++)
        pthread_create(&threads[i], NULL, i < p.publishers ? publisher : taker, &actors[i]);
    for (int i = 0; i < p.publishers; i++) pthread_join(threads[i], NULL);
    atomic_store(&p.quiet, true);
    /* Each barrier must be over while the queue is open, and while it drains. */
    pthread_join(at_barriers, NULL);
    /* While it is open, and while it drains without a limit, the queue must become idle. */
    bool rests = !p.closes_early || (p.drain && p.deadline < 0);
    if (rests && !bb_wait_idle(p.q, INT64_MAX)) fail("never idle");
    if (draw(dice, 2) == 0) bb_close(p.q, 1, draw(dice, 2) == 0 ? -1 : 0);
    else bb_close(p.q, 0, 0);
    for (int i = p.publishers; i < n; i++) pthread_join(threads[i], NULL);
    if (!bb_wait_shut(p.q, 0)) fail("the workers have left a queue that is not shut");
    atomic_store(&p.over, true);
    pthread_join(looking, NULL);
    pthread_join(timing, NULL);
    actors[n] = actors[MAX_THREADS];
    audit(&p, actors, n + 1);
    groups_end(&p);
    bb_queue_free(p.q);
}

static char hung_message[100]; /* formatted beforehand: a signal handler cannot */

static void hung(int signal_number) {
    (void)signal_number;
    if (write(STDERR_FILENO, hung_message, strlen(hung_message)) < 0) _exit(2);
    abort();
}

static void watch(uint64_t seed, int round) {
    snprintf(hung_message, sizeof hung_message, "stress: seed %" PRIu64 ", round %d: hung\n", seed,
             round);
    signal(SIGALRM, hung);
    alarm(SECONDS_PER_ROUND);
}

int main(int argc, char **argv) {
    uint64_t operations = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    actor dice = {.random = seed};
    host.parallel = true; /* no lock of a host excludes bb_running */
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
    printf("stress: %d rounds, %" PRIu64 " operations, %" PRIu64 " retries, %" PRIu64
           " expired, all invariants held\n",
           round, operations_done, retries_done, expired);
    return EXIT_SUCCESS;
}

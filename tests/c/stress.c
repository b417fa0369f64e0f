/* stress.c: everything at once, many times over, with random settings.
 *
 *     stress [operations [seed]]
 *
 * An operation is an event that somebody publishes. Each round makes a ring, lets publishers,
 * takers whose handlers publish too, a snapshotter and in some rounds an early closer loose on it,
 * and checks afterwards and meanwhile: each delivery ends exactly once, more urgent levels come
 * first, a publisher's events come in order within a level, and the books balance at every look.
 * Seed and round decide on everything but the interleaving. */
#include "stress_ledger.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUND_OPERATIONS 20000
#define SECONDS_A_ROUND 120
#define MIXED (BB_OVERDRAW + 1) /* any mode, drawn for each event */

typedef struct {
    int64_t ring;
    int32_t capacity, levels, publishers, takers, mode, monitoring, drain;
    int64_t starvation, deadline;
    uint32_t handlers_publish; /* one in so many handlers; 0: none */
    bool closes_early;
    flow flow;
    atomic_bool over;
} plan;

typedef struct {
    plan *plan;
    uint64_t random;
    int index; /* of its lanes */
    int operations;
    int64_t worker; /* of a taker */
    int open;       /* deliveries that the taker has open */
    account account;
} actor;

static uint64_t operations_done;

static uint32_t draw(actor *a, uint32_t below) {
    a->random += 0x9e3779b97f4a7c15u; /* Weyl sequence, then mixed */
    uint64_t x = (a->random ^ (a->random >> 31)) * 0xd6e8feb86659fd93u;
    return (uint32_t)((x ^ (x >> 32)) % below);
}

static lane *any_lane(actor *a) {
    return ledger_lane(a->index * a->plan->levels + (int)draw(a, (uint32_t)a->plan->levels));
}

/* ---- publishing -------------------------------------------------------------------------- */

static void accept(actor *a, lane *l, int64_t handle) {
    ledger_accept(l, handle, &a->plan->flow);
    a->account.published += (uint64_t)l->count;
    if (draw(a, 64) == 0 && (uint32_t)bb_withdraw(handle) > 1) fail("withdraw of an accepted event");
}

/* The caller runs the event's handlers, and sometimes stops half-way. */
static void run(actor *a, lane *l, int64_t handle) {
    ledger_accept(l, handle, NULL);
    a->account.published += (uint64_t)l->count;
    int32_t stop_at = draw(a, 4) == 0 ? (int32_t)draw(a, (uint32_t)l->count) : l->count;
    for (int32_t i = 0; i < l->count; i++) ledger_end(handle + i);
    for (int32_t i = 0; i < stop_at; i++) bb_caller_done(handle, i % 2);
    a->account.processed += (uint64_t)stop_at;
    a->account.failed += (uint64_t)stop_at / 2;
    a->account.dropped += (uint64_t)(l->count - stop_at);
    int32_t known = bb_withdraw(handle);
    if (known != (stop_at < l->count ? 2 : 1)) fail("withdraw of a running event: %d", known);
}

static int32_t offer(actor *a, lane *l, int64_t handle, int32_t inside) {
    int64_t out[MAX_COUNT + 2];
    int32_t mode = a->plan->mode == MIXED ? (int32_t)draw(a, MIXED) : a->plan->mode;
    out[l->count + 1] = -7;
    int32_t result = bb_offer(handle, mode + inside, out);
    if (result > 0) result &= ~BB_FIRST;
    if (out[l->count + 1] != -7) fail("bb_offer wrote more than its share");
    if (result == BB_ACCEPTED || result == BB_EVICTED) accept(a, l, handle);
    if (result == BB_RUN) run(a, l, handle);
    if (result == BB_REFUSED) {
        a->account.published += (uint64_t)l->count;
        a->account.dropped += (uint64_t)l->count;
    }
    for (int i = 0; result == BB_EVICTED && out[i] != 0; i++) {
        ledger_remove(&a->account, out[i], false, &a->plan->flow);
        ledger_end(out[i]);
        a->account.dropped++;
    }
    return result;
}

/* There was no room at first: wait, and give up in one of several ways. */
static int32_t insist(actor *a, lane *l, int64_t handle) {
    int32_t result = BB_WAITING;
    while (result == BB_WAITING && draw(a, 8) != 0)
        result = bb_wait(handle, draw(a, 50000), draw(a, 2) == 0);
    if (result == BB_ACCEPTED) accept(a, l, handle);
    if (result != BB_WAITING && result != BB_FULL) return result;
    if (draw(a, 4) != 0) return offer(a, l, handle, 0);
    int32_t known = bb_withdraw(handle);
    if (known == 0) accept(a, l, handle); /* let in meanwhile */
    else if (known != 1) fail("withdraw of a waiting event: %d", known);
    return BB_FULL;
}

static int32_t publish(actor *a) {
    lane *l = any_lane(a);
    int64_t handle = ledger_draw(l);
    if (handle == 0) return BB_CLOSED;
    int32_t result = bb_push(handle);
    if (result == BB_ACCEPTED) accept(a, l, handle);
    return result == BB_FULL ? insist(a, l, handle) : result;
}

static int32_t publish_many(actor *a) {
    enum { BATCH = 8 };
    lane *of[BATCH];
    int64_t handles[BATCH];
    int32_t n = 0, accepted, result = BB_ACCEPTED;
    for (; n < BATCH; n++) {
        of[n] = any_lane(a);
        handles[n] = ledger_draw(of[n]);
        if (handles[n] == 0) break;
    }
    if (n == 0) return BB_CLOSED;
    accepted = bb_push_many(handles, n);
    if (accepted < 0) return accepted;
    for (int32_t i = 0; i < accepted; i++) accept(a, of[i], handles[i]);
    for (int32_t i = accepted; i < n && result >= 0; i++) result = insist(a, of[i], handles[i]);
    return result;
}

static void *publisher(void *argument) {
    actor *a = argument;
    plan *p = a->plan;
    bool closer = p->closes_early && a->index == 0;
    for (int i = 0; i < a->operations; i++) {
        if (closer && i == a->operations / 2) bb_close(p->ring, p->drain, p->deadline);
        if ((draw(a, 16) == 0 ? publish_many(a) : publish(a)) == BB_CLOSED) break;
    }
    return NULL;
}

/* ---- taking ------------------------------------------------------------------------------- */

static void handle(actor *a, int64_t delivery);

/* A handler publishes: it helps instead of waiting, and overdraws where that is no use. */
static void publish_inside(actor *a) {
    plan *p = a->plan;
    lane *l = any_lane(a);
    int64_t event = ledger_draw(l), out[1] = {0};
    if (event == 0) return;
    int32_t result = bb_push(event);
    if (result == BB_ACCEPTED) accept(a, l, event);
    while (result == BB_FULL) {
        bool newest = a->open >= BB_BREADTH;
        result = bb_help(a->worker, event, out);
        if (result == BB_ACCEPTED) accept(a, l, event);
        if (out[0] == 0) break;
        ledger_remove(&a->account, out[0], newest, &p->flow);
        handle(a, out[0]);
        bb_done(a->worker);
        a->open--;
    }
    if (result == BB_FULL || result == BB_CLOSED) offer(a, l, event, BB_INSIDE);
}

static void handle(actor *a, int64_t delivery) {
    uint32_t one_in = a->plan->handlers_publish;
    if (++a->open > BB_HELP) fail("%d deliveries are open in one worker", a->open);
    ledger_end(delivery);
    if (one_in > 0 && draw(a, one_in) == 0) publish_inside(a);
    if (draw(a, 16) == 0) {
        bb_failed(a->worker);
        a->account.failed++;
    }
    a->account.processed++;
}

/* Whatever a thread has removed and not yet noted, at most: what the others' notes may lack. */
static long long in_flight(const plan *p) {
    bool evicting = p->mode == BB_EVICT_OLDEST || p->mode == BB_EVICT_LOWEST || p->mode == MIXED;
    return evicting ? (p->publishers + p->takers) * MAX_COUNT : p->takers - 1;
}

/* Take, and check that nothing more urgent was left: what had been added to a higher level before
 * the call must have been removed by now. */
static int64_t take(actor *a) {
    plan *p = a->plan;
    long long added[BB_LEVELS];
    for (int l = 0; l < p->levels; l++) added[l] = atomic_load(&p->flow.added[l]);
    int64_t delivery = bb_take(a->worker);
    a->open = 0;
    if (delivery == 0) return 0;
    lane *taken = ledger_remove(&a->account, delivery, false, &p->flow);
    for (int l = taken->level + 1; l < p->levels && p->starvation == 0; l++)
        if (added[l] - atomic_load(&p->flow.removed[l]) > in_flight(p))
            fail("level %d was served while level %d had work", taken->level, l);
    return delivery;
}

static void *taker(void *argument) {
    actor *a = argument;
    for (int64_t delivery; (delivery = take(a)) != 0;) handle(a, delivery);
    return NULL;
}

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
    account_open(&a->account);
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
    for (int32_t taken; (taken = bb_discard(p->ring, out, 100)) > 0;) {
        for (int32_t i = 0; i < taken; i++) ledger_end(out[i]);
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

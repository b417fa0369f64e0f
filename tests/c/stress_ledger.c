/* stress_ledger.c: see stress_ledger.h. */
#include "stress_ledger.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lane lanes[MAX_LANES];
static uint64_t seed;
static int round_number;
static bb_recipient *added[MAX_ADDED];
static int n_added;

_Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "stress: seed %" PRIu64 ", round %d: ", seed, round_number);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    abort();
}

void ledger_begin(uint64_t of_seed, int round) {
    seed = of_seed;
    round_number = round;
    n_added = 0;
}

void ledger_add_recipient(bb_recipient *recipient) { added[n_added++] = recipient; }

lane *ledger_lane(int index) { return &lanes[index]; }

void ledger_open_lane(int index, int32_t level, int32_t type, int32_t count) {
    lane *l = &lanes[index];
    for (int i = 0; i < MAX_COUNT; i++) {
        l->recipient[i] = (bb_recipient){0};
        l->pointers[i] = &l->recipient[i];
    }
    l->route =
        (bb_route){.level = level + 1, .type = type, .count = count, .recipients = l->pointers};
    l->base = (int64_t)(index + 1) << LANE_BITS;
    l->level = level;
    l->count = count;
    memset(l->accepted, 0, (size_t)l->drawn * sizeof *l->accepted);
    for (int64_t i = 0; i < l->drawn; i++) atomic_init(&l->ended[i], 0);
    l->drawn = 0;
}

static int lane_index(int64_t delivery) {
    int64_t index = (delivery >> LANE_BITS) - 1;
    if (index < 0 || index >= MAX_LANES || delivery - lanes[index].base >= LANE_DELIVERIES)
        fail("the queue returned %" PRId64 ", which was not published", delivery);
    return (int)index;
}

int64_t ledger_draw(lane *l) {
    if (l->drawn + l->count > LANE_DELIVERIES) return 0;
    int64_t event = l->base + l->drawn;
    l->drawn += l->count;
    return event;
}

void ledger_accept(lane *l, int64_t event, flow *f) {
    l->accepted[event - l->base] = true;
    if (f != NULL) atomic_fetch_add(&f->added[l->level], l->count);
}

int64_t ledger_number(const bb_delivery *delivery) {
    int64_t event = (int64_t)(intptr_t)delivery->event / 2;
    const lane *l = &lanes[lane_index(event)];
    int64_t position = delivery->recipient - l->recipient;
    if (position < 0 || position >= l->count)
        fail("event %" PRId64 " was returned for another event's recipient", event);
    return event + position;
}

void ledger_end(int64_t delivery) {
    lane *l = &lanes[lane_index(delivery)];
    if (atomic_fetch_add(&l->ended[delivery - l->base], 1) != 0)
        fail("delivery %" PRId64 " ended twice", delivery);
}

void ledger_look(account *a, const flow *f) {
    for (int i = 0; i < MAX_LANES; i++) a->next[i] = atomic_load(&f->next[i]);
}

static void raise_to(atomic_llong *highest, long long value) {
    long long seen = atomic_load(highest);
    while (seen < value && !atomic_compare_exchange_weak(highest, &seen, value)) continue;
}

lane *ledger_remove(account *a, int64_t delivery, flow *f) {
    int index = lane_index(delivery);
    lane *l = &lanes[index];
    atomic_fetch_add(&f->removed[l->level], 1);
    int64_t position = delivery - l->base;
    if (position < a->next[index])
        fail("delivery %" PRId64 " of lane %d came after %" PRId64, position, index,
             a->next[index] - 1);
    a->next[index] = position + 1;
    raise_to(&f->next[index], position + 1);
    return l;
}

static void close_lane(const lane *l) {
    for (int64_t event = 0; event < l->drawn; event += l->count)
        for (int64_t i = event; i < event + l->count; i++)
            if (l->ended[i] != l->accepted[event])
                fail("delivery %" PRId64 " of an event that was%s accepted ended %d times",
                     l->base + i, l->accepted[event] ? "" : " not", l->ended[i]);
}

void ledger_close(int n) {
    for (int i = 0; i < n; i++) close_lane(&lanes[i]);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

static void add(bb_counts *sum, const bb_counts *part) {
    sum->published += part->published;
    sum->processed += part->processed;
    sum->failed += part->failed;
    sum->dropped += part->dropped;
    sum->queued += part->queued;
    sum->running += part->running;
    sum->retried += part->retried;
}

static void check_sums(const bb_stats *now, const bb_counts *recipients, int n) {
    const bb_counts *t = &now->total;
    bb_counts levels = {0}, by_recipient = {0};
    uint64_t dropped = 0;
    for (int l = 0; l < BB_LEVELS; l++) {
        add(&levels, &now->level[l]);
        for (int r = 0; r < BB_REASONS; r++) dropped += now->dropped_by[r][l];
    }
    for (int r = 0; r < n; r++) add(&by_recipient, &recipients[r]);
    if (t->published != t->processed + t->dropped + t->queued + t->running)
        fail("%" PRIu64 " published, but %" PRIu64 " processed, %" PRIu64 " dropped, %" PRIu64
             " queued, %" PRIu64 " running",
             t->published, t->processed, t->dropped, t->queued, t->running);
    if (memcmp(&levels, t, sizeof levels) != 0) fail("the levels do not add up to the total");
    if (memcmp(&by_recipient, t, sizeof levels) != 0)
        fail("the recipients do not add up to the total");
    if (dropped != t->dropped) fail("the reasons do not add up to what was dropped");
}

/* A duration of more than an hour is a clock that ran backwards. */
static void check_durations(const bb_durations *d) {
    if (d->max > 3600000000000u) fail("a delivery waited for or took %" PRIu64 " ns", d->max);
    if (d->p50 > d->p95 || d->p95 > d->p99 || d->p99 > d->max) fail("quantiles out of order");
}

void check_snapshot(bb_queue *q, int n_lanes, const bb_stats *before, bb_stats *now) {
    static bb_histograms histograms; /* one thread takes snapshots at a time */
    static bb_counts recipients[MAX_LANES * MAX_COUNT + MAX_ADDED];
    static bb_recipient *which[MAX_LANES * MAX_COUNT + MAX_ADDED];
    int n = n_lanes * MAX_COUNT;
    for (int i = 0; i < n; i++) which[i] = &lanes[i / MAX_COUNT].recipient[i % MAX_COUNT];
    for (int i = 0; i < n_added; i++) which[n++] = added[i];
    if (bb_snapshot(q, now, NULL, 0, which, recipients, n, NULL, 0, &histograms) != 0)
        fail("no snapshot");
    check_sums(now, recipients, n);
    const bb_counts *t = &now->total, *b = &before->total;
    if (t->published < b->published || t->processed < b->processed || t->dropped < b->dropped ||
        t->failed < b->failed || t->retried < b->retried || now->state < before->state)
        fail("a count decreased");
    check_durations(&histograms.queue_wait);
    check_durations(&histograms.recent_processing);
}

/* stress_ledger.c: see stress_ledger.h. */
#include "stress_ledger.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lane lanes[MAX_LANES];
static int16_t lane_of_route[1 << (63 - BB_SERIAL_BITS)];
static uint64_t seed;
static int round_number;

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
    memset(lane_of_route, -1, sizeof lane_of_route);
}

lane *ledger_lane(int index) { return &lanes[index]; }

void ledger_open_lane(int index, int64_t base, int32_t level, int32_t count, bool in_order) {
    lane *l = &lanes[index];
    l->base = base;
    l->level = level;
    l->count = count;
    l->in_order = in_order;
    memset(l->accepted, 0, (size_t)l->drawn * sizeof *l->accepted);
    for (int64_t i = 0; i < l->drawn; i++) atomic_init(&l->ended[i], 0);
    l->drawn = 0;
    lane_of_route[base >> BB_SERIAL_BITS] = (int16_t)index;
}

static int lane_index(int64_t handle) {
    int index = handle > 0 ? lane_of_route[handle >> BB_SERIAL_BITS] : -1;
    if (index < 0 || handle - lanes[index].base >= LANE_DELIVERIES)
        fail("the ring gave out %" PRId64 ", which nobody published", handle);
    return index;
}

int64_t ledger_draw(lane *lane) {
    if (lane->drawn + lane->count > LANE_DELIVERIES) return 0;
    int64_t handle = lane->base + lane->drawn;
    lane->drawn += lane->count;
    return handle;
}

void ledger_accept(lane *lane, int64_t handle, flow *flow) {
    lane->accepted[handle - lane->base] = true;
    if (flow != NULL) atomic_fetch_add(&flow->added[lane->level], lane->count);
}

void ledger_end(int64_t handle) {
    lane *l = &lanes[lane_index(handle)];
    if (atomic_fetch_add(&l->ended[handle - l->base], 1) != 0)
        fail("delivery %" PRId64 " ended twice", handle);
}

void ledger_look(account *account, const flow *flow) {
    for (int i = 0; i < MAX_LANES; i++) account->next[i] = atomic_load(&flow->next[i]);
}

static void raise_to(atomic_llong *highest, long long value) {
    long long seen = atomic_load(highest);
    while (seen < value && !atomic_compare_exchange_weak(highest, &seen, value)) continue;
}

lane *ledger_remove(account *account, int64_t handle, bool newest, flow *flow) {
    int index = lane_index(handle);
    lane *l = &lanes[index];
    atomic_fetch_add(&flow->removed[l->level], 1);
    if (newest || !l->in_order) return l;
    int64_t place = handle - l->base;
    if (place < account->next[index])
        fail("delivery %" PRId64 " of lane %d came after %" PRId64, place, index,
             account->next[index] - 1);
    account->next[index] = place + 1;
    raise_to(&flow->next[index], place + 1);
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
}

void check_snapshot(const bb_stats *now, const bb_stats *before) {
    const bb_counts *t = &now->total, *b = &before->total;
    bb_counts levels = {0};
    uint64_t dropped = 0;
    for (int l = 0; l < BB_LEVELS; l++) {
        add(&levels, &now->level[l]);
        for (int r = 0; r < BB_REASONS; r++) dropped += now->dropped_by[r][l];
    }
    if (t->published != t->processed + t->dropped + t->queued + t->running)
        fail("%" PRIu64 " published, but %" PRIu64 " processed, %" PRIu64 " dropped, %" PRIu64
             " queued, %" PRIu64 " running",
             t->published, t->processed, t->dropped, t->queued, t->running);
    if (memcmp(&levels, t, sizeof levels) != 0) fail("the levels do not add up to the total");
    if (dropped != t->dropped) fail("the reasons do not add up to what was dropped");
    if (t->published < b->published || t->processed < b->processed || t->dropped < b->dropped ||
        t->failed < b->failed || now->state < before->state)
        fail("the books ran backwards");
    /* A wait of more than an hour is a clock that ran backwards. */
    if (now->queue_wait.max > 3600000000000u || now->processing.max > 3600000000000u)
        fail("a delivery waited %" PRIu64 " ns, or took %" PRIu64, now->queue_wait.max,
             now->processing.max);
}

/* stress_ledger.h: what the stress programme knows about every delivery, kept apart from the queue.
 *
 * A lane is a route together with its only publisher and its own recipients. Its deliveries are
 * numbered; an event is known by the number of its first. For each event the publisher notes whether
 * it was accepted; whoever ends a delivery (handles it, evicts it, discards it) notes that, and
 * ending one twice, or one that nobody drew, aborts. At the end of a round every delivery of every
 * accepted event must have ended, and no other. */
#ifndef STRESS_LEDGER_H
#define STRESS_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api.h"

enum {
    MAX_THREADS = 8,
    MAX_LANES = MAX_THREADS * BB_LEVELS,
    MAX_COUNT = 3,           /* deliveries an event */
    LANE_DELIVERIES = 30000, /* so many can be drawn from a lane */
    LANE_BITS = 16           /* of a delivery's number, for its place in the lane */
};

typedef struct {
    bb_route route;
    bb_recipient recipient[MAX_COUNT];
    bb_recipient *pointers[MAX_COUNT];
    int32_t level; /* from 0 */
    int32_t count;
    int64_t base;                   /* number of its first delivery */
    int64_t drawn;                  /* deliveries; only its publisher reads and writes it */
    bool accepted[LANE_DELIVERIES]; /* by the first delivery of the event */
    atomic_uchar ended[LANE_DELIVERIES];
} lane;

/* What one thread has seen. */
typedef struct {
    uint64_t published; /* deliveries that the queue must count so; and so on */
    uint64_t processed;
    uint64_t failed;
    uint64_t dropped;
    int64_t next[MAX_LANES]; /* of each lane: the first delivery that it may still remove */
} account;

/* What was added to and removed from each level, and how far each lane has been removed, as far
 * as anybody knows who needs no lock. */
typedef struct {
    atomic_llong added[BB_LEVELS];
    atomic_llong removed[BB_LEVELS];
    atomic_llong next[MAX_LANES];
} flow;

/* Say what is wrong, with the seed and the round, and abort. */
_Noreturn void fail(const char *format, ...);
void ledger_begin(uint64_t seed, int round);

lane *ledger_lane(int index);
void ledger_open_lane(int index, int32_t level, int32_t type, int32_t count);

/* A new event, 0 if the lane is used up. */
int64_t ledger_draw(lane *l);
void ledger_accept(lane *l, int64_t event, flow *f);

/* The number of a delivery that the queue gave out, which must be one that was drawn. */
int64_t ledger_number(const bb_delivery *delivery);

/* A delivery has ended, once and for all. */
void ledger_end(int64_t delivery);

/* Before a call that removes deliveries: whatever anyone has noted as removed by now, and all that
 * came before it in its lane, can no longer come. */
void ledger_look(account *a, const flow *f);

/* A delivery came out of the queue: check its place in its lane. */
lane *ledger_remove(account *a, int64_t delivery, flow *f);

/* Check all deliveries of the round against each other. */
void ledger_close(int lanes);

/* Take a snapshot, and check that it balances, in itself and with the recipients of so many lanes,
 * and that nothing in it ran backwards since `before`. */
void check_snapshot(bb_queue *q, int lanes, const bb_stats *before, bb_stats *now);

#endif

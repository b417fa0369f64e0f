/* stress_ledger.h: what the stress programme knows about every delivery, kept apart from the ring.
 *
 * A lane is a route together with its only publisher. For each event of a lane its publisher notes
 * whether it was accepted; whoever ends a delivery (handles it, evicts it, discards it) notes
 * that, and ending one twice, or one that nobody drew, aborts. At the end of a round every
 * delivery of every accepted event must have ended, and no other. */
#ifndef STRESS_LEDGER_H
#define STRESS_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ring.h"

enum {
    MAX_THREADS = 8,
    MAX_LANES = MAX_THREADS * BB_LEVELS,
    MAX_COUNT = 3,          /* deliveries an event */
    LANE_DELIVERIES = 30000 /* so many can be drawn from a lane */
};

typedef struct {
    int64_t base;
    int32_t count;
    int32_t level;   /* from 0 */
    bool in_order;   /* its events are accepted in the order of their handles */
    int64_t drawn;   /* deliveries; only its publisher reads and writes it */
    bool accepted[LANE_DELIVERIES]; /* by the first delivery of the event */
    atomic_uchar ended[LANE_DELIVERIES];
} lane;

/* What one thread has seen. */
typedef struct {
    uint64_t published; /* deliveries that the ring must count so; and so on */
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
void ledger_open_lane(int index, int64_t base, int32_t level, int32_t count, bool in_order);

/* The handle of a new event, 0 if the lane is used up. */
int64_t ledger_draw(lane *lane);
void ledger_accept(lane *lane, int64_t handle, flow *flow);

/* A delivery has ended, once and for all. */
void ledger_end(int64_t handle);

/* Before a call that removes deliveries: whatever anyone has noted as removed by now, and all that
 * came before it in its lane, can no longer come. */
void ledger_look(account *account, const flow *flow);

/* A delivery came out of the queue, oldest first unless `newest`: check its place in its lane. */
lane *ledger_remove(account *account, int64_t handle, bool newest, flow *flow);

/* Check all deliveries of the round against each other. */
void ledger_close(int lanes);

/* Check that a snapshot balances and that nothing in it ran backwards since `before`. */
void check_snapshot(const bb_stats *now, const bb_stats *before);

#endif

/* stress_ledger.h: the stress program's own record of every delivery, independent of the queue.
 *
 * A lane is a route together with its only publisher and its own recipients. Its deliveries are
 * numbered; an event is known by the number of its first. For each event the publisher records
 * whether it was accepted; the thread that ends a delivery (handles, evicts or discards it) records
 * that, and ending one twice, or an unknown one, aborts. At the end of a round every delivery of
 * every accepted event must have ended, and no other. */
#ifndef STRESS_LEDGER_H
#define STRESS_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api.h"

enum {
    MAX_THREADS = 8,
    MAX_LANES = MAX_THREADS * BB_LEVELS,
    MAX_COUNT = 3,           /* deliveries per event */
    MAX_ADDED = 8,           /* recipients beside those of the lanes */
    LANE_DELIVERIES = 30000, /* max deliveries of a lane */
    LANE_BITS = 16           /* of a delivery's number, for its index in the lane */
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

/* What one thread has observed. */
typedef struct {
    uint64_t published; /* deliveries that the queue must have counted as published, */
    uint64_t processed;
    uint64_t failed;
    uint64_t dropped;
    uint64_t retried;
    int64_t next[MAX_LANES]; /* of each lane: the first delivery that it may still remove */
} account;

/* Deliveries added to and removed from each level, and how far each lane has been removed, as
 * recorded so far, without a lock. */
typedef struct {
    atomic_llong added[BB_LEVELS];
    atomic_llong removed[BB_LEVELS];
    atomic_llong next[MAX_LANES];
} flow;

/* Print a message with the seed and the round, and abort. */
_Noreturn void fail(const char *format, ...);
void ledger_begin(uint64_t seed, int round);

/* Another one, for deliveries that the ledger does not have. */
void ledger_add_recipient(bb_recipient *recipient);

lane *ledger_lane(int index);
void ledger_open_lane(int index, int32_t level, int32_t type, int32_t count);

/* A new event; 0 if the lane is used up. */
int64_t ledger_draw(lane *l);
void ledger_accept(lane *l, int64_t event, flow *f);

/* The number of a delivery that the queue returned, which must be a published one. */
int64_t ledger_number(const bb_delivery *delivery);

/* A delivery has ended. */
void ledger_end(int64_t delivery);

/* Called before a call that removes deliveries: those recorded as removed by now, and all before
 * them in their lanes, cannot be returned any more. */
void ledger_look(account *a, const flow *f);

/* The queue returned a delivery: check its position in its lane. */
lane *ledger_remove(account *a, int64_t delivery, flow *f);

/* Check all deliveries of the round against each other. */
void ledger_close(int lanes);

/* Take a snapshot, and check that its counts agree with each other and with the recipients of the
 * first `lanes` lanes and those that were added, and that none has decreased since `before`. */
void check_snapshot(bb_queue *q, int lanes, const bb_stats *before, bb_stats *now);

#endif

/* ticket.h: what goes with an event that is more than an event: when it expires, and where its
 * deliveries are kept whose subscription is grouped (ordered by key, limited, batched, retried).
 *
 * A plain event is handed to the queue as it is. One with a ticket is handed in as the address of
 * its bb_ticket with the lowest bit set (`bb_with_ticket`), and leaves the queue like that. So the
 * queue tests one bit of a pointer that it has at hand, and a plain publish pays nothing else.
 */
#ifndef BB_TICKET_H
#define BB_TICKET_H

#include "api.h"

typedef struct bb_lane bb_lane;
typedef struct bb_group bb_group;

/* Where a parked delivery is. */
typedef enum {
    BB_UNUSED = 0, /* not in the queue */
    BB_IN_LANE,
    BB_DELAYED, /* waits for its time; if its lane is serial, in the lane and holding it up */
    BB_OPENED   /* its worker has it */
} bb_place;

/* A delivery to a grouped subscription. Its ticket has the memory, so that the queue allocates
 * nothing; all fields but `lane` are the queue's. */
struct bb_parked {
    bb_lane *lane;   /* set by the publisher; NULL: the subscription is not grouped */
    void *event;     /* as it was handed in */
    bb_parked *prev; /* in the lane */
    bb_parked *next;
    bb_parked *older; /* among all that were parked at the level and have not ended, by sequence */
    bb_parked *newer;
    bb_recipient *recipient;
    uint64_t sequence;
    uint64_t accepted;
    int32_t level; /* from 0 */
    int32_t type;
    int32_t depth;
    int32_t attempt; /* retries so far */
    bool retry;      /* bb_finish is to queue it again */
    bb_place place;
};

typedef struct {
    uint64_t expires;  /* time of bb_now; 0: never */
    int32_t count;     /* deliveries */
    bb_parked *parked; /* one per delivery; NULL: none is grouped */
} bb_ticket;

/* In which list of lanes a lane is. */
typedef enum { BB_NOT_READY = 0, BB_READY, BB_BLOCKED } bb_lane_state;

/* Queued deliveries of one subscription, in order: those of one key, or those without a key at one
 * level. Zeroed by its owner, but for `group` and `serial`. */
struct bb_lane {
    bb_group *group;
    bool serial; /* one at a time, in order of acceptance, whatever their levels */
    bb_lane_state state;
    int32_t level;     /* of the list of lanes that it is in, */
    uint64_t sequence; /* and of its head then */
    int32_t running;
    bb_parked *head;
    bb_parked *tail;
    bb_parked *last_retry; /* not serial: the last of those at its head that have begun before */
    bb_lane *prev;
    bb_lane *next;
};

typedef struct {
    bb_lane *head;
    bb_lane *tail;
} bb_lane_list;

/* The lanes of one subscription. Zeroed by its owner, but for `limit` and `batch`, and for the
 * groups of `unkeyed`. */
struct bb_group {
    int32_t limit; /* calls at once; 0: any number */
    int32_t batch; /* deliveries per call at most; 0: one, which is no batch */
    int32_t running;
    int32_t filling; /* workers that wait for a batch to fill */
    uint32_t blocked_levels;
    bb_lane_list blocked[BB_LEVELS]; /* lanes that are ready, but the limit is reached */
    bb_lane unkeyed[BB_LEVELS];
};

static inline void *bb_with_ticket(bb_ticket *ticket) { return (void *)((uintptr_t)ticket | 1); }

/* NULL: it is a plain event. */
static inline bb_ticket *bb_ticket_of(const void *event) {
    return (uintptr_t)event & 1 ? (bb_ticket *)((uintptr_t)event - 1) : NULL;
}

#endif

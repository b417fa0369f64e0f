/* stress_groups.h: subscriptions whose deliveries wait in lanes, in the stress program.
 *
 * An event for a group is on the heap and counts its references as Python's are counted: one for
 * the queue, one for the timer while it is delayed, one for the thread that watches it. It is freed
 * with the last, so that a pointer which the queue kept is found by a sanitizer. Handlers check
 * that a key runs one at a time and in order, that a limit is kept, and that nothing ends twice or
 * begins too late. */
#ifndef STRESS_GROUPS_H
#define STRESS_GROUPS_H

#include "stress_ledger.h"
#include "ticket.h"

enum { MAX_GROUPS = 4, MAX_KEYS = 5, MAX_BATCH = 12 };

typedef struct actor actor;
typedef struct plan plan;
typedef struct group group;

typedef struct grouped_event {
    bb_ticket ticket;
    bb_parked parked;
    group *group;
    int32_t level; /* from 0 */
    int32_t key;
    int32_t publisher;
    int64_t serial; /* of the publisher's events */
    atomic_int references;
    atomic_int state;           /* event_state */
    atomic_bool delayed;        /* until the timer comes to it */
    struct grouped_event *next; /* in the timer's list */
} grouped_event;

/* All but `busy` is only for the thread that runs a call of the key. */
typedef struct {
    bb_lane lane;
    atomic_bool busy;
    int64_t last[MAX_THREADS + 1]; /* of each publisher, begun */
    int32_t retries;               /* that have not begun again; unknown where events are evicted */
    uint64_t retry[MAX_BATCH];     /* their sequences */
} key;

struct group {
    bb_group lanes;
    bb_recipient recipient;
    bb_recipient *pointer;
    bb_route route[BB_LEVELS];
    atomic_int running; /* calls */
    bool keyed;
    int32_t keys;
    int64_t batch_wait;
    uint32_t fails;   /* one call in that many; 0: none */
    uint32_t expires; /* one event in that many; 0: none */
    key key[MAX_KEYS];
};

/* Make the groups of a round, with random settings. */
void groups_begin(plan *p, actor *dice);

/* A new event of an actor for a random group, with a reference for the queue. */
grouped_event *groups_draw(actor *a);

/* The event of a delivery; NULL: it is a plain one. */
grouped_event *grouped_event_of(const void *event);

/* The queue did not accept it. */
void groups_refuse(plan *p, grouped_event *e);

/* Run a delivery that was taken at `since` or later, and finish it. */
void groups_handle(actor *a, const bb_delivery *taken, uint64_t since);

/* A delivery was evicted, discarded, purged or found expired. */
void groups_dropped(actor *a, const bb_delivery *dropped);
void groups_expired(actor *a, const bb_delivery *dropped);
void groups_purge(actor *a);

/* Threads: calls bb_due for what is delayed; waits for barriers, behind events of its own. */
void *timer(void *argument);     /* a plan */
void *barrierer(void *argument); /* an actor */

/* After the round: nothing may be left. */
void groups_end(plan *p);

#endif

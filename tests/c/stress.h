/* stress.h: shared by the threads of the stress program. */
#ifndef STRESS_H
#define STRESS_H

#include <pthread.h>

#include "stress_groups.h"
#include "stress_ledger.h"

#define ROUND_OPERATIONS 5000 /* short, so that many settings are tried */
#define MIXED 0               /* any mode, chosen for each event */
#define OUT_SIZE 64           /* for evicted deliveries: more than any event needs */

struct plan {
    bb_queue *q;
    bb_settings settings;
    int32_t publishers, takers, mode, drain;
    int64_t deadline;
    uint32_t handlers_publish; /* one in n handlers; 0: none */
    bool closes_early, resizes;
    bool evicts; /* events may be evicted */
    int32_t groups;
    flow flow;
    atomic_int wanted;   /* workers */
    atomic_int to_start; /* threads that bb_resize asked for and no taker has become yet */
    atomic_bool quiet;   /* the publishers have ended, */
    atomic_bool over;    /* and the takers */
    atomic_int events;   /* for groups, that exist */
    pthread_mutex_t delayed_mutex;
    grouped_event *delayed;
};

struct actor {
    plan *plan;
    uint64_t random;
    int index; /* of its lanes */
    int operations;
    int64_t serial;    /* of its events for groups */
    bb_worker *worker; /* of a taker, now */
    account account;
};

/* A random number of the actor's own sequence. */
uint32_t draw(actor *a, uint32_t below);

/* Sometimes publish, as the handler of the actor's queue. */
void publish_in_handler(actor *a);

/* Set the number of workers, and the number of takers that are to start. */
void resize(plan *p, int32_t wanted);

/* The threads; their argument is an actor. */
void *publisher(void *argument);
void *taker(void *argument);

#endif

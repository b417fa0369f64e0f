/* stress.h: what the threads of the stress programme share. */
#ifndef STRESS_H
#define STRESS_H

#include "stress_ledger.h"

#define ROUND_OPERATIONS 5000 /* short, so that many settings have their turn */
#define MIXED 0               /* any mode, drawn for each event */
#define ROOM 64               /* for evicted deliveries: more than any event needs */

typedef struct {
    bb_queue *q;
    bb_settings settings;
    int32_t publishers, takers, mode, drain;
    int64_t deadline;
    uint32_t handlers_publish; /* one in so many handlers; 0: none */
    bool closes_early, resizes;
    flow flow;
    atomic_int wanted;   /* workers */
    atomic_int to_start; /* threads that bb_resize asked for, and that no taker has been yet */
    atomic_bool over;
} plan;

typedef struct {
    plan *plan;
    uint64_t random;
    int index; /* of its lanes */
    int operations;
    bb_worker *worker; /* of a taker, now */
    account account;
} actor;

/* A random number of the actor's own sequence. */
uint32_t draw(actor *a, uint32_t below);

/* Have so many workers, and tell the takers how many of them are to start. */
void resize(plan *p, int32_t wanted);

/* The threads; their argument is an actor. */
void *publisher(void *argument);
void *taker(void *argument);

#endif
